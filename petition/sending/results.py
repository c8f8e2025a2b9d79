"""What a run tells of itself: what became of each copy, and how it ended."""

from dataclasses import dataclass, field
from datetime import datetime
from typing import NamedTuple

from petition.errors import LogUnusable, PetitionError
from petition.outbox.models import Copy
from petition.outbox.states import State
from petition.smtp.login import OpeningTrouble
from petition.smtp.replies import Reply


class CopyResult(NamedTuple):
    """What became of one copy, for whoever watches the run."""

    copy: Copy
    state: State
    reason: str


class Wait(NamedTuple):
    """A run waits and then goes on.

    Args:
        until: Until when.
        is_for_server: For a server that could not be reached or kept breaking off.
    """

    until: datetime
    is_for_server: bool


class Slowed(NamedTuple):
    """Letters go more slowly than they could.

    Args:
        domain: The provider that asked for it, alone; "": the trouble is the server's.
        said: What was said, or what happened.
        seconds: Between two letters to the provider, or until the server is tried again. 0: the
            server refuses the next letter's commands where they come with a final dot.
    """

    domain: str
    said: str
    seconds: float


@dataclass(slots=True)
class RunResult:
    """How a run ended.

    Args:
        trouble: The server could not be reached or refused the login.
        broken: It was reached and kept breaking off; how.
        refused: What the server said of the message, five times in a row.
        unknown: What it said of recipients, too often to be true of all of them.
        capped: The daily cap is reached; when it frees the first letter.
        closed: The sending window is closed; when it opens.
        hindrance: Why a copy could not be put together on this machine, for the last one.
        hindered: How many could not, and wait.
        is_hindered: They were too many, and ended the run.
        log_fault: The log could no longer be written.
        stopped: Somebody asked for the end: a person, or a worker whose letter has another pace.
        clock_was_ahead: Letters were counted by a clock that was more than a day ahead.
        also_refused: The copies (cc, bcc) of letters that went out which the server refused.
    """

    trouble: OpeningTrouble | None = None
    broken: str | None = None
    refused: str | None = None
    unknown: str | None = None
    capped: datetime | None = None
    closed: datetime | None = None
    hindrance: PetitionError | None = None
    hindered: int = 0
    is_hindered: bool = False
    log_fault: LogUnusable | None = None
    stopped: bool = False
    clock_was_ahead: bool = False
    also_refused: list[tuple[str, Reply]] = field(default_factory=list)

    @property
    def is_over(self) -> bool:
        """Whether no further letter is to be begun."""
        return bool(
            self.stopped
            or self.trouble
            or self.broken
            or self.refused
            or self.unknown
            or self.capped
            or self.closed
            or self.is_hindered
            or self.log_fault
        )

    @property
    def is_final(self) -> bool:
        """Whether nothing would go better later by itself."""
        return bool(
            self.stopped
            or self.refused
            or self.unknown
            or self.is_hindered
            or self.log_fault
            or (self.trouble and not self.trouble.is_passing)
        )
