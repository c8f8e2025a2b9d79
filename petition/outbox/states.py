"""The state table: where a copy can be, how it moves, and what a crash at each transition means.

A transition is one transaction with one event. After a crash a copy is in the state before the
transition or in the one after it, never in a third.
"""

from datetime import timedelta
from enum import StrEnum

GIVE_UP = timedelta(days=5)  # after its first attempt a copy that is still deferred fails


class State(StrEnum):
    """Where a copy is.

    tests/unit/outbox/test_states.py names the other places that list all states.
    """

    QUEUED = "queued"  # to be sent
    SENDING = "sending"  # marked by a run: its final dot may be on its way
    SENT = "sent"  # the server took responsibility: 2xx to the final dot (RFC 5321 4.2.5)
    DEFERRED = "deferred"  # the server asked us to retry later; waits until it is due
    FAILED = "failed"  # the server refused it for good, or deferred it for five days
    UNCERTAIN = "uncertain"  # the connection or the process was lost after the final dot
    BOUNCED = "bounced"  # accepted, then a proven delivery status notification said failed
    SKIPPED = "skipped"  # not to be sent; the reason says why


# (from, to): what a crash at this transition leaves behind.
TRANSITIONS: dict[tuple[State, State], str] = {
    # The mark. No commit, no dot; but a commit whose answer was lost counts as one.
    (State.QUEUED, State.SENDING): "still queued: sent by the next run; or sending: uncertain",
    (State.DEFERRED, State.SENDING): "still deferred: sent when due; or sending: uncertain",
    # What the server said. Before the mark (MAIL, RCPT, DATA) it is one commit with the transition
    # to sending, so that a crash leaves the copy waiting as it was.
    (State.SENDING, State.SENT): "sending: uncertain, as the reply was not kept",
    (State.SENDING, State.DEFERRED): "sending: uncertain, as the reply was not kept",
    (State.SENDING, State.FAILED): "sending: uncertain, as the reply was not kept",
    (State.SENDING, State.UNCERTAIN): "sending: the next run makes it uncertain",
    (State.SENDING, State.QUEUED): "sending: uncertain, though the final dot did not go",
    (State.DEFERRED, State.FAILED): "still deferred: failed when the next run begins",
    # The server turned out to refuse all letters: a run takes back what it charged.
    (State.DEFERRED, State.QUEUED): "still deferred: sent when it is due",
    (State.FAILED, State.QUEUED): "a person asked, or as above: still failed, ask again",
    (State.UNCERTAIN, State.SENT): "a person, or the owner's own late reply: still uncertain",
    (State.UNCERTAIN, State.DEFERRED): "the owner's own late reply: still uncertain",
    (State.UNCERTAIN, State.FAILED): "the owner's own late reply: still uncertain",
    (State.UNCERTAIN, State.QUEUED): "a person asked: still uncertain, ask again",
    (State.UNCERTAIN, State.BOUNCED): "a proven notification: still uncertain, read it again",
    (State.SENT, State.BOUNCED): "a proven notification: still sent, read it again",
    (State.QUEUED, State.SKIPPED): "still queued: skipped when the command is repeated",
    (State.DEFERRED, State.SKIPPED): "still deferred: skipped when the command is repeated",
    (State.SKIPPED, State.QUEUED): "a person asked: still skipped, ask again",
}

# Queries name these as `state IN WAITING` (database.py).
WAITING = (State.QUEUED, State.DEFERRED)
DONE = (State.SENT, State.DEFERRED, State.FAILED, State.UNCERTAIN)  # where an attempt ends
MAY_HAVE_ARRIVED = (State.SENT, State.BOUNCED, State.UNCERTAIN)


class Reason(StrEnum):
    """Why a copy is skipped, in the words that a person reads.

    A row that its own list excludes has another reason: `deceased`, `on hold`.
    """

    OPTED_OUT = "opted out"
    REMOVED = "removed from the list"
    WITHDRAWN = "withdrawn"
    REPLACED = "replaced by a newer revision"
    NO_MAILBOX = "no such mailbox"
    COMPLAINED = "called it spam"
    HELD = "may want to leave"  # until a person decides
    ANSWERED = "answered"
    UNCLASSIFIED = "answer to be classified"
    FORGOTTEN = "forgotten"
    EXPIRED = "no longer kept"


class Mode(StrEnum):
    """For whom a revision of a letter is meant."""

    CONTINUE = "continue"  # for those who have no copy yet
    REVISE = "revise"  # the new text, for those who are not sent, bounced or uncertain
    AGAIN = "again"  # for everyone
    AGAIN_CHOSEN = "again-chosen"  # for those alone whom each send with --again names


def check_transition(start: State, end: State) -> None:
    """Raise ValueError if a copy cannot move from one state to another."""
    if (start, end) not in TRANSITIONS:
        raise ValueError(f"there is no transition from {start} to {end}")
