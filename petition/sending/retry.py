"""When a deferred letter is tried again: [pace] retry and give_up, else as Postfix does it.

The defaults are the steps of its queue manager (postconf(5), *_backoff_time).
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Self

from petition.campaign.pace import PaceSettings
from petition.outbox.states import GIVE_UP

_MINUTES = (5, 10, 20, 40, 67)


@dataclass(frozen=True, slots=True)
class RetrySchedule:
    """Waits longer after every attempt, and gives up after some days."""

    waits: tuple[timedelta, ...] = tuple(timedelta(minutes=minutes) for minutes in _MINUTES)
    give_up: timedelta = GIVE_UP  # after the first attempt

    @classmethod
    def of(cls, settings: PaceSettings) -> Self:
        """The schedule that [pace] of petition.toml asks for."""
        usual = cls()
        return cls(settings.retry or usual.waits, settings.give_up or usual.give_up)

    @property
    def longest(self) -> timedelta:
        """The longest wait."""
        return max(self.waits)

    @property
    def given_up_after(self) -> str:
        """`give_up` in words."""
        for unit, length in (("day", 86400), ("hour", 3600), ("minute", 60), ("second", 1)):
            number, rest = divmod(round(self.give_up.total_seconds()), length)
            if number and not rest:
                return f"{number} {unit}{'' if number == 1 else 's'}"
        return str(self.give_up)

    def due(self, attempts: int, first: datetime, now: datetime) -> datetime | None:
        """When to try again."""
        if now - first >= self.give_up:
            return None
        return now + self.waits[min(attempts, len(self.waits) - 1)]
