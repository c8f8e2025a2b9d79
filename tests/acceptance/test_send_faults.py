"""A run that is interrupted, stopped, or has no place to write: nothing is lost, and it is said."""

import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests import PATIENCE
from tests.acceptance.small import SETTINGS, SmallCampaign
from tests.privileges import bound_by_permissions
from tests.servers.counting import CountingServer, counting_server

SMTP = """
[smtp]
host = "127.0.0.1"
port = {port}
security = "none"
"""


def only_once(server: CountingServer) -> bool:
    return set(server.accepted.values()) <= {1}


@pytest.mark.parametrize("sign", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_one_signal_finishes_what_is_in_flight(tmp_path: Path, sign: signal.Signals):
    with counting_server(hold_after=5) as server:
        campaign = SmallCampaign.at(tmp_path, people=60).through(server.port)
        run = campaign.begin("send", "open-letter", "--yes")
        server.wait_for(5)
        run.send_signal(sign)
        server.hold_after = None
        run.communicate(timeout=PATIENCE)
        assert run.returncode == 130
        counts = campaign.petition("status", "open-letter", "--json").json
        assert counts["sent"] == server.accepted.total() < 60
        assert counts["queued"] == 60 - counts["sent"]
        assert counts["sending"] == counts["uncertain"] == 0
        campaign.petition("send", "open-letter", "--yes", status=0)
        assert len(server.accepted) == 60
        assert only_once(server)


def test_a_second_ctrl_c_stops_at_once_and_says_what_is_uncertain(tmp_path: Path):
    with counting_server(hold_after=1) as server:
        campaign = SmallCampaign.at(tmp_path, people=20).through(server.port)
        run = campaign.begin("send", "open-letter", "--yes")
        server.wait_for(1)
        run.send_signal(signal.SIGINT)
        while "Ctrl-C again" not in (line := run.stderr.readline()):
            assert line
        run.send_signal(signal.SIGINT)
        _, err = run.communicate(timeout=PATIENCE)  # the server still holds its replies back
        assert run.returncode == 130, err
        counts = campaign.petition("status", "open-letter", "--json").json
        assert counts["sending"] == 0
        assert counts["uncertain"] <= 4
        assert server.accepted.total() <= counts["sent"] + counts["uncertain"]


def test_a_second_send_beside_a_stopped_one_refuses(tmp_path: Path):
    """SIGSTOP: the lock is still held, however long the owner sleeps."""
    with counting_server(hold_after=3) as server:
        campaign = SmallCampaign.at(tmp_path, people=60).through(server.port)
        run = campaign.begin("send", "open-letter", "--yes")
        server.wait_for(3)
        run.send_signal(signal.SIGSTOP)
        server.hold_after = None
        try:
            second = campaign.petition("send", "open-letter", "--yes", status=2)
            assert f"(process {run.pid})" in " ".join(second.err.split())
        finally:
            run.send_signal(signal.SIGCONT)
        run.communicate(timeout=PATIENCE)
        assert run.returncode == 0
        assert len(server.accepted) == 60
        assert only_once(server)


def test_two_sends_at_once(tmp_path: Path):
    with counting_server(pause=0.01) as server:
        campaign = SmallCampaign.at(tmp_path, people=40).through(server.port)
        runs = [campaign.begin("send", "open-letter", "--yes") for _ in range(3)]
        ends = sorted((run.communicate(timeout=PATIENCE), run.returncode)[1] for run in runs)
        assert set(ends) <= {0, 2}
        assert 0 in ends
        assert len(server.accepted) == 40
        assert only_once(server)


def test_a_person_withdraws_and_opts_out_while_a_run_is_under_way(tmp_path: Path):
    with counting_server(hold_after=3) as server:
        campaign = SmallCampaign.at(tmp_path, people=300).through(server.port)
        run = campaign.begin("send", "open-letter", "--yes")
        server.wait_for(3)
        campaign.petition("suppress", "p299@x.example", status=0)
        campaign.petition("withdraw", "open-letter", "p300@x.example", status=0)
        server.hold_after = None
        run.communicate(timeout=PATIENCE)
        states = campaign.states()
        assert (states["p299"], states["p300"]) == ("skipped", "skipped")
        assert not {"p299@x.example", "p300@x.example"} & set(server.accepted)
        assert run.returncode == 0


def test_a_read_only_log_is_said_and_nothing_is_sent(tmp_path: Path):
    with counting_server() as server:
        campaign = SmallCampaign.at(tmp_path).through(server.port)
        campaign.petition("send", "open-letter", "--yes", "--limit", "1", status=0)
        (tmp_path / "petition.db").chmod(0o444)
        done = subprocess.run(
            [*bound_by_permissions(), sys.executable, "-m", "petition", "send", "open-letter",
             "--yes"],
            cwd=tmp_path,
            env=campaign.environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )  # fmt: skip
        assert done.returncode == 1, done.stderr
        assert "readonly" in done.stderr
        assert "Traceback" not in done.stderr
        assert server.accepted.total() == 1


def test_a_clock_that_was_set_back_a_day_sends_nobody_a_second_copy(tmp_path: Path):
    with counting_server() as server:
        campaign = SmallCampaign.at(tmp_path).through(server.port)
        campaign.petition("send", "open-letter", "--yes", "--limit", "1", status=0)
        with sqlite3.connect(tmp_path / "petition.db") as database:
            # The same as a clock that is a day behind what the log has already seen.
            database.execute("UPDATE copy SET updated_at = '2999-01-01T00:00:00.000Z'")
            database.execute("UPDATE event SET at = '2999-01-01T00:00:00.000Z'")
        database.close()
        campaign.petition("send", "open-letter", "--yes", status=0)
        assert server.accepted.total() == 3
        assert only_once(server)


def test_a_server_that_is_not_reachable(tmp_path: Path):
    campaign = SmallCampaign.at(tmp_path).through(1)
    answer = campaign.petition("send", "open-letter", "--yes", status=4)
    assert "nothing answers at 127.0.0.1:1" in " ".join(answer.err.split())
    assert set(campaign.states().values()) == {"queued"}


def test_a_password_command_that_fails(tmp_path: Path):
    campaign = SmallCampaign.at(tmp_path)
    login = 'username = "me"\npassword_command = "false"\n'
    campaign.write("petition.toml", SETTINGS + SMTP.format(port=1) + login)
    campaign.trust()
    answer = campaign.petition("send", "open-letter", "--yes", status=4)
    assert "password_command ended with status 1" in " ".join(answer.err.split())


def test_the_pace_is_kept(tmp_path: Path):
    with counting_server() as server:
        campaign = SmallCampaign.at(tmp_path, people=6).through(server.port)
        campaign.write("petition.toml", SETTINGS + '\n[pace]\nrate = "10/s"\n')
        begun = time.monotonic()
        campaign.petition("send", "open-letter", "--yes", status=0)
        assert time.monotonic() - begun >= 0.5  # five gaps of a tenth; no upper bound is measured
        assert server.accepted.total() == 6


def test_the_daily_cap_ends_the_run_with_letters_left(tmp_path: Path):
    with counting_server() as server:
        campaign = SmallCampaign.at(tmp_path, people=6).through(server.port)
        campaign.write("petition.toml", SETTINGS + "\n[pace]\nper_day = 4\n")
        answer = campaign.petition("send", "open-letter", "--yes", status=3)
        assert "daily cap" in " ".join(answer.out.split())
        assert server.accepted.total() == 4
        campaign.petition("send", "open-letter", "--yes", status=3)
        assert server.accepted.total() == 4


def test_a_terminal_that_goes_away_stops_no_letter(tmp_path: Path):
    with counting_server(pause=0.01) as server:
        campaign = SmallCampaign.at(tmp_path, people=60).through(server.port)
        run = campaign.begin("send", "open-letter", "--yes")
        run.stderr.close()  # whatever is written there from now on fails with EPIPE
        run.wait(timeout=PATIENCE)
        counts = campaign.petition("status", "open-letter", "--json").json
        assert counts["sent"] == server.accepted.total() == 60


def test_a_password_is_asked_for_before_anything_is_queued(tmp_path: Path):
    campaign = SmallCampaign.at(tmp_path)
    login = 'username = "me"\npassword_command = "false"\n'
    campaign.write("petition.toml", SETTINGS + SMTP.format(port=1) + login)
    campaign.trust()
    campaign.petition("send", "open-letter", "--yes", status=4)
    assert campaign.states() == {}


def test_wait_stays_until_all_is_final(tmp_path: Path):
    """p1 is greylisted for a moment: the same command sends it, without being run again."""
    with counting_server(answers={"p1": "450 4.2.0 Greylisted"}) as server:
        campaign = SmallCampaign.at(tmp_path, people=3).through(server.port)
        campaign.write("petition.toml", SETTINGS + '\n[pace]\nretry = ["1 s"]\n')
        run = campaign.begin("send", "open-letter", "--yes", "--wait")
        server.wait_for(2)
        server.answers.pop("p1")
        _, err = run.communicate(timeout=PATIENCE)
        assert run.returncode == 0, err
        assert "Waiting until" in err
        assert set(campaign.states().values()) == {"sent"}
        assert only_once(server)


def test_reserved_domains_stay_on_this_machine(tmp_path: Path):
    campaign = SmallCampaign.at(tmp_path)
    campaign.env["PETITION_SMTP_HOST"] = "smtp.somewhere-real.org"
    campaign.env["PETITION_SMTP_PORT"] = "1"
    answer = campaign.petition("send", "open-letter", "--yes", status=1)
    said = " ".join(answer.err.split())
    assert "recipients.csv:2: p1@x.example is under a domain reserved for examples" in said
    assert (
        not (tmp_path / "petition.db").exists()
        or campaign.petition("status", "open-letter", "--json").json["total"] == 0
    )


def test_a_live_send_needs_somewhere_for_answers_to_go(tmp_path: Path):
    with counting_server() as server:
        campaign = SmallCampaign.at(tmp_path).through(server.port)
        campaign.change("petition.toml", 'reply_to = "answers@campaign.example"\n', "")
        answer = campaign.petition("send", "open-letter", "--yes", status=1)
        assert "[sender] has no reply_to" in " ".join(answer.err.split())
        assert server.accepted.total() == 0


def test_a_reply_by_date_that_is_past(tmp_path: Path):
    with counting_server() as server:
        campaign = SmallCampaign.at(tmp_path).through(server.port)
        campaign.change("letters/open-letter.md", "reply_by: 14 days", "reply_by: 2015-09-28")
        answer = campaign.petition("send", "open-letter", "--yes", status=1)
        assert "letters/open-letter.md:4: the reply-by date 2015-09-28 is past" in " ".join(
            answer.err.split()
        )
        assert server.accepted.total() == 0
        SmallCampaign(tmp_path).petition("send", "open-letter", status=0)  # a rehearsal may


def test_letters_of_a_rehearsal_are_for_their_owner_alone(tmp_path: Path):
    SmallCampaign.at(tmp_path).petition("send", "open-letter", status=0)
    for path in (tmp_path / "outbox").rglob("*"):
        assert path.stat().st_mode & 0o077 == 0, path
    assert (tmp_path / "rehearsal.db").stat().st_mode & 0o077 == 0
