"""Workers whose connections die, or whose database does: nobody twice and nobody lost."""

import random
import time
from contextlib import closing
from pathlib import Path

import psycopg
import pytest

from petition.outbox.states import State
from tests.acceptance.crew import (
    PATIENCE,
    SEND,
    campaign_on,
    nobody_twice_nobody_lost,
    states_of,
    wait_for,
    wait_until,
    wait_until_done,
    workers,
)
from tests.servers.counting import Gate, counting_server
from tests.servers.postgres import Postgres, running_postgres

WAITING = """
    SELECT pid, query FROM pg_stat_activity
    WHERE wait_event_type = 'Lock' AND wait_event = 'relation'
"""


def kill_who_writes(url: str) -> None:
    """Kill a connection in the middle of marks and results: it waits for us at that moment."""
    deadline = time.monotonic() + PATIENCE
    with (
        closing(psycopg.connect(url)) as holding,
        closing(psycopg.connect(url, autocommit=True)) as looking,
    ):
        while time.monotonic() < deadline:
            holding.execute("LOCK TABLE copy IN SHARE MODE")
            for _ in range(200):
                if found := looking.execute(WAITING).fetchall():
                    break
                time.sleep(0.005)
            for pid, query in found:
                if query.lstrip().startswith("WITH recorded"):
                    looking.execute("SELECT pg_terminate_backend(%s)", [pid])
                    return
            holding.rollback()
    raise AssertionError("nobody wrote")


def test_a_connection_that_is_killed_while_it_writes_costs_nobody_a_letter(
    tmp_path: Path, postgres: Postgres
):
    url = postgres.new_log()
    with counting_server(pause=0.002) as server:
        campaign = campaign_on(url, tmp_path, server.port, 150)
        campaign.petition(*SEND, status=0)
        with workers(campaign, 2) as both:
            kill_who_writes(url)
            states = wait_until_done(campaign, uncertain=4)
            for one in both:
                one.stop()
    nobody_twice_nobody_lost(server, states, 150)
    assert any(one.said_of("lost") for one in both)


@pytest.mark.slow
def test_connections_that_are_killed_at_random_cost_nobody_a_letter(
    tmp_path: Path, postgres: Postgres
):
    chance, url, people = random.Random(11), postgres.new_log(), 2000
    victims = """
        SELECT pid FROM pg_stat_activity
        WHERE backend_type = 'client backend' AND pid <> pg_backend_pid() ORDER BY pid
    """
    with counting_server(pause=0.01) as server:
        campaign = campaign_on(url, tmp_path, server.port, people)
        campaign.petition(*SEND, status=0)
        with (
            workers(campaign, 3) as crew,
            closing(psycopg.connect(url, autocommit=True)) as killer,
        ):
            for _ in range(20):
                wait_for(server, min(server.accepted.total() + chance.randint(1, 60), people - 50))
                if found := killer.execute(victims).fetchall():
                    killer.execute("SELECT pg_terminate_backend(%s)", chance.choice(found))
            states = wait_until_done(campaign, uncertain=4 * 20)
            for one in crew:
                one.stop()
    nobody_twice_nobody_lost(server, states, people)


@pytest.mark.parametrize(
    "is_killed", [pytest.param(False, id="restarted", marks=pytest.mark.slow), True]
)
def test_an_end_of_postgresql_is_survived(tmp_path: Path, is_killed: bool):
    with running_postgres() as database, counting_server(hold_after=60) as server:
        campaign = campaign_on(database.new_log(), tmp_path, server.port, 300)
        campaign.petition(*SEND, status=0)
        with workers(campaign, 2) as both:
            wait_until(lambda: all(one.said_of("started") for one in both))
            wait_for(server, 60)
            database.stop(is_killed=is_killed)
            server.hold_after = None
            database.start()
            states = wait_until_done(campaign, uncertain=8)
            for one in both:
                one.stop()
    nobody_twice_nobody_lost(server, states, 300)
    assert any(one.said_of("lost") for one in both)


def test_a_worker_waits_for_a_database_that_has_not_started_yet(tmp_path: Path):
    with running_postgres() as database, counting_server() as server:
        campaign = campaign_on(database.new_log(), tmp_path, server.port, 3)
        campaign.petition(*SEND, status=0)
        database.stop()
        assert "Check that the server is running" in campaign.petition("worker", "--once").err
        with workers(campaign, 1) as (one,):
            wait_until(lambda: one.said_of("lost") > 0)
            database.start()
            states = wait_until_done(campaign)
            one.stop()
    nobody_twice_nobody_lost(server, states, 3)


def test_what_a_worker_heard_while_postgresql_was_away_is_kept(tmp_path: Path):
    gate = Gate()
    with running_postgres() as database, counting_server() as server:
        server.sleep = gate.wait
        campaign = campaign_on(database.new_log(), tmp_path, server.port, 1)
        campaign.petition(*SEND, status=0)
        with workers(campaign, 1) as [one]:
            assert gate.arrived.wait(PATIENCE)
            database.stop()
            gate.opened.set()
            wait_until(lambda: one.said_of("lost") > 0)
            database.start()
            # Whoever looks first may call it uncertain; the worker knows better.
            wait_until(lambda: set(states_of(campaign).values()) == {State.SENT})
            one.stop()
    assert server.accepted.total() == 1
