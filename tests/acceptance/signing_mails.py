"""Mails of people who sign a small campaign's letter, and who answer its mails as programs do."""

import email
import html
import re
from email.message import EmailMessage
from email.policy import default
from typing import Any

from petition.database_url import SQLITE
from petition.outbox import signatures
from petition.outbox.log import Log
from petition.outbox.signatures import SignatureRecord
from tests.acceptance.small import SETTINGS, SmallCampaign

SIGN = "sign@campaign.example"
SUBJECT = "I sign: Clean water for Leeds"


def signing_campaign(campaign: SmallCampaign, inbox: str, *, more: str = "") -> SmallCampaign:
    """A campaign that people can sign by mail.

    Args:
        campaign: A small one.
        inbox: The address of its mailbox, as [inbox] has it.
        more: Further lines of [sign].
    """
    sign = f'[sign]\nmailto = "{SIGN}"\n{more}[inbox]\nurl = "{inbox}"\n'
    campaign.write("petition.toml", SETTINGS + sign)
    return campaign


def mail(sender: str, subject: str = SUBJECT, text: str = "", **headers: str) -> EmailMessage:
    """A mail to the address to sign at."""
    made = EmailMessage()
    made["From"], made["To"], made["Subject"] = sender, headers.pop("To", SIGN), subject
    made["Message-ID"] = f"<{abs(hash((sender, subject, text, *headers.values())))}@x.example>"
    for name, value in headers.items():
        made[name.replace("_", "-")] = value
    made.set_content(text)
    return made


class Asked:
    """A mail that asks for a confirmation, as somebody got it."""

    def __init__(self, data: bytes) -> None:
        self.mail: Any = email.message_from_bytes(data, policy=default)
        self.text: str = self.mail.get_content()

    @property
    def token(self) -> str:
        """The code in it."""
        [found] = set(re.findall(r"\b[0-9a-f]{32}\b", self.text))
        return str(found)

    def reply(self, sender: str, text: str, **headers: str) -> EmailMessage:
        """An answer in the thread with just this text."""
        subject = headers.pop("Subject", f"Re: {self.mail['Subject']}")
        thread = {"In_Reply_To": self.mail["Message-ID"], "References": self.mail["Message-ID"]}
        return mail(sender, subject, text, **thread, **headers)

    def above(self, sender: str, words: str, **headers: str) -> EmailMessage:
        """An answer above the quotation."""
        quoted = "\n".join(f"> {line}" for line in self.text.splitlines())
        begun = "On Mon, 30 Nov 2026 at 10:00, Water Campaign <letter@campaign.example> wrote:"
        return self.reply(sender, f"{words}\n\n{begun}\n{quoted}\n", **headers)

    def below(self, sender: str, words: str, **headers: str) -> EmailMessage:
        """An answer below the quotation."""
        quoted = "\n".join(f"> {line}" for line in self.text.splitlines())
        begun = "On Mon, 30 Nov 2026 at 10:00, Water Campaign <letter@campaign.example> wrote:"
        return self.reply(sender, f"{begun}\n{quoted}\n\n{words}\n", **headers)

    def in_html(self, sender: str, words: str) -> EmailMessage:
        """An answer that is HTML alone, as web mail writes it."""
        made = self.reply(sender, "")
        begun = "On Mon, 30 Nov 2026, Water Campaign &lt;letter@campaign.example&gt; wrote:"
        quoted = "<br>".join(html.escape(line) for line in self.text.splitlines())
        made.set_content(
            f'<div dir="ltr">{words}</div><br><div class="gmail_quote">'
            f'<div dir="ltr" class="gmail_attr">{begun}<br></div>'
            f'<blockquote class="gmail_quote">{quoted}</blockquote></div>',
            subtype="html",
        )
        return made


def signed(campaign: SmallCampaign, name: str = "petition.db") -> dict[str, SignatureRecord]:
    """The signatures of a campaign, by mailbox."""
    with Log(f"{SQLITE}{campaign.root / name}", looks=True) as log:
        return {one.mailbox: one for one in signatures.signatures(log)}


def statuses(campaign: SmallCampaign) -> dict[str, str]:
    """The status of each signature, by mailbox."""
    return {mailbox: str(one.status) for mailbox, one in signed(campaign).items()}
