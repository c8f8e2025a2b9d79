"""What a person decides about copies: resolve, retry, withdraw, suppress.

Mailboxes are compared by their folded form (address.folded).
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import NamedTuple

from petition.address import folded
from petition.identity import Signer
from petition.outbox import models
from petition.outbox.log import Log
from petition.outbox.models import Moved, queue_moved
from petition.outbox.states import Reason, State


class Forgotten:
    """Whom a log has forgotten, as it was when this was made."""

    def __init__(self, log: Log) -> None:
        self._log = log
        self._days: dict[str, str] = dict(map(tuple, log.database.all("forgotten")))

    def __contains__(self, mailbox: str) -> bool:
        # Usually nobody: then a list of a million costs nothing.
        return bool(self._days) and self.key(mailbox) in self._days

    def __len__(self) -> int:
        return len(self._days)

    def day(self, mailbox: str) -> str | None:
        """When somebody was forgotten, as the log keeps it; None: never."""
        return self._days.get(self.key(mailbox)) if self._days else None

    def stand_in(self, mailbox: str) -> str:
        """What replaces an address as it is written."""
        return self._signer.stand_in(mailbox)

    def key(self, mailbox: str) -> str:
        """What replaces an address in any spelling."""
        key = self._signer.stand_in(folded(mailbox))
        if key not in self._days and not mailbox.isascii():
            before = self._signer.stand_in(mailbox.lower())  # the key of schema 8
            return before if before in self._days else key
        return key

    def add(self, mailbox: str) -> str:
        """Suppress a mailbox, in a transaction, without keeping its address; the stand-in."""
        key = self.key(mailbox)
        values = {"folded": key, "mailbox": key, "reason": Reason.FORGOTTEN, "now": self._log.now}
        self._log.database.run("erase_suppression", {"folded": folded(mailbox)})
        self._log.database.run("suppress", values)
        self._days.setdefault(key, self._log.now)
        return key

    @cached_property
    def _signer(self) -> Signer:
        return Signer(self._log.key)


class Suppression(NamedTuple):
    """A mailbox that is never written to, why and since when (text of the log)."""

    mailbox: str
    reason: str
    at: str


@dataclass(frozen=True, slots=True)
class Withdrawn:
    """What a person took out of the queue."""

    moved: list[Moved] = field(default_factory=list)  # they waited
    # Their final dot may be on its way. They are skipped if the server does not take them.
    too_late: list[Moved] = field(default_factory=list)


def resolve(
    log: Log, mailboxes: Iterable[str] | None, letter: str | None, *, sent: bool
) -> list[Moved]:
    """Record that uncertain copies arrived, or that they did not and are queued again.

    A copy that must not be sent after all is skipped at once: it was withdrawn while it was being
    delivered, a newer revision replaces it, or the person opted out. None stands for all mailboxes
    (addr_spec) or all letters.
    """
    end = State.SENT if sent else State.QUEUED
    values = {"letter": letter, "to_state": end, "reason": "resolved by hand"}
    with log.writing():
        rows = [values | {"folded": key} for key in _keys(mailboxes)]
        models.pick(log.database, "pick_uncertain", *rows)
        models.move(log.database, log.now)
        found = models.moved(log.database)
        if not sent:
            queue_moved(log.database)
            models.skip_stopped(log.database, list(found), log.now)
            for copy, one in models.moved(log.database).items():
                found[copy] = found[copy]._replace(end=one.end, reason=one.reason)
    return list(found.values())


def retry(log: Log, letter: str, mailboxes: Iterable[str] | None) -> list[Moved]:
    """Queue failed copies again; of named mailboxes also withdrawn ones. Opt-outs still count."""
    values: dict[str, object] = {"letter": letter, "reason": "retried by hand"}
    with log.writing():
        query = "pick_failed" if mailboxes is None else "pick_retriable"
        models.pick(log.database, query, *(values | {"folded": key} for key in _keys(mailboxes)))
        models.move(log.database, log.now, fresh=True)
        queue_moved(log.database)
        return list(models.moved(log.database).values())


def withdraw(log: Log, letter: str, mailboxes: Iterable[str] | None) -> Withdrawn:
    """Skip copies that wait; those that are being sent only if the server does not take them."""
    values: dict[str, object] = {"letter": letter, "reason": Reason.WITHDRAWN}
    with log.writing():
        keys, query = _keys(mailboxes), "pick_waiting" if mailboxes is None else "pick_waiting_to"
        models.pick(log.database, query, *(values | {"folded": key} for key in keys))
        return _take(log, letter, keys)


def suppress(log: Log, mailboxes: Iterable[str]) -> Withdrawn:
    """Never write to these mailboxes again; what waits for them is skipped."""
    with log.writing():
        return stop_writing(log, mailboxes, Reason.OPTED_OUT)


def suppress_for(log: Log, by_reason: Mapping[str, Iterable[str]]) -> Withdrawn:
    """The same for many, by reason, all or none; an earlier reason is kept."""
    taken = Withdrawn()
    with log.writing():
        for reason, mailboxes in by_reason.items():
            more = stop_writing(log, mailboxes, reason)
            taken.moved.extend(more.moved)
            taken.too_late.extend(more.too_late)
    return taken


def stop_writing(log: Log, mailboxes: Iterable[str], reason: str) -> Withdrawn:
    """The same for any reason, in a transaction of the caller."""
    forgotten = Forgotten(log)  # these are suppressed already, without their address
    names = {folded(box): box for box in mailboxes if box not in forgotten}
    values = {"reason": reason, "now": log.now, "letter": None}
    log.database.run("moving_clear")
    rows = [values | {"folded": key, "mailbox": mailbox} for key, mailbox in names.items()]
    log.database.run_many("suppress", rows)
    log.database.run_many("pick_waiting_to", rows)
    return _take(log, None, list(names), reason=reason)


def unsuppress(log: Log, mailboxes: Iterable[str]) -> list[str]:
    """Allow these mailboxes again, from the next `send` on; returns those that were suppressed."""
    with log.writing():
        rows = [log.database.one("unsuppress", {"folded": key}) for key in _keys(mailboxes)]
    return [row[0] for row in rows if row]


def suppressions(log: Log) -> list[Suppression]:
    """All suppressed mailboxes."""
    return [Suppression(*row) for row in log.database.all("suppressions")]


def held(log: Log) -> list[str]:
    """The mailboxes that nothing is sent to until a person decides whether they want to leave."""
    return [row[0] for row in log.database.all("held", {"reason": Reason.HELD})]


def is_suppressed(log: Log, mailbox: str) -> bool:
    """Whether a mailbox must not be written to."""
    return log.database.one("held_suppression", {"folded": folded(mailbox)}) is not None


def _keys(mailboxes: Iterable[str] | None) -> list[str | None]:
    """Each mailbox once, folded; None stands for all."""
    return [None] if mailboxes is None else list(dict.fromkeys(map(folded, mailboxes)))


def _take(
    log: Log, letter: str | None, keys: Iterable[str | None], *, reason: str = Reason.WITHDRAWN
) -> Withdrawn:
    models.move(log.database, log.now)
    taken = Withdrawn(list(models.moved(log.database).values()))
    wanted = set(keys)
    for row in log.database.all("marked", {"letter": letter}):  # a few at most
        if not (None in wanted or folded(row["mailbox"]) in wanted):
            continue
        log.database.run("stop", {"copy": row["id"], "reason": reason})
        taken.too_late.append(Moved._make([*row[1:5], State.SENDING, State.SKIPPED, reason]))
    return taken
