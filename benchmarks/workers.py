#!/usr/bin/env python3
"""Measures how workers share a letter: letters a second with 1, 2 and 4 of them on this machine.

    python benchmarks/workers.py [--letters 10000] [--workers 1 2 4]

PostgreSQL and Postfix's smtp-sink run on this machine too, each worker in a process of its own.
What a letter costs the database (commits, bytes of its journal, bytes on the disk) is the
database's own count from the first worker to the last.
"""

import argparse
import csv
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psycopg

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))

from tests.acceptance.small import SmallCampaign  # noqa: E402
from tests.servers.postgres import Postgres, running_postgres  # noqa: E402
from tests.servers.sink import running_sink  # noqa: E402

COUNTS = """SELECT (SELECT xact_commit FROM pg_stat_database WHERE datname = current_database()),
    pg_current_wal_lsn() - '0/0'::pg_lsn, pg_database_size(current_database())"""


def main() -> None:
    given = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    given.add_argument("--letters", type=int, default=10_000)
    given.add_argument("--workers", type=int, nargs="+", default=[1, 2, 4])
    options = given.parse_args()
    print("| workers | letters/s | commits a letter | journal, bytes a letter | MB a worker |")
    print("|---:|---:|---:|---:|---:|")
    for number in options.workers:
        with tempfile.TemporaryDirectory() as folder, running_postgres() as database:
            measure(Path(folder), database, options.letters, number)


def measure(folder: Path, database: Postgres, letters: int, number: int) -> None:
    with running_sink("-c") as sink:
        campaign = SmallCampaign.at(folder, 1).through(sink.port)
        campaign.env["PETITION_DATABASE"] = database.new_log()
        people(folder / "recipients.csv", letters)
        began = time.monotonic()
        campaign.petition("send", "open-letter", "--workers", "--yes", status=0, timeout=3600)
        queued = time.monotonic() - began
        with psycopg.connect(database.url(), autocommit=True) as connection:
            before = connection.execute(COUNTS).fetchone()
            seconds, memory = work(campaign, number)
            time.sleep(2)  # the statistics come a while after
            after = connection.execute(COUNTS).fetchone()
        sent = campaign.petition("status", "open-letter", "--json").json["sent"]
    assert sent == letters, sent
    assert before
    assert after
    commits, journal, size = (float(now - was) for was, now in zip(before, after, strict=True))
    row = (
        f"{number} | {letters / seconds:,.0f} | {commits / letters:.2f} | {journal / letters:,.0f}"
    )
    print(f"| {row} | {memory:.0f} |", flush=True)
    print(
        f"  queued in {queued:.1f} s; the database grew by {size / letters:,.0f} bytes a letter"
        f" while it went, to {float(after[2]) / letters:,.0f}",
        file=sys.stderr,
    )


def people(path: Path, number: int) -> None:
    with path.open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["id", "email", "name", "town"])
        rows.writerows([f"p{n}", f"p{n}@x.example", f"Person {n}", "Leeds"] for n in range(number))


def work(campaign: SmallCampaign, number: int) -> tuple[float, float]:
    """How many seconds it took, and the most memory of a worker in MB."""
    began = time.monotonic()
    crew = [
        subprocess.Popen(
            [sys.executable, "-m", "petition", "worker", "--once"],
            cwd=campaign.root,
            env=campaign.environment,
            stdout=subprocess.DEVNULL,
        )
        for _ in range(number)
    ]
    most = 0.0
    for one in crew:
        _, status, used = os.wait4(one.pid, 0)
        one.returncode = os.waitstatus_to_exitcode(status)
        assert one.returncode == 0
        most = max(most, used.ru_maxrss / 1024)
    return time.monotonic() - began, most


if __name__ == "__main__":
    main()
