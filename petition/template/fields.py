"""What a letter can name: columns, demands, signatories, dates, the event, the letter before.

The filters for dates, numbers and money guess nothing: a cell that could be read in two ways, such
as 05/01/2026, is refused.
"""

import json
import re
from collections.abc import Callable, Mapping, Sequence
from copy import copy
from datetime import date, datetime
from decimal import Decimal
from functools import cached_property
from html import escape
from typing import Any, NamedTuple, Self, TypeAlias

from babel import Locale, UnknownLocaleError
from babel.dates import format_date, format_time, get_datetime_format
from babel.numbers import format_currency, format_decimal, is_currency
from jinja2 import Undefined, pass_context
from jinja2.runtime import Context

from petition.campaign.names import quoted
from petition.campaign.people import Person
from petition.errors import PetitionError


class ValueRefused(PetitionError):
    """A letter asks for what cannot be printed: its line is to blame, or `mark` in that line."""

    def __init__(self, what: str, hint: str = "", mark: str = "") -> None:
        super().__init__(what, hint)
        self.mark = mark


class CellRefused(ValueRefused):
    """A value cannot be printed in its place: its row is to blame."""


class FileRefused(CellRefused):
    """A file cannot be attached as it is: no value is to blame."""


# All C0 controls but line end and tab; half a surrogate pair, which no encoding has.
_UNPRINTABLE = re.compile(r"[\x00-\x08\x0b-\x1f\ud800-\udfff]")

# English without a country is Britain's here: 12 October 2015.
_LOCALES = {"en": "en_GB"}

Value: TypeAlias = Any  # whatever an expression can come to

DATE_FIELDS = ("iso", "year", "weekday")
DEMAND_FIELDS = ("number", "id", "title", "text")
SIGNATORY_FIELDS = ("name", "role", "organisation", "place", "country", "kind")
NEW, SINCE = "new", "since"  # of the signatories, in a follow-up
SENDER_FIELDS = ("name", "address", "reply_to", "postal_address")
CAMPAIGN_FIELDS = ("title", "id")
# What is the same in every copy, and where it is written.
SETTINGS = {"sender": "[sender]", "event": "[events]"}


class EmptyCell(str):
    """A cell without text: false in a condition, and never printed."""

    __slots__ = ("label",)

    label: str

    def __new__(cls, label: str) -> Self:
        """An empty text that knows where it is empty."""
        empty = super().__new__(cls)
        empty.label = label
        return empty


class AnyCell(EmptyCell):
    """A cell in a letter that is for everybody: empty, and printed as an ellipsis."""

    __slots__ = ()


class Everybody(dict[str, str]):
    """The cells of whoever reads an open letter: every column is there, and empty."""

    __slots__ = ()

    def __missing__(self, column: str) -> AnyCell:
        return AnyCell(f"recipient.{column}")


class Named:
    """Something whose fields a letter can name: `recipient.name`.

    Its fields are not attributes, so that a column can be called `items` or `get`. A field that is
    an empty text becomes an `EmptyCell`.
    """

    __slots__ = ("_label", "_values")

    def __init__(self, label: str, values: Mapping[str, Value]) -> None:
        self._label = label
        self._values = values

    def field(self, name: str) -> Value:
        """A field's value."""
        value = self._values[name]
        if isinstance(value, AnyCell):
            return value
        if isinstance(value, str) and (not value or value.isspace()):
            return EmptyCell(f"{self._label}.{name}")
        return value

    def __repr__(self) -> str:
        return self._label


class PrintedAlone:
    """What a paragraph of its own is made of, and no field can print."""

    __slots__ = ()

    def refusal(self) -> ValueRefused:
        """What is said of a field that prints it."""
        return _not_printed(self)


class LetterDate(Named):
    """A day; printed, it is the long date of a language."""

    __slots__ = ("__dict__", "_day", "_locale")

    def __init__(self, label: str, day: date, language: str) -> None:
        super().__init__(label, {})
        self._day = day
        self._locale = locale_of(language)

    def field(self, name: str) -> Value:
        """`iso`, `year` or `weekday`."""
        if name == "weekday":
            return format_date(self._day, "cccc", locale=self._locale)
        return {"iso": self._day.isoformat(), "year": self._day.year}[name]

    @cached_property
    def _long(self) -> str:
        return format_date(self._day, "long", locale=self._locale)

    def __str__(self) -> str:
        return self._long


# What to print for an empty cell; single quotes, since a value of the front matter has double ones.
SOME_TEXT = "'something else'"


def printed(value: Value, instead: str = SOME_TEXT) -> str:
    """A value as the text that a letter shows; `instead` is advised where a cell is empty."""
    if isinstance(value, AnyCell):
        return "…"
    if isinstance(value, EmptyCell):
        hint = f"{_filling_hint(value.label)}, or write {{{{ {value.label} or {instead} }}}}"
        raise ValueRefused(f"{value.label} is empty", hint, value.label)
    if isinstance(value, str):
        return clean(value)
    if isinstance(value, PrintedAlone):
        raise value.refusal()
    if isinstance(value, bool) or not isinstance(value, int | float | LetterDate | Undefined):
        raise _not_printed(value)
    return str(value)


def _not_printed(value: Value) -> ValueRefused:
    what = f"this is {_kind_of(value)}, and only text and numbers can be printed"
    return ValueRefused(what, "Print one of its fields, or use it in a condition or a loop")


def _filling_hint(label: str) -> str:
    """Where to write what is empty."""
    table, _, key = label.partition(".")
    if label == "sender.name":
        return 'Write from = "Name <address>" in [sender] of petition.toml'
    if table in SETTINGS:
        return f"Write {key} in {SETTINGS[table]} of petition.toml"
    return "Fill the cell"


def clean(text: str) -> str:
    r"""A text with \n for every line end; one that has other control characters is refused."""
    if is_printable(text):
        return text
    whole = text.replace("\r\n", "\n").replace("\r", "\n")
    if unseen := _UNPRINTABLE.search(whole):
        code = f"U+{ord(unseen.group()):04X}"
        raise CellRefused(f"a text contains the control character {code}", "Type the text again")
    return whole


def is_printable(text: str) -> bool:
    """Whether `clean` leaves a text as it is."""
    # Nearly all text is printable for Unicode too, and that is faster; a line end or a tab is not.
    return text.isprintable() or not _UNPRINTABLE.search(text)


def in_html(text: str) -> str:
    """What a field prints, in HTML; a field is escaped only here."""
    return escape(text)


def lines_in_html(text: str) -> str:
    """The same, with the line ends of a cell."""
    return escape(text).replace("\n", "<br>")


def _kind_of(value: Value) -> str:
    if value is None or isinstance(value, bool):
        return "nothing" if value is None else "a yes or no"
    if isinstance(value, Named):
        return f"{value!r} as a whole"
    return "a function" if callable(value) else "a list"


def locale_of(language: str) -> Locale:
    """The locale of a language tag in lower case; English for a language that Babel lacks."""
    for tag in (_LOCALES.get(language, language), language.partition("-")[0]):
        try:
            return Locale.parse(tag.replace("-", "_"))
        except (UnknownLocaleError, ValueError):
            continue
    return Locale.parse("en_GB")


def long_date(day: date, language: str) -> str:
    """A day as a language writes it: 12 October 2015."""
    return str(format_date(day, "long", locale=locale_of(language)))


def own_name(language: str) -> str:
    """What a language calls itself."""
    locale = locale_of(language)
    return str(locale.languages.get(locale.language, language))


def counted(forms: Mapping[str, str], number: int, language: str, **more: str) -> str:
    """A number in one of the forms that a language has for it, by the plural categories of CLDR.

    `{}` in a form stands for the number, and a name for one of `more`.
    """
    locale = locale_of(language)
    form = forms.get(locale.plural_form(number)) or forms["other"]
    return form.format(format_decimal(number, locale=locale), **more)


PREVIOUS = "_previous"  # beside the columns of a row, none of which begins with _
PREVIOUS_FIELDS = ("subject", "sent_on", "days", "answers", "stalls")
ANSWER_FIELDS = ("status", "demand", "channel", "quote", "on")


class Previous(NamedTuple):
    """The letter that somebody had before, and where they stand with it.

    It is kept with the fields of their row, so that a copy that was attempted once stays the same,
    whatever is answered later.
    """

    subject: str  # without the "Re:" of a follow-up
    sent_on: date
    days: int  # since then
    answers: tuple[Mapping[str, str], ...] = ()  # so far, each with `ANSWER_FIELDS`
    open_demands: tuple[str, ...] | None = None  # the ids of those not answered; None: all
    thread: tuple[str, ...] = ()  # the Message-IDs of the letters before, the latest last

    def to_json(self) -> str:
        """The same as the log keeps it."""
        values = {
            "subject": self.subject,
            "sent_on": self.sent_on.isoformat(),
            "days": self.days,
            "answers": [dict(one) for one in self.answers],
            "open": self.open_demands,
            "thread": self.thread,
        }
        return json.dumps(values, ensure_ascii=False, sort_keys=True)


def stand_in(title: str, today: date) -> Previous:
    """A stand-in for a letter that nobody has yet, so that a follow-up can be previewed."""
    stall = {"status": "stalled", "demand": "", "channel": "phone", "quote": "…"}
    return Previous(title, today, 0, ({**stall, "on": today.isoformat()},))


def thread_of(person: Person) -> tuple[str, ...]:
    """The Message-IDs of a person's letters before in this thread, the latest last."""
    kept = person.fields.get(PREVIOUS)
    return tuple(json.loads(kept)["thread"]) if kept else ()


def previous_names(
    person: Person, instead: Previous, demands: Sequence[Named], language: str
) -> dict[str, Any]:
    """What a follow-up can name for one person: `previous` and `open_demands`."""
    kept = json.loads(person.fields.get(PREVIOUS) or instead.to_json())
    answers = []
    for one in kept["answers"]:
        on = LetterDate("answer.on", date.fromisoformat(one["on"]), language)
        answers.append(Named("answer", {**one, "on": on}))
    stalls = [one for one in answers if one.field("status") == "stalled"]
    values = {
        "subject": kept["subject"],
        "sent_on": LetterDate("previous.sent_on", date.fromisoformat(kept["sent_on"]), language),
        "days": kept["days"],
        "answers": tuple(answers),
        "stalls": tuple(stalls),
    }
    is_open = [kept["open"] is None or one.field("id") in kept["open"] for one in demands]
    return {
        "previous": Named("previous", values),
        "open_demands": tuple(one for one, yes in zip(demands, is_open, strict=True) if yes),
    }


EVENT_FIELDS = ("title", "place", "url", "day", "time", "weekday", "starts", "ends")


class LetterTime(LetterDate):
    """A moment in the campaign's time zone; printed, it is the day and the time."""

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
    """The event as a letter names it."""
    starts = datetime.fromisoformat(event["starts"])
    ends = datetime.fromisoformat(event["ends"]) if event["ends"] else None
    begin = LetterTime("event.starts", starts, language)
    values: dict[str, Value] = {name: event[name] or "" for name in ("title", "place", "url")}
    values |= {"day": LetterDate("event.day", starts.date(), language), "starts": begin}
    values |= {"weekday": begin.field("weekday"), "time": begin.field("time")}
    values["ends"] = LetterTime("event.ends", ends, language) if ends else EmptyCell("event.ends")
    return Named("event", values)


_DAY = re.compile(r"(?P<y>\d{4})-(?P<m>\d\d)-(?P<d>\d\d)(?:[T ]\d\d:\d\d.{0,20})?", re.ASCII)
_DOTTED = re.compile(r"(?P<d>\d{1,2})\.(?P<m>\d{1,2})\.(?P<y>\d{4})", re.ASCII)
# A comma is taken for a thousands separator only where a point shows that it is no decimal one.
_NUMBER = re.compile(r"[-+]?(?:\d{1,15}|\d{1,3}(?:,\d{3}){1,4}(?=\.))(?:\.\d{1,10})?", re.ASCII)


def cell_filters(language_name: str) -> Mapping[str, Callable[..., Value]]:
    """The filters by name; `language_name` is what the language of the letter is called."""

    def in_language(write: Callable[..., str]) -> Callable[..., Value]:
        @pass_context
        def written(context: Context, value: Value, *arguments: Value) -> Value:
            if isinstance(value, EmptyCell):
                return value  # so that {{ recipient.since | date or "lately" }} works
            return write(value, locale_of(str(context.get(language_name, "en"))), *arguments)

        return written

    return {
        "date": in_language(_date),
        "number": in_language(_number),
        "money": in_language(_money),
    }


def _date(value: Value, locale: Locale) -> str:
    text = printed(value).strip()
    if isinstance(value, LetterDate):
        return text
    if found := _DAY.fullmatch(text) or _DOTTED.fullmatch(text):
        try:
            day = date(int(found["y"]), int(found["m"]), int(found["d"]))
        except ValueError:
            pass
        else:
            return str(format_date(day, "long", locale=locale))
    raise CellRefused(f"{quoted(text)} is not a date", "Write it as 2026-01-05")


def _number(value: Value, locale: Locale) -> str:
    number = _decimal(value)
    digits = max(-int(number.as_tuple().exponent), 0)  # as many decimals as the cell has
    pattern = copy(locale.decimal_formats[None])
    pattern.frac_prec = (digits, digits)
    return str(pattern.apply(number, locale))


def _money(value: Value, locale: Locale, currency: Value = "") -> str:
    if not isinstance(currency, str) or not is_currency(currency):
        what = f"{quoted(str(currency))} is not a currency"
        raise ValueRefused(what, 'Write it as money("GBP")')
    return str(format_currency(_decimal(value), currency, locale=locale))


def _decimal(value: Value) -> Decimal:
    text = printed(value).strip()
    if not _NUMBER.fullmatch(text):
        raise CellRefused(f"{quoted(text)} is not a number", "Write it as 1234.50")
    return Decimal(text.replace(",", ""))
