"""petition forget: a person is erased."""

from typing import Annotated

import typer

from petition.cli.options import Json


def forget(
    context: typer.Context,
    address: Annotated[str, typer.Argument(metavar="ADDR", help="Whom.")],
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask, for a script.")] = False,
    as_json: Json = False,
) -> None:
    """Erase a person from the log, and never write to them again."""
    from petition.cli import forgetting
    from petition.cli.workplace import Workplace

    with Workplace.open(context, writes=True) as place:
        forgetting.forget(place, address, yes=yes, as_json=as_json)
