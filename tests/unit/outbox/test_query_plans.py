"""The queries that are asked of a long log find their rows by an index."""

import re

import pytest

from petition.outbox.database import SQLITE_SQL, Row, make_inbound_indexes, queries
from petition.outbox.enqueue import Listing
from petition.outbox.log import Log
from petition.outbox.sqlite import _with_rows
from petition.outbox.states import Mode
from tests.unit.outbox.conftest import frozen, listed, stage

pytestmark = pytest.mark.sqlite


@pytest.fixture
def long_log(log: Log) -> Log:
    """A log whose list is staged and whose choice is made, as for a run."""
    names = [f"p{number}" for number in range(50)]
    listing = Listing(log, "open")
    stage(listing, listed(*names))
    listing.carry_out(listing.compare(1, Mode.CONTINUE), "campaign", frozen())
    with log.database.transaction():
        make_inbound_indexes(log.database)
    return log


def plan_of(log: Log, name: str) -> str:
    """How SQLite would run a query; its parameters do not matter to that."""
    return "\n".join(row["detail"] for row in steps_of(log, name))


def steps_of(log: Log, name: str) -> list[Row]:
    query = queries(SQLITE_SQL)[name]
    values = dict.fromkeys(re.findall(r":(\w+)", query.text), 1)
    if not query.tables:
        return list(log.database._connection.execute(f"EXPLAIN QUERY PLAN {query.text}", values))
    [(_, columns)] = query.tables
    text, names = _with_rows(query, 40)
    places = range(40 * len(columns) + len(names))
    return list(log.database._connection.execute(f"EXPLAIN QUERY PLAN {text}", list(places)))


BY_INDEX = {
    "answers": "PRIMARY KEY",
    "answers_from": "copy_once",
    "waiting": "mail_waits",
    "events": "PRIMARY KEY",
    "compare": "copy_once",
    "choose": "copy_state",
    "chosen_states": "copy_state",
    "due": "copy_state",
    "queued": "copy_state",
    "count_ready": "copy_state",
    "counts": "COVERING INDEX copy_state",
    "next_due": "COVERING INDEX copy_state",
    "gone": "copy_state",
    "pick_gone": "copy_state",
    "copies_in": "copy_state",
    "pick_waiting": "copy_state",
    "pick_failed": "copy_state",
    "copies_to": "copy_once",
    "erase_copies": "copy_once",
    "events_to": "copy_once",
    "pick_retriable": "copy_once",
    "pick_waiting_to": "copy_once",
    "pick_unwanted": "copy_once",
    "pick_orphans": "copy_in_hand",
    "marked": "copy_in_hand",
    "has_orphans": "copy_in_hand",
    "pick_overdue": "copy_deferred",
    "pick_uncertain": "copy_uncertain",
    "slow_providers": "copy_state",
    "copies_by_selector": "copy_unsubscribe",
    "mark": "PRIMARY KEY",
    "marked_by": "PRIMARY KEY",
    "copy_by_token": "copy_token",
    "copy_by_message_id": "copy_message_id",
    "copy_by_reply": "copy_reply",
    "record": "PRIMARY KEY",
    "move": "PRIMARY KEY",
    "adopt": "PRIMARY KEY",
    "moved": "PRIMARY KEY",
    "pick_stopped": "PRIMARY KEY",
    "count_as_queued": "PRIMARY KEY",
    "chosen_persons": "PRIMARY KEY",
    "pick_left_out": "PRIMARY KEY",
}
# These walk an index that holds nothing but the rows that they ask for.
WHOLE_INDEX = {"pick_orphans", "marked", "has_orphans", "pick_uncertain"}


@pytest.mark.parametrize("name", BY_INDEX)
def test_a_query_finds_its_copies_by_an_index(long_log: Log, name: str):
    plan = plan_of(long_log, name)
    assert BY_INDEX[name] in plan
    scans = re.findall(r"SCAN copy\b.*", plan)
    assert all(name in WHOLE_INDEX and "USING" in scan for scan in scans), plan


@pytest.mark.parametrize("name", ["due", "queued", "count_ready", "counts", "next_due"])
def test_what_every_command_or_run_asks_is_not_sorted(long_log: Log, name: str):
    assert "TEMP B-TREE" not in plan_of(long_log, name)


def test_reading_ahead_begins_behind_what_was_read(long_log: Log):
    [found] = [
        row["detail"] for row in steps_of(long_log, "queued") if "copy_state" in row["detail"]
    ]
    assert "rowid>?" in found
