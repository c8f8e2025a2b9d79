#!/usr/bin/env python3
"""Measures what a letter to supporters costs on PostgreSQL, with one worker and with more.

    python benchmarks/workers.py [--letters 10000] [--workers 1 2 4] [--seconds 0]

PostgreSQL and Postfix's smtp-sink run on this machine too, each worker in a process of its own; the
letter is one to many, with the ways to leave the list. With `--seconds` the workers are ended after
so long. What a letter costs the database (commits, bytes of its journal, bytes on the disk) is the
database's own count; seconds of the processor are the kernel's, and depend least on what else runs.
"""

import argparse
import csv
import os
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import psycopg

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))

from tests.acceptance.bulk_campaign import bulk_campaign  # noqa: E402
from tests.acceptance.small import SmallCampaign  # noqa: E402
from tests.servers.postgres import Postgres, running_postgres  # noqa: E402
from tests.servers.sink import running_sink  # noqa: E402

COUNTS = """SELECT (SELECT xact_commit FROM pg_stat_database WHERE datname = current_database()),
    pg_current_wal_lsn() - '0/0'::pg_lsn, pg_database_size(current_database())"""
QUEUED = "queued: seconds", "processor", "MB", "database MB"
SENT = "sent: letters/s", "processor ms", "of PostgreSQL", "commits", "journal bytes"
KEPT = "database bytes", "MB a worker", "MB of PostgreSQL"
TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Used:
    """What processes used: seconds, seconds of the processor, and the most memory of one in MB."""

    seconds: float
    processor: float
    memory: float


def main() -> None:
    given = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    given.add_argument("--letters", type=int, nargs="+", default=[10_000])
    given.add_argument("--workers", type=int, nargs="+", default=[1, 2, 4])
    given.add_argument("--seconds", type=float, default=0, help="end the workers after so long")
    options = given.parse_args()
    columns = ("letters", "workers", *QUEUED, *SENT, *KEPT)
    print("|", " | ".join(columns), "|")
    print("|", " | ".join("---:" for _ in columns), "|")
    for letters in options.letters:
        for number in options.workers:
            with tempfile.TemporaryDirectory() as folder, running_postgres() as database:
                row = measure(Path(folder), database, letters, number, options.seconds)
            print(f"| {letters:,} | {number} |", " | ".join(row), "|", flush=True)
    print(f"load of the machine: {os.getloadavg()[1]:.1f}", file=sys.stderr)


def measure(
    folder: Path, database: Postgres, letters: int, number: int, seconds: float
) -> list[str]:
    with running_sink("-c", keeps=False) as sink:
        campaign = bulk_campaign(folder).through(sink.port)
        campaign.env["PETITION_DATABASE"] = database.new_log()
        people(folder / "supporters.csv", letters)
        queued = run(campaign, 1, 0, "send", "news", "--workers", "--yes")
        with psycopg.connect(database.url(), autocommit=True) as connection:
            before = connection.execute(COUNTS).fetchone()
            spent = processor_of(database)
            sent = run(campaign, number, seconds, "worker", "--once")
            time.sleep(2)  # the statistics come a while after
            after = connection.execute(COUNTS).fetchone()
            of_database, memory = processor_of(database) - spent, memory_of(database)
        done = campaign.petition("status", "news", "--json", timeout=600).json["sent"]
    assert seconds or done == letters, done
    assert before
    assert after
    commits, journal, size = (float(now - was) for was, now in zip(before, after, strict=True))
    return [
        f"{queued.seconds:.1f}",
        f"{queued.processor:.1f}",
        f"{queued.memory:.0f}",
        f"{float(before[2]) / 1e6:,.0f}",
        f"{done / sent.seconds:,.0f}",
        f"{1000 * sent.processor / done:.2f}",
        f"{1000 * of_database / done:.2f}",
        f"{commits / done:.2f}",
        f"{journal / done:,.0f}",
        f"{(float(before[2]) / letters) + size / done:,.0f}",
        f"{sent.memory:.0f}",
        f"{memory:.0f}",
    ]


def people(path: Path, number: int) -> None:
    with path.open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["email", "name", "updates"])
        rows.writerows([f"p{n}@x{n % 50}.example", f"Person {n}", "yes"] for n in range(number))


def run(campaign: SmallCampaign, number: int, seconds: float, *words: str) -> Used:
    """Run a command so many times at once; 0 seconds: until it ends by itself."""
    began = time.monotonic()
    crew = [
        subprocess.Popen(
            [sys.executable, "-m", "petition", *words],
            cwd=campaign.root,
            env=campaign.environment,
            stdout=subprocess.DEVNULL,
        )
        for _ in range(number)
    ]
    if seconds:
        time.sleep(seconds)
        for one in crew:
            os.kill(one.pid, signal.SIGTERM)  # which leaves it to be waited for
    processor = memory = 0.0
    for one in crew:
        _, status, used = os.wait4(one.pid, 0)
        one.returncode = os.waitstatus_to_exitcode(status)
        assert one.returncode == 0 or seconds, one.returncode
        processor += used.ru_utime + used.ru_stime
        memory = max(memory, used.ru_maxrss / 1024)
    return Used(time.monotonic() - began, processor, memory)


def processes_of(database: Postgres) -> list[Path]:
    """PostgreSQL's own, those for each connection among them."""
    found = [Path(f"/proc/{database.pid}")]
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            if int((entry / "stat").read_text().rpartition(")")[2].split()[1]) == database.pid:
                found.append(entry)
        except FileNotFoundError:  # it has ended
            continue
    return found


def processor_of(database: Postgres) -> float:
    """Seconds that they used so far; of those that have ended, as the first one knows it."""
    first, *others = (
        (one / "stat").read_text().rpartition(")")[2].split() for one in processes_of(database)
    )
    alive = sum(int(ticks) for stat in (first, *others) for ticks in stat[11:13])
    return (alive + sum(int(ticks) for ticks in first[13:15])) / TICKS


def memory_of(database: Postgres) -> float:
    """Their memory in MB, what they share counted once."""
    lines = [
        line
        for one in processes_of(database)
        for line in (one / "smaps_rollup").read_text().splitlines()
        if line.startswith("Pss:")
    ]
    return sum(int(line.split()[1]) for line in lines) / 1024


if __name__ == "__main__":
    main()
