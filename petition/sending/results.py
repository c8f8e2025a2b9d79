"""What became of the letters of a run: for the log, the circuit breaker, the pace and the person.

A result is told when it is durable. What a result asks for beyond that (letters that are queued
again, mailboxes that are suppressed) waits for the log, and is owed until somebody catches up.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime
from functools import partial

from petition.errors import PetitionError
from petition.outbox.models import Copy
from petition.outbox.run import CopyOutcome, Run
from petition.outbox.states import WAITING, Reason, State
from petition.sending.circuit_breaker import (
    CircuitBreaker,
    CopyResult,
    RunResult,
    Slowed,
    Slowing,
)
from petition.sending.prefetch import Prefetch
from petition.sending.retry import RetrySchedule
from petition.sending.route import Route
from petition.smtp.conversation import Transaction
from petition.smtp.replies import Outcome, Verdict

HINDERED_IN_ALL = 50  # copies that cannot be put together on this machine
_STATE_OF = {
    Outcome.SENT: State.SENT,
    Outcome.DEFERRED: State.DEFERRED,
    Outcome.FAILED: State.FAILED,
    Outcome.UNCERTAIN: State.UNCERTAIN,
    Outcome.RELEASED: State.QUEUED,
}

_DEFERRED, _QUEUED = State.DEFERRED, State.QUEUED


def ending_of(
    verdict: Verdict,
    retry: RetrySchedule,
    attempts: int,
    first: datetime | None,
    clock: Callable[[], datetime],
) -> tuple[State, str, datetime | None]:
    """What an attempt came to: the state, the reason, and when a deferred one is due.

    `attempts` and the moment of the `first` one (None: this is it) are those before it.
    """
    state = _STATE_OF[verdict.outcome]
    reason = "" if verdict.is_sent else verdict.reason  # there the reply says it all
    if state is not _DEFERRED:
        return state, reason, None
    now = clock()
    if due := retry.due(attempts, first or now, now):
        return state, reason, due
    return State.FAILED, f"deferred for {retry.given_up_after}", None


class Results:
    """Takes what became of each letter; `finished` counts those that need no other attempt.

    `stop` is set when no further letter is to be begun, and `fault` if that is for a fault of ours.
    """

    def __init__(
        self,
        run: Run,
        route: Route,
        prefetch: Prefetch,
        result: RunResult,
        tell: Callable[[CopyResult], None],
        note: Callable[[Slowed], None],
        clock: Callable[[], datetime],
    ) -> None:
        self.result = result
        self.breaker = CircuitBreaker(result)
        self.slowing = Slowing(route.pace, note)
        self.finished = 0
        self.stop = asyncio.Event()
        self.fault: BaseException | None = None
        self._run = run
        self._route = route
        self._prefetch = prefetch
        self._tell = tell
        self._clock = clock
        self._owed: list[Callable[[], Awaitable[None]]] = []

    @property
    def is_halted(self) -> bool:
        """Whether no further letter is to be begun."""
        return self.stop.is_set()

    def fail(self, fault: BaseException) -> None:
        """End the run by a fault of ours; letters in flight are finished."""
        self.fault = self.fault or fault
        self.stop.set()

    def look(self) -> None:
        """Stop if the run is over by what has happened."""
        if self.result.is_over:
            self.stop.set()

    def conclude(self, copy: Copy, date: datetime, done: Transaction, episode: int) -> Verdict:
        """Record a transaction, and weigh it; returns the verdict that it came to.

        `date` is the letter's, `episode` that of its connection (`CircuitBreaker`).
        """
        verdict = self.breaker.reconsider(done.verdict, copy.mailbox)
        outcome = self._outcome(copy, date, done, verdict)
        charged = self.breaker.charge(self.record(outcome), verdict)
        self.breaker.weigh(verdict, episode, copy.mailbox)
        if done.also_refused and verdict.is_sent:
            self.result.also_refused.extend(done.also_refused)
        if not verdict.is_sent:
            self.look()
        if done.refused_ahead and not self._route.dot_goes_alone:
            self._route.dot_goes_alone = True
            self.slowing.dot_goes_alone(done.refused_ahead)
        self.slowing.mind(copy.domain, verdict)
        if charged:
            self._owed.append(partial(self._take_back, charged, str(verdict)))
        if unknown := self.breaker.to_suppress():
            self._owed.append(partial(self._run.suppress, unknown, Reason.NO_MAILBOX))
        return verdict

    def _outcome(
        self, copy: Copy, date: datetime, done: Transaction, verdict: Verdict
    ) -> CopyOutcome:
        """What the log keeps of a transaction."""
        reply = verdict.reply
        state, reason, due = ending_of(
            verdict, self._route.retry, copy.attempts, copy.waiting_since, self._clock
        )
        is_attempt = state is not _QUEUED
        if done.also_refused:
            refused = [f"the server refused {who}: {said}" for who, said in done.also_refused]
            reason = "; ".join(filter(None, [reason, *refused]))
        return CopyOutcome(
            copy=copy,
            state=state,
            charge=is_attempt,
            reason=reason,
            due_at=due,
            letter_date=date if is_attempt else None,
            reply_code=reply.code if reply else None,
            enhanced_code=reply.enhanced if reply else None,
            reply=reply.text if reply else None,
            server=done.server,
            tls=done.tls,
            milliseconds=done.milliseconds,
        )

    def record(self, outcome: CopyOutcome) -> CopyResult:
        """Record what became of a copy, and tell it when that is durable."""
        self.finished += outcome.state not in WAITING
        result = CopyResult(outcome.copy, outcome.state, outcome.reply or outcome.reason)
        self._run.record(outcome, partial(self._recorded, result))
        return result

    def _recorded(self, result: CopyResult, _: None, fault: BaseException | None) -> None:
        if fault is None:
            self._prefetch.note_recorded(result.copy)
            self.tell(result)
        else:
            self.fail(fault)

    def tell(self, result: CopyResult) -> None:
        """Tell what became of a copy; whoever hears it may be gone."""
        try:
            self._tell(result)
        except Exception as fault:  # noqa: BLE001 (raised again when all connections have ended)
            self.fail(fault)

    def put_aside(self, copy: Copy, why: PetitionError, *, is_too_many: bool) -> None:
        """Leave out of this run a copy that cannot be put together here: a share may be gone."""
        self._prefetch.put_aside(copy)
        result = self.result
        result.hindrance, result.hindered = why, result.hindered + 1
        result.is_hindered = is_too_many or result.hindered >= HINDERED_IN_ALL
        self.look()
        self.tell(CopyResult(copy, State.QUEUED, str(why)))

    @property
    def is_owed(self) -> bool:
        """Whether a result asks for more than its own row."""
        return bool(self._owed)

    async def catch_up(self) -> None:
        """Do what the results ask for."""
        while self._owed:
            await self._owed.pop(0)()

    async def settle(self) -> None:
        """Wait until all that was recorded is durable and told."""
        await self._run.ask(lambda _: None)  # steps come after the results in their commit

    async def _take_back(self, charged: Sequence[CopyResult], reason: str) -> None:
        """Queue letters again that were refused because of us, as if they had not been tried."""
        taken = await self._run.take_back([one.copy for one in charged], reason)
        for copy, state, _ in charged:
            if copy.id in taken:
                self.finished -= state not in WAITING
                self.tell(CopyResult(copy, State.QUEUED, reason))
