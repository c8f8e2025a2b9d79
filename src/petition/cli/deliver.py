"""Runs a delivery from the terminal: the sandbox, the signals, the ending."""

import asyncio
import signal
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

from petition.campaign.server import Server
from petition.credentials import Secret
from petition.delivery.mailer import Ending, Mailer, Route, Told
from petition.delivery.pace import Pace
from petition.delivery.reply import Verdict
from petition.delivery.sandbox import Sandbox
from petition.delivery.secret import secret_of
from petition.merge.message import Email
from petition.outbox.run import Run
from petition.prepare import Prepared

OUTBOX = "outbox"  # the sandbox's Maildir, in the campaign folder


def deliver(
    prepared: Prepared, tell: Callable[[Told], None], note: Callable[[str], None]
) -> Ending:
    """Deliver what was queued.

    Args:
        prepared: What was prepared and enqueued; this process owns its log.
        tell: Is called with what became of each copy.
        note: Is called with a sentence for the person who watches.
    """
    secret = secret_of(prepared.server) if prepared.server else None
    try:
        return asyncio.run(_deliver(prepared, secret, tell, note))
    except asyncio.CancelledError:
        return Ending(stopped=True)
    finally:
        # After a second Ctrl-C letters may still be in hand: give them their true state now.
        prepared.log.recover()


def deliver_trial(prepared: Prepared, email: Email) -> Verdict:
    """Deliver a copy that has no row.

    Args:
        prepared: What was prepared; its log counts the copy against the daily cap.
        email: The copy.

    Raises:
        ServerTrouble: The server cannot be reached or refuses the login.
    """
    secret = secret_of(prepared.server) if prepared.server else None
    return asyncio.run(_deliver_trial(prepared, secret, email))


async def _deliver_trial(prepared: Prepared, secret: Secret | None, email: Email) -> Verdict:
    async with reachable(prepared.server, prepared.campaign.root) as server:
        route = _route(prepared, server, secret)

        async def permit() -> bool:
            prepared.log.count_attempt(route.login, len(email.envelope.rcpt_to))
            return True

        session = await route.open()
        try:
            done = await session.transact(email, permit)
        finally:
            await session.close()
    if done.fault:
        raise done.fault
    return done.verdict


async def _deliver(
    prepared: Prepared,
    secret: Secret | None,
    tell: Callable[[Told], None],
    note: Callable[[str], None],
) -> Ending:
    async with reachable(prepared.server, prepared.campaign.root) as server:
        run = Run(prepared.log, prepared.letter)
        route = _route(prepared, server, secret)
        mailer = Mailer(run, prepared.merger, route, tell, prepared.log.clock)
        _obey_signals(mailer, note)
        try:
            return await mailer.deliver(prepared.comparison.to_send)
        finally:
            await run.close()


def _route(prepared: Prepared, server: Server, secret: Secret | None) -> Route:
    return Route(
        server=server,
        secret=secret,
        pace=pace_of(prepared),
        keep_bytes=prepared.keeps_bytes,
        hello_name=prepared.frozen.sender.domain,
    )


@asynccontextmanager
async def reachable(server: Server | None, root: Path) -> AsyncIterator[Server]:
    """The server to speak to: the one that is named, or the sandbox, which is started.

    Args:
        server: None: the sandbox.
        root: The campaign folder, where the sandbox keeps its Maildir.
    """
    if server is not None:
        yield server
        return
    async with Sandbox(root / OUTBOX) as sandbox:
        yield Server(host="127.0.0.1", port=sandbox.port, security="none")


def pace_of(prepared: Prepared) -> Pace:
    """How fast: the campaign's pace, or, in a rehearsal, as fast as it goes."""
    settings = prepared.campaign.settings
    return Pace.of(settings.pace if prepared.server else None, settings.campaign.timezone)


def _obey_signals(mailer: Mailer, note: Callable[[str], None]) -> None:
    """The first Ctrl-C finishes the letters in flight, the second one stops at once."""
    loop = asyncio.get_running_loop()
    here = asyncio.current_task()
    interrupts = 0

    def interrupted() -> None:
        nonlocal interrupts
        interrupts += 1
        if interrupts == 1:
            mailer.stop()
            note("Finishing the letters in flight. Ctrl-C again stops at once.")
        elif here is not None:
            here.cancel()

    loop.add_signal_handler(signal.SIGINT, interrupted)
    loop.add_signal_handler(signal.SIGTERM, mailer.stop)
