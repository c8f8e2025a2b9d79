"""The list of a letter laid beside the log: what is to be done for whom, and doing it.

The rows are staged in a temporary table and compared by the database, so that a million of them
take no more memory than ten. Nothing is written to the log before `carry_out`.
"""

import json
import sqlite3
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from petition.outbox.log import Log
from petition.outbox.records import FrozenLetter
from petition.outbox.states import Reason, State


class Mode(StrEnum):
    """For whom a send is meant."""

    CONTINUE = "continue"  # for those who have no copy yet
    REVISE = "revise"  # the new text, for those who are not sent, bounced or uncertain
    AGAIN = "again"  # for everyone


class Action(StrEnum):
    """What a send does for one row of the list."""

    NEW = "new"  # queue a copy
    ANOTHER = "another"  # queue a copy in this revision; the earlier one stays as it is
    REPLACED = "replaced"  # queue a copy in this revision in place of one that waits
    RETURNED = "returned"  # was removed from the list and is back: queue it again
    REFRESHED = "refreshed"  # waits, was never attempted, and its row has changed
    WAITING = "waiting"  # waits already
    HAS_IT = "has-it"  # sent, bounced or uncertain
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
class ListedRow:
    """One row of a list.

    Args:
        fields: Its merge fields.
        chosen: Whether this send is for it.
        excluded: Why the list itself says not to write to it, or "".
    """

    mailbox: str
    name: str
    language: str
    row_id: str
    file: str
    line: int
    fields: Mapping[str, str]
    chosen: bool
    excluded: str = ""


@dataclass(frozen=True, slots=True)
class Comparison:
    """What a send would do: how many chosen rows of each action, and how many copies are gone.

    Args:
        gone: Copies that wait for somebody who is no longer on the list.
        excluded: How many chosen rows the list itself excludes, by reason.
    """

    letter: str
    revision: int
    mode: Mode
    actions: dict[Action, int]
    gone: int
    excluded: Mapping[str, int] = field(default_factory=dict)

    def __getitem__(self, action: Action) -> int:
        return self.actions.get(action, 0)

    @property
    def to_send(self) -> int:
        """How many copies there are to send."""
        return sum(self[action] for action in TO_SEND)


class Listing:
    """A letter's list beside the log.

    Args:
        log: The log.
        letter: The letter's name.
    """

    def __init__(self, log: Log, letter: str) -> None:
        self._log = log
        self._database = log.database
        self._letter = letter

    def stage(self, rows: Iterable[ListedRow]) -> None:
        """Lay the rows of the list beside the log; no two of one mailbox."""
        with self._database.transaction(temporary=True):
            self._database.run("stage_drop")
            self._database.run("stage_table")
            self._database.run_many("stage", _staged(rows))
            self._database.run("stage_index")

    def compare(self, revision: int, mode: Mode, limit: int | None = None) -> Comparison:
        """Say what is to be done.

        Args:
            revision: The revision that is to be sent.
            mode: For whom.
            limit: Choose only the first so many rows that there is something to send to.
        """
        values = {"letter": self._letter, "revision": revision, "mode": mode}
        with self._database.transaction(temporary=True):
            self._database.run("compare", values)
            if limit is not None:
                self._database.run("choose_first", {"limit": limit})
        actions = {Action(row[0]): row[1] for row in self._database.all("count_actions")}
        gone = self._database.one("gone", {"letter": self._letter})
        excluded = {row[0]: row[1] for row in self._database.all("count_excluded")}
        return Comparison(self._letter, revision, mode, actions, gone[0] if gone else 0, excluded)

    def to_send(self) -> Iterator[ListedRow]:
        """The chosen rows that there is something to send to, in the order of the list."""
        yield from map(_listed, self._database.each("chosen_persons"))

    def first(self) -> ListedRow | None:
        """The first chosen row that is not excluded, whatever there is to do for it."""
        row = self._database.one("first_chosen")
        return _listed(row) if row else None

    def carry_out(
        self, comparison: Comparison, campaign_id: str, freeze: FrozenLetter | None
    ) -> None:
        """Do it: one transaction, so that a crash leaves all of it or nothing.

        Args:
            comparison: What `compare` said.
            campaign_id: The campaign's id, which is fixed from now on.
            freeze: The letter, where this revision is new.
        """
        letter, now = self._letter, self._log.now
        with self._database.transaction():
            self._database.run("set_meta", {"name": "campaign", "value": campaign_id})
            if freeze:
                self._freeze(freeze)
            self._remove_gone()
            self._exclude()
            self._replace()
            row = self._database.one("last_copy")
            self._database.run(
                "enqueue", {"letter": letter, "revision": comparison.revision, "now": now}
            )
            self._database.run("log_enqueued", {"last": row[0] if row else 0, "now": now})
            self._choose()

    def states(self) -> dict[State, int]:
        """How many of the chosen rows have a copy in each state."""
        rows = self._database.all("chosen_states", {"letter": self._letter})
        return {State(row[0]): row[1] for row in rows}

    def _freeze(self, freeze: FrozenLetter) -> None:
        self._database.run(
            "freeze",
            {
                "letter": freeze.letter,
                "revision": freeze.revision,
                "hash": freeze.hash,
                "content_hash": freeze.content_hash,
                "document": freeze.document,
                "now": self._log.now,
            },
        )

    def _remove_gone(self) -> None:
        values = {"letter": self._letter, "now": self._log.now, "reason": Reason.REMOVED}
        self._database.run("log_gone", values)
        self._database.run("remove_gone", values)

    def _exclude(self) -> None:
        now = self._log.now
        self._database.run("log_excluded", {"now": now})
        self._database.run("suppress_excluded", {"now": now})

    def _replace(self) -> None:
        now = self._log.now
        self._database.run("log_replaced", {"now": now, "reason": Reason.REPLACED})
        self._database.run("suppress_replaced", {"now": now, "reason": Reason.REPLACED})
        self._database.run("outdate")
        self._database.run("refresh", {"now": now})
        self._database.run("log_returned", {"now": now})
        self._database.run("return", {"now": now})

    def _choose(self) -> None:
        self._database.run("chosen_drop")
        self._database.run("chosen_table")
        self._database.run("choose", {"letter": self._letter})


def _listed(row: sqlite3.Row) -> ListedRow:
    return ListedRow(
        mailbox=row["mailbox"],
        name=row["name"],
        language=row["language"],
        row_id=row["row_id"],
        file=row["file"],
        line=row["line"],
        fields=json.loads(row["fields"]),
        chosen=True,
    )


def _staged(rows: Iterable[ListedRow]) -> Iterator[dict[str, object]]:
    for position, row in enumerate(rows, 1):
        yield {
            "position": position,
            "mailbox": row.mailbox,
            "name": row.name,
            "language": row.language,
            "row_id": row.row_id,
            "file": row.file,
            "line": row.line,
            # Sorted, so that two columns that changed places are no change of the row.
            "fields": json.dumps(row.fields, ensure_ascii=False, sort_keys=True),
            "chosen": int(row.chosen),
            "excluded": row.excluded,
        }
