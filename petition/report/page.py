"""The report page: counts, charts as inline SVG, no script and no request."""

import os
import re
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta, tzinfo
from html import escape
from importlib.resources import files
from itertools import chain, pairwise
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from petition.errors import PetitionError
from petition.merge.document import Frozen
from petition.outbox.answers import Answer, Standing, Status
from petition.outbox.database import moment
from petition.outbox.erasure import frozen_letters
from petition.outbox.log import Log
from petition.outbox.models import Counts, fields_of
from petition.outbox.states import State
from petition.report.ledger import AWAITED, CHANNELS, Entry, ledger

MOST_PEOPLE = 500  # that a table can show; of longer lists there are only numbers
_SAMPLES = 120
_PART = r"[^\s<>\"'(),;:“”@]"
_ADDRESS = re.compile(rf"{_PART}{{1,64}}@{_PART}+")  # bounded, so that a long word costs no more

# What a row calls an office. `title` is one too, unless it is a form of address.
_OFFICE = ("role", "office", "position", "title")
_ADDRESSED = frozenset(
    {"mr", "mrs", "ms", "miss", "mx", "dr", "prof", "professor", "sir", "dame", "lord", "lady"}
    | {"rev", "fr", "herr", "frau", "m", "mme", "mlle", "г-н", "г-жа", "д-р", "мырза", "ханым"}
)


@dataclass(slots=True)
class ReportedPerson:
    """A recipient, as the report may name them."""

    name: str
    office: str = ""  # a public one
    is_named: bool = True
    entries: list[Entry] = field(default_factory=list)  # one for each letter that they have
    by_demand: dict[str, Status] = field(default_factory=dict)  # "": the letter as a whole

    @property
    def is_waited_for(self) -> bool:
        """Whether they have not answered one of their letters."""
        return any(entry.is_waiting for entry in self.entries)

    @property
    def is_overdue(self) -> bool:
        """Whether an answer of theirs is overdue."""
        return any(entry.overdue for entry in self.entries)

    @property
    def days(self) -> int:
        """The most days that an answer took, or that one which is missing has taken so far."""
        counted = [one for one in self.entries if one.is_waiting] or self.entries
        return max((entry.days or 0 for entry in counted), default=0)


@dataclass(frozen=True, slots=True)
class ReportedAnswer:
    """Something that was answered."""

    name: str
    at: datetime
    channel: str
    quote: str


@dataclass(frozen=True, slots=True)
class Sample:
    """How many copies were in each state at one moment."""

    at: datetime
    states: dict[str, int]


@dataclass(slots=True)
class Figures:
    """All that a report shows."""

    title: str  # the campaign's
    made_on: date
    is_public: bool  # whether anybody may read it
    is_rehearsal: bool = False  # whether nobody received anything
    letters: list[Counts] = field(default_factory=list)
    reply_by: dict[str, date | None] = field(default_factory=dict)  # by letter
    demands: dict[str, str] = field(default_factory=dict)  # titles by id
    people: list[ReportedPerson] = field(default_factory=list)
    too_many: bool = False  # a letter went to so many that its recipients are left out
    stalls: list[ReportedAnswer] = field(default_factory=list)
    samples: list[Sample] = field(default_factory=list)
    zone: tzinfo = UTC  # the campaign's
    hidden: dict[str, str] = field(default_factory=dict)  # full names, and what replaces them

    def total(self, *states: str) -> int:
        """How many copies are in some states."""
        return sum(one[State(state)] for one in self.letters for state in states)

    @property
    def sent(self) -> list[ReportedPerson]:
        """Those to whom a letter was sent."""
        return [one for one in self.people if one.entries]

    @property
    def answered(self) -> int:
        """How many of them gave a real answer."""
        return sum(not one.is_waited_for for one in self.sent)

    @property
    def overdue(self) -> int:
        """How many answers are overdue."""
        return sum(one.is_overdue for one in self.sent)


def figures(log: Log, title: str, *, is_public: bool) -> Figures:
    """Count what a log tells; public figures have no addresses, and only names of officials."""
    found = Figures(title, log.clock().date(), is_public, log.rehearses)
    with log.at_one_moment():
        for name in dict.fromkeys(one.letter for one in frozen_letters(log)):
            found.letters.append(log.counts(name))
            if newest := log.newest(name):
                frozen = Frozen.from_json(newest.document)
                found.reply_by[name] = frozen.reply_by
                found.zone = ZoneInfo(frozen.timezone)
                for demand in frozen.demands(frozen.languages[0]):
                    found.demands.setdefault(demand["id"], demand["title"])
        found.made_on = log.clock().astimezone(found.zone).date()
        _read_people(log, found)
        found.samples = _samples(log.rows("report_steps"))
    return found


def _read_people(log: Log, found: Figures) -> None:
    people: dict[str, ReportedPerson] = {}
    small = [one.letter for one in found.letters if one.total <= MOST_PEOPLE]
    found.too_many = len(small) < len(found.letters)
    rows = (log.rows("report_people", {"letter": letter}) for letter in small)
    for row in chain.from_iterable(rows):
        person = people.setdefault(row["folded"], _person(row, len(people) + 1, found))
        if found.is_public and not person.is_named and len(row["name"].split()) > 1:
            found.hidden[_plain(row["name"])] = person.name
    found.people = list(people.values())
    for letter in small:
        book = ledger(log, letter)
        for entry in book.entries if book else ():
            if not entry.is_bounced:
                people[entry.copy.folded].entries.append(entry)
    for person in found.people:
        _judge(person, found)
    found.stalls.sort(key=lambda one: one.at)


def _person(row: dict[str, Any], number: int, found: Figures) -> ReportedPerson:
    office = office_of(fields_of(row["fields"]))
    if "@" not in row["mailbox"]:
        return ReportedPerson("somebody who was forgotten", is_named=False)
    if found.is_public and not (office and row["name"]):
        return ReportedPerson(f"Recipient {number}", is_named=False)
    name = row["name"] or row["mailbox"]
    return ReportedPerson(_public(name) if found.is_public else name, office)


def office_of(fields: dict[str, str]) -> str:
    """The public office that a row names, or ""."""
    for column in _OFFICE:
        text = " ".join(fields.get(column, "").split())
        if text and text.casefold().rstrip(".") not in _ADDRESSED:
            return _public(text)
    return ""


def _public(text: str) -> str:
    return _ADDRESS.sub("[address]", text)


def _without_names(text: str, hidden: dict[str, str]) -> str:
    """A text with some full names replaced, however they are capitalised."""
    if not hidden:
        return text
    names = (r"\s+".join(map(re.escape, name.split())) for name in hidden)
    pattern = re.compile(rf"(?<!\w)(?:{'|'.join(names)})(?!\w)", re.IGNORECASE)
    return pattern.sub(lambda match: hidden.get(_plain(match[0]), "[name]"), text)


def _plain(name: str) -> str:
    return " ".join(name.split()).casefold()


def _judge(person: ReportedPerson, found: Figures) -> None:
    """Where a person stands with all their letters together."""
    given = {one.id: one for entry in person.entries for one in entry.standing.answers}
    standing = Standing([given[number] for number in sorted(given)])
    stands = {"": standing.said()} | {one: standing.to_demand(one) for one in found.demands}
    person.by_demand = {key: one for key, one in stands.items() if one is not Status.NONE}
    found.stalls += [_stalled(person, answer, found) for answer in standing.stalls]


def _stalled(person: ReportedPerson, answer: Answer, found: Figures) -> ReportedAnswer:
    quote = answer.quote
    if found.is_public:
        quote = _without_names(_public(quote), found.hidden) if person.is_named else ""
    return ReportedAnswer(person.name, answer.at, answer.channel, quote)


def _samples(steps: Iterable[dict[str, Any]]) -> list[Sample]:
    """The states at evenly spaced moments from the first step to the last."""
    rows = [(moment(f"{row['minute']}:00+00:00"), row) for row in steps]
    if not rows:
        return []
    first, last = rows[0][0], rows[-1][0]
    last += max((last - first) / 25, timedelta(minutes=1))  # so that the last step is seen too
    width = max((last - first) / _SAMPLES, timedelta(minutes=1))
    found, states, at = [], dict[str, int](), 0
    for number in range(int((last - first) / width) + 1):
        now = first + width * number
        while at < len(rows) and rows[at][0] <= now:
            row = rows[at][1]
            if row["from_state"]:
                states[row["from_state"]] = states.get(row["from_state"], 0) - row["copies"]
            states[row["to_state"]] = states.get(row["to_state"], 0) + row["copies"]
            at += 1
        found.append(Sample(now, dict(states)))
    return found


_GROUPS = {
    "sent": (State.SENT,),
    "waiting": (State.QUEUED, State.SENDING, State.DEFERRED),
    "bounced": (State.BOUNCED,),
    "failed": (State.FAILED,),
    "uncertain": (State.UNCERTAIN,),
    "skipped": (State.SKIPPED,),
}
_STATUSES = {Status.NONE: "no answer", Status.UNCLASSIFIED: "to be classified"}
# The browser itself refuses whatever the page might ask for.
_POLICY = "default-src 'none'; style-src 'unsafe-inline'"
# HTML does not allow control characters (13.1 of its standard), and a terminal that the page is
# printed on would obey them. A quotation should show that they were there.
_SHOWN = {code: 0x2400 + code for code in range(0x20) if code not in (0x09, 0x0A)}
_SHOWN |= dict.fromkeys(range(0x7F, 0xA0), 0xFFFD)
_WIDE, _HIGH = 1000, 100  # units of a drawing, which is stretched to its place


def write(found: Figures, path: Path) -> None:
    """Write the report, replacing one that exists.

    With addresses it is readable by its owner only; a public one by everybody.

    Raises:
        PetitionError: The path is a symbolic link, or a file that is not a page.
    """
    if path.is_symlink():
        raise PetitionError(f"{path} is a symbolic link", "Name the file itself")
    if path.exists() and not _is_page(path):
        raise PetitionError(f"{path} exists already, and is not a report", "Name another file")
    handle, draft = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")  # with mode 0600
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as stream:
            stream.write(page(found))
        if found.is_public:
            Path(draft).chmod(0o644)
        Path(draft).replace(path)
    except BaseException:
        with suppress(OSError):
            Path(draft).unlink()
        raise


_BEGINNING = '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'


def _is_page(path: Path) -> bool:
    if not path.is_file():
        return False
    with path.open("rb") as file:
        return file.read(len(_BEGINNING)) == _BEGINNING.encode()


class _Html(str):
    """Markup; every other text that becomes part of an element is escaped."""

    __slots__ = ()


def _tag(name: str, *children: object, **attributes: object) -> _Html:
    """An element; empty attributes are left out, and `_` in their names is a hyphen."""
    shown = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{escape(str(value))}"'
        for key, value in attributes.items()
        if value != ""
    )
    inner = (one if isinstance(one, _Html) else escape(str(one)) for one in children)
    return _Html(f"<{name}{shown}>{''.join(inner)}</{name}>")


def page(found: Figures) -> str:
    """The report as HTML."""
    style = (files("petition.report") / "style.css").read_text(encoding="utf-8")
    kind = "rehearsal" if found.is_rehearsal else "report"
    title = _tag("title", f"{found.title}: {kind}")
    return (
        f"{_BEGINNING}"
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<meta name="color-scheme" content="light dark">\n'
        '<meta name="referrer" content="no-referrer">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">\n'
        f"{title}\n<style>\n{style}</style>\n</head>\n"
        f"<body>\n{_tag('main', *_body(found))}\n</body>\n</html>\n"
    ).translate(_SHOWN)


def _body(found: Figures) -> Iterator[_Html]:
    day = f"{found.made_on.day} {found.made_on:%B %Y}"
    summary = _tag("p", f"What became of the letters, as of {day}", class_="soft")
    if found.is_rehearsal:
        what = "This was a rehearsal: nobody received anything."
        yield _tag("p", _tag("strong", what), role="note")
    yield _tag("header", _tag("h1", found.title), summary, _tiles(found))
    yield _tag("h2", "Deliveries")
    if found.samples:
        yield _over_time(found.samples)
    yield _letters(found)
    if found.too_many:
        what = f"Letters to more than {MOST_PEOPLE} people are shown as numbers only."
        yield _tag("p", what, class_="soft")
    if found.sent:
        yield _tag("h2", "Answers")
        yield _matrix(found)
        yield _tag("h2", "Days waited")
        yield _waits(found.sent)
    if found.stalls:
        yield _tag("h2", "Stalled")
        yield from map(_stall, found.stalls)
    unanswered = ", ".join(_STATUSES.get(one, one) for one in Status if one in AWAITED)
    notes = "“Sent” means that a mail server accepted responsibility for the letter, no more."
    notes += f" Unanswered are: {unanswered}."
    notes += " People who hold no public office are not named." if found.is_public else ""
    yield _tag("footer", _tag("p", notes), class_="soft")


def _tiles(found: Figures) -> _Html:
    lost = found.total(State.BOUNCED, State.FAILED)
    tiles = [("sent", found.total(State.SENT), ""), ("not delivered", lost, "")]
    if found.sent:
        tiles += [
            ("answered", found.answered, ""),
            ("unanswered", len(found.sent) - found.answered, ""),
            ("overdue", found.overdue, "grave" if found.overdue else ""),
            ("times stalled", len(found.stalls), "grave" if found.stalls else ""),
        ]
    shown = (
        _tag("div", _tag("dt", name), _tag("dd", f"{number:,}"), class_=kind)
        for name, number, kind in tiles
    )
    return _tag("dl", *shown, class_="tiles")


def _over_time(samples: list[Sample]) -> _Html:
    """Stacked areas, each state above the one before."""
    most = max(sum(sample.states.values()) for sample in samples) or 1
    start, end = samples[0].at, samples[-1].at
    seconds = (end - start).total_seconds() or 1
    places = [_WIDE * (one.at - start).total_seconds() / seconds for one in samples]
    places[-1] = _WIDE
    bottom = [0] * len(samples)
    areas, key = [], []
    for group, states in _GROUPS.items():
        pairs = zip(bottom, samples, strict=True)
        top = [low + sum(one.states.get(state, 0) for state in states) for low, one in pairs]
        if top != bottom:
            outline = _steps(places, top, most) + _steps(places, bottom, most)[::-1]
            path = "M" + "L".join(f"{x:.1f} {y:.1f}" for x, y in outline) + "Z"
            areas.append(_tag("path", class_=group, d=path))
            square = _tag("rect", class_=group, width=1, height=1)
            swatch = _tag("svg", square, viewBox="0 0 1 1", aria_hidden="true")
            key.append(_tag("li", swatch, group))
        bottom = top
    last = sorted((state, count) for state, count in samples[-1].states.items() if count)
    numbers = ", ".join(f"{count:,} {state}" for state, count in last)
    axis = (_tag("span", f"{at:%Y-%m-%d %H:%M}") for at in (start, end))
    return _tag(
        "figure",
        _tag(
            "svg", *areas, class_="over-time", role="img", viewBox=f"0 0 {_WIDE} {_HIGH}",
            preserveAspectRatio="none",
            aria_label=f"Copies by state over time; in the end {numbers}",
        ),
        _tag("div", *axis, class_="axis soft"),
        _tag("ul", *key, class_="key"),
        _tag("figcaption", f"Copies by state over time (UTC), {most:,} in all"),
    )  # fmt: skip


def _steps(places: list[float], counts: list[int], most: int) -> list[tuple[float, float]]:
    """The line of a count, which holds until it changes: no slope between two moments."""
    points = [(x, _HIGH - _HIGH * y / most) for x, y in zip(places, counts, strict=True)]
    found = points[:1]
    for (_, before), (x, y) in pairwise(points):
        found += [(x, before), (x, y)]
    return found


def _letters(found: Figures) -> _Html:
    groups = {name: states for name, states in _GROUPS.items() if found.total(*states)}
    head = [_tag("th", name, scope="col", class_="number") for name in (*groups, "all")]
    rows = []
    for one in found.letters:
        counts = [sum(one[state] for state in states) for states in groups.values()]
        cells = [_tag("td", f"{count:,}", class_="number") for count in (*counts, one.total)]
        reply_by = found.reply_by.get(one.letter)
        small = [_tag("small", f"answer asked for by {reply_by:%Y-%m-%d}")] if reply_by else []
        rows.append(_tag("tr", _tag("th", one.letter, *small, scope="row"), *cells))
    header = _tag("thead", _tag("tr", _tag("th", "letter", scope="col"), *head))
    table = _tag("table", header, _tag("tbody", *rows))
    return _tag("div", table, class_="scroll", tabindex=0, role="region", aria_label="Letters")


def _matrix(found: Figures) -> _Html:
    columns = {"": "as a whole"} | found.demands
    head = [_tag("th", title, scope="col") for title in ("who", *columns.values())]
    rows = []
    for person in found.sent:
        office = [_tag("small", person.office)] if person.office else []
        cells = [_cell(person, key, title) for key, title in columns.items()]
        rows.append(_tag("tr", _tag("th", person.name, *office, scope="row"), *cells))
    caption = "Where each person stands, with the letter as a whole and with each demand"
    parts = (_tag("caption", caption), _tag("thead", _tag("tr", *head)), _tag("tbody", *rows))
    return _tag("table", *parts, class_="matrix")


def _cell(person: ReportedPerson, demand: str, title: str) -> _Html:
    if demand not in person.by_demand and (demand or person.by_demand):
        nothing = _tag("span", "–", class_="soft", aria_label="no answer")
        return _tag("td", nothing, class_="nothing", data_about=title)
    status = person.by_demand.get(demand, Status.NONE)
    style = f"background:var(--{status}-b);color:var(--{status}-t)"
    badge = _tag("span", _STATUSES.get(status, status), class_="badge", style=style)
    return _tag("td", badge, data_about=title)


def _waits(people: list[ReportedPerson]) -> _Html:
    most = max(one.days for one in people) or 1
    ordered = sorted(people, key=lambda one: (not one.is_waited_for, -one.days))
    return _tag("ul", *(_wait(one, most) for one in ordered), class_="waits")


def _wait(person: ReportedPerson, most: int) -> _Html:
    days = person.days
    kind = "over" if person.is_overdue else "open" if person.is_waited_for else "done"
    told = f"{days} day{'' if days == 1 else 's'}"
    told += {"done": ", answered", "over": ", overdue", "open": ""}[kind]
    bar = _tag(
        "svg",
        _tag("rect", class_="track", width=_WIDE, height=10),
        _tag("rect", class_=kind, width=f"{max(_WIDE * days / most, 4):.0f}", height=10),
        viewBox=f"0 0 {_WIDE} 10",
        preserveAspectRatio="none",
        aria_hidden="true",
    )
    late = _tag("span", told, class_="late" if kind == "over" else "")
    return _tag("li", _tag("span", person.name), bar, late)


def _stall(one: ReportedAnswer) -> _Html:
    how = f", {CHANNELS.get(one.channel, one.channel)}" if one.channel else ""
    by = _tag("footer", f"{one.name}, {one.at:%Y-%m-%d}{how}", class_="when")
    return _tag("blockquote", _tag("p", one.quote or "(no quotation)"), by)
