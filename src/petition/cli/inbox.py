"""petition inbox: what comes back."""

from typing import Annotated

import typer

from petition.cli.options import Json


def inbox(
    file: Annotated[
        list[str] | None, typer.Argument(metavar="FILE", help="Mails to explain.")
    ] = None,
    explain: Annotated[
        bool, typer.Option("--explain", help="Say what the mails in FILE are; record nothing.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Say what came back: bounces, automatic replies, requests to leave, answers."""
    from petition.cli.explaining import explain_files
    from petition.errors import UsageError

    if not explain:
        raise UsageError("nothing says which mails are meant", "Write --explain FILE...")
    if not file:
        raise UsageError("--explain needs a file", "Name the mails, such as mail.eml")
    raise typer.Exit(explain_files(file, as_json=as_json))
