"""The database of a log: its interface, and the queries of the .sql files by name.

A query is written once for both databases. Only its parameters are written as each library wants:

    :name      one value
    ?          one value of many in order, for `Database.run_many`
    :name[]    a list of numbers or texts, only after IN or NOT IN
    :name[copy INTEGER, reason TEXT]
               rows with these columns as a table of that name, for `Database.run_rows`
    @name      the text of another query
    IN WAITING the states that states.py groups under that name

`sqlite.py` and `postgres.py` are the only modules that import the libraries; each is loaded when an
address needs it.

A Message-ID and the tokens of a copy are HMACs, so they are scattered over their indexes, and while
a run marks copies nearly every mark writes a page of each. So these indexes are dropped before a
long run, and created again when mail or a click needs them; without them a copy is found too, more
slowly.
"""

import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from datetime import UTC, datetime
from functools import cache, lru_cache
from importlib.resources import files
from pathlib import Path
from typing import Any, NamedTuple, Protocol, Self, overload

from petition.database_url import POSTGRESQL, SQLITE, AddressUnreadable, PostgresAddress
from petition.errors import LogDamaged, LogUnusable
from petition.outbox import states

_FILES = (
    "queries.sql",
    "enqueue.sql",
    "transitions.sql",
    "inbound.sql",
    "answers.sql",
    "approvals.sql",
    "erasure.sql",
    "evidence.sql",
    "service.sql",
    "upgrades.sql",
)
_HEAD = re.compile(r"^-- :name (\w+)\n-- .+\n((?:-- .*\n)*)", re.MULTILINE)
_COMMENT = re.compile(r"--.*")
_NAMED = re.compile(r"@(\w+)")
_STATES = re.compile(r"\bIN (WAITING|MAY_HAVE_ARRIVED)\b")  # of states.py
# Quoted texts stay as they are, apart from what a library would take for a parameter.
_PARTS = re.compile(
    r"(?P<quoted>'(?:[^']|'')*')"
    r"|(?P<not>NOT )?IN \(:(?P<list>\w+)\[\]\)"
    r"|:(?P<table>\w+)\[(?P<columns>[^\]]+)\]"
    r"|(?<!:):(?P<name>[a-z]\w*)"
    r"|(?P<place>\?)"
    r"|(?P<type>\b(?:INTEGER PRIMARY KEY|INTEGER|BLOB|TEXT)\b)"
)


class Query(NamedTuple):
    """A query as one kind of database wants it."""

    text: str
    lists: tuple[str, ...]  # which parameters are lists
    tables: tuple[tuple[str, tuple[str, ...]], ...] = ()  # which are tables, with their columns


class Dialect(NamedTuple):
    """How one kind of database wants what the .sql files say."""

    files: tuple[str, ...]  # the .sql files for it alone
    value: Callable[[str], str]  # a parameter, by its name
    place: str  # one of many parameters in order
    in_list: Callable[[str, bool], str]  # by its name, and whether NOT precedes it
    table: Callable[[str, list[list[str]]], str]  # by its name, and the names and types of columns
    types: tuple[tuple[str, str], ...]  # column types with another name
    escaped: Callable[[str], str]  # a text in quotes

    def translate(self, text: str) -> Query:
        """A query of the files as this database wants it."""
        lists: list[str] = []
        tables: dict[str, tuple[str, ...]] = {}
        types = dict(self.types) if text.startswith(("CREATE", "ALTER")) else {}

        def put(found: re.Match[str]) -> str:
            if found["quoted"]:
                return self.escaped(found["quoted"])
            if found["list"]:
                lists.append(found["list"])
                return self.in_list(found["list"], bool(found["not"]))
            if found["table"]:
                columns = [column.split() for column in found["columns"].split(",")]
                tables.setdefault(found["table"], tuple(name for name, _ in columns))
                return self.table(found["table"], columns)
            if found["type"]:
                return types.get(found["type"], found["type"])
            return self.place if found["place"] else self.value(found["name"])

        return Query(_PARTS.sub(put, text), tuple(lists), tuple(tables.items()))


def _json_list(name: str, is_not: bool) -> str:
    return f"{'NOT ' * is_not}IN (SELECT value FROM json_each(:{name}))"  # noqa: S608 (ours)


def _array(name: str, is_not: bool) -> str:
    return f"<> ALL (%({name})s)" if is_not else f"= ANY (%({name})s)"


def _values(name: str, columns: list[list[str]]) -> str:
    """The number of rows is not known yet: `sqlite.py` adds the values."""
    named = (f"column{at} AS {one}" for at, (one, _) in enumerate(columns, 1))
    return f"(SELECT {', '.join(named)} FROM (VALUES :{name})) AS {name}"  # noqa: S608 (ours)


def _recordset(name: str, columns: list[list[str]]) -> str:
    """Rows go as one JSON array: that takes a fraction of the time of an array for each column."""
    kinds = {"INTEGER": "BIGINT", "BLOB": "BYTEA"}
    typed = ", ".join(f"{one} {kinds.get(kind, kind)}" for one, kind in columns)
    rows = f"json_to_recordset(CAST(%({name})s AS json)) AS rows ({typed})"
    # All ids are in this range. PostgreSQL takes it for a sign of few rows, which it finds by the
    # primary key; it would expect a hundred, and read the whole table.
    few = f"{columns[0][0]} BETWEEN 1 AND {2**62}"
    return f"(SELECT * FROM {rows} WHERE {few}) AS {name}"  # noqa: S608 (ours)


SQLITE_SQL = Dialect((), ":{}".format, "?", _json_list, _values, (), str)
POSTGRESQL_SQL = Dialect(
    ("postgres.sql", "workers.sql"),
    "%({})s".format,
    "%s",
    _array,
    _recordset,
    (
        ("INTEGER PRIMARY KEY", "BIGINT GENERATED BY DEFAULT AS IDENTITY PRIMARY KEY"),
        ("INTEGER", "BIGINT"),
        ("BLOB", "BYTEA"),
        ("TEXT", 'TEXT COLLATE "C"'),  # the order of SQLite, whatever the server's language is
    ),
    lambda quoted: quoted.replace("%", "%%"),
)


@cache
def queries(dialect: Dialect) -> dict[str, Query]:
    """All queries for a kind of database, by name."""
    written: dict[str, str] = {}
    for name, text in texts(_FILES + dialect.files):
        if name in written:
            raise ValueError(f"two queries are named {name}")
        written[name] = _NAMED.sub(lambda found: written[found[1]], text)
    found = {name: dialect.translate(text) for name, text in written.items()}
    return found | {name: dialect.translate(text) for name, text in _of_whole_tables()}


def _of_whole_tables() -> Iterator[tuple[str, str]]:
    """The queries of transfer.py: read, empty, fill and count each table."""
    for table, columns in tables().items():
        names, places = ", ".join(columns), ", ".join("?" * len(columns))
        yield f"whole_{table}", f"SELECT {names} FROM {table} ORDER BY {columns[0]}"  # noqa: S608
        yield f"put_{table}", f"INSERT INTO {table} ({names}) VALUES ({places})"  # noqa: S608
        yield f"empty_{table}", f"DELETE FROM {table}"  # noqa: S608 (names of our own schema)
        yield f"size_{table}", f"SELECT COUNT(*) FROM {table}"  # noqa: S608


def texts(names: tuple[str, ...] = _FILES) -> list[tuple[str, str]]:
    """The names and texts of all queries in some files."""
    text = "\n".join(map(_text, names))
    heads = list(_HEAD.finditer(text))
    ends = [head.start() for head in heads[1:]] + [len(text)]
    bodies = (text[head.end() : end] for head, end in zip(heads, ends, strict=True))
    return [
        (head[1], _COMMENT.sub("", body).strip()) for head, body in zip(heads, bodies, strict=True)
    ]


@cache
def schema(dialect: Dialect) -> tuple[str, ...]:
    """The statements that create an empty log."""
    statements = map(str.strip, _schema_text().split(";"))
    return tuple(dialect.translate(one).text for one in statements if one)


@cache
def tables() -> dict[str, tuple[str, ...]]:
    """The tables of the log and their columns, each after those that it refers to."""
    found = {}
    for head, body in re.findall(r"CREATE TABLE (\w+) \((.*?)\n\);", _schema_text(), re.DOTALL):
        found[head] = tuple(re.findall(r"^    ([a-z]\w*) ", body, re.MULTILINE))
    return found


def _schema_text() -> str:
    return _COMMENT.sub("", _text("schema.sql"))


def _text(name: str) -> str:
    text = (files("petition.outbox") / name).read_text(encoding="utf-8")
    return _STATES.sub(lambda found: f"IN {tuple(map(str, getattr(states, found[1])))}", text)


PATIENCE = 2.0  # seconds: `status` may own the log that long to tidy up after a crash
PAUSE = 0.05  # seconds between two tries to own it
Values = Mapping[str, object]


class Row(Protocol):
    """A row of a result: its values in order, and by the names of their columns."""

    @overload
    def __getitem__(self, key: int | str, /) -> Any: ...  # noqa: ANN401 (what the column holds)
    @overload
    def __getitem__(self, key: slice, /) -> tuple[Any, ...]: ...
    def __iter__(self) -> Iterator[Any]: ...
    def __len__(self) -> int: ...
    def keys(self) -> list[str]:
        """The names of its columns, in order."""


class MarkRow(NamedTuple):
    """A row of the query `mark`."""

    copy: int
    recipients: int
    from_state: str
    seen: str  # its `updated_at` as it was read
    letter_date: str
    message_id: str
    sha256: str
    token: str
    unsubscribe: str | None
    bytes: bytes | None


class Written(NamedTuple):
    """What a run writes in one commit: rows of the queries `record`, `mark` and `log_events`."""

    done: Sequence[Sequence[object]]
    marks: Sequence[MarkRow]
    events: Sequence[Sequence[object]]  # of copies that change; the others are left out


class Database(ABC):
    """One connection to a log, which runs the named queries and nothing else."""

    read_only: bool
    looks: bool  # its command only looks: no log is created or upgraded
    where: str  # the log's name for people, without any password
    upgraded: "Upgraded | None" = None  # what was upgraded when it was opened
    found_changes: bool = False  # of an earlier process waited in a `-wal` when it was opened

    @abstractmethod
    def run(self, name: str, values: Values | None = None) -> int:
        """Run a query that changes something; returns how many rows it changed."""

    @abstractmethod
    def run_many(self, name: str, values: Iterable[Values | Sequence[object]]) -> int:
        """Run a query once for each of many sets of parameters, in order where it says `?`."""

    @abstractmethod
    def run_rows(self, name: str, rows: Sequence[Sequence[object]], values: Values) -> int:
        """Run a query that changes something by a table of rows."""

    @abstractmethod
    def write_all(self, rows: "Written", values: Values, also: Values | None = None) -> set[int]:
        """Write what a run has to: in the open transaction, or in one of its own beside others.

        Returns the ids of the copies that changed: those that were as the rows say. `also` are
        the values of `count_work`, of a worker.
        """

    @abstractmethod
    def one(self, name: str, values: Values | None = None) -> Row | None:
        """The first row of a query's result, or None."""

    def value(self, name: str, values: Values | None = None) -> Any:  # noqa: ANN401 (as in Row)
        """The first value of a query's first row; None if it has none."""
        row = self.one(name, values)
        return row[0] if row else None

    def moment(self, name: str, values: Values | None = None) -> datetime | None:
        """The same as a moment that the log kept."""
        text = self.value(name, values)
        return moment(text) if text else None

    @abstractmethod
    def all(self, name: str, values: Values | None = None) -> list[Row]:
        """All rows of a query's result."""

    @abstractmethod
    def each(self, name: str, values: Values | None = None) -> Iterator[Row]:
        """The rows of a query's result, one at a time: there may be millions."""

    @abstractmethod
    def transaction(self, *, temporary: bool = False) -> AbstractContextManager[None]:
        """All or nothing, durable when the block is left; one writer at a time."""

    @property
    def takes_workers(self) -> bool:
        """Whether many machines can write to it at the same time."""
        return False

    def install(self, statements: str) -> None:
        """Create another library's tables beside ours, in a transaction."""
        raise NotImplementedError(statements)

    def shared_transaction(self) -> AbstractContextManager[None]:
        """A transaction beside others of its kind, each on rows of its own."""
        return self.transaction()

    def joined(
        self, begin: Callable[[], AbstractContextManager[None]]
    ) -> AbstractContextManager[None]:
        """The transaction that is open, or else a new one."""
        return nullcontext() if self._is_in_transaction else begin()

    @contextmanager
    def attempt(self) -> Iterator[None]:
        """Within a transaction: all that the block writes, or none of it where it fails."""
        self._command("SAVEPOINT attempt")
        try:
            yield
        except BaseException:
            if self._is_in_transaction:  # else the database has rolled all of it back
                self._command("ROLLBACK TO attempt")
                self._command("RELEASE attempt")
            raise
        self._command("RELEASE attempt")

    @abstractmethod
    def _command(self, text: str) -> None:
        """Run a statement that is not one of the named queries."""

    @property
    @abstractmethod
    def _is_in_transaction(self) -> bool: ...

    @abstractmethod
    def refuse_altered(self) -> None:
        """Refuse a log with a trigger or the like: it could send letters elsewhere, unseen."""

    @contextmanager
    def copy_kept(self, name: str) -> Iterator[str | None]:  # noqa: ARG002
        """Within a transaction: keep a copy of the log beside it, unless the block fails."""
        yield None

    def drops_changes(self) -> bool:
        """Whether an earlier process's changes were lost to damage; asked before any write."""
        return False

    def examine(self) -> None:  # noqa: B027 (a server checks its own files)
        """Check the whole log for damage, where it is a file; LogUnusable if there is any."""

    @abstractmethod
    def survey(self, table: str) -> None:
        """Update the statistics of a table that was just filled, before queries are planned."""

    @abstractmethod
    def renumber(self) -> None:
        """Within a transaction that wrote rows with their ids: new ones get higher ids."""

    @abstractmethod
    def scrub(self) -> None:
        """Remove what was deleted from the storage; LogUnusable if that is not possible now."""

    @abstractmethod
    def ownership(self, patience: float = PATIENCE) -> AbstractContextManager[None]:
        """Own the log while the block runs: only its owner may send. Its death frees the log."""

    @abstractmethod
    def is_busy(self, fault: BaseException) -> bool:
        """Whether an error of a transaction means only that another process was writing."""

    @property
    def hindrance(self) -> LogUnusable | None:
        """Why the log cannot be written although no process owns it."""
        return None

    @abstractmethod
    def close(self) -> None:
        """Close the connection."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def altered(place: str, what: str) -> LogUnusable:
    """The error for a log with something that petition did not create: `trigger divert`."""
    return LogUnusable(
        f"{place} contains something that petition did not create: {what}",
        "Nothing was done, as it could send letters elsewhere. Ask the log's owner, or drop it",
    )


def where(url: str) -> str:
    """A log's name for people: the path of its file, or its address without a password."""
    if not url.startswith(POSTGRESQL):
        return str(path_of(url))
    try:
        return PostgresAddress.parse(url).name
    except AddressUnreadable:
        return "postgresql"


def file_of(url: str) -> Path | None:
    """The file of a log; None: it is on a server."""
    return None if url.startswith(POSTGRESQL) else path_of(url)


def path_of(url: str) -> Path:
    """The file of a `sqlite:///PATH` address."""
    if not url.startswith(SQLITE) or url == SQLITE:
        raise LogUnusable(
            f'petition cannot use a database of the kind "{url.partition(":")[0]}"',
            'Write database = "sqlite:///petition.db"',
        )
    return Path(url.removeprefix(SQLITE))


LONG_RUN = 10_000  # copies
INDEXING = ("index_message_ids", "index_replies", "index_tokens", "index_selectors")
_DROPPING = (
    "drop_index_of_message_ids",
    "drop_index_of_replies",
    "drop_index_of_tokens",
    "drop_index_of_selectors",
)


def make_inbound_indexes(database: Database) -> None:
    """Create the indexes that are missing."""
    for query in INDEXING:
        database.run(query)


def drop_inbound_indexes(database: Database, copies: int) -> None:
    """Drop them if that many copies make it worth creating them again."""
    if copies >= LONG_RUN:
        for query in _DROPPING:
            database.run(query)


class Upgraded(NamedTuple):
    """An upgrade that was made."""

    before: int  # the schema that the log had
    after: int  # the one that it has now
    kept: str | None  # the copy of the log from before; None on a server


@lru_cache(maxsize=64)
def stamp(moment: datetime) -> str:
    """A moment as the log keeps it: UTC, ISO 8601, milliseconds."""
    text = moment.astimezone(UTC).isoformat(timespec="milliseconds")
    return text.replace("+00:00", "Z")


@lru_cache(maxsize=64)
def moment(text: str) -> datetime:
    """A moment that the log kept."""
    with intact():
        return datetime.fromisoformat(text)


@contextmanager
def intact() -> Iterator[None]:
    """Read what only petition writes; if it cannot be read, the log is damaged."""
    try:
        yield
    except (ValueError, TypeError, LookupError, AttributeError, RecursionError) as fault:
        raise LogDamaged(
            f"the log is damaged: it has a value that cannot be read ({fault})"
        ) from fault


def meta(database: Database, name: str) -> str | None:
    """A value that holds for the whole log; None: it has none. LogDamaged: it is not a text."""
    row = database.one("meta", {"name": name})
    if row is None:
        return None
    with intact():
        if not isinstance(row[0], str):
            raise TypeError(f"{name} is not a text")
        return row[0]
