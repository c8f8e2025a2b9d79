"""Carries the letters of a run over one connection.

Where letters follow each other freely, nothing waits in between: the conversation asks for a mark,
the log says that it is durable, the conversation tells what became of the letter and gets the next
one, each by a call. Whatever may take its time (a turn of the pace, more copies, files, the first
letter of a run) is done by a coroutine, which otherwise waits until there is something for it.
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial

from petition.merge.message import Email
from petition.outbox.committer import resolve
from petition.outbox.models import Copy
from petition.outbox.run import CopyMark, Run
from petition.sending.merging import CopyMerger, MergedCopy
from petition.sending.prefetch import Prefetch
from petition.sending.rate_limit import IDLE_SECONDS, NO_CAP
from petition.sending.results import Results
from petition.sending.route import Route
from petition.smtp.conversation import Transaction
from petition.smtp.session import Session

_Slow = Callable[[], Awaitable[None]]


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


@dataclass(slots=True)
class Parts:
    """The parts of a run that its connections use."""

    run: Run
    route: Route
    prefetch: Prefetch
    merging: CopyMerger
    results: Results
    dismissals: Dismissals = field(default_factory=Dismissals)


class Connection:
    """A connection, and what is under way on it; `episode` is when it was opened."""

    def __init__(self, parts: Parts, session: Session, episode: int) -> None:
        self.session = session
        self._parts = parts
        self._results = parts.results
        self._conversation = session.conversation
        self._episode = episode
        self._pace = parts.route.pace
        self._login = parts.route.login
        self._letter: MergedCopy  # the present one
        self._ahead: MergedCopy | None = None  # the one after it, if it is merged already
        self._is_over = False  # by what became of a letter
        # What is left to the coroutine; None: the conversation rests.
        self._left: asyncio.Future[_Slow | None]

    async def send_all(self) -> None:
        """Send letters until there is none left for this connection."""
        try:
            while letter := await self._next():
                await self._send(letter)
        finally:
            if self._conversation.was_dismissed:
                self._parts.dismissals.note(self._conversation.letters)
            if self._ahead:
                self._parts.prefetch.give_back(self._ahead.copy)

    async def _send(self, letter: MergedCopy) -> None:
        """Send a letter, and those that can follow it at once."""
        loop = asyncio.get_running_loop()
        self._letter = letter
        self._left = loop.create_future()
        self._conversation.begin(letter.outgoing, self)
        while do := await self._left:
            self._left = loop.create_future()
            await do()
        await self._results.catch_up()
        if self._is_over:
            await self.session.close()

    # ---- the next letter

    async def _next(self) -> MergedCopy | None:
        """The next letter, when its turn has come; None: close this connection."""
        parts = self._parts
        if self._ahead or not self._may_go_on:
            return self._take_ahead()
        while True:
            copy = parts.prefetch.take()
            if copy is None:
                await self._results.settle()
                if self._results.is_halted or not await parts.prefetch.has_more():
                    return None
                continue
            if not (self._is_free_for(copy) or await self._turn_has_come(copy)):
                parts.prefetch.give_back(copy)
                return None
            letter = await parts.merging.provided_letter(copy)
            if letter or self._results.result.is_hindered:
                return letter

    @property
    def _may_go_on(self) -> bool:
        """Whether another letter may go on this connection."""
        if self._results.is_halted or not self._conversation.is_open:
            return False
        return self._parts.dismissals.allow(self._conversation.letters)

    def _take_ahead(self) -> MergedCopy | None:
        """The letter that was read ahead, if it may go now."""
        ahead = self._ahead
        if ahead is None or not self._may_go_on:
            return None
        if self._pace.is_paused(ahead.copy.domain):  # since it was merged
            return None
        self._ahead = None
        return ahead

    def _copy_ahead(self) -> Copy | None:
        """The copy after the present one, unless it might have to wait for its turn."""
        if self._ahead or self._results.is_halted or self._results.result.is_hindered:
            return None
        if not self._parts.dismissals.allow(self._conversation.letters + 1):
            return None
        copy = self._parts.prefetch.take()
        if copy and not self._is_free_for(copy):
            self._parts.prefetch.give_back(copy)
            return None
        return copy

    def _is_free_for(self, copy: Copy) -> bool:
        return self._pace.is_free_for_all or self._pace.is_free_for(copy.domain)

    async def _turn_has_come(self, copy: Copy) -> bool:
        """Wait for a letter's turn; False: close this connection before it."""
        results = self._results
        if self._pace.delay(copy.domain) > IDLE_SECONDS:
            await self.session.close()
        waiting = asyncio.ensure_future(self._pace.wait(copy.domain))
        stop = asyncio.ensure_future(results.stop.wait())
        try:
            await asyncio.wait({waiting, stop}, return_when=asyncio.FIRST_COMPLETED)
            if not waiting.done():
                return False
            turn = waiting.result()
        finally:
            waiting.cancel()
            stop.cancel()
        if isinstance(turn, datetime):
            results.result.closed = turn
            results.stop.set()
        elif not (results.is_halted or self._conversation.is_open):
            # The connection was closed while the letter waited: it goes on the next one.
            self._pace.hand_back(turn)
        return not results.is_halted and self._conversation.is_open

    # ---- called by the conversation

    def permit(self) -> None:
        """Make the mark durable, and with it the result of the letter before."""
        try:
            parts, copy = self._parts, self._copy_ahead()
            is_free = parts.run.has_begun and self._pace.is_free
            if not is_free or (copy and parts.merging.has_to_wait(copy)):
                self._leave(partial(self._permit_slowly, copy))
                return
            parts.run.mark(self._mark, self._conversation.may_go)
        except Exception as fault:  # noqa: BLE001 (the dot must not go, whatever it is)
            self._conversation.may_go(False, fault)
            return
        try:
            while copy:  # while the disk works
                self._ahead = parts.merging.letter(copy)
                copy = self._copy_ahead()  # of the one before no letter could be made
                if copy and parts.merging.has_to_wait(copy):
                    parts.prefetch.give_back(copy)
                    break
        except Exception as fault:  # noqa: BLE001 (of the letter after this one, which goes)
            parts.results.fail(fault)

    async def _permit_slowly(self, copy: Copy | None) -> None:
        """The same, where something has to be waited for."""
        parts = self._parts
        try:
            await parts.run.begin()
            marked: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
            parts.run.mark(self._mark, partial(resolve, marked))
            try:
                while copy:
                    self._ahead = await parts.merging.provided_letter(copy)
                    copy = self._copy_ahead()
            except Exception as fault:  # noqa: BLE001 (of the letter after this one, which goes)
                parts.results.fail(fault)
            if may_go := await marked:
                await self._pace.wait_for_dot()
        except Exception as fault:  # noqa: BLE001 (the dot must not go, whatever it is)
            self._conversation.may_go(False, fault)
        else:
            self._conversation.may_go(may_go)

    @property
    def _mark(self) -> CopyMark:
        copy, email, _, date = self._letter
        return CopyMark(
            copy=copy,
            letter_date=date,
            message_id=email.message_id,
            data=email.data,
            is_kept=self._parts.route.keep_bytes,
            login=self._login,
            recipients=len(email.envelope.rcpt_to),
        )

    def following(self) -> Email | None:
        """The letter that was read ahead: its commands may go with a dot."""
        ahead = self._ahead
        if ahead is None or self._results.is_halted or self._parts.route.dot_goes_alone:
            return None
        return ahead.outgoing

    def ended(self, done: Transaction) -> Email | None:
        """Write down what became of the letter; the next one goes at once if nothing is owed."""
        results, letter = self._results, None
        try:
            copy, date = self._letter.copy, self._letter.date
            verdict = results.conclude(copy, date, done, self._episode)
            self._is_over = verdict.ends_connection
            if done.fault:
                results.fail(done.fault)
            if not (self._is_over or results.is_owed):
                letter = self._take_ahead()
        except Exception as fault:  # noqa: BLE001 (raised again when all connections have ended)
            results.fail(fault)
        if letter is None:
            self._leave(None)
            return None
        self._letter = letter
        return letter.outgoing

    def _leave(self, slow: _Slow | None) -> None:
        """Leave what comes next to the coroutine, unless that has just been cancelled."""
        if not self._left.done():
            self._left.set_result(slow)
