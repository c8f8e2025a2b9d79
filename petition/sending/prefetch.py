"""The next copies of a run, read a few ahead."""

import asyncio
import math
from collections import deque
from collections.abc import Callable, Sequence
from datetime import timedelta

from petition.outbox.models import Copy
from petition.outbox.run import Run
from petition.outbox.states import State
from petition.sending.circuit_breaker import RunResult
from petition.sending.rate_limit import NO_CAP
from petition.sending.route import Route

# Copies read ahead for each connection: few in a slow run, which others may help.
AHEAD = 8
AHEAD_WHEN_PACED = 2
_SHARE = 20  # once a daily cap is reached, waiting is worth it for this part of it
HELD = 64  # copies of one provider that wait while others go past them


class Prefetch:
    """The next copies of a run; it ends the run where a daily cap is reached.

    A copy goes to `recipients_each` mailboxes as a rule; `recipients_of` counts those of one.
    """

    def __init__(
        self,
        run: Run,
        route: Route,
        recipients_each: int,
        recipients_of: Callable[[Copy], int],
        result: RunResult,
    ) -> None:
        self._run = run
        self._route = route
        self._each = recipients_each
        self._recipients_of = recipients_of
        self._result = result
        self._pace = route.pace
        self._next: deque[Copy] = deque()
        self._held: dict[str, deque[Copy]] = {}
        self._aside: set[int] = set()  # ids, until the end of this run
        self._is_dry = False  # the last look found nothing
        # Those that were read and are not yet recorded: recipients under a daily cap, by the id.
        self._unfinished: dict[int, int] = {}
        self._fetching = asyncio.Lock()
        self._ahead: asyncio.Task[None] | None = None
        self._fault: Exception | None = None
        each = AHEAD if route.pace.is_free else AHEAD_WHEN_PACED
        connections = min(route.server.connections, route.pace.connections)
        self._batch = each * connections
        self._past = 0  # the last queued copy that was read
        self._full: list[str] = []
        self._days_before: tuple[str, int] = ("", 0)  # at an hour, how many

    def take(self) -> Copy | None:
        """The next copy, if one was read; those whose provider is slowed down let others pass."""
        if self._held and (copy := self._first_held(0.0)):
            return copy
        while self._next:
            copy = self._next.popleft()
            self._fetch_ahead()
            if not self._is_held(copy):
                return copy
        if self._is_dry:
            return self._first_held(math.inf)
        return None

    def _is_held(self, copy: Copy) -> bool:
        """Whether a copy waits only for its provider; it is then held back."""
        if self._pace.is_free_for_all:
            return False
        domain = copy.domain
        if not self._pace.is_paused(domain) and self._pace.own_delay(domain) <= 0:
            return False
        self._held.setdefault(domain, deque()).append(copy)
        return True

    def _first_held(self, seconds: float) -> Copy | None:
        """The held copy whose turn is next, if it comes within so many seconds."""
        delays = {domain: self._pace.own_delay(domain) for domain in self._may_go()}
        first = min(delays, key=delays.__getitem__, default=None)
        if first is None or delays[first] > seconds:
            return None
        copy = self._held[first].popleft()
        if not self._held[first]:
            del self._held[first]
        return copy

    def _may_go(self) -> list[str]:
        return [domain for domain in self._held if not self._pace.is_paused(domain)]

    async def _fetch(self, batch: int) -> list[Copy]:
        """The next copies, except to domains of which enough are held already."""
        held = (domain for domain, copies in self._held.items() if len(copies) >= HELD)
        full = sorted({*held, *self._pace.paused})
        if full != self._full:
            self._full, self._past = full, 0
        known = self._unfinished.keys() | self._aside
        found = await self._run.fetch(batch, full=full, past=self._past, known=known)
        if self._past and not found:  # those before may have been queued again
            self._past = 0
            found = await self._run.fetch(batch, full=full, known=known)
        self._past = max(
            (copy.id for copy in found if copy.state is State.QUEUED), default=self._past
        )
        return found

    def _fetch_ahead(self) -> None:
        if len(self._next) <= self._batch // 2 and self._ahead is None and not self._is_dry:
            self._ahead = asyncio.create_task(self._fetch_more())

    def give_back(self, copy: Copy) -> None:
        """Return a copy that was taken and not begun."""
        if self._pace.is_spaced(copy.domain):
            self._held.setdefault(copy.domain, deque()).appendleft(copy)  # it is the next one there
        else:
            self._next.appendleft(copy)

    def put_aside(self, copy: Copy) -> None:
        """Leave a copy that was taken out of this run."""
        self._aside.add(copy.id)
        self._unfinished.pop(copy.id, None)

    def note_recorded(self, copy: Copy) -> None:
        """A copy that was taken is recorded."""
        self._unfinished.pop(copy.id, None)

    async def has_more(self) -> bool:
        """Whether there is a copy to take, after reading some if there was none."""
        async with self._fetching:
            if self._fault:
                raise self._fault
            return bool(self._next) or await self._fetch_some() or bool(self._may_go())

    async def room(self) -> int:
        """How many letters may go now, with those that were read; NO_CAP without a daily cap."""
        room = await self._room_under_cap()
        return NO_CAP if room is None else len(self._unfinished) + room // self._each

    async def forget_all(self) -> None:
        """Forget all that was read and not sent, at the end of a run: it waits as before."""
        async with self._fetching:
            self._next.clear()
            self._held.clear()
            self._unfinished.clear()
            self._aside.clear()
            self._past = 0

    async def _fetch_more(self) -> None:
        try:
            async with self._fetching:
                await self._fetch_some()
        except Exception as fault:  # noqa: BLE001 (it is raised again where more is asked for)
            self._fault = fault
        finally:
            self._ahead = None

    async def _fetch_some(self) -> bool:
        batch = self._batch
        if (room := await self._room_under_cap()) is not None:
            batch = min(batch, room // self._each)
        if batch < 1 or self._result.is_over:
            self._is_dry = True
            return False
        found = await self._fetch(batch)
        if room is None:
            read = dict.fromkeys((copy.id for copy in found), 0)
        else:
            read = self._fitting(found, room)
            if found and not read:
                await self._wait_for_room(self._recipients_of(found[0]))
        self._next.extend(found[: len(read)])
        self._unfinished |= read
        self._is_dry = not read
        return bool(read)

    def _fitting(self, found: Sequence[Copy], room: int) -> dict[int, int]:
        """How many recipients each of the first copies has that may go under a daily cap."""
        fitting: dict[int, int] = {}
        for copy in found:
            recipients = self._recipients_of(copy)
            room -= recipients
            if room < 0:
                break
            fitting[copy.id] = recipients
        return fitting

    async def _cap(self, login: str) -> int | None:
        if not self._pace.warm_up:
            return self._pace.per_day
        hour = f"{self._run.now:%Y-%m-%d %H:%M}"[:-1]  # counting a million attempts takes a while
        if hour != self._days_before[0]:
            self._days_before = hour, await self._run.ask(lambda log: log.days_before(login))
        return self._pace.cap(self._days_before[1])

    async def _room_under_cap(self) -> int | None:
        """How many recipients are left, apart from those of the copies that were read."""
        login = self._route.login
        cap = await self._cap(login)
        if cap is None:
            return None
        if await self._run.ask(lambda log: log.count_from_now(login)):
            self._result.clock_was_ahead = True
        spent, _ = await self._run.ask(lambda log: log.spent(login))
        room = cap - spent - sum(self._unfinished.values())
        if room < self._each:
            await self._wait_for_room()
            return 0
        return room

    async def _wait_for_room(self, least: int = 0) -> None:
        """End the run until there is room for some copies, once all that were read are recorded."""
        if self._unfinished:
            return
        login = self._route.login
        cap = await self._cap(login) or 0
        worthwhile = max(1, cap // self._each // _SHARE)
        if waiting := await self._run.waiting(worthwhile):
            spent, _ = await self._run.ask(lambda log: log.spent(login))
            needed = spent - cap + max(least, self._each * waiting)
            leaves = await self._run.ask(lambda log: log.frees(login, needed))
            self._result.capped = (leaves or self._run.now) + timedelta(hours=24)
