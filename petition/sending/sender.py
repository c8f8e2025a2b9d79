"""Sends the copies of a run: merge, transact, record.

A few connections share the work. Each takes the next copy, merges it, waits for its turn, hands it
to the server and records the reply; where nothing prevents it, the commands of the next copy go
with the final dot. An error of one letter ends that letter; an error of the server closes the
connection, puts the letter back and, if it persists, ends the run.
"""

import asyncio
import time
from collections import deque
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial
from typing import NamedTuple

from petition.address import Mailbox, folded
from petition.campaign.people import Person
from petition.errors import LogForked, LogUnusable, MergeHindered, MergeRefused, PetitionError
from petition.merge.message import Email, Merger
from petition.outbox.committer import resolve
from petition.outbox.enqueue import ListedRow
from petition.outbox.manual import is_suppressed
from petition.outbox.models import Copy
from petition.outbox.run import CopyOutcome, Intent, Run
from petition.outbox.states import WAITING, Reason, State
from petition.sending.circuit_breaker import (
    CircuitBreaker,
    CopyResult,
    RunResult,
    Slowed,
    Slowing,
    Wait,
    rest_after,
)
from petition.sending.prefetch import Prefetch, Route
from petition.sending.rate_limit import IDLE_SECONDS, NO_CAP
from petition.sending.retry import RetrySchedule
from petition.smtp.conversation import Transaction
from petition.smtp.login import OpeningTrouble
from petition.smtp.replies import Outcome as Said
from petition.smtp.replies import Stage
from petition.smtp.session import Session

_STATE_OF = {
    Said.SENT: State.SENT,
    Said.DEFERRED: State.DEFERRED,
    Said.FAILED: State.FAILED,
    Said.UNCERTAIN: State.UNCERTAIN,
    Said.RELEASED: State.QUEUED,
}


class MergedCopy(NamedTuple):
    """A copy that may be handed over."""

    copy: Copy
    email: Email  # as the log has it
    outgoing: Email  # as it goes over the wire: perhaps signed
    date: datetime


def person_of(row: Copy | ListedRow) -> Person:
    """The person whom a copy, or a row that is to become one, is for."""
    mailbox = Mailbox(row.name, row.mailbox)
    return Person(
        row.file,
        row.line,
        0,
        row.row_id,
        mailbox,
        row.language,
        dict(row.fields),
        queued_as=row.queued_as or "",
    )


def outcome_of(
    letter: MergedCopy, done: Transaction, retry: RetrySchedule, now: datetime
) -> CopyOutcome:
    """What the log keeps of a transaction."""
    verdict, reply = done.verdict, done.verdict.reply
    state, due = _STATE_OF[verdict.outcome], None
    reason = "" if state is State.SENT else verdict.reason  # there the reply says it all
    if state is State.DEFERRED:
        due = retry.due(letter.copy.attempts, letter.copy.waiting_since or now, now)
        if due is None:
            state, reason = State.FAILED, f"deferred for {retry.given_up_after}"
    refused = [f"the server refused {who}: {said}" for who, said in done.also_refused]
    return CopyOutcome(
        copy=letter.copy,
        state=state,
        charge=state is not State.QUEUED,
        reason="; ".join(filter(None, [reason, *refused])),
        due_at=due,
        letter_date=None if state is State.QUEUED else letter.date,
        reply_code=reply.code if reply else None,
        enhanced_code=reply.enhanced if reply else None,
        reply=reply.text if reply else None,
        server=done.server,
        tls=done.tls,
        milliseconds=done.milliseconds,
    )


@dataclass(slots=True, eq=False)
class Connection:
    """A connection, and what is under way on it."""

    session: Session
    episode: int  # in which it was opened (circuit_breaker.py)
    ahead: MergedCopy | None = None  # the letter after the present one, if it is merged already
    # What became of letters, until it is durable.
    recorded: deque[tuple["asyncio.Future[None]", CopyResult]] = field(default_factory=deque)


class Dismissals:
    """Learns after how many letters the server closes a connection, once it did so twice."""

    def __init__(self) -> None:
        self._seen: set[int] = set()
        self._most = NO_CAP

    def note(self, letters: int) -> None:
        """The server closed a connection after so many letters."""
        if letters and letters in self._seen:
            self._most = min(self._most, letters)
        self._seen.add(letters)

    def allow(self, letters: int) -> bool:
        """Whether a letter may follow so many on one connection: otherwise it is time to QUIT."""
        return letters < self._most


async def first_of(seconds: float, *events: asyncio.Event) -> None:
    """Wait so many seconds, or until one of these events."""
    waits = [asyncio.ensure_future(event.wait()) for event in events]
    try:
        await asyncio.wait(waits, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for wait in waits:
            wait.cancel()


HINDERED_IN_A_ROW = 5  # copies that cannot be put together on this machine
HINDERED_IN_ALL = 50
READ_BACK_FIRST = 100  # copies of a run that are parsed back in full
_BEFORE_LOGIN = {Stage.GREETING, Stage.EHLO}  # every connection says the same until then
_LONGEST_SLEEP = 30.0  # seconds until the clock is read again


class Mailer:
    """Delivers the chosen copies of one letter.

    `tell` is called with what became of each copy, `note` once for each reason why letters go more
    slowly. `merged` counts the copies that the merger has made, also before this run. `provide` is
    awaited before a copy is merged, to fetch what that needs.
    """

    def __init__(  # noqa: PLR0913 (what a run is made of)
        self,
        run: Run,
        merger: Merger,
        route: Route,
        tell: Callable[[CopyResult], None],
        clock: Callable[[], datetime],
        note: Callable[[Slowed], None] = lambda _: None,
        *,
        merged: int = 0,
        provide: Callable[[Copy], Awaitable[None]] | None = None,
    ) -> None:
        self._run = run
        self._merger = merger
        self._route = route
        self._tell = tell
        self._slowing = Slowing(route.pace, note)
        self._rested_for = 0  # the episode of trouble that was waited out last
        self._clock = clock
        self._login = route.login
        self._result = RunResult()
        self._breaker = CircuitBreaker(self._result)
        self._prefetch = Prefetch(run, route, merger.recipients_each, self._result)
        self._stop = asyncio.Event()
        self._is_done = asyncio.Event()  # one of the connections found nothing left
        self._opening = asyncio.Lock()
        self._provide = provide
        self._providing = asyncio.Lock()  # what was got is there until it is merged
        self._open_connections = 0  # that are open
        self._used: set[Connection] = set()  # that letters go over
        self.merged = merged
        self._date = clock().replace(microsecond=0)
        self._hindered_in_a_row = 0
        self._finished = 0  # letters that need no other attempt
        self._dismissals = Dismissals()
        self._fault: Exception | None = None

    def stop(self) -> None:
        """Begin no further letter; those in flight are finished."""
        self._result.stopped = True
        self._stop.set()

    async def deliver(self, letters: int) -> RunResult:
        """Send until nothing is left that can be sent now, over at most `letters` connections."""
        try:
            await self._run.drop_unwanted()
            longest = self._route.retry.longest
            await self._run.ask(lambda log: log.due_now(longest, self._run.letter))
            while not self._result.is_over and await self._prefetch.has_more():
                # The connections end when nothing is left to claim. One that broke down meanwhile
                # may have put its letter back: hence the round again.
                await self._work_together(await self._connections(letters))
            await self._finish()
        except LogForked:
            raise  # no dot has gone, and there is nothing to report of this run
        except LogUnusable as fault:
            self._result.log_fault = fault
        return self._result

    async def deliver_all(self, letters: int, note: Callable[[Wait], None]) -> RunResult:
        """Send until nothing is left to send; `note` gets each wait, once for an outage."""
        while True:
            result = await self.deliver(letters)
            is_outage = self._breaker.returns > 0
            wait = await self._next_chance()
            if wait is None:
                return result
            if not (wait.is_for_server and is_outage):
                note(wait)
            await self._wait_until(wait.until)
            if result.stopped:
                return result
            result.capped = result.closed = None
            self._stop.clear()

    async def _wait_until(self, moment: datetime) -> None:
        """Wait by the clock, but no longer than it was at first: the clock may be set back."""
        end = time.monotonic() + (moment - self._clock()).total_seconds()
        while not self._result.stopped:
            left = min((moment - self._clock()).total_seconds(), end - time.monotonic())
            if left <= 0:
                return
            await first_of(min(left, _LONGEST_SLEEP), self._stop)

    async def _next_chance(self) -> Wait | None:
        result = self._result
        if result.is_final:
            return None
        if result.trouble or result.broken:
            seconds = self._route.pause * self._breaker.give_time()
            return Wait(self._clock() + timedelta(seconds=seconds), is_for_server=True)
        moment = result.closed or result.capped
        if moment is None:
            # What is due to a provider that is paused cannot go in this run.
            due = await self._run.next_due(sorted(self._route.pace.paused))
            moment = min(due, self._clock() + self._route.retry.longest) if due else None
        return Wait(moment, is_for_server=False) if moment else None

    async def _connections(self, letters: int) -> int:
        """How many are useful for what is left and may go now."""
        left = min(letters - self._finished, await self._prefetch.room())
        return max(1, min(self._route.server.connections, left, self._route.pace.connections))

    async def _work_together(self, connections: int) -> None:
        """If one connection fails, letters past their dot on the others still get their reply."""
        self._is_done.clear()
        tasks = [asyncio.create_task(self._work()) for _ in range(connections)]
        try:
            await asyncio.gather(*tasks)
        finally:  # cancelled: Ctrl-C twice
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        if self._fault:
            raise self._fault

    async def _work(self) -> None:
        refusals = 0
        try:
            while not self._is_halted and await self._prefetch.has_more():
                connection = await self._open()
                if connection is None:
                    refusals += 1
                    if not await self._others_work_on(refusals):
                        return
                    continue
                refusals = 0
                try:
                    await self._use(connection)
                finally:
                    self._open_connections -= 1
                    await connection.session.close()
        except Exception as fault:  # noqa: BLE001 (raised again when all connections have ended)
            self._fault = self._fault or fault
            self._stop.set()
        finally:
            self._is_done.set()

    async def _others_work_on(self, refusals: int) -> bool:
        """Wait while other connections work: the server accepts no more of them."""
        if self._open_connections and not self._is_done.is_set():
            pause = self._route.pause * rest_after(refusals)
            await first_of(pause, self._stop, self._is_done)
        return not self._is_done.is_set()

    # ---- one connection

    async def _open(self) -> Connection | None:
        """A new connection, or None. One at a time at first: a wrong password is tried once."""
        async with self._opening:
            if not self._breaker.is_calm:
                return await self._try_to_open()
        return await self._try_to_open()

    async def _try_to_open(self) -> Connection | None:
        if rest := rest_after(self._breaker.troubles):
            seconds = self._route.pause * rest
            self._slowing.rest(
                self._breaker.episode,
                self._breaker.said,
                seconds,
                is_refusal=self._breaker.is_refusal,
            )
            await first_of(seconds, self._stop)
        if self._is_halted:
            return None
        is_another = bool(self._open_connections)
        try:
            session = await self._route.open_unless(self._stop)
        except OpeningTrouble as trouble:
            # Beside a connection that works, this is a limit on their number, also as 554.
            is_limit = trouble.is_passing or (trouble.reply and trouble.stage in _BEFORE_LOGIN)
            if not (is_limit and (is_another or self._open_connections)):
                self._breaker.not_opened(trouble)
                self._look_at_result()
            return None
        if session is None:
            return None
        if rest and self._rested_for != self._breaker.episode:
            # Letters to other providers go first: is the server in trouble, or one provider?
            self._rested_for = self._breaker.episode
            self._route.pace.hold_slowed()
        self._breaker.has_opened = True
        self._open_connections += 1
        return Connection(session, self._breaker.episode)

    async def _use(self, connection: Connection) -> None:
        self._used.add(connection)
        try:
            while letter := await self._next(connection):
                done = await connection.session.transact(
                    letter.outgoing,
                    partial(self._permit, connection, letter),
                    partial(self._following, connection),
                )
                verdict = self._breaker.reconsider(done.verdict, letter.copy.mailbox)
                await self._write_down(connection, letter, done._replace(verdict=verdict))
                if verdict.ends_connection:
                    await connection.session.close()
                if done.fault:
                    raise done.fault
        finally:
            if connection.session.conversation.was_dismissed:
                self._dismissals.note(connection.session.conversation.letters)
            if connection.ahead:
                self._prefetch.give_back(connection.ahead.copy)
            await self._settle(connection)
            self._used.discard(connection)

    async def _next(self, connection: Connection) -> MergedCopy | None:
        """The next letter, when its turn has come; None: close this connection."""
        conversation = connection.session.conversation
        is_over = self._is_halted or not conversation.is_open
        if is_over or not self._dismissals.allow(conversation.letters):
            return None
        if ahead := connection.ahead:
            if self._route.pace.is_paused(ahead.copy.domain):  # since it was merged
                return None
            connection.ahead = None
            return ahead
        while True:
            copy = self._prefetch.take()
            if copy is None:
                await self._settle(connection)
                if self._is_halted or not await self._prefetch.has_more():
                    return None
                continue
            if not (self._is_free_for(copy) or await self._turn_has_come(connection, copy)):
                self._prefetch.give_back(copy)
                return None
            letter = await self._provided_letter(connection, copy)
            if letter or self._result.is_hindered:
                return letter

    async def _permit(self, connection: Connection, letter: MergedCopy) -> bool:
        """Make the intent durable, and with it the result of the letter before."""
        email = letter.email
        await self._run.begin()
        marked: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        intent = Intent(
            copy=letter.copy,
            letter_date=letter.date,
            message_id=email.message_id,
            data=email.data,
            is_kept=self._route.keep_bytes,
            login=self._login,
            recipients=len(email.envelope.rcpt_to),
        )
        self._run.intend(intent, partial(resolve, marked))
        await self._read_ahead(connection)  # while the disk works
        await self._settle(connection)
        if may_go := await marked:
            await self._route.pace.wait_for_dot()
        return may_go

    async def _read_ahead(self, connection: Connection) -> None:
        """Merge the letter after the present one, unless it might have to wait."""
        if self._is_halted or not connection.session.offers.pipelining:
            return
        if not self._dismissals.allow(connection.session.conversation.letters + 1):
            return
        while (
            connection.ahead is None
            and not self._result.is_hindered
            and (copy := self._prefetch.take())
        ):
            if not self._is_free_for(copy):
                self._prefetch.give_back(copy)
                return
            connection.ahead = await self._provided_letter(connection, copy)

    def _following(self, connection: Connection) -> Email | None:
        if self._is_halted or self._route.dot_goes_alone:
            return None
        return connection.ahead.outgoing if connection.ahead else None

    async def _provided_letter(self, connection: Connection, copy: Copy) -> MergedCopy | None:
        if self._merger.frozen.cc_fields:
            await self._leave_out_of_cc(copy)
        if self._provide is None:
            return self._merged_letter(connection, copy)
        async with self._providing:
            await self._provide(copy)
            return self._merged_letter(connection, copy)

    async def _leave_out_of_cc(self, copy: Copy) -> None:
        """Leave out whom the row names in cc and who left since the copy was queued."""
        with suppress(MergeRefused):  # merging says so again
            boxes = [one.addr_spec for one in self._merger.own_cc(person_of(copy))]
            barred = await self._run.ask(
                lambda log: [folded(one) for one in boxes if is_suppressed(log, one)]
            )
            self._merger.left_out.update(barred)

    def _merged_letter(self, connection: Connection, copy: Copy) -> MergedCopy | None:
        date = copy.letter_date or self._date_now()  # set at the first attempt and then kept
        self.merged += 1
        full = self.merged <= READ_BACK_FIRST
        try:
            email = self._merger.merge(person_of(copy), copy.revision, date, full=full)
            outgoing = self._route.outgoing(email, self._date_now())
        except (MergeHindered, OSError, MemoryError) as fault:
            self._put_aside(copy, _hindrance(fault))
            return None
        except MergeRefused as refusal:
            self._record(connection, copy, CopyOutcome(copy, State.FAILED, False, str(refusal)))
            return None
        self._hindered_in_a_row = 0
        return MergedCopy(copy, email, outgoing, date)

    def _put_aside(self, copy: Copy, why: PetitionError) -> None:
        """Leave out of this run a copy that cannot be put together here: a share may be gone."""
        self._prefetch.put_aside(copy)
        self._hindered_in_a_row += 1
        result = self._result
        result.hindrance, result.hindered = why, result.hindered + 1
        result.is_hindered = (
            self._hindered_in_a_row >= HINDERED_IN_A_ROW or result.hindered >= HINDERED_IN_ALL
        )
        self._look_at_result()
        self._tell(CopyResult(copy, State.QUEUED, str(why)))

    def _date_now(self) -> datetime:
        """The Date of a letter that has none yet: one object for all letters of a second."""
        now = self._clock().replace(microsecond=0)
        if now != self._date:
            self._date = now
        return self._date

    # ---- when it goes

    @property
    def _is_halted(self) -> bool:
        return self._stop.is_set() or self._result.is_over

    def _is_free_for(self, copy: Copy) -> bool:
        pace = self._route.pace
        return pace.is_free_for_all or pace.is_free_for(copy.domain)

    async def _turn_has_come(self, connection: Connection, copy: Copy) -> bool:
        """Wait for a letter's turn; False: close this connection before it."""
        await self._settle(connection)
        if self._route.pace.delay(copy.domain) > IDLE_SECONDS:
            await connection.session.close()
        waiting = asyncio.ensure_future(self._route.pace.wait(copy.domain))
        stop = asyncio.ensure_future(self._stop.wait())
        try:
            await asyncio.wait({waiting, stop}, return_when=asyncio.FIRST_COMPLETED)
            if not waiting.done():
                return False
            turn = waiting.result()
        finally:
            waiting.cancel()
            stop.cancel()
        if isinstance(turn, datetime):
            self._result.closed = turn
            self._stop.set()
        elif not (self._is_halted or connection.session.is_open):
            # The connection was closed while the letter waited: it goes on the next one.
            self._route.pace.hand_back(turn)
        return not self._is_halted and connection.session.is_open

    # ---- what became of it

    async def _write_down(
        self, connection: Connection, letter: MergedCopy, done: Transaction
    ) -> None:
        copy, verdict = letter.copy, done.verdict
        outcome = outcome_of(letter, done, self._route.retry, self._clock())
        charged = self._breaker.charge(self._record(connection, copy, outcome), verdict)
        self._breaker.weigh(verdict, connection.episode, copy.mailbox)
        if done.also_refused and verdict.outcome is Said.SENT:
            self._result.also_refused.extend(done.also_refused)
        self._look_at_result()
        if done.refused_ahead and not self._route.dot_goes_alone:
            self._route.dot_goes_alone = True
            self._slowing.dot_goes_alone(done.refused_ahead)
        self._slowing.mind(copy.domain, verdict)
        if charged:
            await self._take_back(charged, str(verdict))
        if unknown := self._breaker.to_suppress():
            await self._run.suppress(unknown, Reason.NO_MAILBOX)

    def _record(self, connection: Connection, copy: Copy, outcome: CopyOutcome) -> CopyResult:
        self._finished += outcome.state not in WAITING
        told = CopyResult(copy, outcome.state, outcome.reply or outcome.reason)
        durable: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._run.record(outcome, partial(resolve, durable))
        connection.recorded.append((durable, told))
        return told

    async def _take_back(self, charged: list[CopyResult], reason: str) -> None:
        """Queue letters again that were refused because of us, as if they had not been tried."""
        taken = await self._run.take_back([one.copy for one in charged], reason)
        for connection in list(self._used):  # what they had come to is told first
            await self._settle(connection)
        for copy, state, _ in charged:
            if copy.id in taken:
                self._finished -= state not in WAITING
                self._tell(CopyResult(copy, State.QUEUED, reason))

    async def _settle(self, connection: Connection) -> None:
        """Wait until what was recorded is durable, and report it."""
        while connection.recorded:
            durable, told = connection.recorded.popleft()
            await durable
            self._prefetch.note_recorded(told.copy)
            self._tell(told)

    def _look_at_result(self) -> None:
        if self._result.is_over:
            self._stop.set()

    async def _finish(self) -> None:
        """Put down what is still in hand, and suppress mailboxes that do not exist."""
        await self._prefetch.forget_all()
        if unknown := self._breaker.to_suppress(at_end=True):
            await self._run.suppress(unknown, Reason.NO_MAILBOX)


def _hindrance(fault: MergeHindered | OSError | MemoryError) -> PetitionError:
    if isinstance(fault, MergeHindered):
        return fault
    if isinstance(fault, MemoryError):
        return PetitionError("out of memory", "Close other programs, then send again")
    file = f"{fault.filename}: " if fault.filename else ""
    return PetitionError(f"{file}{fault.strerror or fault}", "Check the disk, then send again")
