"""When the next letter may go: rates, hours, daily caps, warm-up, providers that slow us down.

Rates are kept by strict spacing: 10/s is one letter every 100 ms, and idle time is not made up for.
Turns follow the schedule and not the moment at which a letter woke up, so that late wake-ups do not
add up to a slower rate. Late letters do not go in a burst either: in the time of a rate no more
transactions and no more final dots begin than it says, and one.
"""

import asyncio
import bisect
import math
import sys
import time
from collections import deque
from collections.abc import Awaitable, Callable, Collection
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta, tzinfo
from datetime import time as time_of_day
from typing import NamedTuple
from zoneinfo import ZoneInfo

from petition.campaign.holidays import calendar
from petition.campaign.pace import PaceSettings, Rate
from petition.outbox.workers import ALL

_DOMAINS = {
    "gmail.com": ("gmail.com", "googlemail.com"),
    "outlook.com": ("outlook.com", "hotmail.com", "hotmail.co.uk", "live.com", "msn.com"),
    "yahoo.com": ("yahoo.com", "yahoo.co.uk", "ymail.com", "rocketmail.com", "aol.com"),
    "mail.ru": ("mail.ru", "bk.ru", "inbox.ru", "list.ru", "internet.ru"),
    "yandex.ru": ("yandex.ru", "yandex.com", "yandex.kz", "ya.ru"),
    "icloud.com": ("icloud.com", "me.com", "mac.com"),
    "gmx.net": ("gmx.net", "gmx.de", "gmx.com", "web.de"),
}
_PROVIDER = {domain: name for name, domains in _DOMAINS.items() for domain in domains}


def provider_of(domain: str) -> str:
    """A provider's best-known domain, or the domain itself (in lower case)."""
    return _PROVIDER.get(domain, domain)


# Letters may take longer to the server than others by so much without exceeding the rate there.
MARGIN_SECONDS = 0.01


class Turns:
    """Moments at least an interval (in seconds) apart; gaps between taken ones may be used.

    One that was handed back may be used although it is past: a letter that was late because a
    connection had to be opened does not delay those after it.
    """

    def __init__(self, interval: float) -> None:
        self.interval = interval
        self._taken: list[float] = []
        self._handed_back: float | None = None

    def first_from(self, moment: float) -> float:
        """The first free moment from this one on, or the one that was handed back."""
        if self._handed_back is not None and self._handed_back <= moment:
            return self._handed_back
        return self.free_from(moment)

    def free_from(self, moment: float) -> float:
        """The first free moment from this one on."""
        for taken in self._taken:
            if moment + self.interval <= taken:
                break
            moment = max(moment, taken + self.interval)
        return moment

    def take(self, moment: float) -> "TakenMoment":
        """Take a free moment."""
        self._handed_back = None
        if self.interval:
            bisect.insort(self._taken, moment)
        return TakenMoment(self, moment)

    def hand_back(self, moment: float, now: float) -> None:
        """Free a moment that was taken; once a later one is past, it is lost."""
        place = bisect.bisect_left(self._taken, moment)
        if place == len(self._taken) or self._taken[place] != moment:
            return
        del self._taken[place]
        if place == bisect.bisect_right(self._taken, now):
            self._handed_back = moment

    def forget(self, now: float) -> None:
        """Drop the moments that are too old to matter."""
        del self._taken[: bisect.bisect_right(self._taken, now - self.interval)]
        if self._handed_back is not None and self._handed_back <= now - self.interval:
            self._handed_back = None


class Window:
    """At most one letter more than the rate in its time, by when they really went.

    Letters on schedule do not wait here, up to a hundred a second; above that the margin takes up
    to a hundredth off the rate.
    """

    def __init__(self, rate: Rate) -> None:
        self._seconds = rate.seconds + MARGIN_SECONDS
        self._gone: deque[float] = deque(maxlen=rate.count + 1)

    def left(self, now: float) -> float:
        """For how many seconds the next letter has to wait."""
        if len(self._gone) < (self._gone.maxlen or 0):
            return 0.0
        return self._gone[0] + self._seconds - now

    def take(self, moment: float) -> "TakenMoment":
        """Count a letter."""
        self._gone.append(moment)
        return TakenMoment(self, moment)

    def hand_back(self, moment: float, now: float) -> None:
        """Do not count it: it did not go."""
        del now
        with suppress(ValueError):  # forgotten: so many went after it
            self._gone.remove(moment)


class TakenMoment(NamedTuple):
    """A moment, and what it was taken from."""

    of: Turns | Window
    moment: float


class Turn(NamedTuple):
    """A letter's turn: the moments that it took, in order, and the buckets (`SharedPace`)."""

    taken: tuple[TakenMoment, ...] = ()
    buckets: tuple[str, ...] = ()


NO_CAP = sys.maxsize
_LONGEST_CLOSED = 31  # days: more holidays in a row than any country has
# What a slow server takes for one letter: more connections than that keeps busy would be idle.
LETTER_SECONDS = 3
# A connection that would be idle for longer is closed: many servers, and routers on the way, drop
# it, some of them silently.
IDLE_SECONDS = 30.0
# Between two letters to a provider that asked for fewer: at first, and at most.
SLOWED_SECONDS = 1.0
SLOWEST_SECONDS = 64.0
# After so many refusals by a provider's policy in a row no more letters go there in this run: each
# would fail and harm the sender's reputation.
POLICY_REFUSALS = 5


@dataclass(frozen=True, slots=True)
class Clock:
    """Tells the time, by the clock (aware) and in monotonic seconds, and waits."""

    now: Callable[[], datetime] = field(default=lambda: datetime.now(UTC))
    monotonic: Callable[[], float] = time.monotonic
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep


class Pace:
    """Gives every letter its turn, by [pace]; `timezone` is the campaign's, for `between`.

    `closed` are further days on which no letters go.
    """

    def __init__(
        self,
        settings: PaceSettings,
        timezone: tzinfo,
        clock: Clock | None = None,
        closed: Collection[date] = (),
    ) -> None:
        self._clock = clock or Clock()
        self._closed = closed
        self._slowed: dict[str, Turns] = {}  # by provider
        self._refusals: dict[str, int] = {}  # in a row, by provider
        self._paused: set[str] = set()
        self.keep_to(settings, timezone)

    def keep_to(self, settings: PaceSettings, timezone: tzinfo) -> None:
        """Use these settings from now on; what providers asked for still holds."""
        self.per_day = settings.per_day
        self.warm_up = settings.warm_up or ()
        self._rate = settings.rate
        self._timezone = timezone
        self._between = settings.between
        self._days = settings.days
        named = settings.holidays
        self._holidays = calendar(named) if isinstance(named, str) else None
        # Whether letters may go at any time, as fast as possible, apart from single domains.
        self.is_free = settings.rate is None and self._is_always_open
        self._all = Turns(settings.rate.interval if settings.rate else 0.0)
        self._begun = Window(settings.rate) if settings.rate else None
        self._ended = Window(settings.rate) if settings.rate else None
        self._domains = {
            domain.lower(): Turns(rate.interval) for domain, rate in settings.per_domain.items()
        }

    @classmethod
    def of(
        cls,
        settings: PaceSettings | None,
        timezone: str,
        clock: Clock | None = None,
        closed: Collection[date] = (),
    ) -> "Pace":
        """The pace of a campaign; without settings as fast as possible, at any time."""
        return cls(settings or PaceSettings(), ZoneInfo(timezone), clock, closed)

    @property
    def connections(self) -> int:
        """How many connections are useful at this rate."""
        if self._rate is None:
            return NO_CAP
        return max(1, math.ceil(LETTER_SECONDS * self._rate.count / self._rate.seconds))

    @property
    def is_free_for_all(self) -> bool:
        """Whether no letter has to wait for its turn."""
        return self.is_free and not (self._domains or self._slowed or self._paused)

    def is_free_for(self, domain: str) -> bool:
        """Whether a letter to a domain does not have to wait for its turn."""
        return self.is_free and not (self.is_spaced(domain) or self.is_paused(domain))

    def delay(self, domain: str) -> float:
        """For how many seconds a letter would wait for its turn now."""
        now = self._clock.monotonic()
        return self._first(now, domain, self._all) - now

    def own_delay(self, domain: str) -> float:
        """The part of that which is due to its domain and provider alone."""
        now = self._clock.monotonic()
        return self._first(now, domain, Turns(0.0)) - now

    def is_spaced(self, domain: str) -> bool:
        """Whether letters to a domain have turns of their own."""
        return bool(self._turns_for(domain))

    def slow_down(self, domain: str) -> None:
        """A provider asked for fewer letters: space those to it, each time wider."""
        provider = provider_of(domain)
        turns = self._slowed.get(provider)
        if turns is None:
            turns = self._slowed[provider] = Turns(SLOWED_SECONDS / 2)
        turns.interval = min(2 * turns.interval, SLOWEST_SECONDS)
        turns.take(self._clock.monotonic())

    def hold_slowed(self) -> None:
        """The whole run has waited: that does not count as waiting for slowed providers."""
        now = self._clock.monotonic()
        for turns in self._slowed.values():
            turns.take(now)

    def ease(self, domain: str) -> None:
        """A provider took a letter."""
        if not (self._refusals or self._slowed):
            return
        provider = provider_of(domain)
        self._refusals.pop(provider, None)
        if turns := self._slowed.get(provider):
            turns.interval /= 2
            if turns.interval <= SLOWED_SECONDS / 2:
                del self._slowed[provider]

    def refused_by_policy(self, domain: str) -> bool:
        """A provider refused a letter by its policy; returns whether it gets no more from now."""
        provider = provider_of(domain)
        self._refusals[provider] = self._refusals.get(provider, 0) + 1
        if self._refusals[provider] < POLICY_REFUSALS or provider in self._paused:
            return False
        self._paused.add(provider)
        return True

    def is_paused(self, domain: str) -> bool:
        """Whether a domain gets no more letters in this run."""
        return bool(self._paused) and provider_of(domain) in self._paused

    @property
    def paused(self) -> set[str]:
        """The domains that get no more letters in this run."""
        return {name for one in self._paused for name in _DOMAINS.get(one, (one,))}

    @property
    def is_capped(self) -> bool:
        """Whether `cap` is a number on some day."""
        return bool(self.warm_up) or self.per_day is not None

    def cap(self, days: int) -> int | None:
        """The recipients that a login may have in 24 hours, if it sent on `days` earlier days."""
        if days >= len(self.warm_up):
            return self.per_day
        return min(self.warm_up[days], self.per_day or NO_CAP)

    def opens_at(self) -> datetime | None:
        """When letters may go again, in the campaign's time zone; None: now."""
        return self.opens_after(self._clock.now())

    async def wait(self, domain: str) -> Turn | datetime:
        """Wait for a letter's turn; outside the hours, return at once when they begin."""
        now = self._clock.monotonic()
        at = self._first(now, domain, self._all)
        # A turn that was handed back is past: the letter goes now.
        moment = self._clock.now() + timedelta(seconds=max(0.0, at - now))
        if opens_at := self.opens_after(moment):
            return opens_at
        taken = self._take(at, domain)
        if at > now:
            await self._clock.sleep(at - now)
            # The machine may have slept, or its clock have been set.
            if opens_at := self.opens_at():
                return opens_at
        return Turn((*taken, *await self._hold(self._begun)))

    def hand_back(self, turn: Turn) -> None:
        """Free the turn of a letter that could not go."""
        now = self._clock.monotonic()
        for each in reversed(turn.taken):
            each.of.hand_back(each.moment, now)

    async def wait_for_dot(self) -> None:
        """Wait until a final dot may go: one commit makes several ready, and some servers count."""
        await self._hold(self._ended)

    async def _hold(self, window: Window | None) -> list[TakenMoment]:
        if window is None:
            return []
        while (left := window.left(self._clock.monotonic())) > 0:
            await self._clock.sleep(left)
        return [window.take(self._clock.monotonic())]

    def _first(self, now: float, domain: str, of_all: Turns) -> float:
        """The first moment that is free both for all letters and for this domain."""
        own = self._turns_for(domain)
        for turns in (of_all, *own):
            turns.forget(now)
        moment = of_all.first_from(now)
        while (later := max([moment, *(turns.first_from(moment) for turns in own)])) > moment:
            # A moment that was handed back is before it, and would be found again and again.
            moment = of_all.free_from(later)
        return moment

    def _take(self, moment: float, domain: str) -> list[TakenMoment]:
        return [turns.take(moment) for turns in (self._all, *self._turns_for(domain))]

    def _turns_for(self, domain: str) -> list[Turns]:
        return [turns for _, turns in self._named_turns(domain)]

    def _named_turns(self, domain: str) -> list[tuple[str, Turns]]:
        """The turns of a domain and of its provider, if any, by name."""
        provider = provider_of(domain)
        own, slowed = self._domains.get(domain), self._slowed.get(provider)
        known = ((domain, own), (f"provider {provider}", slowed))
        return [(name, turns) for name, turns in known if turns]

    def opens_after(self, moment: datetime) -> datetime | None:
        """When letters may go again from a moment on; None: at that moment."""
        if self._is_always_open:
            return None
        local = moment.astimezone(self._timezone)
        if self._is_open(local):
            return None
        beginnings = {time_of_day(), self._between.start if self._between else time_of_day()}
        days = (local.date() + timedelta(days=number) for number in range(_LONGEST_CLOSED))
        openings = (
            # By way of UTC: a time that the change to summer time skips becomes one that exists.
            datetime.combine(day, begins, self._timezone).astimezone(UTC)
            for day in days
            for begins in beginnings
        )
        later = (one.astimezone(self._timezone) for one in openings if one > moment)
        last = moment + timedelta(days=_LONGEST_CLOSED)
        return min(filter(self._is_open, later), key=datetime.timestamp, default=last)

    @property
    def _is_always_open(self) -> bool:
        return not (self._between or self._days or self._holidays or self._closed)

    def _is_open(self, local: datetime) -> bool:
        day = local.date()
        return (
            (self._days is None or self._days.contains(day))
            and not (self._holidays and self._holidays.on(day))
            and day not in self._closed
            and (self._between is None or self._between.contains(local.time()))
        )


PAUSE_SECONDS = 3600.0  # without letters from a worker, for a provider that refuses by policy

Take = Callable[[str, float], Awaitable[float]]


class SharedPace(Pace):
    """Gives every letter of this worker its turn among those of all workers.

    Each worker learns separately that a provider wants fewer letters, and shares its turns with
    the others that have learnt it. Each pauses separately for a provider that refuses by
    policy. `take` takes the next turn of a bucket, by its name and interval, and returns the
    seconds until then.
    """

    def __init__(
        self, settings: PaceSettings, timezone: tzinfo, take: Take, clock: Clock | None = None
    ) -> None:
        super().__init__(settings, timezone, clock)
        self._from_bucket = take
        self._paused_at: dict[str, float] = {}  # by provider
        self._handed_back: dict[str, float] = {}  # when, by bucket; one turn of each

    def refused_by_policy(self, domain: str) -> bool:
        """The same; but a worker does not end, so that the provider is only paused."""
        is_too_many = super().refused_by_policy(domain)
        if is_too_many:
            self._paused_at[provider_of(domain)] = self._clock.monotonic()
        return is_too_many

    @property
    def pause_left(self) -> float | None:
        """Seconds until the first paused provider is tried again; None: none is paused."""
        if not self._paused_at:
            return None
        end = min(self._paused_at.values()) + PAUSE_SECONDS
        return max(0.0, end - self._clock.monotonic())

    def try_paused_again(self) -> None:
        """Try providers again whose pause is over; one more refusal starts it again."""
        before = self._clock.monotonic() - PAUSE_SECONDS
        for provider in [name for name, at in self._paused_at.items() if at <= before]:
            del self._paused_at[provider]
            self._paused.discard(provider)
            self._refusals[provider] = POLICY_REFUSALS - 1

    async def wait(self, domain: str) -> Turn | datetime:
        """Wait for a letter's turn, first in this worker and then among all."""
        own = await super().wait(domain)
        if isinstance(own, datetime):
            return own
        taken, buckets = list(own.taken), []
        for name, turns in self._named_turns(domain):
            delay = await self._turn_in(name, turns.interval)
            taken.append(turns.take(self._clock.monotonic() + delay))  # others pass it meanwhile
            buckets.append(name)
            await self._sleep(delay)
        if self._rate:
            buckets.append(ALL)
            await self._sleep(await self._turn_in(ALL, self._rate.interval))
        return self.opens_at() or Turn(tuple(taken), tuple(buckets))

    def hand_back(self, turn: Turn) -> None:
        """The same; this worker's next letter gets the turns of the buckets."""
        super().hand_back(turn)
        self._handed_back.update(dict.fromkeys(turn.buckets, self._clock.monotonic()))

    async def _turn_in(self, name: str, interval: float) -> float:
        handed_back = self._handed_back.pop(name, None)
        # Not an old one: many workers that return to a server would all start with one.
        if handed_back is not None and self._clock.monotonic() - handed_back < interval:
            return 0.0
        return await self._from_bucket(name, interval)

    async def _sleep(self, seconds: float) -> None:
        if seconds > 0:
            await self._clock.sleep(seconds)
