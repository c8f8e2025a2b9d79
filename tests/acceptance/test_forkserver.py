"""A command that the tests fork is the command that a person starts."""

import subprocess
import sys
from pathlib import Path

import pytest

from petition.cli.commands import COMMANDS
from tests.acceptance.small import Answer, SmallCampaign


def started(campaign: SmallCampaign, *arguments: str) -> Answer:
    """Run petition in a process that has nothing to do with the server."""
    done = subprocess.run(
        [sys.executable, "-m", "petition", *arguments],
        cwd=campaign.root,
        env=campaign.environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    return Answer(done.returncode, done.stdout, done.stderr)


ONE_OF_EACH_MODULE = {one.module: name for name, one in COMMANDS.items()}.values()


@pytest.mark.parametrize("command", ONE_OF_EACH_MODULE)
def test_each_command_can_be_started(campaign: SmallCampaign, command: str):
    assert started(campaign, command, "--help") == campaign.petition(command, "--help", status=0)


@pytest.mark.parametrize(
    "arguments",
    [
        ("check", "--json"),
        ("preview", "open-letter", "--to", "p1"),
        ("status",),
        ("send", "nosuch"),
    ],
    ids=" ".join,
)
def test_it_says_the_same_and_ends_in_the_same_way(
    campaign: SmallCampaign, arguments: tuple[str, ...]
):
    one, other = started(campaign, *arguments), campaign.petition(*arguments)
    assert (one.status, one.err) == (other.status, other.err)
    assert len(one.out) == len(other.out)  # times differ


def test_nothing_is_left_of_a_command_for_the_next(tmp_path: Path):
    one = SmallCampaign.at(tmp_path / "one", people=1)
    other = SmallCampaign.at(tmp_path / "other", people=2)
    one.env["PETITION_SMTP_HOST"] = "smtp.somewhere-real.org"
    assert (
        one.petition("check", "--json").json["problems"]
        != other.petition("check", "--json").json["problems"]
    )
    assert other.petition("send", "open-letter", status=0).out.startswith("letter")
    assert not (one.root / "outbox").exists()


def test_a_command_that_does_not_end_is_ended(campaign: SmallCampaign):
    with pytest.raises(subprocess.TimeoutExpired):
        campaign.petition("sandbox", "--port", "0", timeout=1)
    assert campaign.petition("--version", status=0).out
