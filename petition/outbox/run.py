"""A run: what one process sends of a letter, and the marks and results of it.

Reading ahead changes nothing. A copy is marked before its final dot: in one commit it becomes
`sending`, and only then may the dot go. So of two that have read the same copy one can mark it,
and every copy that is `sending` may have arrived. What became of a copy is recorded in a later
commit, together with the marks of others; of one that was refused before its mark both transitions
are in one commit.

A log can be out of reach at the very moment when the server answers: a disk is full, a database is
restarted. To anybody else such a copy is `uncertain`. Its owner has heard the reply, and records it
when the log is back (P3).
"""

import asyncio
import hashlib
import uuid
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from functools import partial
from typing import NamedTuple, TypeVar

from petition.address import folded
from petition.errors import LogDamaged
from petition.identity import Identity, Signer, selector_of
from petition.outbox import models
from petition.outbox.answers import Gate
from petition.outbox.committer import Committer, Step, Told
from petition.outbox.database import Database, MarkRow, Values, Written, stamp
from petition.outbox.log import Log
from petition.outbox.models import Copy, copies_of, queue_moved, skip_stopped
from petition.outbox.states import WAITING, Reason, State, check_transition

Found = TypeVar("Found")


class CopyOutcome(NamedTuple):
    """What became of an attempt."""

    copy: Copy  # as it was read
    state: State  # sent, deferred, failed, uncertain, or queued (released)
    charge: bool  # whether this was an attempt
    reason: str = ""  # in words, beside the reply; "" for a letter that was just sent
    due_at: datetime | None = None  # of a deferred copy
    letter_date: datetime | None = None  # its Date header, kept from the first attempt on
    reply_code: int | None = None
    enhanced_code: str | None = None
    reply: str | None = None
    server: str | None = None
    tls: str | None = None
    milliseconds: int | None = None

    def row(self, start: State) -> tuple[object, ...]:
        """A row of the query `record`; a copy that waits must be as it was read."""
        # Here and below states are texts by `str`: their `value` takes five times as long.
        return (
            self.copy.id,
            str(start),
            stamp(self.copy.updated_at) if start in WAITING else None,
            str(self.state),
            self.reason,
            self.reply_code,
            self.enhanced_code,
            self.reply,
            int(self.charge),
            stamp(self.due_at) if self.due_at else None,
            stamp(self.letter_date) if self.letter_date else None,
        )

    def events(self, start: State) -> Iterable[tuple[object, ...]]:
        """Its rows of the query `log_events`."""
        if start in WAITING:
            yield _begun(self.copy.id, start)
            start = State.SENDING
        yield (
            self.copy.id,
            str(start),
            str(self.state),
            self.reason,
            self.reply_code,
            self.enhanced_code,
            self.reply,
            self.server,
            self.tls,
            self.milliseconds,
        )


def _begun(copy: int, start: State) -> tuple[object, ...]:
    return (copy, str(start), str(State.SENDING), "", None, None, None, None, None, None)


_BY_REPLY = frozenset({State.SENT, State.DEFERRED, State.FAILED})


class CopyMark(NamedTuple):
    """What the log keeps of a copy before its final dot may go."""

    copy: Copy  # as it was read
    letter_date: datetime  # its Date header
    message_id: str
    data: bytes  # whose hash the log keeps
    is_kept: bool  # whether it keeps the bytes too
    login: str  # whose daily cap it counts against
    recipients: int  # how many RCPT commands it has


def record_late(log: Log, owner: str, outcomes: Sequence[CopyOutcome]) -> None:
    """Record replies that could not be recorded when they came; LogUnusable if they still cannot.

    A copy changes if it is still marked, or became uncertain because its owner seemed to be gone;
    what a person decided meanwhile stands.
    """
    for outcome in outcomes:
        check_transition(State.UNCERTAIN, outcome.state)
    by_id = {outcome.copy.id: outcome for outcome in reversed(outcomes)}
    deferred = [copy for copy, one in by_id.items() if one.state is State.DEFERRED]
    which: dict[str, object] = {"copies": list(by_id), "owner": owner}
    with log.writing():
        models.pick(log.database, "pick_late", which | {"copies": deferred})
        queue_moved(log.database)  # the job that they were in may be done
        marked = [(by_id[row[0]], State(row[1])) for row in log.database.all("marked_by", which)]
        done = [outcome.row(start) for outcome, start in marked]
        events = [event for outcome, start in marked for event in outcome.events(start)]
        values = {"owner": owner, "login": ""} | log.now_and_horizon()
        log.database.write_all(Written(done, [], events), values)
        skip_stopped(log.database, deferred, log.now)


class Run:
    """Marks and records the chosen copies of one letter in a log that this process owns.

    The log's connection is the run's until `close`. Without an `owner` it is somebody new;
    `is_shared` says that other runs send from the log at the same time. All its letters go out
    under one login.
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
        database = log.database
        self._transaction = database.shared_transaction if is_shared else database.transaction
        self._marked: set[int] = set()  # copies, until they are recorded; of the committer's thread
        self._committer = Committer(database, self._commit_all, loop=loop)

    @property
    def now(self) -> datetime:
        """The time by the log's clock, aware."""
        return self._log.clock()

    async def fetch(
        self,
        limit: int,
        *,
        full: Sequence[str] = (),
        past: int = 0,
        known: Iterable[int] = (),
    ) -> list[Copy]:
        """Copies that can be sent now, due ones first; nothing changes.

        Not those to `full` domains, queued ones with an id up to `past`, and `known` ones.
        """
        values: dict[str, object] = {
            "letter": self.letter,
            "full": list(full),
            "past": past,
            "known": list(known),
        }
        return await self._committer.commit(partial(self._read, limit, values))

    def _read(self, limit: int, values: Values, database: Database) -> list[Copy]:
        copies = self._ready(database, limit, {**values, "now": self._log.now})
        self._refuse_altered(copies)
        return copies

    def _ready(self, database: Database, limit: int, values: Values) -> list[Copy]:
        copies = copies_of(database.all("due", {**values, "limit": limit}))
        if left := limit - len(copies):
            copies += copies_of(database.all("queued", {**values, "limit": left}))
        return copies

    def _refuse_altered(self, copies: Sequence[Copy]) -> None:
        """Refuse to send if something else has put other addresses into the log."""
        for copy in copies:
            if copy.binding != self._bind(copy.mailbox) or copy.folded != folded(copy.mailbox):
                raise LogDamaged(
                    f"{self._log.where} was altered: {copy.mailbox} is not the address that"
                    f" petition queued in row {copy.id} of {copy.letter}"
                )

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

    @property
    def has_begun(self) -> bool:
        """Whether `begin` need not be awaited any more."""
        return self._log.memory.is_running

    def mark(self, mark: CopyMark, told: Told) -> None:
        """Mark a copy before its final dot, which may go only once `told` gets True."""
        self._committer.add(mark, told)

    def record(self, outcome: CopyOutcome, told: Told) -> None:
        """Record what became of an attempt; `told` is called when that is durable."""
        check_transition(State.SENDING, outcome.state)
        self._committer.add(outcome, told)

    # ---- on the committer's thread

    def _commit_all(
        self, rows: Sequence[CopyMark | CopyOutcome], steps: Sequence[Step]
    ) -> list[object]:
        if steps or self._needs_more(rows):
            with self._transaction():
                answers = self._record_and_mark(rows)
                answers += [step(self._log.database) for step in steps]
        else:
            answers = self._record_and_mark(rows)
        for row, answer in zip(rows, answers, strict=False):
            if isinstance(row, CopyOutcome):
                self._marked.discard(row.copy.id)
            elif answer:
                self._marked.add(row.copy.id)
        return answers

    def _needs_more(self, rows: Sequence[CopyMark | CopyOutcome]) -> bool:
        """Whether one statement is not enough."""
        return self._gate is not None or any(
            isinstance(row, CopyOutcome) and row.state in WAITING for row in rows
        )

    def _record_and_mark(self, rows: Sequence[CopyMark | CopyOutcome]) -> list[object]:
        """The results, and with them the marks of the letters that come next."""
        if not rows:
            return []
        database, times = self._log.database, self._log.now_and_horizon()
        now = times["now"]
        marks = [row for row in rows if isinstance(row, CopyMark)]
        outcomes = [row for row in rows if isinstance(row, CopyOutcome)]
        self._skip_answered(database, marks, now)
        allowed = self._within_cap(database, marks)
        # The first outcome of each copy counts.
        known = {outcome.copy.id: outcome for outcome in reversed(outcomes)}.values()
        starts = [
            (one, State.SENDING if one.copy.id in self._marked else one.copy.state) for one in known
        ]
        events = [event for one, start in starts for event in one.events(start)]
        events += [_begun(mark.copy.id, mark.copy.state) for mark in allowed]
        written = Written(
            [one.row(start) for one, start in starts], list(map(self._row_of, allowed)), events
        )
        values = {"owner": self.owner, "login": allowed[0].login if allowed else ""}
        changed = database.write_all(written, values | times, self._work_done(outcomes))
        marked = {mark.copy.id for mark in allowed} & changed
        if missed := [one.copy.id for one in marks if one.copy.id not in marked]:
            self._skip_missed(database, missed)
        skip_stopped(database, [one.copy.id for one in known if one.state in WAITING], now)
        return [row.copy.id in marked if isinstance(row, CopyMark) else None for row in rows]

    def _skip_answered(self, database: Database, marks: Sequence[CopyMark], now: str) -> None:
        """Skip copies of a follow-up whose person has answered since they were queued."""
        if not self._gate:
            return
        for mark in marks:
            if reason := self._gate.look(database, mark.copy.folded):
                models.pick(database, "pick_answered", {"copy": mark.copy.id, "reason": reason})
                models.move(database, now)

    def _within_cap(self, database: Database, marks: Sequence[CopyMark]) -> Sequence[CopyMark]:
        """The first ones, as many as may go today."""
        del database  # nobody else sends meanwhile: fetching has counted
        return marks

    def _work_done(self, outcomes: Sequence[CopyOutcome]) -> Values | None:
        """What is counted as the work of a worker."""
        del outcomes
        return None

    def _skip_missed(self, database: Database, missed: Sequence[int]) -> None:
        """Of copies that could not be marked, skip those that must not be sent any more."""
        with database.joined(self._transaction):
            skip_stopped(database, missed, self._log.now)

    def _row_of(self, mark: CopyMark) -> MarkRow:
        """A mark as `mark` reads it, with the tokens that mail is matched by."""
        copy = mark.copy
        identity = Identity(self._campaign, copy.letter, copy.revision, copy.spelling)
        own = self._signer.unsubscribe_token(identity) if self._is_bulk else None
        return MarkRow(
            copy.id,
            mark.recipients,
            str(copy.state),
            stamp(copy.updated_at),
            stamp(mark.letter_date),
            mark.message_id,
            hashlib.sha256(mark.data).hexdigest(),  # here, off the event loop
            self._signer.return_path_token(identity),
            selector_of(own) if own else None,
            mark.data if mark.is_kept else None,
        )

    async def take_back(self, charged: Sequence[Copy], reason: str) -> set[int]:
        """Queue copies as they were when they were read: their attempt was none.

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
        skip_stopped(database, taken, now)
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
        """How many copies can be sent now, counted up to a limit."""
        return await self._committer.commit(partial(self._waiting, limit=limit))

    def _waiting(self, database: Database, *, limit: int) -> int:
        values = {"letter": self.letter, "limit": limit, "now": self._log.now}
        return int(database.value("count_ready", values))

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
        """The replies that could not be recorded, once it is closed (`record_late`)."""
        lost = [one for one in self._committer.lost if isinstance(one, CopyOutcome)]
        return [
            one
            for one in lost
            if one.copy.id in self._marked and one.state in _BY_REPLY and one.reply_code is not None
        ]
