"""The log of a campaign: frozen letters, copies, events, daily caps, and who owns it."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Self

from petition.address import folded
from petition.database_url import POSTGRESQL
from petition.errors import LogBusy, LogUnusable, PetitionError
from petition.extras import how_to_install
from petition.identity import new_key
from petition.outbox import models, upgrades
from petition.outbox.database import (
    PATIENCE,
    Database,
    Values,
    intact,
    meta,
    moment,
    path_of,
    stamp,
)
from petition.outbox.known_logs import BEGUN, KnownLog, Memory, known_logs
from petition.outbox.models import Copy, Counts, Event, FrozenLetter
from petition.outbox.states import Reason, State
from petition.user_state import UserStateUnusable

Now = Callable[[], datetime]
# Recipients allowed in 24 hours, by the days before this one on which the login sent.
Cap = Callable[[int], int | None]
DAY = timedelta(hours=24)
# Notes that close a log (transfer.py), each with the name of the other database.
MOVED, MOVING, ARRIVING = "moved", "moving", "arriving"
_MANY = 5  # copies that a provider refused or put off


def utc_now() -> datetime:
    """The time, aware, in UTC."""
    return datetime.now(UTC)


class Log:
    """An open log; LogUnusable if it cannot be opened, or a move has closed it.

    It is made where it is missing, unless the command only `looks`; `first_key` gives its key.
    Nobody receives what is sent from one that `rehearses`. `folder` is the campaign's, if any.
    """

    def __init__(
        self,
        url: str,
        *,
        clock: Now = utc_now,
        even_closed: bool = False,
        looks: bool = False,
        first_key: Callable[[], bytes] = new_key,
        rehearses: bool = False,
        folder: Path | None = None,
    ) -> None:
        self.clock = clock
        self._looks = looks
        self._first_key = first_key
        self.url = url
        self.rehearses = rehearses
        before: dict[str, KnownLog] | None = None if rehearses else {}
        with suppress(UserStateUnusable):  # a command that only looks needs none of it
            before = None if rehearses else known_logs()
        self.database = open_database(url, looks=looks)
        self.memory = Memory(self.database, url, folder, before)
        self._key: bytes | None = None
        self._is_closed = False
        self.hindrance: LogUnusable | None = None  # why `tidy` could not write
        self._even_closed = even_closed
        try:
            if not even_closed:
                self.refuse_closed()
            has_dead_run = self.memory.finds_dead_run()
        except LogUnusable:
            self.database.close()
            raise
        if has_dead_run:
            self.tidy()

    @property
    def closure(self) -> tuple[str, str] | None:
        """The note of a move that closes this log, and where the other database is."""
        row = self.database.one("closure")
        return (row["name"], row["value"]) if row else None

    def refuse_closed(self) -> None:
        """Refuse a log that a move has closed."""
        if not (closure := self.closure):
            return
        note, other = closure
        if note == MOVED:
            raise LogUnusable(
                f"the log in {self.where} was moved to {other}",
                "Name that in [log] database or PETITION_DATABASE",
            )
        if note == MOVING:
            raise LogUnusable(
                f"the log in {self.where} is being moved to {other}: nothing is sent meanwhile",
                "If no petition migrate is running, it was interrupted: run it again to finish it,"
                " or with the address of this log to undo it",
            )
        raise LogUnusable(
            f"a log is being moved to {self.where} from {other}: nothing is sent meanwhile",
            "If no petition migrate is running, it was interrupted: run it again, where [log]"
            f" database or PETITION_DATABASE names {other}",
        )

    @contextmanager
    def writing(self) -> Iterator[None]:
        """A transaction; LogUnusable if the log was moved or upgraded since it was opened."""
        _ = self.key  # which a new log makes in a transaction of its own
        with self.database.transaction():
            self.refuse_closed()
            upgrades.refuse_other(self.database)
            yield

    @property
    def where(self) -> str:
        """The log's name for people: the path of its file, or its address without a password."""
        return self.database.where

    @property
    def now(self) -> str:
        """The time as the log keeps it."""
        return stamp(self.clock())

    @property
    def key(self) -> bytes:
        """The key of all identities (identity.py), made with the log."""
        if self._key is None:
            text = meta(self.database, "key")
            if text is None and not (self.database.read_only or self._looks):
                with self.database.transaction():
                    self.database.run("set_meta", {"name": "key", "value": self._first_key().hex()})
                text = meta(self.database, "key")
            with intact():
                self._key = self._first_key() if text is None else bytes.fromhex(text)
        return self._key

    def accept(self) -> None:
        """A person said that this is the right log (known_logs.py)."""
        _ = self.key  # which a new log has not made yet
        self.memory.accept()

    @property
    def campaign_id(self) -> str | None:
        """The campaign's id, fixed with the first queued letter; None before."""
        return meta(self.database, "campaign")

    # ---- frozen letters

    def newest(self, letter: str) -> FrozenLetter | None:
        """A letter as it was last frozen, or None."""
        row = self.database.one("newest_frozen", {"letter": letter})
        return models.frozen_of(row) if row else None

    def was_attempted(self, letter: str) -> bool:
        """Whether a copy of a letter ever went out, or was about to."""
        return self.database.one("was_attempted", {"letter": letter}) is not None

    def frozen(self, letter: str, revision: int) -> FrozenLetter | None:
        """A letter as it was frozen in one revision, or None."""
        row = self.database.one("one_frozen", {"letter": letter, "revision": revision})
        return models.frozen_of(row) if row else None

    def frozen_hash(self, letter: str, revision: int) -> str | None:
        """The hash of a letter in one revision: it changes when somebody's name is taken out."""
        row = self.database.one("frozen_hash", {"letter": letter, "revision": revision})
        return str(row[0]) if row else None

    def letters(self) -> list[str]:
        """The names of all letters that were ever frozen."""
        return [row[0] for row in self.database.all("frozen_letters")]

    # ---- what became of the copies

    def counts(self, letter: str) -> Counts:
        """How many copies of a letter are in each state."""
        rows = self.database.all("counts", {"letter": letter})
        by_state = {models.state_of(row[0]): row[1] for row in rows}
        newest = self.newest(letter)
        return Counts(letter, newest.revision if newest else 0, by_state)

    def copies(self, letter: str | None = None, state: State | None = None) -> Iterator[Copy]:
        """The copies of a letter, or of all, in a state, or in all."""
        query = "copies" if state is None else "copies_in"
        for name in self.letters() if letter is None else [letter]:
            for row in self.database.each(query, {"letter": name, "state": state}):
                yield models.copy_of(row)

    def copies_to(self, letter: str, mailbox: str) -> list[Copy]:
        """The copies of a letter to one mailbox, the newest last."""
        rows = self.database.all("copies_to", {"letter": letter, "folded": folded(mailbox)})
        return [models.copy_of(row) for row in rows]

    def events(self, who: str | None = None) -> Iterator[Event]:
        """All events, oldest first, or those of one mailbox."""
        if who is None:
            rows = self.database.each("events")
        else:
            rows = self.database.each("events_to", {"folded": folded(who)})
        yield from map(models.event_of, rows)

    def without_mailbox(self, letter: str, state: State) -> set[str]:
        """The mailboxes (address.folded), of the copies in a state, that proved not to exist."""
        values = {"letter": letter, "state": state, "reason": Reason.NO_MAILBOX}
        return {row[0] for row in self.database.each("without_mailbox", values)}

    def people(self, letter: str | None = None) -> Iterator[tuple[str, str, str]]:
        """The mailbox, name and row id of each copy of a letter, or of all."""
        for row in self.database.each("people", {"letter": letter}):
            yield row["mailbox"], row["name"], row["row_id"]

    def slow_providers(self, letter: str) -> list[tuple[str, State, int, str]]:
        """Domains that refused by policy or asked for fewer: state, copies, a reply; most first."""
        rows = self.database.all("slow_providers", {"letter": letter, "least": _MANY})
        return [(row[0], models.state_of(row[1]), row[2], row[3] or "") for row in rows]

    def next_due(self, letter: str) -> datetime | None:
        """When the first deferred copy of a letter is due."""
        return self.database.moment("next_due", {"letter": letter})

    def count_attempt(self, login: str, recipients: int, cap: Cap = lambda _: None) -> bool:
        """Count a letter that has no row, such as a trial; False if the cap does not allow it."""
        with self.writing():
            self.count_from_now(login)
            most = cap(self.days_before(login))
            has_room = most is None or self.spent(login)[0] + recipients <= most
            if has_room:
                self.add_attempt(login, recipients)
        return has_room

    def add_attempt(self, login: str, recipients: int) -> None:
        """Count a letter against the daily cap of a login, inside a transaction."""
        values = {"login": login, "recipients": recipients} | self.now_and_horizon()
        self.database.run("add_attempt", values)

    def count_from_now(self, login: str) -> bool:
        """In a transaction, count as sent now what a clock over a day ahead counted, if any."""
        values = {"login": login} | self.now_and_horizon()
        return self.database.run("attempts_from_now", values) > 0

    def now_and_horizon(self) -> dict[str, str]:
        """The time, and a day later: an attempt beyond that was counted by a wrong clock."""
        now = self.clock()
        return {"now": stamp(now), "horizon": stamp(now + DAY)}

    def spent(self, login: str) -> tuple[int, datetime | None]:
        """A login's recipients in the last 24 hours, and when the oldest of its attempts was."""
        values = {"login": login, "since": stamp(self.clock() - DAY)}
        used = self.database.value("attempted", values)
        return used, self.database.moment("attempt_leaves", values)

    def days_before(self, login: str) -> int:
        """On how many earlier days a login sent letters, counted from the first attempt of all."""
        rows = self.database.all("attempted_hours", {"login": login})
        hours = [moment(f"{row[0]}:00:00Z") for row in rows]
        days = {(hour - hours[0]) // DAY for hour in hours}
        return len([day for day in days if day < (self.clock() - hours[0]) // DAY])

    def frees(self, login: str, recipients: int) -> datetime | None:
        """When the attempt of the last 24 hours was made that completes so many recipients."""
        values = {"login": login, "since": stamp(self.clock() - DAY), "recipients": recipients}
        return self.database.moment("attempt_frees", values)

    # ---- reports

    def at_one_moment(self) -> AbstractContextManager[None]:
        """Keep to what the log says now, whatever is written while the block runs."""
        return self.database.transaction(temporary=True)

    def rows(self, query: str, values: Values | None = None) -> Iterator[dict[str, Any]]:
        """The rows of a query for a report (evidence.sql), by the names of their columns."""
        return map(dict, self.database.each(query, values))

    # ---- whose log it is

    @contextmanager
    def owned(self, patience: float = PATIENCE) -> Iterator[None]:
        """Own the log while the block runs, after tidying up; LogBusy if another process does."""
        with self.database.ownership(patience):
            if not self.closure:
                self.recover()
                self.memory.end_dead_run()
            elif not self._even_closed:
                self.refuse_closed()
            try:
                yield
            finally:
                self.memory.end_run()

    def tidy(self) -> None:
        """Give the copies of a dead run their true state; what prevents that is in `hindrance`."""
        self.hindrance = self.database.hindrance
        if self.database.read_only or not (self._has_orphans() or self.memory.run == BEGUN):
            return
        try:
            with self.owned(0):
                pass
        except LogBusy:
            pass
        except LogUnusable as fault:
            self.hindrance = fault

    def recover(self) -> None:
        """As the owner, make uncertain what a dead run had marked."""
        if not self._has_orphans():
            return
        with self.database.transaction():
            self.adopt("pick_orphans", "adopt_service", {})

    def look_at_deferred(self, give_up: timedelta, longest: timedelta) -> None:
        """Fail copies whose first attempt is more than `give_up` ago, without another one.

        What is due later than `longest` after an attempt is due now. Only commands that
        send do this: elsewhere the clock may be wrong.
        """
        now = self.clock()
        values = {
            "now": stamp(now),
            "since": stamp(now - give_up),
            "horizon": stamp(now + longest),
        }
        if not self.database.one("has_overdue", values):
            return
        with self.database.transaction():
            self.due_now(longest)
            overdue = {"since": values["since"], "reason": "deferred for too long"}
            models.pick(self.database, "pick_overdue", overdue)
            models.move(self.database, self.now)

    def due_now(self, longest: timedelta, letter: str | None = None) -> None:
        """In a transaction, make copies due that a clock ahead put off by more than `longest`."""
        now = self.clock()
        values = {"now": stamp(now), "horizon": stamp(now + longest), "letter": letter}
        self.database.run("due_now", values)

    def _has_orphans(self) -> bool:
        return self.database.one("has_orphans") is not None

    def adopt(self, copies: str, service: str, values: Values) -> None:
        """Make uncertain what a dead run had marked, in a transaction in which it alone writes.

        The two queries pick the copies, and move the service messages.
        """
        reason = {"reason": "the program ended while the letter was being handed over"}
        models.pick(self.database, copies, {**values, **reason})
        models.move(self.database, self.now, by="adopt")
        self.database.run(service, {**values, **reason, "now": self.now})

    def close(self) -> None:
        """Close the log, once; a run that died meanwhile is ended before its `-wal` is gone."""
        if self._is_closed:
            return
        self._is_closed = True
        if self.memory.run == BEGUN and not self.database.read_only:
            self.tidy()
        self.database.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        try:
            if isinstance(error, Exception) and not isinstance(error, PetitionError | OSError):
                self.database.examine()  # damage can cause an error anywhere
        finally:
            self.close()


def open_database(url: str, *, looks: bool = False) -> Database:
    """Connect to a log."""
    if url.startswith(POSTGRESQL):
        database: Database = _postgres().PostgresDatabase(url, looks=looks)
        return database
    from petition.outbox.sqlite import SqliteDatabase  # noqa: PLC0415 (as above)

    return SqliteDatabase(path_of(url), looks=looks)


def is_there(url: str) -> bool:
    """Whether there is a log; LogUnusable if something else is, or a server does not answer."""
    if url.startswith(POSTGRESQL):
        return bool(_postgres().is_there(url))
    from petition.outbox.sqlite import is_there  # noqa: PLC0415 (as above)

    return is_there(path_of(url))


def _postgres() -> Any:  # noqa: ANN401 (a module that is there with the extra alone)
    try:
        from petition.outbox import postgres  # noqa: PLC0415 (its library takes long to load)
    except ImportError as fault:
        raise LogUnusable(
            "PostgreSQL needs a library that is not installed",
            how_to_install("postgres"),
        ) from fault
    return postgres
