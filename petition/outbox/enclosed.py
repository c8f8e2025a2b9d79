"""The files that single rows have, kept in the log for workers, each once by its hash."""

from collections.abc import Iterator

from petition.outbox.database import Database
from petition.outbox.records import fields_of


def texts_of_waiting(database: Database, field: str) -> Iterator[str]:
    """What a field of the rows says that were chosen and wait, where they have it.

    Args:
        database: The log's.
        field: Its name.
    """
    for row in database.all("fields_of_waiting"):
        if text := fields_of(row[0]).get(field):
            yield text


def is_kept(database: Database, sha256: str) -> bool:
    """Whether a file is there already."""
    return database.one("has_enclosure", {"sha256": sha256}) is not None


def keep(database: Database, sha256: str, data: bytes) -> None:
    """Keep a file, inside a transaction."""
    database.run("keep_enclosure", {"sha256": sha256, "data": data})


def kept(database: Database, sha256: str) -> bytes | None:
    """A file that was kept; None: it was not."""
    row = database.one("enclosure", {"sha256": sha256})
    return bytes(row[0]) if row else None
