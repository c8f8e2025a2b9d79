"""petition resolve: a person's word on letters whose last answer was lost."""

from typing import TYPE_CHECKING, Annotated

import typer

from petition.cli.options import Json, ThisLog

if TYPE_CHECKING:
    from petition.cli.workplace import Workplace
    from petition.outbox.models import Copy, Moved


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
    this_log: ThisLog = False,
    as_json: Json = False,
) -> None:
    """Say of uncertain letters whether they arrived."""
    from petition.cli import console, naming
    from petition.cli.moved import moved_json
    from petition.cli.workplace import Workplace
    from petition.errors import UsageError
    from petition.outbox import manual

    if bool(address) == everyone:
        raise UsageError(
            "it is not clear which letters are meant", "Name addresses, or write --all"
        )
    if sent == not_sent:
        raise UsageError("it is not clear what became of them", "Write --sent or --not-sent")
    with Workplace.open(context, writes=True) as place:
        if not_sent:
            place.vouch(this_log=this_log)
        name = naming.letter_name(place, letter) if letter else None
        boxes = naming.addresses(address or [])
        log = place.existing_log
        letters = [name] if name else log.letters()
        naming.require(log, letters, boxes, _is_uncertain, "uncertain", newest=False)
        moved = manual.resolve(place.log, boxes or None, name, sent=sent)
        if as_json:
            console.json(moved_json(moved, place.log_name))
            return
        _say(place, moved)
        place.say_which()


def _is_uncertain(copy: "Copy") -> bool:
    from petition.outbox.states import State

    return copy.state is State.UNCERTAIN


def _say(place: "Workplace", moved: "list[Moved]") -> None:
    from collections import Counter

    from petition.cli import console
    from petition.cli.next_step import next_step
    from petition.outbox.states import Reason, State

    words = {
        State.SENT: "recorded as sent, on your word.",
        State.QUEUED: "queued again, on your word.",
        Reason.OPTED_OUT: "not queued again: opted out.",
        Reason.NO_MAILBOX: "not queued again: there is no such mailbox.",
        Reason.COMPLAINED: "not queued again: they called an earlier one spam.",
        Reason.REPLACED: "not queued again: a newer revision is in its place.",
    }
    found = Counter(one.reason if one.end is State.SUPPRESSED else one.end for one in moved)
    if not moved:
        console.say("Nothing is uncertain: there is nothing to resolve.")
    for end, what in words.items():
        if found[end]:
            console.say(f"{console.count(found.pop(end), 'letter')} {what}")
    for reason, number in found.items():
        console.say(f"{console.count(number, 'letter')} not queued again: {reason}.")
    for letter in dict.fromkeys(one.letter for one in moved if one.end is State.QUEUED):
        console.say(next_step(place, letter))
