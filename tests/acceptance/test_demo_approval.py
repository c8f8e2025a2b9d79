"""`make demo-approval`: a letter is stopped, changed, approved and sent."""

import email
import email.policy
from collections import Counter
from pathlib import Path

import pytest

from tests.acceptance.demo import made
from tests.acceptance.small import SmallCampaign


@pytest.mark.slow
def test_the_letter_goes_once_it_is_approved(tmp_path: Path):
    campaign = SmallCampaign(tmp_path / "demo")
    said = made("demo-approval", campaign)
    assert "whose letter it is" in said
    assert "open-letter: 12 sent." in said
    to = Counter(
        email.message_from_bytes(path.read_bytes(), policy=email.policy.default)["To"]
        .addresses[0]
        .domain
        for path in (campaign.root / "outbox" / "new").iterdir()
    )
    assert to["town.example"] == 2  # the approver was asked twice
    assert to.total() == 2 + 12
