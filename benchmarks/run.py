#!/usr/bin/env python3
"""Measures petition beside its peers: the same letter, the same sink, in turn.

    python benchmarks/run.py [--rounds 3] [--letters 20000] [--against FOLDER] [-w]

Needs Postfix's smtp-source and smtp-sink (Debian: postfix). nodemailer (npm) and mailmerge (PyPI)
take part where they are installed; who is missing is left out by name. Where there is a C compiler,
some are measured into a lighter sink too, and over a link of 20 ms. `--against` adds another
checkout, `--peers` and `--ways` measure less, `-w` puts the tables into docs/performance.md.
"""

import argparse
import csv
import importlib.util
import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path

from measure import (
    BEFORE,
    PETITION,
    ROOT,
    checkouts,
    environment_of,
    found,
    light_sink,
    postfix_sink,
    run,
    sink,
)

HERE = Path(__file__).parent
PAGE = ROOT / "docs" / "performance.md"
BEGIN, END = "<!-- measured -->\n", "<!-- /measured -->\n"
CONNECTIONS = 32
LINK = 20  # milliseconds
WAYS = ("stock", "light", "link")
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
    """One run of one peer.

    Args:
        rate: Letters a second.
        processor: Microseconds of the processor a letter.
        memory: Megabytes.
        alone: Of `processor`, before the program began a second thread: the list.
        others: Of `processor`, in the threads that it began: the log.
    """

    rate: float
    processor: float
    memory: float
    alone: float
    others: float


@dataclass(frozen=True)
class Peer:
    """Somebody who sends letters.

    Args:
        name: What the table calls it.
        share: Which share of the letters it gets; slow ones need not keep everybody waiting.
        command: What to run for a folder, a port and a number of letters.
        missing: What is not installed, or "".
        environment: What it needs beside.
        checkout: Whose petition it runs.
    """

    name: str
    share: float
    command: Callable[[Path, int, int], list[str]]
    missing: str = ""
    environment: tuple[tuple[str, str], ...] = ()
    checkout: Path = ROOT


@dataclass(frozen=True)
class Way:
    """Where the letters go.

    Args:
        name: How `--ways` calls it.
        title: What the page calls it; empty: the page has said so.
        sink: The command of what takes them.
        share: Which share of the letters of each peer goes there.
        peers: Who is measured, by the beginnings of their names; without any, everybody.
    """

    name: str
    title: str
    sink: list[str]
    share: float = 1
    peers: tuple[str, ...] = ()


Result = tuple[Way, list[Peer], list[dict[str, Measured]]]


def main() -> None:
    """Measure, and show or write the table."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--letters", type=int, default=20_000)
    parser.add_argument("--against", type=Path, metavar="FOLDER", help="another checkout")
    parser.add_argument("--peers", nargs="+", default=("",), help="the beginnings of their names")
    parser.add_argument("--ways", nargs="+", default=WAYS, choices=WAYS)
    parser.add_argument("-w", "--write", action="store_true")
    chosen = parser.parse_args()
    for program in ("smtp-sink", "smtp-source"):
        if not found(program):
            sys.exit(f"{program} is missing: it comes with Postfix (apt-get install postfix)")
    with tempfile.TemporaryDirectory() as folder:
        make_campaign(Path(folder), chosen.letters)
        size = size_of_letter(Path(folder))
        chosen_ones = ("petition", *chosen.peers)
        peers = [
            peer for peer in all_peers(size, chosen.against) if peer.name.startswith(chosen_ones)
        ]
        results: list[Result] = []
        for way in all_ways(Path(folder)):
            met = [peer for peer in peers if not way.peers or peer.name.startswith(way.peers)]
            if way.name in chosen.ways:
                rounds = [
                    measure_all(met, way, Path(folder), chosen.letters)
                    for _ in range(chosen.rounds)
                ]
                results.append((way, met, rounds))
    head = headline(chosen.letters, size, chosen.rounds)
    print(report(head, results))
    if chosen.write:
        ours = [
            (way, [peer for peer in met if peer.name != BEFORE], rounds)
            for way, met, rounds in results
        ]
        text = PAGE.read_text(encoding="utf-8")
        before, _, rest = text.partition(BEGIN)
        after = rest.partition(END)[2]
        PAGE.write_text(before + BEGIN + report(head, ours) + END + after, encoding="utf-8")


def all_peers(size: int, against: Path | None) -> Iterator[Peer]:
    """Everybody, installed or not.

    Args:
        size: The bytes of one letter, for those who send a canned one.
        against: Another checkout of petition.
    """
    send = [*PETITION, "send", "open-letter", "--yes"]
    for name, checkout in checkouts(against).items():
        yield Peer(name, 1, lambda *_: send, checkout=checkout)
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
    yield Way("stock", "", postfix_sink())
    light = light_sink(folder)
    if light is None:
        return
    title = "Into a lighter sink (`benchmarks/light_sink.c`), which leaves more of the machine:\n"
    yield Way("light", title, light, 1, ("petition", "smtp-source"))
    title = f"Over a link of {LINK} ms, which is how much later each reply comes:\n"
    slow = ("petition", "smtp-source", "EmailMessage")
    yield Way("link", title, [*light, str(LINK)], 0.5, slow)


def measure_all(peers: list[Peer], way: Way, folder: Path, letters: int) -> dict[str, Measured]:
    """One round: everybody in turn, so that a slow moment of the machine meets all."""
    return {
        peer.name: measure(peer, way, folder, max(1, int(letters * peer.share * way.share)))
        for peer in peers
        if not peer.missing
    }


def measure(peer: Peer, way: Way, whole: Path, letters: int) -> Measured:
    """One run of one peer, from the start of its process to its end, with a log of its own."""
    with tempfile.TemporaryDirectory() as name, sink(way.sink) as port:
        folder = Path(name)
        shutil.copytree(whole / "campaign", folder, dirs_exist_ok=True)
        # Line by line: the memory of this process counts as that of the one that it starts.
        with (
            (whole / "all.csv").open(encoding="utf-8") as everybody,
            (folder / "recipients.csv").open("w", encoding="utf-8") as file,
        ):
            file.writelines(islice(everybody, letters + 1))
        environment = environment_of(peer.checkout, folder, port) | dict(peer.environment)
        environment["PETITION_SMTP_CONNECTIONS"] = str(CONNECTIONS)
        used = run(peer.command(folder, port, letters), folder, environment)
    each = 1e6 / letters
    return Measured(
        letters / used.seconds,
        used.processor * each,
        used.memory,
        used.alone * each,
        used.others * each,
    )


def make_campaign(whole: Path, people: int) -> None:
    """A campaign with six merge fields a letter, and beside it the list of everybody."""
    folder = whole / "campaign"
    (folder / "letters").mkdir(parents=True)
    (folder / "petition.toml").write_text(SETTINGS, encoding="utf-8")
    (folder / "letters" / "open-letter.md").write_text(LETTER, encoding="utf-8")
    (folder / "letters" / "demands.md").write_text("## Keep it open {#open}\n", encoding="utf-8")
    (folder / "signatories.csv").write_text("name,publish\nAnn Reed,yes\n", encoding="utf-8")
    with (whole / "all.csv").open("w", newline="", encoding="utf-8") as file:
        rows = csv.writer(file)
        rows.writerow(["id", "email", "name", "salutation", "street", "town", "office"])
        for number in range(people):
            rows.writerow(
                [
                    *(f"r{number}", f"p{number}@x.example", f"Person Number {number}"),
                    *(f"Ms Number {number}", f"{number} Quay Street", "Hull", "the council"),
                ]
            )
    shutil.copy(whole / "all.csv", folder / "recipients.csv")


def size_of_letter(whole: Path) -> int:
    """The bytes of one copy, which those who send a canned letter are given too."""
    shown = subprocess.run(
        [*PETITION, "preview", "open-letter", "--as", "source"],
        cwd=whole / "campaign",
        env=environment_of(ROOT, whole),
        capture_output=True,
        check=True,
    )
    (whole / "campaign" / "recipients.csv").unlink()
    return len(shown.stdout)


def report(head: str, results: list[Result]) -> str:
    """All tables and bars."""
    parts = [head]
    for way, peers, rounds in results:
        parts += [way.title, table(peers, rounds), chart(peers, rounds)]
        if way.name == "light":
            parts.append(threads(peers, rounds))
    return "\n".join(filter(None, parts))


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


def threads(peers: list[Peer], rounds: list[dict[str, Measured]]) -> str:
    """Where the processor's time of petition goes: the medians, in microseconds a letter."""
    lines = [
        "| us of the processor a letter | before the first letter | then | the log's thread |",
        "|---|---:|---:|---:|",
    ]
    for peer in (peer for peer in peers if peer.name.startswith("petition")):
        runs = [each[peer.name] for each in rounds]
        alone, others, whole = (
            statistics.median(getattr(run, part) for run in runs)
            for part in ("alone", "others", "processor")
        )
        lines.append(
            f"| {peer.name} | {alone:,.0f} | {whole - alone - others:,.0f} | {others:,.0f} |"
        )
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
