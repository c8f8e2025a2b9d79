"""A server that refuses everybody for a while: nobody is charged, and the sentence says why."""

import signal
import subprocess
from pathlib import Path

import psycopg
import pytest

from petition.outbox.states import State
from tests import PATIENCE
from tests.acceptance.crashed import read_log
from tests.acceptance.crew import SEND, campaign_on, nobody_twice_nobody_lost
from tests.acceptance.killable import TAKING_BACK
from tests.acceptance.small import SmallCampaign
from tests.acceptance.test_kill import KILLABLE
from tests.servers.counting import CountingServer, counting_server
from tests.servers.postgres import Postgres

FOR_NOW, FOR_GOOD = "451 4.3.0 Please slow down", "550 Not today, goodbye"
SAID = [FOR_NOW, FOR_GOOD]
PEOPLE = 6
# Waits milliseconds where a run waits seconds.
SOON = """
from petition.sending import circuit_breaker
circuit_breaker.RESTS = (0.01,)
"""


def refusing(said: str) -> dict[str, str]:
    return {f"p{number}": said for number in range(PEOPLE)}


def at_two_providers_and_more(campaign: SmallCampaign) -> SmallCampaign:
    rows = "".join(f"p{one},p{one}@{'abc'[one % 3]}.example,P{one},X\n" for one in range(PEOPLE))
    campaign.write("recipients.csv", f"id,email,name,town\n{rows}")
    return campaign


def through(server: CountingServer, root: Path) -> SmallCampaign:
    return at_two_providers_and_more(SmallCampaign.at(root).through(server.port))


def soon(campaign: SmallCampaign, *words: str) -> tuple[int, str]:
    run = campaign.begin(*words, before=SOON, out=subprocess.PIPE)
    with run:
        out, err = run.communicate(timeout=PATIENCE)
    return run.returncode, " ".join(f"{out} {err}".split())


@pytest.mark.parametrize("said", SAID)
def test_a_run_that_is_refused_ends_with_the_words_of_the_server(tmp_path: Path, said: str):
    with counting_server(answers=refusing(said)) as server:
        campaign = through(server, tmp_path)
        status, shown = soon(campaign, "send", "open-letter", "--yes")
        assert status == 3
        assert f"open-letter: {PEOPLE} queued" in shown
        assert f"refuses more letters for now: {said}" in shown
        assert "rate in [pace]" in shown
        assert "closing the connection" not in shown
        assert "failed" not in shown
        counts = campaign.petition("status", "open-letter", "--json").json
        assert counts["queued"] == counts["total"] == PEOPLE
        server.answers = {}
        campaign.petition("send", "open-letter", "--yes", status=0)
        nobody_twice_nobody_lost(server, campaign.states(), PEOPLE)


def test_who_looks_on_hears_of_the_limit_at_the_first_pause(tmp_path: Path):
    with counting_server(answers=refusing(FOR_GOOD)) as server:
        campaign = through(server, tmp_path)
        run = campaign.begin("send", "open-letter", "--yes")
        with run:
            while "refuses more letters for now" not in (line := run.stderr.readline()):
                assert line
            assert FOR_GOOD in line
            run.send_signal(signal.SIGINT)
            _, err = run.communicate(timeout=PATIENCE)
        assert run.returncode == 130, err
        assert set(campaign.states().values()) == {State.QUEUED}


@pytest.mark.parametrize("said", SAID)
@pytest.mark.parametrize("point", TAKING_BACK)
def test_a_kill_while_attempts_are_taken_back(tmp_path: Path, point: str, said: str):
    """All of them or none; and whoever was not taken back is due later, or a person retries."""
    with counting_server(answers=refusing(said)) as server:
        campaign = through(server, tmp_path)
        send = ("send", "open-letter", "--yes")
        killed = campaign.begin(point, "1", *send, program=KILLABLE)
        _, err = killed.communicate(timeout=PATIENCE)
        assert killed.returncode == -9, err
        server.wait_until_alone()
        left = read_log(campaign.root)
        charged = left.those("failed" if said == FOR_GOOD else "deferred")
        # They may have been recorded in the very commit that took them back, and were in hand.
        assert len(charged) <= (0 if point == "behind taking back" else 2)
        assert not left.marked
        server.answers = {}
        campaign.write("petition.toml", (campaign.root / "petition.toml").read_text() + RETRY)
        if said == FOR_GOOD:
            campaign.petition("retry", "open-letter", status=0)
        campaign.petition(*send, "--wait", status=0)
        nobody_twice_nobody_lost(server, campaign.states(), PEOPLE)


RETRY = '\n[pace]\nretry = ["1 s"]\n'  # what is due later than this is due now


@pytest.mark.parametrize("said", SAID)
def test_a_worker_takes_back_what_it_charged(tmp_path: Path, postgres: Postgres, said: str):
    with counting_server(answers=refusing(said)) as server:
        campaign = campaign_on(postgres.new_log(), tmp_path, server.port, 1)
        at_two_providers_and_more(campaign).petition(*SEND, status=0)
        status, shown = soon(campaign, "worker", "--once")
        assert status == 4
        assert f"refuses more letters for now: {said}" in shown
        assert set(campaign.states().values()) == {State.QUEUED}
        with psycopg.connect(campaign.env["PETITION_DATABASE"]) as connection:
            done = connection.execute("SELECT sent, deferred, failed, uncertain FROM worker")
            assert done.fetchall() == [(0, 0, 0, 0)]
            attempts = connection.execute("SELECT DISTINCT attempts, waiting_since FROM copy")
            assert attempts.fetchall() == [(0, None)]
        server.answers = {}
        campaign.petition("worker", "--once", status=0)
        nobody_twice_nobody_lost(server, campaign.states(), PEOPLE)
