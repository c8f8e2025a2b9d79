"""What a run reports: what became of each copy, and how it ended."""

from dataclasses import dataclass, field
from datetime import datetime
from typing import NamedTuple

from petition.errors import LogUnusable, PetitionError
from petition.outbox.models import Copy
from petition.outbox.states import State
from petition.smtp.login import OpeningTrouble
from petition.smtp.replies import Reply


class CopyResult(NamedTuple):
    """What became of one copy."""

    copy: Copy
    state: State
    reason: str


class Wait(NamedTuple):
    """A run waits and then continues."""

    until: datetime
    is_for_server: bool  # which could not be reached or kept closing connections


class Slowed(NamedTuple):
    """Letters go more slowly than they could.

    Args:
        domain: The provider that asked for it; "": the server itself.
        said: The reply, or what happened.
        seconds: Between two letters to the provider, or until the server is tried again. 0: the
            server refuses commands that are pipelined behind a final dot.
    """

    domain: str
    said: str
    seconds: float


@dataclass(slots=True)
class RunResult:
    """How a run ended.

    Args:
        trouble: The server could not be reached or refused the login.
        broken: It was reached and kept closing connections: how.
        refused: Its reply to the message, five times in a row.
        unknown: Its reply to recipients, too often to be true of all of them.
        capped: The daily cap is reached: when it allows the next letter.
        closed: It is outside the sending hours: when they begin.
        hindrance: Why the last of the hindered copies could not be put together on this machine.
        hindered: How many could not, and wait.
        is_hindered: They were too many, and ended the run.
        log_fault: The log could no longer be written.
        stopped: By a person, or by a worker because the letter has other settings now.
        clock_was_ahead: Letters were counted by a clock that was more than a day ahead.
        also_refused: Recipients in cc or bcc that the server refused, of letters that were sent.
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
        """Whether waiting would not help."""
        return bool(
            self.stopped
            or self.refused
            or self.unknown
            or self.is_hindered
            or self.log_fault
            or (self.trouble and not self.trouble.is_passing)
        )
