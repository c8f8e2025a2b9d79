"""petition worker: one of many senders on PostgreSQL."""

import asyncio
import os
import sys
from collections.abc import Mapping
from contextlib import AsyncExitStack, ExitStack, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from petition import system
from petition.campaign.server import find_server
from petition.cli import output
from petition.cli.progress import why_slower
from petition.cli.workspace import Json, ThisLog, confirm_log, engine
from petition.database_url import POSTGRESQL, AddressUnreadable, check_log_address
from petition.errors import (
    ExitStatus,
    LogAway,
    LogDamaged,
    LogUnusable,
    PetitionError,
    UsageError,
    sentence,
)
from petition.outbox.committer import on_thread
from petition.outbox.database import where
from petition.outbox.known_logs import doubt_of
from petition.outbox.log import Log, is_there
from petition.outbox.run import CopyOutcome, record_late
from petition.outbox.states import State
from petition.outbox.workers import companion, join, keep_servers_time, membership, process_name
from petition.sending.circuit_breaker import CopyResult, Slowed
from petition.sending.dispatch import LetterUnusable
from petition.sending.sender import first_of
from petition.sending.worker import Equipment, Worker
from petition.smtp.dkim import key_of_worker
from petition.smtp.login import secret_of
from petition.smtp.session import run_loop

if TYPE_CHECKING:
    from petition.sending.job_queue import Jobs


_JOIN_SECONDS = 0.2
_TIDY_SECONDS = 2.0
_FIRST_PAUSE = 0.5
_LONGEST_PAUSE = 30.0
_UNUSABLE_SECONDS = 600.0  # until a letter is looked at again that this worker cannot send


@dataclass
class _Process:
    """One process; when the connection to the database is lost, it begins again as a new worker."""

    url: str
    own: Equipment
    once: bool
    this_log: bool
    as_json: bool
    name: str = field(default_factory=process_name)
    stopped: asyncio.Event = field(default_factory=asyncio.Event)
    worker: Worker | None = None
    jobs: "Jobs | None" = None
    sent: int = 0
    open: dict[int, State] = field(default_factory=dict)  # copies that failed or are uncertain
    left: dict[str, int] = field(default_factory=dict)  # copies that wait, by letter
    has_refused: bool = False
    pause: float = _FIRST_PAUSE
    # Replies that are not written down, by the owner of the copies.
    late: list[tuple[str, list[CopyOutcome]]] = field(default_factory=list)

    async def work(self) -> ExitStatus:
        """Until a signal, or, `once`, until nothing is left."""
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(self._report_stray)
        system.obey_signals(self._stop, self._stop)
        while not self.stopped.is_set():
            try:
                await self._work()
            except LogUnusable as fault:
                # One that was never there is waited for if it may come, as when a machine starts.
                if self.worker is None and (self.once or not isinstance(fault, LogAway)):
                    raise
                self._say("lost", f"{fault} Trying again.", reason=str(fault))
                await first_of(self.pause, self.stopped)
                self.pause = min(2 * self.pause, _LONGEST_PAUSE)
                continue
            if self.once:
                break
        if self.late:
            with suppress(LogUnusable):  # it may be back
                log = await on_thread(Log, self.url)
                with log:
                    await on_thread(self._write_late, log)
        self._say("stopped", f"Stopped: {output.count(self.sent, 'letter')} sent.", sent=self.sent)
        return self._status if self.once else ExitStatus.DONE

    @property
    def _status(self) -> ExitStatus:
        """As `send` ends, judged by the letters that this worker looked at."""
        applies = [ExitStatus.DONE]
        if self.has_refused or State.FAILED in self.open.values():
            applies.append(ExitStatus.PROBLEMS)
        if any(self.left.values()) or State.UNCERTAIN in self.open.values():
            applies.append(ExitStatus.LEFT)
        return max(applies)

    def _stop(self) -> None:
        self.stopped.set()
        if self.worker:
            self.worker.stop()
        if self.jobs:
            self.jobs.stop()

    async def _work(self) -> None:
        """As one owner, as long as its connection lasts."""
        queue = engine()
        if self.worker is None and not await on_thread(is_there, self.url):
            raise UsageError(
                f"there is no log in {where(self.url)}",
                "Queue a letter first: petition send LETTER --workers; or correct"
                " PETITION_DATABASE",
            )
        async with AsyncExitStack() as closing:
            log = await on_thread(Log, self.url)
            closing.callback(log.close)
            await on_thread(queue.make_tables, log)
            await on_thread(keep_servers_time, log)
            await on_thread(self._write_late, log)
            if not await self._join(log):
                return
            await on_thread(self._vouch, log)
            held = ExitStack()
            closing.push_async_callback(on_thread, held.close)
            owner = await on_thread(held.enter_context, membership(log, self.name))
            side = await on_thread(held.enter_context, companion(self.url))
            self.worker = worker = Worker(log, side, owner, self.own, self._tell, self._slowed)
            await worker.tidy()
            self.pause = _FIRST_PAUSE
            self._say(
                "started",
                f"Worker {self.name}: {where(self.url)}, through {self.own.server.name}.",
                log=where(self.url),
                server=self.own.server.name,
            )
            has_more = worker.has_more if self.once else None
            self.jobs = jobs = queue.Jobs(self.url, partial(self._send, worker), has_more)
            tidying = asyncio.create_task(self._tidy(worker))
            # Without it no death is found: the letter is put down, and all of this begins again.
            tidying.add_done_callback(lambda _: worker.stop())
            tidying.add_done_callback(lambda _: jobs.stop())
            try:
                if not self.stopped.is_set():
                    await jobs.work()
            finally:
                self.jobs = None
                tidying.cancel()
                await asyncio.wait({tidying})  # its connection is closed next
                if worker.late:
                    self.late.append((owner, worker.late))
            if not tidying.cancelled():
                tidying.result()
            if worker.fault:
                raise worker.fault

    def _vouch(self, log: Log) -> None:
        """Stop at a log that is older than this account knows, or another; report a new one."""
        doubt = doubt_of(log.database, self.url, None)
        if doubt and not self.this_log:
            if doubt.is_new_here:
                self._say("new-log", sentence(doubt.what), log=where(self.url))
            else:
                confirm_log(doubt)
        if doubt:
            log.accept()
        self.this_log = False  # it confirms the log as it was then

    def _write_late(self, log: Log) -> None:
        """Write down what the server said while the log was away: nobody else has heard it."""
        keep_servers_time(log)
        while self.late:
            record_late(log, *self.late[0])
            del self.late[0]

    def _report_stray(self, loop: asyncio.AbstractEventLoop, context: Mapping[str, Any]) -> None:
        """Report an error that nothing awaits; what the database said is reported elsewhere."""
        fault = context.get("exception")
        if fault is not None and engine().is_of_database(fault):
            return
        if os.environ.get("PETITION_DEBUG"):
            loop.default_exception_handler(dict(context))
        reason = _internal_error(type(fault).__name__ if fault else context["message"])
        self._say("fault", reason, reason=reason)

    async def _join(self, log: Log) -> bool:
        """Wait for a `send` that owns the log; False: stopped meanwhile."""
        has_said = False
        while not await on_thread(join, log):
            if not has_said:
                what = f"another petition command is sending from {where(self.url)}"
                self._say("waiting", f"Waiting: {what}.", reason=what)
                has_said = True
            await first_of(_JOIN_SECONDS, self.stopped)
            if self.stopped.is_set():
                return False
        return True

    async def _tidy(self, worker: Worker) -> None:
        while True:
            await asyncio.sleep(_TIDY_SECONDS)
            await worker.check_settings()
            for owner in await worker.tidy():
                self._say("found-dead", "A worker died; its letters were recovered.", owner=owner)

    async def _send(self, worker: Worker, arguments: dict[str, object]) -> None:
        letter = ""
        try:
            letter = engine().letter_of(arguments)
            begun = partial(self._begun, letter)
            left, again = await worker.send(letter, begun)
        except (LetterUnusable, LogDamaged) as fault:
            reason = str(fault)
        except (PetitionError, OSError):  # of the log, of the server, of our own output
            raise
        except Exception as fault:
            if os.environ.get("PETITION_DEBUG"):
                raise
            reason = _internal_error(type(fault).__name__)  # one letter must not end all workers
        else:
            self.left[letter] = left
            at = again.isoformat(timespec="seconds") if again else None
            self._say("job-done", "", letter=letter, left=left, again=at)
            if worker.fault and self.jobs:
                self.jobs.stop()
            return
        self.has_refused = True
        self._say("refused", reason, letter=letter, reason=reason)
        await worker.recover()
        if letter:
            await worker.queue_job(letter, _UNUSABLE_SECONDS)

    def _begun(self, letter: str, revision: int, letters: int) -> None:
        self._say("job", "", letter=letter, revision=revision, letters=letters)

    def _tell(self, told: CopyResult) -> None:
        self.sent += told.state is State.SENT
        self.open.pop(told.copy.id, None)
        if told.state in {State.FAILED, State.UNCERTAIN}:
            self.open[told.copy.id] = told.state
        self._say(
            "letter",
            "",
            letter=told.copy.letter,
            revision=told.copy.revision,
            email=told.copy.mailbox,
            state=told.state.value,
            reason=told.reason,
        )

    def _slowed(self, slowed: Slowed) -> None:
        self._say("slowed", why_slower(slowed), domain=slowed.domain, reason=slowed.said)

    def _say(self, event: str, text: str, **values: object) -> None:
        if self.as_json:
            at = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
            output.json_line({"at": at, "event": event, "worker": self.name} | values)
        elif text:
            output.say(text)
        sys.stdout.flush()


def _internal_error(what: str) -> str:
    return (
        f"Internal error: {what}. Please report it, with what PETITION_DEBUG=1 shows when you start"
        " the worker again."
    )


# If PETITION_SMTP_CONNECTIONS is unset: the more letters share a commit, the less each costs.
CONNECTIONS = "32"


def _database(environ: Mapping[str, str]) -> str:
    url = environ.get("PETITION_DATABASE", "")
    if not url.startswith(POSTGRESQL):
        raise UsageError(  # not quoted: it may contain a password
            "a worker needs PETITION_DATABASE, the address of a log in PostgreSQL",
            'Set it to an address such as "postgresql://host/name"',
        )
    try:
        check_log_address(url)
    except AddressUnreadable as refusal:
        raise UsageError(f"PETITION_DATABASE: {refusal.what}", refusal.hint) from None
    return url


def worker(
    once: Annotated[
        bool, typer.Option("--once", help="End when there is nothing left to do now.")
    ] = False,
    dkim_key: Annotated[
        Path | None,
        typer.Option("--dkim-key", metavar="FILE", help="The private key of letters to be signed."),
    ] = None,
    this_log: ThisLog = False,
    as_json: Json = False,
) -> None:
    """Send what `send --workers` has queued, beside other workers."""
    url = _database(os.environ)
    server = find_server(None, {"PETITION_SMTP_CONNECTIONS": CONNECTIONS, **os.environ})
    if server is None:
        raise UsageError(
            "a worker needs a server of its own: PETITION_SMTP_HOST is not set",
            "Set PETITION_SMTP_HOST, _USERNAME and _PASSWORD; a worker has no sandbox",
        )
    own = Equipment(server, secret_of(server), key_of_worker(dkim_key), waits=not once)
    process = _Process(url, own, once=once, this_log=this_log, as_json=as_json)
    raise typer.Exit(run_loop(process.work(), system.selector_loop()))
