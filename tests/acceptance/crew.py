"""Workers for a test: real processes in a folder in which there is no campaign."""

import itertools
import json
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg

from petition.outbox.states import State
from tests import PATIENCE
from tests.acceptance.small import Popen, SmallCampaign
from tests.servers.counting import CountingServer

SEND = ("send", "open-letter", "--workers", "--yes")


def campaign_on(url: str, folder: Path, port: int, people: int) -> SmallCampaign:
    campaign = SmallCampaign.at(folder / "campaign", people).through(port)
    # Few connections: as many letters of each can be uncertain when it dies.
    campaign.env |= {"PETITION_DATABASE": url, "PETITION_SMTP_CONNECTIONS": "4"}
    return campaign


@dataclass
class Worker:
    """A worker in a folder in which there is no campaign; what it says goes into a file."""

    process: Popen
    said: Path

    def kill(self) -> None:
        self.process.kill()
        self.process.wait(PATIENCE)

    def stop_soon(self) -> None:
        """Ask it to end."""
        self.process.send_signal(signal.SIGTERM)

    def stop(self) -> None:
        """Ask it to end once it has begun, and wait until it has."""
        wait_until(lambda: bool(self.events()) or self.process.poll() is not None)
        self.stop_soon()
        _, err = self.process.communicate(timeout=PATIENCE)
        assert self.process.returncode == 0, err
        assert "Traceback" not in err

    def events(self) -> list[dict[str, Any]]:
        lines = self.said.read_text().splitlines(keepends=True)
        return [json.loads(line) for line in lines if line.endswith("\n")]

    def said_of(self, event: str) -> int:
        """How often it reported an event."""
        return [one["event"] for one in self.events()].count(event)


@contextmanager
def workers(campaign: SmallCampaign, number: int, *options: str) -> Iterator[list[Worker]]:
    """So many workers, which are no more when the block is left."""
    folder = campaign.root.parent / "elsewhere"
    folder.mkdir(exist_ok=True)
    begun: list[Worker] = []
    try:
        away = SmallCampaign(folder, campaign.env)
        begun.extend(begin(away, *options) for _ in range(number))
        yield begun
    finally:
        for one in begun:
            if one.process.poll() is None:
                one.kill()
            assert one.process.stderr is not None
            one.process.stderr.close()


def begin(away: SmallCampaign, *options: str) -> Worker:
    said = away.root / f"said-{next(_NUMBERS)}"
    with said.open("wb") as out:
        process = away.begin("worker", "--json", *options, out=out)
    return Worker(process, said)


_NUMBERS = itertools.count()


def states_of(campaign: SmallCampaign, letter: str = "open-letter") -> dict[str, str]:
    """The same as `campaign.states()`, without the start of a process."""
    with psycopg.connect(campaign.env["PETITION_DATABASE"]) as connection:
        return _states(connection, letter)


def _states(connection: psycopg.Connection, letter: str = "open-letter") -> dict[str, str]:
    query = "SELECT mailbox, state FROM copy WHERE letter = %s AND newest = 1"
    rows = connection.execute(query, [letter]).fetchall()
    return {mailbox.partition("@")[0]: state for mailbox, state in rows}


def wait_until_done(campaign: SmallCampaign, *, uncertain: int = 0) -> dict[str, str]:
    with psycopg.connect(campaign.env["PETITION_DATABASE"], autocommit=True) as looking:
        wait_until(lambda: set(_states(looking).values()) <= {State.SENT, State.UNCERTAIN})
    states = states_of(campaign)
    assert list(states.values()).count(State.UNCERTAIN) <= uncertain
    return states


def nobody_twice_nobody_lost(server: CountingServer, states: dict[str, str], people: int) -> None:
    assert len(states) == people
    assert max(server.accepted.values()) == 1
    got = {address.partition("@")[0] for address in server.accepted}
    assert {name for name, state in states.items() if state == State.SENT} <= got
    assert got >= {name for name, state in states.items() if state != State.UNCERTAIN}


def wait_for(server: CountingServer, letters: int) -> None:
    """Wait until the server has taken so many letters."""
    deadline = time.monotonic() + PATIENCE
    while server.accepted.total() < letters:
        assert time.monotonic() < deadline
        time.sleep(0.005)


def wait_until(is_met: Callable[[], bool]) -> None:
    """Wait for something that comes sooner or later."""
    deadline = time.monotonic() + PATIENCE
    while not is_met():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def at_pace(campaign: SmallCampaign, pace: str) -> SmallCampaign:
    settings = campaign.root / "petition.toml"
    campaign.write("petition.toml", f"{settings.read_text()}\n[pace]\n{pace}\n")
    return campaign
