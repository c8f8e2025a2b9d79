"""Filters that write a cell as the language of the letter does: dates, numbers, money.

Nothing is guessed: a cell that could be read in two ways, such as 05/01/2026, is refused.
"""

import re
from collections.abc import Callable, Mapping
from copy import copy
from datetime import date
from decimal import Decimal

from babel import Locale
from babel.dates import format_date
from babel.numbers import format_currency, is_currency
from jinja2 import pass_context
from jinja2.runtime import Context

from petition.campaign.names import quoted
from petition.template.fields import (
    CellRefused,
    EmptyCell,
    LetterDate,
    Value,
    ValueRefused,
    locale_of,
    printed,
)

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
        what = f"money needs a currency, and {quoted(str(currency))} is none"
        raise ValueRefused(what, 'Write it as money("GBP")')
    return str(format_currency(_decimal(value), currency, locale=locale))


def _decimal(value: Value) -> Decimal:
    text = printed(value).strip()
    if not _NUMBER.fullmatch(text):
        raise CellRefused(f"{quoted(text)} is not a number", "Write it as 1234.50")
    return Decimal(text.replace(",", ""))
