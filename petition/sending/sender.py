"""Sends the copies of a run: merge, transact, record.

A few connections share the work. Each takes the next copy, merges it, waits for its turn, hands it
to the server and records the reply; where nothing prevents it, the commands of the next copy go
with the final dot. An error of one letter ends that letter; an error of the server closes the
connection, leaves the letter waiting and, if it persists, ends the run.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta

from petition.errors import LogForked, LogUnusable
from petition.merge.message import Merger
from petition.outbox.models import Copy
from petition.outbox.run import Run
from petition.outbox.states import Reason
from petition.sending.circuit_breaker import (
    CopyResult,
    RunResult,
    Slowed,
    Wait,
    rest_after,
)
from petition.sending.connection import Connection, Parts
from petition.sending.merging import CopyMerger
from petition.sending.person import person_of
from petition.sending.prefetch import Prefetch
from petition.sending.results import Results
from petition.sending.route import Route
from petition.smtp.login import OpeningTrouble
from petition.smtp.replies import Stage
from petition.smtp.session import Session


async def first_of(seconds: float, *events: asyncio.Event) -> None:
    """Wait so many seconds, or until one of these events."""
    waits = [asyncio.ensure_future(event.wait()) for event in events]
    try:
        await asyncio.wait(waits, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for wait in waits:
            wait.cancel()


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
        self._route = route
        self._clock = clock
        self._result = RunResult()
        self._prefetch = Prefetch(
            run,
            route,
            merger.recipients_each,
            lambda copy: merger.recipients_of(person_of(copy)),
            self._result,
        )
        self._results = Results(run, route, self._prefetch, self._result, tell, note, clock)
        self._merging = CopyMerger(merger, route, run, self._results, clock, provide, merged)
        self._parts = Parts(run, route, self._prefetch, self._merging, self._results)
        self._breaker = self._results.breaker
        self._rested_for = 0  # the episode of trouble that was waited out last
        self._stop = self._results.stop
        self._is_done = asyncio.Event()  # one of the connections found nothing left
        self._opening = asyncio.Lock()
        self._open_connections = 0  # that are open

    @property
    def merged(self) -> int:
        """How many copies the merger has made, also before this run."""
        return self._merging.merged

    def go_on_with(self, merger: Merger) -> None:
        """Merge the copies that follow with another merger: a name was taken out of the letter."""
        self._merging.go_on_with(merger)

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
                # The connections end when nothing is left to send. One that broke down meanwhile
                # may have left its letter waiting: hence the round again.
                await self._work_together(await self._connections(letters))
            await self._finish()
        except LogForked:
            raise  # no dot has gone, and there is nothing to report of this run
        except LogUnusable as fault:
            self._result.log_fault = fault
        return self._result

    async def deliver_all(
        self, letters: int, note: Callable[[Wait], None], until: datetime | None = None
    ) -> RunResult:
        """Send until nothing is left to send; `note` gets each wait, once for an outage.

        What could go only from a moment `until` on is left.
        """
        while True:
            result = await self.deliver(letters)
            is_outage = self._breaker.returns > 0
            wait = await self._next_chance()
            if wait is None or (until and wait.until >= until):
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
        left = min(letters - self._results.finished, await self._prefetch.room())
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
            await self._results.settle()
        if self._results.fault:
            raise self._results.fault

    async def _work(self) -> None:
        refusals = 0
        try:
            while not self._results.is_halted and await self._prefetch.has_more():
                session = await self._open()
                if session is None:
                    refusals += 1
                    if not await self._others_work_on(refusals):
                        return
                    continue
                refusals = 0
                try:
                    await Connection(self._parts, session, self._breaker.episode).send_all()
                finally:
                    self._open_connections -= 1
                    await session.close()
        except Exception as fault:  # noqa: BLE001 (raised again when all connections have ended)
            self._results.fail(fault)
        finally:
            self._is_done.set()

    async def _others_work_on(self, refusals: int) -> bool:
        """Wait while other connections work: the server accepts no more of them."""
        if self._open_connections and not self._is_done.is_set():
            pause = self._route.pause * rest_after(refusals)
            await first_of(pause, self._stop, self._is_done)
        return not self._is_done.is_set()

    async def _open(self) -> Session | None:
        """A new connection, or None. One at a time at first: a wrong password is tried once."""
        async with self._opening:
            if not self._breaker.is_calm:
                return await self._try_to_open()
        return await self._try_to_open()

    async def _try_to_open(self) -> Session | None:
        if rest := rest_after(self._breaker.troubles):
            seconds = self._route.pause * rest
            self._results.slowing.rest(
                self._breaker.episode,
                self._breaker.said,
                seconds,
                is_refusal=self._breaker.is_refusal,
            )
            await first_of(seconds, self._stop)
        if self._results.is_halted:
            return None
        is_another = bool(self._open_connections)
        try:
            session = await self._route.open_unless(self._stop)
        except OpeningTrouble as trouble:
            # Beside a connection that works, this is a limit on their number, also as 554.
            is_limit = trouble.is_passing or (trouble.reply and trouble.stage in _BEFORE_LOGIN)
            if not (is_limit and (is_another or self._open_connections)):
                self._breaker.not_opened(trouble)
                self._results.look()
            return None
        if session is None:
            return None
        if rest and self._rested_for != self._breaker.episode:
            # Letters to other providers go first: is the server in trouble, or one provider?
            self._rested_for = self._breaker.episode
            self._route.pace.hold_slowed()
        self._breaker.has_opened = True
        self._open_connections += 1
        return session

    async def _finish(self) -> None:
        """Forget what was read ahead, and suppress mailboxes that do not exist."""
        await self._prefetch.forget_all()
        if unknown := self._breaker.to_suppress(at_end=True):
            await self._run.suppress(unknown, Reason.NO_MAILBOX)
