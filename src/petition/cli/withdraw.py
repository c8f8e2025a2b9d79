"""petition withdraw: letters that wait are not sent."""

from typing import Annotated

import typer

from petition.cli.options import Json, Letter


def withdraw(
    context: typer.Context,
    letter: Letter,
    address: Annotated[
        list[str] | None,
        typer.Argument(metavar="ADDR", help="Only to these; else to all who wait for it."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Take letters that are queued or deferred out of the queue."""
    from petition.cli import console, naming
    from petition.cli.moved import moved_json
    from petition.cli.workplace import Workplace
    from petition.outbox import person
    from petition.outbox.states import WAITING, State

    with Workplace.open(context) as place:
        name = naming.letter_name(place, letter)
        boxes = naming.addresses(address or [])
        naming.require(
            place.existing_log, [name], boxes, lambda copy: copy.state in WAITING, "waiting"
        )
        copies = person.withdraw(place.log, name, boxes or None)
        if as_json:
            moved = ((copy, State.SUPPRESSED) for copy in copies)
            console.json(moved_json(moved, place.log_name))
            return
        if copies:
            console.say(f"{console.count(len(copies), 'letter')} withdrawn: they will not be sent.")
            console.say(f"To take it back: petition retry {name} ADDR...")
        else:
            console.say(f"No copy of {name} is waiting: there is nothing to withdraw.")
        place.say_which()
