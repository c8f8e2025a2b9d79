"""Sends the copies that a run may claim: claim, merge, transact, record.

A few connections share the work. Each takes the next copy, merges it, waits for its turn, hands it
to the server and writes down what the server said. Trouble of one letter ends that letter; trouble
of the server closes the connection, puts the letter back and, when it stays, ends the run.
"""

import asyncio
import ssl
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from petition.address import Mailbox
from petition.campaign.people import Person
from petition.campaign.server import Server
from petition.credentials import Secret
from petition.delivery.pace import Closed, Pace
from petition.delivery.reply import Outcome as Said
from petition.delivery.reply import Scope
from petition.delivery.retry import RetrySchedule
from petition.delivery.session import NAMELESS, Session, Transaction
from petition.delivery.trouble import OpeningTrouble
from petition.errors import MergeRefused, ServerTrouble
from petition.merge.message import Email, Merger
from petition.outbox.listing import ListedRow
from petition.outbox.records import Copy
from petition.outbox.run import Intent, Outcome, Run
from petition.outbox.states import State

READ_BACK_FIRST = 100  # so many copies of a run are parsed back in full
TROUBLES_IN_A_ROW = 6  # of the server, over all connections, before the run gives up
REFUSALS_IN_A_ROW = 5  # of the message, before the run gives up

_STATE_OF = {
    Said.SENT: State.SENT,
    Said.DEFERRED: State.DEFERRED,
    Said.FAILED: State.FAILED,
    Said.UNCERTAIN: State.UNCERTAIN,
    Said.RELEASED: State.QUEUED,
}


@dataclass(frozen=True, slots=True)
class Told:
    """What became of one copy, for whoever watches the run."""

    copy: Copy
    state: State
    reason: str


@dataclass(slots=True)
class Ending:
    """How a run ended.

    Args:
        trouble: The server could not be reached or refused the login.
        broken: It was reached and kept breaking off; how.
        refused: What the server said of the message, five times in a row.
        capped: The daily cap is reached; when it frees the first letter.
        closed: The sending window is closed; when it opens.
        stopped: A person asked for the end.
    """

    trouble: ServerTrouble | None = None
    broken: str | None = None
    refused: str | None = None
    capped: datetime | None = None
    closed: datetime | None = None
    stopped: bool = False

    @property
    def is_over(self) -> bool:
        """Whether no further letter is to be begun."""
        ends = (self.trouble, self.broken, self.refused, self.capped, self.closed, self.stopped)
        return any(ends)


@dataclass(slots=True)
class Route:
    """Which way the letters go.

    Args:
        server: The server.
        secret: Its password or token.
        pace: How fast.
        retry: When a deferred letter is due.
        keep_bytes: Whether the log keeps the bytes of every copy.
        hello_name: What to call ourselves in EHLO; a relay may want the sender's domain.
        tls_context: Whom to trust, where it is not the system's own list.
        dot_seconds: How long to wait for the reply to the final dot; None: as RFC 5321 asks.
        pause: The first pause after trouble with the server, in seconds; it doubles.
    """

    server: Server
    secret: Secret | None
    pace: Pace
    retry: RetrySchedule = field(default_factory=RetrySchedule)
    keep_bytes: bool = True
    hello_name: str = NAMELESS
    tls_context: ssl.SSLContext | None = None
    dot_seconds: float | None = None
    pause: float = 0.25

    @property
    def login(self) -> str:
        """What a daily cap is counted under."""
        return f"{self.server.username or ''}@{self.server.host}"

    async def open(self) -> Session:
        """A new connection.

        Raises:
            OpeningTrouble: It did not come about.
        """
        return await Session.open(
            self.server,
            self.secret,
            hello_name=self.hello_name,
            tls_context=self.tls_context,
            dot_timeout=self.dot_seconds,
        )


class Mailer:
    """Delivers the chosen copies of one letter.

    Args:
        run: Claims copies and records what became of them.
        merger: Makes a copy's bytes.
        route: Which way they go.
        tell: Is called with what became of each copy.
        clock: What tells the time, aware.
    """

    def __init__(
        self,
        run: Run,
        merger: Merger,
        route: Route,
        tell: Callable[[Told], None],
        clock: Callable[[], datetime],
    ) -> None:
        self._run = run
        self._merger = merger
        self._route = route
        self._tell = tell
        self._clock = clock
        self._ending = Ending()
        self._stop = asyncio.Event()
        self._in_hand: deque[Copy] = deque()
        self._unfinished = 0  # claimed, and not yet recorded
        self._claiming = asyncio.Lock()
        self._merged = 0
        self._has_opened = False
        self._troubles = 0
        self._refusals = 0

    def stop(self) -> None:
        """Begin no further letter; those in flight are finished."""
        self._ending.stopped = True
        self._stop.set()

    async def deliver(self, letters: int) -> Ending:
        """Send until nothing is left that can be sent now.

        Args:
            letters: How many there are about; no more connections than that are opened.
        """
        await self._run.drop_opted_out()
        while not self._ending.is_over and await self._refill():
            # The connections end when nothing is left to claim. One that broke down meanwhile may
            # have put its letter back: hence the round again.
            crew = [asyncio.create_task(self._work()) for _ in range(self._connections(letters))]
            try:
                await asyncio.gather(*crew)
            finally:
                for member in crew:
                    member.cancel()
                await asyncio.gather(*crew, return_exceptions=True)
        await self._put_back()
        return self._ending

    def _connections(self, letters: int) -> int:
        return max(1, min(self._route.server.connections, letters, self._route.pace.connections))

    # ---- one connection

    async def _work(self) -> None:
        session: Session | None = None
        failures = 0
        try:
            while await self._has_next():
                session = await self._ready(session)
                if session is None:
                    failures += 1
                    await self._rest(self._route.pause * 2 ** (failures - 1))
                    continue
                failures = 0
                await self._attend(session)
                if self._troubles and not session.is_open:
                    await self._rest(self._route.pause * 2 ** (self._troubles - 1))
        finally:
            if session is not None:
                await session.close()

    async def _ready(self, session: Session | None) -> Session | None:
        """An open connection, the one there is or a new one; None where there is trouble."""
        if session is not None:
            if session.is_open:
                return session
            await session.close()
        try:
            opened = await self._route.open()
        except OpeningTrouble as trouble:
            self._note_trouble(trouble)
            return None
        self._has_opened = True
        return opened

    async def _attend(self, session: Session) -> None:
        """Take the next copy, wait for its turn, and hand it over."""
        if not self._in_hand:  # another connection took the last one
            return
        copy = self._in_hand.popleft()
        if not await self._may_go(copy):
            await self._release(copy)
            return
        if not session.is_open:  # the server hung up while the letter waited for its turn
            self._in_hand.appendleft(copy)
            return
        try:
            email, date = self._merge(copy)
        except MergeRefused as refusal:
            await self._record(copy, Outcome(copy.id, State.FAILED, False, str(refusal)))
            return
        done = await session.transact(email, self._permit(copy, email, date))
        if done.fault:
            raise done.fault
        await self._write_down(copy, done, date)

    def _merge(self, copy: Copy) -> tuple[Email, datetime]:
        # Date is set at the first attempt and then kept; a header has whole seconds.
        date = copy.letter_date or self._clock().replace(microsecond=0)
        self._merged += 1
        full = self._merged <= READ_BACK_FIRST
        return self._merger.merge(person_of(copy), copy.revision, date, full=full), date

    def _permit(self, copy: Copy, email: Email, date: datetime) -> Callable[[], Awaitable[bool]]:
        async def permit() -> bool:
            intent = Intent(
                copy=copy.id,
                letter_date=date,
                message_id=email.message_id,
                sha256=email.sha256,
                data=email.data if self._route.keep_bytes else None,
                login=self._route.login,
                recipients=len(email.envelope.rcpt_to),
            )
            return await self._run.intend(intent)

        return permit

    # ---- what comes next

    async def _has_next(self) -> bool:
        if self._ending.is_over:
            return False
        return bool(self._in_hand) or await self._refill()

    async def _refill(self) -> bool:
        """Claim a few more; False where there is nothing that can be sent now."""
        async with self._claiming:
            if self._in_hand:
                return True
            batch = 2 * self._route.server.connections
            if (room := await self._room_under_cap()) is not None:
                batch = min(batch, room)
            if batch < 1 or self._ending.is_over:
                return False
            claimed = await self._run.claim(batch)
            self._in_hand.extend(claimed)
            self._unfinished += len(claimed)
            return bool(claimed)

    async def _room_under_cap(self) -> int | None:
        cap = self._route.pace.per_day
        if cap is None:
            return None
        spent, oldest = await self._run.spent(self._route.login)
        each = self._merger.recipients_each
        room = (cap - spent) // each - self._unfinished
        if room < 1 and self._unfinished == 0:
            self._ending.capped = (oldest or self._clock()) + timedelta(hours=24)
        return max(room, 0)

    async def _may_go(self, copy: Copy) -> bool:
        """Wait for this letter's turn; False where the run is to end before it."""
        domain = copy.mailbox.rpartition("@")[2]
        turn = asyncio.ensure_future(self._route.pace.wait(domain))
        stop = asyncio.ensure_future(self._stop.wait())
        try:
            await asyncio.wait({turn, stop}, return_when=asyncio.FIRST_COMPLETED)
            if not turn.done():
                return False
            closed = turn.result()
        finally:
            turn.cancel()
            stop.cancel()
        if isinstance(closed, Closed):
            self._ending.closed = closed.opens_at
            self._stop.set()
        return not self._ending.is_over

    async def _rest(self, seconds: float) -> None:
        try:
            await asyncio.wait_for(self._stop.wait(), min(seconds, 30))
        except TimeoutError:
            return

    # ---- what became of it

    async def _write_down(self, copy: Copy, done: Transaction, date: datetime) -> None:
        verdict = done.verdict
        state, due = _STATE_OF[verdict.outcome], None
        reason = "" if state is State.SENT else verdict.reason  # there the reply says it all
        now = self._clock()
        if state is State.DEFERRED:
            due = self._route.retry.due(copy.attempts, date, now)
            if due is None:
                state, reason = State.FAILED, f"deferred for {self._route.retry.days} days"
        reply = verdict.reply
        await self._record(
            copy,
            Outcome(
                copy=copy.id,
                state=state,
                charge=state is not State.QUEUED,
                reason=reason,
                due_at=due,
                letter_date=None if state is State.QUEUED else date,
                reply_code=reply.code if reply else None,
                enhanced_code=reply.enhanced if reply else None,
                reply=reply.text if reply else None,
                server=done.server,
                tls=done.tls,
                milliseconds=done.milliseconds,
            ),
        )
        if state is State.QUEUED:  # perhaps because the person opted out a moment ago
            await self._run.drop_opted_out()
        self._weigh(done)

    def _weigh(self, done: Transaction) -> None:
        """Scope: trouble of the server or of the message may end the run, of a recipient never."""
        verdict = done.verdict
        said = verdict.reply.text if verdict.reply else verdict.reason
        if verdict.scope is Scope.SERVER and verdict.outcome is not Said.SENT:
            self._troubles += 1
            if self._troubles >= TROUBLES_IN_A_ROW:
                self._ending.broken = said
                self._stop.set()
            return
        self._troubles = 0
        refused = verdict.scope is Scope.MESSAGE and verdict.outcome in {Said.FAILED, Said.DEFERRED}
        self._refusals = self._refusals + 1 if refused else 0
        if self._refusals >= REFUSALS_IN_A_ROW:
            self._ending.refused = said
            self._stop.set()

    def _note_trouble(self, trouble: OpeningTrouble) -> None:
        self._troubles += 1
        # A server that was never reached is more likely misspelt than out of breath.
        is_hopeless = not trouble.is_passing or not (self._has_opened or trouble.reply)
        if is_hopeless or self._troubles >= TROUBLES_IN_A_ROW:
            self._ending.trouble = trouble
            self._stop.set()

    async def _release(self, copy: Copy) -> None:
        await self._record(copy, Outcome(copy.id, State.QUEUED, False))

    async def _record(self, copy: Copy, outcome: Outcome) -> None:
        await self._run.record(outcome)
        self._unfinished -= 1
        self._tell(Told(copy, outcome.state, outcome.reply or outcome.reason))

    async def _put_back(self) -> None:
        while self._in_hand:
            await self._release(self._in_hand.popleft())


def person_of(row: Copy | ListedRow) -> Person:
    """The person that a copy, or a row that is to become one, is for."""
    return Person(
        file=row.file,
        line=row.line,
        number=0,
        id=row.row_id,
        mailbox=Mailbox(row.name, row.mailbox),
        language=row.language,
        fields=dict(row.fields),
    )
