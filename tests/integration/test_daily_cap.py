"""per_day at the server: any 24 hours, every RCPT, over many runs and a clock set back."""

import asyncio
import random
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from petition.campaign.pace import PaceSettings
from petition.outbox.log import Log
from tests.acceptance.small import LETTER
from tests.integration.scene import Scene
from tests.servers.counting import CountingServer

CAP = 12
DAYS = 5
EVERY = timedelta(hours=4)
BEGUN = datetime(2026, 3, 2, 8, tzinfo=UTC)


class Days:
    """A campaign that is sent every four hours, and when the server heard each RCPT.

    Args:
        root: The campaign's folder.
        seed: What the clock's changes and the trial copies are drawn from.
    """

    def __init__(self, root: Path, seed: int) -> None:
        self.scene = Scene(root, people=60, connections=2)
        cc = LETTER.replace("reply_by:", 'cc: ["copy@x.example"]\nreply_by:')
        self.scene.campaign.write("letters/open-letter.md", cc)
        self.scene.pace = PaceSettings(per_day=CAP)
        self.scene.pause = 0.0001
        self.chance = random.Random(seed)
        self.true = BEGUN  # what the clock would show if nobody had set it
        self.heard: list[datetime] = []

    async def live(self) -> None:
        # p3's letter is taken and its answer is lost: it counts all the same.
        counting = CountingServer(answers={"p3": ""}, now=lambda: (self.hear(), 0.0)[1])
        server = await asyncio.start_server(counting.converse, "127.0.0.1", 0)
        counting.port = server.sockets[0].getsockname()[1]
        set_back = timedelta()
        for _ in range(int(timedelta(days=DAYS) / EVERY)):
            self.scene.now = self.true - set_back
            if self.chance.random() < 0.2:
                self.trial()
            await self.scene.run(counting, dot_seconds=5)
            self.true += EVERY
            set_back += timedelta(hours=7) if self.chance.random() < 0.15 else timedelta()
        server.close()

    def hear(self) -> None:
        """Each letter goes to two: To and cc."""
        self.heard += [self.true, self.true]

    def trial(self) -> None:
        """--to-me, where the cap has room for it: to one alone."""
        url = f"sqlite:///{self.scene.root}/petition.db"
        with Log(url, clock=lambda: self.scene.now) as log:
            if log.spent("@127.0.0.1")[0] < CAP:
                log.count_attempt("@127.0.0.1", 1)
                self.heard.append(self.true)


@pytest.mark.parametrize("seed", [0, pytest.param(1, marks=pytest.mark.slow)])
def test_no_24_hours_have_more_recipients_than_the_cap(tmp_path: Path, seed: int):
    days = Days(tmp_path, seed)
    asyncio.run(days.live())
    assert "uncertain" in days.scene.states
    for one in days.heard:
        assert sum(one <= other < one + timedelta(hours=24) for other in days.heard) <= CAP
    # And the cap was used, as far as the clock allowed: it was not simply never sent.
    assert len(days.heard) >= 2 * CAP


def test_a_cell_that_names_several_in_cc_counts_all_of_them(tmp_path: Path):
    scene = Scene(tmp_path, connections=2)
    letter = LETTER.replace("reply_by:", 'cc: ["{{ recipient.office }}"]\nreply_by:')
    scene.campaign.write("letters/open-letter.md", letter)
    offices = ["; ".join(f"{one}{number}@y.example" for one in "abc") for number in range(5)]
    rows = [f"p{number},p{number}@x.example,P,,{office}" for number, office in enumerate(offices)]
    people = "\n".join(["id,email,name,town,office", *rows, ""])
    scene.campaign.write("recipients.csv", people)
    scene.pace = PaceSettings(per_day=10)

    async def live() -> CountingServer:
        counting = CountingServer()
        server = await asyncio.start_server(counting.converse, "127.0.0.1", 0)
        counting.port = server.sockets[0].getsockname()[1]
        await scene.run(counting, dot_seconds=5)
        server.close()
        return counting

    counting = asyncio.run(live())
    assert scene.states.count("sent") == 2  # of four recipients each
    assert counting.accepted.total() == 8
    assert counting.commands["DATA"] == 2  # the third was not even begun
