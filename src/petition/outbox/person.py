"""What a person may say of copies: resolve, retry, withdraw, suppress."""

from collections.abc import Iterable
from dataclasses import dataclass

from petition.outbox.log import Log
from petition.outbox.records import Copy, copy_of
from petition.outbox.states import Reason, State

_RETRIABLE = (State.FAILED, State.SUPPRESSED)


@dataclass(frozen=True, slots=True)
class Suppression:
    """A mailbox that is never written to, why and since when (text of the log)."""

    mailbox: str
    reason: str
    at: str


def resolve(
    log: Log, mailboxes: Iterable[str] | None, letter: str | None, *, sent: bool
) -> list[Copy]:
    """A person's word on uncertain copies: the letter arrived, or it did not and is queued.

    Args:
        log: The log.
        mailboxes: Whose copies (addr_spec); None: everybody's.
        letter: Only of this letter; None: of all.
        sent: What the person says.

    Returns:
        The copies that were moved, as they were before.
    """
    moved: list[Copy] = []
    with log.database.transaction():
        for mailbox in [None] if mailboxes is None else mailboxes:
            rows = log.database.all("uncertain", {"letter": letter, "mailbox": mailbox})
            moved += [copy_of(row) for row in rows]
        end = State.SENT if sent else State.QUEUED
        for copy in moved:
            _move(log, copy.id, State.UNCERTAIN, end, "a person said so")
            newest = log.copies_to(copy.letter, copy.mailbox)[-1]
            if not sent and newest.id != copy.id:
                _move(log, copy.id, State.QUEUED, State.SUPPRESSED, Reason.REPLACED)
    return moved


def retry(log: Log, letter: str, mailboxes: Iterable[str] | None) -> list[Copy]:
    """Queue copies again that failed; of named mailboxes also those that were withdrawn.

    Returns:
        The copies that were moved, as they were before.
    """
    moved: list[Copy] = []
    with log.database.transaction():
        for copy in _newest(log, letter, mailboxes, _RETRIABLE):
            withdrawn = copy.state is State.SUPPRESSED and copy.reason == Reason.WITHDRAWN
            if copy.state is State.FAILED or (withdrawn and mailboxes is not None):
                _move(log, copy.id, copy.state, State.QUEUED, "a person asked", fresh=True)
                moved.append(copy)
    return moved


def withdraw(log: Log, letter: str, mailboxes: Iterable[str] | None) -> list[Copy]:
    """Suppress copies that wait.

    Returns:
        The copies that were moved, as they were before.
    """
    with log.database.transaction():
        waiting = _newest(log, letter, mailboxes, (State.QUEUED, State.DEFERRED))
        for copy in waiting:
            _move(log, copy.id, copy.state, State.SUPPRESSED, Reason.WITHDRAWN)
    return waiting


def suppress(log: Log, mailboxes: Iterable[str]) -> list[Copy]:
    """Never write to these mailboxes again; what waits for them is suppressed.

    Returns:
        The copies that were waiting.
    """
    waiting: list[Copy] = []
    with log.database.transaction():
        for mailbox in mailboxes:
            reason = Reason.OPTED_OUT
            log.database.run("suppress", {"mailbox": mailbox, "reason": reason, "now": log.now})
            rows = log.database.all("waiting_for", {"mailbox": mailbox})
            waiting += [copy_of(row) for row in rows]
        for copy in waiting:
            _move(log, copy.id, copy.state, State.SUPPRESSED, Reason.OPTED_OUT)
    return waiting


def unsuppress(log: Log, mailboxes: Iterable[str]) -> list[str]:
    """These mailboxes may be written to again; the next `send` queues what they missed.

    Returns:
        Those that had been suppressed.
    """
    with log.database.transaction():
        return [box for box in mailboxes if log.database.run("unsuppress", {"mailbox": box})]


def suppressions(log: Log) -> list[Suppression]:
    """All mailboxes that are never written to."""
    return [Suppression(*row) for row in log.database.all("suppressions")]


def _newest(
    log: Log, letter: str, mailboxes: Iterable[str] | None, states: Iterable[State]
) -> list[Copy]:
    found: list[Copy] = []
    for mailbox in [None] if mailboxes is None else mailboxes:
        for state in states:
            values = {"letter": letter, "state": state, "mailbox": mailbox}
            found += [copy_of(row) for row in log.database.all("in_state", values)]
    return found


def _move(
    log: Log, copy: int, start: State, end: State, reason: str, *, fresh: bool = False
) -> None:
    values = {"copy": copy, "from_state": start, "to_state": end, "now": log.now}
    kept = reason if end is State.SUPPRESSED else ""
    if log.database.run("move", values | {"reason": kept, "fresh": int(fresh)}):
        log.note(copy, start, end, reason)
