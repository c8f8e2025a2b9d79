"""Moves copies along arrows that no server's reply caused: many at once, each with its event.

Which copies take which arrow is picked by a query (moving.sql, listing.sql) into the temporary
table `moving`; the rest is the same for all of them.
"""

from petition.outbox.database import Database, Values
from petition.outbox.records import Moved, state_of
from petition.outbox.states import Reason, arrow

_NOTHING: Values = {}


def pick(database: Database, query: str, values: Values = _NOTHING) -> None:
    """Pick what is to be moved, and forget what was picked before.

    Args:
        database: The log, in a transaction.
        query: The query that picks.
        values: Its parameters.
    """
    database.run("moving_clear")
    database.run(query, values)


def move(database: Database, now: str, *, by: str = "move", fresh: bool = False) -> bool:
    """Move what was picked, and write down each step.

    Args:
        database: The log, in a transaction.
        now: The time as the log keeps it.
        by: The query that moves them.
        fresh: Count their attempts anew.

    Returns:
        Whether anything was picked.

    Raises:
        ValueError: The state table has no such arrow: a fault of the program.
    """
    arrows = database.all("moving_arrows")
    for start, end in arrows:
        arrow(state_of(start), state_of(end))
    if arrows:
        database.run("log_moving", {"now": now})
        database.run(by, {"now": now, "fresh": int(fresh)} if by == "move" else {"now": now})
    return bool(arrows)


def moved(database: Database) -> dict[int, Moved]:
    """What was picked, by the copies' ids, in the order of the log."""
    return {
        row["id"]: Moved(
            row["letter"],
            row["revision"],
            row["mailbox"],
            row["row_id"],
            state_of(row["from_state"]),
            state_of(row["to_state"]),
            row["reason"],
        )
        for row in database.all("moved")
    }


def suppress_unwanted(database: Database, now: str) -> None:
    """Of what was just queued, suppress what is not to be sent for all that.

    It was stopped while it was in hand, its mailbox is never to be written to, or a newer revision
    is in its place.
    """
    database.run("forget_wanted")
    database.run("turn_unwanted", {"replaced": Reason.REPLACED})
    move(database, now)
