"""Service messages: plain mails that petition writes by itself, about the campaign itself.

They follow RFC 3834: Auto-Submitted tells other programs not to answer, and the return path is
empty, so that nothing comes back for what cannot be delivered.
"""

import re
from collections.abc import Sequence
from datetime import datetime
from email.message import EmailMessage
from email.policy import SMTP
from typing import NamedTuple

from petition.address import CONTROL, Mailbox
from petition.merge.headers import date_header, mailbox_header, subject_header, thread_headers
from petition.merge.message import Email, Envelope

# A Message-ID as a header can name it; a stranger wrote it, and others do not answer by it.
_MESSAGE_ID = re.compile(r"<(?!.*=\?)[!-;=?-~]{1,900}>")


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
        subject = CONTROL.sub(" ", " ".join(said.subject.split()))
        thread = [said.answers] if _MESSAGE_ID.fullmatch(said.answers) else []
        headers = (
            date_header(date),
            mailbox_header("From", (self.from_,)),
            mailbox_header("Reply-To", (self.reply_to,)) if self.reply_to else "",
            mailbox_header("To", (to,)),
            subject_header(subject),
            f"Message-ID: {message_id}\r\n",
            thread_headers(thread),
            f"Auto-Submitted: {'auto-replied' if is_reply else 'auto-generated'}\r\n",
        )
        parts = EmailMessage(SMTP)
        parts.set_content(said.text, cte="quoted-printable")  # it removes all fields Content-...
        parts["Content-Language"] = said.language
        for name, content in said.files:
            parts.add_attachment(content, subtype="html", filename=name, cte="base64")
        return "".join(headers).encode() + parts.as_bytes()


def service_email(mailbox: str, message_id: str, data: bytes) -> Email:
    """A service message that the log kept, as it goes to a server."""
    headers = data.partition(b"\r\n\r\n")[0]
    smtputf8 = not (mailbox.isascii() and headers.isascii())
    envelope = Envelope("", (mailbox,), smtputf8=smtputf8)
    return Email(envelope, data, message_id, subject="", language="")
