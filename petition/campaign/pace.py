"""[pace] of petition.toml: how fast letters may go, when, and how often they are tried."""

import re
from dataclasses import dataclass
from datetime import date, time, timedelta
from typing import Annotated, Self

from pydantic import Field, PlainValidator

from petition.campaign import validation as kinds
from petition.campaign.holidays import CODE, HOW_TO_WRITE
from petition.campaign.names import quoted
from petition.campaign.validation import SettingsTable, fault

_SECONDS = {"s": 1, "min": 60, "h": 3600}
_SPANS = _SECONDS | {"hour": 3600, "hours": 3600, "day": 86400, "days": 86400}
_LONGEST_SPAN = 30 * 86400  # seconds
_DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_LONGEST_WARM_UP = 100  # days


@dataclass(frozen=True, slots=True)
class Rate:
    """So many letters in so many seconds."""

    count: int
    seconds: int

    @property
    def interval(self) -> float:
        """Seconds from one to the next."""
        return self.seconds / self.count

    @classmethod
    def parse(cls, value: object) -> Self:
        """The rate of "10/s", "20/min" or "500/h"; for pydantic."""
        text = kinds.one_line(value)
        found = re.fullmatch(r"([0-9]{1,9})\s*/\s*(s|min|h)", text)
        if not found or int(found[1]) == 0:
            raise fault(f"{quoted(text)} is not a rate", 'Write it as "10/s", "20/min" or "500/h"')
        return cls(int(found[1]), _SECONDS[found[2]])

    def __str__(self) -> str:
        unit = next(unit for unit, seconds in _SECONDS.items() if seconds == self.seconds)
        return f"{self.count}/{unit}"


@dataclass(frozen=True, slots=True)
class Between:
    """The hours of the day in which letters go; past midnight if `start` is after `end`."""

    start: time
    end: time

    @classmethod
    def parse(cls, value: object) -> Self:
        """The hours of "08:00-20:00"; "24:00" is midnight; for pydantic."""
        text = kinds.one_line(value)
        clock = r"([01]?[0-9]|2[0-3]|24(?=:00)):([0-5][0-9])"
        found = re.fullmatch(rf"{clock}\s*-\s*{clock}", text)
        span = found and cls(
            time(int(found[1]) % 24, int(found[2])), time(int(found[3]) % 24, int(found[4]))
        )
        if not span or span.start == span.end:
            raise fault(f"{quoted(text)} is not a range of hours", 'Write it as "08:00-20:00"')
        return span

    def __str__(self) -> str:
        return f"{self.start:%H:%M}-{self.end:%H:%M}"

    def contains(self, moment: time) -> bool:
        """Whether letters go at a time of the day."""
        if self.start < self.end:
            return self.start <= moment < self.end
        return moment >= self.start or moment < self.end


@dataclass(frozen=True, slots=True)
class Weekdays:
    """The days of the week on which letters go."""

    numbers: frozenset[int]  # from Monday, 0

    @classmethod
    def parse(cls, value: object) -> Self:
        """The days of "mon-fri" or "mon, wed, sat-sun"; for pydantic."""
        text, days = kinds.one_line(value), set[int]()
        for part in re.split(r"\s*,\s*", text.lower()):
            first, dash, last = (one.strip() for one in part.partition("-"))
            if first not in _DAYS or (dash and last not in _DAYS):
                what = f"{quoted(text)} does not name days of the week"
                raise fault(what, 'Write it as "mon-fri" or "mon, wed, sat"')
            start, end = _DAYS.index(first), _DAYS.index(last or first)
            days |= {day % 7 for day in range(start, end + (1 if start <= end else 8))}
        return cls(frozenset(days))

    def __str__(self) -> str:
        return ", ".join(_DAYS[day] for day in sorted(self.numbers))

    def contains(self, day: date) -> bool:
        """Whether letters go on a day."""
        return day.weekday() in self.numbers


def _span(value: object) -> timedelta:
    text = kinds.one_line(value)
    found = re.fullmatch(r"([0-9]{1,7})\s*(s|min|h|hours?|days?)", text)
    seconds = int(found[1]) * _SPANS[found[2]] if found else 0
    if not 0 < seconds <= _LONGEST_SPAN:
        what = f"{quoted(text)} is not a duration of at most 30 days"
        raise fault(what, 'Write it as "5 min", "2 h" or "5 days"')
    return timedelta(seconds=seconds)


def _spans(value: object) -> tuple[timedelta, ...]:
    if not isinstance(value, list | tuple) or not value:
        raise fault("this is not a list of durations", 'Write it as ["5 min", "10 min", "1 h"]')
    return tuple(map(_span, value))


def _rates(value: object) -> dict[str, Rate]:
    if not isinstance(value, dict):
        raise fault("this is not a table of domains", 'Write it as { "host.org" = "2/s" }')
    return {kinds.domain_name(name): Rate.parse(rate) for name, rate in value.items()}


def _warm_up(value: object) -> tuple[int, ...]:
    days = tuple(value) if isinstance(value, list | tuple) else ()
    is_right = days and all(type(day) is int and day > 0 for day in days)
    if not is_right or len(days) > _LONGEST_WARM_UP or sorted(days) != list(days):
        what = f"this is not a list of at most {_LONGEST_WARM_UP} increasing numbers"
        raise fault(what, "Write how many letters may go each day: [200, 400, 800, 1500]")
    return days


def _holidays(value: object) -> str | bool:
    if value is True:
        return True
    if not isinstance(value, str):
        raise fault("this is no country", f"{HOW_TO_WRITE}; or omit it")
    text = kinds.one_line(value)
    if not CODE.fullmatch(text):
        what = f"{quoted(text)} is neither a country nor a part of one"
        raise fault(what, f"{HOW_TO_WRITE}; or true for each reader's own country")
    return text


_Span = Annotated[timedelta, PlainValidator(_span)]


class PaceSettings(SettingsTable):
    """[pace]: how fast letters may go, and when."""

    rate: Annotated[Rate, PlainValidator(Rate.parse)] | None = None
    per_day: int | None = Field(default=None, ge=1)
    warm_up: Annotated[tuple[int, ...], PlainValidator(_warm_up)] | None = None
    per_domain: Annotated[dict[str, Rate], PlainValidator(_rates)] = Field(default_factory=dict)
    between: Annotated[Between, PlainValidator(Between.parse)] | None = None
    days: Annotated[Weekdays, PlainValidator(Weekdays.parse)] | None = None
    # Of a calendar, or True: of each reader's own country.
    holidays: Annotated[str | bool, PlainValidator(_holidays)] | None = None
    grace: _Span | None = None
    retry: Annotated[tuple[timedelta, ...], PlainValidator(_spans)] | None = None
    give_up: _Span | None = None
