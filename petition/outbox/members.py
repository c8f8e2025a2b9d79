"""Many who send from one log: each proves by a lock of its own that it lives (PostgreSQL).

A worker holds two locks of its connection: one that it shares with all other workers, and that
keeps a `send` of one machine away; and one that is its own. Both end with the connection, which is
also the one that it writes through: who has lost them can mark no copy any more. Whoever can take
another's own lock has proved that it is dead, and gives the copies it had in hand their true state.
"""

import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta

from petition.errors import LogUnusable
from petition.outbox.log import Log, utc_now


def join(log: Log) -> bool:
    """Become one of those who send from a log, while its connection lives.

    Returns:
        Whether it came about; not while a `send` has the log for itself.

    Raises:
        LogUnusable: The log cannot be reached, or was moved away since it was opened.
    """
    has_joined = _granted(log, "join_senders")
    if has_joined:
        log.refuse_closed()
    return has_joined


def keep_servers_time(log: Log) -> None:
    """Let a log be kept by the clock of its server: those of the workers may differ.

    Raises:
        LogUnusable: The log cannot be reached.
    """
    row = log.database.one("server_time")
    ahead = timedelta(seconds=row[0] - utc_now().timestamp()) if row else timedelta()
    log.clock = lambda: utc_now() + ahead


@contextmanager
def membership(log: Log, name: str) -> Iterator[str]:
    """Be a worker by a name while the block runs, after `join`.

    Args:
        log: The log.
        name: What a person calls this worker.

    Yields:
        As whom it has copies in hand.

    Raises:
        LogUnusable: The log cannot be reached.
    """
    owner = uuid.uuid4().hex
    database = log.database
    database.one("live", {"owner": owner})
    with database.shared_transaction():
        database.run("began", {"owner": owner, "name": name, "now": log.now})
    try:
        yield owner
    finally:
        log.memory.end_run()
        with suppress(LogUnusable):  # else they are freed with the connection
            recover_dead(log, owner, is_idle=True)
            with database.shared_transaction():
                database.run("ended", {"owner": owner, "now": log.now})
            database.one("end_living", {"owner": owner})
            database.one("leave_senders")


@contextmanager
def companion(url: str) -> Iterator[Log]:
    """A second connection of a member, for what must not wait for the commits of its run.

    It shares the lock that keeps a `send` of one machine away: whoever has no lock of a member is
    dead as long as it does.

    Args:
        url: The address of the log.

    Raises:
        LogUnusable: It cannot be reached, or a `send` came between.
    """
    with Log(url) as log:
        keep_servers_time(log)
        if not join(log):
            raise LogUnusable(f"another petition command is sending from {log.where}", "Wait")
        yield log


def recover_dead(log: Log, owner: str, *, is_idle: bool) -> list[str]:
    """Give the copies of workers that died their true state; the caller is a member.

    Args:
        log: The log.
        owner: The caller.
        is_idle: Whether the caller itself has none in hand: what stands there as its own is what a
            run of its left.

    Returns:
        The owners that were found dead.

    Raises:
        LogUnusable: The log cannot be written.
    """
    if not _dead(log, owner, is_idle=is_idle):
        return []
    with log.database.transaction():
        dead = _dead(log, owner, is_idle=is_idle)
        log.adopt("pick_orphans_of", {"owners": dead})
        for one in dead:
            if one != owner:
                log.database.run("ended", {"owner": one, "now": log.now})
    return dead


def is_owed_a_job(log: Log, owner: str) -> bool:
    """Whether more jobs are in hands than other workers live: one is a dead worker's still.

    Args:
        log: The log, after `recover_dead`.
        owner: The caller, who has none.
    """
    row = log.database.one("jobs_and_living", {"owner": owner})
    return bool(row and row["jobs"] > row["living"])


def _dead(log: Log, owner: str, *, is_idle: bool) -> list[str]:
    database = log.database
    in_hand = {row[0] for row in database.all("owners_in_hand")}
    others = in_hand | {row[0] for row in database.all("living_workers")}
    dead = [one for one in sorted(others - {owner}) if _granted(log, "is_dead", {"owner": one})]
    return dead + ([owner] if is_idle and owner in in_hand else [])


def _granted(log: Log, query: str, values: dict[str, object] | None = None) -> bool:
    row = log.database.one(query, values)
    return bool(row and row[0])
