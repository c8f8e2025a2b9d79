"""Moves a whole log from one database to another, of whichever kinds.

Two databases know no common transaction. So the new log is made whole in one of its own, and only
then the old one is closed for good: it would send everything once more. What a crash between the
two leaves is two equal logs, and the same command closes the old one then.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from petition.errors import LogUnusable, UsageError
from petition.outbox.database import Database, open_database
from petition.outbox.log import MOVED, Log
from petition.outbox.queries import tables


@dataclass(frozen=True, slots=True)
class Transferred:
    """What was moved: how many rows of each table, from where to where."""

    start: str
    end: str
    rows: dict[str, int]


def transfer(log: Log, url: str) -> Transferred:
    """Move a log, and close it.

    Args:
        log: The log.
        url: The address of the database that is to hold it: one without a log, or one that this
            log was moved away from.

    Returns:
        What was moved.

    Raises:
        LogBusy: Somebody is sending from one of them.
        LogUnusable: One of them cannot be read or written.
        UsageError: The other database holds a log that is not this one's past.
    """
    key = log.key
    with log.owned(), open_database(url) as target:
        if target.read_only:
            raise LogUnusable(f"{target.where} can only be read", "Name another database")
        with target.ownership(), log.database.transaction():
            rows = _counts(log.database)
            with target.transaction():
                _check(key, target, rows)
                _replace(log.database, target)
                if _counts(target) != rows:
                    raise LogUnusable(
                        f"{target.where} did not keep every row of the log",
                        "Nothing was moved; look at its server's log",
                    )
            log.database.run("set_meta", {"name": MOVED, "value": target.where})
    return Transferred(log.where, target.where, rows)


def _check(own: bytes, target: Database, rows: dict[str, int]) -> None:
    """Refuse to write over a log that is not the past of this one."""
    key = target.one("meta", {"name": "key"})
    if _is_unused(target):
        return
    if key is None or key[0] != own.hex():
        raise UsageError(
            f"{target.where} holds the log of another campaign",
            "Name a database, or a schema of it, that is empty; nothing was done",
        )
    # An equal one that is not closed is what a crash before the last step leaves.
    if not target.one("meta", {"name": MOVED}) and _counts(target) != rows:
        raise UsageError(
            f"{target.where} holds another copy of this log, which differs from it",
            "Find out which of them is true before you do anything; nothing was done",
        )


def _is_unused(target: Database) -> bool:
    """Whether a log holds nothing: looking at a letter there makes a key, which nobody has seen."""
    is_closed = target.one("meta", {"name": MOVED}) is not None
    return not is_closed and not any(
        number for table, number in _counts(target).items() if table != "meta"
    )


def _replace(source: Database, target: Database) -> None:
    for table in reversed(tables()):
        target.run(f"empty_{table}")
    for table in tables():
        target.run_many(f"put_{table}", _rows(source, table))
    target.renumber()


def _rows(source: Database, table: str) -> Iterator[tuple[object, ...]]:
    yield from map(tuple, source.each(f"whole_{table}"))


def _counts(database: Database) -> dict[str, int]:
    """How many rows each table has, without the note that a log was moved away."""
    found = {}
    for table in tables():
        row = database.one(f"size_{table}")
        found[table] = row[0] if row else 0
    if database.one("meta", {"name": MOVED}):
        found["meta"] -= 1
    return found
