"""A run: claims, marks and results of the copies that one process sends.

A copy is claimed, marked before its final dot (the intent), and recorded; each of the three is
durable before the next step is taken (committer.py).

A log can be out of reach at the very moment when the server answers: a disk is full, a database is
restarted. To anybody else such a copy is `uncertain`. Its owner has heard the reply, and records it
when the log is back (P3).
"""

import asyncio
import hashlib
import uuid
from collections.abc import Callable, Sequence
from datetime import datetime
from functools import partial
from typing import NamedTuple, TypeVar

from petition.address import folded
from petition.errors import LogDamaged
from petition.identity import Identity, Signer, selector_of
from petition.outbox import models
from petition.outbox.answers import Gate
from petition.outbox.committer import Committer
from petition.outbox.database import Database, stamp
from petition.outbox.log import Cap, Log
from petition.outbox.models import Copy, copies_of, queue_moved
from petition.outbox.states import DONE, WAITING, Reason, State, check_transition

Found = TypeVar("Found")


class CopyOutcome(NamedTuple):
    """What became of a copy in hand."""

    copy: int  # its id
    state: State  # sent, deferred, failed, uncertain, or queued (released)
    charge: bool  # whether this was an attempt
    reason: str = ""  # in words, where there is no reply
    due_at: datetime | None = None  # of a deferred copy
    letter_date: datetime | None = None  # its Date header, kept from the first attempt on
    reply_code: int | None = None
    enhanced_code: str | None = None
    reply: str | None = None
    server: str | None = None
    tls: str | None = None
    milliseconds: int | None = None


def write_down(database: Database, owner: str, now: str, outcomes: Sequence[CopyOutcome]) -> None:
    """Record what became of copies in hand; the first outcome of each counts."""
    became = {outcome.copy: _row_of(outcome) for outcome in reversed(outcomes)}
    rows, values = [*became.values()], {"owner": owner, "now": now}
    database.run_rows("log_recorded", rows, values)
    database.run_rows("record", rows, values)
    if waiting := [outcome.copy for outcome in outcomes if outcome.state in WAITING]:
        _skip_stopped(database, waiting, now)


def _skip_stopped(database: Database, waiting: Sequence[int], now: str) -> None:
    """Skip those of some copies that somebody stopped while they were in hand."""
    models.pick(database, "pick_stopped", {"copies": waiting, "replaced": Reason.REPLACED})
    models.move(database, now)


def write_down_late(log: Log, owner: str, outcomes: Sequence[CopyOutcome]) -> None:
    """Record replies that could not be recorded when they came; LogUnusable if they still cannot.

    A copy changes if it is still in hand, or became uncertain because its owner seemed to be
    gone; what a person decided meanwhile stands.
    """
    for outcome in outcomes:
        check_transition(State.UNCERTAIN, outcome.state)
    deferred = [outcome.copy for outcome in outcomes if outcome.state is State.DEFERRED]
    with log.writing():
        models.pick(log.database, "pick_late", {"copies": deferred, "owner": owner})
        queue_moved(log.database)  # the job that they were in may be done
        write_down(log.database, owner, log.now, outcomes)


def _row_of(outcome: CopyOutcome) -> tuple[object, ...]:
    return (
        outcome.copy,
        outcome.state.value,
        outcome.reason,
        outcome.reply_code,
        outcome.enhanced_code,
        outcome.reply,
        int(outcome.charge),
        stamp(outcome.due_at) if outcome.due_at else None,
        stamp(outcome.letter_date) if outcome.letter_date else None,
        outcome.server,
        outcome.tls,
        outcome.milliseconds,
    )


_BY_REPLY = frozenset({State.SENT, State.DEFERRED, State.FAILED})


class Intent(NamedTuple):
    """What is marked before the final dot of a copy may go."""

    copy: int  # its id
    letter_date: datetime  # its Date header
    message_id: str
    data: bytes  # whose hash the log keeps
    is_kept: bool  # whether it keeps the bytes too
    login: str  # whose daily cap it counts against
    recipients: int  # how many RCPT commands it has


class Run:
    """Sends the chosen copies of one letter from a log that this process owns.

    The log's connection is the run's until `close`. Without an `owner` it is somebody new;
    `is_shared` says that other runs send from the log at the same time.
    """

    def __init__(
        self,
        log: Log,
        letter: str,
        *,
        owner: str | None = None,
        is_shared: bool = False,
        loop: "asyncio.AbstractEventLoop | None" = None,
    ) -> None:
        self._log = log
        self.letter = letter
        self._gate = Gate.of(log, letter)
        newest = log.newest(letter)
        self._is_bulk = bool(newest and newest.content.get("kind") == "bulk")
        self._revision = newest.revision if newest else 0
        self.owner = owner or uuid.uuid4().hex
        self._signer = Signer(log.key)
        self._bind = self._signer.binder(letter)
        self._campaign = log.campaign_id or ""  # none: nothing was queued
        self._beginning = asyncio.Lock()
        self._in_hand: dict[int, Identity] = {}  # of the committer's thread
        self._committer = Committer(
            log.database,
            # Results before intents: a letter's result is durable with the mark of the next.
            (self._record_all, self._intend_all),
            is_shared=is_shared,
            loop=loop,
        )

    @property
    def now(self) -> datetime:
        """The time by the log's clock, aware."""
        return self._log.clock()

    async def claim(self, limit: int, full: Sequence[str] = (), past: int = 0) -> list[Copy]:
        """Take copies in hand, due ones first; not to `full` domains, nor queued up to `past`."""

        def step(database: Database) -> list[Copy]:
            now = self._log.now
            found = self._claimable(database, limit, full, past)
            if not found:
                return []
            taken = {"copies": found, "owner": self.owner, "now": now}
            database.run("log_claimed", taken)
            claimed = {copy.id: copy for copy in copies_of(database.all("claim", taken))}
            copies = [claimed[copy] for copy in found]
            self._refuse_altered(copies)
            for copy in copies:
                self._in_hand[copy.id] = Identity(
                    self._campaign, copy.letter, copy.revision, copy.spelling
                )
            return copies

        return await self._committer.commit(step)

    def _refuse_altered(self, copies: Sequence[Copy]) -> None:
        """Refuse to send if something else has put other addresses into the log."""
        for copy in copies:
            if copy.binding != self._bind(copy.mailbox) or copy.folded != folded(copy.mailbox):
                raise LogDamaged(
                    f"{self._log.where} was altered: {copy.mailbox} is not the address that"
                    f" petition queued in row {copy.id} of {copy.letter}"
                )

    def _claimable(
        self, database: Database, limit: int, full: Sequence[str], past: int
    ) -> list[int]:
        values: dict[str, object] = {"letter": self.letter, "limit": limit, "now": self._log.now}
        if full:
            values |= {"full": list(full), "past": past}
        query = "claimable_past" if full else "claimable"
        return [row["id"] for row in database.all(query, values)]

    async def begin(self) -> None:
        """Keep that letters go out (known_logs.py); to be awaited before the first final dot.

        LogForked if letters went out from another copy of the log since; LogUnusable or
        UserStateUnusable if it could not be written, CampaignError if sent.toml cannot be read.
        """
        memory = self._log.memory
        if memory.is_running:
            return
        async with self._beginning:
            if not memory.is_running:
                what = self._campaign, self.letter, self._revision, self.now.date()
                with memory.beginning(*what) as advance:
                    await self._committer.commit(lambda _: advance())

    def intend(self, intent: Intent) -> asyncio.Future[bool]:
        """Mark a copy before its final dot, which may go only if this returns True, durably."""
        return self._committer.add(self._intend_all, intent)

    def record(self, outcome: CopyOutcome) -> asyncio.Future[None]:
        """Record what became of a copy; done when that is durable."""
        check_transition(State.SENDING, outcome.state)
        return self._committer.add(self._record_all, outcome)

    def _intend_all(self, database: Database, intents: Sequence[Intent]) -> list[bool]:
        now = self._log.now
        self._stop_answered(database, [intent.copy for intent in intents])
        rows = [self._row_of_intent(intent) for intent in intents]
        changed = database.run_rows("intend", rows, {"owner": self.owner, "now": now})
        marked = {intent.copy for intent in intents}
        if changed < len(marked):  # which is rare
            values = {"copies": sorted(marked), "owner": self.owner}
            marked = {row[0] for row in database.all("intended", values)}
        counts: dict[str, int] = {}
        for intent in intents:
            if intent.copy not in marked:
                continue
            counts[intent.login] = counts.get(intent.login, 0) + intent.recipients
            if intent.is_kept:
                database.run("keep_bytes", {"copy": intent.copy, "bytes": intent.data})
        for login, recipients in counts.items():
            self._log.add_attempt(login, recipients)
        return [intent.copy in marked for intent in intents]

    def _stop_answered(self, database: Database, copies: list[int]) -> None:
        """Stop copies of a follow-up whose person has answered since they were queued."""
        if not self._gate:
            return
        for row in database.all("mailboxes", {"copies": copies}):
            if reason := self._gate.look(database, row["folded"]):
                database.run("stop", {"copy": row["id"], "reason": reason})

    def _row_of_intent(self, intent: Intent) -> tuple[object, ...]:
        """An intent as `intend` reads it, with the tokens that mail is matched by."""
        identity = self._in_hand.get(intent.copy)  # None: not this run's, so not marked
        token = self._signer.return_path_token(identity) if identity else None
        own = self._signer.unsubscribe_token(identity) if identity and self._is_bulk else None
        return (
            intent.copy,
            stamp(intent.letter_date),
            intent.message_id,
            hashlib.sha256(intent.data).hexdigest(),  # here, off the event loop
            token,
            selector_of(own) if own else None,
        )

    def _record_all(self, database: Database, outcomes: Sequence[CopyOutcome]) -> list[None]:
        write_down(database, self.owner, self._log.now, outcomes)
        for outcome in outcomes:
            self._in_hand.pop(outcome.copy, None)
        return [None] * len(outcomes)

    async def take_back(self, charged: Sequence[Copy], reason: str) -> set[int]:
        """Queue copies as they were when they were claimed: their attempt was none.

        Returns the ids of those that are deferred or failed as this run has recorded it.
        """
        return await self._committer.commit(partial(self._take_back, charged, reason))

    def _take_back(self, charged: Sequence[Copy], reason: str, database: Database) -> set[int]:
        now = self._log.now
        taken = []
        for copy in charged:
            values: dict[str, object] = {
                "copy": copy.id,
                "owner": self.owner,
                "attempts": copy.attempts,
                "waiting_since": stamp(copy.waiting_since) if copy.waiting_since else None,
            }
            taken += [row[0] for row in database.all("take_back", values)]
        models.pick(database, "pick_taken_back", {"copies": taken, "reason": reason})
        models.move(database, now, by="queue_again")
        self._count_taken_back(database)
        _skip_stopped(database, taken, now)
        return set(taken)

    def _count_taken_back(self, database: Database) -> None:
        """What was just moved is no work done."""

    async def drop_unwanted(self) -> None:
        """Skip what waits for mailboxes that were suppressed."""
        await self._committer.commit(self._drop_unwanted)

    def _drop_unwanted(self, database: Database) -> None:
        models.pick(database, "pick_unwanted")
        models.move(database, self._log.now)

    async def next_due(self, full: Sequence[str] = ()) -> datetime | None:
        """When the first deferred copy is due, apart from some domains."""
        values = {"letter": self.letter, "full": list(full)}
        return await self.ask(lambda log: log.database.moment("next_due_chosen", values))

    async def waiting(self, limit: int) -> int:
        """How many copies could be claimed now, counted up to a limit."""
        return await self._committer.commit(partial(self._waiting, limit=limit))

    def _waiting(self, database: Database, *, limit: int) -> int:
        values = {"letter": self.letter, "limit": limit, "now": self._log.now}
        return len(database.all("claimable", values))

    async def suppress(self, mailboxes: Sequence[str], reason: Reason) -> None:
        """Never write to these mailboxes again."""
        values = {"reason": reason, "now": self._log.now}
        rows = [values | {"folded": folded(one), "mailbox": one} for one in mailboxes]
        await self.ask(lambda log: log.database.run_many("suppress", rows))

    async def ask(self, question: Callable[[Log], Found]) -> Found:
        """The answer to a question to the log, in a transaction on its connection's thread."""
        return await self._committer.commit(lambda _: question(self._log))

    async def close(self) -> None:
        """Commit what is left, then give the log's connection back."""
        await self._committer.close()

    @property
    def late(self) -> list[CopyOutcome]:
        """The replies that could not be recorded, once it is closed (`write_down_late`)."""
        lost = [row for rows, row in self._committer.lost if rows == self._record_all]
        return [one for one in lost if one.state in _BY_REPLY and one.reply_code is not None]


class SharedRun(Run):
    """Sends one revision of a letter beside other runs.

    It may be made on another thread than the loop's. The owner is a worker, which holds the
    lock of `membership`; `cap` gives the recipients that a login may have in 24 hours, by the
    days before this one, and is None where there is no cap. `damage` is what is wrong with a row
    that was left out.
    """

    def __init__(
        self,
        log: Log,
        letter: str,
        revision: int,
        owner: str,
        cap: Cap | None,
        loop: "asyncio.AbstractEventLoop",
    ) -> None:
        super().__init__(log, letter, owner=owner, is_shared=True, loop=loop)
        self._which: dict[str, object] = {"letter": letter, "revision": revision}
        self._cap = cap
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
        within = self._within_cap(database, intents, self._cap) if self._cap else len(intents)
        answers = super()._intend_all(database, intents[:within]) if within else []
        return answers + [False] * (len(intents) - within)

    def _within_cap(self, database: Database, intents: Sequence[Intent], cap: Cap) -> int:
        """How many of the first ones the cap allows; all are under one login."""
        login = intents[0].login
        database.one("lock_cap", {"login": login})
        most = cap(self._log.days_before(login))
        if most is None:
            return len(intents)
        room = most - self._log.spent(login)[0]
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
            database.run("count_work", counts | {"owner": self.owner})
        return answers

    def _count_taken_back(self, database: Database) -> None:
        starts = [one.start for one in models.moved(database).values()]
        counts: dict[str, object] = {state.value: -starts.count(state) for state in DONE}
        database.run("count_work", counts | {"owner": self.owner})

    def _drop_unwanted(self, database: Database) -> None:
        """The same in this revision alone."""
        found = [row["id"] for row in database.all("unwanted_shared", self._which)]
        if found:
            _skip_stopped(database, found, self._log.now)

    def _waiting(self, database: Database, *, limit: int) -> int:
        values = self._which | {"now": self._log.now}
        return min(limit, int(database.value("waiting_shared", values)))
