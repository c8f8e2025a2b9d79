"""The pace over all workers together: each turn is taken from a bucket that they share."""

from collections.abc import Awaitable, Callable
from datetime import tzinfo

from petition.campaign.settings import Pace as PaceSettings
from petition.delivery.pace import POLICY_REFUSALS, Clock, Closed, Pace
from petition.delivery.providers import provider_of
from petition.delivery.turns import Turn
from petition.outbox.job_queue import ALL

# How long a provider that refuses letters by its policy gets none from this worker.
PAUSE_SECONDS = 3600.0

Take = Callable[[str, float], Awaitable[float]]


class SharedPace(Pace):
    """Gives every letter of this worker its turn among those of all workers.

    That a provider wants fewer letters each worker hears for itself; those that have heard it share
    its turns. A provider that wants none (`refused_by_policy`) each keeps away from by itself.

    Args:
        settings: [pace] of petition.toml, as it was when the letter was queued.
        timezone: That of the campaign, for `between`.
        take: Takes the next turn of a bucket, by its name and interval, and says how many seconds
            it is until then.
        clock: What tells the time.
    """

    def __init__(
        self, settings: PaceSettings, timezone: tzinfo, take: Take, clock: Clock | None = None
    ) -> None:
        super().__init__(settings, timezone, clock)
        self._from_bucket = take
        self._paused_at: dict[str, float] = {}  # by provider
        self._handed_back: dict[str, float] = {}  # by bucket, when; of each one turn at the most

    def refused_by_policy(self, domain: str) -> bool:
        """As ever; a worker lives on, so that a provider that wants no letters is paused a while.

        Args:
            domain: The provider's, in lower case.
        """
        is_too_many = super().refused_by_policy(domain)
        if is_too_many:
            self._paused_at[provider_of(domain)] = self._clock.monotonic()
        return is_too_many

    @property
    def pause_left(self) -> float | None:
        """Seconds until the first provider that is paused is tried again; None: none is."""
        if not self._paused_at:
            return None
        end = min(self._paused_at.values()) + PAUSE_SECONDS
        return max(0.0, end - self._clock.monotonic())

    def try_paused_again(self) -> None:
        """Try providers again whose pause is over; one refusal more and it begins anew."""
        before = self._clock.monotonic() - PAUSE_SECONDS
        for provider in [name for name, at in self._paused_at.items() if at <= before]:
            del self._paused_at[provider]
            self._paused.discard(provider)
            self._refusals[provider] = POLICY_REFUSALS - 1

    async def wait(self, domain: str) -> Turn | Closed:
        """Wait for a letter's turn, first in this worker and then among all.

        Args:
            domain: Where the letter goes to, in lower case.
        """
        own = await super().wait(domain)
        if isinstance(own, Closed):
            return own
        taken, buckets = list(own.taken), []
        for name, turns in self._named_turns(domain):
            delay = await self._turn_in(name, turns.interval)
            taken.append(turns.take(self._clock.monotonic() + delay))  # others go past it meanwhile
            buckets.append(name)
            await self._sleep(delay)
        if self._rate:
            buckets.append(ALL)
            await self._sleep(await self._turn_in(ALL, self._rate.interval))
        opens_at = self.opens_at()
        return Closed(opens_at) if opens_at else Turn(tuple(taken), tuple(buckets))

    def hand_back(self, turn: Turn) -> None:
        """As ever; the turns taken from the buckets are for this worker's next letter.

        Args:
            turn: What `wait` gave.
        """
        super().hand_back(turn)
        self._handed_back.update(dict.fromkeys(turn.buckets, self._clock.monotonic()))

    async def _turn_in(self, name: str, interval: float) -> float:
        """How many seconds it is until this worker's next turn of a bucket."""
        handed_back = self._handed_back.pop(name, None)
        # Not one of long ago: many workers that come back to a server would all begin with it.
        if handed_back is not None and self._clock.monotonic() - handed_back < interval:
            return 0.0
        return await self._from_bucket(name, interval)

    async def _sleep(self, seconds: float) -> None:
        if seconds > 0:
            await self._clock.sleep(seconds)
