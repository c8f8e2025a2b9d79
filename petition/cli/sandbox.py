"""petition sandbox: the SMTP server that keeps mail and delivers none."""

from pathlib import Path
from typing import Annotated

import typer

from petition.cli.workspace import Json

DATABASE = "sqlite:///sandbox.db"  # a log of its own: a real server does not share the rehearsals'


def sandbox(
    port: Annotated[
        int,
        typer.Option(
            "--port",
            min=0,
            max=65535,
            metavar="N",
            help="On port N; else on one that is free.",
            show_default=False,
        ),
    ] = 0,
    as_json: Json = False,
) -> None:
    """Run a mail server that keeps letters and delivers none."""
    import asyncio

    asyncio.run(_serve(Path.cwd() / "outbox", port, as_json=as_json))


async def _serve(maildir: Path, port: int, *, as_json: bool) -> None:
    from petition.cli import output
    from petition.smtp.sandbox import Sandbox

    async with Sandbox(maildir, port) as sandbox:
        _say_begun(sandbox.port, maildir, as_json=as_json)
        await _interruption()
        kept = sandbox.kept
    if as_json:
        output.json_line({"kept": kept})
    else:
        output.say(f"Kept {output.count(kept, 'letter')}. Nobody received anything.")


def _say_begun(port: int, maildir: Path, *, as_json: bool) -> None:
    from petition.cli import output
    from petition.smtp.sandbox import HOST

    if as_json:
        begun = {"host": HOST, "port": port, "security": "none", "maildir": str(maildir)}
        output.json_line({**begun, "database": DATABASE})
        return
    output.say(f"A mail server on {HOST}, port {port}, keeps every letter and delivers none.")
    output.say(f"The letters are in {maildir}. Ctrl-C ends it.")
    output.say("To send there from another terminal:")
    output.say(f"  export PETITION_SMTP_HOST={HOST} PETITION_SMTP_PORT={port} \\")
    output.say(f"         PETITION_SMTP_SECURITY=none PETITION_DATABASE={DATABASE}")


async def _interruption() -> None:
    """Wait for Ctrl-C or for whoever started the server to end it."""
    import asyncio
    import signal

    ended = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, ended.set)
    await ended.wait()
