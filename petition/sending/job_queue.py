"""The jobs of workers: the only module that imports Procrastinate.

A job names a letter: no text, no address, no command and no path. The engine starts and spreads the
work; what may be sent, the rows say.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from contextlib import suppress

from procrastinate import App, PsycopgConnector
from procrastinate.exceptions import ConnectorException
from procrastinate.schema import SchemaManager

from petition.database_url import with_tls
from petition.errors import LogUnusable
from petition.outbox import workers
from petition.outbox.log import Log
from petition.outbox.models import TASK
from petition.outbox.postgres import is_of_server, said, settle
from petition.sending.dispatch import LetterUnusable

HEARTBEAT_SECONDS = 2.0
SILENT_SECONDS = 8.0
_QUEUE = "letters"
_POLL_SECONDS = 2.0
_POOL_SECONDS = 5.0  # until a database that is away is noticed


def make_tables(log: Log) -> None:
    """Make what workers need in the log's database, where it is missing (outbox/workers.py)."""
    workers.make_tables(log.database, SchemaManager.get_schema())


class Jobs:
    """Takes jobs, one at a time; when none is left, asks `has_more`, or without it waits."""

    def __init__(
        self,
        url: str,
        send: Callable[[dict[str, object]], Awaitable[None]],
        has_more: Callable[[], Awaitable[bool]] | None,
    ) -> None:
        for name in ("procrastinate", "psycopg.pool"):  # the worker reports what happens itself
            logging.getLogger(name).addHandler(logging.NullHandler())
            logging.getLogger(name).propagate = False
        connector = PsycopgConnector(
            conninfo=with_tls(url), min_size=1, max_size=3, timeout=_POOL_SECONDS, configure=settle
        )
        self._app = App(connector=connector)
        self._app.tasks.clear()  # the engine's own, which anybody who can write could queue
        self._app.task(name=TASK, queue=_QUEUE)(self._run_job)
        self._send = send
        self._has_more = has_more
        self._task: asyncio.Task[None] | None = None
        self._is_stopped = False
        self._fault: Exception | None = None

    async def work(self) -> None:
        """Do jobs until `stop`, or until none is left; LogUnusable if the database is gone."""
        try:
            async with self._app.open_async():
                if self._is_stopped:
                    return
                self._task = asyncio.create_task(self._work())
                with suppress(asyncio.CancelledError):
                    await self._task
        except ConnectorException as fault:
            reason = said(fault.__cause__ or fault)  # the engine's own message is always the same
            raise LogUnusable(
                f"the jobs in the log's database cannot be taken: {reason}",
                "Check that its server runs, and that this login may use all of its tables",
            ) from fault
        if self._fault:
            raise self._fault

    def stop(self) -> None:
        """Take no further job; the one in hand is finished, however often this is called."""
        if self._task and not self._is_stopped:
            self._task.cancel()  # a second time would break off the job, with letters in flight
        self._is_stopped = True

    async def _work(self) -> None:
        while True:
            await self._app.run_worker_async(
                queues=[_QUEUE],
                concurrency=1,
                wait=self._has_more is None,
                fetch_job_polling_interval=_POLL_SECONDS,
                delete_jobs="successful",
                install_signal_handlers=False,
                update_heartbeat_interval=HEARTBEAT_SECONDS,
                stalled_worker_timeout=SILENT_SECONDS,
            )
            if self._fault or not (self._has_more and await self._has_more()):
                return

    async def _run_job(self, **arguments: object) -> None:
        try:
            await self._send(arguments)
        except Exception as fault:  # noqa: BLE001 (raised by work: the engine would only log it)
            self._fault = fault
            self.stop()


def letter_of(arguments: dict[str, object]) -> str:
    """The letter that a job names; LetterUnusable if another version of petition queued it."""
    letter = arguments.get("letter")
    # Before version 0.2 a job also listed copies.
    if not isinstance(letter, str) or not arguments.keys() <= {"letter", "revision", "copies"}:
        raise LetterUnusable(
            "a job was queued by another version of petition", "Use one version for all workers"
        )
    return letter


def is_of_database(fault: BaseException) -> bool:
    """Whether an error says that the jobs' database cannot be reached or refuses something."""
    return isinstance(fault, ConnectorException) or is_of_server(fault)
