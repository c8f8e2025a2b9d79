"""What a spam filter says of the example's letter to supporters."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tests import PATIENCE
from tests.acceptance.small import SmallCampaign

ROOT = Path(__file__).parents[2]
MOST = 1.0  # points; a letter is taken for spam from 5 on


@pytest.mark.slow
@pytest.mark.component("spamassassin")
def test_a_letter_to_supporters_passes_for_what_it_is(tmp_path: Path):
    for name in ("petition.toml", "supporters.csv", "signatories.csv"):
        shutil.copy(ROOT / name, tmp_path / name)
    shutil.copytree(ROOT / "letters", tmp_path / "letters")
    letter = SmallCampaign(tmp_path).petition(
        "preview", "solidarity-appeal", "--as", "source", status=0
    )
    judged = subprocess.run(
        ["spamassassin", "-L", "-t"],
        input=letter.out.encode(),
        capture_output=True,
        timeout=PATIENCE,
        check=True,
        env={"PATH": "/usr/bin:/bin:/usr/sbin", "HOME": str(tmp_path)},
    ).stdout.decode(errors="replace")
    found = re.search(r"Content analysis details: *\((-?[0-9.]+) points", judged)
    assert found is not None
    assert float(found[1]) < MOST, judged
