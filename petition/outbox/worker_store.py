"""What the log keeps for workers: jobs, the shared rate, the files of single rows.

A job names a letter that has copies to be sent, no more: which copies, and who sends them, the rows
decide. At most one job of a letter waits. It is queued in the transaction that makes copies wait,
by the job engine's own function, in tables that stand beside ours.

A turn is given by the server's clock and returned as a delay, so that the clocks of the machines
need not agree.
"""

import re
from collections.abc import Iterator, Mapping
from datetime import datetime

from petition.errors import LogUnusable
from petition.outbox.database import Database
from petition.outbox.models import fields_of

TASK = "petition.letters"

_MADE = re.compile(r"CREATE (?:OR REPLACE )?(?:FUNCTION|TABLE|TYPE) (\w+)")


def workers_are_made(database: Database) -> bool:
    """Whether a letter was ever queued for workers."""
    return database.takes_workers and database.one("workers_are_made") is not None


def make_tables(database: Database, engine: str) -> None:
    """Make the tables that workers need, where they are missing; `engine` are the job engine's.

    LogUnusable if it is not PostgreSQL, this login may not, or another version of the engine
    made them.
    """
    if not database.takes_workers:
        raise LogUnusable(
            f"{database.where} is a file on one machine",
            "Workers need PostgreSQL: petition migrate postgresql://host/name",
        )
    if not workers_are_made(database):
        with database.transaction():
            if not workers_are_made(database):
                database.install(engine)
                database.run("make_workers")
    there = {row[0] for row in database.all("engine_names")}
    if missing := sorted(set(_MADE.findall(engine)) - there):
        raise LogUnusable(
            f"the jobs in {database.where} were made by another version of Procrastinate"
            f" ({missing[0]} is missing)",
            "Use that version, or stop all workers and apply the migrations of this one",
        )


def queue_job(database: Database, letter: str, at: datetime | None = None) -> None:
    """Have workers look at a letter by a certain time, or now; in an exclusive transaction."""
    values = {"letter": letter, "task": TASK, "at": at}
    if not database.run("hasten_job", values):
        database.run("queue_job", values)


def queue_moved(database: Database) -> None:
    """Wake the workers for letters of which copies wait again (transitions.sql)."""
    if workers_are_made(database):
        for row in database.all("letters_moved"):
            queue_job(database, row["letter"])


def waiting_unchosen(database: Database, letter: str) -> int:
    """How many listed copies of a letter wait without having been chosen: workers send them too."""
    row = database.one("waiting_unchosen", {"letter": letter})
    return row[0] if row else 0


def keep_settings(database: Database, letter: str, settings: str, now: str) -> None:
    """Keep what workers must know to send a letter, as JSON; the last call counts."""
    database.run("set_dispatch", {"letter": letter, "settings": settings, "now": now})


def settings_of(database: Database, letter: str) -> str | None:
    """What was kept for a letter; None: it was never queued for workers."""
    row = database.one("dispatch", {"letter": letter}) if workers_are_made(database) else None
    return str(row[0]) if row else None


def last_letter(database: Database) -> str:
    """The letter whose settings were kept last; "": none."""
    row = database.one("last_dispatch")
    return str(row[0]) if row else ""


ALL = ""  # the bucket that every letter takes a turn from


def shorten_turns(database: Database, intervals: Mapping[str, float]) -> None:
    """Let the next turn of each bucket come within its interval, in seconds; in a transaction."""
    for name, interval in intervals.items():
        database.run("pull_turn_in", {"name": name, "interval": interval})


def take_turn(database: Database, name: str, interval: float) -> float:
    """The seconds until the next turn of a bucket, a domain or ALL; `interval` is in seconds.

    The connection must be one that no run commits through: a turn must not wait.
    """
    row = database.one("take_turn", {"name": name, "interval": interval})
    return max(0.0, float(row["delay"])) if row else 0.0


def texts_of_waiting(database: Database, letter: str, field: str) -> Iterator[str]:
    """A field of the copies of a letter that wait, where they have it."""
    for row in database.all("fields_of_waiting", {"letter": letter}):
        if text := fields_of(row[0]).get(field):
            yield text


def is_kept(database: Database, sha256: str) -> bool:
    """Whether the log has a file."""
    return database.one("has_enclosure", {"sha256": sha256}) is not None


def keep(database: Database, sha256: str, data: bytes) -> None:
    """Keep a file, inside a transaction."""
    database.run("keep_enclosure", {"sha256": sha256, "data": data})


def kept(database: Database, sha256: str) -> bytes | None:
    """A file from the log; None: it is not there."""
    row = database.one("enclosure", {"sha256": sha256})
    return bytes(row[0]) if row else None


def has_job_due(database: Database) -> bool:
    """Whether a job waits that could be done now."""
    return database.one("has_job_due", {"task": TASK}) is not None
