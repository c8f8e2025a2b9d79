"""Writes what could come back to the letters of the example, for the demos.

An acknowledgement by a program, a bounce and an offer of a meeting, or those of them that are
named, go into the Maildir `answers` of a campaign folder, as answers to the letters that its
sandbox has kept.
"""

import email
import email.policy
import sys
from collections.abc import Sequence
from email.message import EmailMessage
from pathlib import Path

ANSWERS = "answers@campaign-kazakhstan.example"


def come_back(root: Path, names: Sequence[str] = ()) -> None:
    """Write the mails.

    Args:
        root: The campaign folder, whose letters were sent to the sandbox.
        names: Which of them: acknowledgement, bounce, offer; none: all.
    """
    letters = {}
    for path in (root / "outbox" / "new").iterdir():
        letter = email.message_from_bytes(path.read_bytes(), policy=email.policy.default)
        letters[letter["To"].addresses[0].username] = letter
    maildir = root / "answers"
    for name in ("cur", "new", "tmp"):
        (maildir / name).mkdir(parents=True, exist_ok=True)
    mails = {
        "acknowledgement": acknowledgement(letters["eleanor.hartwell"]),
        "bounce": bounce(letters["siobhan.odowd"]),
        "offer": offer(letters["joerg.weissenfels"]),
    }
    for name in names or mails:
        (maildir / "new" / f"{name}.example").write_bytes(bytes(mails[name]))


def _reply(letter: EmailMessage, subject: str, text: str, name: str) -> EmailMessage:
    mail = EmailMessage()
    mail["From"], mail["To"], mail["Subject"] = letter["To"], ANSWERS, subject
    mail["Message-ID"] = f"<{name}@kaz-minerals.example>"
    mail["In-Reply-To"] = mail["References"] = letter["Message-ID"]
    mail.set_content(text)
    return mail


def acknowledgement(letter: EmailMessage) -> EmailMessage:
    """A program says that the letter has arrived (RFC 3834)."""
    text = "Thank you for your message. The office of the Chief Executive has received it.\n"
    mail = _reply(letter, f"Automatic reply: {letter['Subject']}", text, "received")
    mail["Auto-Submitted"] = "auto-replied"
    return mail


def offer(letter: EmailMessage) -> EmailMessage:
    """A director offers to meet."""
    text = "I can receive Mr Zhagiparov on Thursday at ten, for an hour.\n"
    return _reply(letter, f"Re: {letter['Subject']}", text, "offer")


def bounce(letter: EmailMessage) -> bytes:
    """A server says that there is no such mailbox (RFC 3464)."""
    who = letter["To"].addresses[0].addr_spec
    return f"""\
From: Mail Delivery System <MAILER-DAEMON@kaz-minerals.example>
To: {ANSWERS}
Subject: Undelivered Mail Returned to Sender
Message-ID: <returned@kaz-minerals.example>
MIME-Version: 1.0
Content-Type: multipart/report; report-type=delivery-status; boundary="returned"

--returned
Content-Type: text/plain

Your message could not be delivered to {who}.
--returned
Content-Type: message/delivery-status

Reporting-MTA: dns; mail.kaz-minerals.example

Final-Recipient: rfc822; {who}
Action: failed
Status: 5.1.1
Diagnostic-Code: smtp; 550 5.1.1 <{who}>: no such mailbox

--returned
Content-Type: text/rfc822-headers

Message-ID: {letter["Message-ID"]}
Subject: open letter
--returned--
""".encode()


if __name__ == "__main__":
    come_back(Path(sys.argv[1]), sys.argv[2:])
