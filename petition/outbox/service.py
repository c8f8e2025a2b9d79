"""Service messages: mails that petition writes by itself, such as to confirm a signature.

Each is sent once, as a copy of a letter is: its mark is durable before its final dot, and one whose
owner died with the mark is `uncertain`. Its identity is the campaign, its kind, a serial and the
mailbox. It belongs to no letter and counts in none; against a daily cap it counts as a letter does.
"""

from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from enum import StrEnum
from typing import NamedTuple

from petition.address import folded
from petition.identity import Identity, Signer
from petition.outbox.database import Row, intact, meta, moment, stamp
from petition.outbox.log import Cap, Log
from petition.outbox.models import state_of
from petition.outbox.states import State, check_transition


class ServiceKind(StrEnum):
    """What a service message is for."""

    CONFIRM = "confirm"  # somebody signed: is it you?
    SIGNED = "signed"  # somebody who has signed gets the link to change it
    APPROVAL = "approval"  # may this letter go?


class ServiceMail(NamedTuple):
    """A service message that waits; times are aware."""

    id: int
    kind: ServiceKind
    serial: int
    mailbox: str
    about: int  # the id of the signature, or of the request for an approval
    state: State
    attempts: int
    waiting_since: datetime | None  # its first attempt
    message_id: str
    data: bytes
    seen: str  # when it was last changed, as the log keeps it

    @property
    def domain(self) -> str:
        """The domain of its mailbox."""
        return self.mailbox.rpartition("@")[2]


class ServiceOutcome(NamedTuple):
    """What became of an attempt to send a service message."""

    state: State  # sent, deferred, failed, uncertain, or queued (not attempted)
    charge: bool  # whether this was an attempt
    reason: str = ""
    due_at: datetime | None = None  # of a deferred one
    reply_code: int | None = None
    enhanced_code: str | None = None
    reply: str | None = None


class ServiceState(NamedTuple):
    """A service message as it is now."""

    kind: ServiceKind
    serial: int
    mailbox: str
    state: State
    reason: str
    reply: str | None
    created_at: datetime
    updated_at: datetime


def add(
    log: Log,
    kind: ServiceKind,
    mailbox: str,
    about: int,
    domain: str,
    write: Callable[[str], bytes],
    *,
    campaign: str,
) -> str:
    """Queue a service message, in a transaction; returns its Message-ID in the `domain`.

    `write` is called with the Message-ID and returns the mail's bytes. `campaign` is the
    campaign's id.
    """
    log.database.run("count_service")
    with intact():
        serial = int(meta(log.database, "service") or 0)
    identity = Identity(campaign, f"service/{kind}", serial, mailbox)  # no letter has a slash
    message_id = Signer(log.key).message_id(identity, domain)
    values = {"kind": kind, "serial": serial, "mailbox": mailbox, "folded": folded(mailbox)}
    values |= {"about": about, "message_id": message_id, "bytes": write(message_id)}
    log.database.run("add_service", values | {"now": log.now})
    return message_id


def due(log: Log, limit: int) -> list[ServiceMail]:
    """The service messages that can be sent now, the oldest first."""
    rows = log.database.all("service_due", {"now": log.now, "limit": limit})
    found = []
    for id_, kind, serial, mailbox, about, state, attempts, since, message_id, data, seen in rows:
        with intact():
            which = ServiceKind(kind)
        first = moment(since) if since else None
        found.append(
            ServiceMail(
                *(id_, which, serial, mailbox, about, state_of(state), attempts, first),
                *(message_id, bytes(data or b""), seen),
            )
        )
    return found


def waits(log: Log) -> bool:
    """Whether there is one that can be sent now."""
    return log.database.one("service_due", {"now": log.now, "limit": 1}) is not None


def mark(log: Log, mail: ServiceMail, owner: str, login: str, cap: Cap) -> bool:
    """Mark a service message before its final dot, which may go only with True.

    False if the daily cap of the `login` is reached, or it is no longer as it was read.
    """
    with log.writing():
        values = {"id": mail.id, "owner": owner, "state": mail.state, "seen": mail.seen}
        log.count_from_now(login)
        most = cap(log.days_before(login))
        if most is not None and log.spent(login)[0] >= most:
            return False
        if not log.database.run("mark_service", values | {"now": log.now}):
            return False
        log.add_attempt(login, 1)
        return True


def record(log: Log, mail: ServiceMail, owner: str, outcome: ServiceOutcome) -> None:
    """Record what became of a service message that this owner marked or had refused."""
    check_transition(State.SENDING, outcome.state)
    values: dict[str, object] = {"id": mail.id, "owner": owner, "seen": mail.seen, "now": log.now}
    values |= outcome._asdict() | {
        "charge": int(outcome.charge),
        "due_at": stamp(outcome.due_at) if outcome.due_at else None,
    }
    with log.writing():
        log.database.run("record_service", values)


def mailed_since(log: Log, mailbox: str, kinds: list[ServiceKind], ago: timedelta) -> int:
    """How many service messages of some kinds were queued to a mailbox in the last time."""
    values = {"folded": folded(mailbox), "kinds": kinds, "since": stamp(log.clock() - ago)}
    return int(log.database.value("service_to_since", values))


def about_of(log: Log, message_id: str) -> tuple[ServiceKind, int] | None:
    """What the service message with a Message-ID is about: its kind, and an id."""
    row = log.database.one("service_by_message_id", {"message_id": message_id})
    with intact():
        return (ServiceKind(row[0]), row[1]) if row else None


def mails_about(log: Log, kinds: list[ServiceKind], about: int) -> list[ServiceState]:
    """What became of the service messages about a signature or a request, the oldest first."""
    rows = log.database.all("service_about", {"kinds": kinds, "about": about})
    return [*map(_service_state, rows)]


def mails(log: Log, mailbox: str | None = None) -> Iterator[ServiceState]:
    """All service messages, or those to a mailbox, in the order of their last changes."""
    if mailbox is None:
        rows = log.database.each("service_states")
    else:
        rows = log.database.each("service_states_to", {"folded": folded(mailbox)})
    return map(_service_state, rows)


def _service_state(row: Row) -> ServiceState:
    kind, serial, mailbox, state, reason, reply, created, updated = row
    with intact():
        return ServiceState(
            *(ServiceKind(kind), serial, mailbox, state_of(state), reason, reply),
            *(moment(created), moment(updated)),
        )


def drop_about(log: Log, kinds: list[ServiceKind], about: int) -> None:
    """Delete the service messages about something, in a transaction, but for one on its way."""
    log.database.run("drop_service_about", {"kinds": kinds, "about": about})


def counts(log: Log) -> dict[tuple[ServiceKind, State], int]:
    """How many service messages of each kind are in each state."""
    rows = log.database.all("count_service_states")
    with intact():
        return {(ServiceKind(kind), state_of(state)): number for kind, state, number in rows}
