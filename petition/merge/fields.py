"""What a letter can name: the person's columns, the demands, the signatories, the sender, dates."""

import re
from collections.abc import Mapping
from datetime import date
from functools import cached_property
from typing import Any, Self, TypeAlias

from babel import Locale, UnknownLocaleError
from babel.dates import format_date
from jinja2 import Undefined

from petition.merge.refusals import CellRefused, ValueRefused

# All C0 controls but line end and tab; half a surrogate pair, which no encoding has.
_UNPRINTABLE = re.compile(r"[\x00-\x08\x0b-\x1f\ud800-\udfff]")

# English without a country is Britain's here: 12 October 2015.
_LOCALES = {"en": "en_GB"}

Value: TypeAlias = Any  # whatever an expression can come to

DATE_FIELDS = ("iso", "year", "weekday")
DEMAND_FIELDS = ("number", "id", "title", "text")
SIGNATORY_FIELDS = ("name", "role", "organisation", "place", "country", "kind")
SENDER_FIELDS = ("name", "address", "reply_to", "postal_address")
CAMPAIGN_FIELDS = ("title", "id")


class EmptyCell(str):
    """A cell without text: false in a condition, and never printed."""

    __slots__ = ("label",)

    label: str

    def __new__(cls, label: str) -> Self:
        """An empty text that knows where it is empty.

        Args:
            label: What a letter calls it, such as `recipient.name`.
        """
        empty = super().__new__(cls)
        empty.label = label
        return empty


class Named:
    """Something whose fields a letter can name: `recipient.name`.

    Its fields are no attributes, so that a column may be called `items` or `get`.

    Args:
        label: What the letter calls it.
        values: Its fields; an empty text becomes an `EmptyCell`.
    """

    __slots__ = ("_label", "_values")

    def __init__(self, label: str, values: Mapping[str, Value]) -> None:
        self._label = label
        self._values = values

    def field(self, name: str) -> Value:
        """A field's value.

        Raises:
            KeyError: There is no such field.
        """
        value = self._values[name]
        if isinstance(value, str) and (not value or value.isspace()):
            return EmptyCell(f"{self._label}.{name}")
        return value

    def __repr__(self) -> str:
        return self._label


class LetterDate(Named):
    """A day; printed, it is the long date of a language.

    Args:
        label: What the letter calls it.
        day: The day.
        language: The language tag of the letter.
    """

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


def printed(value: Value) -> str:
    """A value as the text that a letter shows.

    Returns:
        The text with plain line ends; markup that a template's own block has made stays markup.

    Raises:
        ValueRefused: It is empty, no text, or holds what no letter can.
        UndefinedError: There is no such thing.
    """
    if type(value) is str:
        return clean(value)
    if isinstance(value, EmptyCell):
        mend = f'Fill the cell, or write {{{{ {value.label} or "something else" }}}}'
        raise ValueRefused(f"{value.label} is empty", mend, value.label)
    if isinstance(value, str):
        return clean(value)
    if isinstance(value, bool) or not isinstance(value, int | float | LetterDate | Undefined):
        kind = "a yes or no" if isinstance(value, bool) else _kind_of(value)
        raise ValueRefused(f"this is {kind}, and only text and numbers can be printed", _MEND)
    return str(value)


_MEND = "Print one of its fields, or use it in a condition or a loop"


def clean(text: str) -> str:
    r"""A text with \n for every line end.

    Raises:
        CellRefused: It holds a control character or half of a surrogate pair.
    """
    if is_printable(text):
        return text
    whole = text.replace("\r\n", "\n").replace("\r", "\n")
    if unseen := _UNPRINTABLE.search(whole):
        code = f"U+{ord(unseen.group()):04X}"
        raise CellRefused(f"a text holds the control character {code}", "Type the text anew")
    return whole


def is_printable(text: str) -> bool:
    """Whether a text is printed as it stands: `clean` gives it back."""
    # Nearly all is printable for Unicode too, which is seen sooner; a line end and a tab are not.
    return text.isprintable() or not _UNPRINTABLE.search(text)


def _kind_of(value: Value) -> str:
    if value is None:
        return "nothing"
    if isinstance(value, Named):
        return f"{value!r} as a whole"
    return "a function" if callable(value) else "a list"


def locale_of(language: str) -> Locale:
    """How a language writes; English, where nothing is known of it.

    Args:
        language: A language tag in lower case.
    """
    for tag in (_LOCALES.get(language, language), language.partition("-")[0]):
        try:
            return Locale.parse(tag.replace("-", "_"))
        except (UnknownLocaleError, ValueError):
            continue
    return Locale.parse("en_GB")
