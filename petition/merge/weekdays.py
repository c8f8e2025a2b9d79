"""Days that a text writes out with their weekdays: "Monday, 28 September 2015"."""

import re
from collections.abc import Iterator
from datetime import date
from functools import cache

from petition.merge.template.fields import locale_of, weekday_patterns

_GAP = r"[,\s\u00a0\u202f]{1,3}"
_YEAR = r"(?P<year>[12][0-9]{3})"
_DAY = r"(?P<day>[0-9]{1,2})(?:st|nd|rd|th|\.)?"


def wrong_days(text: str, language: str) -> Iterator[tuple[re.Match[str], date]]:
    """The days of a text whose weekday is another one.

    Args:
        text: The text as a person reads it.
        language: Its language tag.

    Yields:
        The words, and the day that they name.
    """
    weekdays, months = weekday_patterns(language), _months(language)
    for pattern in _written(language):
        for found in pattern.finditer(text):
            month = next(number for number, name in months.items() if name.match(found["month"]))
            try:
                day = date(int(found["year"]), month, int(found["day"]))
            except ValueError:
                continue  # 31 June: not what is looked for here
            if not weekdays[day.weekday()].fullmatch(found["weekday"]):
                yield found, day


@cache
def _written(language: str) -> tuple[re.Pattern[str], ...]:
    """The orders in which a language's readers write such a day."""
    month = f"(?P<month>{'|'.join(name.pattern for name in _months(language).values())})"
    weekday = f"(?P<weekday>{'|'.join(one.pattern for one in weekday_patterns(language))})"
    mark = r"[\s\u00a0\u202f]*(?:г\.|года|ж\.|жылғы)?"
    days = (
        f"{_DAY}{_GAP}(?:of |de )?{month}{_GAP}{_YEAR}",  # 28 September 2015
        f"{month}{_GAP}{_DAY}{_GAP}{_YEAR}",  # September 28, 2015
        rf"{_YEAR}[\s\u00a0\u202f]*(?:ж\.|жылғы){_GAP}{_DAY}{_GAP}{month}",  # 2015 ж. 28 қыркүйек
    )
    orders = [f"{weekday}{_GAP}{day}" for day in days]
    orders += [f"{day}{mark}{_GAP}{weekday}" for day in days]
    return tuple(re.compile(rf"(?<!\w){order}", re.IGNORECASE) for order in orders)


@cache
def _months(language: str) -> dict[int, re.Pattern[str]]:
    names = locale_of(language).months
    return {
        number: re.compile(
            rf"(?:{re.escape(names['format']['wide'][number])}"
            rf"|{re.escape(names['stand-alone']['wide'][number])})(?!\w)",
            re.IGNORECASE,
        )
        for number in range(1, 13)
    }
