#!/usr/bin/env python3
"""Measures what a letter costs on PostgreSQL, with one worker and more, beside one SQLite process.

    python benchmarks/workers.py [--letters 10000] [--workers 1 2 4] [--rounds 3]
        [--connections 32] [--against FOLDER] [--statements] [--seconds 0]

PostgreSQL and the sink run on this machine too, each worker in a process of its own; the letter is
one to many, with the ways to leave the list. All take turns, with another checkout where one is
named; what is shown are medians. What a letter costs the database (commits, statements, bytes of
its journal, bytes on the disk) is the database's own count; seconds of the processor are the
kernel's, and depend least on what else runs. To count statements costs the database a little time
itself. With `--seconds` the workers are ended after so long.
"""

import argparse
import csv
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path

import psycopg

from measure import (
    PETITION,
    ROOT,
    checkouts,
    environment_of,
    light_sink,
    postfix_sink,
    run,
    sink,
)

sys.path.insert(0, str(ROOT))

from tests import SHARED
from tests.acceptance.bulk_campaign import bulk_campaign
from tests.servers.postgres import Postgres, running_postgres

COUNTS = """SELECT (SELECT xact_commit FROM pg_stat_database WHERE datname = current_database()),
    pg_current_wal_lsn() - '0/0'::pg_lsn, pg_database_size(current_database())"""
STATEMENTS = "SELECT sum(calls) FROM pg_stat_statements"
COLUMNS = {  # and how many digits it has behind the point
    "letters/s, whole": 0,
    "letters/s, sent": 0,
    "processor us": 0,
    "of PostgreSQL": 0,
    "commits": 3,
    "statements a commit": 1,
    "journal bytes": 0,
    "database bytes": 0,
    "queued, s": 1,
    "queued, MB": 0,
    "MB": 0,
    "MB of PostgreSQL": 0,
}
Row = dict[str, float]
TICKS = os.sysconf("SC_CLK_TCK")


def main() -> None:
    given = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    given.add_argument("--letters", type=int, nargs="+", default=[10_000])
    given.add_argument("--workers", type=int, nargs="+", default=[1, 2, 4])
    given.add_argument(
        "--connections", type=int, default=32, help="of each process; 0: as it likes"
    )
    given.add_argument("--rounds", type=int, default=3)
    given.add_argument("--against", type=Path, metavar="FOLDER", help="another checkout")
    given.add_argument("--statements", action="store_true", help="count them")
    given.add_argument("--seconds", type=float, default=0, help="end the workers after so long")
    options = given.parse_args()
    print("| letters, each | of | who |", " | ".join(COLUMNS), "|")
    print("|---:|---|---|", " | ".join("---:" for _ in COLUMNS), "|")
    with tempfile.TemporaryDirectory() as folder:
        os.environ.setdefault(SHARED, folder)
        Path(folder).chmod(0o755)  # PostgreSQL does not run as root
        taker = light_sink(Path(folder)) or postfix_sink()
        both = checkouts(options.against)
        for letters in options.letters:
            found: dict[tuple[str, int], list[Row]] = {}
            for _ in range(options.rounds):
                for number in (0, *options.workers):
                    for name, checkout in both.items():
                        measured = (
                            workers(checkout, taker, letters, number, options)
                            if number
                            else one_process(checkout, taker, letters, options)
                        )
                        found.setdefault((name, number), []).append(measured)
            for (name, number), rows in found.items():
                show(letters, name, number, rows)
    print(f"load of the machine: {os.getloadavg()[1]:.1f}", file=sys.stderr)


def show(letters: int, name: str, number: int, rows: list[Row]) -> None:
    who = f"{number} worker{'s' if number > 1 else ''}" if number else "one process, SQLite"
    cells = [
        f"{statistics.median(row[column] for row in rows):,.{digits}f}" if column in rows[0] else ""
        for column, digits in COLUMNS.items()
    ]
    print(f"| {letters:,} | {name} | {who} |", " | ".join(cells), "|", flush=True)


def one_process(checkout: Path, taker: list[str], letters: int, options: argparse.Namespace) -> Row:
    """`send` alone, with its log in a file."""
    with tempfile.TemporaryDirectory() as folder, sink(taker) as port:
        environment = prepared(checkout, Path(folder), port, letters, options)
        used = run([*PETITION, "send", "news", "--yes"], Path(folder), environment)
        size = Path(folder, "petition.db").stat().st_size
    return {
        "letters/s, whole": letters / used.seconds,
        "processor us": used.processor / letters * 1e6,
        "MB": used.memory,
        "database bytes": size / letters,
    }


def workers(
    checkout: Path, taker: list[str], letters: int, number: int, options: argparse.Namespace
) -> Row:
    """`send --workers`, and so many workers."""
    with (
        tempfile.TemporaryDirectory() as folder,
        running_postgres() as database,
        sink(taker) as port,
    ):
        if options.statements:
            database.stop()
            database.start("shared_preload_libraries=pg_stat_statements")
            database.run("CREATE EXTENSION pg_stat_statements")
        environment = prepared(checkout, Path(folder), port, letters, options)
        environment["PETITION_DATABASE"] = database.new_log()
        queue = [*PETITION, "send", "news", "--workers", "--yes"]
        queued = run(queue, Path(folder), environment)
        with psycopg.connect(database.url(), autocommit=True) as connection:
            before = counts(connection, options)
            spent = processor_of(database)
            work = [*PETITION, "worker", "--once"]
            seconds = options.seconds
            # 3: another worker had the last letters; that all are sent is asserted below.
            ends = (0, 3)
            sent = run(work, Path(folder), environment, number=number, seconds=seconds, ends=ends)
            of_database, memory = processor_of(database) - spent, memory_of(database)
            time.sleep(2)  # the statistics come a while after
            after = counts(connection, options)
        asked = [*PETITION, "status", "news", "--json"]
        told = subprocess.run(asked, cwd=folder, env=environment, capture_output=True, check=True)
    done = json.loads(told.stdout)["sent"]
    assert seconds or done == letters, done
    commits, journal, size, statements = (now - was for was, now in zip(before, after, strict=True))
    row = {
        "letters/s, sent": done / sent.seconds,
        "processor us": sent.processor / done * 1e6,
        "of PostgreSQL": of_database / done * 1e6,
        "commits": commits / done,
        "journal bytes": journal / done,
        "database bytes": before[2] / letters + size / done,
        "queued, s": queued.seconds,
        "queued, MB": queued.memory,
        "MB": sent.memory,
        "MB of PostgreSQL": memory,
    }
    if not seconds:
        row["letters/s, whole"] = letters / (queued.seconds + sent.seconds)
    return row | ({"statements a commit": statements / commits} if options.statements else {})


def prepared(
    checkout: Path, folder: Path, port: int, letters: int, options: argparse.Namespace
) -> dict[str, str]:
    """Make a campaign with so many supporters; the environment to send it in."""
    bulk_campaign(folder)
    with (folder / "supporters.csv").open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["email", "name", "updates"])
        rows.writerows([f"p{n}@x{n % 50}.example", f"Person {n}", "yes"] for n in range(letters))
    environment = environment_of(checkout, folder, port)
    if options.connections:
        environment["PETITION_SMTP_CONNECTIONS"] = str(options.connections)
    return environment


def counts(connection: psycopg.Connection, options: argparse.Namespace) -> list[float]:
    """The database's commits, bytes of journal, bytes on the disk, and statements."""
    row = connection.execute(COUNTS).fetchone()
    calls = connection.execute(STATEMENTS).fetchone() if options.statements else (0,)
    assert row
    assert calls
    return [float(number) for number in (*row, *calls)]


def told_of(database: Postgres, file: str) -> list[str]:
    """A file in /proc of PostgreSQL's first process, and of those for connections and the like."""
    found = [Path(f"/proc/{database.pid}", file).read_text()]
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):  # it has ended
            if parent_of(process) == database.pid:
                found.append((process / file).read_text())
    return found


def parent_of(process: Path) -> int:
    return int((process / "stat").read_text().rpartition(")")[2].split()[1])


def processor_of(database: Postgres) -> float:
    """Seconds that they used so far; of those that have ended, as the first one knows it."""
    first, *others = (one.rpartition(")")[2].split() for one in told_of(database, "stat"))
    alive = sum(int(ticks) for stat in (first, *others) for ticks in stat[11:13])
    return (alive + sum(int(ticks) for ticks in first[13:15])) / TICKS


def memory_of(database: Postgres) -> float:
    """Their memory in MB, what they share counted once."""
    lines = "".join(told_of(database, "smaps_rollup")).splitlines()
    return sum(int(line.split()[1]) for line in lines if line.startswith("Pss:")) / 1024


if __name__ == "__main__":
    main()
