"""petition worker: one of many senders on PostgreSQL."""

import asyncio
import os
import signal
import socket
import sys
from collections.abc import Mapping
from contextlib import AsyncExitStack, ExitStack, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from petition.campaign.server import server_of_environment
from petition.cli import output
from petition.cli.workspace import Json, ThisLog, confirm_log, engine
from petition.database_url import POSTGRESQL, AddressUnreadable, check_log_address
from petition.errors import ExitStatus, LogDamaged, LogUnusable, PetitionError, UsageError, sentence
from petition.outbox.database import where
from petition.outbox.known_logs import doubt_of
from petition.outbox.log import Log, is_there
from petition.outbox.run import CopyOutcome, on_thread, write_down_late
from petition.outbox.states import State
from petition.outbox.workers import companion, join, keep_servers_time, membership
from petition.sending.dispatch import LetterUnusable
from petition.sending.results import CopyResult, Slowed
from petition.sending.sender import first_of
from petition.sending.worker import Equipment, Requeue, Task, Worker
from petition.smtp.dkim import key_of_worker
from petition.smtp.login import secret_of
from petition.smtp.session import run_loop

if TYPE_CHECKING:
    from petition.sending.job_queue import Jobs


_JOIN_SECONDS = 0.2
_TIDY_SECONDS = 2.0
_FIRST_PAUSE = 0.5
_LONGEST_PAUSE = 30.0
_UNUSABLE_SECONDS = 600.0  # until a job is looked at again that this worker cannot use


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
    server = server_of_environment(environ)
    if server is None:
        raise UsageError(
            "a worker needs a server of its own: PETITION_SMTP_HOST is not set",
            "Set PETITION_SMTP_HOST, _USERNAME and _PASSWORD; a worker knows no sandbox",
        )
    if not is_there(url):
        raise UsageError(
            f"there is no log in {where(url)}",
            "Queue a letter first: petition send LETTER --workers; or correct PETITION_DATABASE",
        )
    own = Equipment(server, secret_of(server), key_of_worker(dkim_key), waits=not once)
    worker = _Worker(url, own, once=once, this_log=this_log, as_json=as_json)
    return run_loop(worker.work())


def _database(environ: Mapping[str, str]) -> str:
    url = environ.get("PETITION_DATABASE", "")
    if not url.startswith(POSTGRESQL):
        raise UsageError(  # it may hold a password: it is not quoted
            "a worker needs PETITION_DATABASE, the address of a log in PostgreSQL",
            'Set it to the like of "postgresql://host/name"',
        )
    try:
        check_log_address(url)
    except AddressUnreadable as refusal:
        raise UsageError(f"PETITION_DATABASE: {refusal.what}", refusal.hint) from None
    return url


class _Worker:
    """One process; when the database went away, it begins anew when that is back."""

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
        self._bench: Worker | None = None
        self._jobs: Jobs | None = None
        self._sent = 0
        self._became: set[State] = set()  # of letters
        self._left: dict[Task, int] = {}  # letters of jobs that this worker did not finish
        self._refused = False  # a job that it cannot use
        self._pause = _FIRST_PAUSE
        self._late: list[tuple[str, list[CopyOutcome]]] = []  # by the owner whose replies they are

    async def work(self) -> ExitStatus:
        """Until a signal, or, `once`, until nothing is left."""
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(self._stray)
        for one in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            loop.add_signal_handler(one, self._stop)
        while not self._stopped.is_set():
            try:
                await self._work()
            except LogUnusable as fault:
                if self._bench is None:  # it was never there
                    raise
                self._keep_late(self._bench)
                self._say("lost", f"{fault} Trying again.", reason=str(fault))
                await first_of(self._pause, self._stopped)
                self._pause = min(2 * self._pause, _LONGEST_PAUSE)
                continue
            if self._once:
                break
        with suppress(LogUnusable):  # it was away when the end was asked for, and may be back
            await on_thread(self._say_late_at_the_end)
        self._say("stopped", f"Ended: {output.count(self._sent, 'letter')} sent.", sent=self._sent)
        return self._status if self._once else ExitStatus.DONE

    @property
    def _status(self) -> ExitStatus:
        """As `send` ends, judged by the letters of the jobs that this worker had."""
        applies = [ExitStatus.DONE]
        if self._refused or State.FAILED in self._became:
            applies.append(ExitStatus.PROBLEMS)
        if any(self._left.values()) or State.UNCERTAIN in self._became:
            applies.append(ExitStatus.LEFT)
        return max(applies)

    def _stop(self) -> None:
        self._stopped.set()
        if self._bench:
            self._bench.stop()
        if self._jobs:
            self._jobs.stop()

    async def _work(self) -> None:
        """As one owner, as long as its connection lasts."""
        workers = engine()
        async with AsyncExitStack() as closing:
            log = await on_thread(Log, self._url)
            closing.callback(log.close)
            await on_thread(workers.make_tables, log)
            await on_thread(keep_servers_time, log)
            await on_thread(self._say_late, log)
            if not await self._join(log):
                return
            await on_thread(self._vouch, log)
            held = ExitStack()
            closing.push_async_callback(on_thread, held.close)
            owner = await on_thread(held.enter_context, membership(log, self._name))
            side = await on_thread(held.enter_context, companion(self._url))
            self._bench = bench = Worker(log, side, owner, self._own, self._tell, self._slowed)
            await bench.tidy()
            self._pause = _FIRST_PAUSE
            self._say(
                "started",
                f"Worker {self._name}: {where(self._url)}, through {self._own.server.name}.",
                log=where(self._url),
                server=self._own.server.name,
            )
            self._jobs = jobs = workers.Jobs(
                self._url, self._send, bench.is_owed_a_job, log.clock, once=self._once
            )
            tidying = asyncio.create_task(self._tidy(bench))
            tidying.add_done_callback(lambda _: jobs.stop())  # without it no death is found
            try:
                if not self._stopped.is_set():
                    await jobs.work()
            finally:
                self._jobs = None
                tidying.cancel()
                await asyncio.wait({tidying})  # its connection is closed next
            if not tidying.cancelled():
                tidying.result()
            if bench.fault:
                raise bench.fault

    def _vouch(self, log: Log) -> None:
        """Stop at a log that is older than this account knows, or another; one that is new is said.

        Workers are on other machines than the campaign as a rule, and new ones come at any time.
        The person who began this one has named its log to it.
        """
        doubt = doubt_of(log.database, self._url, None)
        if doubt and not self._this_log:
            if doubt.is_new_here:
                self._say("new-log", sentence(doubt.what), log=where(self._url))
            else:
                confirm_log(doubt)
        if doubt:
            log.accept()
        self._this_log = False  # it was said of the log as it was then

    def _keep_late(self, bench: Worker) -> None:
        if bench.late:
            self._late.append((bench.owner, bench.late))
            bench.late = []

    def _say_late(self, log: Log) -> None:
        """Write down what the server said when the log was away: nobody else has heard it."""
        while self._late:
            write_down_late(log, *self._late[0])
            del self._late[0]

    def _say_late_at_the_end(self) -> None:
        if self._late:
            with Log(self._url) as log:
                keep_servers_time(log)
                self._say_late(log)

    def _stray(self, loop: asyncio.AbstractEventLoop, context: Mapping[str, Any]) -> None:
        """What nobody awaited: of the database it is told where something waits for that."""
        fault = context.get("exception")
        if fault is not None and engine().is_of_database(fault):
            return
        if os.environ.get("PETITION_DEBUG"):
            loop.default_exception_handler(dict(context))
        what = type(fault).__name__ if fault else context["message"]
        reason = (
            f"petition met a fault of its own beside the letters: {what}. Please report it, with"
            " what PETITION_DEBUG=1 shows when you start the worker again."
        )
        self._say("fault", reason, reason=reason)

    async def _join(self, log: Log) -> bool:
        """Wait for a `send` that has the log for itself; False: the end came first."""
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

    async def _tidy(self, bench: Worker) -> None:
        while True:
            await asyncio.sleep(_TIDY_SECONDS)
            await bench.heed()
            for number in await bench.refuse_jobs():
                self._refuse("", f"job {number} is damaged. Queue its letter again.")
            for owner in await bench.tidy():
                self._say("found-dead", "The letters of a worker that died are found.", owner=owner)

    @property
    def _at_work(self) -> Worker:
        assert self._bench is not None  # noqa: S101 (jobs are taken by one that has it)
        return self._bench

    async def _send(self, arguments: Mapping[str, object]) -> Requeue | None:
        try:
            return await self._do(Task.of(arguments))
        except LetterUnusable as fault:
            reason = str(fault)
        except LogDamaged as fault:  # a row of this letter cannot be read; others can
            reason = str(fault)
            await self._at_work.give_back()
        except (PetitionError, OSError):  # of the log, of the server, of where it is said
            raise
        except Exception as fault:
            if os.environ.get("PETITION_DEBUG"):
                raise
            reason = (  # one job must not end all workers, one after the other
                f"petition met a fault of its own: {type(fault).__name__}. Please report it, with"
                " what PETITION_DEBUG=1 shows when you start the worker again."
            )
            await self._at_work.give_back()
        self._refuse(str(arguments.get("letter")), reason)
        return Requeue(self._at_work.later(_UNUSABLE_SECONDS), 0)

    def _refuse(self, letter: str, reason: str) -> None:
        """Say that this worker cannot use what it was given."""
        self._refused = True
        self._say("refused", reason, letter=letter, reason=reason)

    async def _do(self, task: Task) -> Requeue | None:
        letter = task.letter
        self._say("job", "", letter=letter, revision=task.revision, letters=len(task.copies))
        left = await self._at_work.send(task)
        self._left[task] = left.letters if left else 0
        again = left.at.isoformat(timespec="seconds") if left else None
        self._say("job-done", "", letter=letter, left=self._left[task], again=again)
        if self._at_work.fault and self._jobs:
            self._jobs.stop()
        return left

    def _tell(self, told: CopyResult) -> None:
        self._sent += told.state is State.SENT
        self._became.add(told.state)
        copy = told.copy
        self._say(
            "letter",
            "",
            letter=copy.letter,
            revision=copy.revision,
            email=copy.mailbox,
            state=told.state.value,
            reason=told.reason,
        )

    def _slowed(self, slowed: Slowed) -> None:
        if slowed.domain:
            sentence = f"{slowed.domain} asks for fewer letters: {slowed.said}."
        elif not slowed.seconds:
            sentence = f"The server wants each letter's commands by themselves ({slowed.said})."
        else:
            sentence = f"Trouble with the server ({slowed.said}): trying again."
        self._say("slowed", sentence, domain=slowed.domain, reason=slowed.said)

    def _say(self, event: str, sentence: str, **values: object) -> None:
        if self._as_json:
            at = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
            known = {"at": at, "event": event, "worker": self._name}
            output.json_line(known | values)
        elif sentence:
            output.say(sentence)
        sys.stdout.flush()


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
    import os

    raise typer.Exit(work(os.environ, dkim_key, once=once, this_log=this_log, as_json=as_json))
