"""A run that sends some copies of a letter while others send others: what a worker's job is.

It claims only rows that nobody else has, by `FOR UPDATE SKIP LOCKED`, and its marks are allowed
under the daily cap one worker at a time.
"""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import TYPE_CHECKING

from petition.outbox import moving
from petition.outbox.database import Database
from petition.outbox.log import Cap, Log
from petition.outbox.recording import Outcome
from petition.outbox.records import moment
from petition.outbox.run import Intent, Run
from petition.outbox.states import Reason, State

if TYPE_CHECKING:
    import asyncio

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
        owner: The worker, which holds the lock of a member (members.py).
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

    def _record_all(self, database: Database, outcomes: Sequence[Outcome]) -> list[None]:
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
                moving.pick(database, "pick_stopped", values)
                moving.move(database, self._log.now)

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
