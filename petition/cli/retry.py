"""petition retry: failed letters go back into the queue."""

from typing import Annotated

import typer

from petition.cli.options import Json, Letter, ThisLog


def retry(
    context: typer.Context,
    letter: Letter,
    address: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="ADDR", help="Only these, failed or withdrawn; else all that failed."
        ),
    ] = None,
    this_log: ThisLog = False,
    as_json: Json = False,
) -> None:
    """Queue failed letters again, for the next send or the workers."""
    from petition.cli import console, naming
    from petition.cli.moved import moved_json
    from petition.cli.next_step import next_step
    from petition.cli.workplace import Workplace
    from petition.outbox import manual
    from petition.outbox.models import Copy
    from petition.outbox.states import Reason, State

    def can_be_retried(copy: Copy) -> bool:
        return copy.state is State.FAILED or copy.reason == Reason.WITHDRAWN

    with Workplace.open(context, writes=True) as place:
        place.vouch(this_log=this_log)
        name, boxes = naming.copies_named(
            place, letter, address, can_be_retried, "failed or withdrawn"
        )
        copies = manual.retry(place.log, name, boxes)
        if as_json:
            console.json(moved_json(copies, place.log_name))
            return
        if copies:
            console.say(f"{console.count(len(copies), 'letter')} queued again.")
            console.say(next_step(place, name))
        elif boxes:
            console.say("Nothing was queued: they are never to be written to (petition suppress).")
        else:
            console.say(f"No copy of {name} has failed: there is nothing to retry.")
        place.say_which()
