"""What is queued once more has a job once more: nobody need run `send --workers` for it."""

import signal
import time
from pathlib import Path

from petition.outbox.states import State
from tests.acceptance.crew import (
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
from tests.acceptance.small import SmallCampaign
from tests.servers.counting import counting_server
from tests.servers.postgres import Postgres


def test_what_a_silent_worker_had_goes_when_it_dies(tmp_path: Path, postgres: Postgres):
    """Its job was done by another meanwhile, all but what it had in hand."""
    with counting_server(hold_after=20) as server:
        campaign = campaign_on(postgres.new_log(), tmp_path, server.port, 120)
        campaign.petition(*SEND, status=0)
        with workers(campaign, 1) as first:
            wait_until(lambda: first[0].said_of("letter") >= 20)  # and no commit is on its way
            first[0].process.send_signal(signal.SIGSTOP)
            server.hold_after = None
            with workers(campaign, 1) as second:
                wait_until(lambda: second[0].said_of("job-done") > 0)
                assert State.SENDING in campaign.states().values()
                first[0].kill()
                states = wait_until_done(campaign, uncertain=4)
                second[0].stop()
    nobody_twice_nobody_lost(server, states, 120)


def test_retry_and_resolve_need_no_other_send(tmp_path: Path, postgres: Postgres):
    answers = {"p2": "554 5.6.0 No", "p3": ""}
    with counting_server(answers=answers) as server:
        campaign = campaign_on(postgres.new_log(), tmp_path, server.port, 5)
        campaign.petition(*SEND, status=0)
        with workers(campaign, 1) as crew:
            until(campaign, p2=State.FAILED, p3=State.UNCERTAIN)
            answers.clear()
            retried = campaign.petition("retry", "open-letter", status=0).out
            resolved = campaign.petition("resolve", "--all", "--not-sent", status=0).out
            until(campaign, p2=State.SENT, p3=State.SENT)
            crew[0].stop()
    assert set(campaign.states().values()) == {State.SENT}
    for said in (retried, resolved):
        assert "petition worker" in said
        assert "petition send" not in said


def test_a_pace_that_workers_do_not_know_yet_is_said(tmp_path: Path, postgres: Postgres):
    campaign = campaign_on(postgres.new_log(), tmp_path, 9, 5)
    campaign.petition(*SEND, status=0)
    status = ("status", "open-letter")
    assert "[pace]" not in campaign.petition(*status, status=0).out
    said = " ".join(at_pace(campaign, 'rate = "7/s"').petition(*status, status=0).out.split())
    assert "older [pace] than petition.toml has now. Next: petition send open-letter" in said
    campaign.petition(*SEND, status=0)
    assert "[pace]" not in campaign.petition(*status, status=0).out


def test_what_waits_for_another_day_goes_when_the_cap_is_raised(tmp_path: Path, postgres: Postgres):
    with counting_server() as server:
        campaign = campaign_on(postgres.new_log(), tmp_path, server.port, 8)
        at_pace(campaign, "per_day = 3").petition(*SEND, status=0)
        campaign.petition("worker", "--once", status=3)
        assert server.accepted.total() == 3
        campaign.change("petition.toml", "per_day = 3", "per_day = 30")
        campaign.petition(*SEND, status=0)
        campaign.petition("worker", "--once", status=0)
    assert sorted(server.accepted.values()) == [1] * 8


def test_workers_keep_to_a_new_pace_in_the_middle_of_a_letter(tmp_path: Path, postgres: Postgres):
    with counting_server() as server:
        campaign = campaign_on(postgres.new_log(), tmp_path, server.port, 300)
        at_pace(campaign, 'rate = "6/h"').petition(*SEND, status=0)

        def change(before: str, now: str) -> None:
            campaign.change("petition.toml", before, now)
            campaign.petition(*SEND, status=0)

        def change_for_both(before: str, now: str) -> None:
            """And wait until both workers have begun the letter again."""
            begun = [one.said_of("job") for one in both]
            change(before, now)
            wait_until(
                lambda: all(
                    one.said_of("job") > number for one, number in zip(both, begun, strict=True)
                )
            )

        with workers(campaign, 2) as both:
            wait_for(server, 1)
            wait_until(lambda: all(one.said_of("job") for one in both))
            change_for_both("6/h", "20/s")
            wait_for(server, 10)
            change_for_both("20/s", "6/h")
            before = server.accepted.total()
            time.sleep(1)  # in which 20 would go
            assert server.accepted.total() < before + 10
            assert server.accepted.total() < 300
            change("6/h", "200/s")  # at which one worker may send the rest before the other begins
            states = wait_until_done(campaign)
            for one in both:
                one.stop()
    nobody_twice_nobody_lost(server, states, 300)


def until(campaign: SmallCampaign, **wanted: str) -> None:
    wait_until(lambda: wanted.items() <= states_of(campaign).items())
