"""Options that several commands have."""

from typing import Annotated

import typer

from petition.errors import UsageError

Json = Annotated[bool, typer.Option("--json", help="JSON on stdout, for a script.")]
Csv = Annotated[bool, typer.Option("--csv", help="CSV on stdout, for a spreadsheet.")]
Letter = Annotated[str, typer.Argument(metavar="LETTER", help="The letter's name.")]

ThisLog = Annotated[
    bool,
    typer.Option(
        "--this-log", help="Go on with this log, though it is new here or not the newest known."
    ),
]


def one_format(*, as_json: bool, as_csv: bool) -> None:
    """Refuse two formats at once.

    Raises:
        UsageError: Both were asked for.
    """
    if as_json and as_csv:
        raise UsageError("--json and --csv are two formats", "Choose one of them")
