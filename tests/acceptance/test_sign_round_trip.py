"""Signing by mail the whole way: in through a real Postfix and Dovecot, and out again.

Dovecot's Sieve answers for somebody who is away, and Postfix writes the notification about a
mailbox that is gone; neither confirms a signature, and neither is answered.
"""

import re
import smtplib
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from email.message import EmailMessage
from pathlib import Path

import pytest

from tests import PATIENCE
from tests.acceptance.signing_mails import SIGN, Asked, mail, signing_campaign, statuses
from tests.acceptance.small import SmallCampaign
from tests.acceptance.test_inbox_round_trip import DOVECOT, RELAY, SERVICES
from tests.servers.counting import CountingServer, counting_server
from tests.servers.imap_server import PASSWORD, Dovecot, running_dovecot
from tests.servers.postfix import Postfix, running_postfix

pytestmark = pytest.mark.component("postfix", "dovecot", "sievec", "root")

AWAY = "away@office.example"
GONE = "gone@x.example"
NOTE = 'require "vacation";\nvacation :subject "Away" "Yes. I am back on 5 October.";\nkeep;\n'


@dataclass
class Way:
    """The servers of the way round, and the campaign that is signed through them."""

    campaign: SmallCampaign
    postfix: Postfix
    dovecot: Dovecot
    others: CountingServer

    def post(self, one: EmailMessage | bytes, sender: str, to: str = SIGN) -> None:
        """Hand a mail to Postfix."""
        with smtplib.SMTP("127.0.0.1", self.postfix.port) as server:
            server.sendmail(sender, [to], one if isinstance(one, bytes) else bytes(one))

    def wait_until(self, is_met: Callable[[], bool]) -> None:
        deadline = time.monotonic() + PATIENCE
        while not is_met():
            assert time.monotonic() < deadline, self.postfix.log[-5_000:] + self.dovecot.log
            time.sleep(0.1)

    def read(self, number: int) -> list[tuple[str, list[str]]]:
        """What mails have come to, once so many are in the mailbox: kind, and what each changed."""
        self.wait_until(lambda: len(self.dovecot.names()) >= number)
        rows = self.campaign.petition("inbox", "--json", status=0).json["mails"]
        return [(row["kind"], row["changed"]) for row in rows]


@pytest.fixture
def way(tmp_path: Path) -> Iterator[Way]:
    with (
        running_dovecot(DOVECOT, users=(AWAY,)) as dovecot,
        counting_server(answers={"gone": "550 5.1.1 User unknown"}) as others,
        running_postfix(
            RELAY.replace("bounces@", "sign@").format(
                lmtp=dovecot.root / "run/lmtp", port=others.port
            ),
            SERVICES,
        ) as postfix,
    ):
        (dovecot.root / "mail" / f"{AWAY}.sieve").write_text(NOTE)
        configuration = dovecot.root / "dovecot.conf"
        with configuration.open("a") as file:
            file.write(f"submission_host = 127.0.0.1:{postfix.port}\n")
        subprocess.run(["/usr/bin/doveadm", "-c", str(configuration), "reload"], check=True)
        campaign = SmallCampaign.at(tmp_path).through(postfix.port)
        campaign.env |= {
            "PETITION_INBOX_PASSWORD": PASSWORD,
            "SSL_CERT_FILE": str(dovecot.authority),
        }
        campaign = signing_campaign(campaign, dovecot.url).trust()
        yield Way(campaign, postfix, dovecot, others)


def test_a_signature_is_made_and_confirmed_by_mail(way: Way):
    way.post(mail("Ann Lee <ann@x.example>", text="Role: Teacher\n"), "ann@x.example")
    assert way.read(1) == [("answer", ["asked"])]
    way.wait_until(lambda: way.others.accepted["ann@x.example"] == 1)
    asked = Asked(way.others.last["ann@x.example"])
    assert "from=<>" in way.postfix.log
    assert asked.mail["Auto-Submitted"] == "auto-replied"
    way.post(asked.above("Ann Lee <ann@x.example>", "Yes, I confirm."), "ann@x.example")
    assert way.read(2) == [("answer", ["confirmed"])]
    assert statuses(way.campaign) == {"ann@x.example": "confirmed"}
    way.campaign.petition("inbox", status=0)
    assert way.others.accepted == {"ann@x.example": 1}
    # Nothing in the mailbox was touched, and the letter can be sent now.
    assert not any("S" in name.partition(":2,")[2] for name in way.dovecot.names())
    way.campaign.petition("send", "open-letter", "--yes", status=0)
    assert set(way.campaign.states().values()) == {"sent"}


def test_programs_that_answer_confirm_nothing(way: Way):
    way.post(mail(f"Away <{AWAY}>", text="Role: Teacher\n"), AWAY)
    way.post(mail(f"Gone <{GONE}>", text="Role: Teacher\n"), GONE)
    assert way.read(2) == [("answer", ["asked"])] * 2
    # Our mail is in the mailbox of whoever is away (the same folder here), and has no answer.
    way.wait_until(lambda: len(way.dovecot.names()) >= 3)
    way.postfix.wait_until_logged(f"to=<{GONE}>")
    copies = [
        path.read_bytes()
        for name in ("new", "cur")
        for path in (way.dovecot.root / "mail" / name).iterdir()
        if b"Auto-Submitted: auto-replied" in path.read_bytes()
    ]
    [asked] = copies
    assert way.read(3) == [("auto-reply", [])]  # our own mail, in that folder
    # A gateway that gives it a return path and hides what it is makes both programs answer it.
    laid_bare = re.sub(rb"(?m)^(?:Auto-Submitted|Return-Path):.*\n", b"", asked)
    way.post(laid_bare, SIGN, AWAY)
    way.post(laid_bare, SIGN, GONE)
    found = way.read(6)  # with the mail itself
    assert sorted(kind for kind, _ in found) == ["answer", "auto-reply", "bounce"]
    assert all(not changed for _, changed in found)
    assert set(statuses(way.campaign).values()) == {"unconfirmed"}
    way.campaign.petition("inbox", status=0)
    assert len(way.dovecot.names()) == 6
