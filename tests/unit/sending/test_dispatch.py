"""What workers must know of petition.toml comes back from the database as it was."""

import json
from datetime import timedelta

import pytest

from petition.campaign.pace import PaceSettings
from petition.outbox import workers
from petition.outbox.log import Log
from petition.outbox.workers import ALL, take_turn
from petition.sending.dispatch import Dispatch, LetterUnusable, Signature
from tests.servers.postgres import Postgres

PACES = [
    {},
    {"rate": "20/min", "per_day": 400, "between": "22:00-06:30"},
    {"per_domain": {"gmail.com": "2/s"}, "warm_up": [50, 100], "between": "08:00-24:00"},
    {"retry": ["5 min", "2 h"], "give_up": "3 days"},
    {"days": "mon-fri", "grace": "2 min"},
]


ZONE = '{"pace": {}, "timezone": "Europe", "keep_bytes": true, "stays_here": false}'


FORGED = {"domain": "a.example", "selector": "s\r\nX: y", "public": ""}
SIGNED = json.dumps(json.loads(ZONE) | {"timezone": "UTC", "signature": FORGED})
RUNNING = '{"pace": {}, "command": "rm -rf /"}'


@pytest.fixture
def log(postgres: Postgres):
    from petition.sending.job_queue import make_tables

    with Log(postgres.new_log()) as log:
        make_tables(log)
        yield log


@pytest.mark.parametrize("pace", PACES)
def test_a_pace_comes_back_as_it_was(log, pace):
    kept = Dispatch(PaceSettings.model_validate(pace), "Asia/Almaty", True, False)
    kept.keep(log, "open-letter")
    assert Dispatch.of(log, "open-letter") == kept


def test_who_signs_comes_back(log):
    signature = Signature("campaign.example", "s1", "v=DKIM1; k=rsa; p=abc")
    kept = Dispatch(PaceSettings(), "UTC", True, False, signature)
    kept.keep(log, "open-letter")
    assert Dispatch.of(log, "open-letter") == kept


def test_what_was_said_last_counts(log):
    for give_up in (1, 2):
        pace = PaceSettings.model_validate({"give_up": f"{give_up} days"})
        Dispatch(pace, "UTC", True, True).keep(log, "open-letter")
    assert Dispatch.of(log, "open-letter").pace.give_up == timedelta(days=2)


def keep(log: Log, letter: str, **pace: object) -> None:
    Dispatch(PaceSettings.model_validate(pace), "UTC", True, False).keep(log, letter)


def test_a_new_letter_comes_before_no_turn_that_others_wait_for(log):
    keep(log, "open-letter", rate="6/h")
    for _ in range(4):
        take_turn(log.database, ALL, 600.0)
    keep(log, "news", rate="6/h", per_day=5)
    assert take_turn(log.database, ALL, 600.0) > 2300.0
    keep(log, "slower", rate="3/h")
    assert take_turn(log.database, ALL, 1200.0) > 2900.0


@pytest.mark.parametrize("letter", ["open-letter", "news"])
def test_turns_of_a_slower_pace_are_not_waited_for(log, letter):
    keep(log, "open-letter", rate="6/h")
    for _ in range(4):
        take_turn(log.database, ALL, 600.0)
    keep(log, letter, rate="2/s")
    assert take_turn(log.database, ALL, 0.5) <= 0.5


def test_turns_that_its_workers_let_go_are_not_waited_for(log):
    keep(log, "open-letter", rate="6/h", per_day=5)
    for _ in range(4):
        take_turn(log.database, ALL, 600.0)
    keep(log, "open-letter", rate="6/h", per_day=50)
    assert take_turn(log.database, ALL, 600.0) <= 600.0


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
    workers.keep_settings(log.database, "open-letter", text, log.now)
    with pytest.raises(LetterUnusable, match="does not say how"):
        Dispatch.of(log, "open-letter")
