#!/usr/bin/env python3
"""Measures at the server how exactly a pace is kept: `rate` of petition.toml, in real time.

    python benchmarks/pace.py [--seconds 60] [--rates 5/s 10/s 20/min 200/s] [-w]

A server on this machine notes when each MAIL and each final dot comes in. `-w` puts the table into
docs/delivery.md.
"""

import argparse
import asyncio
import bisect
import csv
import os
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

PAGE = Path(__file__).parent.parent / "docs" / "delivery.md"
BEGIN, END = "<!-- measured -->\n", "<!-- /measured -->\n"
CONNECTIONS = 8
SECONDS = {"s": 1, "min": 60, "h": 3600}
SETTINGS = """\
[campaign]
title = "Pace"

[sender]
from = "Pace <letters@pace.example>"
reply_to = "answers@pace.example"

[smtp]
host = "127.0.0.1"
port = {port}
security = "none"
connections = {connections}

[pace]
rate = "{rate}"
"""
LETTER = "---\nto: recipients\nsubject: Pace\n---\nDear {{ recipient.name }}.\n"


@dataclass
class Noting:
    """A server that notes when letters come in, in seconds."""

    port: int = 0
    mails: list[float] = field(default_factory=list)
    dots: list[float] = field(default_factory=list)


class Conversation(asyncio.Protocol):
    """One connection."""

    def __init__(self, noting: Noting) -> None:
        self.noting = noting
        self.left = b""
        self.is_data = False

    def connection_made(self, transport) -> None:
        self.transport = transport
        transport.write(b"220 pace.test ESMTP\r\n")

    def data_received(self, data: bytes) -> None:
        now = time.monotonic()
        *lines, self.left = (self.left + data).split(b"\r\n")
        for line in lines:
            self.take(line, now)

    def take(self, line: bytes, now: float) -> None:
        verb = line[:4].upper()
        if self.is_data:
            if line != b".":
                return
            self.is_data = False
            self.noting.dots.append(now)
        elif verb == b"DATA":
            self.is_data = True
            self.transport.write(b"354 go on\r\n")
            return
        elif verb == b"MAIL":
            self.noting.mails.append(now)
        elif verb == b"EHLO":
            self.transport.write(b"250-pace.test\r\n250-PIPELINING\r\n")
        self.transport.write(b"250 2.0.0 Ok\r\n")


@contextmanager
def noting_server():
    noting = Noting()
    loop = asyncio.new_event_loop()
    opening = loop.create_server(lambda: Conversation(noting), "127.0.0.1", 0)
    server = loop.run_until_complete(opening)
    noting.port = server.sockets[0].getsockname()[1]
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    try:
        yield noting
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        server.close()
        loop.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--seconds", type=int, default=60)
    parser.add_argument("--rates", nargs="+", default=["20/min", "5/s", "10/s", "200/s"])
    parser.add_argument("-w", "--write", action="store_true")
    chosen = parser.parse_args()
    rows = [row_of(rate, measure(rate, chosen.seconds)) for rate in chosen.rates]
    shown = table(rows, chosen.seconds)
    print(shown)
    if chosen.write:
        before, _, rest = PAGE.read_text(encoding="utf-8").partition(BEGIN)
        PAGE.write_text(before + BEGIN + shown + END + rest.partition(END)[2], encoding="utf-8")


def per_second(rate: str) -> float:
    count, _, unit = rate.partition("/")
    return int(count) / SECONDS[unit]


def measure(rate: str, seconds: int) -> Noting:
    """What came in of a campaign that lasts so many seconds."""
    with tempfile.TemporaryDirectory() as folder, noting_server() as noting:
        root = Path(folder)
        (root / "letters").mkdir()
        (root / "letters/letter.md").write_text(LETTER)
        settings = SETTINGS.format(port=noting.port, rate=rate, connections=CONNECTIONS)
        (root / "petition.toml").write_text(settings)
        with (root / "recipients.csv").open("w", newline="") as file:
            rows = csv.writer(file)
            rows.writerow(["email", "name"])
            letters = round(per_second(rate) * seconds) + 1
            rows.writerows([f"p{number}@x.example", f"P{number}"] for number in range(letters))
        kept = {name: value for name, value in os.environ.items() if "PETITION" not in name}
        subprocess.run(
            [sys.executable, "-m", "petition", "send", "letter", "--yes"],
            cwd=root,
            env=kept,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            check=True,
        )
    return noting


def windows(moments: list[float], length: float) -> tuple[int, int]:
    """The fewest and the most in any window of so many seconds that lies within the run.

    The most are in a window that begins with a letter; the fewest in one that begins just after
    one.
    """
    end = moments[-1]
    most = [bisect.bisect_left(moments, one + length) - at for at, one in enumerate(moments)]
    fewest = [
        bisect.bisect_right(moments, one + length) - at - 1
        for at, one in enumerate(moments)
        if one + length <= end
    ]
    return min(fewest, default=0), max(most)


def row_of(rate: str, noting: Noting) -> str:
    mails, dots = sorted(noting.mails), sorted(noting.dots)
    wanted = per_second(rate)
    reached = (len(dots) - 1) / (dots[-1] - dots[0]) / wanted
    cells = [rate, f"{len(dots):,}"]
    for length in (1, 10):
        (fewest, most), (_, dots_most) = windows(mails, length), windows(dots, length)
        cells += [f"{fewest:,} to {most:,}", f"{dots_most:,}"]
    cells.append(f"{100 * reached:.2f} %")
    return "| " + " | ".join(cells) + " |\n"


def table(rows: list[str], seconds: int) -> str:
    when = f"{datetime.now(UTC):%Y-%m-%d}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}"
    return (
        f"{when}, {seconds} s each, over up to {CONNECTIONS} connections:\n\n"
        "| rate | letters | MAIL in any second | dots, at most | MAIL in any 10 s | dots, at most"
        " | of the rate |\n"
        "|---|--:|--:|--:|--:|--:|--:|\n" + "".join(rows)
    )


if __name__ == "__main__":
    main()
