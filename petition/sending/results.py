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

    The seconds are between two letters to the provider, or until the server is tried again; 0
    if the server refuses commands that are pipelined after a final dot.
    """

    domain: str  # the provider that asked for it; "": the server itself
    said: str  # the reply, or what happened
    seconds: float


@dataclass(slots=True)
class RunResult:
    """How a run ended."""

    trouble: OpeningTrouble | None = None  # the server could not be reached or refused the login
    broken: str | None = None  # it kept closing connections: how
    refused: str | None = None  # its reply to the message, five times in a row
    unknown: str | None = None  # its reply to recipients, too often to be true of all
    capped: datetime | None = None  # the daily cap is reached: when the next letter may go
    closed: datetime | None = None  # outside the sending hours: when they begin
    hindrance: PetitionError | None = None  # why the last hindered copy could not be built here
    hindered: int = 0  # copies that could not be built here, and wait
    is_hindered: bool = False  # they were too many, and ended the run
    log_fault: LogUnusable | None = None  # the log could no longer be written
    stopped: bool = False  # by a person, or by a worker because the letter's settings changed
    clock_was_ahead: bool = False  # letters were counted by a clock over a day ahead
    # Recipients in cc or bcc that the server refused, of letters that were sent.
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
