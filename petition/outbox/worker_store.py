"""What the log keeps for workers: jobs, the shared rate, the files of single rows.

The tables of the engine that gives jobs out are made beside ours, and its own function queues them,
on the connection of the log: in the transaction of the copies that they are for.

A turn is given by the server's clock and answered as a wait, so that the clocks of the machines
need not agree.
"""

import re
from collections.abc import Iterator, Mapping

from petition.errors import LogUnusable
from petition.outbox.database import Database
from petition.outbox.models import fields_of

TASK = "petition.letters"
COPIES_A_JOB = 300

_MADE = re.compile(r"CREATE (?:OR REPLACE )?(?:FUNCTION|TABLE|TYPE) (\w+)")


def workers_are_made(database: Database) -> bool:
    """Whether a letter was ever given to workers."""
    return database.takes_workers and database.one("workers_are_made") is not None


def make_tables(database: Database, engine: str) -> None:
    """Make what workers need in the log's database, where it is not there.

    Args:
        database: The log's.
        engine: The statements that make the tables of the jobs' engine.

    Raises:
        LogUnusable: It is no PostgreSQL, this login may not, or another version of the engine made
            them.
    """
    if not database.takes_workers:
        raise LogUnusable(
            f"{database.where} is a file of one machine",
            "Workers need PostgreSQL: petition migrate postgresql://host/name",
        )
    if not workers_are_made(database):
        with database.transaction():
            if not workers_are_made(database):
                database.install(engine)
                database.run("make_workers")
    _refuse_another_engine(database, engine)


def _refuse_another_engine(database: Database, engine: str) -> None:
    """Refuse tables that another version of the engine made: it may ask for what is not there."""
    there = {row[0] for row in database.all("engine_names")}
    if missing := sorted(set(_MADE.findall(engine)) - there):
        raise LogUnusable(
            f"the jobs in {database.where} were made by another version of Procrastinate"
            f" ({missing[0]} is not there)",
            "Use that version, or end all workers and apply the migrations that come with this one",
        )


def queue_jobs(database: Database, letter: str, revision: int) -> int:
    """Queue jobs for what was chosen and waits, in the transaction that queued the copies.

    Those of the letter that wait for a time are looked at anew: they may wait by another [pace].

    Args:
        database: The log's.
        letter: The letter's name.
        revision: Its revision.

    Returns:
        How many jobs.
    """
    database.run("wake_jobs", {"letter": letter, "task": TASK})
    values = {"letter": letter, "revision": revision, "task": TASK, "size": COPIES_A_JOB}
    return len(database.all("defer_jobs", values))


def refuse_jobs(database: Database) -> list[int]:
    """Let jobs fail whose arguments are damaged so that no worker can be given them.

    Those that would wait for a clock that was wrong are looked at now.

    Args:
        database: The log's.

    Returns:
        Their numbers.
    """
    database.run("wake_misdated_jobs", {"task": TASK})
    return [row[0] for row in database.all("refuse_jobs", {"task": TASK})]


def queue_moved(database: Database) -> None:
    """Queue jobs for what was picked to wait again (moving.sql), where workers send it."""
    if workers_are_made(database):
        database.all("defer_moved", {"task": TASK, "size": COPIES_A_JOB})


def keep_settings(database: Database, letter: str, settings: str, now: str) -> None:
    """Keep what workers must know to send a letter, as JSON; what was said last counts."""
    database.run("set_dispatch", {"letter": letter, "settings": settings, "now": now})


def settings_of(database: Database, letter: str) -> str | None:
    """What was kept for a letter; None: it was never given to workers."""
    row = database.one("dispatch", {"letter": letter}) if workers_are_made(database) else None
    return str(row[0]) if row else None


def last_letter(database: Database) -> str:
    """The letter of which something was kept last; "" where there is none."""
    row = database.one("last_dispatch")
    return str(row[0]) if row else ""


ALL = ""


def keep_to(database: Database, intervals: Mapping[str, float]) -> None:
    """Let buckets be used with other intervals: turns of a slower pace are not waited for.

    Args:
        database: The log's, in a transaction.
        intervals: The interval of each bucket, in seconds.
    """
    for name, interval in intervals.items():
        database.run("pull_turn_in", {"name": name, "interval": interval})


def take_turn(database: Database, name: str, interval: float) -> float:
    """Take the next of the turns that lie at least an interval apart, whoever asks for them.

    Args:
        database: The log's, on a connection that no run commits through: a turn must not wait.
        name: Whose turns: a domain, or ALL.
        interval: How far they lie apart, in seconds.

    Returns:
        How many seconds it is until then.

    Raises:
        LogUnusable: The database does not answer.
    """
    row = database.one("take_turn", {"name": name, "interval": interval})
    return max(0.0, float(row["delay"])) if row else 0.0


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
