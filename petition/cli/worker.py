"""petition worker: one of many senders on PostgreSQL."""

import asyncio
import os
import signal
import socket
import sys
from collections.abc import Mapping
from contextlib import AsyncExitStack, ExitStack, suppress
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from petition.campaign.server import find_server
from petition.cli import output
from petition.cli.workspace import Json, ThisLog, confirm_log, engine
from petition.database_url import POSTGRESQL, AddressUnreadable, check_log_address
from petition.errors import ExitStatus, LogDamaged, LogUnusable, PetitionError, UsageError, sentence
from petition.outbox.committer import on_thread
from petition.outbox.database import where
from petition.outbox.known_logs import doubt_of
from petition.outbox.log import Log, is_there
from petition.outbox.run import CopyOutcome, write_down_late
from petition.outbox.states import State
from petition.outbox.workers import companion, join, keep_servers_time, membership
from petition.sending.dispatch import LetterUnusable
from petition.sending.results import CopyResult, Slowed
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


def work(
    environ: Mapping[str, str],
    dkim_key: Path | None,
    *,
    once: bool,
    this_log: bool = False,
    as_json: bool,
) -> ExitStatus:
    """Work until a signal asks for the end."""
    url = _database(environ)
    server = find_server(None, environ)
    if server is None:
        raise UsageError(
            "a worker needs a server of its own: PETITION_SMTP_HOST is not set",
            "Set PETITION_SMTP_HOST, _USERNAME and _PASSWORD; a worker has no sandbox",
        )
    if not is_there(url):
        raise UsageError(
            f"there is no log in {where(url)}",
            "Queue a letter first: petition send LETTER --workers; or correct PETITION_DATABASE",
        )
    own = Equipment(server, secret_of(server), key_of_worker(dkim_key), waits=not once)
    process = _Process(url, own, once=once, this_log=this_log, as_json=as_json)
    return run_loop(process.work())


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


class _Process:
    """One process; when the connection to the database is lost, it begins again as a new worker."""

    def __init__(
        self, url: str, own: Equipment, *, once: bool, this_log: bool, as_json: bool
    ) -> None:
        self._url = url
        self._own = own
        self._once = once
        self._this_log = this_log
        self._as_json = as_json
        self._name = f"{socket.gethostname()}:{os.getpid()}"
        self._stopped = asyncio.Event()
        self._worker: Worker | None = None
        self._jobs: Jobs | None = None
        self._sent = 0
        self._states: set[State] = set()  # that copies came into
        self._left: dict[str, int] = {}  # copies that wait, by letter
        self._has_refused = False
        self._pause = _FIRST_PAUSE
        self._late: list[tuple[str, list[CopyOutcome]]] = []  # replies not written down, by owner

    async def work(self) -> ExitStatus:
        """Until a signal, or, `once`, until nothing is left."""
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(self._report_stray)
        for one in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            loop.add_signal_handler(one, self._stop)
        while not self._stopped.is_set():
            try:
                await self._work()
            except LogUnusable as fault:
                if self._worker is None:  # it was never there
                    raise
                self._say("lost", f"{fault} Trying again.", reason=str(fault))
                await first_of(self._pause, self._stopped)
                self._pause = min(2 * self._pause, _LONGEST_PAUSE)
                continue
            if self._once:
                break
        if self._late:
            with suppress(LogUnusable), Log(self._url) as log:  # it may be back
                await on_thread(self._write_late, log)
        self._say("stopped", f"Ended: {output.count(self._sent, 'letter')} sent.", sent=self._sent)
        return self._status if self._once else ExitStatus.DONE

    @property
    def _status(self) -> ExitStatus:
        """As `send` ends, judged by the letters that this worker looked at."""
        applies = [ExitStatus.DONE]
        if self._has_refused or State.FAILED in self._states:
            applies.append(ExitStatus.PROBLEMS)
        if any(self._left.values()) or State.UNCERTAIN in self._states:
            applies.append(ExitStatus.LEFT)
        return max(applies)

    def _stop(self) -> None:
        self._stopped.set()
        if self._worker:
            self._worker.stop()
        if self._jobs:
            self._jobs.stop()

    async def _work(self) -> None:
        """As one owner, as long as its connection lasts."""
        queue = engine()
        async with AsyncExitStack() as closing:
            log = await on_thread(Log, self._url)
            closing.callback(log.close)
            await on_thread(queue.make_tables, log)
            await on_thread(keep_servers_time, log)
            await on_thread(self._write_late, log)
            if not await self._join(log):
                return
            await on_thread(self._vouch, log)
            held = ExitStack()
            closing.push_async_callback(on_thread, held.close)
            owner = await on_thread(held.enter_context, membership(log, self._name))
            side = await on_thread(held.enter_context, companion(self._url))
            self._worker = worker = Worker(log, side, owner, self._own, self._tell, self._slowed)
            await worker.tidy()
            self._pause = _FIRST_PAUSE
            self._say(
                "started",
                f"Worker {self._name}: {where(self._url)}, through {self._own.server.name}.",
                log=where(self._url),
                server=self._own.server.name,
            )
            has_more = worker.has_more if self._once else None
            self._jobs = jobs = queue.Jobs(self._url, partial(self._send, worker), has_more)
            tidying = asyncio.create_task(self._tidy(worker))
            # Without it no death is found: the letter is put down, and all of this begins again.
            tidying.add_done_callback(lambda _: worker.stop())
            tidying.add_done_callback(lambda _: jobs.stop())
            try:
                if not self._stopped.is_set():
                    await jobs.work()
            finally:
                self._jobs = None
                tidying.cancel()
                await asyncio.wait({tidying})  # its connection is closed next
                if worker.late:
                    self._late.append((owner, worker.late))
            if not tidying.cancelled():
                tidying.result()
            if worker.fault:
                raise worker.fault

    def _vouch(self, log: Log) -> None:
        """Stop at a log that is older than this account knows, or another; report a new one.

        Workers usually run on other machines than the campaign, and new ones start at any time.
        Whoever started this one has given it the address of its log.
        """
        doubt = doubt_of(log.database, self._url, None)
        if doubt and not self._this_log:
            if doubt.is_new_here:
                self._say("new-log", sentence(doubt.what), log=where(self._url))
            else:
                confirm_log(doubt)
        if doubt:
            log.accept()
        self._this_log = False  # it confirms the log as it was then

    def _write_late(self, log: Log) -> None:
        """Write down what the server said while the log was away: nobody else has heard it."""
        keep_servers_time(log)
        while self._late:
            write_down_late(log, *self._late[0])
            del self._late[0]

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
                what = f"another petition command is sending from {where(self._url)}"
                self._say("waiting", f"Waiting: {what}.", reason=what)
                has_said = True
            await first_of(_JOIN_SECONDS, self._stopped)
            if self._stopped.is_set():
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
            self._left[letter] = left
            at = again.isoformat(timespec="seconds") if again else None
            self._say("job-done", "", letter=letter, left=left, again=at)
            if worker.fault and self._jobs:
                self._jobs.stop()
            return
        self._has_refused = True
        self._say("refused", reason, letter=letter, reason=reason)
        await worker.give_back()
        if letter:
            await worker.queue_job(letter, _UNUSABLE_SECONDS)

    def _begun(self, letter: str, revision: int, letters: int) -> None:
        self._say("job", "", letter=letter, revision=revision, letters=letters)

    def _tell(self, told: CopyResult) -> None:
        self._sent += told.state is State.SENT
        self._states.add(told.state)
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
        if slowed.domain:
            text = f"{slowed.domain} asks for fewer letters: {slowed.said}."
        elif slowed.seconds:
            text = f"Trouble with the server ({slowed.said}): trying again."
        else:
            text = f"The server does not accept pipelining after a letter ({slowed.said})."
        self._say("slowed", text, domain=slowed.domain, reason=slowed.said)

    def _say(self, event: str, text: str, **values: object) -> None:
        if self._as_json:
            at = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
            output.json_line({"at": at, "event": event, "worker": self._name} | values)
        elif text:
            output.say(text)
        sys.stdout.flush()


def _internal_error(what: str) -> str:
    return (
        f"Internal error: {what}. Please report it, with what PETITION_DEBUG=1 shows when you start"
        " the worker again."
    )


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
    raise typer.Exit(work(os.environ, dkim_key, once=once, this_log=this_log, as_json=as_json))
