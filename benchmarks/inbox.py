#!/usr/bin/env python3
"""Measures how `petition inbox` reads a long mailbox: broken off once, and then to its end.

    python benchmarks/inbox.py [--mails 50000] [--imap]

The mailbox is a Maildir, with `--imap` one of a Dovecot on loopback (Debian: dovecot-imapd; root's
right is needed). One mail in ten belongs to a letter: a bounce, an automatic reply or an answer.
"""

import argparse
import os
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path

ROOT = Path(__file__).parent.parent
PEOPLE = 1_000
SETTINGS = """\
[campaign]
title = "Keep the Harbour Library open"

[sender]
from = "Friends of the Library <letters@friends.example>"
reply_to = "answers@friends.example"
return_path = "bounces+{token}@friends.example"
"""
LETTER = (
    "---\nto: recipients\nsubject: Your library\n---\nDear {{ recipient.name }}, keep it open.\n"
)
BOUNCE = (ROOT / "tests/samples/mail/postfix-user-unknown.eml").read_text(encoding="utf-8")
OTHER = (ROOT / "tests/samples/mail/answer-list.eml").read_text(encoding="utf-8")


def petition(folder: Path, *words: str, env: dict[str, str] | None = None) -> list[str]:
    """The command, and its environment put in place."""
    os.environ.update(env or {})
    return [sys.executable, "-m", "petition", "-C", str(folder), *words]


def begin(folder: Path) -> None:
    """A campaign whose letter has gone to everybody, in the sandbox."""
    (folder / "letters").mkdir(parents=True)
    (folder / "petition.toml").write_text(SETTINGS)
    (folder / "letters/open-letter.md").write_text(LETTER)
    rows = "".join(f"p{number}@x.example,P{number}\n" for number in range(PEOPLE))
    (folder / "recipients.csv").write_text(f"email,name\n{rows}")
    subprocess.run(petition(folder, "send", "open-letter"), check=True, capture_output=True)


def write_mails(folder: Path, number: int) -> None:
    """Mails into a Maildir, of which one in ten is about the letter."""
    for at in range(number):
        who = f"p{at // 10 % PEOPLE}@x.example"
        if at % 30 == 0:
            mail = f"From: {who}\nSubject: Re: Your library\n\nWe have read it, {at} times.\n"
        elif at % 30 == 10:
            mail = f"From: {who}\nSubject: Automatic reply: Your library\n\nI am away, {at}.\n"
        elif at % 30 == 20:
            mail = BOUNCE.replace("vladimir.kim@kaz-minerals.example", who) + f"\n{at}\n"
        else:
            mail = OTHER + f"\n{at}\n"
        path = folder / f"{1_443_431_567 + at}.{at}.host"
        path.write_text(mail, encoding="utf-8")


def read(folder: Path, *, for_seconds: float | None = None) -> float:
    """Read the inbox, and break it off after a while where one is named."""
    begun = time.monotonic()
    running = subprocess.Popen(petition(folder, "inbox"), stdout=subprocess.DEVNULL)
    try:
        running.wait(timeout=for_seconds)
    except subprocess.TimeoutExpired:
        running.send_signal(signal.SIGINT)
        running.wait()
    return time.monotonic() - begun


def known(folder: Path) -> int:
    """How many mails the log has."""
    import sqlite3

    with sqlite3.connect(folder / "rehearsal.db") as log:
        return int(log.execute("SELECT count(*) FROM mail").fetchone()[0])


def main() -> None:
    """Measure, and say what came out."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--mails", type=int, default=50_000)
    parser.add_argument("--imap", action="store_true")
    options = parser.parse_args()
    with ExitStack() as stack:
        base = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="inbox-")))
        folder = base / "campaign"
        begin(folder)
        url = "maildir:answers"
        if options.imap:
            sys.path.insert(0, str(ROOT))
            from tests.servers.imap_server import NOBODY, PASSWORD, running_dovecot

            dovecot = stack.enter_context(running_dovecot())
            os.environ["PETITION_INBOX_PASSWORD"] = PASSWORD
            os.environ["SSL_CERT_FILE"] = str(dovecot.authority)
            url, mails = dovecot.url, dovecot.root / "mail" / "new"
            write_mails(mails, options.mails)
            for path in mails.iterdir():
                shutil.chown(path, NOBODY, NOBODY)
        else:
            for name in ("cur", "new", "tmp"):
                (folder / "answers" / name).mkdir(parents=True)
            write_mails(folder / "answers/new", options.mails)
        with (folder / "petition.toml").open("a") as file:
            file.write(f'\n[inbox]\nurl = "{url}"\n')
        first = read(folder, for_seconds=max(options.mails / 2_000, 3))
        before = known(folder)
        second = read(folder)
        after = known(folder)
        third = read(folder)
        peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss // 1024
        print(f"{options.mails:,} mails, {'IMAP' if options.imap else 'Maildir'}")
        print(f"broken off after {first:.1f} s: {before:,} mails in the log")
        print(f"gone on with: {after - before:,} more in {second:.1f} s")
        print(f"together {after / (first + second):,.0f} mails a second")
        print(f"nothing new: {third:.1f} s")
        print(f"memory at most: {peak} MB")


if __name__ == "__main__":
    main()
