"""petition sandbox and petition serve: servers that run until Ctrl-C."""

import asyncio
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from petition import system
from petition.cli import output
from petition.cli.workspace import OUTBOX, Json, Workspace
from petition.errors import LogUnusable, UsageError
from petition.extras import how_to_install
from petition.outbox.log import Log, is_there
from petition.smtp.sandbox import HOST, Sandbox

Port = Annotated[
    int, typer.Option("--port", min=0, max=65535, metavar="N", help="On port N; 0: a free one.")
]
DATABASE = "sqlite:///sandbox.db"  # not rehearsal.db, which no server of its own can share


def sandbox(
    port: Port = 0,
    as_json: Json = False,
) -> None:
    """Run a mail server that keeps letters and delivers none."""
    asyncio.run(_run_sandbox(Path.cwd() / OUTBOX, port, as_json=as_json))


async def _run_sandbox(maildir: Path, port: int, *, as_json: bool) -> None:
    ended = asyncio.Event()
    system.obey_signals(ended.set, ended.set)
    async with Sandbox(maildir, port) as server:
        if as_json:
            address = {"host": HOST, "port": server.port, "security": "none"}
            output.json_line({**address, "maildir": str(maildir), "database": DATABASE})
        else:
            output.say(f"A mail server on {HOST}, port {server.port}, that delivers nothing.")
            output.say(f"It keeps the letters in {maildir}. Ctrl-C ends it.")
            output.say("To send letters to it from another terminal:")
            where = {"HOST": HOST, "PORT": server.port, "SECURITY": "none"}
            for name, value in where.items():
                output.say(f"  {system.set_variable(f'PETITION_SMTP_{name}', value)}")
            output.say(f"  {system.set_variable('PETITION_DATABASE', DATABASE)}")
        await ended.wait()
        kept = server.kept
    if as_json:
        output.json_line({"kept": kept})
    else:
        output.say(f"Kept {output.count(kept, 'letter')}. Nobody received anything.")


def serve(
    context: typer.Context,
    host: Annotated[
        str, typer.Option("--host", metavar="ADDR", help="Listen on ADDR.")
    ] = "127.0.0.1",
    port: Port = 8058,
    root_path: Annotated[
        str,
        typer.Option(
            "--root-path", metavar="PATH", help="The proxy's path before /u/.", show_default=False
        ),
    ] = "",
) -> None:
    """Serve the one-click unsubscribe page, behind a web server."""
    with Workspace.open(context, writes=True) as place:
        _run_serve(place, host, port, root_path.strip("/"))


def _run_serve(place: Workspace, host: str, port: int, root_path: str) -> None:
    try:
        from petition.web import app, log_thread, server, unsubscribe  # noqa: PLC0415 (an extra)
    except ImportError as fault:
        what = "petition serve needs libraries that are not installed"
        raise UsageError(what, how_to_install("serve")) from fault
    prefix = f"/{root_path}" if root_path else ""
    log, campaign, sender = place.existing_log, place.settings.campaign, place.settings.sender
    contact = sender.reply_to or sender.from_
    pages = unsubscribe.Pages(sender.from_.display_name or campaign.title, contact.addr_spec)
    with server.listen(host, port) as sock:
        name = f"[{host}]" if ":" in host else host
        place.say_which()
        output.say(f"Listening on http://{name}:{sock.getsockname()[1]}{prefix}/u/TOKEN")
        lacks = [
            one for one in campaign.languages if one.partition("-")[0] not in unsubscribe.WORDS
        ]
        if lacks:
            output.say(f"The page has no words in {', '.join(lacks)}: it is in English there.")
        output.say("Put a web server with TLS in front of it. Ctrl-C ends it.")
        sys.stdout.flush()
        thread = log_thread.LogThread(log, lambda: _reopened(place))
        clicks = unsubscribe.Clicks(thread, place.noted_clicks)
        endpoint = unsubscribe.Endpoint(clicks, pages, campaign.languages, _note)
        try:
            server.run(app.application([endpoint], prefix), sock)
        finally:
            is_left = clicks.close()
    if is_left:
        output.say(
            f"Stopped. Clicks that the log could not take are in {place.noted_clicks.name}: the"
            " next petition serve or petition send here will count them."
        )
    else:
        output.say("Stopped; every click is recorded.")


def _reopened(place: Workspace) -> Log:
    if not is_there(place.url):  # a new one would know nobody
        raise LogUnusable(f"there is no log in {place.log_name} any more", "Restore it")
    return Log(place.url)


def _note(what: str) -> None:
    """A line for whoever runs the server; it identifies nobody."""
    output.say(f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ} {what}")
    sys.stdout.flush()
