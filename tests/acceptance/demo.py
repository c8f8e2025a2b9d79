"""Runs the `make` targets that show what petition does, as a person would."""

import os
import subprocess
import sys
from pathlib import Path

from tests import PATIENCE
from tests.acceptance.small import SmallCampaign

ROOT = Path(__file__).parents[2]


def made(target: str, campaign: SmallCampaign, programs: Path | None = None) -> str:
    """What a target says that plays the example.

    Args:
        target: Of the Makefile; its set-up is done already, for the tests run in it.
        campaign: Whose folder it is played in.
        programs: Where `petition` and `python` are, if not beside this Python.
    """
    folder = os.path.relpath(campaign.root, ROOT)
    done = subprocess.run(
        [
            *("make", "--no-print-directory", "-o", ".venv/installed", "-o", ".venv/installed-web"),
            target,
            f"BIN={programs or Path(sys.executable).parent}",
            f"DEMO={folder}",
        ],
        cwd=ROOT,
        env=campaign.environment | {"PATH": os.environ["PATH"], "COLUMNS": "120"},
        capture_output=True,
        timeout=PATIENCE,
        check=False,
    )
    said = done.stdout.decode()
    assert done.returncode == 0, said + done.stderr.decode()
    return said
