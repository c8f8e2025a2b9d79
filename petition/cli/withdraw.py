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
    from petition.cli.moved import say_in_hand, taken_json
    from petition.cli.workplace import Workplace
    from petition.outbox import manual
    from petition.outbox.models import Copy
    from petition.outbox.states import WAITING, State

    def can_be_withdrawn(copy: Copy) -> bool:
        return copy.state in (*WAITING, State.SENDING)

    with Workplace.open(context, writes=True) as place:
        name, boxes = naming.copies_named(place, letter, address, can_be_withdrawn, "waiting")
        taken = manual.withdraw(place.log, name, boxes)
        if as_json:
            console.json(taken_json(taken, place.log_name))
            return
        if moved := len(taken.moved):
            they = "it" if moved == 1 else "they"
            console.say(f"{console.count(moved, 'letter')} withdrawn: {they} will not be sent.")
        elif not (taken.stopped or taken.too_late):
            console.say(f"No copy of {name} is waiting: there is nothing to withdraw.")
        say_in_hand(taken)
        if taken.moved or taken.stopped:
            console.say(f"To take it back: petition retry {name} ADDR...")
        place.say_which()
