"""P1 to P3 at 300 random moments: runs of 2,000 letters over 8 connections, killed by SIGKILL.

`make test-slow PYTEST_ARGS="-s -k kill"` runs the kill tests and shows what they came to.
"""

import random
import sys
from pathlib import Path

import pytest

from tests.acceptance.crashed import Crashing, Moment, copied, queue_for_server
from tests.servers.counting import counting_server

LETTERS = 2000
CONNECTIONS = 8
CAMPAIGNS = 15
CRASHES = 20  # of each campaign
SHARE = LETTERS // CRASHES  # of the letters, for each run
ANY_TIME = Moment(seconds=1.0)  # mostly before the first letter
AMONG_LETTERS = Moment(letters=SHARE - CONNECTIONS)


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return queue_for_server(tmp_path_factory.mktemp("queued"), LETTERS)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(CAMPAIGNS))
def test_kills_at_random_moments(seed: int, template: Path, tmp_path: Path):
    """Nobody twice, nobody lost, and at most one uncertain letter a connection and a crash."""
    chance = random.Random(20150928 + seed)
    with (
        counting_server(pause=0.004) as server,
        copied(template, tmp_path / "campaign", server) as campaign,
    ):
        crashing = Crashing(campaign, server, CONNECTIONS, SHARE, chance)
        for number in range(CRASHES):
            crashing.crash(ANY_TIME if number % 10 == 9 else AMONG_LETTERS)
        tally = crashing.finish()
        sys.stdout.write(f"{tally}\n")
        assert tally.crashes == CRASHES
        assert tally.letters == LETTERS
