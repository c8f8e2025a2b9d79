"""What the log returns: copies, events, frozen letters, counts; and how copies are moved.

Which copies take which arrow is picked by a query (transitions.sql, enqueue.sql) into the temporary
table `moving`; the rest is the same for all of them.
"""

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from operator import itemgetter
from typing import Any, NamedTuple

from petition.errors import LogDamaged
from petition.outbox.database import Database, Row, Values
from petition.outbox.states import Mode, Reason, State, arrow


class Copy(NamedTuple):
    """One letter in one revision to one mailbox, as the log has it (schema.sql, `copy`).

    `folded` is the key of its person, `queued_as` the spelling that its identity is made of where
    that is not the mailbox. Times are aware datetimes in UTC; `fields` are the merge fields of the
    row it was queued from; `waiting_since` is its first attempt since a person last queued it.
    """

    id: int
    letter: str
    revision: int
    mailbox: str
    name: str
    language: str
    row_id: str
    file: str
    line: int
    fields: dict[str, str]
    state: State
    reason: str
    attempts: int
    due_at: datetime | None
    waiting_since: datetime | None
    letter_date: datetime | None
    message_id: str | None
    sha256: str | None
    data: bytes | None
    reply_code: int | None
    enhanced_code: str | None
    reply: str | None
    updated_at: datetime
    folded: str
    queued_as: str | None
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
    """One arrow that a copy took (schema.sql, `event`); `from_state` None: it came into being."""

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
    """A letter as it was when its first copy in this revision was queued.

    Args:
        document: What merge.frozen made of it, as JSON.
        hash: The SHA-256 of what the document says, in hex.
        content_hash: The same without the letter's name, which tells a renamed letter.
        mode: For whom this revision is meant.
    """

    letter: str
    revision: int
    hash: str
    content_hash: str
    document: str
    frozen_at: datetime
    mode: Mode = Mode.CONTINUE

    @property
    def content(self) -> dict[str, Any]:
        """The part of the document that is the letter itself (merge/document.py)."""
        with intact():
            return dict(json.loads(self.document).get("document", {}))


class Moved(NamedTuple):
    """A copy that a person's word moved, from where to where, and why."""

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


@lru_cache(maxsize=64)
def stamp(moment: datetime) -> str:
    """A moment as the log keeps it: UTC, ISO 8601, milliseconds."""
    text = moment.astimezone(UTC).isoformat(timespec="milliseconds")
    return text.replace("+00:00", "Z")


@lru_cache(maxsize=64)
def moment(text: str) -> datetime:
    """A moment that the log kept."""
    with intact():
        return datetime.fromisoformat(text)


def state_of(text: str) -> State:
    """A state that the log kept."""
    with intact():
        return State(text)


def fields_of(text: str) -> dict[str, str]:
    """The merge fields that the log kept for a row."""
    with intact():
        return dict(json.loads(text))


@contextmanager
def intact() -> Iterator[None]:
    """Read what only petition writes: where it makes no sense, the log is damaged."""
    try:
        yield
    except (ValueError, TypeError, LookupError, AttributeError, RecursionError) as fault:
        raise LogDamaged(f"the log is damaged: it holds what cannot be read ({fault})") from fault


def meta(database: Database, name: str) -> str | None:
    """What a log says of itself under a name; None: nothing.

    Raises:
        LogDamaged: It is no text.
    """
    row = database.one("meta", {"name": name})
    if row is None:
        return None
    with intact():
        if not isinstance(row[0], str):
            raise TypeError(f"{name} is no text")
        return row[0]


def copy_of(row: Row) -> Copy:
    """A copy from its row."""
    return copies_of([row])[0]


def copies_of(rows: Sequence[Row]) -> list[Copy]:
    """Copies from their rows, all of which have the same columns."""
    if not rows:
        return []
    # By place: a row looks for a column's name among all of them, at each asking.
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
def _places_of(columns: tuple[str, ...]) -> "itemgetter[Any]":
    """What takes the values of a copy, in their order, out of a row with these columns."""
    named = ("bytes" if name == "data" else name for name in Copy._fields)
    return itemgetter(*map(columns.index, named))


def event_of(row: Row) -> Event:
    """An event from its row."""
    at, letter, revision, mailbox, start, end, *rest = row
    states = state_of(start) if start else None, state_of(end)
    return Event(moment(at), letter, revision, mailbox, *states, *rest)


def frozen_of(row: Row) -> FrozenLetter:
    """A frozen letter from its row."""
    values: dict[str, Any] = dict(row)
    with intact():
        values |= {"frozen_at": moment(row["frozen_at"]), "mode": Mode(row["mode"])}
    return FrozenLetter(**values)


_NOTHING: Values = {}


def pick(database: Database, query: str, values: Values = _NOTHING) -> None:
    """Pick what is to be moved, and forget what was picked before."""
    database.run("moving_clear")
    database.run(query, values)


def move(database: Database, now: str, *, by: str = "move", fresh: bool = False) -> bool:
    """Move what was picked, and write down each step."""
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
        copy: Moved._make([*which, state_of(start), state_of(end), reason])
        for copy, *which, start, end, reason in database.all("moved")
    }


def skip_unwanted(database: Database, now: str) -> None:
    """Of the copies just queued, skip those that must not be sent after all.

    It was stopped while it was in hand, its mailbox is never to be written to, or a newer revision
    is in its place.
    """
    database.run("forget_wanted")
    database.run("turn_unwanted", {"replaced": Reason.REPLACED})
    move(database, now)
