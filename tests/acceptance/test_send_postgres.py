"""The whole program on a log in PostgreSQL: nobody gets a letter twice, whoever dies."""

import subprocess
import time
from pathlib import Path

import psycopg
import pytest

from petition.outbox.log import Log
from petition.outbox.states import State
from tests import PATIENCE
from tests.acceptance.small import SmallCampaign
from tests.servers.counting import CountingServer, Gate, counting_server
from tests.servers.postgres import Postgres, running_postgres

SEND = ("send", "open-letter", "--yes")
PASSWORD = "hunter2"  # which a server that trusts does not ask for


def campaign_on(url: str, folder: Path, port: int, people: int = 3) -> SmallCampaign:
    campaign = SmallCampaign.at(folder, people).through(port)
    campaign.env["PETITION_DATABASE"] = url.replace("postgres@", f"postgres:{PASSWORD}@")
    return campaign


def wait_for(server: CountingServer, letters: int) -> None:
    deadline = time.monotonic() + PATIENCE
    while server.accepted.total() < letters:
        assert time.monotonic() < deadline
        time.sleep(0.005)


def finish(campaign: SmallCampaign, server: CountingServer, people: int) -> None:
    """Send the rest; everybody has it once, or a person has to look."""
    campaign.petition(*SEND)
    states = campaign.states()
    assert len(states) == people
    assert set(states.values()) <= {State.SENT, State.UNCERTAIN}
    assert max(server.accepted.values()) == 1
    got = {address.partition("@")[0] for address in server.accepted}
    assert {name for name, state in states.items() if state == State.SENT} <= got
    uncertain = [name for name, state in states.items() if state == State.UNCERTAIN]
    assert len(uncertain) <= 4  # one a connection
    assert got >= set(states) - set(uncertain)


def test_the_commands_on_postgresql_and_the_way_there(tmp_path: Path, postgres: Postgres):
    said = []
    with counting_server() as server:
        file = SmallCampaign.at(tmp_path).through(server.port)
        file.petition("send", "open-letter", "--yes", "--limit", "1", status=0)
        campaign = campaign_on(postgres.new_log(), tmp_path, server.port)
        url = campaign.env["PETITION_DATABASE"]
        assert "nothing has been sent yet" in campaign.petition("resolve", "--all", "--sent").err
        said.append(file.petition("migrate", url, status=0))
        assert "Moved 3 copies" in said[0].out or "Moved 1 copy" in said[0].out
        assert "was moved to postgresql:///postgres" in file.petition(*SEND, status=1).err
        said.append(campaign.petition(*SEND, status=0))
        assert server.accepted.total() == 3
        said.append(campaign.petition(*SEND, status=0))
        assert server.accepted.total() == 3
        commands = (
            ["status"],
            ["status", "open-letter", "--json"],
            ["log"],
            ["check"],
            ["suppress", "p1@x.example"],
            ["report"],
            ["export", "p2@x.example"],
            ["forget", "p2@x.example", "--yes"],
            ["evidence", "pack.zip"],
            ["evidence", "--verify", "pack.zip"],
        )
        said += [campaign.petition(*command, status=0) for command in commands]
        back = f"sqlite:///{tmp_path}/petition.db"
        assert campaign.petition("migrate", back, "--json", status=0).json["rows"]["copy"] == 3
        assert file.petition("status", "open-letter", "--json", status=0).json["sent"] == 3
    for answer in said:
        assert PASSWORD not in answer.out + answer.err


def test_a_rehearsal_is_not_moved(campaign: SmallCampaign):
    campaign.petition("send", "open-letter", status=0)
    assert "rehearsal" in campaign.petition("migrate", "sqlite:///a.db", status=2).err
    assert not (campaign.root / "a.db").exists()


def test_a_log_is_not_moved_to_where_it_is(tmp_path: Path, postgres: Postgres):
    with counting_server() as server:
        campaign = SmallCampaign.at(tmp_path, 2).through(server.port)
        campaign.petition(*SEND, status=0)
        for same in ("sqlite:///petition.db", f"sqlite:///../{tmp_path.name}/petition.db"):
            refused = campaign.petition("migrate", same, status=2).err
            assert "petition.db already." in refused
        there = postgres.new_log()
        campaign.petition("migrate", there, status=0)
        campaign.env["PETITION_DATABASE"] = there
        assert "already" in campaign.petition("migrate", there, status=2).err


def test_what_is_no_database_is_not_quoted(campaign: SmallCampaign):
    assert "secret" not in campaign.petition("migrate", "mysql://ann:secret@host", status=2).err


@pytest.mark.parametrize("letters", [1, 7, 19])
def test_a_run_that_is_killed_is_found_and_gone_on_with(
    tmp_path: Path, postgres: Postgres, letters: int
):
    with counting_server(pause=0.01) as server:
        campaign = campaign_on(postgres.new_log(), tmp_path, server.port, 40)
        with campaign.begin(*SEND) as run:
            wait_for(server, letters)
            run.kill()
        finish(campaign, server, 40)


def test_of_two_runs_at_once_one_refuses(tmp_path: Path, postgres: Postgres):
    with counting_server(pause=0.02) as server:
        url = postgres.new_log()
        campaign = campaign_on(url, tmp_path, server.port, 40)
        with Log(url) as log, log.owned():
            refused = campaign.petition(*SEND, status=2)
        assert "is sending from postgresql:///postgres" in refused.err
        with campaign.begin(*SEND) as one, campaign.begin(*SEND) as other:
            assert {one.wait(PATIENCE), other.wait(PATIENCE)} <= {0, 2}
        finish(campaign, server, 40)


def test_a_restart_of_postgresql_in_the_middle_costs_no_letter(tmp_path: Path):
    with running_postgres() as database, counting_server(hold_after=9) as server:
        campaign = campaign_on(database.new_log(), tmp_path, server.port, 40)
        with campaign.begin(*SEND) as run:
            wait_for(server, 9)
            database.stop()
            database.start()
            server.hold_after = None
            assert run.stderr is not None
            said = run.stderr.read()
            assert run.wait(PATIENCE) == 1
        assert "Traceback" not in said
        assert "run the same command again" in said
        finish(campaign, server, 40)


def test_what_the_server_said_while_postgresql_was_away_is_kept(tmp_path: Path):
    gate = Gate()
    with running_postgres() as database, counting_server() as server:
        server.sleep = gate.wait
        campaign = campaign_on(database.new_log(), tmp_path, server.port, 1)
        with campaign.begin(*SEND) as run:
            assert gate.arrived.wait(PATIENCE)
            database.stop()
            gate.opened.set()
            assert run.stderr is not None
            said = run.stderr.readline()
            while "trying for" not in said:
                assert said
                said = run.stderr.readline()
            database.start()
            assert run.wait(PATIENCE) == 1
        assert set(campaign.states().values()) == {State.SENT}
        assert "Ok: queued" in campaign.petition("log", "p1", status=0).out
        campaign.petition(*SEND, status=0)
        assert server.accepted.total() == 1


def test_a_connection_that_is_lost_while_rows_are_read_is_told(tmp_path: Path, postgres: Postgres):
    url = postgres.new_log()
    with counting_server() as server:
        campaign = campaign_on(url, tmp_path, server.port)
        campaign.petition(*SEND, status=0)
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(
            "INSERT INTO event (copy, at, to_state) SELECT copy, at, to_state FROM event,"
            " generate_series(1, 3000)"
        )
        with campaign.begin("log", out=subprocess.PIPE) as run:
            assert run.stdout is not None
            run.stdout.read(1)  # it goes on to write what nobody reads, and waits
            connection.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE application_name = 'petition'"
            )
            _, err = run.communicate(timeout=PATIENCE)
    assert run.returncode == 1
    assert "Traceback" not in err
    assert "Internal error" not in err
    assert "postgresql:///postgres: " in err
