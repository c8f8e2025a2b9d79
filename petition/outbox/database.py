"""The database of a log: its interface, and the queries of the .sql files by name.

A query is written once for all databases. Only its parameters are put as each library reads them:

    :name      one value
    ?          one value of many in order, for `Database.run_many`
    :name[]    a list of numbers or texts, behind IN or NOT IN alone
    :name[copy INTEGER, reason TEXT]
               rows with these columns as a table of that name, for `Database.run_rows`
    IN WAITING the states that states.py groups under that name

All kinds run the same queries. `sqlite.py` and `postgres.py` are the only doors to
their libraries; each is loaded when an address asks for it.

A Message-ID and the tokens of a copy are HMACs, and so stand anywhere in their indexes. While a run
marks copies, nearly every mark is a page of each index to write. So these indexes are dropped
before a long run, and made of all copies at once for the first who asks; until then a mark is found
too, more slowly.
"""

import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol, Self, overload

from petition.database_url import POSTGRESQL, SQLITE, AddressUnreadable, PostgresAddress
from petition.errors import LogUnusable
from petition.outbox import states

_FILES = (
    "queries.sql",
    "enqueue.sql",
    "transitions.sql",
    "inbound.sql",
    "answers.sql",
    "erasure.sql",
    "evidence.sql",
    "upgrades.sql",
)
_HEAD = re.compile(r"^-- :name (\w+)\n-- .+\n((?:-- .*\n)*)", re.MULTILINE)
_COMMENT = re.compile(r"--.*")
_STATES = re.compile(r"\bIN (WAITING|MAY_HAVE_ARRIVED)\b")  # of states.py
# A text in quotes is left as it is, but for what a library would take for a parameter.
_PARTS = re.compile(
    r"(?P<quoted>'(?:[^']|'')*')"
    r"|(?P<not>NOT )?IN \(:(?P<list>\w+)\[\]\)"
    r"|:(?P<table>\w+)\[(?P<columns>[^\]]+)\]"
    r"|(?<!:):(?P<name>[a-z]\w*)"
    r"|(?P<place>\?)"
    r"|(?P<type>\b(?:INTEGER PRIMARY KEY|INTEGER|BLOB|TEXT)\b)"
)


@dataclass(frozen=True, slots=True)
class Query:
    """A query as one kind of database wants it.

    Args:
        text: Its SQL.
        lists: Which of its parameters are lists.
        table: The parameter that is a table, or "".
        columns: How many columns that has.
    """

    text: str
    lists: tuple[str, ...]
    table: str = ""
    columns: int = 0


@dataclass(frozen=True, slots=True)
class Dialect:
    """How one kind of database wants what the .sql files say.

    Args:
        files: The .sql files that are for it alone.
        value: A parameter, by its name.
        place: A parameter of many in order.
        in_list: A list behind IN, by its name and whether NOT stands before it.
        table: A table of rows, by its name and the names and types of its columns.
        types: The types of columns that it calls by another name.
        escaped: A text in quotes.
    """

    files: tuple[str, ...]
    value: Callable[[str], str]
    place: str
    in_list: Callable[[str, bool], str]
    table: Callable[[str, list[list[str]]], str]
    types: tuple[tuple[str, str], ...]
    escaped: Callable[[str], str]

    def translate(self, text: str) -> Query:
        """A query of the files as this database wants it."""
        lists: list[str] = []
        table: tuple[str, int] = ("", 0)
        types = dict(self.types) if text.startswith(("CREATE", "ALTER")) else {}

        def put(found: re.Match[str]) -> str:
            nonlocal table
            if found["quoted"]:
                return self.escaped(found["quoted"])
            if found["list"]:
                lists.append(found["list"])
                return self.in_list(found["list"], bool(found["not"]))
            if found["table"]:
                columns = [column.split() for column in found["columns"].split(",")]
                table = found["table"], len(columns)
                return self.table(found["table"], columns)
            if found["type"]:
                return types.get(found["type"], found["type"])
            return self.place if found["place"] else self.value(found["name"])

        return Query(_PARTS.sub(put, text), tuple(lists), *table)


def _json_list(name: str, is_not: bool) -> str:
    return f"{'NOT ' * is_not}IN (SELECT value FROM json_each(:{name}))"  # noqa: S608 (ours)


def _array(name: str, is_not: bool) -> str:
    return f"<> ALL (%({name})s)" if is_not else f"= ANY (%({name})s)"


def _values(name: str, columns: list[list[str]]) -> str:
    """How many values there are is not known before there are rows: `sqlite.py` puts them in."""
    named = (f"column{at} AS {one}" for at, (one, _) in enumerate(columns, 1))
    return f"(SELECT {', '.join(named)} FROM (VALUES :{name})) AS {name}"  # noqa: S608 (ours)


def _unnested(name: str, columns: list[list[str]]) -> str:
    """The values of each column are an array; its parameter has the column's name."""
    kinds = {"INTEGER": "BIGINT", "BLOB": "BYTEA"}
    arrays = (
        f"CAST(%({name}_{at})s AS {kinds.get(kind, kind)}[])"
        for at, (_, kind) in enumerate(columns)
    )
    return f"unnest({', '.join(arrays)}) AS {name} ({', '.join(one for one, _ in columns)})"


SQLITE_SQL = Dialect((), ":{}".format, "?", _json_list, _values, (), str)
POSTGRESQL_SQL = Dialect(
    ("postgres.sql", "workers.sql"),
    "%({})s".format,
    "%s",
    _array,
    _unnested,
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
    """All queries of a kind of database, by name."""
    found: dict[str, Query] = {}
    for name, text in texts(_FILES + dialect.files):
        if name in found:
            raise ValueError(f"two queries are named {name}")
        found[name] = dialect.translate(text)
    return found | {name: dialect.translate(text) for name, text in _of_whole_tables()}


def _of_whole_tables() -> Iterator[tuple[str, str]]:
    """What transfer.py asks: each table read, emptied, filled and counted, by its columns."""
    for table, columns in tables().items():
        names, places = ", ".join(columns), ", ".join("?" * len(columns))
        yield f"whole_{table}", f"SELECT {names} FROM {table} ORDER BY {columns[0]}"  # noqa: S608
        yield f"put_{table}", f"INSERT INTO {table} ({names}) VALUES ({places})"  # noqa: S608
        yield f"empty_{table}", f"DELETE FROM {table}"  # noqa: S608 (names of our own schema)
        yield f"size_{table}", f"SELECT COUNT(*) FROM {table}"  # noqa: S608


def texts(names: tuple[str, ...] = _FILES) -> list[tuple[str, str]]:
    """The names and texts of all queries, as they stand in some files."""
    text = "\n".join(map(_text, names))
    heads = list(_HEAD.finditer(text))
    ends = [head.start() for head in heads[1:]] + [len(text)]
    bodies = (text[head.end() : end] for head, end in zip(heads, ends, strict=True))
    return [
        (head[1], _COMMENT.sub("", body).strip()) for head, body in zip(heads, bodies, strict=True)
    ]


@cache
def schema(dialect: Dialect) -> tuple[str, ...]:
    """The statements that make an empty log."""
    statements = map(str.strip, _schema_text().split(";"))
    return tuple(dialect.translate(one).text for one in statements if one)


@cache
def tables() -> dict[str, tuple[str, ...]]:
    """The tables of the log and their columns; none comes before one that it refers to."""
    found = {}
    for head, body in re.findall(r"CREATE TABLE (\w+) \((.*?)\n\);", _schema_text(), re.DOTALL):
        found[head] = tuple(re.findall(r"^    ([a-z]\w*) ", body, re.MULTILINE))
    return found


def _schema_text() -> str:
    return _COMMENT.sub("", _text("schema.sql"))


def _text(name: str) -> str:
    text = (files("petition.outbox") / name).read_text(encoding="utf-8")
    return _STATES.sub(lambda found: f"IN {tuple(map(str, getattr(states, found[1])))}", text)


PATIENCE = 2.0  # seconds: as long as `status` may own the log to tidy up after a crash
PAUSE = 0.05  # seconds between two tries to own it
Values = Mapping[str, object]


class Row(Protocol):
    """A row of an answer: its values in order, and by the names of their columns."""

    @overload
    def __getitem__(self, key: int | str, /) -> Any: ...  # noqa: ANN401 (what the column holds)
    @overload
    def __getitem__(self, key: slice, /) -> tuple[Any, ...]: ...
    def __iter__(self) -> Iterator[Any]: ...
    def __len__(self) -> int: ...
    def keys(self) -> list[str]:
        """The names of its columns, in order."""


class Database(ABC):
    """One connection to a log, which runs the named queries and nothing else.

    Attributes:
        read_only: It can be looked at, and not changed.
        looks: Whoever opened it only looks: no log is made, and no old one upgraded.
        where: The log as a person would name it, without any password.
        upgraded: What was upgraded when it was opened.
        found_changes: When it was opened, changes of an earlier process waited beside it.
    """

    read_only: bool
    looks: bool
    where: str
    upgraded: "Upgraded | None" = None
    found_changes: bool = False

    @abstractmethod
    def run(self, name: str, values: Values | None = None) -> int:
        """Run a query that changes something.

        Args:
            name: A query of the .sql files.
            values: Its parameters; a list where the query says `:name[]`.

        Returns:
            How many rows it changed.
        """

    @abstractmethod
    def run_many(self, name: str, values: Iterable[Values | Sequence[object]]) -> int:
        """Run a query once for each of many sets of parameters; `?` stands for those in order."""

    @abstractmethod
    def run_rows(self, name: str, rows: Sequence[Sequence[object]], values: Values) -> int:
        """Run a query that changes something by a table of rows."""

    @abstractmethod
    def one(self, name: str, values: Values | None = None) -> Row | None:
        """The first row of a query's answer, or None."""

    @abstractmethod
    def all(self, name: str, values: Values | None = None) -> list[Row]:
        """All rows of a query's answer."""

    @abstractmethod
    def each(self, name: str, values: Values | None = None) -> Iterator[Row]:
        """The rows of a query's answer, one at a time: there may be millions."""

    @abstractmethod
    def transaction(self, *, temporary: bool = False) -> AbstractContextManager[None]:
        """All of it or nothing; durable when the block is left. No two write at once."""

    @property
    def takes_workers(self) -> bool:
        """Whether many machines can write to it at the same time."""
        return False

    def install(self, statements: str) -> None:
        """Make the tables of a library that keeps its own beside ours, in a transaction."""
        raise NotImplementedError(statements)

    def shared_transaction(self) -> AbstractContextManager[None]:
        """A transaction that others may run beside: its queries take only rows that nobody has."""
        return self.transaction()

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
        """Run a statement that is no query of the files."""

    @property
    @abstractmethod
    def _is_in_transaction(self) -> bool: ...

    @abstractmethod
    def refuse_altered(self) -> None:
        """Refuse a log in which something is that petition did not make, such as a trigger.

        It could send letters elsewhere while all that is shown looks right.
        """

    @contextmanager
    def copy_kept(self, name: str) -> Iterator[str | None]:  # noqa: ARG002
        """Within a transaction: keep a copy of the log beside it, unless the block fails."""
        yield None

    def drops_changes(self) -> bool:
        """Whether changes of an earlier process are lost to damage; asked before any is written."""
        return False

    def examine(self) -> None:  # noqa: B027 (a server sees to its own files)
        """Look through the whole log for damage, where it is a file.

        Raises:
            LogUnusable: It is damaged.
        """

    @abstractmethod
    def survey(self, table: str) -> None:
        """Let the database count what was just written, before it plans queries over it."""

    @abstractmethod
    def renumber(self) -> None:
        """Within a transaction that wrote rows with their numbers: new ones come behind these."""

    @abstractmethod
    def scrub(self) -> None:
        """Leave nothing of what was deleted where the database keeps the log.

        Raises:
            LogUnusable: It could not be written, or another process goes on reading what was.
        """

    @abstractmethod
    def ownership(self, patience: float = PATIENCE) -> AbstractContextManager[None]:
        """Own the log while the block runs: the one process that may send from it.

        The owner's death frees the log, and nothing else does.
        """

    @abstractmethod
    def is_busy(self, fault: BaseException) -> bool:
        """Whether nothing but another process that writes stood in the way.

        Args:
            fault: What a transaction raised.
        """

    @property
    def hindrance(self) -> LogUnusable | None:
        """What keeps the log from being written to although no other process owns it."""
        return None

    @abstractmethod
    def close(self) -> None:
        """Close the connection."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def altered(place: str, what: str) -> LogUnusable:
    """Of a log in which there is what petition did not make, such as `trigger divert`."""
    return LogUnusable(
        f"{place} has something in it that petition did not make: {what}",
        "It could send letters elsewhere: nothing was done. Ask whoever made the log, or drop it",
    )


def where(url: str) -> str:
    """A log as a person would name it: the path of its file, or its address without a password."""
    if not url.startswith(POSTGRESQL):
        return str(path_of(url))
    try:
        return PostgresAddress.parse(url).name
    except AddressUnreadable:
        return "postgresql"


def file_of(url: str) -> Path | None:
    """The file of a log; None: it is in no file of ours."""
    return None if url.startswith(POSTGRESQL) else path_of(url)


def path_of(url: str) -> Path:
    """The file of a `sqlite:///PATH` address."""
    if not url.startswith(SQLITE) or url == SQLITE:
        raise LogUnusable(
            f'"{url.partition(":")[0]}" is no kind of database that petition can use',
            'Write database = "sqlite:///petition.db"',
        )
    return Path(url.removeprefix(SQLITE))


LONG_RUN = 10_000  # copies
INDEXING = ("index_message_ids", "index_tokens", "index_selectors")
_DROPPING = ("drop_index_of_message_ids", "drop_index_of_tokens", "drop_index_of_selectors")


def make_inbound_indexes(database: Database) -> None:
    """Make the indexes that are not there."""
    for query in INDEXING:
        database.run(query)


def drop_inbound_indexes(database: Database, copies: int) -> None:
    """Drop them where that is worth making them again."""
    if copies >= LONG_RUN:
        for query in _DROPPING:
            database.run(query)


@dataclass(frozen=True, slots=True)
class Upgraded:
    """An upgrade that was made.

    Args:
        before: The schema that the log had.
        after: The one that it has now.
        kept: Where the log is as it was before; None: the server's own backups are all there is.
    """

    before: int
    after: int
    kept: str | None
