"""The example campaign through a real Postfix: its queue ids stand in the log."""

import re
import shutil
import time
from pathlib import Path

import pytest

from tests.acceptance.small import SmallCampaign
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
        rows = campaign.petition("status", "open-letter", "--state", "sent", "--json").json
        assert len(rows) == 12
        queue_ids = {found[1] for row in rows if (found := QUEUED_AS.search(row["reply"]))}
        assert len(queue_ids) == 12
        log = postfix.log
        assert all(f"{queue_id}: message-id=" in log for queue_id in queue_ids)
        assert all(row["message_id"] in log for row in rows)
        wait_until(lambda: len(postfix.arrived) == 12)
        campaign.petition("send", "open-letter", "--yes", status=0)
        time.sleep(0.5)
        assert len(postfix.arrived) == 12


def wait_until(is_met) -> None:
    deadline = time.monotonic() + 30
    while not is_met():
        assert time.monotonic() < deadline
        time.sleep(0.05)
