"""What a command of a person's word moved, as a script reads it."""

from collections.abc import Iterable

from petition.outbox.records import Copy
from petition.outbox.states import State


def moved_json(moved: Iterable[tuple[Copy, State]], log: str) -> dict[str, object]:
    """The copies that were moved, as JSON.

    Args:
        moved: The copies as they were before, each with the state that it was moved to.
        log: The log's name.
    """
    rows = [
        {
            "letter": copy.letter,
            "revision": copy.revision,
            "email": copy.mailbox,
            "from": copy.state,
            "to": end,
        }
        for copy, end in moved
    ]
    return {"moved": rows, "log": log}
