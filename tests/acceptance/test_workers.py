"""Many workers on one log in PostgreSQL: nobody gets a letter twice and nobody is lost."""

import json
import os
import random
import signal
import sys
from pathlib import Path
from typing import Any

import psycopg
import pytest

from petition.outbox.states import State
from petition.outbox.workers import BLOCK
from tests.acceptance.crew import (
    PATIENCE,
    SEND,
    at_pace,
    begin,
    campaign_on,
    nobody_twice_nobody_lost,
    wait_for,
    wait_until,
    wait_until_done,
    workers,
)
from tests.acceptance.small import SmallCampaign
from tests.servers.counting import counting_server
from tests.servers.postgres import Postgres

KILLS = int(os.environ.get("WORKERS_KILLED", "7"))  # of two workers, and of four


def test_two_workers_share_a_letter(tmp_path: Path, postgres: Postgres):
    with counting_server(pause=0.002) as server:
        campaign = campaign_on(postgres.new_log(), tmp_path, server.port, 300)
        said = campaign.petition(*SEND, status=0).out
        assert "300 letters" in said
        assert server.accepted.total() == 0
        with workers(campaign, 2) as both:
            states = wait_until_done(campaign)
            for one in both:
                one.stop()
    nobody_twice_nobody_lost(server, states, 300)
    for one in both:
        assert one.events()[0]["event"] == "started"
        assert one.events()[-1]["event"] == "stopped"
    letters = [event for one in both for event in one.events() if event["event"] == "letter"]
    assert {event["email"] for event in letters} == set(server.accepted)
    assert {event["state"] for event in letters} == {"sent"}


@pytest.mark.slow
@pytest.mark.parametrize("number", [2, 4])
def test_workers_that_are_killed_leave_nobody_out_and_nobody_twice(
    tmp_path: Path, postgres: Postgres, number: int
):
    chance = random.Random(number)  # moments that a run can be repeated with
    people = 100 + 60 * KILLS
    with counting_server(pause=0.01) as server:
        campaign = campaign_on(postgres.new_log(), tmp_path, server.port, people)
        campaign.petition(*SEND, status=0)
        with workers(campaign, number) as crew:
            away = SmallCampaign(campaign.root.parent / "elsewhere", campaign.env)
            for _ in range(KILLS):
                wait_for(server, min(server.accepted.total() + chance.randint(1, 60), people - 50))
                chance.choice([one for one in crew if one.process.poll() is None]).kill()
                crew.append(begin(away))
            states = wait_until_done(campaign, uncertain=4 * KILLS)
            for one in crew:
                if one.process.poll() is None:
                    one.stop()
    nobody_twice_nobody_lost(server, states, people)
    uncertain = list(states.values()).count(State.UNCERTAIN)
    sys.stdout.write(f"{number} workers, {KILLS} kills, {people} letters: {uncertain} uncertain\n")


def test_a_letter_queued_twice_at_once_goes_once(tmp_path: Path, postgres: Postgres):
    with counting_server(pause=0.002) as server:
        campaign = campaign_on(postgres.new_log(), tmp_path, server.port, 120)
        with campaign.begin(*SEND) as one, campaign.begin(*SEND) as other:
            assert {one.wait(PATIENCE), other.wait(PATIENCE)} == {0}
        with workers(campaign, 2):
            states = wait_until_done(campaign)
            campaign.petition(*SEND, status=0)
    nobody_twice_nobody_lost(server, states, 120)


def test_the_same_people_in_capitals_get_it_once_and_can_leave(tmp_path: Path, postgres: Postgres):
    with counting_server() as server:
        campaign = campaign_on(postgres.new_log(), tmp_path, server.port, 3)
        campaign.petition(*SEND, "--to", "p1", status=0)
        campaign.petition("worker", "--once", status=0)
        campaign.change("recipients.csv", "p1@x.example", "P1@X.Example")
        campaign.petition(*SEND, status=0)
        campaign.petition("suppress", "P2@X.Example", status=0)
        campaign.petition("worker", "--once", status=0)
    assert server.accepted == {"p1@x.example": 1, "p3@x.example": 1}


def test_what_a_send_left_waiting_is_shown_and_goes_with_workers(
    tmp_path: Path, postgres: Postgres
):
    with counting_server() as server:
        campaign = campaign_on(postgres.new_log(), tmp_path, server.port, 4)
        at_pace(campaign, "per_day = 1").petition("send", "open-letter", "--yes", status=3)
        campaign.change("petition.toml", "per_day = 1", "per_day = 9")
        said = campaign.petition(*SEND, "--to", "p3", status=0).out
        assert "2 letters" in said  # p2 and p4
        assert "Queued 3" in said
        campaign.petition("worker", "--once", status=0)
    assert server.accepted == {f"p{number}@x.example": 1 for number in (1, 2, 3, 4)}


def test_a_log_may_have_more_copies_than_a_small_number_counts(tmp_path: Path, postgres: Postgres):
    with counting_server() as server:
        campaign = campaign_on(postgres.new_log(), tmp_path, server.port, 1)
        campaign.petition(*SEND, status=0)
        with psycopg.connect(campaign.env["PETITION_DATABASE"]) as connection:
            connection.execute("ALTER TABLE copy ALTER COLUMN id RESTART WITH 32760")
        campaign.list_people(*(f"p{number}" for number in range(1, 21)))
        campaign.petition(*SEND, status=0)
        with workers(campaign, 1) as (one,):
            states = wait_until_done(campaign)
            one.stop()
    nobody_twice_nobody_lost(server, states, 20)
    assert not one.said_of("lost")


def test_what_workers_cannot_do_is_refused(tmp_path: Path, postgres: Postgres):
    rehearsal = SmallCampaign.at(tmp_path / "campaign")
    assert "mail server" in rehearsal.petition(*SEND, status=2).err
    on_file = rehearsal.through(9)
    assert "workers need a log in PostgreSQL" in on_file.petition(*SEND, status=2).err
    assert "PETITION_DATABASE" in on_file.petition("worker", status=2).err
    nowhere = SmallCampaign(tmp_path, {"PETITION_DATABASE": postgres.new_log()})
    assert "PETITION_SMTP_HOST is not set" in nowhere.petition("worker", status=2).err


def test_what_was_checked_for_this_machine_goes_through_no_other(
    tmp_path: Path, postgres: Postgres
):
    with counting_server() as server:
        campaign = campaign_on(postgres.new_log(), tmp_path, server.port, 3)
        campaign.petition(*SEND, status=0)
    campaign.env |= {"PETITION_SMTP_HOST": "mail.invalid", "PETITION_SMTP_SECURITY": "tls"}
    answer = campaign.petition("worker", "--once", status=4)
    assert "queued for a server on the machine itself" in answer.err
    assert set(campaign.states().values()) == {State.QUEUED}


def test_the_rate_holds_for_all_workers_together(tmp_path: Path, postgres: Postgres):
    with counting_server() as server:
        campaign = campaign_on(postgres.new_log(), tmp_path, server.port, 3 * BLOCK)
        at_pace(campaign, 'rate = "200/s"').petition(*SEND, "--to", "p1", status=0)
        with workers(campaign, 2) as both:
            wait_until(lambda: all(one.said_of("started") for one in both))
            campaign.petition(*SEND, status=0)
            states = wait_until_done(campaign)
            for one in both:
                one.stop()
    nobody_twice_nobody_lost(server, states, 3 * BLOCK)
    assert all(one.said_of("letter") for one in both)
    begun = sorted(server.begun)[1:]  # without p1
    assert begun[-1] - begun[0] > 0.9 * (len(begun) - 1) / 200, "faster than the rate"


def test_the_daily_cap_holds_for_all_workers_together(tmp_path: Path, postgres: Postgres):
    with counting_server(pause=0.002) as server:
        campaign = at_pace(
            campaign_on(postgres.new_log(), tmp_path, server.port, 200), "per_day = 50"
        )
        campaign.petition(*SEND, status=0)
        with workers(campaign, 2, "--once") as both:
            ends = {one.process.wait(PATIENCE) for one in both}
        assert server.accepted.total() == 50
    assert 3 in ends  # letters are left
    states = list(campaign.states().values())
    assert states.count(State.SENT) == 50
    assert states.count(State.QUEUED) == 150


def test_a_worker_ends_where_its_server_refuses_the_login(tmp_path: Path, postgres: Postgres):
    with counting_server(login="535 5.7.8 Wrong password") as server:
        campaign = campaign_on(postgres.new_log(), tmp_path, server.port, 3)
        campaign.env |= {"PETITION_SMTP_USERNAME": "ann", "PETITION_SMTP_PASSWORD": "guess"}
        campaign.petition(*SEND, status=0)
        answer = campaign.petition("worker", status=4)
    assert "535" in answer.err
    assert "guess" not in answer.out + answer.err
    assert set(campaign.states().values()) == {State.QUEUED}


def test_what_waits_for_somebody_who_left_does_not_go(tmp_path: Path, postgres: Postgres):
    with counting_server() as server:
        campaign = campaign_on(postgres.new_log(), tmp_path, server.port, 5)
        campaign.petition(*SEND, status=0)
        campaign.petition("suppress", "p2@x.example", status=0)
        campaign.petition("worker", "--once", status=0)
    assert sorted(server.accepted) == [f"p{number}@x.example" for number in (1, 3, 4, 5)]
    assert campaign.states()["p2"] == State.SKIPPED


def test_whoever_watches_sees_states_workers_jobs_and_deferrals(tmp_path: Path, postgres: Postgres):
    answers = {f"p{number}": "451 4.7.1 Later" for number in (1, 2)}
    with counting_server(pause=0.02, answers=answers, hold_after=200) as server:
        campaign = campaign_on(postgres.new_log(), tmp_path, server.port, 400)
        campaign.petition(*SEND, status=0)
        seen = tmp_path / "seen"
        with seen.open("wb") as out, workers(campaign, 1) as crew:
            watch = campaign.begin("status", "--watch", "--json", out=out)
            wait_for(server, 200)
            wait_until(lambda: any(one["workers"] and one["deferred"] for one in looks(seen)))
            crew[0].kill()
            wait_until(lambda: not looks(seen)[-1]["workers"])
            watch.send_signal(signal.SIGINT)
            _, err = watch.communicate(timeout=PATIENCE)
            assert watch.returncode == 0, err
    last = [one for one in looks(seen) if one["workers"]][-1]
    assert sum(last["counts"].values()) == 400
    assert last["deferred"] == {"x.example": 2}
    assert last["workers"][0]["sent"] > 0
    assert any(look["per_second"]["sent"] > 0 for look in looks(seen))
    assert any(look["jobs"]["doing"] for look in looks(seen))
    assert last["lag"] >= 0
    assert last["commits"] > 0


def looks(seen: Path) -> list[dict[str, Any]]:
    lines = seen.read_text().splitlines(keepends=True)
    return [json.loads(line) for line in lines if line.endswith("\n")]
