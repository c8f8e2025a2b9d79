"""petition worker: one of many, on PostgreSQL."""

from pathlib import Path
from typing import Annotated

import typer

from petition.cli.options import Json, ThisLog


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

    from petition.cli import working

    raise typer.Exit(
        working.work(os.environ, dkim_key, once=once, this_log=this_log, as_json=as_json)
    )
