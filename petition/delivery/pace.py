"""When the next letter may go: [pace] of petition.toml.

Rates are kept by strict spacing: 10/s is one letter every 100 ms, and what was missed while nothing
was sent is not made up for. A turn is given by the schedule and not by when its letter woke up, so
that late wake-ups do not add up to a slower rate. Letters that were late do not go together either:
neither their beginnings nor their dots are more than the rate and one in the time that it is for.
"""

import asyncio
import math
import sys
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta, tzinfo
from zoneinfo import ZoneInfo

from petition.campaign.settings import Between, Rate
from petition.campaign.settings import Pace as PaceSettings
from petition.delivery.providers import domains_of, provider_of
from petition.delivery.turns import Taken, Turn, Turns, Window

NO_CAP = sys.maxsize
# How long a slow server takes for one letter: more connections than that keeps busy would only
# stand idle until the server closes them.
LETTER_SECONDS = 3
# A connection on which nothing would be said for longer is closed: many servers, and the routers on
# the way to them, drop one that is idle, some of these without a word.
IDLE_SECONDS = 30.0
# Between two letters to a provider that said "not so fast": at first, and at the most.
SLOWED_SECONDS = 1.0
SLOWEST_SECONDS = 64.0
# Refusals by a provider's policy in a row after which no more letters go there in this run: each of
# them would fail, and speak against the sender.
POLICY_REFUSALS = 5


@dataclass(frozen=True, slots=True)
class Closed:
    """No letter may go now.

    Args:
        opens_at: When letters may go again, in the campaign's time zone.
    """

    opens_at: datetime


@dataclass(frozen=True, slots=True)
class Clock:
    """Tells the time and waits; a test has one of its own.

    Args:
        now: The time of day, aware.
        monotonic: Seconds from any beginning, which nobody can set back.
        sleep: Waits for so many seconds.
    """

    now: Callable[[], datetime] = field(default=lambda: datetime.now(UTC))
    monotonic: Callable[[], float] = time.monotonic
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep


class Pace:
    """Gives every letter its turn; several connections may wait at the same time.

    Args:
        settings: [pace] of petition.toml.
        timezone: That of the campaign, for `between`.
        clock: What tells the time.
    """

    def __init__(
        self, settings: PaceSettings, timezone: tzinfo, clock: Clock | None = None
    ) -> None:
        self._clock = clock or Clock()
        self._slowed: dict[str, Turns] = {}  # by provider
        self._refusals: dict[str, int] = {}  # in a row, by provider
        self._paused: set[str] = set()
        self.keep_to(settings, timezone)

    def keep_to(self, settings: PaceSettings, timezone: tzinfo) -> None:
        """Go by these settings from now on; what providers have asked for holds on.

        Args:
            settings: [pace] of petition.toml.
            timezone: That of the campaign, for `between`.
        """
        self.per_day = settings.per_day
        self.warm_up = settings.warm_up or ()
        self._rate = settings.rate
        self._timezone = timezone
        self._between = settings.between
        self._all = Turns(settings.rate.interval if settings.rate else 0.0)
        self._begun = Window(settings.rate) if settings.rate else None
        self._ended = Window(settings.rate) if settings.rate else None
        self._domains = _turns_of(settings.per_domain)

    @classmethod
    def of(cls, settings: PaceSettings | None, timezone: str, clock: Clock | None = None) -> "Pace":
        """The pace of a campaign.

        Args:
            settings: [pace] of petition.toml; None: as fast as it goes, at any time.
            timezone: The name of a zone, such as "Asia/Almaty".
            clock: What tells the time.
        """
        return cls(settings or PaceSettings(), ZoneInfo(timezone), clock)

    @property
    def connections(self) -> int:
        """How many connections can be of use at this rate."""
        if self._rate is None:
            return NO_CAP
        return max(1, math.ceil(LETTER_SECONDS * self._rate.count / self._rate.seconds))

    @property
    def is_free(self) -> bool:
        """Whether letters may go at any time, as fast as they can; but for single domains."""
        return self._rate is None and self._between is None

    @property
    def is_free_for_all(self) -> bool:
        """Whether no letter need wait for its turn, wherever it goes."""
        return self.is_free and not (self._domains or self._slowed or self._paused)

    def is_free_for(self, domain: str) -> bool:
        """Whether a letter need not wait for its turn.

        Args:
            domain: Where the letter goes to, in lower case.
        """
        return self.is_free and not (self.is_spaced(domain) or self.is_paused(domain))

    def delay(self, domain: str) -> float:
        """How many seconds a letter would wait for its turn now.

        Args:
            domain: Where the letter goes to, in lower case.
        """
        now = self._clock.monotonic()
        return self._first(now, domain, self._all) - now

    def own_delay(self, domain: str) -> float:
        """How many seconds of its delay a letter would wait for its domain and provider alone.

        Args:
            domain: Where the letter goes to, in lower case.
        """
        now = self._clock.monotonic()
        return self._first(now, domain, Turns(0.0)) - now  # as if all others were free

    def is_spaced(self, domain: str) -> bool:
        """Whether letters to a domain wait for it or its provider, beside what all wait for.

        Args:
            domain: Where the letter goes to, in lower case.
        """
        return bool(self._turns_for(domain))

    def slow_down(self, domain: str) -> None:
        """A provider said that letters come too fast: those to it alone are spaced, ever wider.

        Args:
            domain: The provider's, in lower case.
        """
        provider = provider_of(domain)
        turns = self._slowed.get(provider)
        if turns is None:
            turns = self._slowed[provider] = Turns(SLOWED_SECONDS / 2)
        turns.interval = min(2 * turns.interval, SLOWEST_SECONDS)
        turns.take(self._clock.monotonic())

    def hold_slowed(self) -> None:
        """All have rested, for what somebody said: who is slowed is not due by that."""
        now = self._clock.monotonic()
        for turns in self._slowed.values():
            turns.take(now)

    def ease(self, domain: str) -> None:
        """A letter to a provider that was slowed down went well.

        Args:
            domain: The provider's, in lower case.
        """
        provider = provider_of(domain)
        self._refusals.pop(provider, None)
        if turns := self._slowed.get(provider):
            turns.interval /= 2
            if turns.interval <= SLOWED_SECONDS / 2:
                del self._slowed[provider]

    def refused_by_policy(self, domain: str) -> bool:
        """A provider refused a letter by its policy; after several in a row it gets no more.

        Args:
            domain: The provider's, in lower case.

        Returns:
            Whether that was the one too many.
        """
        provider = provider_of(domain)
        self._refusals[provider] = self._refusals.get(provider, 0) + 1
        if self._refusals[provider] < POLICY_REFUSALS or provider in self._paused:
            return False
        self._paused.add(provider)
        return True

    def is_paused(self, domain: str) -> bool:
        """Whether no more letters go to a domain in this run."""
        return bool(self._paused) and provider_of(domain) in self._paused

    @property
    def paused(self) -> set[str]:
        """The domains that no more letters go to in this run."""
        return {domain for provider in self._paused for domain in domains_of(provider)}

    def cap(self, days: int) -> int | None:
        """How many recipients there may be in 24 hours; None: as many as there are.

        Args:
            days: On how many days before letters went out under this login.
        """
        if days >= len(self.warm_up):
            return self.per_day
        return min(self.warm_up[days], self.per_day or NO_CAP)

    def opens_at(self) -> datetime | None:
        """When letters may go again, in the campaign's time zone; None if they may go now."""
        return self._opens_after(self._clock.now())

    async def wait(self, domain: str) -> Turn | Closed:
        """Wait for a letter's turn.

        Args:
            domain: Where the letter goes to, in lower case.

        Returns:
            Its turn when the letter may go; Closed, at once, when that would come outside the hours
            of `between`.
        """
        now = self._clock.monotonic()
        at = self._first(now, domain, self._all)
        # One that was handed back is past, and the letter goes now.
        moment = self._clock.now() + timedelta(seconds=max(0.0, at - now))
        if opens_at := self._opens_after(moment):
            return Closed(opens_at)
        taken = self._take(at, domain)
        if at > now:
            await self._clock.sleep(at - now)
            # The machine may have slept, or its clock have been set.
            if opens_at := self.opens_at():
                return Closed(opens_at)
        return Turn((*taken, *await self._hold(self._begun)))

    def hand_back(self, turn: Turn) -> None:
        """A letter's turn came and it could not begin: the turn is free again.

        Args:
            turn: What `wait` gave.
        """
        turn.hand_back(self._clock.monotonic())

    async def wait_for_dot(self) -> None:
        """Wait, where others were late, until the dot of a letter whose turn it was may go too.

        The disk makes several letters ready at once, and some servers count dots.
        """
        await self._hold(self._ended)

    async def _hold(self, window: Window | None) -> list[Taken]:
        if window is None:
            return []
        while (left := window.left(self._clock.monotonic())) > 0:
            await self._clock.sleep(left)
        return [window.take(self._clock.monotonic())]

    def _first(self, now: float, domain: str, of_all: Turns) -> float:
        """The first moment that suits what all letters wait for and those to this domain."""
        own = self._turns_for(domain)
        for turns in (of_all, *own):
            turns.forget(now)
        moment = of_all.first_from(now)
        while (later := max([moment, *(turns.first_from(moment) for turns in own)])) > moment:
            # One that was handed back lies before it, and would be found again and again.
            moment = of_all.free_from(later)
        return moment

    def _take(self, moment: float, domain: str) -> list[Taken]:
        return [turns.take(moment) for turns in (self._all, *self._turns_for(domain))]

    def _turns_for(self, domain: str) -> list[Turns]:
        return [turns for _, turns in self._named_turns(domain)]

    def _named_turns(self, domain: str) -> list[tuple[str, Turns]]:
        """Those of a domain and of its provider, as far as there are such, and a name for each."""
        provider = provider_of(domain)
        own, slowed = self._domains.get(domain), self._slowed.get(provider)
        known = ((domain, own), (f"provider {provider}", slowed))
        return [(name, turns) for name, turns in known if turns]

    def _opens_after(self, moment: datetime) -> datetime | None:
        if self._between is None:
            return None
        local = moment.astimezone(self._timezone)
        if self._between.contains(local.time()):
            return None
        return _next(self._between, local)


def _turns_of(rates: Mapping[str, Rate]) -> dict[str, Turns]:
    return {domain.lower(): Turns(rate.interval) for domain, rate in rates.items()}


def _next(between: Between, local: datetime) -> datetime:
    """The next moment at which the hours begin."""
    days = (local.date() + timedelta(days=number) for number in range(3))
    openings = (datetime.combine(day, between.start, local.tzinfo) for day in days)
    # Compared in UTC: two times of one zone are compared by what the clock on the wall shows.
    now = local.astimezone(UTC)
    opening = min(opening for each in openings if (opening := each.astimezone(UTC)) > now)
    return opening.astimezone(local.tzinfo)
