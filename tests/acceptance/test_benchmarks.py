"""The benchmarks still run; what they measure is for people to judge."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.slow
def test_a_start_is_measured_beside_another_checkout():
    less = ("--rounds", "1", "--only", "help", "status", "--against", str(ROOT))
    command = [sys.executable, str(ROOT / "benchmarks" / "start.py"), *less]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    (help_row, status_row) = done.stdout.splitlines()[-2:]
    for row in (help_row, status_row):
        _, _, taken, modules, taken_before, modules_before, _ = row.split("|")
        assert modules == modules_before
        assert int(taken) > 0 < int(taken_before)
    assert int(help_row.split("|")[3]) < int(status_row.split("|")[3])


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
        "send of a bulk letter",
        "check of the example letter",
    ):
        assert step in done.stdout
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
@pytest.mark.component("smtp-source", "smtp-sink", "cc")
def test_letters_are_measured_beside_another_checkout():
    less = ("--letters", "20", "--rounds", "1", "--peers", "petition", "--ways", "light")
    command = [sys.executable, str(ROOT / "benchmarks" / "run.py"), *less, "--against", str(ROOT)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "petition, before" in done.stdout
    assert "log's thread" in done.stdout


@pytest.mark.slow
def test_workers_are_measured_beside_one_process(postgres):
    less = ("--letters", "20", "--rounds", "1", "--workers", "2")
    command = [sys.executable, str(ROOT / "benchmarks" / "workers.py"), *less]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "one process, SQLite" in done.stdout
    assert "2 workers" in done.stdout


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="the processor is read from /proc")
def test_signing_is_measured_while_letters_go_out():
    less = ("--rate", "300", "--seconds", "2", "--letters", "40000")
    command = [sys.executable, str(ROOT / "benchmarks" / "sign.py"), *less]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "10 signatures made and confirmed" in done.stdout
    rates = re.findall(r"^\| (?:nobody|people) sign\w* \| ([\d,]+) \|", done.stdout, re.MULTILINE)
    assert len(rates) == 2
    assert "0" not in rates
