"""What the log returns: copies, events, frozen letters, counts; and how copies are moved.

A query picks which copies make which transition into the temporary table `moving` (transitions.sql,
enqueue.sql); the rest is the same for all. A job for workers names a letter that has copies to be
sent, no more; it is queued in the transaction that makes them wait.
"""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from operator import itemgetter
from typing import Any, NamedTuple

from petition.outbox.database import Database, Row, Values, intact, moment
from petition.outbox.states import Mode, Reason, State, check_transition

TASK = "petition.letters"  # what a job of workers is called


class Copy(NamedTuple):
    """One revision of a letter to one mailbox (schema.sql, `copy`); times are aware, in UTC."""

    id: int
    letter: str
    revision: int
    mailbox: str
    name: str
    language: str
    row_id: str
    file: str
    line: int
    fields: dict[str, str]  # the merge fields of the row that it was queued from
    state: State
    reason: str
    attempts: int
    due_at: datetime | None
    waiting_since: datetime | None  # its first attempt since a person last queued it
    letter_date: datetime | None
    message_id: str | None
    sha256: str | None
    data: bytes | None
    reply_code: int | None
    enhanced_code: str | None
    reply: str | None
    updated_at: datetime
    folded: str  # its key (address.folded)
    queued_as: str | None  # the spelling of its identity, where that is not the mailbox
    twin: int
    binding: bytes | None

    @property
    def spelling(self) -> str:
        """The mailbox as it was first queued, which its identity is made of."""
        return self.queued_as or self.mailbox

    @property
    def domain(self) -> str:
        """The domain of its mailbox, in lower case."""
        return self.mailbox.rpartition("@")[2].lower()


@dataclass(frozen=True, slots=True)
class Event:
    """One transition of a copy (schema.sql, `event`); `from_state` None: it was created."""

    at: datetime
    letter: str
    revision: int
    mailbox: str
    from_state: State | None
    to_state: State
    reason: str
    reply_code: int | None
    enhanced_code: str | None
    reply: str | None
    server: str | None
    tls: str | None
    milliseconds: int | None


@dataclass(frozen=True, slots=True)
class FrozenLetter:
    """A letter as it was when its first copy in this revision was queued."""

    letter: str
    revision: int
    hash: str  # SHA-256 of what the document says, in hex
    content_hash: str  # the same without the letter's name: it tells a renamed letter
    document: str  # JSON (merge/freeze.py)
    frozen_at: datetime
    mode: Mode = Mode.CONTINUE  # for whom this revision is meant

    @property
    def content(self) -> dict[str, Any]:
        """The part of the document that is the letter itself (merge/document.py)."""
        with intact():
            return dict(json.loads(self.document).get("document", {}))


class Moved(NamedTuple):
    """A copy that a person moved, from where to where, and why."""

    letter: str
    revision: int
    mailbox: str
    row_id: str
    start: State
    end: State
    reason: str


@dataclass(frozen=True, slots=True)
class Counts:
    """How many copies of a letter are in each state, each mailbox at its newest revision."""

    letter: str
    revision: int
    by_state: dict[State, int]

    @property
    def total(self) -> int:
        """All of them: the states sum to the rows."""
        return sum(self.by_state.values())

    def __getitem__(self, state: State) -> int:
        return self.by_state.get(state, 0)


def state_of(text: str) -> State:
    """A state that the log kept."""
    with intact():
        return State(text)


def fields_of(text: str) -> dict[str, str]:
    """The merge fields that the log kept for a row."""
    with intact():
        return dict(json.loads(text))


def copy_of(row: Row) -> Copy:
    """A copy from its row."""
    return copies_of([row])[0]


def copies_of(rows: Sequence[Row]) -> list[Copy]:
    """Copies from their rows, all of which have the same columns."""
    if not rows:
        return []
    # By place: looking a column up by its name takes longer.
    found = [list(some) for some in map(_places_of(tuple(rows[0].keys())), rows)]
    with intact():
        fields = json.loads(f"[{','.join(values[_FIELDS] for values in found)}]")
        for values, named in zip(found, fields, strict=True):
            if not all(type(cell) is str for cell in named.values()):
                raise TypeError("the fields of a row are not texts")
            values[_FIELDS] = named
            values[_STATE] = _STATES[values[_STATE]]
            for place in _MOMENTS:
                if values[place] is not None:
                    values[place] = moment(values[place])
    return list(map(Copy._make, found))


_STATES = {state.value: state for state in State}
_FIELDS, _STATE = map(Copy._fields.index, ("fields", "state"))
_MOMENTS = [
    Copy._fields.index(name) for name in ("due_at", "waiting_since", "letter_date", "updated_at")
]


@lru_cache(maxsize=8)
def _places_of(columns: tuple[str, ...]) -> "Callable[[Row], tuple[Any, ...]]":
    """What takes the values of a copy, in order, out of a row with these columns."""
    named = tuple("bytes" if name == "data" else name for name in Copy._fields)
    return tuple if named == columns else itemgetter(*map(columns.index, named))


def event_of(row: Row) -> Event:
    """An event from a row of the queries `events`."""
    at, letter, revision, mailbox, start, end, *rest = row
    states = state_of(start) if start else None, state_of(end)
    return Event(moment(at), letter, revision, mailbox, *states, *rest)


def frozen_of(row: Row) -> FrozenLetter:
    """A frozen letter from its row."""
    values: dict[str, Any] = dict(row)
    with intact():
        values |= {"frozen_at": moment(row["frozen_at"]), "mode": Mode(row["mode"])}
    return FrozenLetter(**values)


def pick(database: Database, query: str, *values: Values) -> None:
    """Pick what is to be moved, by each of these values, and forget what was picked before."""
    database.run("moving_clear")
    for one in values or ({},):
        database.run(query, one)


def move(database: Database, now: str, *, by: str = "move", fresh: bool = False) -> bool:
    """Move what was picked, and write an event for each."""
    transitions = database.all("moving_transitions")
    for start, end in transitions:
        check_transition(state_of(start), state_of(end))
    if transitions:
        database.run("log_moving", {"now": now})
        database.run(by, {"now": now, "fresh": int(fresh)} if by == "move" else {"now": now})
    return bool(transitions)


def moved(database: Database) -> dict[int, Moved]:
    """What was picked, by the copies' ids, in the order of the log."""
    return {
        copy: Moved._make([*which, state_of(start), state_of(end), reason])
        for copy, *which, start, end, reason in database.all("moved")
    }


def skip_stopped(database: Database, copies: Sequence[int], now: str) -> None:
    """Skip those of some copies that are stopped, suppressed or replaced, if they wait."""
    if copies:
        pick(database, "pick_stopped", {"copies": copies, "replaced": Reason.REPLACED})
        move(database, now)


def workers_are_made(database: Database) -> bool:
    """Whether a letter was ever queued for workers."""
    return database.takes_workers and database.one("workers_are_made") is not None


def queue_job(database: Database, letter: str, at: datetime | None = None) -> None:
    """Have workers look at a letter by a certain time, or now; in an exclusive transaction."""
    values = {"letter": letter, "task": TASK, "at": at}
    if not database.run("hasten_job", values):
        database.run("queue_job", values)


def queue_moved(database: Database) -> None:
    """Wake the workers for letters of which copies wait again (transitions.sql)."""
    if workers_are_made(database):
        for row in database.all("letters_moved"):
            queue_job(database, row["letter"])
