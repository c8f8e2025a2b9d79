"""The database that holds the log. The only door to sqlite3.

SQLite in WAL mode with synchronous=FULL: a commit that returned survives the loss of power, as far
as the disk honours fsync (https://www.sqlite.org/pragma.html#pragma_synchronous).
"""

import os
import sqlite3
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from petition.errors import LogUnusable
from petition.outbox.queries import queries, schema

SCHEMA_VERSION = "1"
_PREFIX = "sqlite:///"
_BUSY_MILLISECONDS = 10_000

Values = Mapping[str, object]


class Database:
    """One connection to a log, which runs the named queries and nothing else.

    Args:
        url: `sqlite:///PATH`.
        read_only: Look, and change nothing; the file must exist.

    Raises:
        LogUnusable: It cannot be opened, is not ours, or was made by a newer petition.
    """

    def __init__(self, url: str, *, read_only: bool = False) -> None:
        self.path = path_of(url)
        self.read_only = read_only
        self._queries = queries()
        with explained(self.path):
            if not read_only:
                _make_private(self.path)
            self._connection = _connect(self.path, read_only=read_only)
            self._prepare()

    def _prepare(self) -> None:
        if not self.read_only:
            # WAL first: it is what lets `status` look while `send` writes.
            self._connection.execute("PRAGMA journal_mode = WAL")
            self._connection.execute("PRAGMA synchronous = FULL")
            self._connection.execute("PRAGMA foreign_keys = ON")
            if sys.platform == "darwin":  # there fsync alone leaves the disk's cache unwritten
                self._connection.execute("PRAGMA fullfsync = ON")
        known = self._connection.execute(
            "SELECT COUNT(*) FROM sqlite_master WHERE name = 'meta'"
        ).fetchone()[0]
        if not known:
            self._create()
        version = self.one("meta", {"name": "schema"})
        if version is None or version[0] != SCHEMA_VERSION:
            raise LogUnusable(
                f"{self.path.name} was made by another version of petition",
                "Use the version that made it",
            )

    def _create(self) -> None:
        if self.read_only:
            raise LogUnusable(f"{self.path.name} is no log of petition", "Name another database")
        with self.transaction():
            for statement in schema().split(";\n"):
                self._connection.execute(statement)
            self.run("set_meta", {"name": "schema", "value": SCHEMA_VERSION})

    def run(self, name: str, values: Values | None = None) -> int:
        """Run a query that changes something.

        Args:
            name: A query of queries.sql.
            values: Its parameters.

        Returns:
            How many rows it changed.
        """
        return self._connection.execute(self._queries[name], values or {}).rowcount

    def run_many(self, name: str, values: Iterator[Values] | Sequence[Values]) -> None:
        """Run a query once for each of many sets of parameters."""
        self._connection.executemany(self._queries[name], values)

    def one(self, name: str, values: Values | None = None) -> sqlite3.Row | None:
        """The first row of a query's answer, or None."""
        row: sqlite3.Row | None = self._connection.execute(
            self._queries[name], values or {}
        ).fetchone()
        return row

    def all(self, name: str, values: Values | None = None) -> list[sqlite3.Row]:
        """All rows of a query's answer."""
        return self._connection.execute(self._queries[name], values or {}).fetchall()

    def each(self, name: str, values: Values | None = None) -> Iterator[sqlite3.Row]:
        """The rows of a query's answer, one at a time."""
        yield from self._connection.execute(self._queries[name], values or {})

    @contextmanager
    def transaction(self, *, temporary: bool = False) -> Iterator[None]:
        """All of it or nothing; durable when the block is left.

        Args:
            temporary: Only this connection's temporary tables are written, for which the log
                itself need be neither locked nor writable.

        Raises:
            LogUnusable: It could not be written: a full disk, a read-only file.
        """
        with explained(self.path):
            self._connection.execute("BEGIN" if temporary else "BEGIN IMMEDIATE")
            try:
                yield
                self._connection.execute("COMMIT")
            except BaseException:
                if self._connection.in_transaction:
                    self._connection.execute("ROLLBACK")
                raise

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def path_of(url: str) -> Path:
    """The file of a `sqlite:///PATH` address.

    Raises:
        LogUnusable: The address is of another kind.
    """
    if not url.startswith(_PREFIX) or url == _PREFIX:
        raise LogUnusable(
            f'"{url.partition(":")[0]}" is no kind of database that petition can use',
            'Write database = "sqlite:///petition.db"',
        )
    return Path(url.removeprefix(_PREFIX))


@contextmanager
def explained(path: Path) -> Iterator[None]:
    """Turn what SQLite says of a file into what a person can do about it.

    Args:
        path: The database's file.

    Raises:
        LogUnusable: In place of any error of SQLite or of the file system.
    """
    try:
        yield
    except sqlite3.Error as fault:
        raise LogUnusable(f"{path.name}: {fault}", _mend(fault)) from fault
    except OSError as fault:
        reason = fault.strerror or str(fault)
        raise LogUnusable(
            f"{path.name} cannot be used: {reason}",
            "Give it a folder that you may write to",
        ) from fault


def is_busy(fault: BaseException) -> bool:
    """Whether nothing but another process that writes stood in the way.

    Args:
        fault: What a transaction raised.
    """
    cause = fault.__cause__
    # The lower byte is the kind of the error (https://www.sqlite.org/rescode.html).
    return isinstance(cause, sqlite3.OperationalError) and (
        cause.sqlite_errorcode & 0xFF in {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED}
    )


def _mend(fault: sqlite3.Error) -> str:
    text = str(fault)
    for sign, advice in _ADVICE.items():
        if sign in text:
            return advice
    return "Look at the disk, and keep a copy of the file before you try again"


_ADVICE = {
    "full": "Free some space on the disk and run the same command again",
    "disk I/O": "Look whether the disk is full or failing, then run the same command again",
    "readonly": "Give yourself the right to write to it",
    "read-only": "Give yourself the right to write to it",
    "unable to open": "Look whether the folder is there and is yours",
    "locked": "Wait until the other petition command has ended",
    "not a database": "Move the file away: it is not a log of petition",
    "malformed": "Keep the file and restore it from a copy: it is damaged",
}


def _make_private(path: Path) -> None:
    """Create the file as 0600; refuse what could be somebody else's.

    A log that is a link could be led to a file of another person, and one that another person owns
    could be changed behind our back: both hold names and addresses.
    """
    if path.is_symlink():
        raise LogUnusable(f"{path.name} is a symbolic link", "Name the file itself")
    if not path.exists():
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600))
        _sync_folder(path.parent)
    owner = path.stat().st_uid
    if hasattr(os, "geteuid") and owner not in {os.geteuid(), 0} and os.geteuid() != 0:
        raise LogUnusable(f"{path.name} belongs to another person", "Use a log of your own")


def _sync_folder(folder: Path) -> None:
    """Make the file's name durable too: an fsync of a file does not cover its folder."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _connect(path: Path, *, read_only: bool) -> sqlite3.Connection:
    mode = "ro" if read_only else "rw"
    connection = sqlite3.connect(
        f"{path.absolute().as_uri()}?mode={mode}",
        uri=True,
        isolation_level=None,  # transactions are ours to begin
        check_same_thread=False,  # the committer's thread writes for the run
    )
    connection.row_factory = sqlite3.Row
    connection.execute(f"PRAGMA busy_timeout = {_BUSY_MILLISECONDS}")
    return connection


def is_writable(url: str) -> bool:
    """Whether the log can be written to, or created."""
    path = path_of(url)
    return os.access(path if path.exists() else path.parent, os.W_OK)


def values_of(row: sqlite3.Row) -> dict[str, Any]:
    """A row as a dictionary."""
    return dict(zip(row.keys(), row, strict=True))
