"""Workers that share a log: who is alive, their claims, and how they stand.

A worker holds two locks of its connection: one that it shares with all other workers, and that
keeps a `send` of one machine away; and one that is its own. Both end with the connection, which is
also the one that it writes through: who has lost them can mark no copy any more. Whoever can take
another's own lock has proved that it is dead, and gives the copies it had in hand their true state.

It claims only rows that nobody else has, by `FOR UPDATE SKIP LOCKED`, and its marks are allowed
under the daily cap one worker at a time.
"""

import time
import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from petition.errors import LogUnusable
from petition.outbox import models
from petition.outbox.database import Database
from petition.outbox.log import Cap, Log, utc_now
from petition.outbox.models import moment
from petition.outbox.run import CopyOutcome, Intent, Run
from petition.outbox.states import Reason, State
from petition.outbox.worker_store import workers_are_made

if TYPE_CHECKING:
    import asyncio


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


_COUNTED = (State.SENT, State.DEFERRED, State.FAILED, State.UNCERTAIN)


def choose(log: Log, copies: Iterable[int]) -> None:
    """Choose the copies that this connection may claim.

    Args:
        log: The log.
        copies: Their ids.
    """
    with log.database.transaction(temporary=True):
        log.database.run("chosen_drop")
        log.database.run("chosen_table")
        log.database.run_many("choose_copy", ((copy,) for copy in sorted(set(copies))))
        log.database.survey("chosen")


def left_of_job(log: Log) -> tuple[int, datetime | None]:
    """How many of the chosen copies wait or are in hand, and when the first is due; None: now."""
    queued = log.database.one("queued_of_job")
    row = log.database.one("left_of_job")
    if row is None or not row["waiting"]:
        return 0, None
    is_due = bool(queued and queued[0]) or row["due_at"] is None
    return row["waiting"], None if is_due else moment(row["due_at"])


class SharedRun(Run):
    """Sends the chosen copies of one letter beside other runs.

    Args:
        log: The log; its connection is the run's until `close`.
        letter: The letter's name.
        owner: The worker, which holds the lock of a member (`membership`).
        cap: How many recipients a login may have in 24 hours, by the days before this one.
        loop: The event loop in which it is used; it may be made on a thread.
    """

    def __init__(
        self, log: Log, letter: str, owner: str, cap: Cap, loop: "asyncio.AbstractEventLoop"
    ) -> None:
        super().__init__(log, letter, owner=owner, is_shared=True, loop=loop)
        self._cap = cap
        self._has_cap = cap(0) is not None or cap(1_000_000) is not None

    def _claimable(
        self, database: Database, limit: int, full: Sequence[str], past: int
    ) -> list[int]:
        del past  # a job is short: none need be passed by
        values = {"limit": limit, "full": list(full), "now": self._log.now}
        return [row["id"] for row in database.all("claimable_shared", values)]

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
        counts: dict[str, object] = {state.value: states.count(state) for state in _COUNTED}
        if any(counts.values()):
            database.run("count_work", counts | {"owner": self._owner})
        return answers

    async def drop_unwanted(self) -> None:
        """Suppress what waits in this job for mailboxes that are never to be written to."""

        def step(database: Database) -> None:
            found = [row["id"] for row in database.all("unwanted_shared")]
            if found:
                values = {"copies": found, "replaced": Reason.REPLACED}
                models.pick(database, "pick_stopped", values)
                models.move(database, self._log.now)

        await self._committer.commit(step)

    async def waiting(self, limit: int) -> int:
        """How many copies of the job could be claimed now.

        Args:
            limit: So many are enough to know of.
        """

        def step(database: Database) -> int:
            row = database.one("waiting_shared", {"now": self._log.now})
            return min(limit, row[0]) if row else 0

        return await self._committer.commit(step)


DONE = (State.SENT, State.DEFERRED, State.FAILED, State.UNCERTAIN)


@dataclass(frozen=True, slots=True)
class AtWork:
    """A worker, and what it has done since it began."""

    owner: str
    name: str
    done: Mapping[State, int]


@dataclass(frozen=True, slots=True)
class Stats:
    """How a log stood.

    Args:
        seconds: When it was looked at, by a clock that nobody sets.
        at: The same as the log keeps it.
        counts: How many copies were in each state, of one letter or of all.
        deferred: How many waited, by the domain that put them off.
        workers: Who was at work.
        waiting: How many jobs waited.
        doing: How many were being done.
        lag: For how many seconds the first job that could be done had waited.
    """

    seconds: float
    at: str
    counts: Mapping[State, int]
    deferred: Mapping[str, int]
    workers: tuple[AtWork, ...] = field(default=())
    waiting: int = 0
    doing: int = 0
    lag: float = 0.0


def look(log: Log, letter: str | None) -> Stats:
    """Look at a log.

    Args:
        log: The log.
        letter: At one letter; None: at all. Workers and jobs are those of all letters.
    """
    with log.database.transaction(temporary=True):  # as of one moment
        return _looked(log, letter)


def _looked(log: Log, letter: str | None) -> Stats:
    counts: dict[State, int] = {}
    for name in [letter] if letter else log.letters():
        for state, number in log.counts(name).by_state.items():
            counts[state] = counts.get(state, 0) + number
    rows = log.database.all("deferred_domains", {"letter": letter})
    deferred = {row["domain"]: row["number"] for row in rows}
    seconds, at = time.monotonic(), log.now
    if not workers_are_made(log.database):
        return Stats(seconds, at, counts, deferred)
    workers = tuple(
        AtWork(row["owner"], row["name"], {state: row[str(state)] for state in DONE})
        for row in log.database.all("workers_now")
    )
    jobs = log.database.one("jobs_now")
    assert jobs is not None  # noqa: S101 (counts have one row)
    return Stats(
        seconds,
        at,
        counts,
        deferred,
        workers,
        jobs["waiting"],
        jobs["doing"],
        max(0.0, float(jobs["lag"])),
    )
