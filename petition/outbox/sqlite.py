"""The log in a file of this machine: SQLite. The only door to sqlite3.

SQLite in WAL mode with synchronous=FULL: a commit that returned survives the loss of power, as far
as the disk honours fsync (https://www.sqlite.org/pragma.html#pragma_synchronous).
"""

import json
import os
import re
import sqlite3
import stat
import struct
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from functools import cache
from itertools import chain, count
from operator import lt
from pathlib import Path

from petition.errors import LogDamaged, LogUnusable
from petition.outbox.database import (
    INDEXING,
    PATIENCE,
    SQLITE_SQL,
    Database,
    Query,
    Row,
    Values,
    altered,
    queries,
    schema,
    tables,
)
from petition.outbox.log_file import (
    explained_file,
    is_owned,
    is_writable,
    keep_last,
    last_kept,
    make_private,
    ownership,
    refuse_foreign,
    size,
    sync,
)
from petition.outbox.upgrades import bring_up_to_date, newest

_BUSY_SECONDS = 10
_CACHE_KIBIBYTES = 4 * 1024  # many times as much makes queueing a million a sixth faster
_OLDEST_SQLITE = (3, 35, 0)  # RETURNING
_ROWS = 64  # at a time; a statement is kept prepared for each number of rows up to that
_STATEMENTS = 256  # that are kept prepared
APPLICATION_ID = 0x70657469  # "peti": whose the file is (https://www.sqlite.org/pragma.html)
_MAGIC = b"SQLite format 3\0"
_ID_AT = slice(68, 72)  # of the header (https://www.sqlite.org/fileformat.html#database_header)
# What a log had before it had an application id. No other program has all of them.
_OLD_TABLES = {"meta", "frozen", "copy", "event", "attempt", "suppression"}
# A rollback journal that ends so names a further file, which SQLite deletes after the rollback.
_NAMES_ANOTHER = bytes.fromhex("d9d505f920a163d7")
_LAST_ROWS = (
    "SELECT (SELECT COALESCE(MAX(id), 0) FROM event), (SELECT COALESCE(MAX(id), 0) FROM attempt)"
)
_PARAMETER = re.compile(r"(?P<quoted>'(?:[^']|'')*')|:(?P<name>\w+)")


class SqliteDatabase(Database):
    """A log in a file.

    Args:
        path: The file; where it may not be written to, it is only looked at.
        looks: Make no log, and change neither the kind of an old one nor its rights.

    Raises:
        LogUnusable: It cannot be opened, is not ours, or was made by a newer petition.
    """

    def __init__(self, path: Path, *, looks: bool = False) -> None:
        _require_sqlite()
        self.path = path
        self.looks = looks
        self.where = str(path)
        self.read_only = not is_writable(path)
        self._wal = path.with_name(path.name + "-wal")
        self.found_changes = size(self._wal) > 0
        self._queries = queries(SQLITE_SQL)
        self._texts = {name: query.text for name, query in self._queries.items()}
        self._hindrance: LogUnusable | None = None
        self._lock: int | None = None  # the lock file, while this connection owns the log
        try:
            self._open()
        except LogUnusable as fault:
            self._open_for_reading(fault)

    def _open(self) -> None:
        with explained(self.path):
            if not is_there(self.path) and self.looks:
                raise _no_log(self.path)
            if not self.read_only and not self.looks:
                make_private(self.path)
            self._connection = _connect(self.path, "mode=ro" if self.read_only else "mode=rw")
            try:
                self._prepare()
            except BaseException:
                self._connection.close()
                raise

    def _open_for_reading(self, fault: LogUnusable) -> None:
        """Open a log that is whole without its side files, where these cannot be made.

        In a read-only folder or on a full disk SQLite cannot make them; to look at the log they
        are not needed, as long as no change waits in one of them.
        """
        code = getattr(fault.__cause__, "sqlite_errorcode", 0) & 0xFF
        if code not in _NO_ROOM | _NO_RIGHT or not size(self.path):
            raise fault
        if size(self.path.with_name(self.path.name + "-wal")):
            raise LogUnusable(
                f"{self.path.name} cannot be read here: its last changes are in"
                f" {self.path.name}-wal, and taking them in needs a folder that can be written to",
                "Copy both files to such a folder, or make room on the disk",
            ) from fault
        self.read_only, self._hindrance = True, fault
        if code in _NO_RIGHT:
            self._hindrance = _read_only(self.path)
        with explained(self.path):
            self._connection = _connect(self.path, "mode=ro&immutable=1")
            if not self._is_made():  # there was no room to make it
                raise fault
            self._prepare()

    def _prepare(self) -> None:
        if not self.read_only:
            if not self.looks:
                if not self._is_made():
                    self._claim()  # before WAL, so that the header itself has it
                # WAL first: it is what lets `status` look while `send` writes.
                _patiently(self._connection, "PRAGMA journal_mode = WAL")
            self._connection.execute("PRAGMA synchronous = FULL")
            self._connection.execute("PRAGMA foreign_keys = ON")
            if sys.platform == "darwin":  # there fsync alone leaves the disk's cache unwritten
                self._connection.execute("PRAGMA fullfsync = ON")
        self._refuse_added()
        if not self._is_made():
            self._create()
        self.upgraded = bring_up_to_date(self)
        if not (self.read_only or self.looks):
            self._claim()
        self.run("moving_table")

    def _claim(self) -> None:
        """Say in the file whose it is: logs of before have no id."""
        if self._connection.execute("PRAGMA application_id").fetchone()[0] == APPLICATION_ID:
            return
        try:
            self._connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        except sqlite3.OperationalError as fault:
            if fault.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY:  # else the next one does it
                raise

    def _is_made(self) -> bool:
        found = self._connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'meta'")
        return found.fetchone() is not None

    def _create(self) -> None:
        if self.read_only or self.looks:
            raise _no_log(self.path)
        with self.transaction():
            if self._is_made():  # by another process, a moment ago
                return
            for statement in schema(SQLITE_SQL):
                self._connection.execute(statement)
            self.run("set_meta", {"name": "schema", "value": str(newest())})
            self.refuse_altered()  # what is there besides is another program's

    def _refuse_added(self) -> None:
        """Refuse what no schema of ours has, before anything is asked of the log."""
        found = "SELECT type, name FROM sqlite_master WHERE type NOT IN ('table', 'index')"
        for kind, name in self._connection.execute(found):
            raise altered(self.where, f"{kind} {name}")

    def refuse_altered(self) -> None:
        """Compare the whole schema with ours."""
        ours, optional = _own_schema()
        there = set()
        rows = self._connection.execute("SELECT type, name, sql FROM sqlite_master")
        for kind, name, sql in rows:
            is_of_sqlite = sql is None if kind == "index" else name in _OF_SQLITE
            if not is_of_sqlite and (ours | optional).get(name) != _bare(sql or ""):
                raise altered(self.where, f"{kind} {name}")
            there.add(name)
        if missing := sorted(ours.keys() - there):
            raise LogDamaged(f"{self.path.name} is damaged: {', '.join(missing)} is not there")

    def run(self, name: str, values: Values | None = None) -> int:
        """Run a query that changes something, and count the rows that it changed."""
        with self._explained():
            return self._execute(name, values).rowcount

    def run_many(self, name: str, values: Iterable[Values | Sequence[object]]) -> int:
        """Run a query once for each of many sets of parameters; lists are none of them."""
        with self._explained():
            return self._connection.executemany(self._texts[name], values).rowcount

    def run_rows(self, name: str, rows: Sequence[Sequence[object]], values: Values) -> int:
        """Run a query by a table of rows, in one statement for some of them at a time.

        Once for each row would be slower, and would ask for Python's lock as often.
        """
        query, changed = self._queries[name], 0
        for begin in range(0, len(rows), _ROWS):
            some = rows[begin : begin + _ROWS]
            text, names = _with_rows(query, len(some), len(some[0]))
            places = [*chain.from_iterable(some), *(values[one] for one in names)]
            with self._explained():
                changed += self._connection.execute(text, places).rowcount
        return changed

    def one(self, name: str, values: Values | None = None) -> Row | None:
        """The first row of a query's answer, or None."""
        with self._explained():
            row: Row | None = self._execute(name, values).fetchone()
        return row

    def all(self, name: str, values: Values | None = None) -> list[Row]:
        """All rows of a query's answer."""
        with self._explained():
            return self._execute(name, values).fetchall()

    def each(self, name: str, values: Values | None = None) -> Iterator[Row]:
        """The rows of a query's answer, one at a time."""
        with self._explained():
            # No `yield from`: it would close the cursor where nobody wants the rest, which SQLite
            # refuses when the connection was closed before.
            for row in self._execute(name, values):  # noqa: UP028
                yield row

    def _execute(self, name: str, values: Values | None) -> sqlite3.Cursor:
        query = self._queries[name]
        if query.lists and values:
            values = {**values, **{one: json.dumps(values[one]) for one in query.lists}}
        return self._connection.execute(query.text, values or {})

    @contextmanager
    def _explained(self) -> Iterator[None]:
        """SQLite's errors alone: where a block reads other files too, theirs are not the log's."""
        try:
            yield
        except (sqlite3.Error, UnicodeDecodeError) as fault:
            raise _unusable(self.path, fault) from fault

    def drops_changes(self) -> bool:
        """Whether a damaged or shortened `-wal` hides what was committed last."""
        if not self.found_changes or is_owned(self.path):
            return False
        with explained(self.path):
            is_behind = any(map(lt, self._last_rows(), last_kept(self.path)))
            return is_behind or _drops_frames(self._wal)

    def _last_rows(self) -> list[int]:
        """The newest event and attempt: whatever a run commits, it adds one or the other."""
        return list(self._connection.execute(_LAST_ROWS).fetchone())

    def examine(self) -> None:
        """Read every page, and compare each index with its table.

        `quick_check` would leave the indexes out, and a row that its index does not find is queued
        once more.
        """
        with self._explained():
            [found] = self._connection.execute("PRAGMA integrity_check(1)").fetchone()
            if found == "ok":
                found = next(self._mistyped(), "ok")
        if found != "ok":
            raise LogDamaged(f"{self.path.name} is damaged: {found.splitlines()[-1]}")

    def _mistyped(self) -> Iterator[str]:
        """Tables with values of another type than their columns: SQLite takes any."""
        for table in tables():
            columns = self._connection.execute(f"PRAGMA table_info({table})").fetchall()
            is_other = " OR ".join(
                f"typeof({column['name']}) NOT IN ('{column['type'].lower()}', 'null')"
                for column in columns
            )
            found = f"SELECT 1 FROM {table} WHERE {is_other} LIMIT 1"  # noqa: S608 (our own names)
            if self._connection.execute(found).fetchone():
                yield f"values of a wrong type in {table}"

    @contextmanager
    def transaction(self, *, temporary: bool = False) -> Iterator[None]:
        """All of it or nothing; SQLite itself lets one write at a time."""
        if self._hindrance and not temporary:
            raise self._hindrance
        with explained(self.path):
            self._connection.execute("BEGIN" if temporary else "BEGIN IMMEDIATE")
            try:
                yield
                self._connection.execute("COMMIT")
            except BaseException:
                if self._connection.in_transaction:
                    self._connection.execute("ROLLBACK")
                raise
        if self._lock is not None and not temporary:
            with suppress(OSError, sqlite3.Error):  # it is committed all the same
                keep_last(self._lock, self._last_rows())

    def _command(self, text: str) -> None:
        with self._explained():
            self._connection.execute(text)

    @property
    def _is_in_transaction(self) -> bool:
        return self._connection.in_transaction

    @contextmanager
    def copy_kept(self, name: str) -> Iterator[str | None]:
        """Within a transaction: keep a copy of the file beside it, unless the block fails."""
        copy = _free_name(self.path, name)
        partial = copy.with_name(f"{copy.name}.partial")
        try:
            with explained(copy):
                partial.unlink(missing_ok=True)
                make_private(partial)
                # By another connection, for VACUUM is not for a transaction. It sees what was
                # committed, and ours lets nobody else write.
                with closing(_connect(self.path, "mode=ro")) as reader:
                    reader.execute("VACUUM INTO ?", [str(partial)])
                sync(partial)
                partial.rename(copy)
                sync(copy.parent)
            yield str(copy)
        except BaseException:
            partial.unlink(missing_ok=True)
            copy.unlink(missing_ok=True)
            raise

    def survey(self, table: str) -> None:
        """Count nothing: the plans of SQLite do not depend on it."""

    def renumber(self) -> None:
        """Number new rows behind those that are there, as SQLite does by itself."""

    def scrub(self) -> None:
        """Leave nothing of what was deleted: not in the file's free pages, not in its WAL.

        The file is written anew, for what was freed earlier was not overwritten.
        """
        if self._hindrance:
            raise self._hindrance
        with explained(self.path):
            self._connection.execute("PRAGMA secure_delete = ON")
            self._connection.execute("VACUUM")
            is_busy = self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0]
        if is_busy:
            raise LogUnusable(
                f"another command is reading {self.path.name}, which keeps what was erased in"
                f" {self.path.name}-wal",
                "Run the same command again when it has ended",
            )

    @contextmanager
    def ownership(self, patience: float = PATIENCE) -> Iterator[None]:
        """Own the log while the block runs, by the lock beside its file."""
        with ownership(self.path, patience) as lock:
            self._lock = lock
            try:
                yield
            finally:
                self._lock = None

    def is_busy(self, fault: BaseException) -> bool:
        """Whether nothing but another process that writes stood in the way."""
        cause = fault.__cause__
        # The lower byte is the kind of the error (https://www.sqlite.org/rescode.html).
        return isinstance(cause, sqlite3.OperationalError) and (
            cause.sqlite_errorcode & 0xFF in {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED}
        )

    @property
    def hindrance(self) -> LogUnusable | None:
        """What keeps the log from being written to although no other process owns it."""
        if not self.read_only or is_owned(self.path):
            return None
        return self._hindrance or _read_only(self.path)

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()


def _drops_frames(wal: Path) -> bool:
    """Whether SQLite leaves out frames of a `-wal` because one before them is damaged.

    It says nothing of a wrong checksum and takes that frame for the end. What an earlier round
    left behind the end has another salt; a process killed in mid-frame left none behind it.
    (https://www.sqlite.org/fileformat2.html#the_write_ahead_log)
    """
    with wal.open("rb") as file:
        header = file.read(32)
        if len(header) < 32:
            return True
        order = ">" if header[3] & 1 else "<"
        length = 24 + int.from_bytes(header[8:12], "big")
        sums = _checksum(header[:24], (0, 0), order)
        if header[24:] != struct.pack(">II", *sums) or length > 24 + 65536:
            return True
        is_whole = True
        while len(frame := file.read(length)) == length and frame[8:16] == header[16:24]:
            if not is_whole:
                return True
            sums = _checksum(frame[:8] + frame[24:], sums, order)
            is_whole = frame[16:24] == struct.pack(">II", *sums)
    return False


def _checksum(data: bytes, sums: tuple[int, int], order: str) -> tuple[int, int]:
    one, two = sums
    for even, odd in struct.iter_unpack(f"{order}II", data):
        one = (one + even + two) & 0xFFFFFFFF
        two = (two + odd + one) & 0xFFFFFFFF
    return one, two


def is_there(path: Path) -> bool:
    """Whether a file is a log; a file with nothing in it is not.

    Nothing is written for it, not even the files that SQLite keeps beside a database while it
    reads it: the file may be another program's.
    """
    with explained(path):
        refuse_foreign(path)
        _refuse_trap(path.with_name(f"{path.name}-journal"))
        try:
            handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
        except FileNotFoundError:
            return False
        with os.fdopen(handle, "rb") as file:
            header = file.read(100) if stat.S_ISREG(os.fstat(handle).st_mode) else b"a device"
        if not header:
            return False
        if not header.startswith(_MAGIC):
            raise LogUnusable(
                f"{path.name}: file is not a database; it is damaged, or not a log of petition",
                "Restore it from a copy if it was one; else move it away",
            )
        number = int.from_bytes(header[_ID_AT], "big")
        if number == APPLICATION_ID:
            return True
        tables = _tables(path) if not number else {"of another program"}
    if tables and not tables >= _OLD_TABLES:
        raise LogUnusable(
            f"{path.name} is not a log of petition: it belongs to another program",
            "Name another file in [log] database, or move this one away",
        )
    return bool(tables)


def _tables(path: Path) -> set[str]:
    """The names of a database's tables, read without touching anything beside it."""
    found: set[str] = set()
    # Of a run that was killed early all may be in the -wal, which "immutable" leaves aside; and
    # with "readonly_shm" it can be read only where SQLite's shared memory is still there.
    for how in ("immutable=1", "mode=ro&readonly_shm=1"):
        with suppress(sqlite3.Error), closing(_connect(path, how)) as connection:
            rows = connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")
            found |= {row[0] for row in rows}
        if found:
            break
    return found


def _refuse_trap(journal: Path) -> None:
    """Refuse a rollback journal by which SQLite would delete a file of the journal's choice."""
    with suppress(FileNotFoundError), journal.open("rb") as file:
        file.seek(max(0, os.fstat(file.fileno()).st_size - len(_NAMES_ANOTHER)))
        if file.read() == _NAMES_ANOTHER:
            raise LogUnusable(
                f"{journal.name} was left by another program: it names a further file",
                "Ask whoever gave you the folder for the log alone, without that file",
            )


def _no_log(path: Path) -> LogUnusable:
    return LogUnusable(
        f"there is no log in {path.name}", "The first letter that is queued makes it"
    )


@contextmanager
def explained(path: Path) -> Iterator[None]:
    """Turn what SQLite says of a file into what a person can do about it."""
    try:
        with explained_file(path):
            yield
    except (sqlite3.Error, UnicodeDecodeError) as fault:
        raise _unusable(path, fault) from fault


def _unusable(path: Path, fault: sqlite3.Error | UnicodeDecodeError) -> LogUnusable:
    if isinstance(fault, UnicodeDecodeError):  # in a message of SQLite that quotes the file
        return LogDamaged(f"{path.name} is damaged, or not a log of petition")
    text = str(fault)
    if isinstance(fault, sqlite3.ProgrammingError | sqlite3.NotSupportedError):
        raise fault  # of the program: nothing is wrong with the file
    for sign, advice in _ADVICE.items():
        if sign in text:
            return LogUnusable(f"{path.name}: {text}", advice)
    return LogDamaged(f"{path.name}: {text}: it is damaged, or not a log of petition")


_NO_ROOM = {sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR}
_NO_RIGHT = {sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY}
_ADVICE = {
    "full": "Free some space on the disk and run the same command again",
    "disk I/O": "Look whether the disk is full or failing, then run the same command again",
    "readonly": "Give yourself the right to write to it",
    "read-only": "Give yourself the right to write to it",
    "unable to open": "Look whether the folder is there and is yours",
    "locked": "Wait until the other petition command has ended",
}


# What SQLite itself makes; all else with a name is ours.
_OF_SQLITE = frozenset({"sqlite_sequence", "sqlite_stat1", "sqlite_stat4"})
_MADE = re.compile(r"CREATE (?:UNIQUE )?(?:TABLE|INDEX) (?:IF NOT EXISTS )?(\w+)")


@cache
def _own_schema() -> tuple[dict[str, str], dict[str, str]]:
    """What a log consists of, by name, and what else may be there: indexes that come and go."""
    now_and_then = (queries(SQLITE_SQL)[name].text for name in INDEXING)
    return _by_name(schema(SQLITE_SQL)), _by_name(now_and_then)


def _by_name(statements: Iterable[str]) -> dict[str, str]:
    return {found[1]: _bare(one) for one in statements if (found := _MADE.match(one))}


def _bare(sql: str) -> str:
    """A statement without what SQLite leaves out or an upgrade writes otherwise."""
    return re.sub(r"\s|IF NOT EXISTS ", "", sql)


def _free_name(path: Path, name: str) -> Path:
    """A name beside a log that no file has yet: `petition.schema-8.db`."""
    numbers = chain([""], (f"-{number}" for number in count(2)))
    names = (path.with_name(f"{path.stem}.{name}{number}{path.suffix}") for number in numbers)
    return next(one for one in names if not one.exists())


def _connect(path: Path, how: str) -> sqlite3.Connection:
    connection = sqlite3.connect(
        f"{path.absolute().as_uri()}?{how}",
        uri=True,
        isolation_level=None,  # transactions are ours to begin
        check_same_thread=False,  # the committer's thread writes for the run
        cached_statements=_STATEMENTS,
    )
    connection.row_factory = sqlite3.Row
    # What a stranger has put into the file calls no function that does anything.
    connection.execute("PRAGMA trusted_schema = OFF")
    connection.execute(f"PRAGMA busy_timeout = {_BUSY_SECONDS * 1000}")
    connection.execute(f"PRAGMA cache_size = -{_CACHE_KIBIBYTES}")
    return connection


@cache
def _with_rows(query: Query, rows: int, width: int) -> tuple[str, list[str]]:
    """A query with numbered places: for the values of so many rows, then for its parameters."""
    names: list[str] = []

    def put(found: re.Match[str]) -> str:
        if found["quoted"]:
            return found["quoted"]
        if found["name"] != query.table:
            if found["name"] not in names:
                names.append(found["name"])
            return f"?{rows * width + names.index(found['name']) + 1}"
        begins = range(1, rows * width, width)
        one_by_one = (
            ", ".join(f"?{begin + at}" for at in range(query.columns)) for begin in begins
        )
        return ", ".join(f"({one})" for one in one_by_one)

    return _PARAMETER.sub(put, query.text), names


def _patiently(connection: sqlite3.Connection, statement: str) -> None:
    """Run a statement that SQLite's own patience (busy_timeout) is not for: a change of mode."""
    deadline = time.monotonic() + _BUSY_SECONDS
    while True:
        try:
            connection.execute(statement)
        except sqlite3.OperationalError as fault:
            is_busy = fault.sqlite_errorcode & 0xFF == sqlite3.SQLITE_BUSY
            if not is_busy or time.monotonic() > deadline:
                raise
            time.sleep(0.01)
        else:
            return


def _require_sqlite() -> None:
    if sqlite3.sqlite_version_info < _OLDEST_SQLITE:
        oldest = ".".join(map(str, _OLDEST_SQLITE))
        raise LogUnusable(
            f"the log needs SQLite {oldest}, and this Python brings {sqlite3.sqlite_version}",
            "Use a newer Python",
        )


def _read_only(path: Path) -> LogUnusable:
    return LogUnusable(
        f"{path.name} cannot be written to here",
        "Give yourself the right to write to it and to its folder",
    )
