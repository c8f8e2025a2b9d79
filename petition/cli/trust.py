"""petition trust: what a folder asks of this machine, and the person's confirmation of it."""

import os
from typing import Annotated

import typer

from petition.cli import output
from petition.cli.workspace import Json, Workspace, confirm_requests, show_requests
from petition.errors import UsageError
from petition.trust import confirm, requests, revoke, unconfirmed


def trust(
    context: typer.Context,
    yes: Annotated[bool, typer.Option("--yes", help="Confirm everything without asking.")] = False,
    take_back: Annotated[
        bool, typer.Option("--revoke", help="Take back what you have confirmed for this folder.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Confirm the commands and servers that a folder asks for."""
    if yes and take_back:
        raise UsageError("--yes and --revoke cannot be combined", "Choose one of them")
    with Workspace.open(context) as place:
        if take_back:
            revoke(place.root)  # first, so that it works where petition.toml has errors
        asked = requests(place.settings, os.environ, place.root)
        new = unconfirmed(asked, place.root)
        if yes:
            confirm(new, place.root)
        if as_json:
            entries = [
                {
                    "key": one.key,
                    "value": one.value,
                    "effect": one.effect,
                    "part": one.part.value,
                    "confirmed": yes or one not in new,
                }
                for one in asked
            ]
            output.json(place.origin | {"requests": entries})
            return
        if not asked:
            output.say("This folder asks for nothing that you have to confirm.")
            return
        output.say(f"{place.root.resolve()} asks for:")
        show_requests(asked, new)
        if not new:
            output.say("You have confirmed all of it.")
        elif take_back:
            output.say("None of it is confirmed any more.")
        else:
            if not yes:
                confirm_requests(new, place.root)
            output.say("Confirmed. If anything changes, you will be asked again.")
