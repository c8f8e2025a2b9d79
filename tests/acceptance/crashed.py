"""A campaign whose letters wait, killed again and again; and its log as each crash left it."""

import random
import shutil
import sqlite3
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from petition.campaign.folder import load_campaign
from petition.campaign.server import Server
from petition.outbox.log import Log
from petition.planning.plan import SendOptions
from petition.planning.prepare import enqueue, prepare
from tests import PATIENCE
from tests.acceptance.small import Popen, SmallCampaign
from tests.servers.counting import CountingServer

SEND = ("send", "open-letter", "--yes")


def queue_for_server(folder: Path, people: int) -> Path:
    """A campaign whose letters are all queued and none is attempted, to be copied."""
    campaign = SmallCampaign.at(folder, people)
    with Log(f"sqlite:///{campaign.root}/petition.db") as log, log.owned():
        server = Server("127.0.0.1", 1, "none")
        enqueue(prepare(load_campaign(campaign.root), "open-letter", log, server, SendOptions()))
    return folder


@dataclass(frozen=True)
class Left:
    """What a crash left in the log, read without petition and without changing it.

    Args:
        states: The state of each copy, by mailbox.
        marked: Those whose final dot may have gone.
    """

    states: dict[str, str]
    marked: set[str]

    def those(self, state: str) -> set[str]:
        return {mailbox for mailbox, found in self.states.items() if found == state}


def read_log(root: Path) -> Left:
    """The log of a campaign as it is now; from a copy, for SQLite mends what it opens."""
    with tempfile.TemporaryDirectory() as folder:
        for name in ("petition.db", "petition.db-wal"):
            if (root / name).exists():
                shutil.copy(root / name, folder)
        database = sqlite3.connect(Path(folder) / "petition.db")
        try:
            rows = database.execute("SELECT mailbox, state FROM copy").fetchall()
        finally:
            database.close()
    assert len({mailbox for mailbox, _ in rows}) == len(rows)
    return Left(dict(rows), {mailbox for mailbox, state in rows if state == "sending"})


@dataclass
class Tally:
    """What the crashes of a campaign came to."""

    crashes: int = 0
    letters: int = 0
    marked: list[int] = field(default_factory=list)  # at each crash
    unlogged: list[int] = field(default_factory=list)  # of these, accepted and not logged as sent

    def __str__(self) -> str:
        return (
            f"{self.crashes} crashes: {self.letters} letters, 0 twice, 0 lost; in a crash at most"
            f" {max(self.marked)} uncertain, {sum(self.marked)} in all, of which"
            f" {sum(self.unlogged)} had arrived"
        )


class Crashing:
    """Runs of one campaign through one server, each killed, and what must hold after each.

    Args:
        campaign: The campaign; its letters are queued.
        server: What takes them.
        connections: How many a run opens.
        share: How many letters a run may take at most, so that however quick the machine is, no
            run comes to the end of the list before it is killed.
        chance: What the moments are drawn from.
        killed: How a run ends that is killed.
    """

    def __init__(
        self,
        campaign: SmallCampaign,
        server: CountingServer,
        connections: int,
        share: int,
        chance: random.Random,
        killed: int = -9,
    ) -> None:
        self.campaign = campaign
        self.server = server
        self.connections = connections
        self.share = share
        self.chance = chance
        self.killed = killed
        self.tally = Tally()
        self.left = read_log(campaign.root)
        campaign.env["PETITION_SMTP_CONNECTIONS"] = str(connections)

    def crash(self, moment: "Moment") -> None:
        """Begin a run and kill it at a moment."""
        # What is marked when it is killed may still be taken: one letter a connection.
        self.server.hold_after = self.server.accepted.total() + self.share - self.connections
        run = self.campaign.begin(*SEND)
        moment.wait(self.server, run, self.chance)
        run.kill()
        _, err = run.communicate(timeout=PATIENCE)
        assert run.returncode == self.killed, err
        self.server.hold_after = None
        self.server.wait_until_alone()
        self.tally.crashes += 1
        self._look()

    def _look(self) -> None:
        before, left, accepted = self.left, read_log(self.campaign.root), self.server.accepted
        sent = left.those("sent")
        assert max(accepted.values(), default=0) <= 1
        assert set(left.states) == set(before.states)
        assert set(left.states.values()) <= {"queued", "sending", "sent", "uncertain"}
        assert sent <= set(accepted)
        assert set(accepted) - sent <= left.marked | left.those("uncertain")
        # What the run before left marked is uncertain, unless this one died before it looked.
        known, known_before = left.those("uncertain"), before.those("uncertain")
        has_looked = known == known_before | before.marked
        assert has_looked or (known == known_before and left.marked == before.marked)
        new = left.marked - before.marked
        assert len(new) <= self.connections
        self.tally.marked.append(len(new))
        self.tally.unlogged.append(len(new & set(accepted)))
        self.left = left

    def finish(self) -> Tally:
        """Run the same command until nothing is left to do, and look at the whole."""
        accepted = self.server.accepted
        self.campaign.petition(*SEND)
        left = read_log(self.campaign.root)
        assert left.those("sent") | left.those("uncertain") == set(left.states)
        assert set(accepted.values()) == {1}
        assert all(len(ids) == 1 for ids in self.server.message_ids.values())
        assert left.those("sent") <= set(accepted)
        assert set(left.states) - set(accepted) <= left.those("uncertain")
        assert len(left.those("uncertain")) == sum(self.tally.marked)
        counts = self.campaign.petition("status", "open-letter", "--json").json
        assert counts["total"] == len(left.states)
        self.tally.letters = counts["total"]
        return self.tally


@dataclass(frozen=True)
class Moment:
    """When a run is killed: so many letters after its first one, or seconds after its start.

    Args:
        letters: At most so many letters later.
        seconds: None, or at most so many seconds after the start, letters or not.
    """

    letters: int = 0
    seconds: float | None = None

    def wait(self, server: CountingServer, run: Popen, chance: random.Random) -> None:
        if self.seconds is not None:
            time.sleep(chance.uniform(0, self.seconds))
            return
        enough = server.commands["DATA"] + chance.randint(1, self.letters)
        deadline = time.monotonic() + PATIENCE
        while server.commands["DATA"] < enough and run.poll() is None:
            assert time.monotonic() < deadline
            time.sleep(0.001)
        time.sleep(chance.uniform(0, 0.01))


@contextmanager
def copied(template: Path, folder: Path, server: CountingServer) -> Iterator[SmallCampaign]:
    """A copy of a campaign, through a server; taken away again, for there will be many."""
    shutil.copytree(template, folder)
    try:
        yield SmallCampaign(folder).through(server.port)
    finally:
        shutil.rmtree(folder)
