"""The pace as the server sees it, over ten minutes of a clock that moves when everybody waits."""

import asyncio
import bisect
import itertools
from pathlib import Path

import pytest

from petition.campaign.pace import PaceSettings
from petition.sending.rate_limit import Clock
from tests.integration.scene import Scene
from tests.servers.counting import CountingServer


class Simulation:
    """A clock that goes to the next waking when every open connection waits, for us or for it.

    Args:
        scene: Whose connections they are.
    """

    def __init__(self, scene: Scene) -> None:
        self.scene = scene
        self.seconds = 0.0
        self.server: CountingServer | None = None
        self._sleepers: list[tuple[float, int, asyncio.Future[None]]] = []
        self._numbers = itertools.count()

    def now(self) -> float:
        return self.seconds

    async def sleep(self, seconds: float) -> None:
        woken = asyncio.get_running_loop().create_future()
        bisect.insort(self._sleepers, (self.seconds + seconds, next(self._numbers), woken))
        self._go_on()
        await woken

    def _go_on(self) -> None:
        mailer = self.scene.mailer
        if mailer is None or self.server is None or not self._sleepers:
            return
        # One that the server has open and the mailer not yet is about to be used.
        if len(self._sleepers) < max(mailer._open_connections, self.server.open):
            return
        self.seconds, _, woken = self._sleepers.pop(0)
        woken.set_result(None)

    async def watch(self) -> None:
        """Connections that were closed wait for nothing any more."""
        while True:
            await asyncio.sleep(0.005)
            self._go_on()


def arrivals(scene: Scene, server_takes: float) -> list[float]:
    """When each MAIL came in, by the simulated clock.

    Args:
        scene: What is sent.
        server_takes: How long the server thinks about each letter.
    """
    simulation = Simulation(scene)
    scene.pace_clock = Clock(monotonic=simulation.now, sleep=simulation.sleep)
    counting = CountingServer(pause=server_takes / 2, sleep=simulation.sleep, now=simulation.now)
    simulation.server = counting

    async def main() -> None:
        server = await asyncio.start_server(counting.converse, "127.0.0.1", 0)
        counting.port = server.sockets[0].getsockname()[1]
        watching = asyncio.create_task(simulation.watch())
        try:
            await scene.run(counting, dot_seconds=60)
        finally:
            watching.cancel()
            server.close()

    asyncio.run(main())
    return counting.begun


@pytest.mark.parametrize(
    ("rate", "per_second", "seconds", "server_takes"),
    [("5/s", 5, 600, 0.7), ("20/min", 1 / 3, 600, 0.0), ("20/min", 1 / 3, 600, 2.5),
     ("200/s", 200, 12, 0.0)],
)  # fmt: skip
@pytest.mark.slow
def test_a_rate_is_kept(tmp_path: Path, rate, per_second, seconds, server_takes):
    letters = round(per_second * seconds) + 1
    scene = Scene(tmp_path, people=letters, connections=8, timeout=60)
    scene.pace = PaceSettings(rate=rate)
    begun = arrivals(scene, server_takes)
    assert len(begun) == letters
    for length in (1, 10, 60):
        most = max(bisect.bisect_left(begun, one + length) - at for at, one in enumerate(begun))
        assert most <= per_second * length + 1
    within = [one for one in begun if one + 10 <= begun[-1]]
    fewest = min(
        bisect.bisect_right(begun, one + 10) - bisect.bisect_right(begun, one) for one in within
    )
    assert fewest >= int(0.98 * per_second * 10)
    assert 0.98 * seconds <= begun[-1] - begun[0] <= seconds / 0.98
