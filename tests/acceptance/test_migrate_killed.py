"""`migrate` leaves at most one log that sends, wherever it is killed, in both directions."""

import random
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from petition.errors import LogUnusable
from petition.outbox.log import Log
from tests import PATIENCE
from tests.acceptance.migrate_killed import MOMENTS
from tests.acceptance.small import SmallCampaign
from tests.servers.counting import CountingServer, counting_server
from tests.servers.postgres import Postgres

KILLED = (str(Path(__file__).with_name("migrate_killed.py")),)
SEND = ("send", "open-letter", "--yes")
PEOPLE, SENT_BEFORE = 6, 2


class Scene:
    """A campaign whose log is to be moved, with its server.

    Args:
        campaign: It; the environment names the source.
        target: Where the log is to go.
    """

    def __init__(self, campaign: SmallCampaign, target: str, server: CountingServer) -> None:
        self.campaign = campaign
        self.source = campaign.env["PETITION_DATABASE"]
        self.target = target
        self.server = server

    def at(self, url: str) -> SmallCampaign:
        return SmallCampaign(self.campaign.root, self.campaign.env | {"PETITION_DATABASE": url})

    def kill(self, moment: str) -> None:
        killed = self.campaign.begin(moment, "migrate", self.target, program=KILLED)
        _, err = killed.communicate(timeout=PATIENCE)
        assert killed.returncode == -9, err

    def open_logs(self) -> list[str]:
        """Which of the two a command would use that has copies in it."""
        found = []
        for url in (self.source, self.target):
            with suppress(LogUnusable), Log(url) as log:
                if log.letters():
                    found.append(url)
        return found

    def finish(self) -> None:
        """All that is left goes out from the target, and nothing twice."""
        self.at(self.target).petition(*SEND, status=0)
        assert "was moved to" in self.campaign.petition(*SEND, status=1).err
        assert self.server.accepted == {f"p{one}@x.example": 1 for one in range(1, PEOPLE + 1)}


@pytest.fixture(params=["to PostgreSQL", "to SQLite"])
def scene(request: pytest.FixtureRequest, tmp_path: Path, postgres: Postgres) -> Iterator[Scene]:
    urls = [f"sqlite:///{tmp_path}/petition.db", postgres.new_log()]
    source, target = urls if request.param == "to PostgreSQL" else reversed(urls)
    with counting_server() as server:
        campaign = SmallCampaign.at(tmp_path, PEOPLE).through(server.port)
        campaign.env["PETITION_DATABASE"] = source
        campaign.petition(*SEND, "--limit", str(SENT_BEFORE), status=0)
        yield Scene(campaign, target, server)


def when(moment: str) -> float:
    """Behind how many commits a moment is."""
    if moment == "amid":
        return 2.5
    word, number = moment.split()
    return int(number) - 0.5 if word == "before" else int(number)


@pytest.mark.slow
@pytest.mark.parametrize("moment", MOMENTS)
def test_a_kill_at_each_commit(scene: Scene, moment: str):
    scene.kill(moment)
    assert len(scene.open_logs()) <= 1
    if 1 <= when(moment) < 5:
        assert "being moved" in scene.at(scene.target).petition(*SEND, status=1).err
    if when(moment) >= 2:
        assert "moved to" in scene.campaign.petition(*SEND, status=1).err
        assert scene.server.accepted.total() == SENT_BEFORE or when(moment) == 5
    else:
        scene.campaign.petition(*SEND, status=0)
    scene.campaign.petition("migrate", scene.target, status=0 if when(moment) < 5 else 1)
    scene.finish()


@pytest.mark.slow
@pytest.mark.parametrize("moment", ["before 3", "after 3"])
def test_a_move_that_was_broken_off_can_be_undone(scene: Scene, moment: str):
    scene.kill(moment)
    assert "Undone" in scene.campaign.petition("migrate", scene.source, status=0).out
    assert "already" in scene.campaign.petition("migrate", scene.source, status=2).err
    assert "being moved" in scene.at(scene.target).petition(*SEND, status=1).err
    scene.campaign.petition(*SEND, "--limit", "1", status=0)
    scene.campaign.petition("migrate", scene.target, status=0)
    scene.finish()


@pytest.mark.slow
def test_nobody_writes_into_a_log_that_is_being_moved(scene: Scene):
    scene.kill("after 3")
    commands = (
        ("resolve", "--all", "--sent"),
        ("retry", "open-letter"),
        ("withdraw", "open-letter"),
        ("suppress", "p1@x.example"),
        ("send", "open-letter", "--to-me", "me@x.example", "--yes"),
        ("forget", "p1@x.example", "--yes"),
        ("status",),
    )
    for url in (scene.source, scene.target):
        for command in commands if url == scene.source else commands[-2:]:
            assert "moved to" in scene.at(url).petition(*command, status=1).err
        assert "moved to" in scene.at(url).petition("check", status=1).out
    scene.campaign.petition("migrate", scene.target, status=0)
    scene.finish()


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(2))
def test_kills_at_random_moments(scene: Scene, seed: int):
    chance = random.Random(seed)
    longest = 0.3
    for _ in range(40):
        moving = scene.campaign.begin("migrate", scene.target)
        time.sleep(chance.uniform(0, longest))
        moving.kill()
        _, err = moving.communicate(timeout=PATIENCE)
        assert len(scene.open_logs()) <= 1
        if moving.returncode != -9:
            assert moving.returncode == 0 or "was moved to" in err, err
            break
        longest *= 1.2  # so that it comes to its end on a slow machine too
    else:
        scene.campaign.petition("migrate", scene.target)
    scene.finish()
