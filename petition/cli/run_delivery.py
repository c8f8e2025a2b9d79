"""Runs a delivery from the terminal: server or sandbox, secrets, signals."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Collection, Iterator
from contextlib import asynccontextmanager
from datetime import date, datetime
from functools import partial
from getpass import getpass
from pathlib import Path
from typing import NamedTuple

from petition import system
from petition.campaign.server import Server
from petition.campaign.settings import Dkim, Settings
from petition.cli import output
from petition.cli.progress import note_wait, why_slower
from petition.cli.workspace import OUTBOX
from petition.credentials import Secret
from petition.errors import LogUnusable
from petition.identity import Signer
from petition.merge.document import Frozen
from petition.merge.message import Merger
from petition.outbox.committer import on_thread
from petition.outbox.log import Log
from petition.outbox.run import Run, record_late
from petition.planning.prepare import Prepared
from petition.sending.background import BackgroundTask, in_background, watch_letter
from petition.sending.circuit_breaker import CopyResult, RunResult
from petition.sending.rate_limit import Pace
from petition.sending.retry import RetrySchedule
from petition.sending.route import Route
from petition.sending.sender import Mailer
from petition.sending.service import keep_sending
from petition.smtp.dkim import DkimSigner, load_signer
from petition.smtp.login import secret_of
from petition.smtp.session import run_loop

_LATE_SECONDS = 5  # enough for a database to restart; a full disk takes hours


class Secrets(NamedTuple):
    """What a run must have before anything is queued: a password or token, and the DKIM key."""

    login: Secret | None = None
    signer: DkimSigner | None = None


def secrets_for(prepared: Prepared) -> Secrets:
    """The secrets of a run."""
    campaign = prepared.campaign
    return secrets_of(prepared.server, campaign.settings.dkim, campaign.root)


def secrets_of(server: Server | None, dkim: Dkim | None, root: Path) -> Secrets:
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
            lambda slowed: note(why_slower(slowed)),
        )
        _obey_signals(mailer, note)
        try:
            tasks = _background_tasks(prepared, mailer, route, run.owner, note)
            async with in_background(prepared.log.url, tasks):
                if wait:
                    noting = partial(note_wait, note)
                    return await mailer.deliver_all(prepared.comparison.to_send, noting, until)
                return await mailer.deliver(prepared.comparison.to_send)
        finally:
            await run.close()
            if run.late:
                await _record_late(prepared.log.url, run, note)


def _background_tasks(
    prepared: Prepared, mailer: Mailer, route: Route, owner: str, note: Callable[[str], None]
) -> Iterator[BackgroundTask]:
    """What only the run can do meanwhile, since it owns the log."""
    if not prepared.campaign.settings.has_service_mails:
        return

    async def send_service_mails(log: Log, stopped: asyncio.Event) -> None:
        await keep_sending(log, route, stopped, note, owner=owner)

    yield send_service_mails
    frozen, files = prepared.plan.frozen, prepared.examined.files
    signer = Signer(prepared.log.key)

    async def go_on_with(frozen: Frozen) -> None:
        mailer.go_on_with(await on_thread(Merger, frozen, signer, files))

    if frozen.document["signatories"]["published"]:
        yield partial(watch_letter, frozen.letter, prepared.plan.revision, frozen.hash, go_on_with)


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
    return pace_by(prepared.campaign.settings, prepared.server, closed)


def pace_by(settings: Settings, server: Server | None, closed: Collection[date] = ()) -> Pace:
    """The same by settings, for a server or a rehearsal."""
    pace = settings.pace if server else None
    return Pace.of(pace, settings.campaign.timezone, closed=closed)


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
