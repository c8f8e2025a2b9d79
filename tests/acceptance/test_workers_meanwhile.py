"""A letter that is queued anew, corrected or for more people, while workers are sending it."""

from pathlib import Path

from petition.outbox.signatures import Review
from petition.outbox.states import State
from tests.acceptance.crew import (
    SEND,
    at_pace,
    campaign_on,
    nobody_twice_nobody_lost,
    wait_for,
    wait_until,
    wait_until_done,
    workers,
)
from tests.acceptance.signing import sign, taking_signatures, withdraw
from tests.servers.counting import counting_server
from tests.servers.postgres import Postgres

PEOPLE = 200


def test_a_correction_reaches_workers_that_are_at_work(tmp_path: Path, postgres: Postgres):
    with counting_server() as server:
        campaign = campaign_on(postgres.new_log(), tmp_path, server.port, PEOPLE)
        at_pace(campaign, 'rate = "10/s"').petition(*SEND, status=0)
        with workers(campaign, 2):
            wait_for(server, 5)
            campaign.change("letters/open-letter.md", "the water of", "the rivers of")
            campaign.change("petition.toml", "10/s", "100/s")
            answer = campaign.petition(*SEND, "--revise", status=0)
            assert "planning again" not in answer.err
            gone = server.accepted.total()
            states = wait_until_done(campaign)
    nobody_twice_nobody_lost(server, states, PEOPLE)
    corrected = sum(b"the rivers of" in letter for letter in server.last.values())
    assert corrected >= PEOPLE - gone - 40  # but for what they had in hand


def test_a_person_can_confirm_it_in_their_own_time(tmp_path: Path, postgres: Postgres):
    with counting_server() as server:
        campaign = campaign_on(postgres.new_log(), tmp_path, server.port, PEOPLE)
        at_pace(campaign, 'rate = "10/s"').petition(*SEND, status=0)
        with workers(campaign, 1):
            wait_for(server, 5)
            campaign.list_people(*(f"p{number}" for number in range(1, PEOPLE + 4)))
            campaign.change("petition.toml", "10/s", "100/s")
            child = campaign.on_terminal(*SEND[:-1], TERM="dumb")
            child.expect(r"through .* now\?")
            wait_for(server, server.accepted.total() + 5)
            child.sendline("y")
            child.expect("Queued")
            assert child.end()[0] == 0
            states = wait_until_done(campaign)
    nobody_twice_nobody_lost(server, states, PEOPLE + 3)
    assert set(states.values()) == {State.SENT}


def test_a_worker_goes_on_without_who_withdraws_meanwhile(tmp_path: Path, postgres: Postgres):
    with counting_server() as server:
        campaign = campaign_on(postgres.new_log(), tmp_path, server.port, 60)
        taking_signatures(campaign)
        sign(campaign, "ann@x.example", "Ann Reed")
        approved = {"kind": "organisation", "review": Review.APPROVED}
        sign(campaign, "eve@x.example", "River Friends", **approved)  # of another address
        at_pace(campaign, 'rate = "20/s"').petition(*SEND, status=0)
        server.hold_after = 3
        with workers(campaign, 1):
            wait_for(server, 3)
            withdraw(campaign, "ann@x.example")
            withdraw(campaign, "eve@x.example")
            server.hold_after = None
            states = wait_until_done(campaign)
    nobody_twice_nobody_lost(server, states, 60)
    assert set(states.values()) == {State.SENT}
    named = sum(b"Ann Reed" in letter for letter in server.last.values())
    assert 3 <= named < 60
    assert b"Ann Reed" not in server.last["p60@x.example"]
    assert all(b"River Friends" in letter for letter in server.last.values())


def test_who_needs_the_log_alone_is_told_of_workers(tmp_path: Path, postgres: Postgres):
    """Workers do not end by themselves: to wait for them would be bad advice."""
    campaign = campaign_on(postgres.new_log(), tmp_path, 9, 2)
    campaign.petition(*SEND, "--to", "p1", status=0)
    with workers(campaign, 1) as crew:
        wait_until(lambda: any(event["event"] == "started" for event in crew[0].events()))
        for command in (("send", "open-letter", "--yes"), ("forget", "p2@x.example", "--yes")):
            err = campaign.petition(*command, status=2).err
            assert "petition worker" in err
            assert "Stop all workers" in err
        crew[0].stop()
