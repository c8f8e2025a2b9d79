"""P1 to P3 under SIGKILL: nobody twice, nobody lost, and what cannot be known is said."""

from pathlib import Path

import pytest

from petition.outbox.log import Log
from petition.outbox.states import State
from tests import PATIENCE
from tests.acceptance.crashed import read_log
from tests.acceptance.killable import POINTS, RECOVERY
from tests.acceptance.small import SmallCampaign
from tests.servers.counting import CountingServer, counting_server

KILLABLE = (str(Path(__file__).with_name("killable.py")),)
CONNECTIONS = 4


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
        _, err = killed.communicate(timeout=PATIENCE)
        # Some points come but once in a run: then it ends by itself, and that is well too.
        assert killed.returncode in {-9, 0} if times > 1 else killed.returncode == -9, err
        assert len(uncertain_of(campaign)) <= CONNECTIONS
        check_promises(campaign, server)
        finish(campaign, server, 12)


@pytest.mark.parametrize("point", RECOVERY)
def test_a_kill_while_the_next_run_tidies_up(tmp_path: Path, point: str):
    """What a killed run left marked has its true state after the one that tidied up was killed."""
    with counting_server() as server:
        campaign = SmallCampaign.at(tmp_path, people=12).through(server.port)
        send = ("send", "open-letter", "--yes")
        first = campaign.begin("behind the dot", "3", *send, program=KILLABLE)
        assert first.wait(timeout=PATIENCE) == -9
        first.stderr.close()
        marked = read_log(campaign.root).marked
        assert marked
        second = campaign.begin(point, "1", *send, program=KILLABLE)
        _, err = second.communicate(timeout=PATIENCE)
        assert second.returncode == -9, err
        server.wait_until_alone()
        left = read_log(campaign.root)
        assert marked <= left.marked | left.those("uncertain")
        check_promises(campaign, server)
        finish(campaign, server, 12)
        assert marked <= uncertain_of(campaign)
