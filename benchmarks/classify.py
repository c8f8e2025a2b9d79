#!/usr/bin/env python3
"""Measures what it takes to say what a mail is (`petition inbox --explain`), in processor time.

    python benchmarks/classify.py [--against FOLDER] [--rounds 5] [--worst] [--search SEEDS]

reads the sample mails and replies of the tests, in turn with another checkout where one is named.
`--worst` reads mails made to take long, each within the limits of what is read; `--search` makes
more of them at random, and shows the slowest.
"""

import argparse
import random
import re
import subprocess
import sys
import time
from base64 import b64encode
from collections.abc import Callable, Iterator
from pathlib import Path

ROOT = Path(__file__).parent.parent
SAMPLES = ROOT / "tests/samples"
SECONDS = 2.0  # of the processor, for any mail
HEAD = b"From: kim@kaz.example\nTo: answers@campaign.example\nSubject: Re: Water\n"
DAEMON = b"From: MAILER-DAEMON@mx.example\nTo: answers@campaign.example\nSubject: Undelivered\n"
MIXED = b"MIME-Version: 1.0\nContent-Type: multipart/mixed; boundary=b\n\n"
HTML = b"MIME-Version: 1.0\nContent-Type: text/html; charset=utf-8\n\n"
UTF8 = b"MIME-Version: 1.0\nContent-Type: text/plain; charset=utf-8\n\n"

LETTER = "Dear Ms Osei,\n\nThe library at Quay Street closes in May.\nKeep it open.\n\nAnn Lee"
FILLED = {
    "{C}": "Letter Committee <answers@campaign.example>",
    "{A}": "answers@campaign.example",
    "{L}": LETTER,
    "{Q}": re.sub("^", "> ", LETTER, flags=re.MULTILINE),
    "{H}": re.sub("(.+)", r"<p>\1</p>", LETTER),
    "{ }": " ",
}

# What a child does: one round over the same mails, several times, by the code beside it.
CHILD = """
import sys, time, pickle
sys.path.insert(0, sys.argv[1])
try:
    from petition.inbox.classify import explain
except ImportError:
    from petition.inbox.sort import explain
mails = pickle.load(sys.stdin.buffer)
for mail in mails:
    explain(mail)
begun, number = time.process_time(), 0
while time.process_time() - begun < 4:
    for mail in mails:
        explain(mail)
    number += len(mails)
print(number / (time.process_time() - begun))
"""


def samples() -> list[bytes]:
    """The mails of the tests, and their replies as mails."""
    mails = [path.read_bytes() for path in sorted((SAMPLES / "mail").glob("*.eml"))]
    text = (SAMPLES / "replies.txt").read_text(encoding="utf-8")
    for block in re.split(r"^%% ", text, flags=re.MULTILINE)[1:]:
        name, _, rest = block.partition("\n")
        reply = rest.partition("\n%=\n")[0]
        for mark, filling in FILLED.items():
            reply = reply.replace(mark, filling)
        mails.append(HEAD + (HTML if "HTML" in name else UTF8) + reply.encode())
    return mails


def speed(folder: Path, mails: list[bytes]) -> float:
    """Mails a second of the processor, by the code in a folder."""
    import pickle

    command = [sys.executable, "-c", CHILD, str(folder)]
    done = subprocess.run(command, input=pickle.dumps(mails), capture_output=True, check=True)
    return float(done.stdout)


def compare(other: Path | None, rounds: int) -> None:
    """Measure this checkout and another one, in turn."""
    mails = samples()
    ratios = []
    for _ in range(rounds):
        ours = speed(ROOT, mails)
        told = f"{ours:,.0f} mails a second"
        if other:
            theirs = speed(other, mails)
            ratios.append(ours / theirs)
            told += f", {theirs:,.0f} before: {ours / theirs:.2f}"
        print(told, flush=True)
    if ratios:
        print(f"median ratio {sorted(ratios)[len(ratios) // 2]:.2f}")


# ---- mails that take long


def filled(pieces: list[bytes], size: int) -> bytes:
    """Pieces one after the other, over and over."""
    block = b"".join(pieces) or b"x"
    return (block * (size // len(block) + 1))[:size]


def parts(bodies: list[bytes], head: bytes = b"Content-Type: text/plain\n\n") -> bytes:
    """A mail with many parts."""
    return HEAD + MIXED + b"".join(b"\n--b\n" + head + body for body in bodies) + b"\n--b--\n"


def nested(depth: int, body: bytes, kind: bytes = b"multipart/mixed") -> bytes:
    """Parts within parts."""
    heads = b"".join(
        b"Content-Type: %s; boundary=b%d\n\n--b%d\n" % (kind, at, at) for at in range(depth)
    )
    return HEAD + heads + b"Content-Type: text/plain\n\n" + body


def report(number: int, said: bytes) -> bytes:
    """A delivery report of many recipients."""
    blocks = b"".join(
        b"\n\nFinal-Recipient: rfc822; p%d@x.example\nAction: failed\nStatus: 5.1.1\n"
        b"Diagnostic-Code: smtp; 550 %s" % (at, said)
        for at in range(number)
    )
    kind = b"Content-Type: multipart/report; report-type=delivery-status; boundary=b\n\n"
    listed = b"".join(b"<p%d@x.example>: %s\n\n" % (at, said) for at in range(number))
    return (
        DAEMON + kind + b"--b\n\n" + listed + b"\n--b\nContent-Type: message/delivery-status\n\n"
        b"Reporting-MTA: dns; x" + blocks + b"\n--b--\n"
    )


LINES = 256 * 2**10  # bytes of text that are looked at

WORST: dict[str, Callable[[], bytes]] = {
    "100,000 quoted lines": lambda: HEAD + UTF8 + b"> quoted\n" * 100_000,
    "100,000 empty lines": lambda: HEAD + UTF8 + b"\n" * 100_000,
    "attributions": lambda: (
        HEAD + UTF8 + b"On 5 Oct 2026 10:11, A B <a@campaign.example>\nwrote\n" * 5_000
    ),
    "names with a colon": lambda: HEAD + UTF8 + b"Name: value\n" * 20_000,
    "rules": lambda: HEAD + UTF8 + b"a\n----\n" * 30_000,
    "signatures between quotations": lambda: HEAD + UTF8 + b"yes\n-- \nme\n> no\n" * 20_000,
    "blockquotes": lambda: HEAD + HTML + b"<blockquote>" * 20_000,
    "open tags": lambda: HEAD + HTML + b"<" * LINES,
    "comments": lambda: HEAD + HTML + b"<!-- " * 60_000,
    "styles": lambda: HEAD + HTML + b"<style>" * 40_000,
    "entities": lambda: HEAD + HTML + b"&amp;" * 60_000,
    "gmail quotes": lambda: HEAD + HTML + b'<div class="gmail_quote">x</div>' * 8_000,
    "tables": lambda: HEAD + HTML + b"<table><tr><td>x" * 16_000,
    "1,000 parts": lambda: parts([b"yes\n"] * 990),
    "1,000 base64 parts": lambda: parts(
        [b64encode(b"x" * 18_000)] * 990,
        b"Content-Type: text/html\nContent-Transfer-Encoding: base64\n\n",
    ),
    "1,000 forwarded mails": lambda: parts(
        [b"From: a@x.example\nTo: b@x.example\n\nUser unknown\n"] * 490,
        b"Content-Type: message/rfc822\n\n",
    ),
    "50 levels": lambda: nested(49, b"yes\n" * 100_000),
    "50 levels of alternatives": lambda: nested(49, b"yes\n", b"multipart/alternative"),
    "a boundary on each line": lambda: HEAD + MIXED + b"--b x\n" * 1_000_000,
    "25 MB in one line": lambda: HEAD + UTF8 + b"x" * (25 * 2**20 - 1_000),
    "25 MB of lines": lambda: HEAD + UTF8 + b"\n" * (25 * 2**20 - 1_000),
    "headers": lambda: HEAD + b"X-A: b\n" * 35_000 + b"\nyes\n",
    "references": lambda: HEAD + b"References: " + b"<a@b> " * 40_000 + b"\n\nyes\n",
    "addresses": lambda: HEAD + b"To: " + b"a@b.example, " * 19_000 + b"\n\nyes\n",
    "encoded words": lambda: HEAD + b"X: " + b"=?utf-8?q?a?= " * 18_000 + b"\n\nyes\n",
    "a report of 1,000": lambda: report(1_000, b"User unknown"),
    "a report of 1,000 at length": lambda: report(900, b"message could not " * 55),
    "daemon, addresses": lambda: DAEMON + UTF8 + b"<a@b.example>:\n" * 17_000,
    "daemon, dots": lambda: DAEMON + UTF8 + b"a." * 130_000,
    "daemon, at signs": lambda: DAEMON + UTF8 + b"a@" * 130_000,
    "daemon, replies": lambda: DAEMON + UTF8 + b"550-5.1.1 x\n" * 20_000,
    "mbox": lambda: b"From a@b Mon Sep 28 09:12:43 2015\n" * 100_000 + HEAD + b"\nyes\n",
}

WORDS = [
    b" ", b"\n", b"\n\n", b">", b"> ", b"a", b"A", b"1", b".", b",", b":", b";", b"@", b"<", b">\n",
    b"-", b"--", b"_", b"*", b"=", b"|", b"the ", b"mailbox ", b"user ", b"account ", b"address ",
    b"is ", b"not ", b"does ", b"could ", b"be ", b"been ", b"message ", b"delivered ", b"to ",
    b"for ", b"recipient ", b"550 ", b"5.1.1 ", b"From: ", b"To: ", b"Sent: ", b"Date: ", b"wrote:",
    b"On ", b"2026 ", b"10:11 ", b"a@b.example", b"<a@b.example>", b"http://", b"this ", b"e-mail ",
    b"confidential ", b"remove ", b"me ", b"from ", b"sent from ", b"will ", b"office ", b"out of ",
    b"i am ", b"we ", b"<p>", b"<div>", b"</div>", b"<br>", b"<blockquote>", b"</blockquote>", b"&",
    b"<!--", b"-->", b"<style>", b"<table>", b"</", b'"', b"'", b"(", b")", b"[", b"]", b"%", b"\t",
    "не ".encode(), "я ".encode(), "от ".encode(), "的".encode(), b"host ", b"domain ", b"said ",
]  # fmt: skip


PLACES: dict[bytes, Callable[[bytes], bytes]] = {
    b"subject": lambda text: HEAD.replace(b"Re: Water", text) + b"\nyes\n",
    b"from": lambda text: HEAD.replace(b"kim@kaz.example", text) + b"\nyes\n",
    b"to": lambda text: DAEMON.replace(b"answers@campaign.example", text) + b"\nyes\n",
    b"diagnostic": lambda text: report(1, text),
    b"recipient": lambda text: report(1, b"no").replace(b"p0@x.example", text),
    b"content type": lambda text: HEAD + b"Content-Type: text/plain; " + text + b"\n\nyes\n",
    b"disposition": lambda text: HEAD + b"Content-Disposition: " + text + b"\n\nyes\n",
    b"auto-submitted": lambda text: HEAD + b"Auto-Submitted: " + text + b"\n\nyes\n",
    b"returned": lambda text: DAEMON + MIXED + b"--b\nContent-Type: message/rfc822\n\nTo: " + text,
    b"calendar": lambda text: HEAD + b"Content-Type: text/calendar\n\nMETHOD:REPLY\n" + text,
    b"html mail": lambda text: HEAD + HTML + text,
    b"daemon's html": lambda text: DAEMON + HTML + text,
    b"text": lambda text: HEAD + UTF8 + text,
}


def random_mails(seeds: int, start: int = 0) -> Iterator[tuple[str, bytes]]:
    """Mails of a few pieces, repeated up to the limit of what is looked at."""
    for seed in range(start, start + seeds):
        chance = random.Random(seed)
        pieces = chance.choices(WORDS, k=chance.randint(1, 6))
        name = f"seed {seed}: {b''.join(pieces)!r}"
        place = chance.choice((*PLACES, HEAD, DAEMON))
        if place in PLACES:
            text = filled(pieces, LINES - 1_000).replace(b"\n", b" ")
            yield f"{name} in {place.decode()}", PLACES[place](text)
            continue
        text = filled(pieces, LINES)
        if chance.random() < 0.3:
            ends = chance.choices(WORDS, k=3)
            text = text[: LINES - 1_000] + b"".join(ends) + filled(ends, 500)
        yield name, place + chance.choice((UTF8, UTF8, HTML)) + text


def slowest(mails: Iterator[tuple[str, bytes]], shown: int) -> list[tuple[float, str]]:
    """What takes longest to read, with all that is recorded of it."""
    from petition.inbox.mailboxes import Fetched, first_mail, mails_in, received

    received(Fetched("1", HEAD + b"\nyes\n"), "maildir:x")
    found = []
    for name, mail in mails:
        begun = time.process_time()
        mails_in(mail)
        received(Fetched("1", first_mail(mail)), "maildir:x")
        found.append((time.process_time() - begun, name))
    return sorted(found, reverse=True)[:shown]


def main() -> None:
    """Measure, and say what came out."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--against", type=Path)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--worst", action="store_true")
    parser.add_argument("--search", type=int, default=0)
    parser.add_argument("--start", type=int, default=0)
    options = parser.parse_args()
    sys.path.insert(0, str(ROOT))
    if not (options.worst or options.search):
        compare(options.against, options.rounds)
    made = ((name, make()) for name, make in WORST.items())
    for seconds, name in slowest(made, len(WORST)) if options.worst else ():
        print(f"{seconds:6.2f} s{' (too long)' if seconds > SECONDS else ''}  {name}")
    for seconds, name in slowest(random_mails(options.search, options.start), 15):
        print(f"{seconds:6.2f} s{' (too long)' if seconds > SECONDS else ''}  {name}")


if __name__ == "__main__":
    main()
