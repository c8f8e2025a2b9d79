"""A run: claims, marks and results of the copies that one process sends, written by one thread.

While a commit is on its way to the disk, the steps of all connections gather; the next commit
takes them together (natural group commit). A step's future is resolved only when its commit has
returned: what was promised is on the disk.

A log can be out of reach at the very moment when the server answers: a disk is full, a database is
started anew. Whoever comes next can only call such a copy `uncertain`. Its owner has heard more,
and says it when the log is back (P3).

A copy is claimed, marked before its final dot (the intent), and recorded; each of the three is
durable before the next step is taken.
"""

import asyncio
import hashlib
import queue
import threading
import time
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, NamedTuple, TypeVar, cast

from petition.address import folded
from petition.errors import LogDamaged
from petition.identity import Identity, Signer, selector_of
from petition.outbox import models
from petition.outbox.answers import Gate
from petition.outbox.database import Database
from petition.outbox.inbound import is_bulk
from petition.outbox.log import Log
from petition.outbox.models import Copy, copies_of, moment, stamp
from petition.outbox.states import WAITING, Reason, State, arrow
from petition.outbox.worker_store import queue_moved

Answer = TypeVar("Answer")
Step = Callable[[Database], object]
Rows = Callable[[Database, Sequence[Any]], Sequence[object]]

# How long a database that another process holds is waited for, beyond SQLite's own patience.
BUSY_SECONDS = 600.0
_BUSY_PAUSE = 0.05


async def on_thread(call: Callable[..., Answer], *arguments: object) -> Answer:
    """Run what may wait for a database on a thread, and return when it has ended.

    A connection is used by one thread at a time. Whoever is cancelled meanwhile waits all the same,
    and only then lets others have it.

    Args:
        call: What is run.
        arguments: What it is given.
    """
    running = asyncio.ensure_future(asyncio.to_thread(call, *arguments))
    cancelled: asyncio.CancelledError | None = None
    while not running.done():
        try:
            await asyncio.wait({running})
        except asyncio.CancelledError as fault:
            cancelled = fault
    if cancelled:
        running.exception()  # nobody is left to be told
        raise cancelled
    return running.result()


@dataclass(slots=True)
class _Gathered:
    """What is to go into one commit: steps, and rows for what takes many at once."""

    steps: list[tuple[Step, "asyncio.Future[Any]"]]
    rows: dict[Rows, list[tuple[Any, "asyncio.Future[Any]"]]]

    def __bool__(self) -> bool:
        return bool(self.steps or self.rows)


class Committer:
    """Runs steps in transactions on a thread of its own.

    Steps are taken in the order in which they came, after the rows that came with them. The
    database belongs to the thread until `close` has returned.

    What gathers is handed to the thread at the end of a turn of the event loop, when every
    connection that has something to say has said it, and not again before its commit is back:
    the fewer the commits, the less each letter costs.

    Args:
        database: The connection that the thread writes through.
        rows: What takes many rows at once, in the order in which it is to be run.
        is_shared: Whether others write at the same time, each rows of its own.
        loop: The event loop; None: the running one.

    Attributes:
        lost: The rows that could not be made durable, each with what was to take it.
    """

    def __init__(
        self,
        database: Database,
        rows: Sequence[Rows] = (),
        *,
        is_shared: bool = False,
        loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        self._database = database
        self._begin = database.shared_transaction if is_shared else database.transaction
        self._loop = loop or asyncio.get_running_loop()
        self._kinds = tuple(rows)
        self._gathered = _Gathered([], {})
        self._is_handing_over = False  # at the end of this turn of the loop
        self._is_committing = False
        self._closing = False
        self.lost: list[tuple[Rows, Any]] = []
        self._handed_over: queue.SimpleQueue[_Gathered | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._work, name="committer", daemon=True)
        self._thread.start()

    async def commit(self, step: Callable[[Database], Answer]) -> Answer:
        """Run a step and wait until it is durable."""
        self._check_open()
        future: asyncio.Future[Any] = self._loop.create_future()
        self._gathered.steps.append((step, future))
        self._hand_over_soon()
        # Shielded: a connection that is cancelled while it waits must not leave the outcome of a
        # commit unknown to itself alone; the step is taken all the same.
        return cast("Answer", await asyncio.shield(future))

    def add(self, rows: Rows, row: object) -> "asyncio.Future[Any]":
        """Add a row to what is run once for all rows that have gathered.

        Args:
            rows: One of those the committer was made with.
            row: What it is given.

        Returns:
            Its answer for this row, when it is durable; or LogUnusable, and it was not taken.
        """
        self._check_open()
        future: asyncio.Future[Any] = self._loop.create_future()
        self._gathered.rows.setdefault(rows, []).append((row, future))
        self._hand_over_soon()
        return future

    async def close(self) -> None:
        """Take the steps that are left, then give the database back."""
        if not self._closing:
            self._closing = True
            self._handed_over.put(self._gathered)
            self._handed_over.put(None)
        await on_thread(self._thread.join)

    def _check_open(self) -> None:
        if self._closing:
            raise RuntimeError("the committer is closed")

    # ---- on the event loop

    def _hand_over_soon(self) -> None:
        if not (self._is_handing_over or self._is_committing):
            self._is_handing_over = True
            self._loop.call_soon(self._hand_over)

    def _hand_over(self) -> None:
        self._is_handing_over = False
        if self._gathered and not self._closing:
            self._is_committing = True
            self._handed_over.put(self._gathered)
            self._gathered = _Gathered([], {})

    def _tell(self, told: "list[_Told]") -> None:
        """Resolve what a commit was awaited for, and hand over what gathered meanwhile."""
        self._is_committing = False
        for futures, answers, fault in told:
            for place, future in enumerate(futures):
                if future.done():  # cancelled
                    continue
                if fault is None:
                    future.set_result(answers[place])
                else:
                    future.set_exception(fault)
                    # Nobody may be left to see it: its connection can have been cancelled.
                    future.exception()
        if self._gathered:
            self._hand_over_soon()

    # ---- on the thread

    def _work(self) -> None:
        while (gathered := self._handed_over.get()) is not None:
            runs = self._runs_of(gathered)
            try:
                answers = self._in_one_commit(runs)
            except Exception:  # noqa: BLE001 (each of them is told of its own fault)
                told = [self._alone(*one) for one in self._one_by_one(gathered)]
            else:
                told = [([future for _, futures in runs for future in futures], answers, None)]
            self._loop.call_soon_threadsafe(self._tell, told)

    def _runs_of(self, gathered: _Gathered) -> "list[_Run]":
        runs: list[_Run] = []
        for rows in self._kinds:
            if found := gathered.rows.get(rows):
                values = [row for row, _ in found]
                runs.append((_for_all(rows, values), [future for _, future in found]))
        for step, future in gathered.steps:
            runs.append((_for_one(step), [future]))
        return runs

    def _one_by_one(self, gathered: _Gathered) -> "list[tuple[_Run, tuple[Rows, Any] | None]]":
        """The same in the same order, each row on its own and with what was to take it."""
        rows: list[tuple[_Run, tuple[Rows, Any] | None]] = [
            ((_for_all(kind, [row]), [future]), (kind, row))
            for kind in self._kinds
            for row, future in gathered.rows.get(kind, [])
        ]
        return rows + [((_for_one(step), [future]), None) for step, future in gathered.steps]

    def _in_one_commit(self, runs: "list[_Run]") -> list[object]:
        patience = time.monotonic() + BUSY_SECONDS
        while True:
            try:
                with self._begin():
                    return [answer for step, _ in runs for answer in step(self._database)]
            except Exception as fault:
                if not self._database.is_busy(fault) or time.monotonic() > patience:
                    raise
                time.sleep(_BUSY_PAUSE)

    def _alone(self, run: "_Run", row: tuple[Rows, Any] | None) -> "_Told":
        """After a commit that failed: the fault of one step or row is no other's."""
        _, futures = run
        try:
            return futures, self._in_one_commit([run]), None
        except BaseException as fault:  # noqa: BLE001 (it is raised again where it is awaited)
            if row:
                self.lost.append(row)
            return futures, [], fault


# What is run in a transaction, and whom its answers are for.
_Run = tuple[Callable[[Database], Sequence[object]], list["asyncio.Future[Any]"]]
# Whom to tell, their answers, and what went wrong in place of them.
_Told = tuple[list["asyncio.Future[Any]"], Sequence[object], BaseException | None]


def _for_all(rows: Rows, values: list[Any]) -> Callable[[Database], Sequence[object]]:
    return lambda database: rows(database, values)


def _for_one(step: Step) -> Callable[[Database], Sequence[object]]:
    return lambda database: (step(database),)


class CopyOutcome(NamedTuple):
    """What became of a copy in hand.

    Args:
        copy: The copy's id.
        state: Where it goes: sent, deferred, failed, uncertain, or queued (released).
        charge: Whether this was an attempt.
        reason: In words, where there is no reply to say it.
        due_at: When a deferred copy is due.
        letter_date: Its Date header, which is kept from the first attempt on.
        milliseconds: How long the transaction took.
    """

    copy: int
    state: State
    charge: bool
    reason: str = ""
    due_at: datetime | None = None
    letter_date: datetime | None = None
    reply_code: int | None = None
    enhanced_code: str | None = None
    reply: str | None = None
    server: str | None = None
    tls: str | None = None
    milliseconds: int | None = None


def write_down(database: Database, owner: str, now: str, outcomes: Sequence[CopyOutcome]) -> None:
    """Write down what became of copies in hand; of each the first outcome counts."""
    # What a copy became is one arrow, and one event.
    became = {outcome.copy: _row_of(outcome) for outcome in reversed(outcomes)}
    rows, values = [*became.values()], {"owner": owner, "now": now}
    database.run_rows("log_recorded", rows, values)
    database.run_rows("record", rows, values)
    waiting = [outcome.copy for outcome in outcomes if outcome.state in WAITING]
    if waiting:  # and somebody may have stopped one of them meanwhile
        models.pick(database, "pick_stopped", {"copies": waiting, "replaced": Reason.REPLACED})
        models.move(database, now)


def write_down_late(log: Log, owner: str, outcomes: Sequence[CopyOutcome]) -> None:
    """Write down replies that could not be written when they came.

    A copy is changed that is still in hand, or that was called uncertain because its owner seemed
    to be gone; what a person said of it meanwhile stands.

    Args:
        log: The log, over a connection that works.
        owner: Who had the copies in hand.
        outcomes: What the server said of them.

    Raises:
        LogUnusable: It still cannot be written.
    """
    for outcome in outcomes:
        arrow(State.UNCERTAIN, outcome.state)
    deferred = [outcome.copy for outcome in outcomes if outcome.state is State.DEFERRED]
    with log.writing():
        models.pick(log.database, "pick_late", {"copies": deferred, "owner": owner})
        queue_moved(log.database)  # the job that they were in may be done
        write_down(log.database, owner, log.now, outcomes)


def _row_of(outcome: CopyOutcome) -> tuple[object, ...]:
    """An outcome as `log_recorded` and `record` read it."""
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
    """What is marked before the final dot of a copy may go.

    Args:
        copy: The copy's id.
        letter_date: Its Date header.
        message_id: Its Message-ID.
        data: Its bytes, whose hash the log has.
        is_kept: Whether it has the bytes themselves too.
        login: Under which login it goes, for the daily cap.
        recipients: How many RCPT commands it has.
    """

    copy: int
    letter_date: datetime
    message_id: str
    data: bytes
    is_kept: bool
    login: str
    recipients: int


class Run:
    """Sends the chosen copies of one letter.

    Args:
        log: The log, which this process owns; its connection is the run's until `close`.
        letter: The letter's name.
        owner: As whom it has copies in hand; None: as nobody who was there before.
        is_shared: Whether other runs send from the log at the same time.
        loop: The event loop in which it is used; None: the one in which it is made.
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
        self._letter = letter
        self._gate = Gate.of(log, letter)
        self._is_bulk = is_bulk(log, letter)
        self._owner = owner or uuid.uuid4().hex
        self._signer = Signer(log.key)
        self._bind = self._signer.binder(letter)
        self._campaign = log.campaign_id or ""  # none: nothing was queued, and nothing is marked
        # Results before intents: what is known of one letter is durable with the next one's mark.
        self._beginning = asyncio.Lock()
        self._in_hand: dict[int, Identity] = {}  # of the committer's thread
        self._committer = Committer(
            log.database,
            (self._record_all, self._intend_all),
            is_shared=is_shared,
            loop=loop,
        )

    @property
    def now(self) -> datetime:
        """The time by the log's clock, aware."""
        return self._log.clock()

    async def claim(self, limit: int, full: Sequence[str] = (), past: int = 0) -> list[Copy]:
        """Take copies in hand: deferred ones that are due, then queued ones.

        Args:
            limit: How many at the most.
            full: Domains to which none are taken, in lower case.
            past: The id behind which queued ones are looked for.
        """

        def step(database: Database) -> list[Copy]:
            now = self._log.now
            found = self._claimable(database, limit, full, past)
            if not found:
                return []
            taken = {"copies": found, "owner": self._owner, "now": now}
            database.run("log_claimed", taken)
            claimed = {copy.id: copy for copy in copies_of(database.all("claim", taken))}
            copies = [claimed[copy] for copy in found]
            self._refuse_altered(copies)
            self._in_hand.update((copy.id, self._identity_of(copy)) for copy in copies)
            return copies

        return await self._committer.commit(step)

    def _refuse_altered(self, copies: Sequence[Copy]) -> None:
        """Refuse to send where something else has put other addresses into the log."""
        for copy in copies:
            if copy.binding != self._bind(copy.mailbox) or copy.folded != folded(copy.mailbox):
                raise LogDamaged(
                    f"{self._log.where} was altered: {copy.mailbox} is not the address that"
                    f" petition queued in row {copy.id} of {copy.letter}"
                )

    def _claimable(
        self, database: Database, limit: int, full: Sequence[str], past: int
    ) -> list[int]:
        """The ids of the copies that are claimed next."""
        values: dict[str, object] = {"letter": self._letter, "limit": limit, "now": self._log.now}
        if full:
            values |= {"full": list(full), "past": past}
        query = "claimable_past" if full else "claimable"
        return [row["id"] for row in database.all(query, values)]

    async def begin(self) -> None:
        """Keep that letters go out (known_logs.py); to be awaited before the first final dot.

        Raises:
            LogUnusable: The log could not be written.
            LogForked: Letters went out from another copy of the log since.
            UserStateUnusable: What this account knows could not be written.
        """
        memory = self._log.memory
        if memory.is_running:
            return
        async with self._beginning:
            if not memory.is_running:
                with memory.beginning() as advance:
                    await self._committer.commit(lambda _: advance())

    def intend(self, intent: Intent) -> asyncio.Future[bool]:
        """Mark a copy before its final dot.

        Returns:
            Whether it may go: the mark is durable, the copy is still this run's, and nobody
            withdrew it or opted out.
        """
        return self._committer.add(self._intend_all, intent)

    def record(self, outcome: CopyOutcome) -> asyncio.Future[None]:
        """Write down what became of a copy; done when that is durable."""
        arrow(State.SENDING, outcome.state)
        return self._committer.add(self._record_all, outcome)

    def _intend_all(self, database: Database, intents: Sequence[Intent]) -> list[bool]:
        now = self._log.now
        self._stop_answered(database, [intent.copy for intent in intents])
        rows = [self._row_of_intent(intent) for intent in intents]
        changed = database.run_rows("intend", rows, {"owner": self._owner, "now": now})
        marked = {intent.copy for intent in intents}
        if changed < len(marked):  # which is rare, so that the others need not be asked for
            values = {"copies": sorted(marked), "owner": self._owner}
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
        """Stop those of a follow-up whose person has answered since they were queued."""
        if not self._gate:
            return
        for row in database.all("mailboxes", {"copies": copies}):
            if reason := self._gate.look(database, row["folded"]):
                database.run("stop", {"copy": row["id"], "reason": reason})

    def _row_of_intent(self, intent: Intent) -> tuple[object, ...]:
        """An intent as `intend` reads it, with the marks that a mail's copy is known by."""
        identity = self._in_hand.get(intent.copy)  # None: not this run's, and not marked either
        token = self._signer.return_path_token(identity) if identity else None
        own = self._signer.unsubscribe_token(identity) if identity and self._is_bulk else None
        return (
            intent.copy,
            stamp(intent.letter_date),
            intent.message_id,
            hashlib.sha256(intent.data).hexdigest(),  # here: not while the event loop waits
            token,
            selector_of(own) if own else None,
        )

    def _identity_of(self, copy: Copy) -> Identity:
        return Identity(self._campaign, copy.letter, copy.revision, copy.spelling)

    def _record_all(self, database: Database, outcomes: Sequence[CopyOutcome]) -> list[None]:
        write_down(database, self._owner, self._log.now, outcomes)
        for outcome in outcomes:
            self._in_hand.pop(outcome.copy, None)
        return [None] * len(outcomes)

    async def drop_unwanted(self) -> None:
        """Suppress what waits for mailboxes that are never to be written to any more."""

        def step(database: Database) -> None:
            models.pick(database, "pick_unwanted")
            models.move(database, self._log.now)

        await self._committer.commit(step)

    async def due_now(self, longest: timedelta) -> None:
        """Let copies be due that a clock put off which was ahead.

        Args:
            longest: The longest wait after an attempt.
        """
        await self._committer.commit(lambda _: self._log.due_now(longest, self._letter))

    async def next_due(self, full: Sequence[str] = ()) -> datetime | None:
        """When the first deferred copy of the choice is due.

        Args:
            full: Domains of which none are meant, in lower case.
        """

        def step(database: Database) -> datetime | None:
            values = {"letter": self._letter, "full": list(full)}
            row = database.one("next_due_chosen", values)
            return moment(row[0]) if row and row[0] else None

        return await self._committer.commit(step)

    async def waiting(self, limit: int) -> int:
        """How many copies could be claimed now.

        Args:
            limit: So many are enough to know of.
        """

        def step(database: Database) -> int:
            values = {"letter": self._letter, "limit": limit, "now": self._log.now}
            return len(database.all("claimable", values))

        return await self._committer.commit(step)

    async def suppress(self, mailboxes: Sequence[str], reason: Reason) -> None:
        """Never write to these mailboxes again."""

        def step(database: Database) -> None:
            for mailbox in mailboxes:
                values = {
                    "folded": folded(mailbox),
                    "mailbox": mailbox,
                    "reason": reason,
                    "now": self._log.now,
                }
                database.run("suppress", values)

        await self._committer.commit(step)

    async def spent(self, login: str) -> int:
        """How many recipients count against the daily cap of a login."""
        return await self._committer.commit(lambda _: self._log.spent(login)[0])

    async def days_before(self, login: str) -> int:
        """On how many days before this one letters went out under a login."""
        return await self._committer.commit(lambda _: self._log.days_before(login))

    async def count_from_now(self, login: str) -> bool:
        """Count from now what a clock counted that was more than a day ahead.

        Returns:
            Whether there was any.
        """
        return await self._committer.commit(lambda _: self._log.count_from_now(login))

    async def frees(self, login: str, recipients: int) -> datetime | None:
        """When the attempt was made that, with those before it, was for so many recipients.

        Args:
            login: Whose daily cap it is.
            recipients: How many are to leave it; what left it 24 hours after being made is past.
        """

        def step(_: Database) -> datetime | None:
            return self._log.frees(login, recipients)

        return await self._committer.commit(step)

    async def close(self) -> None:
        """Write what is left, then give the log's connection back."""
        await self._committer.close()

    @property
    def owner(self) -> str:
        """As whom it has copies in hand."""
        return self._owner

    @property
    def late(self) -> list[CopyOutcome]:
        """The replies that could not be written down, once it is closed (`write_down_late`)."""
        lost = [row for rows, row in self._committer.lost if rows == self._record_all]
        return [one for one in lost if one.state in _BY_REPLY and one.reply_code is not None]
