"""A list compared with the log: what to do for whom, and doing it.

The rows are staged in a temporary table and compared by the database, so that a million of them
take no more memory than ten. Nothing is written to the log before `carry_out`.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from datetime import datetime
from enum import StrEnum
from functools import lru_cache
from itertools import chain
from json.encoder import encode_basestring
from operator import itemgetter
from typing import NamedTuple

from petition.address import all_folded, folded
from petition.errors import LogChanged
from petition.identity import Signer
from petition.outbox import models
from petition.outbox.database import Row, drop_inbound_indexes
from petition.outbox.log import Log
from petition.outbox.manual import Forgotten
from petition.outbox.models import FrozenLetter, fields_of, state_of
from petition.outbox.states import Mode, Reason, State


class Action(StrEnum):
    """What a send does for one row of the list."""

    NEW = "new"  # queue a copy
    ANOTHER = "another"  # queue a copy in this revision; the earlier one stays as it is
    REPLACED = "replaced"  # queue a copy in this revision in place of one that waits
    RETURNED = "returned"  # was removed from the list and is back: queue it again
    REFRESHED = "refreshed"  # waits, was never attempted, and its row has changed
    WAITING = "waiting"  # waits already
    DEFERRED = "deferred"  # waits already, and is not due yet
    HAS_IT = "has-it"  # sent or bounced
    UNCERTAIN = "uncertain"  # perhaps has it; a person may find out
    FAILED = "failed"  # failed; a person may retry it
    WITHDRAWN = "withdrawn"  # a person withdrew it
    OPTED_OUT = "opted-out"  # is never written to
    EXCLUDED = "excluded"  # the list itself says not to write to it, and why


TO_SEND = (
    Action.NEW,
    Action.ANOTHER,
    Action.REPLACED,
    Action.RETURNED,
    Action.REFRESHED,
    Action.WAITING,
)


@dataclass(frozen=True, slots=True)
class Comparison:
    """What a send would do: how many chosen rows have each action, and how many copies are gone."""

    letter: str
    revision: int
    mode: Mode
    limit: int | None
    at: str  # when it was made: what is due is judged by that time
    actions: dict[Action, int]
    gone: int = 0  # copies that wait for somebody who is no longer on the list
    newly_excluded: int = 0  # copies that wait for somebody whom the list excludes by now
    as_queued: int = 0  # copies that go out as they were queued, though the list has changed
    due_at: datetime | None = None  # of the first deferred copy
    excluded: Mapping[str, int] = field(default_factory=dict)  # excluded rows, by reason
    without_limit: int = field(default=0, compare=False)  # how many could be sent without it

    def __getitem__(self, action: Action) -> int:
        return self.actions.get(action, 0)

    def has_any(self, *actions: Action) -> bool:
        """Whether any row has one of these actions."""
        return any(map(self.__getitem__, actions))

    @property
    def to_send(self) -> int:
        """How many copies can be sent now."""
        return _sendable(self.actions)

    @property
    def waiting(self) -> int:
        """The same with those that are not due yet."""
        return self.to_send + self[Action.DEFERRED]

    def is_within(self, shown: "Comparison") -> bool:
        """Whether this sends nothing more than another comparison that a person was shown.

        Workers that go on meanwhile make it less: a copy that waited is sending, sent, deferred or
        failed. Where a limit chooses, others would move up that nobody was shown.
        """
        return (
            self.waiting <= shown.waiting
            and all(self[action] <= shown[action] for action in (Action.NEW, Action.RETURNED))
            and self.gone <= shown.gone
            and self.newly_excluded <= shown.newly_excluded
        )


def _sendable(actions: Mapping[Action, int]) -> int:
    return sum(actions.get(action, 0) for action in TO_SEND)


_QUEUED = (Action.NEW, Action.ANOTHER, Action.REPLACED)  # a row of the log is made for these


class ListedRow(NamedTuple):
    """One row of a list."""

    mailbox: str
    name: str
    language: str
    row_id: str
    file: str
    line: int
    fields: Mapping[str, str]
    chosen: bool
    excluded: str = ""  # why the list itself says not to write to it
    address: str = ""  # the address in the row, where `mailbox` is only its name in the log
    queued_as: str = ""  # the spelling that its copy was first queued with


class Listing:
    """A letter's list beside the log."""

    def __init__(self, log: Log, letter: str) -> None:
        self._log = log
        self._database = log.database
        self._letter = letter
        self._is_compared = False  # whether a comparison has said anything about a staged row
        self._last = 2**62  # the copies after this one were created by `carry_out`

    @contextmanager
    def staging(self) -> Iterator[Callable[[list[ListedRow]], object]]:
        """Stage a whole list beside the log: gives what takes its rows. A person counts once."""
        database = self._database
        signer = Signer(self._log.key)
        had = frozenset(row[0] for row in database.all("stand_ins_of", {"letter": self._letter}))
        as_staged = _Staged(Forgotten(self._log), signer.binder(self._letter), had)
        with database.transaction(temporary=True):
            database.run("stage_drop")
            database.run("stage_table")
            self._is_compared = False
            yield lambda rows: database.run_many("stage", as_staged(rows))
            database.run("stage_index")
            database.survey("listed")

    def compare(self, revision: int, mode: Mode, limit: int | None = None) -> Comparison:
        """Compare the staged list with the log; a limit chooses the first rows that can be sent."""
        with self._database.transaction(temporary=True):
            return self._compared(revision, mode, limit, self._log.now)

    def _compared(self, revision: int, mode: Mode, limit: int | None, at: str) -> Comparison:
        letter = self._letter
        values = {"letter": letter, "revision": revision, "mode": mode, "now": at}
        if self._is_compared:
            self._database.run("compare_anew")
        self._is_compared = self._database.run("compare", values) > 0 or limit is not None
        self._database.survey("listed")
        actions = self._count_actions()
        without_limit = _sendable(actions)
        if limit is not None:
            self._database.run("choose_first", {"limit": limit})
            actions = self._count_actions()
        # Each further question goes through the whole list: it is asked where it has an answer.
        is_excluded, is_deferred = Action.EXCLUDED in actions, Action.DEFERRED in actions
        excluded = self._database.all("count_excluded") if is_excluded else []
        may_differ = Action.WAITING in actions or Action.RETURNED in actions
        return Comparison(
            letter=letter,
            revision=revision,
            mode=mode,
            limit=limit,
            at=at,
            actions=actions,
            gone=self._database.value("gone", {"letter": letter}),
            newly_excluded=self._database.value("count_newly_excluded") if is_excluded else 0,
            as_queued=self._database.value("count_as_queued") if may_differ else 0,
            due_at=self._database.moment("deferred_until") if is_deferred else None,
            excluded={row[0]: row[1] for row in excluded},
            without_limit=without_limit,
        )

    def _count_actions(self) -> dict[Action, int]:
        return {Action(row[0]): row[1] for row in self._database.all("count_actions")}

    def to_send(self) -> Iterator[ListedRow]:
        """The chosen rows that can be sent, in the order of the list."""
        yield from map(_listed, self._database.each("chosen_persons"))

    def first(self) -> ListedRow | None:
        """The first chosen row that is not excluded, whatever its action."""
        row = self._database.one("first_chosen")
        return _listed(row) if row else None

    def has(self, mailbox: str) -> bool:
        """Whether an address is on the list, chosen or not."""
        return self._database.one("is_listed", {"folded": folded(mailbox)}) is not None

    def carry_out(
        self,
        comparison: Comparison,
        campaign_id: str,
        freeze: FrozenLetter | None,
        *,
        widen: Mode | None = None,
        also: Callable[[], None] | None = None,
        beside_workers: bool = False,
    ) -> Comparison:
        """Do what `compare` said, in one transaction; returns what was done.

        A new revision that nobody would get is not frozen. `widen` says for whom the revision is
        meant from now on; `also` writes in the same transaction, when the copies are there.
        LogChanged if the log has changed since; `beside_workers` it may, as long as nothing more is
        sent than was shown. LogForked if letters went out from another copy of the log.
        """
        shown, revision, now = comparison, comparison.revision, self._log.now
        with self._log.memory.step() as advance, self._log.writing():
            comparison = self._compared(revision, shown.mode, shown.limit, shown.at)
            if comparison != shown:
                self._refuse_another(comparison, shown, freeze, beside_workers=beside_workers)
            self._take_out(comparison)
            self._bring_back(comparison)
            self._last = self._database.value("last_copy")
            if self._has_rows(comparison, freeze):
                self._database.run("set_meta", {"name": "campaign", "value": campaign_id})
                if freeze:
                    more = {"follows": freeze.content.get("follows"), "now": now}
                    self._database.run("freeze", asdict(freeze) | more)
                self._enqueue(comparison, now)
                advance()
            if widen:
                values = {"letter": self._letter, "revision": revision, "mode": widen}
                self._database.run("set_mode", values)
            self._database.run("chosen_drop")
            self._database.run("chosen_table")
            values = {"letter": self._letter, "revision": revision, "last": self._last}
            self._database.run("choose", values)
            self._database.survey("chosen")
            drop_inbound_indexes(self._database, comparison.to_send)
            if also:
                also()
        return comparison

    def _refuse_another(
        self,
        now: Comparison,
        shown: Comparison,
        freeze: FrozenLetter | None,
        *,
        beside_workers: bool,
    ) -> None:
        """Refuse what was not shown. While workers run, the log may change, but only to less."""
        newest = self._log.newest(self._letter)
        last = newest.revision if newest else 0
        is_same_text = last < shown.revision if freeze else last == shown.revision
        if not (beside_workers and is_same_text and now.is_within(shown)):
            raise LogChanged(
                "another petition command has changed the log in the meantime",
                "Nothing was done; run this command again",
            )

    def _has_rows(self, comparison: Comparison, freeze: FrozenLetter | None) -> bool:
        if freeze and freeze.revision > 1 and not comparison.to_send:
            return False
        return comparison.has_any(*_QUEUED) or self._database.value("count_enqueued") > 0

    def states(self) -> dict[State, int]:
        """How many of the chosen rows have a copy in each state."""
        values = {"letter": self._letter, "last": self._last}
        rows = self._database.all("chosen_states", values)
        return {state_of(row[0]): row[1] for row in rows}

    def _take_out(self, comparison: Comparison) -> None:
        """Skip what waits for those who are gone, left out, or get a newer revision."""
        database, now = self._database, self._log.now
        models.pick(database, "pick_gone", {"letter": self._letter, "reason": Reason.REMOVED})
        if comparison.has_any(Action.EXCLUDED, Action.REPLACED, Action.OPTED_OUT):
            database.run("pick_left_out", {"replaced": Reason.REPLACED})
        models.move(database, now)

    def _bring_back(self, comparison: Comparison) -> None:
        database, now = self._database, self._log.now
        if comparison.has_any(Action.REFRESHED, Action.RETURNED):
            database.run("refresh", {"now": now})
            models.pick(database, "pick_returned")
            models.move(database, now)

    def _enqueue(self, comparison: Comparison, now: str) -> None:
        if comparison.has_any(Action.ANOTHER, Action.REPLACED):
            self._database.run("outdate")
        values = {"letter": self._letter, "revision": comparison.revision, "now": now}
        self._database.run("enqueue", values)
        self._database.survey("copy")
        self._database.run("log_enqueued", {"last": self._last, "now": now})


def _listed(row: Row) -> ListedRow:
    *which, fields, queued_as = row
    return ListedRow._make([*which, fields_of(fields), True, "", "", queued_as or ""])


class _Staged:
    """The parameters of the query `stage`, in its order: a million dictionaries take seconds."""

    def __init__(
        self, forgotten: Forgotten, bind: Callable[[str], bytes], had: frozenset[str]
    ) -> None:
        self._had = had  # the stand-ins of those who have had it and are no longer kept
        self._stand_ins = forgotten
        self._forgotten = forgotten if len(forgotten) else None
        self._bind = bind
        self._twins: Counter[str] = Counter()
        self._position = 1

    def __call__(self, listed: list[ListedRow]) -> Iterable[tuple[object, ...]]:
        """Those of the next rows."""
        keys = all_folded([row.address or row.mailbox for row in listed])
        rows = listed
        if self._forgotten or self._had:
            kept = [*map(self._as_kept, listed, keys)]
            rows, keys = [row for row, _ in kept], [key for _, key in kept]
        pairs = zip(listed, keys, strict=True)
        twins = [self._twin(key) if row.address else 0 for row, key in pairs]
        chosen = [int(row.chosen) for row in rows]  # for a bool, sqlite3 looks for an adapter
        places = range(self._position, self._position + len(rows))
        self._position = places.stop
        return zip(
            places,
            keys,
            twins,
            chosen,
            chosen,
            [row.excluded for row in rows],
            [row.mailbox for row in rows],
            [key.rpartition("@")[2] for key in keys],
            [row.name for row in rows],
            [row.language for row in rows],
            [row.row_id for row in rows],
            [row.file for row in rows],
            [row.line for row in rows],
            [self._bind(row.mailbox) for row in rows],
            all_as_json([row.fields for row in rows]),
            strict=True,
        )

    def _as_kept(self, row: ListedRow, key: str) -> tuple[ListedRow, str]:
        """A row and its key, without the person if the log has forgotten who that is."""
        address = row.address or row.mailbox
        if self._forgotten and address in self._forgotten:
            return _without_person(row, self._forgotten), self._forgotten.key(address)
        if self._had and (stand_in := self._stand_ins.stand_in(key)) in self._had:
            return _without_person(row, self._stand_ins, Reason.EXPIRED), stand_in
        return row, key

    def _twin(self, key: str) -> int:
        """The number of a row that is left out, among those with its key."""
        self._twins[key] += 1
        return self._twins[key]


def as_json(fields: Mapping[str, str]) -> str:
    """Merge fields as the log keeps them: what `json.dumps` makes of them, in half the time."""
    form, names = _json_form(tuple(fields), "%s")
    return form % tuple(map(encode_basestring, map(fields.__getitem__, names)))


def all_as_json(rows: Sequence[Mapping[str, str]]) -> list[str]:
    """`as_json` of each row, faster where all have the same columns and need no backslash."""
    text = "".join(chain.from_iterable(row.values() for row in rows))
    is_plain = text.isprintable() and '"' not in text and "\\" not in text
    if is_plain and rows and rows[0] and len({*map(tuple, rows)}) == 1:
        form, names = _json_form(tuple(rows[0]), '"%s"')
        return [*map(form.__mod__, map(itemgetter(*names), rows))]
    return [*map(as_json, rows)]


@lru_cache(maxsize=16)  # the rows of a list have the same columns
def _json_form(names: tuple[str, ...], cell: str) -> tuple[str, list[str]]:
    ordered = sorted(names)
    keys = (encode_basestring(name).replace("%", "%%") for name in ordered)
    return f"{{{', '.join(f'{key}: {cell}' for key in keys)}}}", ordered


def _without_person(
    row: ListedRow, forgotten: Forgotten, reason: Reason = Reason.FORGOTTEN
) -> ListedRow:
    """The row of somebody who was forgotten: it counts, and brings nothing back."""
    nobody = ListedRow(forgotten.stand_in(row.mailbox), "", "", "", "", 0, {}, row.chosen)
    return nobody._replace(excluded=reason)
