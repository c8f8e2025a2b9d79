"""What time and day it is where each recipient is: their time zone, the holidays of their country.

The time zone is that of the column `timezone`, or else the country's. A country whose zones do not
agree at that moment is refused: which one is meant is never guessed (P10).
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import NamedTuple
from zoneinfo import ZoneInfo, available_timezones

from petition.campaign.holidays import Calendar, HolidaysUnknown, calendar
from petition.campaign.names import nearest_hint, quoted
from petition.campaign.people import Person
from petition.cli import output
from petition.errors import CampaignError, Problem, Problems, listed
from petition.outbox.enqueue import ListedRow
from petition.planning.plan import SendOptions
from petition.template.signatories import country_code, country_zones

TIMEZONE, COUNTRY = "timezone", "country"
_NAMED = 3  # zones or countries that are named in a line; the rest are counted
_NOT_NOW = datetime.max.replace(tzinfo=UTC)
_AHEAD = 60  # days that a run may last
_HINT = f'Add a column {TIMEZONE} that says which one, as "Europe/London"'


class _Cells(NamedTuple):
    """What a row says about its time zone."""

    timezone: str
    country: str
    language: str

    @classmethod
    def of(cls, fields: Mapping[str, str], language: str) -> "_Cells":
        named = fields.get(TIMEZONE, "").strip()
        return cls(named, fields.get(COUNTRY, "").strip(), language)

    def zones(self) -> tuple[str, ...]:
        """The zones that it may be in; empty: it is not known."""
        if not self.timezone:
            return country_zones(self.country, self.language)
        try:
            return (ZoneInfo(self.timezone).key,)
        except (OSError, ValueError, LookupError):
            return ()

    @property
    def unknown(self) -> tuple[str, str]:
        """What is wrong if it is in no known zone, and what to do about it."""
        if self.timezone:
            hint = nearest_hint(self.timezone, available_timezones(), 'Write "Europe/London"')
            return f"{quoted(self.timezone)} is not a time zone", hint
        if self.country:
            return f"the time zone of {quoted(self.country)} is not known", _HINT
        return f"neither {TIMEZONE} nor {COUNTRY} says which time zone it is in", _HINT


class ReadersHolidays:
    """Says of each person whether they get a letter on a day: not on a holiday of their country.

    A country that is not known, or whose holidays are not, has none; such people are counted.
    """

    def __init__(self, day: date) -> None:
        self.day = day
        self.later: Counter[str] = Counter()  # those on holiday, by country and the day's name
        self.unknown = 0
        self._calendars: dict[tuple[str, str], Calendar | None] = {}

    def __call__(self, person: Person) -> bool:
        """Whether they get it."""
        if person.excluded:
            return True
        return not self.is_on(person.fields.get(COUNTRY, ""), person.language, self.day)

    def is_on(self, country: str, language: str, day: date, people: int = 1) -> bool:
        """Whether a country, as a language may call it, has a holiday; counts the people."""
        cells = country.strip(), language
        if cells not in self._calendars:
            self._calendars[cells] = _calendar_of(*cells)
        known = self._calendars[cells]
        if known is None:
            self.unknown += people
            return False
        name = known.on(day)
        if name:
            self.later[f"{known.code} ({name})"] += people
        return bool(name)

    def closed(self) -> frozenset[date]:
        """The days after it that are a holiday of anybody's country."""
        coming = [self.day + timedelta(days=number) for number in range(1, _AHEAD)]
        calendars = set(filter(None, self._calendars.values()))
        return frozenset(day for day in coming if any(one.on(day) for one in calendars))

    def lines(self) -> Iterator[tuple[str, str]]:
        """What was found, as lines of the plan."""
        if self.later:
            told = [f"{number:,} in {where}" for where, number in self.later.most_common()]
            yield "holiday", f"{listed(told[:_NAMED], len(told))}: not now, but on another day"
        if self.unknown:
            yield "holiday", f"not known for {self.unknown:,}, by the column {COUNTRY}: they get it"


def holidays_of(options: SendOptions) -> ReadersHolidays | None:
    """What a send has found about the holidays of those on its list; None: it does not ask."""
    return options.is_due if isinstance(options.is_due, ReadersHolidays) else None


def _calendar_of(country: str, language: str) -> Calendar | None:
    code = country_code(country, language)
    try:
        return calendar(code) if code else None
    except HolidaysUnknown:
        return None


@dataclass(frozen=True, slots=True)
class Wave:
    """Copies that are due at the same moment."""

    at: datetime
    zones: tuple[str, ...]
    people: int

    def line(self, now: datetime) -> str:
        """The wave as a line of text."""
        who = f"{output.count(self.people, 'person', 'people')} in"
        zones = listed(self.zones[:_NAMED], len(self.zones))
        past = "at once, since it is past: " if self.at <= now else ""
        return f"{output.when(self.at)}: {past}{who} {zones}"


class Waves:
    """When those who are to get a letter get it; those who are not known to wait are due at once.

    Args:
        rows: Those who are to get it.
        moment: The moment of a time zone; UsageError if there is none.
        holidays: Who does not get it on a holiday of their country; None: everybody does.

    CampaignError names the rows whose zone is not known or not clear.
    """

    def __init__(
        self,
        rows: Iterable[ListedRow],
        moment: Callable[[ZoneInfo], datetime],
        holidays: ReadersHolidays | None = None,
    ) -> None:
        self.holidays = holidays
        self._moment = moment
        self._known: dict[_Cells, datetime] = {}
        self._zones: dict[datetime, set[str]] = {}
        first, people = dict[_Cells, ListedRow](), Counter[_Cells]()
        for row in rows:
            cells = _Cells.of(row.fields, row.language)
            first.setdefault(cells, row)
            people[cells] += 1
        problems = Problems()
        for cells, row in first.items():
            if fault := self._settle(cells, people[cells]):
                what, hint = fault
                if (more := people[cells] - 1) > 0:
                    what += f" (so in {output.count(more, 'more row')})"
                problems.append(Problem(row.file, row.line, what, hint))
        if problems:
            raise CampaignError(problems)
        numbers = Counter[datetime]()
        for cells, number in people.items():
            if (at := self._known[cells]) is not _NOT_NOW:
                numbers[at] += number
        self.all = tuple(
            Wave(at, tuple(sorted(self._zones[at])), numbers[at]) for at in sorted(numbers)
        )

    @property
    def first(self) -> datetime:
        """When the first copies are due."""
        return self.all[0].at

    @property
    def last(self) -> datetime:
        """When the last ones are."""
        return self.all[-1].at

    def _settle(self, cells: _Cells, people: int) -> tuple[str, str] | None:
        """Note the moment of such rows; what is wrong, and a hint, if there is no single one."""
        zones = cells.zones()
        if not zones:
            return cells.unknown
        moments = {zone: self._moment(ZoneInfo(zone)) for zone in zones}
        if len({moment.astimezone(UTC) for moment in moments.values()}) > 1:
            several = listed(sorted(zones)[:_NAMED], len(zones))
            return f"{quoted(cells.country)} has several time zones: {several}", _HINT
        day = moments[zones[0]].date()
        if self.holidays and self.holidays.is_on(cells.country, cells.language, day, people):
            self._known[cells] = _NOT_NOW
            return None
        self._known[cells] = at = moments[zones[0]].astimezone(UTC)
        self._zones.setdefault(at, set()).add(zones[0])
        return None

    def due_by(self, at: datetime) -> Callable[[Person], bool]:
        """Says of each person whether they are due by a moment."""

        def is_due(person: Person) -> bool:
            known = self._known.get(_Cells.of(person.fields, person.language))
            return known is None or known <= at

        return is_due

    @property
    def people(self) -> int:
        """How many people get the letter."""
        return sum(wave.people for wave in self.all)

    def lines(self) -> Iterator[tuple[str, str]]:
        """The waves, as lines of the plan."""
        now = datetime.now(UTC)
        for wave in self.all:
            yield "at", wave.line(now)
