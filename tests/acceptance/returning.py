"""Mails that come back to a small campaign, made from the letters that it has sent."""

import atexit
import email
import json
import os
import select
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from email.message import Message
from pathlib import Path
from typing import IO

from petition.identity import Identity, Signer
from petition.outbox.log import Log
from tests.acceptance.small import SETTINGS, Popen, SmallCampaign

ANSWERS = "answers@campaign.example"

DSN = """\
Return-Path: <>
From: MAILER-DAEMON@mx.example (Mail Delivery System)
To: {to}
Subject: Undelivered Mail Returned to Sender
Message-ID: <{number}@mx.example>
MIME-Version: 1.0
Content-Type: multipart/report; report-type=delivery-status; boundary="b"

--b
Content-Type: text/plain

I'm sorry to have to inform you that your message could not be delivered.
--b
Content-Type: message/delivery-status

Reporting-MTA: dns; mx.example

Final-Recipient: rfc822; {who}
Action: {action}
Status: {status}
Diagnostic-Code: smtp; {said}

--b
Content-Type: text/rfc822-headers

Subject: one demand
{returned}
--b--
"""


class Returns:
    """A campaign whose letter has gone to p1, p2 and p3, and the Maildir of its answers.

    Args:
        campaign: The campaign, in the sandbox.
    """

    def __init__(self, campaign: SmallCampaign) -> None:
        self.campaign = campaign
        self.maildir = campaign.root / "answers"
        for name in ("cur", "new", "tmp"):
            (self.maildir / name).mkdir(parents=True)
        path = 'return_path = "bounces+{token}@campaign.example"\n'
        inbox = '\n[inbox]\nurl = "maildir:answers"\n'
        campaign.write("petition.toml", SETTINGS + path + inbox)
        _send(campaign)

    def sent(self, who: str) -> Message:
        """The letter as somebody got it."""
        for path in (self.campaign.root / "outbox" / "new").iterdir():
            letter = email.message_from_bytes(path.read_bytes())
            if f"{who}@" in letter["To"]:
                return letter
        raise AssertionError(who)

    def token(self, who: str) -> str:
        """The token of the return path of a copy."""
        with Log(f"sqlite:///{self.campaign.root}/rehearsal.db") as log:
            signer = Signer(log.key)
        return signer.return_path_token(Identity("water", "open-letter", 1, f"{who}@x.example"))

    def dsn(self, who: str, status: str, said: str, *, action: str = "failed", **more: str) -> str:
        """A notification that brings back the Message-ID of a copy."""
        returned = more.get("returned")
        if returned is None:
            returned = f"Message-ID: {self.sent(who)['Message-ID']}"
        named = more.get("named", f"{who}@x.example")
        to = more.get("to", ANSWERS)
        number = f"{who}-{status}-{action}-{more.get('number', '')}"
        return DSN.format(
            to=to,
            number=number,
            who=named,
            action=action,
            status=status,
            said=said,
            returned=returned,
        )

    def reply(self, who: str, text: str, *, sender: str = "", more: str = "") -> str:
        """A person's answer in the same thread."""
        return (
            f"From: {sender or who + '@x.example'}\nTo: {ANSWERS}\nSubject: Re: one demand\n"
            f"In-Reply-To: {self.sent(who)['Message-ID']}\n{more}\n{text}\n"
        )

    def arrive(self, *mails: str) -> list[Path]:
        """Lay mails into the Maildir."""
        number = len(list((self.maildir / "new").iterdir()))
        paths = []
        for at, mail in enumerate(mails, number):
            path = self.maildir / "new" / f"{1443431567 + at}.{at}.host"
            path.write_text(mail, encoding="utf-8")
            paths.append(path)
        return paths

    @property
    def suppressed(self) -> dict[str, str]:
        """Who is suppressed, and why."""
        rows = self.campaign.petition("suppress", "--json", status=0).json["addresses"]
        return {row["email"].partition("@")[0]: row["reason"] for row in rows}


_sent: dict[object, Path] = {}  # campaigns in the sandbox, by what was in them before


def _send(campaign: SmallCampaign) -> None:
    """Send the letter, or take over what became of the same folder when it was sent before."""
    assert not campaign.env
    files = sorted(path for path in campaign.root.rglob("*") if path.is_file())
    before = tuple((path.relative_to(campaign.root), path.read_bytes()) for path in files)
    if before in _sent:
        shutil.copytree(_sent[before], campaign.root, dirs_exist_ok=True)
        return
    campaign.petition("send", "open-letter", status=0)
    kept = tempfile.mkdtemp()
    atexit.register(shutil.rmtree, kept, ignore_errors=True)
    _sent[before] = shutil.copytree(campaign.root, kept, dirs_exist_ok=True)


class Watching:
    """`petition inbox --watch --json`, while it runs."""

    def __init__(self, process: Popen) -> None:
        self._process = process

    def words(self) -> str:
        """The words of the next mail that it writes down."""
        return str(self.row()["words"])

    def row(self) -> dict[str, object]:
        """The next mail that it writes down."""
        row: dict[str, object] = json.loads(_line(self._process.stdout))
        return row

    def told(self) -> str:
        """The next line that it says to a person."""
        return _line(self._process.stderr)

    def interrupt(self, seconds: float) -> int:
        """Ctrl-C; its exit status, for which so many seconds are waited."""
        self._process.send_signal(signal.SIGINT)
        return self._process.wait(timeout=seconds)


@contextmanager
def watching(campaign: SmallCampaign) -> Iterator[Watching]:
    """Watch the inbox of a campaign while the block runs."""
    with campaign.begin("inbox", "--watch", "--json", out=subprocess.PIPE) as process:
        try:
            yield Watching(process)
        finally:
            process.kill()


def _line(stream: IO[str] | None) -> str:
    assert stream is not None
    line = b""
    while not line.endswith(b"\n"):
        assert select.select([stream], [], [], 120)[0]
        line += os.read(stream.fileno(), 1)
    return line.decode()
