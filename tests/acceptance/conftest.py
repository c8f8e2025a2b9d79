from pathlib import Path

import pytest

from tests.acceptance.small import SmallCampaign


@pytest.fixture
def campaign(tmp_path: Path) -> SmallCampaign:
    """A small campaign without a mail server: the sandbox."""
    return SmallCampaign.at(tmp_path)
