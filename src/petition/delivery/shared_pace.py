"""The pace over all workers together: each turn is taken from a bucket that they share."""

from collections.abc import Awaitable, Callable
from datetime import tzinfo

from petition.campaign.settings import Pace as PaceSettings
from petition.delivery.pace import Clock, Closed, Pace
from petition.outbox.bucket import ALL

Take = Callable[[str, float], Awaitable[float]]


class SharedPace(Pace):
    """Gives every letter of this worker its turn among those of all workers.

    What a provider itself asks for (`slow_down`, `refused_by_policy`) is kept by each worker alone.

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

    async def wait(self, domain: str) -> Closed | None:
        """Wait for a letter's turn, first in this worker and then among all.

        Args:
            domain: Where the letter goes to, in lower case.
        """
        if closed := await super().wait(domain):
            return closed
        if own := self._domains.get(domain):
            delay = await self._from_bucket(domain, own.interval)
            own.take(self._clock.monotonic() + delay)  # others go past it meanwhile
            await self._sleep(delay)
        if self._rate:
            await self._sleep(await self._from_bucket(ALL, self._rate.seconds / self._rate.count))
        opens_at = self.opens_at()
        return Closed(opens_at) if opens_at else None

    async def _sleep(self, seconds: float) -> None:
        if seconds > 0:
            await self._clock.sleep(seconds)
