"""Records clicks in the log: many in one commit, and none is lost while the log is busy.

Mail providers that click for a reader seldom try again. So a click that cannot be recorded within
some seconds is written to a file beside the log and synced before it is answered. It is counted
when the log can be written to again, by this program or by the next `send`.
"""

import asyncio
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Generic, TypeVar

from petition.errors import LogUnusable
from petition.outbox.inbound import copy_with, count_noted, leave_all, note, waits
from petition.outbox.log import Log
from petition.outbox.models import Copy

T = TypeVar("T")

_WAIT_SECONDS = 3.0  # that a person waits for the log
_AGAIN_SECONDS = 2.0  # before a log that could not be written to is tried again
_MOST = 500  # clicks in one commit


class LogLate(Exception):
    """The log does not answer for now. If it was a click, that is noted in the file."""


class Clicks:
    """Looks tokens up and counts clicks, on one event loop; two threads wait for the disk.

    Args:
        log: The log; only the thread of this object uses it.
        reopen: Opens it again, since the server of its database may have been restarted.
        file: Where clicks are noted that have to wait.
    """

    def __init__(self, log: Log, reopen: Callable[[], Log], file: Path) -> None:
        self._log = log
        self._reopen = reopen
        self._file = file
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="log")
        self._pen = ThreadPoolExecutor(1, thread_name_prefix="noted")
        self._counting = _Batches(
            self._thread, lambda some: self._ask(lambda log: leave_all(log, some))
        )
        self._noting = _Batches(self._pen, partial(note, file))
        self._catching_up: asyncio.Task[None] | None = None

    async def find(self, token: str) -> Copy | None:
        """The copy that a token was made for, if there is one.

        Raises:
            LogLate: The log does not answer.
        """
        if self._counting.is_stuck:
            raise LogLate
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(_WAIT_SECONDS):
                look = partial(copy_with, token=token)
                return await loop.run_in_executor(self._thread, self._ask, look)
        except (TimeoutError, LogUnusable) as fault:
            raise LogLate from fault

    async def count(self, token: str) -> Copy | None:
        """Unsubscribe the address that a token was made for; returns its copy.

        Raises:
            LogLate: The log does not answer; the click is noted and will be counted.
            OSError: It could not be noted either.
        """
        fault: Exception | None = None
        if not self._counting.is_stuck:
            try:
                async with asyncio.timeout(_WAIT_SECONDS):
                    return await self._counting.add(token)
            except (TimeoutError, LogUnusable) as found:
                fault = found
        await self._noting.add(token)
        self.catch_up()
        raise LogLate from fault

    def close(self) -> bool:
        """Count what still waits, if possible, and close the log.

        Returns:
            Whether clicks are left in the file.
        """
        self._thread.shutdown()
        self._pen.shutdown()
        if waits(self._file):
            with suppress(LogUnusable, OSError):
                self._ask(partial(count_noted, file=self._file))
        with suppress(LogUnusable):
            self._log.close()
        return waits(self._file)

    def catch_up(self) -> None:
        """Count what was noted, by an earlier run too, as soon as the log can be written to."""
        if self._catching_up is None or self._catching_up.done():
            self._catching_up = asyncio.create_task(self._catch_up())

    async def _catch_up(self) -> None:
        loop = asyncio.get_running_loop()
        while waits(self._file):
            await asyncio.sleep(_AGAIN_SECONDS)
            with suppress(LogUnusable, OSError):
                count = partial(count_noted, file=self._file)
                await loop.run_in_executor(self._thread, self._ask, count)

    def _ask(self, question: Callable[[Log], T]) -> T:
        try:
            return question(self._log)
        except LogUnusable as fault:
            if self._log.database.is_busy(fault):
                raise
            log = self._reopen()
        with suppress(LogUnusable):
            self._log.close()
        self._log = log
        return question(log)


class _Batches(Generic[T]):
    """Hands over to a thread all at once what gathers while it is at work."""

    def __init__(self, thread: Executor, work: Callable[[Sequence[str]], Sequence[T]]) -> None:
        self._thread = thread
        self._work = work
        self._gathered: list[tuple[str, asyncio.Future[T]]] = []
        self._working: asyncio.Task[None] | None = None
        self._begun = 0.0  # when the current work was handed over; 0: there is none

    @property
    def is_stuck(self) -> bool:
        """Whether the current work takes longer than anybody waits."""
        return bool(self._begun) and time.monotonic() - self._begun > _WAIT_SECONDS

    async def add(self, token: str) -> T:
        """What the work returns for a token, or raises."""
        answer: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        self._gathered.append((token, answer))
        if self._working is None or self._working.done():
            self._working = asyncio.create_task(self._hand_over())
        return await answer

    async def _hand_over(self) -> None:
        loop = asyncio.get_running_loop()
        while self._gathered:
            some, self._gathered = self._gathered[:_MOST], self._gathered[_MOST:]
            some = [(token, answer) for token, answer in some if not answer.done()]
            if not some:
                continue
            self._begun = time.monotonic()
            try:
                tokens = [token for token, _ in some]
                answers = await loop.run_in_executor(self._thread, self._work, tokens)
            except Exception as fault:  # noqa: BLE001 (raised again to those who await it)
                for _, answer in some:
                    if not answer.done():
                        answer.set_exception(fault)
            else:
                for (_, answer), given in zip(some, answers, strict=True):
                    if not answer.done():
                        answer.set_result(given)
            finally:
                self._begun = 0.0
