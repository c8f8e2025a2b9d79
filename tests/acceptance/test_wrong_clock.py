"""A clock that is wrong for a while: what is written down meanwhile holds nobody up afterwards."""

import sqlite3
from pathlib import Path

import pytest

from petition.outbox.states import State
from tests.acceptance.small import SmallCampaign
from tests.servers.counting import CountingServer, counting_server

SEND = ("send", "open-letter", "--yes")
LATER = "451 4.2.0 Later"


def deferred(folder: Path, server: CountingServer, *, days: int) -> SmallCampaign:
    """A campaign of which one letter was deferred, by a clock that was ahead."""
    server.answers = {"p2": LATER}
    campaign = SmallCampaign.at(folder).through(server.port)
    assert campaign.days_off(days, *SEND).status == 3
    return campaign


@pytest.mark.parametrize("days", [2, 365])
def test_what_a_clock_put_off_for_long_is_due_when_it_is_right(tmp_path: Path, days: int):
    with counting_server() as server:
        campaign = deferred(tmp_path, server, days=days)
        server.answers = {"p2": LATER}
        campaign.petition(*SEND, status=3)
        assert server.commands["MAIL"] == 4
        with sqlite3.connect(tmp_path / "petition.db") as log:
            row = log.execute(
                "SELECT waiting_since < strftime('%Y-%m-%dT%H:%M:%fZ') FROM copy"
                " WHERE state = 'deferred'"
            ).fetchone()
        log.close()
        assert row == (1,)  # and it is given up in its time
        with sqlite3.connect(tmp_path / "petition.db") as log:
            log.execute("UPDATE copy SET due_at = updated_at WHERE state = 'deferred'")
        log.close()
        server.answers = {}
        campaign.petition(*SEND, status=0)
    assert set(campaign.states().values()) == {State.SENT}
    assert set(server.accepted.values()) == {1}


def test_a_look_by_a_wrong_clock_fails_nobody(tmp_path: Path):
    with counting_server() as server:
        campaign = deferred(tmp_path, server, days=0)
        for command in (("status",), ("log",), ("suppress",), ("inbox",), ("report",)):
            campaign.days_off(6, *command)
        assert campaign.states()["p2"] == State.DEFERRED
        assert campaign.days_off(6, *SEND).status == 1  # who sends gives it up
        assert campaign.states()["p2"] == State.FAILED
