"""`make demo`: the first thing that anybody sees of petition."""

from pathlib import Path

from tests.acceptance.demo import made
from tests.acceptance.small import SmallCampaign


def test_the_letter_goes_to_everybody_and_the_next_commands_are_named(tmp_path: Path):
    campaign = SmallCampaign(tmp_path / "demo")
    said = made("demo", campaign)
    assert "Dear Mr Kim," in said
    assert "open-letter: 12 sent." in said
    assert len(list((campaign.root / "outbox" / "new").iterdir())) == 12
    assert "log kim" in said
