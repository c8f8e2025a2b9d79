"""What something else has put into a log is found before a letter goes anywhere."""

import asyncio
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest

from petition.errors import LogUnusable
from petition.outbox.database import make_inbound_indexes
from petition.outbox.enqueue import Listing
from petition.outbox.log import Log
from petition.outbox.run import Run
from petition.outbox.states import State
from tests.servers.postgres import Postgres
from tests.unit.outbox.kept import ask, keep

Queue = Callable[..., Listing]

DIVERT = """
    CREATE TRIGGER divert AFTER UPDATE OF state ON copy WHEN new.state = 'sending' BEGIN
        UPDATE copy SET mailbox = 'thief@evil.example' WHERE id = new.id;
    END
"""

DIVERT_IN_POSTGRESQL = """
    CREATE FUNCTION divert() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
        new.mailbox := 'thief@evil.example';
        RETURN new;
    END $$;
    CREATE TRIGGER divert BEFORE UPDATE ON copy FOR EACH ROW EXECUTE FUNCTION divert()
"""


@pytest.mark.sqlite
@pytest.mark.parametrize(
    "statement",
    [
        DIVERT,
        "CREATE VIEW people AS SELECT * FROM copy",
        "CREATE TABLE more (x)",
        "CREATE INDEX more ON copy (name)",
        "DROP INDEX copy_once",
        "ALTER TABLE copy ADD COLUMN more TEXT",
        "DROP INDEX copy_once; CREATE INDEX copy_once ON copy (folded, letter, revision, twin)",
    ],
)
def test_a_file_with_another_schema_is_refused(log: Log, queue: Queue, statement: str):
    queue("ann")
    log.close()
    with sqlite3.connect(log.url.removeprefix("sqlite:///")) as stranger:
        stranger.executescript(statement)
    stranger.close()
    with pytest.raises(LogUnusable, match=r"did not create|is damaged"):
        Log(log.url)


@pytest.mark.sqlite
def test_a_trigger_in_a_log_of_schema_8_is_refused_before_the_upgrade(tmp_path: Path):
    url = keep(f"sqlite:///{tmp_path}/petition.db")
    ask(url, DIVERT)
    with pytest.raises(LogUnusable, match="trigger divert"):
        Log(url)
    assert ask(url, "SELECT value FROM meta WHERE name = 'schema'") == [("8",)]


@pytest.mark.sqlite
def test_what_petition_and_sqlite_add_themselves_is_not_an_alteration(log: Log, queue: Queue):
    queue("ann")
    with log.database.transaction():
        make_inbound_indexes(log.database)
    log.database._connection.execute("ANALYZE")
    log.close()
    Log(log.url).close()


@pytest.mark.parametrize(
    "statements",
    [
        DIVERT_IN_POSTGRESQL,
        "CREATE RULE divert AS ON DELETE TO suppression DO INSTEAD NOTHING",
        "ALTER TABLE copy ENABLE ROW LEVEL SECURITY",
        "CREATE TABLE more () INHERITS (copy)",
        "ALTER TABLE suppression RENAME TO kept; CREATE VIEW suppression AS SELECT * FROM kept",
    ],
)
def test_what_hooks_into_a_table_of_postgresql_is_refused(postgres: Postgres, statements: str):
    url = postgres.new_log()
    Log(url).close()
    ask(url, statements)
    with pytest.raises(LogUnusable, match="did not create"):
        Log(url)


async def claim(log: Log) -> None:
    run = Run(log, "open")
    try:
        await run.fetch(10)
    finally:
        await run.close()


@pytest.mark.parametrize(
    "change",
    [
        "mailbox = 'thief@evil.example'",
        "mailbox = 'thief@evil.example', folded = 'thief@evil.example'",
        "mailbox = 'Ann@x.example'",
        "binding = NULL",
    ],
)
def test_a_row_whose_address_was_changed_is_not_sent(log: Log, queue: Queue, change: str):
    queue("ann", "bob")
    ask(log.url, f"UPDATE copy SET {change} WHERE row_id = 'ann'")
    with pytest.raises(LogUnusable, match="was altered"):
        asyncio.run(claim(log))
    assert {copy.state for copy in log.copies("open")} == {State.QUEUED}


def test_the_address_of_another_row_is_not_taken_for_its_own(log: Log, queue: Queue):
    queue("ann", "bob")
    ask(
        log.url,
        "UPDATE copy SET mailbox = (SELECT mailbox FROM copy WHERE row_id = 'bob'),"
        " binding = (SELECT binding FROM copy WHERE row_id = 'bob') WHERE row_id = 'ann'",
    )
    with pytest.raises(LogUnusable, match="was altered"):
        asyncio.run(claim(log))


@pytest.mark.sqlite
def test_the_file_of_another_program_gets_no_tables(tmp_path: Path):
    url = f"sqlite:///{tmp_path}/petition.db"
    ask(url, "CREATE TABLE photos (id)")
    with pytest.raises(LogUnusable, match="another program"):
        Log(url)
    assert ask(url, "SELECT name FROM sqlite_master") == [("photos",)]
