"""What a mail's copy is found by is indexed when it is first asked for, and not in a long run."""

import pytest

from petition.outbox.database import LONG_RUN, drop_inbound_indexes, make_inbound_indexes
from petition.outbox.log import Log

INDEXES = {"copy_message_id", "copy_reply", "copy_token", "copy_unsubscribe"}


def indexes_of(log: Log) -> set[str]:
    query = "SELECT name FROM sqlite_master WHERE type = 'index'"
    if log.url.startswith("postgresql"):
        query = "SELECT indexname FROM pg_indexes WHERE schemaname = current_schema()"
    rows = log.database._connection.execute(query)
    return INDEXES.intersection(row[0] for row in rows)


def test_who_asks_makes_the_indexes_once(log: Log) -> None:
    assert indexes_of(log) == set()
    for _ in range(2):
        with log.database.transaction():
            make_inbound_indexes(log.database)
        assert indexes_of(log) == INDEXES


@pytest.mark.parametrize(("copies", "left"), [(LONG_RUN - 1, INDEXES), (LONG_RUN, set())])
def test_only_a_long_run_drops_them(log: Log, copies: int, left: set[str]) -> None:
    with log.database.transaction():
        make_inbound_indexes(log.database)
        drop_inbound_indexes(log.database, copies)
    assert indexes_of(log) == left
