"""Holidays by their calendar, and what is counted in working days."""

from datetime import date

import pytest

from petition.campaign.holidays import HolidaysUnknown, after_working_days, calendar
from petition.campaign.letter import FrontMatter, WorkingDays


def test_a_part_of_a_country_has_its_own_holidays():
    second = date(2026, 1, 2)
    assert not calendar("CH").on(second)
    assert calendar("CH-VD").on(second)


@pytest.mark.parametrize("code", ["XX", "CH-XX", "  "])
def test_a_calendar_that_is_not_known_is_refused(code: str):
    with pytest.raises(HolidaysUnknown):
        calendar(code)


@pytest.mark.parametrize(
    ("start", "number", "code", "end"),
    [
        (date(2026, 12, 18), 5, None, date(2026, 12, 25)),
        (date(2026, 12, 18), 5, "GB-ENG", date(2026, 12, 29)),
        (date(2026, 12, 19), 1, None, date(2026, 12, 21)),
        # The weekend of the United Arab Emirates is Saturday and Sunday, that of Israel is not.
        (date(2026, 11, 5), 1, "AE", date(2026, 11, 6)),
        (date(2026, 11, 5), 1, "IL", date(2026, 11, 8)),
    ],
)
def test_working_days_are_those_of_the_calendar(
    start: date, number: int, code: str | None, end: date
):
    assert after_working_days(start, number, code) == end


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("1 working day", WorkingDays(1, None)),
        ("10 working days in CH-GE", WorkingDays(10, "CH-GE")),
        ("10 working days in KZ", WorkingDays(10, "KZ")),
    ],
)
def test_front_matter_asks_for_working_days(text: str, meant: WorkingDays):
    assert FrontMatter.model_validate({"subject": "A", "reply_by": text}).reply_by == meant
