"""What workers must know of petition.toml comes back from the database as it was."""

import json
from datetime import timedelta

import pytest

from petition.campaign.settings import Pace
from petition.delivery import dispatch
from petition.delivery.dispatch import Dispatch, LetterUnusable, Signature
from tests.servers.postgres import Postgres

PACES = [
    {},
    {"rate": "20/min", "per_day": 400, "between": "22:00-06:30"},
    {"per_domain": {"gmail.com": "2/s"}, "warm_up": [50, 100], "between": "08:00-24:00"},
    {"retry": ["5 min", "2 h"], "give_up": "3 days"},
]


ZONE = '{"pace": {}, "timezone": "Europe", "keep_bytes": true, "stays_here": false}'


FORGED = {"domain": "a.example", "selector": "s\r\nX: y", "public": ""}
SIGNED = json.dumps(json.loads(ZONE) | {"timezone": "UTC", "signature": FORGED})
RUNNING = '{"pace": {}, "command": "rm -rf /"}'


@pytest.fixture
def log(postgres: Postgres):
    from petition.delivery.workers import make_tables
    from petition.outbox.log import Log

    with Log(postgres.new_log()) as log:
        make_tables(log)
        yield log


@pytest.mark.parametrize("pace", PACES)
def test_a_pace_comes_back_as_it_was(log, pace):
    kept = Dispatch(Pace.model_validate(pace), "Asia/Almaty", True, False)
    kept.keep(log, "open-letter")
    assert Dispatch.of(log, "open-letter") == kept


def test_who_signs_comes_back(log):
    signature = Signature("campaign.example", "s1", "v=DKIM1; k=rsa; p=abc")
    kept = Dispatch(Pace(), "UTC", True, False, signature)
    kept.keep(log, "open-letter")
    assert Dispatch.of(log, "open-letter") == kept


def test_what_was_said_last_counts(log):
    for give_up in (1, 2):
        pace = Pace.model_validate({"give_up": f"{give_up} days"})
        Dispatch(pace, "UTC", True, True).keep(log, "open-letter")
    assert Dispatch.of(log, "open-letter").pace.give_up == timedelta(days=2)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        '{"pace": {"rate": "fast"}}',
        RUNNING,
        "null",
        ZONE,
        SIGNED,
    ],
)
def test_what_no_petition_wrote_is_refused(log, text):
    dispatch.keep_settings(log.database, "open-letter", text, log.now)
    with pytest.raises(LetterUnusable, match="does not say how"):
        Dispatch.of(log, "open-letter")
