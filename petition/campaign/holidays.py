"""Public holidays of a country or a part of it, from the library `holidays` (extra `holidays`).

The library is loaded where somebody asks for holidays: it takes a twentieth of a second.
"""

import re
from datetime import date, timedelta
from functools import cache
from typing import TYPE_CHECKING

from petition.campaign.names import quoted
from petition.errors import PetitionError
from petition.extras import how_to_install

if TYPE_CHECKING:
    from holidays import HolidayBase

CODE = re.compile(r"[A-Z]{2}(?:-[^\W_][\w .'-]{0,40})?")  # a country, or a part: CH-GE, US-CA
HOW_TO_WRITE = 'Write a country as "CH", or a part of it as "CH-GE"'


class HolidaysUnknown(PetitionError):
    """There are no holidays by this name, or the library that knows them is not installed."""


class Calendar:
    """The public holidays of a country or a part of it.

    HolidaysUnknown if the code is not one of those that the library knows.
    """

    def __init__(self, code: str) -> None:
        try:
            from holidays import country_holidays  # noqa: PLC0415 (see above)
        except ImportError:
            what = "holidays need a part that is not installed"
            raise HolidaysUnknown(what, how_to_install("holidays")) from None
        country, _, part = code.partition("-")
        try:
            self._known: HolidayBase = country_holidays(
                country, subdiv=part or None, language="en_US"
            )
        except NotImplementedError:
            what = f"the holidays of {quoted(code)} are not known"
            raise HolidaysUnknown(what, HOW_TO_WRITE) from None
        self.code = code

    def on(self, day: date) -> str:
        """The name of the holiday on a day; empty: it is none."""
        return str(self._known.get(day) or "")

    def is_working_day(self, day: date) -> bool:
        """Whether a day is neither a holiday nor in the weekend of that country."""
        return bool(self._known.is_working_day(day))


@cache
def calendar(code: str) -> Calendar:
    """The holidays of `CH` or `CH-GE`; HolidaysUnknown if there are none."""
    return Calendar(code)


def after_working_days(start: date, number: int, code: str | None) -> date:
    """The last of so many working days after `start`: Monday to Friday, or those of a calendar.

    HolidaysUnknown if there is no such calendar.
    """
    known = calendar(code) if code else None
    day = start
    while number:
        day += timedelta(days=1)
        number -= known.is_working_day(day) if known else day.weekday() < 5
    return day
