"""The copies that a run has in hand: claimed a few ahead, and given out one by one."""

import asyncio
from collections import deque
from datetime import timedelta

from petition.delivery.ending import Ending
from petition.delivery.route import Route
from petition.outbox.records import Copy
from petition.outbox.run import Run

# Copies in hand for each connection. What is in hand cannot be withdrawn, so a slow run has few.
AHEAD = 8
AHEAD_WHEN_PACED = 2


class Supply:
    """What comes next.

    Args:
        run: Claims copies.
        route: Its pace and login say how many there may be today.
        recipients_each: To how many mailboxes a copy goes, at most.
        ending: How the run ends; a daily cap that is reached ends it.
    """

    def __init__(self, run: Run, route: Route, recipients_each: int, ending: Ending) -> None:
        self._run = run
        self._route = route
        self._each = recipients_each
        self._ending = ending
        self._in_hand: deque[Copy] = deque()
        self._unfinished = 0  # claimed, and not yet recorded
        self._claiming = asyncio.Lock()
        self._ahead: asyncio.Task[None] | None = None
        self._fault: Exception | None = None
        each = AHEAD if route.pace.is_free else AHEAD_WHEN_PACED
        self._batch = each * min(route.server.connections, route.pace.connections)

    def take(self) -> Copy | None:
        """The next copy in hand, if there is one; more are claimed meanwhile."""
        if not self._in_hand:
            return None
        copy = self._in_hand.popleft()
        if len(self._in_hand) == self._batch // 2 and self._ahead is None:
            self._ahead = asyncio.create_task(self._claim_more())
        return copy

    def give_back(self, copy: Copy) -> None:
        """Put a copy back that was taken and not begun."""
        self._in_hand.appendleft(copy)

    def note_recorded(self) -> None:
        """A copy that was taken is recorded."""
        self._unfinished -= 1

    async def has_more(self) -> bool:
        """Whether a copy is in hand, after claiming some where there was none.

        Raises:
            LogUnusable: The log cannot be written.
        """
        async with self._claiming:
            if self._fault:
                raise self._fault
            return bool(self._in_hand) or await self._claim()

    async def take_all(self) -> list[Copy]:
        """What is still in hand at the end of a run."""
        async with self._claiming:
            left = list(self._in_hand)
            self._in_hand.clear()
            self._unfinished -= len(left)
            return left

    async def _claim_more(self) -> None:
        try:
            async with self._claiming:
                await self._claim()
        except Exception as fault:  # noqa: BLE001 (it is raised again where more is asked for)
            self._fault = fault
        finally:
            self._ahead = None

    async def _claim(self) -> bool:
        batch = self._batch
        if (room := await self._room_under_cap()) is not None:
            batch = min(batch, room)
        if batch < 1 or self._ending.is_over:
            return False
        claimed = await self._run.claim(batch)
        self._in_hand.extend(claimed)
        self._unfinished += len(claimed)
        return bool(claimed)

    async def _room_under_cap(self) -> int | None:
        cap = self._route.pace.per_day
        if cap is None:
            return None
        spent, oldest = await self._run.spent(self._route.login)
        room = (cap - spent) // self._each - self._unfinished
        if room < 1 and self._unfinished == 0 and await self._run.has_waiting():
            self._ending.capped = (oldest or self._run.now) + timedelta(hours=24)
        return max(room, 0)
