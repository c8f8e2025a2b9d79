"""petition send --at and [pace] grace: what was confirmed goes then, and nothing before."""

import os
import re
import shlex
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from petition.cli.send_later import Moment, wait_until
from petition.errors import UsageError
from tests import PATIENCE
from tests.acceptance.small import SET_CLOCK, SETTINGS, SmallCampaign, confirmed, held
from tests.servers.counting import CountingServer, counting_server

# A machine on which every second of waiting for --at is five minutes.
IN_A_HURRY = f"""
{SET_CLOCK}
import types
from petition.cli import send_later
def sleep(seconds):
    global ahead
    ahead += datetime.timedelta(seconds=seconds if seconds < 1 else 300)
send_later.time = types.SimpleNamespace(time=lambda: Clock.now().timestamp(), sleep=sleep)
"""


@pytest.fixture
def server():
    with counting_server() as server:
        yield server


@pytest.fixture
def campaign(tmp_path: Path, server: CountingServer) -> SmallCampaign:
    campaign = SmallCampaign.at(tmp_path).through(server.port)
    campaign.write("petition.toml", f'{SETTINGS}\n[pace]\ngrace = "1 s"\n')
    return campaign


def sent_tomorrow(campaign: SmallCampaign, letter: str) -> tuple[int, str]:
    """What `send --at` of this time of tomorrow ends with and says."""
    at = datetime.now(UTC) + timedelta(days=1)
    command = ("send", letter, "--at", f"{at:%Y-%m-%d %H:%M}")
    child = campaign.on_terminal(*command, before=IN_A_HURRY)
    child.expect_exact("[y/N]")
    shown = child.before
    child.send("y\n")
    status, said = child.end()
    return status, shown + said


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
        ("recipients.csv", "p3,p3@x.example,P3,\r\n", "", "the list"),
        ("petition.toml", "Water Campaign <", "Water Group <", "from"),
    ],
)
def test_what_was_not_confirmed_does_not_go(
    campaign: SmallCampaign, server: CountingServer, file: str, before: str, after: str, told: str
):
    with held(campaign) as child:
        text = (campaign.root / file).read_bytes().decode()
        assert before in text
        campaign.write(file, text.replace(before, after))
    status, said = child.end()
    assert status == 2
    assert told in " ".join(said.split())
    assert server.accepted.total() == 0
    assert not campaign.states()


def test_who_leaves_meanwhile_stops_nothing_for_the_others(
    campaign: SmallCampaign, server: CountingServer
):
    campaign.petition("send", "open-letter", "--to", "p1", "--yes", status=0)  # there is a log
    with held(campaign) as child:
        campaign.petition("suppress", "p2@x.example", status=0)
    assert child.end()[0] == 0
    assert {who.partition("@")[0] for who in server.accepted} == {"p1", "p3"}


def test_an_error_that_came_up_meanwhile_stops_it(campaign: SmallCampaign, server: CountingServer):
    with held(campaign) as child:
        campaign.write("letters/open-letter.md", "---\n---\nDear {{ recipient.nmae }}")
    assert child.end()[0] in {1, 2}
    assert server.accepted.total() == 0


def test_nobody_else_sends_meanwhile(campaign: SmallCampaign, server: CountingServer):
    with held(campaign) as child:
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


def test_the_schedule_of_this_system_is_printed(tmp_path: Path, server: CountingServer):
    campaign = SmallCampaign.at(tmp_path)
    smtp = f'[smtp]\nhost = "127.0.0.1"\nport = {server.port}\nsecurity = "none"\n'
    campaign.write("petition.toml", f"{SETTINGS}\n{smtp}")
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


def test_systemd_expands_nothing_in_the_schedule(tmp_path: Path):
    folder = tmp_path / "at $HOME"
    folder.mkdir()
    campaign = SmallCampaign.at(folder)
    arguments = ("-C", str(folder), "send", "open-letter", "--at", "09:00", "--print-schedule")
    with campaign.begin(*arguments, program=("-m", "petition"), out=subprocess.PIPE) as run:
        words = shlex.split(run.communicate(timeout=PATIENCE)[0])
    at = words.index("-C")
    assert words[at + 1] == f"{tmp_path}/at $$HOME"
    program = [word for word in words[:at] if not word.startswith("-") or word == "-P"]
    assert program[-1] == "petition"  # python -P -m petition
    assert sys.executable in program


def test_the_schedule_names_a_program_that_was_called_by_a_relative_path(tmp_path: Path):
    campaign = SmallCampaign.at(tmp_path / "campaign")
    installed = Path(sys.executable).with_name("petition")
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "petition").symlink_to(installed)
    words = "bin/petition -C campaign send open-letter --at 09:00 --print-schedule"
    done = subprocess.run(
        words.split(),
        cwd=tmp_path,
        env={**os.environ, **campaign.environment},
        capture_output=True,
        text=True,
        check=True,
    )
    asked = shlex.split(done.stdout)
    assert asked[asked.index("-C") - 1] == str(installed.resolve())


def test_what_only_the_environment_says_is_not_scheduled(campaign: SmallCampaign):
    # It would be a rehearsal: systemd does not know PETITION_SMTP_HOST.
    said = campaign.petition("send", "open-letter", "--at", "09:00", "--print-schedule", status=2)
    assert "PETITION_SMTP_HOST" in said.err
    assert not said.out


def test_the_dates_that_are_shown_are_those_of_the_day_on_which_it_goes(
    tmp_path: Path, server: CountingServer
):
    campaign = SmallCampaign.at(tmp_path).through(server.port)
    due = datetime.now(UTC) + timedelta(days=15)
    status, said = sent_tomorrow(campaign, "open-letter")
    assert status == 0, said
    assert f"{due.day} {due:%B %Y}" in said
    assert f"{due.day} {due:%B %Y}" in campaign.petition("preview", "open-letter").out


def test_a_follow_up_goes_on_another_day(tmp_path: Path, server: CountingServer):
    campaign = SmallCampaign.at(tmp_path).through(server.port)
    campaign.write("letters/again.md", "---\nfollows: open-letter\n---\n{{ previous.days }} ago")
    campaign.petition("send", "open-letter", "--yes", status=0)
    status, said = sent_tomorrow(campaign, "again")
    assert status == 0, said
    assert "1 ago" in re.sub(r"\x1b\[[0-9;]*m", "", said)
    assert server.accepted.total() == 6


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
    assert Moment.parse(text).ahead(LONDON, NOW).astimezone(UTC).isoformat().startswith(utc)


@pytest.mark.parametrize(
    "text",
    ["", "soon", "25:00", "2026-02-30 09:00", "2026-11-30 13:59", "2028-01-01 09:00",
     "2027-03-28 01:30"],  # the last is skipped by summer time
)  # fmt: skip
def test_what_is_no_moment_is_refused(text: str):
    with pytest.raises(UsageError):
        Moment.parse(text).ahead(LONDON, NOW)


def test_a_machine_that_slept_through_the_moment_does_not_send():
    with pytest.raises(UsageError, match="late"):
        wait_until(datetime.fromtimestamp(time.time() - 3600, UTC), what="Nothing.")
    wait_until(datetime.fromtimestamp(time.time() - 60, UTC), what="Nothing.")


def test_a_moment_at_which_pace_holds_letters_is_refused_unless_the_run_waits(campaign):
    campaign.change("petition.toml", "[pace]", '[pace]\nbetween = "08:00-20:00"')
    at = ("send", "open-letter", "--dry-run", "--at")
    assert "08:00" in campaign.petition(*at, "03:00", status=2).err
    campaign.petition(*at, "03:00", "--wait", status=0)
    campaign.petition(*at, "09:00", status=0)
    campaign.petition("send", "open-letter", "--print-schedule", "--at", "03:00", status=2)
