"""Runs a delivery in the terminal: sandbox, signals, progress.

Whatever happens to the terminal, nothing here may raise: letters are on their way.
"""

import asyncio
import math
import sys
import time
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Iterable, Iterator
from contextlib import asynccontextmanager, suppress
from datetime import date, datetime
from functools import partial
from getpass import getpass
from pathlib import Path
from time import monotonic
from typing import NamedTuple, Self

from petition import system
from petition.campaign.server import Server
from petition.campaign.settings import Dkim, Settings
from petition.cli import output
from petition.cli.workspace import OUTBOX
from petition.credentials import Secret
from petition.errors import LogUnusable
from petition.identity import Signer
from petition.merge.document import Frozen
from petition.merge.message import Merger
from petition.outbox import service
from petition.outbox.committer import on_thread
from petition.outbox.log import Log
from petition.outbox.models import FrozenLetter
from petition.outbox.run import Run, record_late
from petition.outbox.states import State
from petition.planning.prepare import Prepared
from petition.sending.circuit_breaker import CopyResult, RunResult, Slowed, Wait
from petition.sending.rate_limit import Pace
from petition.sending.retry import RetrySchedule
from petition.sending.route import Route
from petition.sending.sender import Mailer, first_of
from petition.sending.service import ServiceResult, keep_sending, send_waiting
from petition.smtp.dkim import DkimSigner, load_signer
from petition.smtp.login import secret_of
from petition.smtp.session import run_loop

_STEPS = 10  # so many lines tell the progress of a run where there is no terminal
_SECONDS = 5.0  # and further ones after so long without a line
_PAUSE = 1.0  # seconds between two lines at the least, so that a short list makes few of them


class Progress:
    """Shows how many letters of a total were sent, failed and so on."""

    def __init__(self, total: int) -> None:
        self._total = total
        self._by_state: dict[State, int] = {}
        self._open: dict[int, State] = {}  # copies that may come to something else yet
        self._begun = self._told_at = monotonic()
        self._step = 0
        self._is_seen = True
        self._bar = output.bar() if sys.stderr.isatty() else None
        self._task = self._bar.add_task("", total=total, tally="") if self._bar else None

    def count(self, state: State, copy: int | None = None) -> None:
        """Count a letter; by the id of its copy, one that was deferred and is sent counts once."""
        if copy is not None and (before := self._open.pop(copy, None)):
            self._by_state[before] -= 1
        if state is not State.QUEUED:  # put back: as if nothing had happened
            if state in {State.DEFERRED, State.FAILED} and copy is not None:
                self._open[copy] = state
            self._by_state[state] = self._by_state.get(state, 0) + 1
        self._try(self._show)

    def note(self, text: str) -> None:
        """Say something without disturbing the progress bar."""
        self._try(lambda: self._say(text))

    def __enter__(self) -> Self:
        if self._bar:
            self._try(self._bar.start)
        return self

    def __exit__(self, *_: object) -> None:
        if self._bar:
            self._try(self._bar.stop)

    def _try(self, show: Callable[[], None]) -> None:
        """Show something, unless the pipe or terminal was closed."""
        if not self._is_seen:
            return
        try:
            show()
        except (OSError, ValueError, SystemExit):  # rich ends the program if a pipe is closed
            self._is_seen = False

    @property
    def _done(self) -> int:
        return sum(self._by_state.values())

    def _show(self) -> None:
        if self._bar and self._task is not None:
            self._bar.update(self._task, completed=self._done, tally=self._tally())
            return
        done = self._done
        step = done * _STEPS // self._total if self._total else _STEPS
        silence = monotonic() - self._told_at
        is_next = step > self._step and (silence > _PAUSE or done >= self._total)
        if is_next or silence > _SECONDS:
            self._step, self._told_at = step, monotonic()
            self._say(self._line())

    def _say(self, text: str) -> None:
        if self._bar:
            output.say_error(text)
            return
        # Not by rich, which silences stdout too if stderr is a closed pipe.
        sys.stderr.write(f"{output.clean(text)}\n")
        sys.stderr.flush()

    def _tally(self) -> str:
        return ", ".join(
            f"{self._by_state[state]:,} {state}" for state in State if self._by_state.get(state)
        )

    def _line(self) -> str:
        seconds = max(monotonic() - self._begun, 0.001)
        rate = self._done / seconds
        left = max(self._total - self._done, 0) / rate if rate else 0
        percent = 100 * self._done // self._total if self._total else 100
        pace = output.rate(rate)
        if left:
            pace = f"{pace}, {output.duration(left)} left"
        return f"{self._done:,} of {self._total:,} ({percent} %): {self._tally()}; {pace}"


_LOOK_SECONDS = 1.0  # until it is looked again whether a name was taken out of the letter
_LATE_SECONDS = 5  # enough for a database to restart; a full disk takes hours


class Secrets(NamedTuple):
    """What a run must have before anything is queued: a password or token, and the DKIM key."""

    login: Secret | None = None
    signer: DkimSigner | None = None


def secrets_for(prepared: Prepared) -> Secrets:
    """The secrets of a run."""
    campaign = prepared.campaign
    return _secrets(prepared.server, campaign.settings.dkim, campaign.root)


def _secrets(server: Server | None, dkim: Dkim | None, root: Path) -> Secrets:
    """The same for a server; a rehearsal needs none, since its letters are not signed."""
    if server is None:
        return Secrets()
    signer = load_signer(dkim, root) if dkim else None
    return Secrets(secret_of(server) or _asked(server), signer)


def _asked(server: Server) -> Secret | None:
    """The password, from the person at the terminal; it is kept nowhere."""
    if server.username is None or server.auth != "password" or not output.can_ask():
        return None
    login = output.clean(f"{server.username} at {server.host}")
    with output.interruptible("nothing was sent"):
        text = getpass(f"Password of {login} (it is not stored): ")
    return Secret(text) if text else None


def deliver(
    prepared: Prepared,
    secrets: Secrets,
    tell: Callable[[CopyResult], None],
    note: Callable[[str], None],
    *,
    wait: bool = False,
    until: datetime | None = None,
    closed: Collection[date] = (),
) -> RunResult:
    """Deliver what was queued, while this process owns the log; `note` gets sentences to show.

    With `wait` it stays for what can go later, but not for what can go only from `until` on. On
    the days in `closed` nothing goes.
    """
    ending = RunResult()
    try:
        ending = run_loop(
            _deliver(prepared, secrets, tell, note, wait=wait, until=until, closed=closed)
        )
    except asyncio.CancelledError:
        ending = RunResult(stopped=True)
    finally:
        # After a second Ctrl-C some letters may still be `sending`: give them their true state.
        try:
            prepared.log.recover()
        except LogUnusable as fault:  # the next command that opens the log does it
            ending.log_fault = ending.log_fault or fault
    return ending


def deliver_service(prepared: Prepared, secrets: Secrets, *, owns_log: bool) -> list[ServiceResult]:
    """Send the service messages that wait before a `send`; returns what became of each.

    `owns_log` says that this process owns the log.
    """
    sent: list[ServiceResult] = []
    owner = uuid.uuid4().hex if owns_log else None

    async def send() -> None:
        async with reachable(prepared.server, prepared.campaign.root) as server:
            route = route_of(prepared, server, secrets)
            await send_waiting(prepared.log, route, sent.append, owner=owner)

    run_loop(send())
    return sent


async def _deliver(
    prepared: Prepared,
    secrets: Secrets,
    tell: Callable[[CopyResult], None],
    note: Callable[[str], None],
    *,
    wait: bool,
    until: datetime | None,
    closed: Collection[date],
) -> RunResult:
    async with reachable(prepared.server, prepared.campaign.root) as server:
        run = Run(prepared.log, prepared.letter)
        route = route_of(prepared, server, secrets, closed)
        mailer = Mailer(
            run,
            prepared.merger,
            route,
            tell,
            prepared.log.clock,
            lambda slowed: note(told(slowed)),
        )
        _obey_signals(mailer, note)
        try:
            works = _works_beside(prepared, mailer, route, run.owner, note)
            async with _beside(prepared.log.url, works):
                if wait:
                    noting = partial(_note_wait, note)
                    return await mailer.deliver_all(prepared.comparison.to_send, noting, until)
                return await mailer.deliver(prepared.comparison.to_send)
        finally:
            await run.close()
            if run.late:
                await _record_late(prepared.log.url, run, note)


def _works_beside(
    prepared: Prepared, mailer: Mailer, route: Route, owner: str, note: Callable[[str], None]
) -> Iterator[Callable[[Log, asyncio.Event], Awaitable[None]]]:
    """What is done beside the letters of a run, which alone can do it."""
    if not prepared.campaign.settings.has_service_mails:
        return

    async def send_service_mails(log: Log, stopped: asyncio.Event) -> None:
        await keep_sending(log, route, stopped, note, owner=owner)

    yield send_service_mails
    if prepared.plan.frozen.document["signatories"]["published"]:
        yield partial(_leave_out_who_withdraws, prepared, mailer)


@asynccontextmanager
async def _beside(
    url: str, works: Iterable[Callable[[Log, asyncio.Event], Awaitable[None]]]
) -> AsyncIterator[None]:
    """Do this as well while the block runs, each over a connection of its own, until an event."""
    stopped = asyncio.Event()

    async def do(work: Callable[[Log, asyncio.Event], Awaitable[None]]) -> None:
        with suppress(LogUnusable):  # then the run itself cannot go on either, and says so
            async with _another_connection(url) as log:
                await work(log, stopped)

    doing = [asyncio.create_task(do(work)) for work in works]
    try:
        yield
    finally:
        stopped.set()
        await asyncio.gather(*doing)


@asynccontextmanager
async def _another_connection(url: str) -> AsyncIterator[Log]:
    """The log over a connection of its own, for other threads."""
    log = await on_thread(Log, url)
    try:
        yield log
    finally:
        await on_thread(log.close)


async def _leave_out_who_withdraws(
    prepared: Prepared, mailer: Mailer, log: Log, stopped: asyncio.Event
) -> None:
    """Have the run go on without a name that is taken out of the letter meanwhile."""
    which, known = (prepared.letter, prepared.plan.revision), prepared.plan.frozen.hash
    while not stopped.is_set():
        with suppress(LogUnusable):  # then the run itself cannot go on either
            letter = await on_thread(_frozen_otherwise, log, *which, known)
            if letter:
                known, text = letter.hash, Frozen.from_json(letter.document)
                signer, files = Signer(prepared.log.key), prepared.examined.files
                mailer.go_on_with(await on_thread(Merger, text, signer, files))
        await first_of(_LOOK_SECONDS, stopped)


def _frozen_otherwise(log: Log, letter: str, revision: int, known: str) -> FrozenLetter | None:
    """A letter as the log has it now; None: it is as it was."""
    return log.frozen(letter, revision) if log.frozen_hash(letter, revision) != known else None


async def _record_late(url: str, run: Run, note: Callable[[str], None]) -> None:
    """Record replies that nobody else has heard, over another connection: the run's may be gone."""

    def write() -> None:
        with Log(url) as log:
            record_late(log, run.owner, run.late)

    note(f"The log cannot be written; trying for {_LATE_SECONDS} s to record the last replies.")
    deadline = time.monotonic() + _LATE_SECONDS
    while True:
        try:
            await on_thread(write)
        except LogUnusable:
            if time.monotonic() > deadline:
                return
            await asyncio.sleep(1)
        else:
            note("They are recorded.")
            return


def _note_wait(note: Callable[[str], None], wait: Wait) -> None:
    until = output.when(wait.until)
    if wait.is_for_server:
        note(f"The server cannot be reached; trying again at {until}, then less often.")
    else:
        note(f"Waiting until {until}. Ctrl-C ends it.")


def told(slowed: Slowed) -> str:
    """Why letters go more slowly now."""
    if math.isinf(slowed.seconds):
        return (
            f"{slowed.domain} refuses letters by policy ({slowed.said}): no more are sent there for"
            " now, and what is waiting for it stays queued."
        )
    if not slowed.seconds:
        return (
            f"The server accepts no commands that arrive with the end of a letter ({slowed.said}):"
            " from now on they wait for its reply, which takes one more round trip per letter."
        )
    seconds = output.duration(slowed.seconds)
    if slowed.domain:
        return (
            f"{slowed.domain} asks us to slow down ({slowed.said}): letters to it are now sent"
            f" {seconds} apart, or more if it asks again."
        )
    if slowed.is_refusal:
        return (
            f"The server refuses more letters for now ({slowed.said}): they stay queued, without"
            f" an attempt counted. Trying again in {seconds}."
        )
    return f"The connection failed ({slowed.said}): trying again in {seconds}."


def route_of(
    prepared: Prepared, server: Server, secrets: Secrets, closed: Collection[date] = ()
) -> Route:
    """Where and how letters go; on the days in `closed` nothing does."""
    return Route(
        server=server,
        secret=secrets.login,
        signer=secrets.signer,
        pace=pace_of(prepared, closed),
        retry=RetrySchedule.of(prepared.campaign.settings.pace),
        keep_bytes=prepared.keeps_bytes,
        hello_name=prepared.plan.frozen.sender.domain,
    )


@asynccontextmanager
async def reachable(server: Server | None, root: Path) -> AsyncIterator[Server]:
    """The server that is named, or the sandbox, which is started."""
    if server is not None:
        yield server
        return
    # Here, since a live send needs no aiosmtpd.
    from petition.smtp.sandbox import Sandbox  # noqa: PLC0415

    async with Sandbox(root / OUTBOX) as sandbox:
        yield Server(host="127.0.0.1", port=sandbox.port, security="none")


def pace_of(prepared: Prepared, closed: Collection[date] = ()) -> Pace:
    """The campaign's pace, or, in a rehearsal, as fast as possible."""
    return _pace(prepared.campaign.settings, prepared.server, closed)


def _pace(settings: Settings, server: Server | None, closed: Collection[date] = ()) -> Pace:
    pace = settings.pace if server else None
    return Pace.of(pace, settings.campaign.timezone, closed=closed)


class ServiceRun:
    """Has service messages sent where no letters are sent; `tell` gets what became of each.

    The person must have confirmed what the folder asks for (`Workspace.allow`).
    """

    def __init__(
        self,
        url: str,
        settings: Settings,
        server: Server | None,
        root: Path,
        tell: Callable[[ServiceResult], None] = lambda _: None,
    ) -> None:
        """Gets the secrets; ServerTrouble or UsageError if that is not possible."""
        self._url = url
        self._settings = settings
        self._server = server
        self._root = root
        self._tell = tell
        self._secrets = _secrets(server, settings.dkim, root)

    def send_now(self) -> None:
        """Send what waits, unless another process does that; ServerTrouble if that fails."""
        with Log(self._url) as log:
            if service.waits(log):
                run_loop(self._send_now(log))

    async def _send_now(self, log: Log) -> None:
        async with reachable(self._server, self._root) as server:
            route = self._route(server)
            while await send_waiting(log, route, self._tell) not in {None, State.QUEUED}:
                pass

    async def keep_sending(self, stopped: asyncio.Event, note: Callable[[str], None]) -> None:
        """Send what comes until `stopped`; `note` gets what prevents it, once."""
        async with (
            reachable(self._server, self._root) as server,
            _another_connection(self._url) as log,
        ):
            await keep_sending(log, self._route(server), stopped, note, self._tell)

    def _route(self, server: Server) -> Route:
        return Route(
            server=server,
            secret=self._secrets.login,
            signer=self._secrets.signer,
            pace=_pace(self._settings, self._server),
            retry=RetrySchedule.of(self._settings.pace),
            hello_name=self._settings.sender.from_.domain,
        )


def _obey_signals(mailer: Mailer, note: Callable[[str], None]) -> None:
    """The first Ctrl-C finishes the letters in flight, the second stops at once."""
    here = asyncio.current_task()
    interrupts = 0

    def interrupted() -> None:
        nonlocal interrupts
        interrupts += 1
        if interrupts == 1:
            mailer.stop()
            note("Finishing the letters in flight. Press Ctrl-C again to stop at once.")
        elif here is not None:
            here.cancel()

    system.obey_signals(interrupted, mailer.stop)
