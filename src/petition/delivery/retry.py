"""When a deferred letter is tried again: the schedule of Postfix (postconf(5), *_backoff_time)."""

from dataclasses import dataclass
from datetime import datetime, timedelta

_MINUTES = (5, 10, 20, 40, 67)


@dataclass(frozen=True, slots=True)
class RetrySchedule:
    """Waits longer after every attempt, and gives up after some days.

    Args:
        waits: After the first attempt, the second and so on; the last one repeats.
        give_up: How long after the first attempt a letter that is still deferred fails.
    """

    waits: tuple[timedelta, ...] = tuple(timedelta(minutes=minutes) for minutes in _MINUTES)
    give_up: timedelta = timedelta(days=5)

    @property
    def days(self) -> int:
        """`give_up` in whole days."""
        return self.give_up.days

    def due(self, attempts: int, first: datetime, now: datetime) -> datetime | None:
        """When to try again.

        Args:
            attempts: How many attempts there were before the one that was just deferred.
            first: When the first attempt was made.
            now: The time.

        Returns:
            The time of the next attempt, or None where it is to be given up.
        """
        if now - first >= self.give_up:
            return None
        return now + self.waits[min(attempts, len(self.waits) - 1)]
