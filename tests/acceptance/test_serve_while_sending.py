"""Somebody leaves the list while a letter is on its way to all: theirs does not go."""

import subprocess
import time
from collections.abc import Callable

import pytest

from tests import PATIENCE
from tests.acceptance.small import SmallCampaign
from tests.servers.counting import counting_server
from tests.servers.endpoint import give_token, running_endpoint

PEOPLE = 30
LAST = f"p{PEOPLE}"

pytestmark = pytest.mark.component("curl")


def wait_until(is_met: Callable[[], bool]) -> None:
    until = time.monotonic() + PATIENCE
    while not is_met():
        assert time.monotonic() < until
        time.sleep(0.01)


def test_one_post_by_curl_stops_the_next_letter(tmp_path):
    small = SmallCampaign.at(tmp_path, people=PEOPLE)
    text = (tmp_path / "letters/open-letter.md").read_text(encoding="utf-8")
    small.write("letters/second.md", text)
    with counting_server() as server:
        campaign = small.through(server.port)
        campaign.env["PETITION_SMTP_CONNECTIONS"] = "1"
        campaign.petition("send", "open-letter", "--yes", status=0)
        token = give_token(tmp_path, f"{LAST}@x.example")
        server.accepted.clear()
        server.hold_after = 1
        with running_endpoint(campaign) as (base, _):
            sending = campaign.begin("send", "second", "--yes")
            wait_until(lambda: server.accepted.total() > 0)
            post = ["curl", "-sS", "-o", "/dev/null", "-w", "%{http_code} %{num_redirects}"]
            done = subprocess.run(
                [*post, "-d", "List-Unsubscribe=One-Click", f"{base}/u/{token}"],
                capture_output=True,
                text=True,
                check=True,
            )
            sent_before = server.accepted.total()
            server.hold_after = None
            _, said = sending.communicate(timeout=PATIENCE)
    assert done.stdout == "200 0"
    assert sending.returncode == 0, said
    assert sent_before < PEOPLE  # it was still on its way to the others
    assert server.accepted.total() == PEOPLE - 1
    assert f"{LAST}@x.example" not in server.accepted
    states = campaign.states("second")
    assert states.pop(LAST) == "skipped"
    assert set(states.values()) == {"sent"}
