"""Weekdays in a letter that are not those of the day beside them, or of the letter's event."""

import re
from collections.abc import Iterator
from datetime import date, datetime
from functools import cache

from petition.campaign.letter import LetterText
from petition.errors import Level, Problem
from petition.template.fields import locale_of

# Languages that inflect their weekdays: the stem of each, and the endings it can have.
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

_GAP = r"[,\s\u00a0\u202f]{1,3}"
_YEAR = r"(?P<year>[12][0-9]{3})"
_DAY = r"(?P<day>[0-9]{1,2})(?:st|nd|rd|th|\.)?"


def wrong_days(text: str, language: str) -> Iterator[tuple[re.Match[str], date]]:
    """The dates of a text whose weekday is not theirs: "Friday, 28 September 2015"."""
    weekdays, months = _weekdays(language), _months(language)
    for pattern in _dates(language):
        for found in pattern.finditer(text):
            month = next(number for number, name in months.items() if name.match(found["month"]))
            try:
                day = date(int(found["year"]), month, int(found["day"]))
            except ValueError:
                continue  # 31 June: not what is looked for here
            if not weekdays[day.weekday()].fullmatch(found["weekday"]):
                yield found, day


@cache
def _dates(language: str) -> tuple[re.Pattern[str], ...]:
    """The orders in which a language writes a date with its weekday."""
    month = f"(?P<month>{'|'.join(name.pattern for name in _months(language).values())})"
    weekday = f"(?P<weekday>{'|'.join(one.pattern for one in _weekdays(language))})"
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
    found = {}
    for number in range(1, 13):
        forms = (re.escape(names[kind]["wide"][number]) for kind in ("format", "stand-alone"))
        found[number] = re.compile(rf"(?:{'|'.join(forms)})(?!\w)", re.IGNORECASE)
    return found


def wrong_event_weekdays(text: LetterText, starts: datetime) -> Iterator[Problem]:
    """The weekdays that a letter's text names and that are not its event's: a warning each."""
    names = locale_of(text.language).days["stand-alone"]["wide"]
    patterns = _weekdays(text.language)
    subject = [(text.subject_line, text.subject)]
    body = enumerate(re.split(r"\r\n?|\n", text.body), text.body_line)
    for line, words in [*subject, *body]:
        for number in range(7):
            found = patterns[number].search(words) if number != starts.weekday() else None
            if found:
                day = f"{starts:%A} ({starts:%Y-%m-%d})"
                what = f'the letter says "{found.group()}", and the event is on a {day}'
                hint = f"Write {names[starts.weekday()]} or {{{{ event.weekday }}}}, if it is meant"
                yield Problem(text.file, line, what, hint, Level.WARNING)


@cache
def _weekdays(language: str) -> tuple[re.Pattern[str], ...]:
    """How a language writes the weekdays from Monday, in all their forms."""
    primary = language.partition("-")[0]
    days = locale_of(language).days
    patterns = _INFLECTED.get(primary) or [
        "|".join(
            rf"{re.escape(days[context]['wide'][day])}\w{{0,2}}"  # "Mondays", "Montags"
            for context in ("format", "stand-alone")
        )
        for day in range(7)
    ]
    return tuple(re.compile(rf"\b(?:{pattern})\b", re.IGNORECASE) for pattern in patterns)
