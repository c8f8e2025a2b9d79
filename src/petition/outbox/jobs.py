"""What stands in the log for workers: their tables, and the jobs for what was just queued.

The tables of the engine that gives jobs out are made beside ours, and its own function queues them,
on the connection of the log: in the transaction of the copies that they are for.
"""

from petition.errors import LogUnusable
from petition.outbox.database import Database
from petition.outbox.log import Log
from petition.outbox.members import workers_are_made


def make_tables(log: Log, engine: str) -> None:
    """Make what workers need in the log's database, where it is not there.

    Args:
        log: The log.
        engine: The statements that make the tables of the jobs' engine.

    Raises:
        LogUnusable: It is no PostgreSQL, or this login may not.
    """
    database = log.database
    if not database.takes_workers:
        raise LogUnusable(
            f"{log.where} is a file of one machine",
            "Workers need PostgreSQL: petition migrate postgresql://host/name",
        )
    if workers_are_made(log):
        return
    with database.transaction():
        if not workers_are_made(log):
            database.install(engine)
            database.run("make_workers")


def queue_jobs(log: Log, letter: str, revision: int, task: str, size: int) -> int:
    """Queue jobs for what was chosen and waits, in the transaction that queued the copies.

    Args:
        log: The log.
        letter: The letter's name.
        revision: Its revision.
        task: What the engine calls such a job.
        size: How many copies a job is for.

    Returns:
        How many jobs.
    """
    values = {"letter": letter, "revision": revision, "task": task, "size": size}
    return len(log.database.all("defer_jobs", values))


def keep_settings(log: Log, letter: str, settings: str) -> None:
    """Keep what workers must know to send a letter, as JSON; what was said last counts."""
    values = {"letter": letter, "settings": settings, "now": log.now}
    log.database.run("set_dispatch", values)


def settings_of(database: Database, letter: str) -> str | None:
    """What was kept for a letter."""
    row = database.one("dispatch", {"letter": letter})
    return str(row[0]) if row else None
