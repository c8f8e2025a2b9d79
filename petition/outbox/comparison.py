"""What a send would do, counted: one action for each row of the list."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from petition.outbox.states import Mode


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
    """What a send would do: how many chosen rows of each action, and how many copies are gone.

    Args:
        limit: Only the first so many rows that there is something to send to; None: all.
        at: When it was made, as the log keeps it: what is due is judged by that time.
        gone: Copies that wait for somebody who is no longer on the list.
        newly_excluded: Copies that wait for somebody whom the list has come to exclude.
        as_queued: Copies that go out as they were queued, though the list has changed since.
        due_at: When the first of the deferred copies is due.
        excluded: How many chosen rows the list itself excludes, by reason.
    """

    letter: str
    revision: int
    mode: Mode
    limit: int | None
    at: str
    actions: dict[Action, int]
    gone: int = 0
    newly_excluded: int = 0
    as_queued: int = 0
    due_at: datetime | None = None
    excluded: Mapping[str, int] = field(default_factory=dict)

    def __getitem__(self, action: Action) -> int:
        return self.actions.get(action, 0)

    def has_any(self, *actions: Action) -> bool:
        """Whether one of some actions is to be done for anybody."""
        return any(map(self.__getitem__, actions))

    @property
    def to_send(self) -> int:
        """How many copies there are to send."""
        return sum(self[action] for action in TO_SEND)

    @property
    def waiting(self) -> int:
        """The same with those that are not due yet."""
        return self.to_send + self[Action.DEFERRED]

    def is_within(self, shown: "Comparison") -> bool:
        """Whether no more comes of it than of another that was shown before.

        What workers do meanwhile makes fewer letters of it: a copy that waited is in hand, sent,
        put off or failed. Where a limit chooses and others would move up, nobody was shown them.

        Args:
            shown: The other.
        """
        return (
            self.waiting <= shown.waiting
            and all(self[action] <= shown[action] for action in (Action.NEW, Action.RETURNED))
            and self.gone <= shown.gone
            and self.newly_excluded <= shown.newly_excluded
        )
