"""What became of copies in hand, written down: by their run, or later by their owner.

A log can be out of reach at the very moment when the server answers: a disk is full, a database is
started anew. Whoever comes next can only call such a copy `uncertain`. Its owner has heard more,
and says it when the log is back (P3).
"""

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple

from petition.outbox import moving
from petition.outbox.database import Database
from petition.outbox.jobs import queue_moved
from petition.outbox.log import Log
from petition.outbox.records import stamp
from petition.outbox.states import WAITING, Reason, State, arrow


class Outcome(NamedTuple):
    """What became of a copy in hand.

    Args:
        copy: The copy's id.
        state: Where it goes: sent, deferred, failed, uncertain, or queued (released).
        charge: Whether this was an attempt.
        reason: In words, where there is no reply to say it.
        due_at: When a deferred copy is due.
        letter_date: Its Date header, which is kept from the first attempt on.
        milliseconds: How long the transaction took.
    """

    copy: int
    state: State
    charge: bool
    reason: str = ""
    due_at: datetime | None = None
    letter_date: datetime | None = None
    reply_code: int | None = None
    enhanced_code: str | None = None
    reply: str | None = None
    server: str | None = None
    tls: str | None = None
    milliseconds: int | None = None


def write_down(database: Database, owner: str, now: str, outcomes: Sequence[Outcome]) -> None:
    """Write down what became of copies in hand; of each the first outcome counts.

    Args:
        database: The log's, in a transaction.
        owner: Who has them in hand; what is no more the owner's is left as it is.
        now: The time as the log keeps it.
        outcomes: What became of them.
    """
    # What a copy became is one arrow, and one event.
    became = {outcome.copy: _row_of(outcome) for outcome in reversed(outcomes)}
    rows, values = [*became.values()], {"owner": owner, "now": now}
    database.run_rows("log_recorded", rows, values)
    database.run_rows("record", rows, values)
    waiting = [outcome.copy for outcome in outcomes if outcome.state in WAITING]
    if waiting:  # and somebody may have stopped one of them meanwhile
        moving.pick(database, "pick_stopped", {"copies": waiting, "replaced": Reason.REPLACED})
        moving.move(database, now)


def write_down_late(log: Log, owner: str, outcomes: Sequence[Outcome]) -> None:
    """Write down replies that could not be written when they came.

    A copy is changed that is still in hand, or that was called uncertain because its owner seemed
    to be gone; what a person said of it meanwhile stands.

    Args:
        log: The log, over a connection that works.
        owner: Who had the copies in hand.
        outcomes: What the server said of them.

    Raises:
        LogUnusable: It still cannot be written.
    """
    for outcome in outcomes:
        arrow(State.UNCERTAIN, outcome.state)
    deferred = [outcome.copy for outcome in outcomes if outcome.state is State.DEFERRED]
    with log.writing():
        moving.pick(log.database, "pick_late", {"copies": deferred, "owner": owner})
        queue_moved(log.database)  # the job that they were in may be done
        write_down(log.database, owner, log.now, outcomes)


def _row_of(outcome: Outcome) -> tuple[object, ...]:
    """An outcome as `log_recorded` and `record` read it."""
    return (
        outcome.copy,
        outcome.state.value,
        outcome.reason,
        outcome.reply_code,
        outcome.enhanced_code,
        outcome.reply,
        int(outcome.charge),
        stamp(outcome.due_at) if outcome.due_at else None,
        stamp(outcome.letter_date) if outcome.letter_date else None,
        outcome.server,
        outcome.tls,
        outcome.milliseconds,
    )
