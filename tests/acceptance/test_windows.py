"""petition on the Windows build of CPython, under Wine, installed from its wheel."""

import email
import email.policy
import random
import re
import zipfile
from pathlib import Path

import pytest

from petition import __version__
from tests import PATIENCE
from tests.acceptance.crashed import SEND, Crashing, Moment
from tests.acceptance.crew import wait_until
from tests.acceptance.returning import Returns
from tests.acceptance.small import SmallCampaign
from tests.acceptance.windows_campaign import Running, WindowsCampaign
from tests.servers.counting import counting_server
from tests.servers.windows import Windows

pytestmark = [pytest.mark.slow, pytest.mark.component("wine", "windows-python")]

CONNECTIONS = 4
CRASHES = 12
SHARE = 20  # of the letters, for each run that is killed
ANY_TIME = Moment(seconds=3.0)  # mostly before the first letter
AMONG_LETTERS = Moment(letters=SHARE - CONNECTIONS)

# Wine delivers Ctrl-C alone. The C library, which runs the handlers of both, can raise the other.
CTRL_BREAK = """
import pathlib, runpy, signal, threading, time
def wait():
    while not pathlib.Path("break").exists():
        time.sleep(0.01)
    signal.raise_signal(signal.SIGBREAK)
    pathlib.Path("break").unlink()
threading.Thread(target=wait, daemon=True).start()
runpy.run_module("petition", run_name="__main__", alter_sys=True)
"""


@pytest.fixture
def campaign(windows: Windows, tmp_path: Path) -> WindowsCampaign:
    return WindowsCampaign.at(tmp_path / "campaign", windows=windows)


def test_the_program_that_the_wheel_brings_sends_the_example_letter(
    windows: Windows, tmp_path: Path
):
    def petition(*arguments: str) -> str:
        status, out, err = windows.run(windows.petition, *arguments, cwd=tmp_path)
        assert status == 0, (out, err)
        return out

    assert petition("--version") == f"petition {__version__}\n"
    petition("init", "Мой город")  # of which the code page of the system has no letter
    petition("-C", "Мой город", "check")
    petition("-C", "Мой город", "send", "open-letter")
    outbox = list((tmp_path / "Мой город" / "outbox" / "new").iterdir())
    assert [path.suffix for path in outbox] == [".eml"] * 3  # which a double click opens
    for path in outbox:
        letter = email.message_from_bytes(path.read_bytes(), policy=email.policy.default)
        assert letter["Message-ID"]
        assert not letter.defects
        assert b"\r" not in path.read_bytes().replace(b"\r\n", b"")


def test_words_of_every_alphabet_go_through_a_pipe(campaign: WindowsCampaign):
    """In UTF-8, whatever the code page of the system; it is 1252 here."""
    _, _, err = campaign.windows.run(campaign.windows.python, "-c", "print('Д')", cwd=campaign.root)
    assert "UnicodeEncodeError" in err
    assert "preview" in campaign.petition("--help", status=0).out
    campaign.list_people("p1", "p2", "p3", p1="Алматы", p2="京都", p3="Malmö")
    shown = campaign.petition("preview", "open-letter", "--to", "p1", status=0).out
    assert "Алматы" in shown
    campaign.change("recipients.csv", "P2", "Жұлдыз")
    campaign.petition("send", "open-letter", status=0)
    assert "Жұлдыз" in campaign.petition("status", "open-letter", "--csv", status=0).out


def test_what_comes_back_is_read_told_and_packed(campaign: WindowsCampaign):
    returns = Returns(campaign)
    returns.arrive(
        returns.dsn("p1", "5.1.1", "550 5.1.1 User unknown"),
        returns.reply("p2", "Мы согласны. We can meet."),
    )
    mails = campaign.petition("inbox", "--json", status=0).json["mails"]
    assert [(one["kind"], one["email"]) for one in mails] == [
        ("bounce", "p1@x.example"),
        ("answer", "p2@x.example"),
    ]
    campaign.petition("answer", "p2", "meeting", "--quote", "Мы согласны.", status=0)
    assert campaign.states() == {"p1": "bounced", "p2": "sent", "p3": "sent"}
    assert "sent -> bounced" in campaign.petition("log", "p1", status=0).out
    campaign.petition("report", "--rehearsal", "--html", "report.html", status=0)
    assert "Clean water for Leeds" in (campaign.root / "report.html").read_text("utf-8")
    campaign.petition("evidence", "pack.zip", "--rehearsal", status=0)
    campaign.petition("evidence", "--verify", "pack.zip", status=0)
    # What is made there holds here.
    with zipfile.ZipFile(campaign.root / "pack.zip") as archive:
        assert not any("\\" in name for name in archive.namelist())
    SmallCampaign(campaign.root).petition("evidence", "--verify", "pack.zip", status=0)


def test_a_log_goes_on_from_one_system_to_the_other(campaign: WindowsCampaign):
    """The same people, the same log, the same bytes, in either direction; nobody twice."""
    with counting_server() as server:
        there = campaign.through(server.port)
        here = SmallCampaign(campaign.root).through(server.port)
        there.petition(*SEND, "--limit", "1", status=0)
        copies = []
        for name, one in (("there", there), ("here", here)):
            one.petition("preview", "open-letter", "--to", "p2", "--save", name, status=0)
            [copy] = (campaign.root / name).iterdir()
            copies.append(re.sub(rb"^Date: .*\r\n", b"", copy.read_bytes(), flags=re.MULTILINE))
        assert copies[0] == copies[1]
        here.petition(*SEND, "--limit", "1", "--this-log", status=0)
        there.petition(*SEND, "--this-log", status=0)
        assert server.accepted.total() == 3
        assert set(server.accepted.values()) == {1}
        assert here.states() == there.states() == dict.fromkeys(("p1", "p2", "p3"), "sent")


def test_a_second_send_beside_a_first_is_refused(campaign: WindowsCampaign):
    with counting_server(hold_after=1) as server:
        live = campaign.through(server.port)
        live.list_people(*(f"p{number}" for number in range(1, 11)))
        run = live.begin(*SEND)
        server.wait_for(1)
        refused = live.petition(*SEND, status=2)
        assert "is sending" in " ".join(refused.err.split())
        # To look is allowed meanwhile.
        assert live.petition("status", "open-letter", "--json", status=0).json["total"] == 10
        assert server.accepted.total() == 1
        server.hold_after = None
        _, err = run.communicate(timeout=PATIENCE)
        assert run.returncode == 0, err
        assert server.accepted.total() == 10
        assert set(server.accepted.values()) == {1}


@pytest.mark.parametrize("key", ["Ctrl-C", "Ctrl-Break"])
def test_a_key_ends_a_run_when_what_is_in_flight_has_arrived(campaign: WindowsCampaign, key: str):
    with counting_server(hold_after=5) as server:
        live = campaign.through(server.port)
        live.list_people(*(f"p{number}" for number in range(1, 41)))
        if key == "Ctrl-C":
            run = live.begin(*SEND)
            server.wait_for(5)
            run.interrupt()
            while "Ctrl-C again" not in (line := run.stderr.readline()):
                assert line
        else:
            run = live.begin(*SEND, program=("-c", CTRL_BREAK))
            server.wait_for(5)
            asked = live.write("break", "")
            wait_until(lambda: not asked.exists())
        server.hold_after = None
        _, err = run.communicate(timeout=PATIENCE)
        assert run.returncode == 130, err
        counts = live.petition("status", "open-letter", "--json").json
        assert counts["sent"] == server.accepted.total() < 40
        assert counts["queued"] == 40 - counts["sent"]
        live.petition(*SEND, status=0)
        assert len(server.accepted) == 40
        assert set(server.accepted.values()) == {1}


def test_what_is_ended_at_random_moments_is_finished(campaign: WindowsCampaign):
    """By TerminateProcess: nobody twice, nobody missed, one uncertain letter a connection."""
    people = CRASHES * SHARE
    with counting_server(pause=0.004) as server:
        # Wine 8 can keep a connection open whose process has ended; Windows closes it.
        server.patience = 15.0
        live = campaign.through(server.port)
        live.list_people(*(f"p{number}" for number in range(1, people + 1)))
        live.through(1).petition(*SEND, status=4)  # queues them: nobody listens there
        chance = random.Random(20150928)
        crashing = Crashing(live, server, CONNECTIONS, SHARE, chance, killed=Running.KILLED)
        for number in range(CRASHES):
            crashing.crash(ANY_TIME if number % 4 == 3 else AMONG_LETTERS)
        assert crashing.finish().letters == people
        assert sum(crashing.tally.unlogged) > 0  # some had been taken and not been recorded
