"""Values in the file of a log that petition never writes: a disk or another program did."""

import asyncio
import os
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from petition.errors import LogDamaged
from petition.outbox import manual
from petition.outbox.known_logs import epoch_of, id_of
from petition.outbox.log import Log
from petition.outbox.run import Run
from petition.outbox.sqlite import SqliteDatabase
from petition.outbox.states import State
from tests.unit.outbox.hand import bring_to, mark, outcome_of, record

pytestmark = pytest.mark.sqlite

_HEADER, _FRAME = 32, 24 + 4096  # bytes of a -wal (https://www.sqlite.org/fileformat2.html)


def change(path: Path, statement: str, *values: object) -> None:
    with closing(sqlite3.connect(path)) as database, database:
        assert database.execute(statement, values).rowcount > 0


@pytest.fixture
def path(log: Log, queue: Callable[..., object], tmp_path: Path) -> Path:
    """A log that is closed, with a copy that was sent and one that waits."""
    queue("ann", "bob")
    bring_to(log, "ann", State.SENT)
    manual.suppress(log, ["zoe@x.example"])
    _ = log.key
    log.close()
    return tmp_path / "petition.db"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        (name, value)
        for name in ("key", "epoch", "schema", "campaign")
        for value in ("zz", b"\xff\xfe", b"12")
        if (name, value) != ("campaign", "zz")
    ],
)
def test_what_a_log_says_of_itself_is_damaged(path: Path, name: str, value: object):
    change(path, "UPDATE meta SET value = ? WHERE name = ?", value, name)
    with pytest.raises(LogDamaged), Log(f"sqlite:///{path}") as log:
        _ = id_of(log.database), log.key, epoch_of(log.database), log.campaign_id
    with closing(sqlite3.connect(path)) as database:
        [kept] = database.execute("SELECT value FROM meta WHERE name = ?", [name]).fetchone()
    assert kept == value


def columns(path: Path) -> list[tuple[str, str, str]]:
    """The columns of all tables that have a row, and of which type they are."""
    with closing(sqlite3.connect(path)) as database:
        names = database.execute("SELECT name FROM sqlite_schema WHERE type = 'table'").fetchall()
        return [
            (table, column, kind)
            for [table] in names
            if database.execute(f"SELECT 1 FROM {table}").fetchone()
            for _, column, kind, *_ in database.execute(f"PRAGMA table_info({table})")
        ]


def test_a_value_of_another_type_is_found_in_each_column(path: Path):
    whole = path.read_bytes()
    found = columns(path)
    assert {"copy", "event", "frozen", "suppression", "meta"} <= {table for table, _, _ in found}
    for table, column, kind in found:
        if table == "meta" or column == "id" or table == "sqlite_sequence":
            continue
        path.write_bytes(whole)
        value = "text" if kind == "BLOB" else b"\xff\xfe"
        first = f"(SELECT MIN(rowid) FROM {table})"
        change(path, f"UPDATE {table} SET {column} = ? WHERE rowid = {first}", value)
        with Log(f"sqlite:///{path}") as log, pytest.raises(LogDamaged):
            log.database.examine()
    path.write_bytes(whole)
    with Log(f"sqlite:///{path}") as log:
        log.database.examine()


@pytest.fixture
def killed(log: Log, queue: Callable[..., object], tmp_path: Path) -> Path:
    """The log as a run leaves it that is killed when its letter was accepted."""
    queue("ann", "bob")
    _ = log.key

    def copy_files() -> None:
        for file in tmp_path.glob("petition.db*"):
            shutil.copy(file, file.with_name(f"killed.{file.name}"))

    async def send() -> None:
        run = Run(log, "open")
        [copy] = await run.fetch(1)
        assert await mark(run, copy)
        await record(run, outcome_of(copy, State.SENT))
        await asyncio.to_thread(copy_files)
        await run.close()

    with log.owned():
        asyncio.run(send())
    return tmp_path / "killed.petition.db"


def drops_changes(path: Path) -> bool:
    with closing(SqliteDatabase(path)) as database:
        return database.drops_changes()


def test_a_run_that_was_killed_has_lost_nothing(killed: Path):
    assert not drops_changes(killed)


@pytest.mark.parametrize("lost", range(1, 4))
def test_a_wal_that_was_cut_between_two_frames_is_noticed(killed: Path, lost: int):
    wal = killed.with_name(f"{killed.name}-wal")
    assert (wal.stat().st_size - _HEADER) % _FRAME == 0
    os.truncate(wal, wal.stat().st_size - lost * _FRAME)
    assert drops_changes(killed)


def test_damage_in_the_last_frame_is_noticed(killed: Path):
    wal = killed.with_name(f"{killed.name}-wal")
    data = bytearray(wal.read_bytes())
    data[-9] ^= 1
    wal.write_bytes(data)
    assert drops_changes(killed)


def test_a_lock_file_of_an_earlier_version_says_nothing(killed: Path):
    lock = killed.with_name(f"{killed.name}.lock")
    lock.write_text("12345\n")
    assert not drops_changes(killed)
