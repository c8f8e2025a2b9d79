"""Delivery status notifications as RFC 3464 and RFC 6533 write them, and as mail servers do."""

import re
from dataclasses import dataclass
from urllib.parse import unquote

from petition.inbox import limits
from petition.inbox.charset import decoded_header
from petition.inbox.mail import Headers, Part, read_headers

_TYPES = frozenset({"message/delivery-status", "message/global-delivery-status"})
_ADDRESS = re.compile(r"[^\s<>\"(),:;\[\]]+@[^\s<>\"(),:;\[\]]+|\"[^\"\s]{1,64}\"@[^\s<>(),:;]+")
_IN_TEXT = re.compile(r"^(?:final|original)-recipient:", re.IGNORECASE | re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Notice:
    """What a report says of one recipient.

    Args:
        action: failed, delayed, delivered, relayed or expanded.
        recipient: The address, or an empty text.
        status: The Status field, or an empty text.
        diagnostic: What the server said, or an empty text.
    """

    action: str
    recipient: str
    status: str
    diagnostic: str


def notices(mail: Part) -> list[Notice]:
    """What a mail's own report says, recipient by recipient.

    A report within a mail that somebody forwards is not this mail's own.

    Args:
        mail: The mail.
    """
    found: list[Notice] = []
    left = limits.REPORT_BYTES
    for part in mail.walk():
        if part.content_type in _TYPES and not part.inside_message and left > 0:
            found += _of_text(part.beginning(left))
            left -= part.end - part.start
    return found


def notices_in_text(text: str) -> list[Notice]:
    """The same from a report that lost its MIME structure and stands in the text.

    Args:
        text: What a person would read.
    """
    if not _IN_TEXT.search(text):
        return []
    return _of_text(text.encode("utf-8", "surrogatepass"))


def _of_text(data: bytes) -> list[Notice]:
    blocks = re.split(rb"\r?\n[ \t]*\r?\n", data)
    found = [notice for block in blocks if (notice := _notice(read_headers(block.lstrip())))]
    return found[:1_000]


def _notice(fields: Headers) -> Notice | None:
    action = fields.get("action").strip().lower()
    final, original = fields.get("final-recipient"), fields.get("original-recipient")
    status = fields.get("status").strip()
    if not (action or final or original) or not (action or status):
        return None
    diagnostic = " ".join(decoded_header(text) for text in fields.all("diagnostic-code"))
    said = re.sub(r"^\s*(?:x-)?[\w-]+\s*;\s*", "", diagnostic)
    remote = fields.get("x-supplementary-info") or fields.get("x-display-name")
    # Where a mail was forwarded, the address that was written to is the original one.
    recipient = address_in(original) or address_in(fields.get("x-actual-recipient")) or ""
    recipient = recipient if address_in(original) else address_in(final) or recipient
    return Notice(_action(action, status), recipient, status, said or remote)


def _action(text: str, status: str) -> str:
    """The action, of those that write it with a comment, misspelt, or not at all."""
    word = re.match(r"[a-z-]*", text)
    name = word[0] if word else ""
    if name.startswith(("fail", "error", "undeliver", "reject", "bounce", "expired")):
        return "failed"
    if name.startswith(("delay", "deferred", "warn")):
        return "delayed"
    if name in {"delivered", "relayed", "expanded"}:
        return name
    return "delivered" if status.startswith("2") else "failed"


def address_in(field: str) -> str:
    """The address of a recipient field (`rfc822; kim@kaz.example`), or an empty text."""
    kind, semicolon, rest = field.partition(";")
    text = decoded_header(rest if semicolon else field).strip()
    if kind.strip().lower() == "utf-8":  # RFC 6533 3: \x{...} stands for a character
        text = re.sub(r"\\x\{([0-9A-Fa-f]{1,6})\}", _character, text)
    if kind.strip().lower() == "x400":
        return ""
    text = unquote(text) if "%40" in text else text
    found = _ADDRESS.search(text)
    return found[0].strip("'`.") if found else ""


def _character(found: re.Match[str]) -> str:
    number = int(found[1], 16)
    return chr(number) if number < 0x110000 and not 0xD800 <= number < 0xE000 else ""
