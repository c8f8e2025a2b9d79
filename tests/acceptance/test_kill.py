"""P1 to P3 under SIGKILL: nobody twice, nobody lost, and what cannot be known is said."""

import random
import time
from pathlib import Path

import pytest

from petition.outbox.log import Log
from petition.outbox.states import State
from tests.acceptance.killable import POINTS
from tests.acceptance.small import SmallCampaign
from tests.servers.counting import CountingServer, counting_server

KILLABLE = (str(Path(__file__).with_name("killable.py")),)
CONNECTIONS = 4
CRASHES = 100


def in_state(campaign: SmallCampaign, state: State) -> set[str]:
    """Whose copies are in a state, as `petition status` would see it after the crash."""
    with Log(f"sqlite:///{campaign.root}/petition.db") as log:
        log.tidy()
        return {copy.mailbox for copy in log.copies("open-letter", state)}


def uncertain_of(campaign: SmallCampaign) -> set[str]:
    return in_state(campaign, State.UNCERTAIN)


def sent_of(campaign: SmallCampaign) -> set[str]:
    return in_state(campaign, State.SENT)


def check_promises(campaign: SmallCampaign, server: CountingServer) -> None:
    """Nobody twice; what the server took and the log has not as sent is uncertain."""
    assert max(server.accepted.values(), default=0) <= 1
    assert set(server.accepted) - sent_of(campaign) <= uncertain_of(campaign)
    assert sent_of(campaign) <= set(server.accepted)


def finish(campaign: SmallCampaign, server: CountingServer, people: int) -> None:
    """Run the same command again until nothing is left to do, then look at the whole."""
    campaign.petition("send", "open-letter", "--yes")
    check_promises(campaign, server)
    counts = campaign.petition("status", "open-letter", "--json").json
    assert counts["sent"] + counts["uncertain"] == counts["total"] == people
    missed = {f"p{number}@x.example" for number in range(1, people + 1)} - set(server.accepted)
    assert missed <= uncertain_of(campaign)


@pytest.mark.parametrize("times", [1, 3])
@pytest.mark.parametrize("point", POINTS)
def test_a_kill_at_each_point(tmp_path: Path, point: str, times: int):
    with counting_server() as server:
        campaign = SmallCampaign.at(tmp_path, people=12).through(server.port)
        arguments = (point, str(times), "send", "open-letter", "--yes")
        killed = campaign.begin(*arguments, program=KILLABLE)
        _, err = killed.communicate(timeout=60)
        # Some points come but once in a run: then it ends by itself, and that is well too.
        assert killed.returncode in {-9, 0} if times > 1 else killed.returncode == -9, err
        assert len(uncertain_of(campaign)) <= CONNECTIONS
        check_promises(campaign, server)
        finish(campaign, server, 12)


def test_kills_at_random_moments(tmp_path: Path):
    """Runs of 200 letters over 4 connections, killed again and again until each is through."""
    chance = random.Random(20150928)
    crashes = rounds = 0
    while crashes < CRASHES:
        rounds += 1
        folder = tmp_path / str(rounds)
        with counting_server(pause=0.004) as server:
            campaign = SmallCampaign.at(folder, people=200).through(server.port)
            uncertain_before: set[str] = set()
            begun = 0
            while crashes < CRASHES:
                run = campaign.begin("send", "open-letter", "--yes")
                wait_for_letters(server, begun, run)
                time.sleep(chance.uniform(0, 0.12))
                run.kill()
                run.communicate(timeout=60)
                if run.returncode != -9:
                    break
                crashes += 1
                uncertain = uncertain_of(campaign)
                assert len(uncertain - uncertain_before) <= CONNECTIONS
                uncertain_before = uncertain
                check_promises(campaign, server)
                begun = server.commands["DATA"]
            finish(campaign, server, 200)


def wait_for_letters(server: CountingServer, begun: int, run) -> None:
    """Until the run has come to its letters: a kill before that shows little."""
    deadline = time.monotonic() + 30
    while server.commands["DATA"] <= begun and run.poll() is None:
        assert time.monotonic() < deadline
        time.sleep(0.002)
