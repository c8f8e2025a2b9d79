"""One click on the endpoint beside workers, all on one PostgreSQL: the next letter does not go."""

import re
import subprocess
from pathlib import Path

import pytest

from petition.outbox.states import State
from tests import PATIENCE
from tests.acceptance.bulk_campaign import BULK, bulk_campaign
from tests.acceptance.crew import at_pace, states_of, wait_for, wait_until, workers
from tests.acceptance.small import SmallCampaign
from tests.servers.counting import counting_server
from tests.servers.endpoint import running_endpoint
from tests.servers.postgres import Postgres

PEOPLE = 200
LAST = f"p{PEOPLE}"
TOKEN = re.compile(rb"^List-Unsubscribe:\s*<https://[^>]*/u/([^>]+)>", re.MULTILINE)


def bulk_on(url: str, folder: Path, port: int) -> SmallCampaign:
    campaign = bulk_campaign(folder / "campaign").through(port)
    campaign.env["PETITION_DATABASE"] = url
    rows = "".join(f"p{n}@x.example,P{n},yes\n" for n in range(1, PEOPLE + 1))
    campaign.write("supporters.csv", f"email,name,updates\n{rows}")
    campaign.write("letters/more.md", BULK.replace("the water", "the river"))
    return campaign


@pytest.mark.component("curl")
def test_one_post_by_curl_stops_the_next_letter_of_every_worker(tmp_path: Path, postgres: Postgres):
    with counting_server() as server:
        campaign = bulk_on(postgres.new_log(), tmp_path, server.port)
        campaign.petition("send", "news", "--workers", "--yes", status=0)
        with workers(campaign, 2), running_endpoint(campaign) as (base, _):
            wait_for(server, PEOPLE)
            found = TOKEN.search(server.last[f"{LAST}@x.example"])
            assert found
            server.accepted.clear()
            server.pause = 0.03
            campaign.petition("send", "more", "--workers", "--yes", status=0)
            wait_for(server, 5)
            post = ["curl", "-sS", "-o", "/dev/null", "-w", "%{http_code}"]
            done = subprocess.run(
                [*post, "-d", "List-Unsubscribe=One-Click", f"{base}/u/{found[1].decode()}"],
                capture_output=True,
                text=True,
                check=True,
            )
            before = server.accepted.total()
            server.pause = 0.0
            wait_until(lambda: set(states_of(campaign, "more").values()) <= ENDS)
    assert done.stdout == "200"
    assert before < PEOPLE - 1  # they were still on their way to the others
    assert server.accepted.total() == PEOPLE - 1
    assert f"{LAST}@x.example" not in server.accepted
    states = campaign.states("more")
    assert states.pop(LAST) == State.SKIPPED
    assert set(states.values()) == {State.SENT}


ENDS = {State.SENT, State.SKIPPED}


def test_a_login_warms_up_under_all_workers_together(tmp_path: Path, postgres: Postgres):
    with counting_server() as server:
        campaign = bulk_on(postgres.new_log(), tmp_path, server.port)
        at_pace(campaign, "warm_up = [30, 60]\nper_day = 150")
        campaign.petition("send", "news", "--workers", "--yes", status=0)
        with workers(campaign, 2, "--once") as both:
            ends = {one.process.wait(PATIENCE) for one in both}
        assert server.accepted.total() == 30
        assert 3 in ends
        trial = ("send", "more", "--to-me", "me@x.example", "--yes")
        assert "daily cap" in campaign.petition(*trial, status=3).out
        assert server.accepted.total() == 30
