"""A new login begins with few letters and has more on each day that it sends."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from pydantic import ValidationError

from petition.campaign.pace import PaceSettings
from petition.outbox.log import Log
from petition.sending.rate_limit import Pace

BEGIN = datetime(2026, 3, 1, 23, 30, tzinfo=UTC)  # a day of letters is no day of the calendar


def test_only_days_with_letters_count(tmp_path: Path):
    hours = 0.0
    with Log(
        f"sqlite:///{tmp_path}/petition.db", clock=lambda: BEGIN + timedelta(hours=hours)
    ) as log:
        found = []
        for hours in (0.0, 1.0, 23.0, 24.0, 26.0, 72.0, 75.0):
            found.append(log.days_before("me"))
            if hours != 26.0:
                log.count_attempt("me", 1)
        assert found == [0, 0, 0, 1, 1, 2, 2]
        assert log.days_before("somebody else") == 0


def test_the_cap_grows_and_then_that_of_every_day_counts():
    pace = Pace.of(PaceSettings.model_validate({"warm_up": [2, 4, 90], "per_day": 50}), "UTC")
    assert [pace.cap(days) for days in range(5)] == [2, 4, 50, 50, 50]
    assert Pace.of(PaceSettings.model_validate({"warm_up": [2]}), "UTC").cap(1) is None
    assert Pace.of(PaceSettings.model_validate({"per_day": 7}), "UTC").cap(0) == 7


@pytest.mark.parametrize("days", [[], [0], [4, 2], ["2"], [True], 5, [1] * 101])
def test_what_is_no_schedule_is_refused(days: object):
    with pytest.raises(ValidationError, match="warm_up"):
        PaceSettings.model_validate({"warm_up": days})
