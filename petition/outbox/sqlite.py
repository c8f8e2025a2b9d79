"""The log in a local file: SQLite.

SQLite in WAL mode with synchronous=FULL: a commit that returned survives a power loss, as far as
the disk honours fsync (https://www.sqlite.org/pragma.html#pragma_synchronous).
"""

import json
import os
import re
import sqlite3
import struct
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from functools import cache
from itertools import chain, islice, repeat
from operator import lt
from pathlib import Path
from urllib.parse import quote

from petition import system
from petition.errors import LogDamaged, LogUnusable
from petition.outbox import database, log_file
from petition.outbox.database import Database, Query, Row, Values, Written
from petition.outbox.upgrades import bring_up_to_date, newest

_BUSY_SECONDS = 10
_CACHE_KIBIBYTES = 4 * 1024  # many times more makes queueing a million a sixth faster
_OLDEST_SQLITE = (3, 35, 0)  # RETURNING
_ROWS = 64  # in one statement; one is kept prepared for each number of rows
_STATEMENTS = 256  # that are kept prepared
APPLICATION_ID = 0x70657469  # "peti": whose the file is (https://www.sqlite.org/pragma.html)
_MAGIC = b"SQLite format 3\0"
_ID_AT = slice(68, 72)  # of the header (https://www.sqlite.org/fileformat.html#database_header)
# Logs of early versions have no application id, but these tables; no other program has all.
_OLD_TABLES = {"meta", "frozen", "copy", "event", "attempt", "suppression"}
# A rollback journal with this end names another file, which SQLite deletes after the rollback.
_NAMES_ANOTHER = bytes.fromhex("d9d505f920a163d7")
_PARAMETER = re.compile(r"(?P<quoted>'(?:[^']|'')*')|:(?P<name>\w+)")

# The logs that this process has open, by device and inode. None of them is opened beside SQLite:
# closing it again would free SQLite's locks, and another process that takes itself for the last one
# would delete the `-wal` (https://sqlite.org/howtocorrupt.html, 2.2).
_OPEN: Counter[tuple[int, int] | None] = Counter()


def _identity(path: Path) -> tuple[int, int] | None:
    with suppress(OSError):
        found = path.stat()
        return found.st_dev, found.st_ino
    return None


class SqliteDatabase(Database):
    """A log in a file; LogUnusable if it cannot be opened, is not ours, or of a newer version."""

    def __init__(self, path: Path, *, looks: bool = False) -> None:
        _require_sqlite()
        self.path = path
        self.looks = looks
        self.where = str(path)
        self.read_only = not log_file.is_writable(path)
        self._wal = path.with_name(path.name + "-wal")
        self.found_changes = log_file.size(self._wal) > 0
        self._queries = database.queries(database.SQLITE_SQL)
        self._texts = {name: query.text for name, query in self._queries.items()}
        self._hindrance: LogUnusable | None = None
        self._lock: int | None = None  # the lock file, while this connection owns the log
        try:
            self._open()
        except LogUnusable as fault:
            self._open_for_reading(fault)
        self._file: tuple[int, int] | None = _identity(path)
        _OPEN[self._file] += 1

    def _open(self) -> None:
        with explained(self.path):
            if not is_there(self.path) and self.looks:
                raise _no_log(self.path)
            if not self.read_only and not self.looks:
                log_file.make_private(self.path)
            self._connection = _connect(self.path, "mode=ro" if self.read_only else "mode=rw")
            try:
                self._prepare()
            except BaseException:
                self._connection.close()
                raise

    def _open_for_reading(self, fault: LogUnusable) -> None:
        """Open a log without its side files, which a read-only folder or a full disk prevents."""
        code = getattr(fault.__cause__, "sqlite_errorcode", 0) & 0xFF
        if code not in _NO_ROOM | _NO_RIGHT or not log_file.size(self.path):
            raise fault
        if log_file.size(self.path.with_name(self.path.name + "-wal")):
            raise LogUnusable(
                f"{self.path.name} cannot be read here: its last changes are in"
                f" {self.path.name}-wal, and to apply them SQLite needs a writable folder",
                "Copy both files to such a folder, or free some space on the disk",
            ) from fault
        self.read_only, self._hindrance = True, fault
        if code in _NO_RIGHT:
            self._hindrance = _read_only(self.path)
        with explained(self.path):
            self._connection = _connect(self.path, "mode=ro&immutable=1")
            if not self._is_made():  # there was no space to create it
                raise fault
            self._prepare()

    def _prepare(self) -> None:
        if not self.read_only:
            if not self.looks:
                if not self._is_made():
                    self._claim()  # before WAL, so that it is in the header
                # WAL lets `status` read while `send` writes.
                _patiently(self._connection, "PRAGMA journal_mode = WAL")
            self._connection.execute("PRAGMA synchronous = FULL")
            self._connection.execute("PRAGMA foreign_keys = ON")
            # On macOS fsync does not flush the disk's cache; elsewhere this changes nothing.
            self._connection.execute("PRAGMA fullfsync = ON")
        self._refuse_added()
        if not self._is_made():
            self._create()
        self.upgraded = bring_up_to_date(self)
        if not (self.read_only or self.looks):
            self._claim()
            log_file.make_private(self.path)  # its -wal too, which Windows leaves to the folder
        self.run("moving_table")

    def _claim(self) -> None:
        """Mark the file as ours; logs of early versions have no application id."""
        if self._connection.execute("PRAGMA application_id").fetchone()[0] == APPLICATION_ID:
            return
        try:
            self._connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        except sqlite3.OperationalError as fault:
            # If the log is busy, the next command does it.
            if fault.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY:
                raise

    def _is_made(self) -> bool:
        found = self._connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'meta'")
        return found.fetchone() is not None

    def _create(self) -> None:
        if self.read_only or self.looks:
            raise _no_log(self.path)
        with self.transaction():
            if self._is_made():  # by another process meanwhile
                return
            for statement in database.schema(database.SQLITE_SQL):
                self._connection.execute(statement)
            self.run("set_meta", {"name": "schema", "value": str(newest())})
            self.refuse_altered()  # any other table is another program's

    def _refuse_added(self) -> None:
        """Refuse what no schema of ours has, before any query."""
        found = "SELECT type, name FROM sqlite_master WHERE type NOT IN ('table', 'index')"
        for kind, name in self._connection.execute(found):
            raise database.altered(self.where, f"{kind} {name}")

    def refuse_altered(self) -> None:
        """Compare the whole schema with ours."""
        ours, optional = _own_schema()
        there = set()
        rows = self._connection.execute("SELECT type, name, sql FROM sqlite_master")
        for kind, name, sql in rows:
            is_of_sqlite = sql is None if kind == "index" else name in _OF_SQLITE
            if not is_of_sqlite and (ours | optional).get(name) != _bare(sql or ""):
                raise database.altered(self.where, f"{kind} {name}")
            there.add(name)
        if missing := sorted(ours.keys() - there):
            raise LogDamaged(f"{self.path.name} is damaged: {', '.join(missing)} is missing")

    def run(self, name: str, values: Values | None = None) -> int:
        with self._explained():
            return self._execute(name, values).rowcount

    def run_many(self, name: str, values: Iterable[Values | Sequence[object]]) -> int:
        with self._explained():
            return self._connection.executemany(self._texts[name], values).rowcount

    def run_rows(self, name: str, rows: Sequence[Sequence[object]], values: Values) -> int:
        """Run a query by some rows at a time: one by one is slower, and takes the GIL as often."""
        with self._explained():
            return sum(cursor.rowcount for cursor in self._run_rows(name, rows, values))

    def _run_rows(
        self, name: str, rows: Sequence[Sequence[object]], values: Values
    ) -> Iterator[sqlite3.Cursor]:
        query = self._queries[name]
        for begin in range(0, len(rows), _ROWS):
            some = rows[begin : begin + _ROWS]
            text, names = _with_rows(query, len(some))
            places = [*(values[one] for one in names), *chain.from_iterable(some)]
            yield self._connection.execute(text, places)

    def write_all(self, rows: Written, values: Values, also: Values | None = None) -> set[int]:
        """Write each kind by one statement, as far as `_ROWS` reaches."""
        del also  # no workers here
        with self.joined(self.transaction), self._explained():
            changed = {row[0] for cur in self._run_rows("record", rows.done, values) for row in cur}
            marked = {row[0] for cur in self._run_rows("mark", rows.marks, values) for row in cur}
            changed |= marked
            events = rows.events
            if len(changed) < len(rows.done) + len(rows.marks):
                events = [event for event in events if event[0] in changed]
            self.run_rows("log_events", events, values)
            if marked:
                recipients = sum(mark.recipients for mark in rows.marks if mark.copy in marked)
                self.run("add_attempt", {**values, "recipients": recipients})
        return changed

    def one(self, name: str, values: Values | None = None) -> Row | None:
        with self._explained():
            row: Row | None = self._execute(name, values).fetchone()
        return row

    def all(self, name: str, values: Values | None = None) -> list[Row]:
        with self._explained():
            return self._execute(name, values).fetchall()

    def each(self, name: str, values: Values | None = None) -> Iterator[Row]:
        with self._explained():
            # Not `yield from`: an abandoned generator would close the cursor, which SQLite refuses
            # once the connection is closed.
            for row in self._execute(name, values):  # noqa: UP028
                yield row

    def _execute(self, name: str, values: Values | None) -> sqlite3.Cursor:
        query = self._queries[name]
        if query.lists and values:
            values = {**values, **{one: json.dumps(values[one]) for one in query.lists}}
        return self._connection.execute(query.text, values or {})

    @contextmanager
    def _explained(self) -> Iterator[None]:
        """Only SQLite's errors: a block may read other files too."""
        try:
            yield
        except (sqlite3.Error, UnicodeDecodeError) as fault:
            raise _unusable(self.path, fault) from fault

    def drops_changes(self) -> bool:
        """Whether a damaged or shortened `-wal` lost what was committed last."""
        if not self.found_changes or log_file.is_owned(self.path):
            return False
        with explained(self.path):
            is_behind = any(map(lt, self.one("last_rows") or (), log_file.last_kept(self.path)))
            return is_behind or _drops_frames(self._wal)

    def examine(self) -> None:
        """Read every page, and compare each index with its table: `quick_check` does not."""
        with self._explained():
            [found] = self._connection.execute("PRAGMA integrity_check(1)").fetchone()
            if found == "ok":
                found = next(self._mistyped(), "ok")
        if found != "ok":
            raise LogDamaged(f"{self.path.name} is damaged: {found.splitlines()[-1]}")

    def _mistyped(self) -> Iterator[str]:
        """Tables with values of another type than their columns: SQLite takes any."""
        for table in database.tables():
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
        """All or nothing; SQLite itself allows one writer at a time."""
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
            with suppress(OSError, LogUnusable):  # it is committed all the same
                log_file.keep_last(self._lock, self.one("last_rows") or ())

    def _command(self, text: str) -> None:
        with self._explained():
            self._connection.execute(text)

    @property
    def _is_in_transaction(self) -> bool:
        return self._connection.in_transaction

    @contextmanager
    def copy_kept(self, name: str) -> Iterator[str | None]:
        copy = log_file.free_name(self.path, name)
        partial = copy.with_name(f"{copy.name}.partial")
        try:
            with explained(copy):
                partial.unlink(missing_ok=True)
                log_file.make_private(partial)
                # By another connection: VACUUM is not allowed in a transaction. It sees what was
                # committed, and nobody else can write meanwhile.
                with closing(_connect(self.path, "mode=ro")) as reader:
                    reader.execute("VACUUM INTO ?", [str(partial)])
                system.sync_path(partial)
                partial.rename(copy)
                system.sync_path(copy.parent)
            yield str(copy)
        except BaseException:
            partial.unlink(missing_ok=True)
            copy.unlink(missing_ok=True)
            raise

    def survey(self, table: str) -> None:
        """Do nothing: SQLite's plans do not depend on it."""

    def renumber(self) -> None:
        """Do nothing: SQLite numbers new rows after the highest id."""

    def scrub(self) -> None:
        """Rewrite the file and its WAL: pages that were freed earlier were not overwritten."""
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
                "Wait until it has ended, then run the same command again",
            )

    @contextmanager
    def ownership(self, patience: float = database.PATIENCE) -> Iterator[None]:
        """Own the log while the block runs, by the lock beside its file."""
        with log_file.ownership(self.path, patience, database.PAUSE) as lock:
            self._lock = lock
            try:
                yield
            finally:
                self._lock = None

    def is_busy(self, fault: BaseException) -> bool:
        cause = fault.__cause__
        # The lower byte is the kind of the error (https://www.sqlite.org/rescode.html).
        return isinstance(cause, sqlite3.OperationalError) and (
            cause.sqlite_errorcode & 0xFF in {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED}
        )

    @property
    def hindrance(self) -> LogUnusable | None:
        if not self.read_only or log_file.is_owned(self.path):
            return None
        return self._hindrance or _read_only(self.path)

    def close(self) -> None:
        self._connection.close()
        _OPEN[self._file] -= 1
        self._file = None


def _drops_frames(wal: Path) -> bool:
    """Whether SQLite ignores frames of a `-wal` because one before them is damaged."""
    # It takes a frame with a wrong checksum for the end, without an error. Frames that an earlier
    # round left there have another salt; a process killed while writing a frame left none after it.
    # (https://www.sqlite.org/fileformat2.html#the_write_ahead_log)
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
    """Whether a file is a log, without SQLite's side files: the file may be another program's."""
    with explained(path):
        log_file.refuse_foreign(path)
        _refuse_trap(path.with_name(f"{path.name}-journal"))
        if (known := _identity(path)) and _OPEN[known] > 0:
            return True
        try:
            handle = system.open_file(path, os.O_RDONLY)
        except FileNotFoundError:
            return False
        with os.fdopen(handle, "rb") as file:
            header = file.read(100)
        if not header:
            return False
        if not header.startswith(_MAGIC):
            raise LogUnusable(
                f"{path.name} is not a database: it is damaged, or not a log of petition",
                "Restore it from a backup if it was a log; otherwise move it away",
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
    """The names of the tables, read without touching anything beside the file."""
    found: set[str] = set()
    # After a run that was killed early everything may be in the -wal, which "immutable" ignores;
    # "readonly_shm" reads it only if SQLite's shared memory file is still there.
    for how in ("immutable=1", "mode=ro&readonly_shm=1"):
        with suppress(sqlite3.Error), closing(_connect(path, how)) as connection:
            rows = connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")
            found |= {row[0] for row in rows}
        if found:
            break
    return found


def _refuse_trap(journal: Path) -> None:
    """Refuse a rollback journal by which SQLite would delete a file that the journal names."""
    with suppress(FileNotFoundError), journal.open("rb") as file:
        file.seek(max(0, os.fstat(file.fileno()).st_size - len(_NAMES_ANOTHER)))
        if file.read() == _NAMES_ANOTHER:
            raise LogUnusable(
                f"{journal.name} was left by another program: it names another file",
                "Ask the person who gave you the folder for the log without that file",
            )


def _no_log(path: Path) -> LogUnusable:
    return LogUnusable(
        f"there is no log in {path.name}", "It is created when the first letter is queued"
    )


@contextmanager
def explained(path: Path) -> Iterator[None]:
    """Turn an error of SQLite into what a person can do about it."""
    try:
        with log_file.explained_file(path):
            yield
    except (sqlite3.Error, UnicodeDecodeError) as fault:
        raise _unusable(path, fault) from fault


def _unusable(path: Path, fault: sqlite3.Error | UnicodeDecodeError) -> LogUnusable:
    if isinstance(fault, UnicodeDecodeError):  # of a message that quotes the file
        return LogDamaged(f"{path.name} is damaged, or not a log of petition")
    text = str(fault)
    if isinstance(fault, sqlite3.ProgrammingError | sqlite3.NotSupportedError):
        raise fault  # an internal error: the file is fine
    for sign, advice in _ADVICE.items():
        if sign in text:
            return LogUnusable(f"{path.name}: {text}", advice)
    return LogDamaged(f"{path.name}: {text}: it is damaged, or not a log of petition")


_NO_ROOM = {sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR}
_NO_RIGHT = {sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY}
_ADVICE = {
    "full": "Free some space on the disk and run the same command again",
    "disk I/O": "Check whether the disk is full or failing, then run the same command again",
    "readonly": "Give yourself write access to it",
    "read-only": "Give yourself write access to it",
    "unable to open": "Check that the folder exists and is yours",
    "locked": "Wait until the other petition command has ended",
}


# What SQLite creates itself; everything else must be ours.
_OF_SQLITE = frozenset({"sqlite_sequence", "sqlite_stat1", "sqlite_stat4"})
_MADE = re.compile(r"CREATE (?:UNIQUE )?(?:TABLE|INDEX) (?:IF NOT EXISTS )?(\w+)")


@cache
def _own_schema() -> tuple[dict[str, str], dict[str, str]]:
    """The schema of a log, by name, and the indexes that may be missing."""
    now_and_then = (database.queries(database.SQLITE_SQL)[name].text for name in database.INDEXING)
    return _by_name(database.schema(database.SQLITE_SQL)), _by_name(now_and_then)


def _by_name(statements: Iterable[str]) -> dict[str, str]:
    return {found[1]: _bare(one) for one in statements if (found := _MADE.match(one))}


def _bare(sql: str) -> str:
    """A statement without spaces and what SQLite or an upgrade writes differently."""
    return re.sub(r"\s|IF NOT EXISTS ", "", sql)


def _connect(path: Path, how: str) -> sqlite3.Connection:
    # Of `\\\\server\\folder` as_uri makes file://server/folder, but SQLite takes no servers.
    name = path.absolute().as_posix()
    connection = sqlite3.connect(
        f"file://{'' if name.startswith('/') else '/'}{quote(name)}?{how}",
        uri=True,
        isolation_level=None,  # transactions are ours to begin
        check_same_thread=False,  # the committer's thread writes for the run
        cached_statements=_STATEMENTS,
    )
    connection.row_factory = sqlite3.Row
    # A schema from somebody else calls no function that does anything.
    connection.execute("PRAGMA trusted_schema = OFF")
    connection.execute(f"PRAGMA busy_timeout = {_BUSY_SECONDS * 1000}")
    connection.execute(f"PRAGMA cache_size = -{_CACHE_KIBIBYTES}")
    return connection


@cache
def _with_rows(query: Query, rows: int) -> tuple[str, list[str]]:
    """A query with places for values: for those of these parameters, then of so many rows."""
    [(table, columns)] = query.tables
    found = (one["name"] for one in _PARAMETER.finditer(query.text))
    names = [name for name in dict.fromkeys(found) if name not in {None, table}]
    # Only the first has a number: SQLite compares each number with all others before it.
    places = chain([f"?{len(names) + 1}"], repeat("?"))
    values = (", ".join(islice(places, len(columns))) for _ in range(rows))
    instead = {name: f"?{number}" for number, name in enumerate(names, 1)}
    instead[table] = ", ".join(f"({one})" for one in values)
    return _PARAMETER.sub(lambda it: it["quoted"] or instead[it["name"]], query.text), names


def _patiently(connection: sqlite3.Connection, statement: str) -> None:
    """Run a change of the journal mode, which `busy_timeout` does not cover."""
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
            f"the log needs SQLite {oldest}, and this Python has {sqlite3.sqlite_version}",
            "Use a newer Python",
        )


def _read_only(path: Path) -> LogUnusable:
    return LogUnusable(
        f"{path.name} cannot be written to here",
        "Give yourself write access to it and to its folder",
    )
