"""300 letters through the servers of many makers: nothing that they object to costs a letter."""

import csv
import io
import time
from collections import Counter
from pathlib import Path

import pytest

from tests import PATIENCE
from tests.acceptance.small import SmallCampaign
from tests.servers.mail_servers import LATER, NOBODY, SERVERS, Unavailable

PEOPLE = 300
INSTALLED_IN_CI = {"postfix": pytest.mark.component("postfix", "root")}  # the others may be missing


@pytest.mark.slow
@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=INSTALLED_IN_CI.get(name, ())) for name in SERVERS]
)
def test_a_server_takes_all_letters_but_the_two_that_it_refuses(tmp_path: Path, name: str):
    campaign = SmallCampaign.at(tmp_path, people=PEOPLE)
    everybody = {f"p{number}@x.example" for number in range(1, PEOPLE + 1)}
    try:
        with SERVERS[name]() as server:
            sent = campaign.through(server.port)
            answer = sent.petition("send", "open-letter", "--yes")
            deadline = time.monotonic() + PATIENCE
            while len(server.taken()) < PEOPLE - 2 and time.monotonic() < deadline:
                time.sleep(0.1)
            taken = Counter(server.taken())
    except Unavailable as reason:
        pytest.skip(f"{name}: {reason}")
    assert taken == dict.fromkeys(everybody - {NOBODY, LATER}, 1)
    rows = csv.DictReader(io.StringIO(sent.petition("status", "open-letter", "--csv").out))
    states = {row["email"]: (row["state"], row["attempts"]) for row in rows}
    assert states.pop(NOBODY) == ("failed", "1")
    assert states.pop(LATER) == ("deferred", "1")
    assert states == dict.fromkeys(everybody - {NOBODY, LATER}, ("sent", "1"))
    assert answer.status == 3  # letters are left: the one that is deferred
    said = " ".join(answer.err.split())
    assert ("arrive with the end of a letter" in said) == (name == "haraka"), said
