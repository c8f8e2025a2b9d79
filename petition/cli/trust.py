"""petition trust: what a folder asks of this machine, and the person's word on it."""

from typing import TYPE_CHECKING, Annotated

import typer

from petition.cli.workspace import Json, show_requests

if TYPE_CHECKING:
    from collections.abc import Collection

    from petition.trust import Request


def trust(
    context: typer.Context,
    yes: Annotated[bool, typer.Option("--yes", help="Confirm all of it; do not ask.")] = False,
    as_json: Json = False,
) -> None:
    """Confirm the commands and servers that a folder asks for."""
    import os

    from petition.cli import output
    from petition.cli.workspace import Workspace
    from petition.errors import UsageError
    from petition.trust import confirm, requests, unconfirmed

    with Workspace.open(context) as place:
        asked = requests(place.settings, os.environ, place.root)
        new = unconfirmed(asked, place.root)
        if yes:
            confirm(new, place.root)
        if as_json:
            known = {"rehearsal": place.is_rehearsal, "log": place.log_name}
            output.json(known | _as_json(asked, [] if yes else new))
            return
        if not asked:
            output.say("This folder asks for nothing that needs your word.")
            return
        output.say(f"{place.root.resolve()} asks for this:")
        show_requests(asked, new)
        if not new:
            output.say("You have confirmed all of it.")
        elif not yes:
            if not output.can_ask():
                raise UsageError(
                    "nothing was confirmed: nobody is there to be asked",
                    "Run it in a terminal, or add --yes",
                )
            if not output.ask("Do you trust this folder with it?"):
                raise UsageError("nothing was confirmed: it was declined")
            confirm(new, place.root)
        if new:
            output.say("Confirmed. What changes is asked for again.")


def _as_json(asked: "Collection[Request]", new: "Collection[Request]") -> dict[str, object]:
    return {
        "requests": [
            {
                "key": one.key,
                "value": one.value,
                "effect": one.effect,
                "part": one.part.value,
                "confirmed": one not in new,
            }
            for one in asked
        ]
    }
