"""The benchmarks still run; what they measure is for people to judge."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.slow
def test_the_inbox_is_measured():
    command = [sys.executable, str(ROOT / "benchmarks" / "inbox.py"), "--mails", "300"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "mails a second" in done.stdout


@pytest.mark.slow
def test_lists_are_measured(tmp_path: Path):
    command = [sys.executable, str(ROOT / "benchmarks" / "lists.py"), "--rows", "50"]
    done = subprocess.run(
        [*command, "--folder", str(tmp_path)], capture_output=True, text=True, check=True
    )
    for step in (
        "csv module alone",
        "petition: read, validate, queue",
        "the letter checked",
        "example letter",
    ):
        assert step in done.stdout
    assert list(tmp_path.iterdir()) == []
