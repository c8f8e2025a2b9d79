"""petition resolve: a person's word on letters whose last answer was lost."""

from typing import TYPE_CHECKING, Annotated

import typer

from petition.cli.options import Json

if TYPE_CHECKING:
    from petition.outbox.log import Log
    from petition.outbox.records import Copy
    from petition.outbox.states import State


def resolve(
    context: typer.Context,
    address: Annotated[
        list[str] | None, typer.Argument(metavar="ADDR", help="Whose letters.")
    ] = None,
    everyone: Annotated[bool, typer.Option("--all", help="All that are uncertain.")] = False,
    sent: Annotated[bool, typer.Option("--sent", help="They arrived.")] = False,
    not_sent: Annotated[
        bool, typer.Option("--not-sent", help="They did not arrive: queue them again.")
    ] = False,
    letter: Annotated[
        str | None, typer.Option("--letter", metavar="LETTER", help="Only this letter.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Say of uncertain letters whether they arrived."""
    from petition.cli import console, naming
    from petition.cli.moved import moved_json
    from petition.cli.workplace import Workplace
    from petition.errors import UsageError
    from petition.outbox import person

    if bool(address) == everyone:
        raise UsageError(
            "it is not clear which letters are meant", "Name addresses, or write --all"
        )
    if sent == not_sent:
        raise UsageError("it is not clear what became of them", "Write --sent or --not-sent")
    with Workplace.open(context) as place:
        name = naming.letter_name(place, letter) if letter else None
        boxes = naming.addresses(address or [])
        log = place.existing_log
        letters = [name] if name else log.letters()
        naming.require(log, letters, boxes, _is_uncertain, "uncertain", newest=False)
        copies = person.resolve(log, boxes or None, name, sent=sent)
        moved = [(copy, _end(log, copy, sent=sent)) for copy in copies]
        if as_json:
            console.json(moved_json(moved, place.log_name))
            return
        _say(moved)
        place.say_which()


def _is_uncertain(copy: "Copy") -> bool:
    from petition.outbox.states import State

    return copy.state is State.UNCERTAIN


def _end(log: "Log", copy: "Copy", *, sent: bool) -> "State":
    """Where a copy was moved to: one that a newer revision has replaced is not queued again."""
    from petition.outbox.states import State

    if sent:
        return State.SENT
    is_newest = log.copies_to(copy.letter, copy.mailbox)[-1].id == copy.id
    return State.QUEUED if is_newest else State.SUPPRESSED


def _say(moved: "list[tuple[Copy, State]]") -> None:
    from petition.cli import console
    from petition.outbox.states import State

    words = {
        State.SENT: "recorded as sent, on your word.",
        State.QUEUED: "queued again, on your word.",
        State.SUPPRESSED: "not queued again: a newer revision is in its place.",
    }
    if not moved:
        console.say("Nothing is uncertain: there is nothing to resolve.")
    for end, what in words.items():
        if number := sum(state is end for _, state in moved):
            console.say(f"{console.count(number, 'letter')} {what}")
    for letter in dict.fromkeys(copy.letter for copy, state in moved if state is State.QUEUED):
        console.say(f"Next: petition send {letter}")
