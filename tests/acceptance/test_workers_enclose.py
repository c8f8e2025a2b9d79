"""A file that one row has: it comes to the workers through the log, and goes with its person."""

import email
from email import policy
from pathlib import Path

import psycopg

from petition.outbox.states import State
from tests.acceptance.crew import PATIENCE, SEND, at_pace, campaign_on
from tests.acceptance.small import SmallCampaign
from tests.servers.counting import counting_server
from tests.servers.postgres import Postgres

PLAN = b"%PDF-1.4 plan of "


def with_plans(url: str, folder: Path, port: int) -> SmallCampaign:
    """A campaign of three; p3 has the file of p2."""
    campaign = campaign_on(url, folder, port, 0)
    rows = "id,email,name,town,plan\n" + "".join(
        f"p{number},p{number}@x.example,P{number},,{plan}\n" for number, plan in enumerate("122", 1)
    )
    campaign.write("recipients.csv", rows)
    campaign.write("plans/1.pdf", PLAN + b"1")
    campaign.write("plans/2.pdf", PLAN + b"2")
    attached = 'reply_by: 14 days\nattachments: ["plans/{{ recipient.plan }}.pdf"]'
    campaign.change("letters/open-letter.md", "reply_by: 14 days", attached)
    return campaign


def attached(data: bytes) -> dict[str | None, bytes]:
    message = email.message_from_bytes(data, policy=policy.default)
    return {part.get_filename(): part.get_content() for part in message.iter_attachments()}


def kept(url: str) -> int:
    with psycopg.connect(url) as connection:
        row = connection.execute("SELECT COUNT(*) FROM enclosure").fetchone()
    return row[0] if row else 0


def test_each_gets_their_own_file_from_the_log(tmp_path: Path, postgres: Postgres):
    url = postgres.new_log()
    with counting_server() as server:
        campaign = with_plans(url, tmp_path, server.port)
        campaign.petition(*SEND, status=0)
        assert kept(url) == 2
        preview = campaign.petition("preview", "--to", "p1", "--as", "source", status=0).out
        for plan in campaign.root.glob("plans/*"):
            plan.write_bytes(b"something else, which stands where the worker looks for nothing")
        campaign.petition("worker", "--once", status=0)
    for number, plan in enumerate(b"122", 1):
        found = attached(server.last[f"p{number}@x.example"])
        assert list(found.values()) == [PLAN + bytes([plan])]
    assert attached(preview.encode()) == attached(server.last["p1@x.example"])
    campaign.petition("forget", "p1@x.example", "--yes", status=0)
    assert kept(url) == 1
    campaign.petition("forget", "p2@x.example", "--yes", status=0)
    assert kept(url) == 1  # p3 has it too
    campaign.petition("forget", "p3@x.example", "--yes", status=0)
    assert kept(url) == 0


def test_a_file_that_the_log_has_not_stops_its_copy_alone(tmp_path: Path, postgres: Postgres):
    url = postgres.new_log()
    with counting_server() as server:
        campaign = with_plans(url, tmp_path, server.port)
        campaign.petition(*SEND, status=0)
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute("UPDATE enclosure SET data = 'other' WHERE data LIKE '%1'")
        campaign.petition("worker", "--once", status=1)
    assert campaign.states() == {"p1": State.FAILED, "p2": State.SENT, "p3": State.SENT}
    assert "p1@x.example" not in server.accepted


def test_the_loop_of_a_worker_waits_for_no_database(tmp_path: Path, postgres: Postgres):
    """Neither when it begins and ends nor for a job, a file of a row, a turn or the dead."""
    url = postgres.new_log()
    with counting_server(pause=0.01) as server:
        campaign = with_plans(url, tmp_path, server.port)
        at_pace(campaign, 'rate = "20/s"\nper_day = 1000').petition(*SEND, status=0)
        with psycopg.connect(url, autocommit=True) as connection:  # somebody who died
            connection.execute("INSERT INTO worker VALUES ('dead', 'dead', '2026-01-01')")
        campaign.petition("withdraw", "open-letter", "--to", "p9@x.example")
        said = tmp_path / "said"
        with (
            said.open("wb") as out,
            campaign.begin("worker", "--json", "--once", before=WATCHED, out=out) as one,
        ):
            _, err = one.communicate(timeout=PATIENCE)
    assert one.returncode == 0, err
    assert "event loop" not in err, err
    assert set(server.accepted.values()) == {1}
    assert len(server.accepted) == 3


# Runs petition, and tells of each query that a thread waits for in which an event loop runs.
WATCHED = """
import asyncio, sys, traceback
import psycopg
wait = psycopg.Connection.wait
def watched(self, *arguments, **more):
    if asyncio._get_running_loop() is not None:
        sys.stderr.write("a query on the event loop " + str(traceback.format_stack(limit=12)))
    return wait(self, *arguments, **more)
psycopg.Connection.wait = watched
"""
