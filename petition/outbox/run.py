"""A run: one process that sends a letter, and what it writes down as it goes.

A copy is claimed, marked before its final dot (the intent), and recorded; each of the three is
durable before the next step is taken.
"""

import asyncio
import hashlib
import uuid
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import NamedTuple

from petition.address import folded
from petition.errors import LogDamaged
from petition.identity import Identity, Signer, selector_of
from petition.outbox import moving
from petition.outbox.answers import Gate
from petition.outbox.committer import Committer
from petition.outbox.database import Database
from petition.outbox.leaving import is_bulk
from petition.outbox.log import Log
from petition.outbox.recording import Outcome, write_down
from petition.outbox.records import Copy, copies_of, moment, stamp
from petition.outbox.states import Reason, State, arrow

_BY_REPLY = frozenset({State.SENT, State.DEFERRED, State.FAILED})


class Intent(NamedTuple):
    """What is marked before the final dot of a copy may go.

    Args:
        copy: The copy's id.
        letter_date: Its Date header.
        message_id: Its Message-ID.
        data: Its bytes, whose hash the log has.
        is_kept: Whether it has the bytes themselves too.
        login: Under which login it goes, for the daily cap.
        recipients: How many RCPT commands it has.
    """

    copy: int
    letter_date: datetime
    message_id: str
    data: bytes
    is_kept: bool
    login: str
    recipients: int


class Run:
    """Sends the chosen copies of one letter.

    Args:
        log: The log, which this process owns; its connection is the run's until `close`.
        letter: The letter's name.
        owner: As whom it has copies in hand; None: as nobody who was there before.
        is_shared: Whether other runs send from the log at the same time.
        loop: The event loop in which it is used; None: the one in which it is made.
    """

    def __init__(
        self,
        log: Log,
        letter: str,
        *,
        owner: str | None = None,
        is_shared: bool = False,
        loop: "asyncio.AbstractEventLoop | None" = None,
    ) -> None:
        self._log = log
        self._letter = letter
        self._gate = Gate.of(log, letter)
        self._is_bulk = is_bulk(log, letter)
        self._owner = owner or uuid.uuid4().hex
        self._signer = Signer(log.key)
        self._bind = self._signer.binder(letter)
        self._campaign = log.campaign_id or ""  # none: nothing was queued, and nothing is marked
        # Results before intents: what is known of one letter is durable with the next one's mark.
        self._beginning = asyncio.Lock()
        self._in_hand: dict[int, Identity] = {}  # of the committer's thread
        self._committer = Committer(
            log.database,
            (self._record_all, self._intend_all),
            is_shared=is_shared,
            loop=loop,
        )

    @property
    def now(self) -> datetime:
        """The time by the log's clock, aware."""
        return self._log.clock()

    async def claim(self, limit: int, full: Sequence[str] = (), past: int = 0) -> list[Copy]:
        """Take copies in hand: deferred ones that are due, then queued ones.

        Args:
            limit: How many at the most.
            full: Domains to which none are taken, in lower case.
            past: The id behind which queued ones are looked for.
        """

        def step(database: Database) -> list[Copy]:
            now = self._log.now
            found = self._claimable(database, limit, full, past)
            if not found:
                return []
            taken = {"copies": found, "owner": self._owner, "now": now}
            database.run("log_claimed", taken)
            claimed = {copy.id: copy for copy in copies_of(database.all("claim", taken))}
            copies = [claimed[copy] for copy in found]
            self._refuse_altered(copies)
            self._in_hand.update((copy.id, self._identity_of(copy)) for copy in copies)
            return copies

        return await self._committer.commit(step)

    def _refuse_altered(self, copies: Sequence[Copy]) -> None:
        """Refuse to send where something else has put other addresses into the log."""
        for copy in copies:
            if copy.binding != self._bind(copy.mailbox) or copy.folded != folded(copy.mailbox):
                raise LogDamaged(
                    f"{self._log.where} was altered: {copy.mailbox} is not the address that"
                    f" petition queued in row {copy.id} of {copy.letter}"
                )

    def _claimable(
        self, database: Database, limit: int, full: Sequence[str], past: int
    ) -> list[int]:
        """The ids of the copies that are claimed next."""
        values: dict[str, object] = {"letter": self._letter, "limit": limit, "now": self._log.now}
        if full:
            values |= {"full": list(full), "past": past}
        query = "claimable_past" if full else "claimable"
        return [row["id"] for row in database.all(query, values)]

    async def begin(self) -> None:
        """Keep in mind that letters go out (known.py); to be awaited before the first final dot.

        Raises:
            LogUnusable: The log could not be written.
            UserStateUnusable: What this account knows could not be written.
        """
        memory = self._log.memory
        if memory.is_running:
            return
        async with self._beginning:
            if not memory.is_running:
                epoch = await self._committer.commit(lambda _: memory.advance())
                await self._committer.commit(lambda _: memory.begin_run(epoch))

    def intend(self, intent: Intent) -> asyncio.Future[bool]:
        """Mark a copy before its final dot.

        Returns:
            Whether it may go: the mark is durable, the copy is still this run's, and nobody
            withdrew it or opted out.
        """
        return self._committer.add(self._intend_all, intent)

    def record(self, outcome: Outcome) -> asyncio.Future[None]:
        """Write down what became of a copy; done when that is durable."""
        arrow(State.SENDING, outcome.state)
        return self._committer.add(self._record_all, outcome)

    def _intend_all(self, database: Database, intents: Sequence[Intent]) -> list[bool]:
        now = self._log.now
        self._stop_answered(database, [intent.copy for intent in intents])
        rows = [self._row_of_intent(intent) for intent in intents]
        changed = database.run_rows("intend", rows, {"owner": self._owner, "now": now})
        marked = {intent.copy for intent in intents}
        if changed < len(marked):  # which is rare, so that the others need not be asked for
            values = {"copies": sorted(marked), "owner": self._owner}
            marked = {row[0] for row in database.all("intended", values)}
        counts: dict[str, int] = {}
        for intent in intents:
            if intent.copy not in marked:
                continue
            counts[intent.login] = counts.get(intent.login, 0) + intent.recipients
            if intent.is_kept:
                database.run("keep_bytes", {"copy": intent.copy, "bytes": intent.data})
        for login, recipients in counts.items():
            self._log.add_attempt(login, recipients)
        return [intent.copy in marked for intent in intents]

    def _stop_answered(self, database: Database, copies: list[int]) -> None:
        """Stop those of a follow-up whose person has answered since they were queued."""
        if not self._gate:
            return
        for row in database.all("mailboxes", {"copies": copies}):
            if reason := self._gate.look(database, row["folded"]):
                database.run("stop", {"copy": row["id"], "reason": reason})

    def _row_of_intent(self, intent: Intent) -> tuple[object, ...]:
        """An intent as `intend` reads it, with the marks that a mail's copy is known by."""
        identity = self._in_hand.get(intent.copy)  # None: not this run's, and not marked either
        token = self._signer.return_path_token(identity) if identity else None
        own = self._signer.unsubscribe_token(identity) if identity and self._is_bulk else None
        return (
            intent.copy,
            stamp(intent.letter_date),
            intent.message_id,
            hashlib.sha256(intent.data).hexdigest(),  # here: not while the event loop waits
            token,
            selector_of(own) if own else None,
        )

    def _identity_of(self, copy: Copy) -> Identity:
        return Identity(self._campaign, copy.letter, copy.revision, copy.spelling)

    def _record_all(self, database: Database, outcomes: Sequence[Outcome]) -> list[None]:
        write_down(database, self._owner, self._log.now, outcomes)
        for outcome in outcomes:
            self._in_hand.pop(outcome.copy, None)
        return [None] * len(outcomes)

    async def drop_unwanted(self) -> None:
        """Suppress what waits for mailboxes that are never to be written to any more."""

        def step(database: Database) -> None:
            moving.pick(database, "pick_unwanted")
            moving.move(database, self._log.now)

        await self._committer.commit(step)

    async def due_now(self, longest: timedelta) -> None:
        """Let copies be due that a clock put off which was ahead.

        Args:
            longest: The longest wait after an attempt.
        """
        await self._committer.commit(lambda _: self._log.due_now(longest, self._letter))

    async def next_due(self, full: Sequence[str] = ()) -> datetime | None:
        """When the first deferred copy of the choice is due.

        Args:
            full: Domains of which none are meant, in lower case.
        """

        def step(database: Database) -> datetime | None:
            values = {"letter": self._letter, "full": list(full)}
            row = database.one("next_due_chosen", values)
            return moment(row[0]) if row and row[0] else None

        return await self._committer.commit(step)

    async def waiting(self, limit: int) -> int:
        """How many copies could be claimed now.

        Args:
            limit: So many are enough to know of.
        """

        def step(database: Database) -> int:
            values = {"letter": self._letter, "limit": limit, "now": self._log.now}
            return len(database.all("claimable", values))

        return await self._committer.commit(step)

    async def suppress(self, mailboxes: Sequence[str], reason: Reason) -> None:
        """Never write to these mailboxes again."""

        def step(database: Database) -> None:
            for mailbox in mailboxes:
                values = {
                    "folded": folded(mailbox),
                    "mailbox": mailbox,
                    "reason": reason,
                    "now": self._log.now,
                }
                database.run("suppress", values)

        await self._committer.commit(step)

    async def spent(self, login: str) -> int:
        """How many recipients count against the daily cap of a login."""
        return await self._committer.commit(lambda _: self._log.spent(login)[0])

    async def days_before(self, login: str) -> int:
        """On how many days before this one letters went out under a login."""
        return await self._committer.commit(lambda _: self._log.days_before(login))

    async def count_from_now(self, login: str) -> bool:
        """Count from now what a clock counted that was more than a day ahead.

        Returns:
            Whether there was any.
        """
        return await self._committer.commit(lambda _: self._log.count_from_now(login))

    async def frees(self, login: str, recipients: int) -> datetime | None:
        """When the attempt was made that, with those before it, was for so many recipients.

        Args:
            login: Whose daily cap it is.
            recipients: How many are to leave it; what left it 24 hours after being made is past.
        """

        def step(_: Database) -> datetime | None:
            return self._log.frees(login, recipients)

        return await self._committer.commit(step)

    async def close(self) -> None:
        """Write what is left, then give the log's connection back."""
        await self._committer.close()

    @property
    def owner(self) -> str:
        """As whom it has copies in hand."""
        return self._owner

    @property
    def late(self) -> list[Outcome]:
        """The replies that could not be written down, once it is closed (recording.py)."""
        lost = [row for rows, row in self._committer.lost if rows == self._record_all]
        return [one for one in lost if one.state in _BY_REPLY and one.reply_code is not None]
