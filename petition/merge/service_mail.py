"""Service messages: plain mails that petition writes by itself, about the campaign itself.

They follow RFC 3834: Auto-Submitted tells other programs not to answer, and the return path is
empty, so that nothing comes back for what cannot be delivered.
"""

from collections.abc import Sequence
from datetime import datetime
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP
from typing import NamedTuple

from petition.address import Mailbox
from petition.merge.message import Email, Envelope


class ServiceText(NamedTuple):
    """What a service message says."""

    language: str
    subject: str
    text: str  # lines end with \n
    answers: str = ""  # the Message-ID of the mail that it answers
    files: Sequence[tuple[str, str]] = ()  # further HTML pages: name and content


class ServiceSender(NamedTuple):
    """Whom service messages come from."""

    from_: Mailbox
    reply_to: Mailbox | None

    def mail(
        self, to: Mailbox, said: ServiceText, message_id: str, date: datetime, *, is_reply: bool
    ) -> bytes:
        """The bytes of a mail; `is_reply` says that something the reader sent caused it."""
        mail = EmailMessage(SMTP.clone(utf8=_needs_smtputf8(to, self.from_)))
        mail["Date"] = date.replace(microsecond=0)
        mail["From"] = _address(self.from_)
        if self.reply_to:
            mail["Reply-To"] = _address(self.reply_to)
        mail["To"] = _address(to)
        mail["Subject"] = " ".join(said.subject.split())
        mail["Message-ID"] = message_id
        if said.answers:
            mail["In-Reply-To"] = mail["References"] = said.answers
        mail["Auto-Submitted"] = "auto-replied" if is_reply else "auto-generated"
        mail.set_content(said.text, cte="quoted-printable")  # it removes all fields Content-...
        mail["Content-Language"] = said.language
        for name, content in said.files:
            mail.add_attachment(content, subtype="html", filename=name, cte="base64")
        return mail.as_bytes()


def service_email(mailbox: str, message_id: str, data: bytes) -> Email:
    """A service message that the log kept, as it goes to a server."""
    envelope = Envelope("", (mailbox,), smtputf8=not mailbox.isascii())
    return Email(envelope, data, message_id, subject="", language="")


def _address(mailbox: Mailbox) -> Address:
    return Address(mailbox.display_name, addr_spec=mailbox.addr_spec)


def _needs_smtputf8(*mailboxes: Mailbox) -> bool:
    return not all(one.addr_spec.isascii() for one in mailboxes)
