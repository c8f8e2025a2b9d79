"""petition export: everything that is held about a person."""

from typing import Annotated

import typer

from petition.cli.options import Json


def export(
    context: typer.Context,
    address: Annotated[str, typer.Argument(metavar="ADDR", help="About whom.")],
    as_json: Json = False,
) -> None:
    """Show everything that is held about a person."""
    from petition.cli import forgetting
    from petition.cli.workplace import Workplace

    with Workplace.open(context) as place:
        forgetting.export(place, address, as_json=as_json)
