"""Workers whose server, database or letters are not as they should be: they say it, and go on."""

import json
import signal
import socket
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import quote

import psycopg
import pytest

from petition.outbox.log import Log
from petition.outbox.states import State
from petition.outbox.workers import keep_servers_time
from petition.template.tags import BLOCK
from tests.acceptance.crew import (
    PATIENCE,
    SEND,
    at_pace,
    campaign_on,
    nobody_twice_nobody_lost,
    states_of,
    wait_for,
    wait_until,
    wait_until_done,
    workers,
)
from tests.acceptance.small import SmallCampaign, days_ahead
from tests.servers.counting import CountingServer, counting_server
from tests.servers.postgres import Postgres

# Refuses what is written at any other level, which would fail only now and then.
ISOLATED = """
    CREATE FUNCTION look() RETURNS trigger AS $$ BEGIN
        IF current_setting('transaction_isolation') <> 'read committed' THEN
            RAISE 'isolated in %', TG_TABLE_NAME;
        END IF;
        RETURN NEW;
    END $$ LANGUAGE plpgsql;
    DO $$ DECLARE one record; BEGIN
        FOR one IN SELECT tablename FROM pg_tables WHERE schemaname = current_schema()
            AND tablename LIKE 'procrastinate%' LOOP -- a log with triggers is refused
            EXECUTE format('CREATE TRIGGER look BEFORE INSERT OR UPDATE ON %I'
                           ' FOR EACH ROW EXECUTE FUNCTION look()', one.tablename);
        END LOOP;
    END $$
"""

# In a compiled template, which an older version could have made.
FILTERED = "{0} filter upper {1}the water{0} endfilter {1}".format(*BLOCK)

WAITS = "SELECT scheduled_at - now() FROM procrastinate_jobs WHERE status = 'todo'"
BUILT_IN = "task_name = 'builtin:procrastinate.builtin_tasks.remove_old_jobs', args = '{}'"


def on_log(campaign: SmallCampaign, statement: str) -> None:
    """Run a statement on the log, as somebody who can write to it."""
    with psycopg.connect(campaign.env["PETITION_DATABASE"], autocommit=True) as connection:
        connection.execute(statement.encode())


def die_after(campaign: SmallCampaign, server: CountingServer, letters: int) -> None:
    """Let a worker send so many letters, and kill it."""
    with workers(campaign, 1) as [one]:
        wait_for(server, letters)
        one.kill()


def said_of(campaign: SmallCampaign, *, status: int) -> list[str]:
    """The events of a worker that ends when nothing is left."""
    out = campaign.petition("worker", "--once", "--json", status=status).out
    return [json.loads(line)["event"] for line in out.splitlines()]


def test_a_server_that_does_not_answer_is_said(tmp_path: Path, postgres: Postgres):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # and does not listen
        campaign = campaign_on(postgres.new_log(), tmp_path, taken.getsockname()[1], 3)
        campaign.petition(*SEND, status=0)
        assert "127.0.0.1" in campaign.petition("worker", "--once", status=4).err
        with workers(campaign, 1) as crew:
            wait_until(lambda: crew[0].said_of("slowed") > 0)
            crew[0].stop()
    assert set(campaign.states().values()) == {State.QUEUED}


def test_a_worker_keeps_to_the_clock_of_the_database(postgres: Postgres):
    day = timedelta(days=1)
    with Log(postgres.new_log(), clock=lambda: datetime.now(UTC) + day) as log:
        keep_servers_time(log)
        assert abs(log.clock() - datetime.now(UTC)) < day / 2


def test_the_job_of_a_worker_that_died_just_now_is_done_too(tmp_path: Path, postgres: Postgres):
    with counting_server(pause=0.02) as server:
        campaign = campaign_on(postgres.new_log(), tmp_path, server.port, 60)
        campaign.petition(*SEND, status=0)
        die_after(campaign, server, 10)
        campaign.petition("worker", "--once")
        states = wait_until_done(campaign, uncertain=4)
    nobody_twice_nobody_lost(server, states, 60)


@pytest.mark.parametrize("days", [-1, pytest.param(1, marks=pytest.mark.slow)])
def test_a_wrong_clock_of_a_worker_puts_no_job_off(tmp_path: Path, postgres: Postgres, days: int):
    """Neither that of a worker that died, nor one that it cannot use itself."""
    with counting_server(pause=0.05) as server:
        campaign = campaign_on(postgres.new_log(), tmp_path, server.port, 40)
        campaign.petition(*SEND, status=0)
        die_after(campaign, server, 2)
        with campaign.begin("worker", "--once", before=days_ahead(days)) as one:
            assert one.wait(PATIENCE) in {0, 3}  # 3: of the one that was killed some are uncertain
        states = wait_until_done(campaign, uncertain=4)
        nobody_twice_nobody_lost(server, states, 40)
        campaign.list_people("late")
        campaign.petition(*SEND, status=0)
        on_log(campaign, "DELETE FROM dispatch")
        with campaign.begin("worker", "--once", before=days_ahead(days)) as one:
            assert one.wait(PATIENCE) == 1
    with psycopg.connect(campaign.env["PETITION_DATABASE"]) as connection:
        row = connection.execute(WAITS).fetchone()
    assert row
    assert timedelta(minutes=8) < row[0] <= timedelta(minutes=10)


def test_once_ends_as_send_does(tmp_path: Path, postgres: Postgres):
    answers = {"p1": "451 4.2.0 Later"}
    with counting_server(answers=answers) as server:
        campaign = campaign_on(postgres.new_log(), tmp_path, server.port, 4)
        assert "there is no log in" in campaign.petition("worker", "--once", status=2).err
        campaign.petition(*SEND, status=0)
        campaign.petition("worker", "--once", status=3)  # p1 is deferred
        answers |= {"p1": "250 2.0.0 Ok", "p5": "554 5.6.0 No"}
        on_log(campaign, "UPDATE copy SET due_at = updated_at WHERE state = 'deferred'")
        campaign.list_people("p1", "p5")
        campaign.petition(*SEND, status=0)
        campaign.petition("worker", "--once", status=1)
    assert campaign.states()["p5"] == State.FAILED


def test_the_dead_are_found_after_the_second_connection_was_lost(
    tmp_path: Path, postgres: Postgres
):
    lost = """
        SELECT pg_terminate_backend(pid) FROM pg_locks
        WHERE locktype = 'advisory' AND classid = 2 AND mode = 'ShareLock'
          AND pid NOT IN (SELECT pid FROM pg_locks WHERE locktype = 'advisory' AND objsubid = 1)
    """
    with counting_server(pause=0.02) as server:
        campaign = campaign_on(postgres.new_log(), tmp_path, server.port, 400)
        campaign.petition(*SEND, status=0)
        with workers(campaign, 1) as crew:
            wait_for(server, 20)
            on_log(campaign, lost)
            wait_for(server, 60)
            states = wait_until_done(campaign, uncertain=4)
            crew[0].stop()
    nobody_twice_nobody_lost(server, states, 400)
    assert [event["event"] for event in crew[0].events()].count("started") == 2


def test_a_letter_is_given_up_when_its_pace_says(tmp_path: Path, postgres: Postgres):
    with counting_server(answers={"p1": "451 4.2.0 Later"}) as server:
        campaign = campaign_on(postgres.new_log(), tmp_path, server.port, 1)
        at_pace(campaign, 'give_up = "10 days"').petition(*SEND, status=0)
        campaign.petition("worker", "--once", status=3)
        week_ago = "to_char(now() - interval '7 days', 'YYYY-MM-DD\"T\"HH24:MI:SS.MS\"Z\"')"
        on_log(campaign, f"UPDATE copy SET waiting_since = {week_ago}")
        campaign.petition("worker", "--once", status=0)  # it is not due
        assert campaign.states()["p1"] == State.DEFERRED


def test_jobs_of_another_version_of_their_engine_are_left_alone(tmp_path: Path, postgres: Postgres):
    campaign = campaign_on(postgres.new_log(), tmp_path, 9, 2)
    campaign.petition(*SEND, status=0)
    on_log(campaign, "ALTER FUNCTION procrastinate_fetch_job_v2 RENAME TO procrastinate_fetch_job")
    for command in (("worker", "--once"), SEND):
        err = campaign.petition(*command, status=1).err
        assert "procrastinate_fetch_job_v2" in err


@pytest.mark.parametrize("damage", [BUILT_IN, """args = '{"self": 1}'"""])
def test_a_job_that_is_not_ours_is_not_run(tmp_path: Path, postgres: Postgres, damage: str):
    with counting_server() as server:
        campaign = campaign_on(postgres.new_log(), tmp_path, server.port, 2)
        campaign.petition(*SEND, status=0)
        on_log(campaign, f"UPDATE procrastinate_jobs SET {damage}")
        campaign.petition("worker", "--once")
    with psycopg.connect(campaign.env["PETITION_DATABASE"]) as connection:
        row = connection.execute("SELECT status FROM procrastinate_jobs").fetchone()
    assert row == ("failed",)


@pytest.mark.parametrize(
    "statement",
    [
        "DELETE FROM dispatch",
        "UPDATE frozen SET document = '{}'",
        "UPDATE frozen SET document = repeat('[', 100000)",
        "UPDATE dispatch SET settings = repeat('[', 100000)",
        'UPDATE frozen SET document = replace(document, \'"layout": "\', \'"layout": "x\')',
        f"UPDATE frozen SET document = replace(document, 'the water', '{FILTERED}')",
    ],
)
def test_a_letter_that_a_worker_cannot_use_is_said_and_waits(
    tmp_path: Path, postgres: Postgres, statement: str
):
    with counting_server() as server:
        campaign = campaign_on(postgres.new_log(), tmp_path, server.port, 2)
        attached = "reply_by: 14 days\nattachments: [letter.pdf]"
        campaign.change("letters/open-letter.md", "reply_by: 14 days", attached)
        campaign.petition(*SEND, status=0)
        on_log(campaign, statement)
        assert "refused" in said_of(campaign, status=1)
        assert "refused" not in said_of(campaign, status=0)  # it waits for a while
        assert server.accepted.total() == 0


@pytest.mark.parametrize(
    "arguments",
    [
        "[1, 2]",
        "null",
        '"all"',
        '{"self": 1}',
        '{"letter": 7}',
        '{"letter": "open-letter", "x": 1}',
    ],
)
def test_a_damaged_job_does_not_keep_letters_from_workers(
    tmp_path: Path, postgres: Postgres, arguments: str
):
    with counting_server() as server:
        campaign = campaign_on(postgres.new_log(), tmp_path, server.port, 2)
        campaign.petition(*SEND, status=0)
        on_log(campaign, f"UPDATE procrastinate_jobs SET args = '{arguments}'")
        campaign.petition("worker", "--once")
    assert server.accepted == {"p1@x.example": 1, "p2@x.example": 1}


def test_jobs_that_an_older_version_queued_are_done(tmp_path: Path, postgres: Postgres):
    """They listed copies, and had no queueing lock."""
    old = """
        DELETE FROM procrastinate_jobs;
        INSERT INTO procrastinate_jobs (queue_name, task_name, args, scheduled_at)
        SELECT 'letters', 'petition.letters', jsonb_build_object(
            'letter', letter, 'revision', revision, 'copies', jsonb_agg(id)), due
        FROM copy, (VALUES (NULL), (now() + interval '1 day')) AS at (due)
        GROUP BY letter, revision, id % 3, due
    """
    with counting_server() as server:
        campaign = campaign_on(postgres.new_log(), tmp_path, server.port, 9)
        campaign.petition(*SEND, status=0)
        on_log(campaign, old)
        campaign.petition("worker", "--once", status=0)
        assert set(server.accepted.values()) == {1}
        assert len(server.accepted) == 9
        on_log(campaign, "UPDATE procrastinate_jobs SET scheduled_at = now()")
        campaign.petition("worker", "--once", status=0)
    assert server.accepted.total() == 9
    with psycopg.connect(campaign.env["PETITION_DATABASE"]) as connection:
        assert connection.execute("SELECT * FROM procrastinate_jobs").fetchall() == []


@pytest.mark.parametrize("fields", ["{bad", "[1, 2]", '{"name": null, "town": 3}'])
def test_a_row_that_cannot_be_read_ends_no_worker(tmp_path: Path, postgres: Postgres, fields: str):
    with counting_server() as server:
        campaign = campaign_on(postgres.new_log(), tmp_path, server.port, 3)
        campaign.petition(*SEND, status=0)
        on_log(campaign, f"UPDATE copy SET fields = '{fields}' WHERE mailbox LIKE 'p2@%'")
        with workers(campaign, 1) as [one]:
            wait_until(lambda: any(event["event"] == "refused" for event in one.events()))
            campaign.list_people("p1", "p2", "p3", "p4", "p5")
            campaign.petition(*SEND, "--to", "p4", "--to", "p5", status=0)
            wait_until(lambda: {"p4@x.example", "p5@x.example"} <= server.accepted.keys())
            one.stop()
    assert set(server.accepted.values()) == {1}
    assert "p2@x.example" not in server.accepted


def test_a_worker_ends_when_it_is_asked_to_whatever_it_waits_for(
    tmp_path: Path, postgres: Postgres
):
    """It begins, waits for a `send` that has the log for itself, or waits for jobs."""
    campaign = campaign_on(postgres.new_log(), tmp_path, 9, 1)
    campaign.petition(*SEND, "--to", "p1", status=0)
    on_log(campaign, "DELETE FROM dispatch; DELETE FROM procrastinate_jobs")
    with workers(campaign, 4) as crew:
        for tenths, one in enumerate(crew):
            time.sleep(tenths / 10)
            one.stop_soon()
        ends = [one.process.wait(PATIENCE) for one in crew]
    assert all(end in {0, -signal.SIGTERM} for end in ends)  # or before it was there to listen
    with Log(campaign.env["PETITION_DATABASE"]) as log, log.owned(), workers(campaign, 1) as crew:
        wait_until(lambda: any(event["event"] == "waiting" for event in crew[0].events()))
        crew[0].stop()


def test_to_ask_for_the_end_twice_breaks_no_letter_off(tmp_path: Path, postgres: Postgres):
    with counting_server(hold_after=1) as server:
        campaign = campaign_on(postgres.new_log(), tmp_path, server.port, 20)
        campaign.petition(*SEND, status=0)
        with workers(campaign, 1) as crew:
            wait_for(server, 1)  # and others it has, and has not answered
            for number in (signal.SIGTERM, signal.SIGINT, signal.SIGTERM):
                crew[0].process.send_signal(number)
                time.sleep(0.1)
            server.hold_after = None
            assert crew[0].process.wait(PATIENCE) == 0
        assert set(campaign.states().values()) == {State.QUEUED, State.SENT}


def test_a_database_that_isolates_more_by_itself_holds_nobody_up(
    tmp_path: Path, postgres: Postgres
):
    """A transaction of a worker must see what was written before it got its lock."""
    level = quote(" -cdefault_transaction_isolation=serializable")
    with counting_server() as server:
        campaign = campaign_on(postgres.new_log() + level, tmp_path, server.port, 200)
        campaign.petition(*SEND, status=0)
        on_log(campaign, ISOLATED)
        with workers(campaign, 3) as crew:
            states = wait_until_done(campaign)
            for one in crew:
                one.stop()
    nobody_twice_nobody_lost(server, states, 200)
    assert [event for one in crew for event in one.events() if event["event"] == "lost"] == []


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="Linux has it")
def test_a_full_disk_under_what_a_worker_says_is_no_fault_of_its_own(
    tmp_path: Path, postgres: Postgres
):
    campaign = campaign_on(postgres.new_log(), tmp_path, 9, 1)
    campaign.petition(*SEND, status=0)
    with (
        Path("/dev/full").open("wb") as full,
        campaign.begin("worker", "--once", "--json", out=full) as one,
    ):
        _, err = one.communicate(timeout=PATIENCE)
    assert one.returncode == 1
    assert "No space left" in err
    assert "Internal error" not in err


def test_a_login_that_may_not_take_jobs_is_told(tmp_path: Path, postgres: Postgres):
    campaign = campaign_on(postgres.new_log(), tmp_path, 9, 2)
    campaign.petition(*SEND, status=0)
    on_log(
        campaign,
        """
        DO $$ BEGIN
            DROP ROLE IF EXISTS few;
            CREATE ROLE few LOGIN;
            EXECUTE format('GRANT USAGE ON SCHEMA %I TO few', current_schema());
            EXECUTE format('GRANT ALL ON ALL TABLES IN SCHEMA %I TO few', current_schema());
        END $$;
        REVOKE INSERT ON procrastinate_workers FROM few
        """,
    )
    url = campaign.env["PETITION_DATABASE"].replace("postgres@", "few@")
    campaign.env["PETITION_DATABASE"] = url
    with workers(campaign, 1) as [one]:
        wait_until(lambda: any(event["event"] == "lost" for event in one.events()))
        one.stop()
    lost = next(event for event in one.events() if event["event"] == "lost")
    assert "permission denied for table procrastinate_workers" in lost["reason"]


def test_a_server_that_says_nothing_does_not_keep_a_worker(tmp_path: Path, postgres: Postgres):
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        campaign = campaign_on(postgres.new_log(), tmp_path, silent.getsockname()[1], 3)
        campaign.env["PETITION_SMTP_TIMEOUT"] = str(10 * PATIENCE)
        campaign.petition(*SEND, status=0)
        with workers(campaign, 1) as crew:
            silent.settimeout(PATIENCE)
            silent.accept()[0].detach()  # and no greeting comes, nor an end
            crew[0].stop()
    assert set(campaign.states().values()) == {State.QUEUED}


# Runs petition until it has queued copies and is about to queue the jobs for them, and stops there.
STOPS = """
import os, signal
from petition.cli import send_to_workers
queue = send_to_workers.queue_job
def stopped(*arguments):
    os.kill(os.getpid(), signal.SIGSTOP)
    return queue(*arguments)
send_to_workers.queue_job = stopped
"""


@pytest.mark.slow
def test_a_send_that_is_stopped_while_it_queues_stops_no_worker(tmp_path: Path, postgres: Postgres):
    with counting_server(pause=0.01) as server:
        campaign = campaign_on(postgres.new_log(), tmp_path, server.port, 2)
        campaign.petition(*SEND, status=0)
        campaign.list_people("p1", "p2", "p3")
        with campaign.begin(*SEND, before=STOPS) as stopped:
            try:
                wait_until(lambda: is_stopped(stopped.pid))
                with workers(campaign, 2) as crew:
                    wait_for(server, 2)
                    wait_until(lambda: set(states_of(campaign).values()) == {State.SENT})
                    for one in crew:
                        one.stop()
            finally:
                stopped.send_signal(signal.SIGCONT)
            _, err = stopped.communicate(timeout=PATIENCE)
        assert stopped.returncode == 1
        assert "Run the same command again" in err
        campaign.petition(*SEND, status=0)
        campaign.petition("worker", "--once", status=0)
    assert server.accepted == {f"p{number}@x.example": 1 for number in (1, 2, 3)}


def is_stopped(pid: int) -> bool:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "T"


# Runs petition with a task beside the others that fails, and that nobody awaits.
STRAY = """
import asyncio
from petition.sending.worker import Worker
tidy = Worker.tidy
async def stray():
    raise KeyError("nobody")
async def also(self):
    asyncio.ensure_future(stray())
    return await tidy(self)
Worker.tidy = also
"""


def test_what_fails_beside_the_letters_is_said(tmp_path: Path, postgres: Postgres):
    with counting_server() as server:
        campaign = campaign_on(postgres.new_log(), tmp_path, server.port, 2)
        campaign.petition(*SEND, status=0)
        said = tmp_path / "said"
        with (
            said.open("wb") as out,
            campaign.begin("worker", "--once", "--json", before=STRAY, out=out) as one,
        ):
            one.communicate(timeout=PATIENCE)
    events = [json.loads(line) for line in said.read_text().splitlines()]
    assert any(one["event"] == "fault" and "KeyError" in one["reason"] for one in events)
    assert server.accepted.total() == 2
