"""The moments at which letters may go, as far apart as a rate asks, and how one is handed back."""

import bisect
from collections import deque
from contextlib import suppress
from typing import NamedTuple

from petition.campaign.settings import Rate

# By so much one letter may take longer to the server than another, and still be no letter too many.
MARGIN_SECONDS = 0.01


class Turns:
    """Moments that lie at least an interval apart; a gap between two that are taken may be used.

    One that was handed back may be used although it is past, so that a letter that is late by the
    time of opening a connection does not make those after it later.

    Args:
        interval: Seconds.
    """

    def __init__(self, interval: float) -> None:
        self.interval = interval
        self._taken: list[float] = []
        self._handed_back: float | None = None

    def first_from(self, moment: float) -> float:
        """The first free moment that is not before this one, or the one that was handed back."""
        if self._handed_back is not None and self._handed_back <= moment:
            return self._handed_back
        return self.free_from(moment)

    def free_from(self, moment: float) -> float:
        """The first free moment that is not before this one, whatever was handed back."""
        for taken in self._taken:
            if moment + self.interval <= taken:
                break
            moment = max(moment, taken + self.interval)
        return moment

    def take(self, moment: float) -> "Taken":
        """Use a free moment."""
        self._handed_back = None
        if self.interval:
            bisect.insort(self._taken, moment)
        return Taken(self, moment)

    def hand_back(self, moment: float, now: float) -> None:
        """Free a moment that was taken; nobody has it any more where another came after it."""
        place = bisect.bisect_left(self._taken, moment)
        if place == len(self._taken) or self._taken[place] != moment:
            return
        del self._taken[place]
        if place == bisect.bisect_right(self._taken, now):
            self._handed_back = moment

    def forget(self, now: float) -> None:
        """Drop the moments that lie an interval back and bar no other."""
        del self._taken[: bisect.bisect_right(self._taken, now - self.interval)]
        if self._handed_back is not None and self._handed_back <= now - self.interval:
            self._handed_back = None


class Window:
    """One letter more than the rate in its time, by when they went and not by the schedule.

    Of letters that keep to the schedule none has to wait here, up to a hundred a second; above that
    the margin takes up to a hundredth off the rate.

    Args:
        rate: The rate.
    """

    def __init__(self, rate: Rate) -> None:
        self._seconds = rate.seconds + MARGIN_SECONDS
        self._gone: deque[float] = deque(maxlen=rate.count + 1)

    def left(self, now: float) -> float:
        """How many seconds the next letter has to wait."""
        if len(self._gone) < (self._gone.maxlen or 0):
            return 0.0
        return self._gone[0] + self._seconds - now

    def take(self, moment: float) -> "Taken":
        """A letter goes."""
        self._gone.append(moment)
        return Taken(self, moment)

    def hand_back(self, moment: float, now: float) -> None:
        """It did not go after all."""
        del now
        with suppress(ValueError):  # so many went after it that it is forgotten
            self._gone.remove(moment)


class Taken(NamedTuple):
    """A moment, and of which moments it is one."""

    of: Turns | Window
    moment: float


class Turn(NamedTuple):
    """A letter's turn.

    Args:
        taken: The moments that it took, in that order.
        buckets: The names of the buckets that it took a turn from (shared_pace.py).
    """

    taken: tuple[Taken, ...] = ()
    buckets: tuple[str, ...] = ()

    def hand_back(self, now: float) -> None:
        """Free its moments, the last first: one of them may bar another.

        Args:
            now: The moment of now.
        """
        for each in reversed(self.taken):
            each.of.hand_back(each.moment, now)
