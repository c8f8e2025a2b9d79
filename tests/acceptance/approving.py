"""A small campaign whose letters somebody has to approve, and the answers of approvers."""

import email
import email.policy
import re
from email.message import EmailMessage
from pathlib import Path

from tests.acceptance.small import SETTINGS, SmallCampaign
from tests.servers.counting import CountingServer

BEA, CLEO = "bea@town.example", "cleo@town.example"
APPROVAL = f'\n[approval]\nby = ["Bea Ash <{BEA}>"]\n'
BOTH = f'\n[approval]\nby = ["{BEA}", "{CLEO}"]\n'
INBOX = '\n[inbox]\nurl = "maildir:answers"\n'
CODE = re.compile(r"^ +([A-Z0-9]{5}-[A-Z0-9]{5})$", re.MULTILINE)


class Approving:
    """A campaign that mails through a server on loopback, and reads a Maildir.

    Args:
        root: Its folder.
        server: The server, which keeps the last mail to everybody.
        approval: The table [approval].
    """

    def __init__(self, root: Path, server: CountingServer, approval: str = APPROVAL) -> None:
        self.campaign = SmallCampaign.at(root).through(server.port)
        self.campaign.write("petition.toml", SETTINGS + approval + INBOX)
        self.server = server
        self._maildir = root / "answers"
        for name in ("cur", "new", "tmp"):
            (self._maildir / name).mkdir(parents=True)
        self._number = 0

    def mail(self, approver: str = BEA) -> EmailMessage:
        """The last mail that an approver got."""
        data = self.server.last[approver]
        return email.message_from_bytes(data, policy=email.policy.default)

    def text(self, approver: str = BEA) -> str:
        """What it says."""
        body = self.mail(approver).get_body(("plain",))
        assert body is not None
        return str(body.get_content()).replace("\r\n", "\n")

    def code(self, approver: str = BEA) -> str:
        """The code in it."""
        found = CODE.search(self.text(approver))
        assert found
        return found[1]

    def answer(self, words: str, approver: str = BEA, *, sender: str = "", more: str = "") -> None:
        """An approver replies as people do, above the quoted mail; the campaign reads it."""
        self.arrive(self.reply(words, approver, sender=sender, more=more))
        self.campaign.petition("inbox", status=0)

    def reply(self, words: str, approver: str = BEA, *, sender: str = "", more: str = "") -> str:
        """Such a reply."""
        quoted = "\n".join(f"> {line}" for line in self.text(approver).split("\n"))
        return (
            f"From: {sender or approver}\nTo: answers@campaign.example\n"
            f"Subject: Re: {self.mail(approver)['Subject']}\nMessage-ID: <{self._number}@town>\n"
            f"In-Reply-To: {self.mail(approver)['Message-ID']}\n{more}"
            'Content-Type: text/plain; charset="utf-8"\nContent-Transfer-Encoding: 8bit\n'
            f"\n{words}\n\nOn Monday, Water Campaign <letter@campaign.example> wrote:\n{quoted}\n"
        )

    def arrive(self, mail: str) -> None:
        """Lay a mail into the Maildir."""
        self._number += 1
        path = self._maildir / "new" / f"{1443431567 + self._number}.{self._number}.host"
        path.write_text(mail, encoding="utf-8")

    def send(self, *options: str, status: int) -> str:
        """Send the letter without questions; what was said."""
        said = self.campaign.petition("send", "open-letter", "--yes", *options, status=status)
        return said.out + said.err

    @property
    def sent(self) -> set[str]:
        """Who has the letter."""
        return {who for who in self.server.accepted if who.endswith("@x.example")}

    def requests(self) -> list[dict[str, object]]:
        """Who was asked, and what they said."""
        answer = self.campaign.petition("approve", "--json", status=0)
        return list(answer.json["requests"])
