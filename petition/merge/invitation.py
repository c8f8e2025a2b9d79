"""What a letter can name of its event, and whether a weekday that it names is the event's."""

import re
from collections.abc import Iterator, Mapping
from datetime import datetime
from functools import cache, cached_property
from typing import Any

from babel.dates import format_date, format_time, get_datetime_format

from petition.campaign.letter import LetterText
from petition.errors import Level, Problem
from petition.merge.fields import EmptyCell, LetterDate, Named, Value, locale_of

EVENT_FIELDS = ("title", "place", "url", "day", "time", "weekday", "starts", "ends")

_WEEKDAYS = range(7)  # from Monday, as datetime.weekday() counts
# Languages whose weekdays change their ends: what stays of each, and what may follow it.
_INFLECTED: dict[str, tuple[str, ...]] = {
    "ru": (
        *(r"понедельник\w{0,2}", r"вторник\w{0,2}", r"сред(?:а|ы|е|у|ой|ам|ами|ах)"),
        *(r"четверг\w{0,2}", r"пятниц\w{0,3}", r"суббот\w{0,3}", r"воскресень\w{1,3}"),
    ),
    "kk": (
        *(r"дүйсенбі\w{0,5}", r"сейсенбі\w{0,5}", r"сәрсенбі\w{0,5}", r"бейсенбі\w{0,5}"),
        *(r"жұма(?:да|ға|дан|ның|сы|сында|ны)?", r"сенбі\w{0,5}", r"жексенбі\w{0,5}"),
    ),
}
_ENDING = r"\w{0,2}"  # "Mondays", "Montags"


class LetterTime(LetterDate):
    """A moment; printed, it is the day and the time as a language writes them.

    Args:
        label: What the letter calls it.
        moment: The moment, in the time zone of the campaign.
        language: The language tag of the letter.
    """

    __slots__ = ("_moment",)

    def __init__(self, label: str, moment: datetime, language: str) -> None:
        super().__init__(label, moment.date(), language)
        self._moment = moment

    def field(self, name: str) -> Value:
        """`iso`, `year`, `weekday`, `day` or `time`."""
        if name == "time":
            return self._clock
        if name == "day":
            return LetterDate(f"{self._label}.day", self._day, self._locale.language)
        return self._moment.isoformat(timespec="minutes") if name == "iso" else super().field(name)

    @cached_property
    def _long(self) -> str:
        pattern = str(get_datetime_format("long", locale=self._locale)).replace("'", "")
        day = format_date(self._moment, "long", locale=self._locale)
        return pattern.replace("{1}", day).replace("{0}", self._clock)

    @property
    def _clock(self) -> str:
        return format_time(self._moment.time(), "short", locale=self._locale)


def named_event(event: Mapping[str, Any], language: str) -> Named:
    """The event as a letter names it.

    Args:
        event: The event as petition.toml has it, times in ISO 8601.
        language: The language tag of the letter.
    """
    starts = datetime.fromisoformat(event["starts"])
    ends = datetime.fromisoformat(event["ends"]) if event["ends"] else None
    begin = LetterTime("event.starts", starts, language)
    values: dict[str, Value] = {name: event[name] or "" for name in ("title", "place", "url")}
    values |= {"day": LetterDate("event.day", starts.date(), language), "starts": begin}
    values |= {"weekday": begin.field("weekday"), "time": begin.field("time")}
    values["ends"] = LetterTime("event.ends", ends, language) if ends else EmptyCell("event.ends")
    return Named("event", values)


def wrong_weekdays(text: LetterText, starts: datetime) -> Iterator[Problem]:
    """The weekdays that a letter's text names and that are not its event's: a warning each.

    Args:
        text: The text.
        starts: When the event begins.
    """
    locale = locale_of(text.language)
    names = locale.days["stand-alone"]["wide"]
    patterns = weekday_patterns(text.language)
    subject = [(text.subject_line, text.subject)]
    body = enumerate(re.split(r"\r\n?|\n", text.body), text.body_line)
    for line, words in [*subject, *body]:
        for number in _WEEKDAYS:
            found = patterns[number].search(words) if number != starts.weekday() else None
            if found:
                what = f'"{found.group()}" stands here, and the event is on a {_day(starts)}'
                mend = f"Write {names[starts.weekday()]} or {{{{ event.weekday }}}}, if it is meant"
                yield Problem(text.file, line, what, mend, Level.WARNING)


def _day(starts: datetime) -> str:
    return f"{starts:%A} ({starts:%Y-%m-%d})"


@cache
def weekday_patterns(language: str) -> tuple[re.Pattern[str], ...]:
    """How a language writes the weekdays from Monday, in all their forms.

    Args:
        language: A language tag in lower case.
    """
    primary = language.partition("-")[0]
    days = locale_of(language).days
    patterns = _INFLECTED.get(primary) or [
        "|".join(
            f"{re.escape(days[context]['wide'][day])}{_ENDING}"
            for context in ("format", "stand-alone")
        )
        for day in _WEEKDAYS
    ]
    return tuple(re.compile(rf"\b(?:{pattern})\b", re.IGNORECASE) for pattern in patterns)
