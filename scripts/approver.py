"""Answers the mail that asks an approver, as their mail program does: for `make demo-approval`.

The answer goes into the Maildir `answers` of a campaign folder; CODE in it is the code of the last
mail that the sandbox has kept for the approver.
"""

import email
import email.policy
import re
import sys
from email.message import EmailMessage
from pathlib import Path

APPROVER = "bea@town.example"


def answer(root: Path, words: str) -> None:
    """Write the answer.

    Args:
        root: The campaign folder, in which `petition sandbox` runs.
        words: What the approver writes above the quotation.
    """
    asked = _asked(root)
    body = asked.get_body(("plain",))
    text = str(body.get_content()) if body else ""
    code = re.search(r"^ +([A-Z0-9]{5}-[A-Z0-9]{5})\s*$", text, re.MULTILINE)
    mail = EmailMessage()
    mail["From"], mail["To"] = APPROVER, asked["Reply-To"]
    mail["Subject"] = f"Re: {asked['Subject']}"
    mail["In-Reply-To"] = mail["References"] = asked["Message-ID"]
    quoted = "\n".join(f"> {line}" for line in text.splitlines())
    said = words.replace("CODE", code[1] if code else "")
    mail.set_content(f"{said}\n\nOn Monday, {asked['From']} wrote:\n{quoted}\n")
    maildir = root / "answers"
    for name in ("cur", "new", "tmp"):
        (maildir / name).mkdir(parents=True, exist_ok=True)
    number = len(list((maildir / "new").iterdir())) + 1
    (maildir / "new" / f"{number}.example").write_bytes(bytes(mail))


def _asked(root: Path) -> EmailMessage:
    """The last mail to the approver."""
    kept = sorted((root / "outbox" / "new").iterdir(), key=lambda path: path.stat().st_mtime_ns)
    policy = email.policy.default
    mails = [email.message_from_bytes(path.read_bytes(), policy=policy) for path in kept]
    return [mail for mail in mails if mail["To"].addresses[0].addr_spec == APPROVER][-1]


if __name__ == "__main__":
    answer(Path(sys.argv[1]), sys.argv[2])
