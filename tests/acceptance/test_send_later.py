"""petition send --at and [pace] grace: what was confirmed goes then, and nothing before."""

import shlex
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from petition.cli.send_later import moment_of, wait_until
from petition.errors import UsageError
from tests.acceptance.small import SETTINGS, SmallCampaign, Terminal
from tests.servers.counting import CountingServer, counting_server

WAITS = "Nothing is queued"


@pytest.fixture
def server():
    with counting_server() as server:
        yield server


@pytest.fixture
def campaign(tmp_path: Path, server: CountingServer) -> SmallCampaign:
    campaign = SmallCampaign.at(tmp_path).through(server.port)
    campaign.write("petition.toml", f'{SETTINGS}\n[pace]\ngrace = "1 s"\n')
    return campaign


def confirmed(campaign: SmallCampaign) -> Terminal:
    """A `send` that was confirmed, and waits."""
    child = campaign.on_terminal("send", "open-letter")
    child.expect_exact("[y/N]")
    child.send("y\n")
    child.expect_exact(WAITS)
    return child


@contextmanager
def held(child: Terminal) -> Iterator[None]:
    """Hold a program meanwhile, as on a machine that is slow."""
    child.signal(signal.SIGSTOP)
    yield
    child.signal(signal.SIGCONT)


def test_it_goes_when_the_grace_has_passed(campaign: SmallCampaign, server: CountingServer):
    child = confirmed(campaign)
    assert child.end()[0] == 0
    assert server.accepted.total() == 3
    campaign.petition("send", "open-letter", "--yes", status=0)
    assert server.accepted.total() == 3


def test_ctrl_c_takes_everything_back(campaign: SmallCampaign, server: CountingServer):
    campaign.change("petition.toml", "1 s", "1 h")
    child = confirmed(campaign)
    child.interrupt()
    assert child.end()[0] == 130
    assert not campaign.states()
    assert server.accepted.total() == 0


def test_killed_while_it_waits_nothing_was_queued(campaign: SmallCampaign, server: CountingServer):
    campaign.change("petition.toml", "1 s", "1 h")
    confirmed(campaign).kill()
    assert not campaign.states()
    campaign.change("petition.toml", "1 h", "1 s")
    campaign.petition("send", "open-letter", "--yes", status=0)
    assert server.accepted.total() == 3


@pytest.mark.parametrize(
    ("file", "before", "after", "told"),
    [
        ("letters/open-letter.md", "**clean**", "clear", "the text"),
        ("recipients.csv", "P2,", "Pat,", "the list"),
        ("recipients.csv", "p3,p3@x.example,P3,\r\n", "", "how many"),
        ("petition.toml", "Water Campaign <", "Water Group <", "from"),
    ],
)
def test_what_was_not_confirmed_does_not_go(
    campaign: SmallCampaign, server: CountingServer, file: str, before: str, after: str, told: str
):
    child = confirmed(campaign)
    with held(child):
        text = (campaign.root / file).read_bytes().decode()
        assert before in text
        campaign.write(file, text.replace(before, after))
    status, said = child.end()
    assert status == 2
    assert told in " ".join(said.split())
    assert server.accepted.total() == 0
    assert not campaign.states()


def test_an_error_that_came_up_meanwhile_stops_it(campaign: SmallCampaign, server: CountingServer):
    child = confirmed(campaign)
    with held(child):
        campaign.write("letters/open-letter.md", "---\n---\nDear {{ recipient.nmae }}")
    assert child.end()[0] in {1, 2}
    assert server.accepted.total() == 0


def test_nobody_else_sends_meanwhile(campaign: SmallCampaign, server: CountingServer):
    child = confirmed(campaign)
    with held(child):
        campaign.petition("send", "open-letter", "--yes", status=2)
    assert child.end()[0] == 0
    assert sorted(server.accepted.values()) == [1, 1, 1]


@pytest.mark.slow
def test_it_goes_at_its_moment(tmp_path: Path, server: CountingServer):
    campaign = SmallCampaign.at(tmp_path).through(server.port)
    at = datetime.now(UTC) + timedelta(minutes=1, seconds=20)
    at = at.replace(second=0, microsecond=0)
    campaign.petition("send", "open-letter", "--yes", "--at", f"{at:%Y-%m-%d %H:%M}", status=0)
    assert server.accepted.total() == 3
    assert datetime.now(UTC) >= at


def test_the_schedule_of_this_system_is_printed(campaign: SmallCampaign, server: CountingServer):
    at = datetime.now(UTC) + timedelta(days=2)
    said = campaign.petition(
        "send", "open-letter", "--to", "P 2", "--at", f"{at:%Y-%m-%d} 09:00", "--print-schedule",
        status=0,
    )  # fmt: skip
    words = shlex.split(said.out)
    assert f"--on-calendar={at:%Y-%m-%d} 09:00:00 UTC" in words
    assert words[-5:] == ["send", "open-letter", "--to", "P 2", "--yes"]
    assert words[words.index("-C") + 1] == str(campaign.root)
    assert server.accepted.total() == 0
    assert not campaign.states()


LONDON = ZoneInfo("Europe/London")
NOW = datetime(2026, 11, 30, 14, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "utc"),
    [
        ("2026-12-01 09:00", "2026-12-01T09:00"),
        ("2026-12-01T9:00", "2026-12-01T09:00"),
        ("15:30", "2026-11-30T15:30"),
        ("09:00", "2026-12-01T09:00"),
        ("2027-07-01 09:00", "2027-07-01T08:00"),  # summer time
        ("2027-10-31 01:30", "2027-10-31T00:30"),  # twice: the first
    ],
)
def test_a_moment_is_one_of_the_campaign_s_time_zone(text: str, utc: str):
    assert moment_of(text, LONDON, NOW).astimezone(UTC).isoformat().startswith(utc)


@pytest.mark.parametrize(
    "text",
    ["", "soon", "25:00", "2026-02-30 09:00", "2026-11-30 13:59", "2028-01-01 09:00",
     "2027-03-28 01:30"],  # the last is skipped by summer time
)  # fmt: skip
def test_what_is_no_moment_is_refused(text: str):
    with pytest.raises(UsageError):
        moment_of(text, LONDON, NOW)


def test_a_machine_that_slept_through_the_moment_does_not_send():
    with pytest.raises(UsageError, match="late"):
        wait_until(datetime.fromtimestamp(time.time() - 3600, UTC), what="Nothing.")
    wait_until(datetime.fromtimestamp(time.time() - 60, UTC), what="Nothing.")
