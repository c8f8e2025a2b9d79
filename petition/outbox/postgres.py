"""The log in a server's database: PostgreSQL. The only module that imports psycopg.

It behaves as SQLite does: one process writes at a time, in transactions that see everything that
was committed before, and a commit is on the disk. One log is one schema, the first of
`search_path`.

The lock of an owner (`Database.ownership`) belongs to the session that also writes: who has lost
the lock cannot write any more.
"""

import json
import logging
import re
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, closing, contextmanager, suppress
from functools import cache
from itertools import chain
from typing import Any, cast

import psycopg
from psycopg import errors
from psycopg.adapt import Buffer, Dumper
from psycopg.pq import TransactionStatus
from psycopg.types.string import StrDumperUnknown

from petition.database_url import with_tls
from petition.errors import LogAway, LogBusy, LogUnusable
from petition.outbox import database
from petition.outbox.database import Database, Row, Values, Written
from petition.outbox.upgrades import bring_up_to_date, newest

_OLDEST = 130000  # PostgreSQL 13
_FETCHED = 1000  # rows at a time, where there may be millions
_SETTINGS = ("no_time_limit", "settings", "no_idle_limit")  # of each connection, in this order
_OF_WORKERS = ("worker", "dispatch", "turn")
_INSERTED = re.compile(r"INSERT INTO (\w+) \(([^)]*)\)\s+VALUES \((?:%s,\s*)*%s\)")


# A connection that ends amid a pipeline is reported by our own error alone.
logging.getLogger("psycopg").addHandler(logging.NullHandler())


class _Bool(Dumper):
    """A boolean as the number that the log keeps it as."""

    oid = psycopg.adapters.types["int2"].oid

    def dump(self, obj: bool) -> Buffer:
        return b"1" if obj else b"0"


class _Text(StrDumperUnknown):
    """A text; NUL, which PostgreSQL cannot store, becomes the replacement character."""

    def dump(self, obj: str) -> Buffer | None:
        return super().dump(obj.replace("\0", "\ufffd") if "\0" in obj else obj)


def _json(columns: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """Rows as a JSON array of objects, as `json_to_recordset` reads it."""
    text = _encode([dict(zip(columns, row, strict=True)) for row in rows])
    if "\\u0000" in text:  # as in _Text
        clean = [[_without_nul(one) for one in row] for row in rows]
        text = _encode([dict(zip(columns, row, strict=True)) for row in clean])
    return text


def _hex(value: object) -> str:
    if isinstance(value, bytes | memoryview):
        return f"\\x{value.hex()}"
    raise TypeError(f"a {type(value).__name__} is no value of a row")


_encode = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), default=_hex).encode


def _without_nul(value: object) -> object:
    return value.replace("\0", "\ufffd") if isinstance(value, str) else value


class _Row(tuple[Any, ...]):
    """A row of a result: its values in order, and by the names of their columns."""

    __slots__ = ()
    columns: Mapping[str, int]

    def __getitem__(self, key: Any) -> Any:  # noqa: ANN401
        return tuple.__getitem__(self, self.columns[key] if isinstance(key, str) else key)

    def keys(self) -> list[str]:
        """The names of its columns, in order."""
        return list(self.columns)


def _rows(cursor: psycopg.Cursor[Any]) -> Callable[[Sequence[Any]], Any]:
    return _kind_of_row(tuple(column.name for column in cursor.description or ()))


@cache
def _kind_of_row(names: tuple[str, ...]) -> type[_Row]:
    columns = {name: place for place, name in enumerate(names)}
    return type("Row", (_Row,), {"__slots__": (), "columns": columns})


class PostgresDatabase(Database):
    """A log on a server; LogUnusable if it cannot be reached, is not ours, newer or not durable."""

    def __init__(self, url: str, *, looks: bool = False) -> None:
        self.where = database.where(url)
        self.looks = looks
        self._is_standby = False
        self._queries = database.queries(database.POSTGRESQL_SQL)
        self._connection = _connect(url, self.where)
        try:
            self._prepare()
        except BaseException:
            self._connection.close()
            raise

    def _prepare(self) -> None:
        promises = self.one("promises")
        assert promises is not None  # noqa: S101 (a SELECT without FROM has one row)
        self._check(promises)
        self.read_only = promises["read_only"] == "on"
        self._is_standby = bool(promises["is_standby"])
        if not self.one("is_made"):
            self._create()
        self.upgraded = bring_up_to_date(self)
        if not self.read_only:
            self.run("moving_table")

    def refuse_altered(self) -> None:
        """Look for what is attached to our tables, and changes or hides rows."""
        for row in self.all("altered", {"tables": [*database.tables(), *_OF_WORKERS]}):
            raise database.altered(self.where, row[0])

    def _check(self, promises: Row) -> None:
        """Refuse a server that is not durable, or cannot store every name."""
        self._require_durable(promises)
        if promises["encoding"] != "UTF8":
            raise LogUnusable(
                f"{self.where} stores text as {promises['encoding']}",
                "Create a database with ENCODING 'UTF8'",
            )
        if int(promises["version"]) < _OLDEST:
            raise LogUnusable(
                f"{self.where} is older than PostgreSQL 13", "Use PostgreSQL 13 or newer"
            )
        if promises["schema"] is None:
            raise _no_schema(self.where)

    def _require_durable(self, settings: Row) -> None:
        for setting in ("synchronous_commit", "fsync"):
            if settings[setting] == "off":
                raise LogUnusable(
                    f"{self.where} has {setting} = off: committed changes can be lost, and a letter"
                    " could go out twice",
                    f"Set {setting} = on for this database",
                )

    def _create(self) -> None:
        if self.read_only or self.looks:
            raise LogUnusable(f"there is no log in {self.where}", "Name another database")
        with self.transaction():
            if self.one("is_made"):  # by another process meanwhile
                return
            for statement in database.schema(database.POSTGRESQL_SQL):
                self._connection.execute(statement.encode())
            self.run("index_queued")
            self.run("set_meta", {"name": "schema", "value": str(newest())})

    def run(self, name: str, values: Values | None = None) -> int:
        return self._execute(name, values).rowcount

    def run_many(self, name: str, values: Iterable[Values | Sequence[object]]) -> int:
        """Run a query once for each of many sets of parameters; plain rows go by COPY."""
        text = self._queries[name].text
        with self._explained(), self._connection.cursor() as cursor:
            if found := _INSERTED.fullmatch(text):
                with cursor.copy(f"COPY {found[1]} ({found[2]}) FROM STDIN".encode()) as copy:
                    for row in values:
                        copy.write_row(row)  # type: ignore[arg-type]  # those of `?` are in order
                return cursor.rowcount
            rows = iter(values)
            if (first := next(rows, None)) is None:
                return 0
            cursor.executemany(text.encode(), chain([first], rows))
            return cursor.rowcount

    def run_rows(self, name: str, rows: Sequence[Sequence[object]], values: Values) -> int:
        """Run a query by a table of rows."""
        return self._execute(name, {**values, **self._tables(name, rows)}).rowcount

    def _tables(self, name: str, *tables: Sequence[Sequence[object]]) -> dict[str, str]:
        """The tables of a query, in order, as parameters."""
        named = zip(self._queries[name].tables, tables, strict=True)
        return {table: _json(columns, rows) for (table, columns), rows in named}

    def write_all(self, rows: Written, values: Values, also: Values | None = None) -> set[int]:
        """Write it by one statement, and without an open transaction in one round trip.

        The bytes of letters follow each by its own: as JSON they would take many times their size.
        """
        kept = [
            {"copy": mark.copy, "bytes": mark.bytes, "owner": values["owner"]}
            for mark in rows.marks
            if mark.bytes is not None
        ]
        if kept:
            rows = rows._replace(marks=[mark._replace(bytes=None) for mark in rows.marks])
        values = {**values, **self._tables("write_all", *rows)}
        with self._explained():
            if self._is_in_transaction:
                written = self._write(values, kept, also)
            else:
                # Without BEGIN what one pipeline sends is one transaction.
                with self._connection.pipeline():
                    settings = self._connection.execute(_text("share"))
                    written = self._write(values, kept, also)
                self._require_durable(cast("Row", settings.fetchone()))
            return {row[0] for row in written}

    def _write(
        self, values: Values, kept: Sequence[Values], also: Values | None
    ) -> psycopg.Cursor[Any]:
        written = self._connection.execute(_text("write_all"), values)
        for one in kept:
            self._connection.execute(_text("keep_bytes"), one)
        if also:
            self._connection.execute(_text("count_work"), also)
        return written

    def one(self, name: str, values: Values | None = None) -> Row | None:
        row: Row | None = self._execute(name, values).fetchone()
        return row

    def all(self, name: str, values: Values | None = None) -> list[Row]:
        found: list[Row] = self._execute(name, values).fetchall()
        return found

    def each(self, name: str, values: Values | None = None) -> Iterator[Row]:
        """The rows of a result, fetched some at a time."""
        cursor: psycopg.ServerCursor[Any] = self._connection.cursor(
            f"each_{name}_{time.monotonic_ns()}", withhold=True, row_factory=_rows
        )
        cursor.itersize = _FETCHED
        try:
            with self._explained():
                cursor.execute(_text(name), values or {})
                yield from cursor
        finally:
            with suppress(psycopg.Error):  # the connection may have failed
                cursor.close()

    def _execute(self, name: str, values: Values | None) -> psycopg.Cursor[Any]:
        with self._explained():
            return self._connection.execute(_text(name), values)

    def transaction(self, *, temporary: bool = False) -> AbstractContextManager[None]:
        """All or nothing; an advisory lock allows one writer at a time."""
        return self._transaction("begin_looking" if temporary else "begin_writing")

    def shared_transaction(self) -> AbstractContextManager[None]:
        """All or nothing, beside others of its kind, each on rows of its own."""
        return self._transaction("begin_sharing")

    @contextmanager
    def _transaction(self, begin: str) -> Iterator[None]:
        if self.read_only and begin != "begin_looking":
            raise self._unwritable()
        with self._explained():
            try:
                # Unprepared: a prepared statement is one statement.
                begun = self._connection.execute(_text(begin), prepare=False)
                if begin != "begin_looking":
                    while begun.nextset():
                        pass
                    self._require_durable(cast("Row", begun.fetchone()))
                yield
                self._connection.execute(b"COMMIT")
            except BaseException:
                if self._is_in_transaction:
                    self._connection.execute(b"ROLLBACK")
                raise

    def _command(self, text: str) -> None:
        with self._explained():
            self._connection.execute(text.encode())

    @property
    def _is_in_transaction(self) -> bool:
        return self._connection.info.transaction_status in {
            TransactionStatus.INTRANS,
            TransactionStatus.INERROR,
        }

    def survey(self, table: str) -> None:
        """Run ANALYZE: autovacuum does so only a while after the transaction."""
        self._command(f"ANALYZE {table}")

    def renumber(self) -> None:
        """Number new rows after the highest id."""
        for table in (table for table, columns in database.tables().items() if "id" in columns):
            sequence = f"pg_get_serial_sequence('{table}', 'id')"
            last = f"SELECT COALESCE(MAX(id), 0) + 1 FROM {table}"  # noqa: S608 (our own names)
            self._command(f"SELECT setval({sequence}, ({last}), false)")

    def scrub(self) -> None:
        """Rewrite the tables. The WAL and the backups are the server administrator's."""
        for table in database.tables():
            self._command(f"VACUUM FULL {table}")

    @property
    def takes_workers(self) -> bool:
        return True

    def install(self, statements: str) -> None:
        with self._explained():
            self._connection.execute(statements.encode(), prepare=False)

    @contextmanager
    def ownership(self, patience: float = database.PATIENCE) -> Iterator[None]:
        """Own the log while the block runs, by a lock that ends with this connection."""
        deadline = time.monotonic() + patience
        while not self.value("own"):
            if time.monotonic() > deadline:
                raise self._busy()
            time.sleep(database.PAUSE)
        try:
            yield
        finally:
            with suppress(LogUnusable):  # else it ends with the connection
                self.one("disown")

    def _busy(self) -> LogBusy:
        """Name who is in the way: a command that ends by itself, or workers, which do not."""
        row = self.one("owner")
        who = f" (connection {row['pid']} from {row['client']})" if row else ""
        if row and row["is_shared"]:
            return LogBusy(
                f"petition worker{who} is sending from {self.where}",
                "Nothing was done. Stop all workers first, or use send --workers",
            )
        return LogBusy(
            f"another petition command{who} is sending from {self.where}",
            "Wait until it has ended; nothing was done here",
        )

    def is_busy(self, fault: BaseException) -> bool:
        return isinstance(fault.__cause__, errors.LockNotAvailable | errors.DeadlockDetected)

    def close(self) -> None:
        self._connection.close()

    @contextmanager
    def _explained(self) -> Iterator[None]:
        with _explained(self.where):
            try:
                yield
            except errors.ReadOnlySqlTransaction as fault:
                raise self._unwritable() from fault

    def _unwritable(self) -> LogUnusable:
        if self._is_standby:
            return LogUnusable(
                f"{self.where} can only be read: it is a standby server",
                "Name the primary server",
            )
        return LogUnusable(
            f"{self.where} can only be read: default_transaction_read_only is on for this login,"
            " this database or the server",
            "Set it to off for this login (ALTER ROLE ... SET default_transaction_read_only = off),"
            " or name another login",
        )


@contextmanager
def _explained(name: str) -> Iterator[None]:
    try:
        yield
    except psycopg.Error as fault:
        advice = (text for kind, text in _ADVICE if isinstance(fault, kind))
        raise LogUnusable(f"{name}: {said(fault)}", next(advice, "See the server's log")) from fault


def _text(query: str) -> bytes:
    return database.queries(database.POSTGRESQL_SQL)[query].text.encode()


def is_there(url: str) -> bool:
    """Whether there is a log in a database."""
    name = database.where(url)
    with closing(_connect(url, name)) as connection, _explained(name):
        promises, found = (
            connection.execute(_text(each)).fetchone() for each in ("promises", "is_made")
        )
    assert promises is not None  # noqa: S101 (a SELECT without FROM has one row)
    if promises["schema"] is None:
        raise _no_schema(name)
    return found is not None


async def settle(connection: psycopg.AsyncConnection[Any]) -> None:
    """Give an idle connection of the job library the settings of a log's connection."""
    for name in _SETTINGS:
        await connection.execute(_text(name))
    await connection.commit()


def is_of_server(fault: BaseException) -> bool:
    """Whether an error comes from a database server, or from the network to it."""
    return isinstance(fault, psycopg.Error)


def _no_schema(name: str) -> LogUnusable:
    """PostgreSQL hides a schema that is misspelt or that this login may not use."""
    return LogUnusable(
        f"{name} has no schema that its search_path names and this login may use",
        "Create it, name another, or grant this login USAGE on it",
    )


def _connect(url: str, name: str) -> psycopg.Connection[Any]:
    try:
        connection: psycopg.Connection[Any] = psycopg.connect(
            with_tls(url),
            autocommit=True,  # transactions are ours to begin
            row_factory=_rows,
            client_encoding="utf8",
            fallback_application_name="petition",
        )
    except psycopg.OperationalError as fault:
        hint = "Check that the server is running, and that address, name and password are right"
        raise LogAway(f"{name}: {said(fault)}", hint) from fault
    except psycopg.Error:
        # libpq's message would quote the address, with the password.
        raise LogUnusable(
            f"{name} is not an address that PostgreSQL's library can read",
            "Write it as postgresql://name@host/database",
        ) from None
    connection.adapters.register_dumper(bool, _Bool)
    connection.adapters.register_dumper(str, _Text)
    try:
        with _explained(name):
            for each in _SETTINGS:
                connection.execute(_text(each))
    except BaseException:
        connection.close()
        raise
    return connection


def said(fault: BaseException) -> str:
    """The server's message, on one line, from psycopg's error or one made of it."""
    known = fault.diag.message_primary if isinstance(fault, psycopg.Error) else None
    text = known or next(iter(str(fault).strip().splitlines()), "")
    return " ".join(text.split()) or "the connection was lost"


_AGAIN = "Run the same command again"
_DAMAGED = "Restore the database from a backup; your mail server's log says what was sent since"
_NOT_OURS = "Name a database or a schema of its own: this is not a log of petition"
_ADVICE: tuple[tuple[type[psycopg.Error], str], ...] = (
    (errors.InsufficientPrivilege, "Grant this login the privilege"),
    (errors.DiskFull, "Free some space on the server's disk and run the same command again"),
    (errors.UndefinedColumn, _NOT_OURS),
    (errors.UndefinedTable, _NOT_OURS),
    (errors.DataCorrupted, _DAMAGED),
    (errors.IndexCorrupted, _DAMAGED),
    (errors.ReadOnlySqlTransaction, "Name a server that can be written, or make this one writable"),
    (
        errors.IdleInTransactionSessionTimeout,
        f"This command stopped for a minute in the middle of a change, which was undone. {_AGAIN}",
    ),
    (errors.QueryCanceled, f"A person or a time limit cancelled it. {_AGAIN}"),
    (errors.DeadlockDetected, _AGAIN),
    (errors.SerializationFailure, _AGAIN),
    (errors.InFailedSqlTransaction, _AGAIN),
    (errors.TooManyConnections, f"Close other connections to the server. {_AGAIN}"),
    (errors.DuplicateTable, _NOT_OURS),
    (errors.LockNotAvailable, "Wait until the other petition command has ended"),
    (psycopg.OperationalError, "Check that the server is running, then run the same command again"),
)
