"""The copies of a letter as jobs of many machines: the only door to Procrastinate.

A job is a letter, its revision and the ids of some hundred copies: no text, no address, no command
and no path. The engine promises to run it at least once; what may be sent, the rows say.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from datetime import timedelta
from typing import cast

from procrastinate import App, BaseRetryStrategy, PsycopgConnector, RetryDecision
from procrastinate.exceptions import ConnectorException
from procrastinate.jobs import Job
from procrastinate.schema import SchemaManager

from petition.database_url import with_tls
from petition.errors import LogUnusable
from petition.outbox import worker_store
from petition.outbox.log import Clock, Log
from petition.outbox.postgres import is_of_server, said, settle
from petition.sending.worker import Requeue

HEARTBEAT_SECONDS = 2.0
# A worker that was not heard of for so long has its jobs given to others. It decides nothing else:
# whether it lives, and who may send what, its lock and the rows say.
SILENT_SECONDS = 8.0

_QUEUE = "letters"
_POLL_SECONDS = 2.0

SendJob = Callable[[Mapping[str, object]], Awaitable[Requeue | None]]


class _TakeUpAgain(Exception):
    """A job is not done."""

    def __init__(self, left: Requeue) -> None:
        super().__init__(f"{left.letters} letters wait until {left.at:%Y-%m-%d %H:%M:%S} UTC")
        self.left = left


class _Again(BaseRetryStrategy):
    """A job that is not done is taken up when it says; one that never came to be ours, no more."""

    def get_retry_decision(self, *, exception: BaseException, job: Job) -> RetryDecision | None:
        """When, whatever the number of times that it was tried."""
        del job
        if isinstance(exception, _TakeUpAgain):
            return RetryDecision(retry_at=exception.left.at)
        return None  # its arguments are such that nobody could be called with them


def make_tables(log: Log) -> None:
    """Make what workers need in the log's database, where it is not there.

    Raises:
        LogUnusable: The database is no PostgreSQL, or this login may not.
    """
    worker_store.make_tables(log.database, SchemaManager.get_schema())


class Jobs:
    """Takes jobs, one at a time, and gives those of silent workers to others.

    Args:
        url: The address of the log.
        send: Does a job: sends the copies that its arguments name.
        is_owed: Whether a dead worker has a job still, which `once` waits for.
        clock: What tells the time of the database; that of this machine may be wrong by days.
        once: End when there is no job that could be done now.
    """

    def __init__(
        self,
        url: str,
        send: SendJob,
        is_owed: Callable[[], Awaitable[bool]],
        clock: Clock,
        *,
        once: bool,
    ) -> None:
        _be_quiet()
        self._app = App(
            connector=PsycopgConnector(
                conninfo=with_tls(url), min_size=1, max_size=3, configure=settle
            )
        )
        self._app.tasks.clear()  # the engine's own, which anybody who can write could queue
        self._send = send
        self._is_owed = is_owed
        self._clock = clock
        self._once = once
        self._task: asyncio.Task[None] | None = None
        self._is_stopped = False
        self._fault: Exception | None = None
        self._app.task(name=worker_store.TASK, queue=_QUEUE, retry=_Again())(self._run_job)

    async def work(self) -> None:
        """Do jobs until `stop`, or, `once`, until there is none.

        Raises:
            LogUnusable: The database does not answer any more.
        """
        try:
            async with self._app.open_async():
                await self._take_over()
                if self._is_stopped:
                    return
                self._task = asyncio.create_task(self._work())
                with suppress(asyncio.CancelledError):
                    await self._task
        except ConnectorException as fault:
            reason = said(fault.__cause__ or fault)  # the engine says of each fault the same
            raise LogUnusable(
                f"the jobs in the database of the log cannot be taken: {reason}",
                "Look whether its server runs, and whether this login may use all of its tables",
            ) from fault
        if self._fault:
            raise self._fault

    def stop(self) -> None:
        """Take no further job; the one in hand ends as it sees fit, however often this is said."""
        if self._task and not self._is_stopped:
            self._task.cancel()  # a second one would break off the job, with letters in flight
        self._is_stopped = True

    async def _work(self) -> None:
        care = asyncio.create_task(self._care())
        care.add_done_callback(self._care_ended)
        try:
            await self._do_jobs()
            while self._once and await self._is_owed():
                await asyncio.sleep(HEARTBEAT_SECONDS)  # until it is given to us
                await self._do_jobs()
        finally:
            care.cancel()

    def _care_ended(self, care: "asyncio.Task[None]") -> None:
        """Nobody else finds what silent workers hold."""
        if not care.cancelled():
            self._fault = self._fault or cast("Exception | None", care.exception())
            self.stop()

    async def _do_jobs(self) -> None:
        await self._app.run_worker_async(
            queues=[_QUEUE],
            concurrency=1,
            wait=not self._once,
            fetch_job_polling_interval=_POLL_SECONDS,
            delete_jobs="successful",
            install_signal_handlers=False,
            update_heartbeat_interval=HEARTBEAT_SECONDS,
            stalled_worker_timeout=SILENT_SECONDS,
        )

    async def _care(self) -> None:
        while True:
            await asyncio.sleep(HEARTBEAT_SECONDS)
            with suppress(ConnectorException):
                await self._take_over()

    async def _take_over(self) -> None:
        """Give back the jobs of workers that were not heard of."""
        manager = self._app.job_manager
        for job in await manager.get_stalled_jobs(
            queue=_QUEUE, seconds_since_heartbeat=SILENT_SECONDS
        ):
            with suppress(ConnectorException):  # another worker was quicker
                await manager.retry_job(job, retry_at=self._clock())

    async def _run_job(self, **arguments: object) -> None:
        try:
            left = await self._send(arguments)
        except Exception as fault:  # the engine would say nothing of it
            self._fault = fault
            self.stop()
            soon = self._clock() + timedelta(seconds=SILENT_SECONDS)
            raise _TakeUpAgain(Requeue(soon, 0)) from fault
        if left:
            raise _TakeUpAgain(left)


def is_of_database(fault: BaseException) -> bool:
    """Whether an error says that the database of the jobs is away, or refuses something."""
    return isinstance(fault, ConnectorException) or is_of_server(fault)


def _be_quiet() -> None:
    """What the engine says goes nowhere: the worker says in its own words what happens."""
    for name in ("procrastinate", "psycopg.pool"):
        logger = logging.getLogger(name)
        logger.addHandler(logging.NullHandler())
        logger.propagate = False
