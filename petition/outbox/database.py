"""The database that holds the log: what every kind of it can do, and which kind an address means.

All kinds run the same queries (queries.py). `sqlite.py` and `postgres.py` are the only doors to
their libraries; each is loaded when an address asks for it.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Protocol, Self, overload

from petition.database_url import POSTGRESQL, SQLITE, AddressUnreadable, PostgresAddress
from petition.errors import LogUnusable

if TYPE_CHECKING:
    from petition.outbox.upgrades import Upgraded

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
        """Run a query once for each of many sets of parameters; `?` stands for those in order.

        Returns:
            How many rows it changed, together.
        """

    @abstractmethod
    def run_rows(self, name: str, rows: Sequence[Sequence[object]], values: Values) -> int:
        """Run a query that changes something by a table of rows.

        Args:
            name: A query that names the table and its columns.
            rows: The values of these columns in their order, and of more if need be.
            values: Its other parameters; none of them is a list.

        Returns:
            How many rows it changed, together.
        """

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
        """All of it or nothing; durable when the block is left. No two write at once.

        Args:
            temporary: Only this connection's temporary tables are written, for which the log
                itself need be neither locked nor writable. What the block reads, it reads as of
                one moment.

        Raises:
            LogUnusable: It could not be written.
        """

    @property
    def takes_workers(self) -> bool:
        """Whether many machines can write to it at the same time."""
        return False

    def install(self, statements: str) -> None:
        """Make the tables of a library that keeps its own beside ours, in a transaction.

        Raises:
            LogUnusable: They cannot be made.
        """
        raise NotImplementedError(statements)

    def shared_transaction(self) -> AbstractContextManager[None]:
        """A transaction that others may run beside: its queries take only rows that nobody has.

        Raises:
            LogUnusable: It could not be written.
        """
        return self.transaction()

    @abstractmethod
    def attempt(self) -> AbstractContextManager[None]:
        """Within a transaction: all that the block writes, or none of it where the block fails.

        Raises:
            LogUnusable: It could not be written.
        """

    @abstractmethod
    def refuse_altered(self) -> None:
        """Refuse a log in which something is that petition did not make, such as a trigger.

        It could send letters elsewhere while all that is shown looks right.

        Raises:
            LogUnusable: There is.
        """

    @contextmanager
    def copy_kept(self, name: str) -> Iterator[str | None]:  # noqa: ARG002
        """Within a transaction: keep a copy of the log beside it, unless the block fails.

        Args:
            name: What tells the copy's name from the log's.

        Returns:
            Where it is; None: this kind of database has no such copies.

        Raises:
            LogUnusable: It could not be made.
        """
        yield None

    def examine(self) -> None:  # noqa: B027 (a server sees to its own files)
        """Look through the whole log for damage, where it is a file.

        Raises:
            LogUnusable: It is damaged.
        """

    @abstractmethod
    def survey(self, table: str) -> None:
        """Let the database count what was just written, before it plans queries over it.

        Args:
            table: The table that many rows of were written.
        """

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
    def ownership(self, patience: float | None = None) -> AbstractContextManager[None]:
        """Own the log while the block runs: the one process that may send from it.

        The owner's death frees the log, and nothing else does.

        Args:
            patience: How long to wait for another owner, in seconds; None: as is usual.

        Raises:
            LogBusy: Another process owns it.
            LogUnusable: It cannot be owned.
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


def open_database(url: str, *, looks: bool = False) -> Database:
    """Connect to a log.

    Args:
        url: `sqlite:///PATH` or `postgresql://...`.
        looks: Who only looks makes no log where there is none, and changes no old one.

    Raises:
        LogUnusable: It cannot be opened, is not ours, or was made by another petition.
    """
    if url.startswith(POSTGRESQL):
        database: Database = _postgres().PostgresDatabase(url, looks=looks)
        return database
    from petition.outbox.sqlite import SqliteDatabase  # noqa: PLC0415 (as above)

    return SqliteDatabase(path_of(url), looks=looks)


def is_there(url: str) -> bool:
    """Whether there is a log: nothing is made.

    Raises:
        LogUnusable: What is there is something else, or the server of the database does not answer.
    """
    if url.startswith(POSTGRESQL):
        return bool(_postgres().is_there(url))
    from petition.outbox.sqlite import is_there  # noqa: PLC0415 (as above)

    return is_there(path_of(url))


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
    """The file of a `sqlite:///PATH` address.

    Raises:
        LogUnusable: The address is of another kind.
    """
    if not url.startswith(SQLITE) or url == SQLITE:
        raise LogUnusable(
            f'"{url.partition(":")[0]}" is no kind of database that petition can use',
            'Write database = "sqlite:///petition.db"',
        )
    return Path(url.removeprefix(SQLITE))


def _postgres() -> Any:  # noqa: ANN401 (a module that is there with the extra alone)
    try:
        from petition.outbox import postgres  # noqa: PLC0415 (its library takes long to load)
    except ImportError as fault:
        raise LogUnusable(
            "PostgreSQL needs a library that is not installed",
            "Run: pip install 'petition[postgres]'",
        ) from fault
    return postgres
