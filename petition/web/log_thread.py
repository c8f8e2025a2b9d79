"""A log on a thread of its own: the event loop waits for it, but not for ever."""

import asyncio
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import TypeVar

from petition.errors import LogUnusable
from petition.outbox.log import Log

WAIT_SECONDS = 3.0  # that a person waits for the log

T = TypeVar("T")


class LogLate(Exception):
    """The log does not answer for now."""


class LogThread:
    """Asks a log on a thread that alone uses it.

    `reopen` opens the log again, since the server of its database may have been restarted.
    """

    def __init__(self, log: Log, reopen: Callable[[], Log]) -> None:
        self._log = log
        self._reopen = reopen
        self.executor = ThreadPoolExecutor(1, thread_name_prefix="log")
        self._begun = 0.0  # when the question was asked that is being answered; 0: there is none

    @property
    def is_stuck(self) -> bool:
        """Whether the current question takes longer than anybody waits."""
        return bool(self._begun) and time.monotonic() - self._begun > WAIT_SECONDS

    async def ask(self, question: Callable[[Log], T]) -> T:
        """What a question about the log returns; LogLate if it takes longer than anybody waits.

        One that has not been begun by then is dropped.
        """
        if self.is_stuck:
            raise LogLate
        too_late = time.monotonic() + WAIT_SECONDS

        def answer() -> T:
            if time.monotonic() > too_late:
                raise TimeoutError
            return self.answer(question)

        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(WAIT_SECONDS):
                return await loop.run_in_executor(self.executor, answer)
        except (TimeoutError, LogUnusable) as fault:
            raise LogLate from fault

    async def write(self, change: Callable[[Log], T]) -> T:
        """The same in a transaction, which nothing is left of after a LogLate."""
        too_late = time.monotonic() + WAIT_SECONDS

        def question(log: Log) -> T:
            with log.writing():
                if time.monotonic() > too_late:  # it waited for the log, and nobody for it any more
                    raise TimeoutError
                return change(log)

        return await self.ask(question)

    def answer(self, question: Callable[[Log], T]) -> T:
        """The same on the thread itself, or once it has ended: as long as it takes; LogUnusable."""
        self._begun = time.monotonic()
        try:
            return self._answer(question)
        finally:
            self._begun = 0.0

    def _answer(self, question: Callable[[Log], T]) -> T:
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

    def close(self) -> None:
        """Wait for the thread to end; the log stays open."""
        self.executor.shutdown()

    def close_log(self) -> None:
        """Close the log."""
        with suppress(LogUnusable):
            self._log.close()
