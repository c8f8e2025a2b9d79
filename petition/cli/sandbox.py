"""petition sandbox: a mail server that runs until Ctrl-C."""

import asyncio
from pathlib import Path
from typing import Annotated

import typer

from petition import system
from petition.cli import output
from petition.cli.workspace import OUTBOX, Json
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
