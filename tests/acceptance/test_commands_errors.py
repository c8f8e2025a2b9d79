"""How a command that cannot do its work says so, to a person and to a script."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from petition.outbox.states import State
from tests import PATIENCE
from tests.acceptance.queued import queue
from tests.acceptance.small import SmallCampaign

COMMANDS = [
    ("status",),
    ("status", "open-letter", "--state", "sent"),
    ("status", "--answers"),
    ("log",),
    ("inbox",),
    ("answer", "p1@x.example", "met", "--quote", "Yes."),
    ("resolve", "--all", "--sent"),
    ("retry", "open-letter"),
    ("withdraw", "open-letter"),
    ("suppress",),
    ("suppress", "p1@x.example"),
]


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_a_script_reads_why_there_is_nothing_to_read(command: tuple[str, ...], tmp_path):
    answer = SmallCampaign(tmp_path).petition(*command, "--json", status=1)
    (problem,) = answer.json["problems"]
    assert list(problem) == ["file", "line", "what", "hint", "level"]
    assert (problem["file"], problem["line"]) == ("petition.toml", None)
    assert "petition init" in problem["hint"]
    assert answer.err.startswith("petition.toml: not found in ")


def test_a_script_reads_what_was_wrong_with_a_call(campaign: SmallCampaign):
    answer = campaign.petition("status", "open-leter", "--json", status=2)
    (problem,) = answer.json["problems"]
    assert problem["what"] == 'there is no letter "open-leter" (letters/open-leter.md)'
    assert (problem["file"], problem["hint"]) == (None, "Did you mean open-letter")


def test_a_script_reads_that_the_log_is_none(campaign: SmallCampaign):
    campaign.write("rehearsal.db", "no database\n" * 100)
    for command in ("status", "log", "suppress"):
        (problem,) = campaign.petition(command, "--json", status=1).json["problems"]
        assert "not a database" in problem["what"]


def test_only_send_says_that_nothing_was_sent(campaign: SmallCampaign):
    campaign.change("petition.toml", "reply_to", "replyto")
    assert campaign.petition("send", "open-letter", status=1).err.endswith(
        "1 error; nothing was sent.\n"
    )
    for command in ("status", "preview", "log"):
        assert campaign.petition(command, status=1).err.endswith("1 error.\n")


def test_a_log_that_is_none_is_named_once(campaign: SmallCampaign):
    campaign.write("rehearsal.db", "no database\n" * 100)
    first = campaign.petition("check", status=1).out.splitlines()[0]
    assert first.startswith("rehearsal.db: ")
    assert "not a database" in first
    (campaign.root / "rehearsal.db").unlink()
    campaign.write("elsewhere.db", "")
    (campaign.root / "rehearsal.db").symlink_to("elsewhere.db")
    first = campaign.petition("check", status=1).out.splitlines()[0]
    assert first.startswith("rehearsal.db: it is a symbolic link. ")


def test_bytes_that_are_no_text_are_refused(campaign: SmallCampaign):
    campaign.petition("send", "open-letter", status=0)
    for command in (("log",), ("retry", "open-letter"), ("preview", "open-letter", "--to")):
        answer = campaign.petition(*command, "\udcff", status=2)
        assert "Internal error" not in answer.err
    answer = campaign.petition("log", "\udcff", "--json", status=2)
    assert len(answer.json["problems"]) == 1


def test_a_limit_beyond_all_numbers_limits_nothing(campaign: SmallCampaign):
    answer = campaign.petition("send", "open-letter", "--limit", "9" * 30, status=0)
    assert "open-letter: 3 sent." in answer.out


@pytest.mark.parametrize(
    "command",
    [
        ("log",),
        ("log", "--json"),
        ("status",),
        ("status", "open-letter", "--state", "sent"),
        ("status", "open-letter", "--csv"),
        ("check",),
        ("preview", "open-letter"),
        ("suppress",),
        ("export", "p1@x.example"),
        ("send", "open-letter", "--dry-run"),
    ],
    ids=" ".join,
)
def test_a_reader_who_has_gone_is_no_error(command: tuple[str, ...], tmp_path: Path):
    """As in `petition log | head -2`."""
    campaign = SmallCampaign.at(tmp_path, 30)
    queue(campaign, p1=State.SENT, p2=State.SENT)
    reading, writing = os.pipe()
    os.close(reading)
    with open(writing, "wb") as out, campaign.begin(*command, out=out) as run:  # noqa: PTH123
        _, err = run.communicate(timeout=PATIENCE)
    assert (run.returncode, err) == (141, "")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="Linux has it")
@pytest.mark.parametrize("arguments", ["--help", "--version", "send --help"])
def test_a_help_text_that_cannot_be_written_is_an_error(arguments: str):
    command = [sys.executable, "-m", "petition", *arguments.split()]
    with Path("/dev/full").open("wb") as full:
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    assert done.returncode == 1
    assert "No space left on device" in done.stderr
    assert "Internal error" not in done.stderr


_INTERRUPTED_AS_IT_LOADS = """
import os, signal, sys
class Finder:
    def find_spec(self, name, *_):
        if name == "MODULE":
            os.kill(os.getpid(), signal.SIGINT)
sys.meta_path.insert(0, Finder())
signal.signal(signal.SIGINT, signal.default_int_handler)
sys.argv = ["petition", "status"]
from petition.cli.start import run
run()
"""


@pytest.mark.parametrize("module", ["petition.cli.main", "petition.cli.status"])
def test_ctrl_c_while_the_program_loads_ends_it_as_at_any_time(campaign: SmallCampaign, module):
    code = _INTERRUPTED_AS_IT_LOADS.replace("MODULE", module)
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=campaign.root, capture_output=True, text=True, check=False
    )
    assert done.returncode == 130
    assert "Traceback" not in done.stderr
