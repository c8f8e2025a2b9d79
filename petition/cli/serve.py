"""petition serve: the page and the one click that people leave the list by."""

from typing import TYPE_CHECKING, Annotated

import typer

from petition.cli.workspace import Workspace

if TYPE_CHECKING:
    from petition.outbox.log import Log


def serve(
    context: typer.Context,
    host: Annotated[
        str, typer.Option("--host", metavar="ADDR", help="Listen at ADDR.")
    ] = "127.0.0.1",
    port: Annotated[
        int, typer.Option("--port", min=0, max=65535, metavar="N", help="On port N; 0: a free one.")
    ] = 8058,
    root_path: Annotated[
        str,
        typer.Option(
            "--root-path", metavar="PATH", help="What the proxy has before /u/.", show_default=False
        ),
    ] = "",
) -> None:
    """Let people leave the list by one click, behind a web server."""
    from importlib.util import find_spec

    from petition.errors import UsageError

    if find_spec("starlette") is None or find_spec("uvicorn") is None:
        what = "petition serve needs libraries that are not installed"
        raise UsageError(what, 'pip install "petition[serve]"')
    with Workspace.open(context, writes=True) as place:
        _serve(place, host, port, root_path)


def _serve(place: Workspace, host: str, port: int, root_path: str) -> None:
    import sys

    from petition.cli import output
    from petition.web.app import Endpoint, listen, run
    from petition.web.clicks import Clicks
    from petition.web.pages import Pages

    prefix = f"/{root_path.strip('/')}" if root_path.strip("/") else ""
    log, about = place.existing_log, place.settings
    sender = about.sender
    answers = sender.reply_to or sender.from_
    pages = Pages(sender.from_.display_name or about.campaign.title, answers.addr_spec)
    with listen(host, port) as sock:
        name = f"[{host}]" if ":" in host else host
        place.say_which()
        output.say(f"Listening at http://{name}:{sock.getsockname()[1]}{prefix}/u/TOKEN")
        output.say("A web server with TLS belongs before it. Ctrl-C ends it.")
        sys.stdout.flush()
        languages = about.campaign.languages
        clicks = Clicks(log, lambda: _reopened(place), place.noted_clicks)
        endpoint = Endpoint(clicks, pages, languages, _note)
        try:
            run(endpoint.application(prefix), sock)
        finally:
            is_left = clicks.close()
    if is_left:
        output.say(
            f"Ended. Clicks that the log could not take wait in {place.noted_clicks.name}: they"
            " count with the next petition serve or petition send here."
        )
    else:
        output.say("Ended; every click is recorded.")


def _reopened(place: Workspace) -> "Log":
    from petition.errors import LogUnusable
    from petition.outbox.log import Log, is_there

    if not is_there(place.url):  # it would be made, and know nobody
        raise LogUnusable(f"there is no log in {place.log_name} any more", "Bring it back")
    return Log(place.url)


def _note(what: str) -> None:
    """A line of the log that whoever runs the server reads; nobody can be known by it."""
    import sys
    from datetime import UTC, datetime

    from petition.cli import output

    output.say(f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ} {what}")
    sys.stdout.flush()
