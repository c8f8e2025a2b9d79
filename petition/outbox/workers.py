"""Workers that share a log: who is alive, and what each claims.

A worker holds two advisory locks of its connection: one that it shares with all other workers, and
that keeps a local `send` out; and one of its own. Both end with the connection, through which it
also writes: a worker that lost them cannot mark a copy. A worker that gets the own lock of another
has proved that the other is dead, and gives the copies that it had in hand their true state.

A worker claims only rows that nobody else has, by `FOR UPDATE SKIP LOCKED`, and its marks are
allowed under the daily cap one worker at a time.
"""

import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from petition.errors import LogDamaged, LogUnusable
from petition.outbox import models
from petition.outbox.database import Database
from petition.outbox.log import Cap, Log, utc_now
from petition.outbox.models import Copy, moment, stamp
from petition.outbox.run import CopyOutcome, Intent, Run
from petition.outbox.states import DONE, Reason
from petition.outbox.worker_store import TASK, queue_job

if TYPE_CHECKING:
    import asyncio

_LONGEST_WAIT = timedelta(days=31)  # of a copy between two attempts, whatever [pace] says


def join(log: Log) -> bool:
    """Become one of those who send from a log while its connection lives; False: a `send` owns it.

    Raises:
        LogUnusable: The log cannot be reached, or was moved away since it was opened.
    """
    has_joined = _granted(log, "join_senders")
    if has_joined:
        log.refuse_closed()
    return has_joined


def keep_servers_time(log: Log) -> None:
    """Go by the clock of the log's server: those of the workers may differ."""
    row = log.database.one("server_time")
    ahead = timedelta(seconds=row[0] - utc_now().timestamp()) if row else timedelta()
    log.clock = lambda: utc_now() + ahead


@contextmanager
def membership(log: Log, name: str) -> Iterator[str]:
    """Be a worker while the block runs, after `join`.

    Args:
        log: The log.
        name: What a person calls this worker.

    Yields:
        The owner of the copies that it has in hand.
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
    """A second connection of a worker, for what must not wait for the commits of its run.

    It too holds the lock that keeps a local `send` out.

    Raises:
        LogUnusable: It cannot be reached, or a `send` owns the log.
    """
    with Log(url) as log:
        keep_servers_time(log)
        if not join(log):
            raise LogUnusable(f"another petition command is sending from {log.where}", "Wait")
        yield log


def recover_dead(log: Log, owner: str, *, is_idle: bool) -> list[str]:
    """Give the copies of workers that died their true state; the caller is a worker.

    Args:
        log: The log.
        owner: The caller.
        is_idle: Whether the caller sends nothing now: what it still has in hand was left by a run.

    Returns:
        The owners that were found dead.
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


def _dead(log: Log, owner: str, *, is_idle: bool) -> list[str]:
    database = log.database
    in_hand = {row[0] for row in database.all("owners_in_hand")}
    others = in_hand | {row[0] for row in database.all("living_workers")}
    dead = [one for one in sorted(others - {owner}) if _granted(log, "is_dead", {"owner": one})]
    return dead + ([owner] if is_idle and owner in in_hand else [])


def _granted(log: Log, query: str, values: dict[str, object] | None = None) -> bool:
    row = log.database.one(query, values)
    return bool(row and row[0])


def queue_missing_jobs(log: Log) -> bool:
    """Queue a job for each letter that could be sent and has none that waits.

    The job of a worker that died is lost with it, and one that a worker is doing leaves room for
    another worker beside it.

    Returns:
        Whether there was such a letter.
    """
    log.database.run("drop_lost_jobs", {"task": TASK})
    values = {"now": log.now, "horizon": stamp(log.clock() + _LONGEST_WAIT)}
    if not log.database.all("letters_without_job", values):
        return False
    with log.database.transaction():
        for row in log.database.all("letters_without_job", values):
            queue_job(log.database, row["letter"])
    return True


def revision_due(log: Log, letter: str) -> int | None:
    """The revision of a letter that is to be sent now; None: nothing is due."""
    row = log.database.one("revision_due", {"letter": letter, "now": log.now})
    return row[0] if row else None


def left_of(log: Log, letter: str) -> tuple[int, datetime | None]:
    """How many copies of a letter wait, and when the first is due; None: now."""
    row = log.database.one("left_of_letter", {"letter": letter, "now": log.now})
    if row is None or row["due_now"] or row["due_at"] is None:
        return row["waiting"] if row else 0, None
    return row["waiting"], moment(row["due_at"])


class SharedRun(Run):
    """Sends one revision of a letter beside other runs.

    Args:
        log: The log; its connection is the run's until `close`.
        letter: The letter's name.
        revision: The revision.
        owner: The worker, which holds the lock of `membership`.
        cap: How many recipients a login may have in 24 hours, by the days before this one.
        loop: The event loop in which it is used; it may be made on a thread.

    Attributes:
        damage: What is wrong with a row that was left out.
    """

    def __init__(
        self,
        log: Log,
        letter: str,
        revision: int,
        owner: str,
        cap: Cap,
        loop: "asyncio.AbstractEventLoop",
    ) -> None:
        super().__init__(log, letter, owner=owner, is_shared=True, loop=loop)
        self._which: dict[str, object] = {"letter": letter, "revision": revision}
        self._cap = cap
        self._has_cap = cap(0) is not None or cap(1_000_000) is not None
        self._found: list[int] = []  # by the last claim
        self._damaged: list[int] = []
        self.damage: LogDamaged | None = None

    async def claim(self, limit: int, full: Sequence[str] = (), past: int = 0) -> list[Copy]:
        """Take copies in hand, but for rows that cannot be read: the others go."""
        while True:
            try:
                return await super().claim(limit, full, past)
            except LogDamaged as fault:
                self.damage = fault
                if len(self._found) == 1:
                    self._damaged += self._found
                limit = 1  # until it is known which row it is

    def _claimable(
        self, database: Database, limit: int, full: Sequence[str], past: int
    ) -> list[int]:
        del past  # what others claim comes first: none need be passed by
        values = {"limit": limit, "full": list(full), "damaged": self._damaged}
        values |= self._which | {"now": self._log.now}
        self._found = [row["id"] for row in database.all("claimable_shared", values)]
        return self._found

    def _intend_all(self, database: Database, intents: Sequence[Intent]) -> list[bool]:
        within = self._within_cap(database, intents) if self._has_cap else len(intents)
        answers = super()._intend_all(database, intents[:within]) if within else []
        return answers + [False] * (len(intents) - within)

    def _within_cap(self, database: Database, intents: Sequence[Intent]) -> int:
        """How many of the first ones the cap allows; all are under one login."""
        login = intents[0].login
        database.one("lock_cap", {"login": login})
        cap = self._cap(self._log.days_before(login))
        if cap is None:
            return len(intents)
        room = cap - self._log.spent(login)[0]
        for number, intent in enumerate(intents):
            room -= intent.recipients
            if room < 0:
                return number
        return len(intents)

    def _record_all(self, database: Database, outcomes: Sequence[CopyOutcome]) -> list[None]:
        answers = super()._record_all(database, outcomes)
        states = [outcome.state for outcome in outcomes]
        counts: dict[str, object] = {state.value: states.count(state) for state in DONE}
        if any(counts.values()):
            database.run("count_work", counts | {"owner": self._owner})
        return answers

    async def drop_unwanted(self) -> None:
        """Suppress what waits for mailboxes that are never to be written to."""

        def step(database: Database) -> None:
            found = [row["id"] for row in database.all("unwanted_shared", self._which)]
            if found:
                values = {"copies": found, "replaced": Reason.REPLACED}
                models.pick(database, "pick_stopped", values)
                models.move(database, self._log.now)

        await self._committer.commit(step)

    async def waiting(self, limit: int) -> int:
        """How many copies could be claimed now; `limit` are enough to know of."""

        def step(database: Database) -> int:
            row = database.one("waiting_shared", self._which | {"now": self._log.now})
            return min(limit, row[0]) if row else 0

        return await self._committer.commit(step)
