"""A run: one process that sends a letter, and what it writes down as it goes.

A copy is claimed, marked before its final dot (the intent), and recorded; each of the three is
durable before the next step is taken.
"""

import uuid
from dataclasses import dataclass
from datetime import datetime, timedelta

from petition.outbox.committer import Committer
from petition.outbox.database import Database
from petition.outbox.log import Log, event_values
from petition.outbox.records import Copy, copy_of, moment, stamp
from petition.outbox.states import Reason, State, arrow

DAY = timedelta(hours=24)


@dataclass(frozen=True, slots=True)
class Intent:
    """What is marked before the final dot of a copy may go.

    Args:
        copy: The copy's id.
        letter_date: Its Date header.
        message_id: Its Message-ID.
        sha256: The hash of its bytes, in hex.
        data: The bytes themselves, where they are kept.
        login: Under which login it goes, for the daily cap.
        recipients: How many RCPT commands it has.
    """

    copy: int
    letter_date: datetime
    message_id: str
    sha256: str
    data: bytes | None
    login: str
    recipients: int


@dataclass(frozen=True, slots=True)
class Outcome:
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


class Run:
    """Sends the chosen copies of one letter; made inside a running event loop.

    Args:
        log: The log, which this process owns; its connection is the run's until `close`.
        letter: The letter's name.
    """

    def __init__(self, log: Log, letter: str) -> None:
        self._log = log
        self._letter = letter
        self._owner = uuid.uuid4().hex
        self._committer = Committer(log.database)

    async def claim(self, limit: int) -> list[Copy]:
        """Take copies in hand: deferred ones that are due, then queued ones.

        Args:
            limit: How many at the most.
        """

        def step(database: Database) -> list[Copy]:
            now = self._log.now
            values = {"letter": self._letter, "limit": limit, "now": now}
            return [
                copy
                for row in database.all("claimable", values)
                if (copy := self._claim_one(database, row["id"], State(row["state"]), now))
            ]

        return await self._committer.commit(step)

    async def intend(self, intent: Intent) -> bool:
        """Mark a copy before its final dot.

        Returns:
            Whether it may go: the mark is durable and the copy is still this run's.
        """
        values = {
            "copy": intent.copy,
            "owner": self._owner,
            "letter_date": stamp(intent.letter_date),
            "message_id": intent.message_id,
            "sha256": intent.sha256,
            "bytes": intent.data,
            "login": intent.login,
            "recipients": intent.recipients,
        }

        def step(database: Database) -> bool:
            now = {"now": self._log.now}
            marked = database.run("intend", values | now) == 1
            if marked:
                database.run("add_attempt", values | now)
            return marked

        return await self._committer.commit(step)

    async def record(self, outcome: Outcome) -> None:
        """Write down what became of a copy."""
        arrow(State.SENDING, outcome.state)
        values = _values(outcome) | {"owner": self._owner}

        def step(database: Database) -> None:
            now = {"now": self._log.now}
            if database.run("record", values | now) == 1:
                database.run("add_event", values | now)

        await self._committer.commit(step)

    async def drop_opted_out(self) -> None:
        """Suppress what waits for people who opted out meanwhile."""

        def step(database: Database) -> None:
            now, end, reason = self._log.now, State.SUPPRESSED, Reason.OPTED_OUT
            for row in database.all("suppressed_waiting"):
                start = State(row["state"])
                values = {"copy": row["id"], "from_state": start, "to_state": end}
                database.run("move", values | {"now": now, "reason": reason, "fresh": 0})
                database.run("add_event", event_values(row["id"], start, end, now, reason))

        await self._committer.commit(step)

    async def next_due(self) -> datetime | None:
        """When the first deferred copy of the choice is due."""

        def step(database: Database) -> datetime | None:
            row = database.one("next_due_chosen", {"letter": self._letter})
            return moment(row[0]) if row and row[0] else None

        return await self._committer.commit(step)

    async def spent(self, login: str) -> tuple[int, datetime | None]:
        """What counts against the daily cap of a login.

        Returns:
            How many recipients were written to in the last 24 hours, and when the oldest of these
            was.
        """

        def step(database: Database) -> tuple[int, datetime | None]:
            since = stamp(self._log.clock() - DAY)
            values = {"login": login, "since": since}
            used = database.one("attempted", values)
            oldest = database.one("attempt_leaves", values)
            first = moment(oldest[0]) if oldest and oldest[0] else None
            return (used[0] if used else 0), first

        return await self._committer.commit(step)

    async def close(self) -> None:
        """Write what is left, then give the log's connection back."""
        await self._committer.close()

    def _claim_one(self, database: Database, copy: int, start: State, now: str) -> Copy | None:
        arrow(start, State.SENDING)
        values = {"copy": copy, "state": start, "owner": self._owner, "now": now}
        row = database.one("claim", values)
        if row is None:  # withdrawn a moment ago
            return None
        database.run("add_event", event_values(copy, start, State.SENDING, now))
        return copy_of(row)


def _values(outcome: Outcome) -> dict[str, object]:
    return {
        "copy": outcome.copy,
        "state": outcome.state,
        "charge": int(outcome.charge),
        "reason": outcome.reason,
        "due_at": stamp(outcome.due_at) if outcome.due_at else None,
        "letter_date": stamp(outcome.letter_date) if outcome.letter_date else None,
        "from_state": State.SENDING,
        "to_state": outcome.state,
        "reply_code": outcome.reply_code,
        "enhanced_code": outcome.enhanced_code,
        "reply": outcome.reply,
        "server": outcome.server,
        "tls": outcome.tls,
        "ms": outcome.milliseconds,
    }
