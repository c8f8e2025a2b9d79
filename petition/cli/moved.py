"""What a command of a person's word moved, as a script and as a person read it."""

from collections.abc import Iterable

from petition.cli import console
from petition.outbox.manual import Taken
from petition.outbox.models import Moved


def moved_json(moved: Iterable[Moved], log: str) -> dict[str, object]:
    """The copies that were moved, as JSON.

    Args:
        moved: The copies.
        log: The log's name.
    """
    return {"moved": [_row(one) for one in moved], "log": log}


def taken_json(taken: Taken, log: str) -> dict[str, object]:
    """What was taken out of the queue, as JSON.

    Args:
        taken: The copies, those in the hand of a run apart.
        log: The log's name.
    """
    return {
        "moved": [_row(one) for one in taken.moved],
        "stopped": [_row(one) for one in taken.stopped],
        "too_late": [one.mailbox for one in taken.too_late],
        "log": log,
    }


def say_in_hand(taken: Taken) -> None:
    """Say what became of the copies that a run had in hand."""
    if stopped := len(taken.stopped):
        letters = console.count(stopped, "letter")
        console.say(f"{letters} that a run has in hand will not be sent either.")
    if late := len(taken.too_late):
        which = "1 letter may" if late == 1 else f"{late:,} letters may"
        console.say(
            f"{which} be gone already: a run is handing {'it' if late == 1 else 'them'} over at"
            " this moment. petition status says what became of"
            f" {'it' if late == 1 else 'them'}."
        )


def _row(one: Moved) -> dict[str, object]:
    return {
        "letter": one.letter,
        "revision": one.revision,
        "email": one.mailbox,
        "from": one.start,
        "to": one.end,
    }
