"""The whole way round: petition, a real Postfix, its notifications in a real Dovecot, and back.

Postfix relays to a server that refuses as others do, writes the notifications itself and hands
them to Dovecot by LMTP; the note of somebody who is away is written by Dovecot's Sieve.
"""

import smtplib
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from email.message import EmailMessage
from pathlib import Path

import pytest

from tests import PATIENCE
from tests.acceptance.small import SETTINGS, SmallCampaign
from tests.servers.counting import CountingServer, counting_server
from tests.servers.imap_server import PASSWORD, Dovecot, running_dovecot
from tests.servers.postfix import POSTFIX, Postfix, running_postfix

pytestmark = pytest.mark.component("postfix", "dovecot", "sievec", "root")

DOVECOT = """\
protocols = imap lmtp
service lmtp {
  unix_listener lmtp {
    mode = 0666
  }
}
protocol lmtp {
  mail_plugins = sieve
}
plugin {
  sieve = file:~/%u.sieve
}
"""
RELAY = """\
virtual_mailbox_domains = campaign.example, office.example
virtual_alias_maps = inline:{{{{bounces@campaign.example = answers@campaign.example}}}}
virtual_transport = lmtp:unix:{lmtp}
transport_maps = inline:{{{{x.example = smtp:[127.0.0.1]:{port}}}}}
recipient_delimiter = +
queue_run_delay = 1s
minimal_backoff_time = 1s
maximal_backoff_time = 1s
delay_warning_time = 1s
"""
SERVICES = "smtp unix - - n - - smtp\nlmtp unix - - n - - lmtp\n"
AWAY = 'require "vacation";\nvacation :subject "Away" "I am on leave until 5 October.";\ndiscard;\n'
REFUSALS = {
    "gone": "550 5.1.1 <gone@x.example>: Recipient address rejected: User unknown",
    "full": "552 5.2.2 <full@x.example>: Mailbox is over its quota",
    "slow": "450 4.2.0 <slow@x.example>: Greylisted, try again later",
    "never": "451 4.7.1 <never@x.example>: Service unavailable, try again later",
}


@dataclass
class Way:
    """The servers of the way round, and the campaign that mails through them."""

    campaign: SmallCampaign
    postfix: Postfix
    dovecot: Dovecot
    others: CountingServer
    refusals: dict[str, str]

    def read(self) -> list[tuple[object, ...]]:
        """What came: kind, whose, matched by, what it changed."""
        answer = self.campaign.petition("inbox", "--json", status=0)
        rows = answer.json["mails"]
        keys = ("kind", "email", "matched_by", "permanent")
        return [(*(row[key] for key in keys), *row["changed"]) for row in rows]

    def deliver_late(self) -> None:
        """Have the server take what it had put off."""
        del self.refusals["slow"]
        wait_until(lambda: self.others.accepted["slow@x.example"] == 1, self)

    def run_out_of_time(self) -> None:
        """Have Postfix give up what waits."""
        configuration = self.postfix.root / "config"
        with (configuration / "main.cf").open("a") as file:
            file.write("maximal_queue_lifetime = 1s\n")
        assert POSTFIX
        subprocess.run([POSTFIX, "-c", str(configuration), "reload"], check=True)


@pytest.fixture
def way(tmp_path: Path) -> Iterator[Way]:
    refusals = dict(REFUSALS)
    with (
        running_dovecot(DOVECOT, users=("away@office.example",)) as dovecot,
        counting_server(answers=refusals) as others,
        running_postfix(
            RELAY.format(lmtp=dovecot.root / "run/lmtp", port=others.port), SERVICES
        ) as postfix,
    ):
        script = dovecot.root / "mail" / "away@office.example.sieve"
        script.write_text(AWAY)
        configuration = dovecot.root / "dovecot.conf"
        with configuration.open("a") as file:
            file.write(f"submission_host = 127.0.0.1:{postfix.port}\n")
        subprocess.run(["/usr/bin/doveadm", "-c", str(configuration), "reload"], check=True)
        yield Way(campaign_at(tmp_path, postfix, dovecot), postfix, dovecot, others, refusals)


def campaign_at(root: Path, postfix: Postfix, dovecot: Dovecot) -> SmallCampaign:
    campaign = SmallCampaign.at(root).through(postfix.port)
    path = 'return_path = "bounces+{token}@campaign.example"\n'
    campaign.write("petition.toml", f'{SETTINGS}{path}[inbox]\nurl = "{dovecot.url}"\n')
    campaign.list_people("well", *REFUSALS)
    with (root / "recipients.csv").open("a") as file:
        file.write("away,away@office.example,Away,\r\n")
    campaign.env |= {
        "PETITION_INBOX_PASSWORD": PASSWORD,
        "SSL_CERT_FILE": str(dovecot.authority),
    }
    return campaign.trust()


def wait_until(is_met: Callable[[], bool], way: Way) -> None:
    deadline = time.monotonic() + PATIENCE
    while not is_met():
        assert time.monotonic() < deadline, way.postfix.log[-5_000:] + way.dovecot.log
        time.sleep(0.1)


def reply(way: Way) -> None:
    """Answer as a person's mail program does: to Reply-To, in the thread, with a quotation."""
    (message_id,) = way.others.message_ids["well@x.example"]
    answer = EmailMessage()
    answer["From"] = "Well <well@x.example>"
    answer["To"] = "answers@campaign.example"
    answer["Subject"] = "Re: Well: one demand"
    answer["In-Reply-To"] = answer["References"] = message_id
    answer.set_content("We can meet on Friday.\n\nOn Monday, Water Campaign wrote:\n> Dear Well,\n")
    with smtplib.SMTP("127.0.0.1", way.postfix.port) as server:
        server.send_message(answer)


def test_every_recipient_ends_in_the_right_state(way: Way):
    way.campaign.petition("send", "open-letter", "--yes", status=0)
    assert set(way.campaign.states().values()) == {"sent"}
    wait_until(lambda: way.others.accepted["well@x.example"] == 1, way)
    reply(way)
    # Two refusals, two warnings of delay, a note of somebody away, an answer.
    wait_until(lambda: len(way.dovecot.names()) >= 6, way)
    assert sorted(way.read(), key=str) == [
        ("answer", "well@x.example", "Message-ID", None, "unclassified"),
        ("auto-reply", "away@office.example", "token", None, "acknowledged"),
        ("bounce", "full@x.example", "token", False, "bounced"),
        ("bounce", "gone@x.example", "token", True, "bounced", "suppressed"),
        ("delay", "never@x.example", "token", False),
        ("delay", "slow@x.example", "token", False),
    ]
    way.deliver_late()
    way.run_out_of_time()
    wait_until(lambda: len(way.dovecot.names()) >= 7, way)
    assert way.read() == [("bounce", "never@x.example", "token", False, "bounced")]
    assert way.campaign.states() == {
        "well": "sent",
        "gone": "bounced",
        "full": "bounced",
        "slow": "sent",
        "never": "bounced",
        "away": "sent",
    }
    rows = way.campaign.petition("suppress", "--json", status=0).json["addresses"]
    assert [(row["email"], row["reason"]) for row in rows] == [
        ("gone@x.example", "no such mailbox")
    ]
    answers = way.campaign.petition("status", "open-letter", "--answers", "--json", status=0).json
    assert {one["id"]: one["answer"] for one in answers["people"] if one["answer"] != "none"} == {
        "well": "unclassified",
        "away": "acknowledged",
    }
    assert not any("S" in name.partition(":2,")[2] for name in way.dovecot.names())
