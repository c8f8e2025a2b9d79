"""The example campaign through a real Postfix: its queue ids stand in the log."""

import re
import shutil
import time
from pathlib import Path

import pytest

from tests import PATIENCE
from tests.acceptance.small import SETTINGS, SmallCampaign
from tests.servers.postfix import running_postfix

pytestmark = pytest.mark.component("postfix", "root")
ROOT = Path(__file__).parents[2]
QUEUED_AS = re.compile(r"Ok: queued as ([0-9A-F]+)$")


def test_postfix_takes_the_example_campaign(tmp_path: Path):
    folder = tmp_path / "campaign"
    folder.mkdir()
    for name in ("petition.toml", "recipients.csv", "signatories.csv"):
        shutil.copy(ROOT / name, folder)
    for name in ("letters", "annex"):
        shutil.copytree(ROOT / name, folder / name)
    with running_postfix() as postfix:
        campaign = SmallCampaign(folder).through(postfix.port)
        campaign.petition("send", "open-letter", "--yes", status=0)
        rows = campaign.petition("status", "--state", "sent", "--json").json["copies"]
        assert len(rows) == 12
        queue_ids = {found[1] for row in rows if (found := QUEUED_AS.search(row["reply"]))}
        assert len(queue_ids) == 12
        wait_until(lambda: len(postfix.arrived) == 12)
        for queue_id in queue_ids:
            postfix.wait_until_logged(f"{queue_id}: message-id=")
        for row in rows:
            postfix.wait_until_logged(row["message_id"])
        campaign.petition("send", "open-letter", "--yes", status=0)
        time.sleep(0.5)
        assert len(postfix.arrived) == 12


def wait_until(is_met) -> None:
    deadline = time.monotonic() + PATIENCE
    while not is_met():
        assert time.monotonic() < deadline
        time.sleep(0.05)


# Twelve letters in some seconds, from this machine too.
LIMITED = """\
smtpd_client_message_rate_limit = 12
smtpd_client_event_limit_exceptions =
anvil_rate_time_unit = {seconds}s
"""


def test_a_pace_below_the_server_s_limit_never_meets_it(tmp_path: Path):
    with running_postfix(LIMITED.format(seconds=2)) as postfix:
        campaign = SmallCampaign.at(tmp_path, people=18).through(postfix.port)
        campaign.write("petition.toml", SETTINGS + '\n[pace]\nrate = "4/s"\n')
        answer = campaign.petition("send", "open-letter", "--yes", status=0)
        assert "Trouble" not in answer.err
        assert "rate limit exceeded" not in postfix.log
        assert set(campaign.states().values()) == {"sent"}


@pytest.mark.slow
def test_a_run_that_meets_the_server_s_limit_rests_and_charges_no_letter(tmp_path: Path):
    with running_postfix(LIMITED.format(seconds=6)) as postfix:
        campaign = SmallCampaign.at(tmp_path, people=30).through(postfix.port)
        answer = campaign.petition("send", "open-letter", "--yes", status=0)
        postfix.wait_until_logged("rate limit exceeded")
        said = "(450 4.7.1 Error: too much mail from 127.0.0.1)"
        assert said in " ".join(answer.err.split())
        rows = campaign.petition("status", "--state", "sent", "--json").json["copies"]
        assert [row["attempts"] for row in rows] == [1] * 30
        wait_until(lambda: len(postfix.arrived) == 30)
