#!/usr/bin/env python3
"""Measures petition beside its peers: the same letter, the same sink, in turn.

    python benchmarks/run.py [--rounds 3] [--letters 20000] [-w]

Needs Postfix's smtp-source and smtp-sink (Debian: postfix). nodemailer (npm) and mailmerge (PyPI)
take part where they are installed; who is missing is left out by name. Where there is a C compiler,
some are measured into a lighter sink too, and over a link of 20 ms. `-w` puts the tables into
docs/performance.md.
"""

import argparse
import csv
import importlib.util
import os
import platform
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

HERE = Path(__file__).parent
PAGE = HERE.parent / "docs" / "performance.md"
BEGIN, END = "<!-- measured -->\n", "<!-- /measured -->\n"
CONNECTIONS = 32
LINK = 20  # milliseconds
BAR = 40  # characters of the longest bar
SETTINGS = """\
[campaign]
title = "Keep the Harbour Library open"

[sender]
from = "Friends of the Library <letters@friends.example>"
reply_to = "answers@friends.example"
"""
PARAGRAPH = (
    "the harbour library is the only warm, quiet and free room within half an hour’s walk, for"
    " pupils as much as for those who look for **work**.\n\n"
)
LETTER = (
    '---\nto: recipients\nsubject: "{{ recipient.name }}, your library in {{ recipient.town }}"\n'
    "---\nDear {{ recipient.salutation }},\n\n"
    + PARAGRAPH
    * 22
    + "You live in {{ recipient.street }} in {{ recipient.town }}. We ask {{ recipient.office }}"
    " for an answer.\n\n{{ sender.name }}\n"
)


@dataclass(frozen=True)
class Measured:
    """One run of one peer: letters a second, microseconds of processor a letter, megabytes."""

    rate: float
    processor: float
    memory: float


@dataclass(frozen=True)
class Peer:
    """Somebody who sends letters.

    Args:
        name: What the table calls it.
        share: Which share of the letters it gets; slow ones need not keep everybody waiting.
        command: What to run for a folder, a port and a number of letters.
        missing: What is not installed, or "".
        environment: What it needs beside.
    """

    name: str
    share: float
    command: Callable[[Path, int, int], list[str]]
    missing: str = ""
    environment: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class Way:
    """Where the letters go.

    Args:
        title: What the page calls it; empty: the page has said so.
        sink: Starts what takes them, for a port.
        share: Which share of the letters of each peer goes there.
        peers: Who is measured, by the beginnings of their names; without any, everybody.
    """

    title: str
    sink: Callable[[int], list[str]]
    share: float = 1
    peers: tuple[str, ...] = ()


def main() -> None:
    """Measure, and show or write the table."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--letters", type=int, default=20_000)
    parser.add_argument("-w", "--write", action="store_true")
    chosen = parser.parse_args()
    for program in ("smtp-sink", "smtp-source"):
        if not found(program):
            sys.exit(f"{program} is missing: it comes with Postfix (apt-get install postfix)")
    with tempfile.TemporaryDirectory() as folder:
        make_campaign(Path(folder), chosen.letters)
        size = size_of_letter(Path(folder))
        peers = list(all_peers(size))
        parts = [headline(chosen.letters, size, chosen.rounds)]
        for way in all_ways(Path(folder)):
            met = [peer for peer in peers if not way.peers or peer.name.startswith(way.peers)]
            rounds = [
                measure_all(met, way, Path(folder), chosen.letters) for _ in range(chosen.rounds)
            ]
            parts += [way.title, table(met, rounds), chart(met, rounds)]
    shown = "\n".join(filter(None, parts))
    print(shown)
    if chosen.write:
        text = PAGE.read_text(encoding="utf-8")
        before, _, rest = text.partition(BEGIN)
        PAGE.write_text(before + BEGIN + shown + END + rest.partition(END)[2], encoding="utf-8")


def all_peers(size: int) -> Iterator[Peer]:
    """Everybody, installed or not.

    Args:
        size: The bytes of one letter, for those who send a canned one.
    """
    petition = [sys.executable, "-m", "petition", "send", "open-letter", "--yes"]
    yield Peer("petition", 1, lambda *_: petition)
    source = found("smtp-source") or ""
    yield Peer(
        "smtp-source -d (C, one canned letter)",
        1,
        lambda _, port, letters: [
            *(source, "-d", "-s", str(CONNECTIONS), "-m", str(letters), "-l", str(size)),
            *("-f", "a@x.example", "-t", "b@x.example", f"127.0.0.1:{port}"),
        ],
    )
    yield Peer(
        "EmailMessage + aiosmtplib sendmail",
        0.1,
        lambda folder, port, letters: [
            *(sys.executable, str(HERE / "peers" / "aiosmtplib_sendmail.py")),
            *(str(folder), str(port), str(letters), str(CONNECTIONS)),
        ],
    )
    node = shutil.which("node")
    modules = os.environ.get("NODE_PATH", str(HERE / "node_modules"))
    has_nodemailer = bool(node) and (Path(modules) / "nodemailer").exists()
    yield Peer(
        "nodemailer (5 pooled connections)",
        0.1,
        lambda _, port, letters: [
            *(node or "", str(HERE / "peers" / "nodemailer.cjs"), str(port), str(letters)),
            str(size),
        ],
        "" if has_nodemailer else "npm install --prefix benchmarks nodemailer",
        (("NODE_PATH", modules),),
    )
    yield Peer(
        "mailmerge (Markdown)",
        0.01,
        lambda folder, port, letters: [
            *(sys.executable, str(HERE / "peers" / "mailmerge_run.py")),
            *(str(folder), str(port), str(letters)),
        ],
        "" if importlib.util.find_spec("mailmerge") else "pip install mailmerge",
    )


def all_ways(folder: Path) -> Iterator[Way]:
    """Postfix's own sink; and where it can be compiled, a lighter one, near and far."""
    who = ["-u", "postfix"] if os.geteuid() == 0 else []
    program = found("smtp-sink") or ""
    yield Way("", lambda port: [program, *who, f"127.0.0.1:{port}", "1000"])
    compiler, light = shutil.which("cc"), str(folder / "light_sink")
    if compiler is None:
        return
    source = str(HERE / "light_sink.c")
    subprocess.run([compiler, "-O2", "-pthread", "-o", light, source], check=True)
    title = "Into a lighter sink (`benchmarks/light_sink.c`), which leaves more of the machine:\n"
    yield Way(title, lambda port: [light, str(port)], 1, ("petition", "smtp-source"))
    title = f"Over a link of {LINK} ms, which is how much later each reply comes:\n"
    slow = ("petition", "smtp-source", "EmailMessage")
    yield Way(title, lambda port: [light, str(port), str(LINK)], 0.5, slow)


def measure_all(peers: list[Peer], way: Way, folder: Path, letters: int) -> dict[str, Measured]:
    """One round: everybody in turn, so that a slow moment of the machine meets all."""
    return {
        peer.name: measure(peer, way, folder, max(1, int(letters * peer.share * way.share)))
        for peer in peers
        if not peer.missing
    }


def measure(peer: Peer, way: Way, folder: Path, letters: int) -> Measured:
    """One run of one peer, from the start of its process to its end."""
    for old in folder.glob("petition.db*"):
        old.unlink()
    with (folder / "all.csv").open(encoding="utf-8") as file:
        rows = [line for line, _ in zip(file, range(letters + 1), strict=False)]
    (folder / "recipients.csv").write_text("".join(rows), encoding="utf-8")
    with sink(way) as port:
        environment = {
            **os.environ,
            **dict(peer.environment),
            "PETITION_SMTP_HOST": "127.0.0.1",
            "PETITION_SMTP_PORT": str(port),
            "PETITION_SMTP_SECURITY": "none",
            "PETITION_SMTP_CONNECTIONS": str(CONNECTIONS),
        }
        begun = time.perf_counter()
        process = subprocess.Popen(
            peer.command(folder, port, letters),
            cwd=folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
        )
        said = process.stderr.read() if process.stderr else b""
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        seconds = time.perf_counter() - begun
        if process.returncode:
            sys.exit(f"{peer.name} ended with {process.returncode}: {said.decode()[-500:]}")
    processor = used.ru_utime + used.ru_stime
    return Measured(letters / seconds, processor / letters * 1e6, used.ru_maxrss / 1024)


@contextmanager
def sink(way: Way) -> Iterator[int]:
    """What takes the letters, on a free port."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = int(listener.getsockname()[1])
    process = subprocess.Popen(way.sink(port), stderr=subprocess.DEVNULL)
    try:
        for _ in range(200):
            try:
                socket.create_connection(("127.0.0.1", port)).close()
            except OSError:
                time.sleep(0.02)
            else:
                break
        yield port
    finally:
        process.terminate()
        process.wait()


def found(program: str) -> str | None:
    """Where a program of Postfix is; Debian keeps them out of a person's path."""
    return shutil.which(program, path=f"{os.environ.get('PATH', '')}:/usr/sbin")


def make_campaign(folder: Path, people: int) -> None:
    """A campaign with six merge fields a letter."""
    (folder / "letters").mkdir()
    (folder / "petition.toml").write_text(SETTINGS, encoding="utf-8")
    (folder / "letters" / "open-letter.md").write_text(LETTER, encoding="utf-8")
    (folder / "letters" / "demands.md").write_text("## Keep it open {#open}\n", encoding="utf-8")
    (folder / "signatories.csv").write_text("name,publish\nAnn Reed,yes\n", encoding="utf-8")
    with (folder / "all.csv").open("w", newline="", encoding="utf-8") as file:
        rows = csv.writer(file)
        rows.writerow(["id", "email", "name", "salutation", "street", "town", "office"])
        for number in range(people):
            rows.writerow(
                [
                    *(f"r{number}", f"p{number}@x.example", f"Person Number {number}"),
                    *(f"Ms Number {number}", f"{number} Quay Street", "Hull", "the council"),
                ]
            )
    shutil.copy(folder / "all.csv", folder / "recipients.csv")


def size_of_letter(folder: Path) -> int:
    """The bytes of one copy, which those who send a canned letter are given too."""
    shown = subprocess.run(
        [sys.executable, "-m", "petition", "preview", "open-letter", "--as", "source"],
        cwd=folder,
        env={**os.environ, "PETITION_SMTP_HOST": ""},
        capture_output=True,
        check=True,
    )
    return len(shown.stdout)


def headline(letters: int, size: int, rounds: int) -> str:
    """When and on what it was measured."""
    day = f"{datetime.now(UTC):%Y-%m-%d}"
    python = platform.python_version()
    where = f"{day}, {os.cpu_count()} cores, Python {python}, load {os.getloadavg()[1]:.0f}"
    loop = "uvloop" if importlib.util.find_spec("uvloop") else "asyncio"
    what = f"{letters:,} letters of {size:,} bytes, {CONNECTIONS} connections"
    return f"{where}, {loop}:\n{what}; the median of {rounds} rounds in turn.\n"


def table(peers: list[Peer], rounds: list[dict[str, Measured]]) -> str:
    """The medians, and how many times faster petition is than each peer."""
    lines = [
        "| | letters/s | petition is | processor us a letter | memory MB |",
        "|---|---:|---:|---:|---:|",
    ]
    own = [each["petition"].rate for each in rounds]
    for peer in peers:
        if peer.missing:
            continue
        runs = [each[peer.name] for each in rounds]
        ratio = statistics.median(a / b.rate for a, b in zip(own, runs, strict=True))
        lines.append(
            f"| {peer.name} | {statistics.median(run.rate for run in runs):,.0f} | {ratio:.2f} x"
            f" | {statistics.median(run.processor for run in runs):,.0f}"
            f" | {max(run.memory for run in runs):,.0f} |"
        )
    for peer in peers:
        if peer.missing:
            lines += ["", f"Left out, for it is not installed: {peer.name} (`{peer.missing}`)."]
    return "\n".join(lines) + "\n"


def chart(peers: list[Peer], rounds: list[dict[str, Measured]]) -> str:
    """The same as bars."""
    rates = {
        peer.name: statistics.median(each[peer.name].rate for each in rounds)
        for peer in peers
        if not peer.missing
    }
    width, most = max(map(len, rates)), max(rates.values())
    lines = [
        f"{name:{width}}  {'█' * max(1, round(BAR * rate / most))} {rate:,.0f}"
        for name, rate in rates.items()
    ]
    return "\n".join(["```text", *lines, "```", ""])


if __name__ == "__main__":
    main()
