"""Bounces: delivery status notifications (RFC 3464, 6533), and reports written for people.

The only door to flufl.bounce, whose patterns for old and rare mail servers stand behind RFC 3464
and our own.
"""

import email
import logging
import re
from dataclasses import dataclass
from itertools import islice
from urllib.parse import unquote

from flufl.bounce import all_failures

from petition.address import folded
from petition.inbox import message, patterns
from petition.inbox.message import (
    Headers,
    MailPart,
    decoded_header,
    first_address,
    is_returned,
    read_headers,
    returned_headers,
)
from petition.inbox.patterns import Finding, Kind, alternatives, pattern

_TYPES = frozenset({"message/delivery-status", "message/global-delivery-status"})
_ADDRESS_IN_REPORT = re.compile(
    r"[^\s<>\"(),:;\[\]]+@[^\s<>\"(),:;\[\]]+|\"[^\"\s]{1,64}\"@[^\s<>(),:;]+"
)
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


def notices(mail: MailPart) -> list[Notice]:
    """What a mail's own report says, recipient by recipient.

    A report within a mail that somebody forwards is not this mail's own.
    """
    found: list[Notice] = []
    left = message.REPORT_BYTES
    for part in mail.walk():
        if part.content_type in _TYPES and not part.inside_message and left > 0:
            found += _of_text(part.beginning(left))
            left -= part.end - part.start
    return found


def notices_in_text(text: str) -> list[Notice]:
    """The same from a report that lost its MIME structure and stands in the text."""
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
    found = _ADDRESS_IN_REPORT.search(text)
    return found[0].strip("'`.") if found else ""


def _character(found: re.Match[str]) -> str:
    number = int(found[1], 16)
    return chr(number) if number < 0x110000 and not 0xD800 <= number < 0xE000 else ""


_DAEMON = pattern("daemon")
_SUBJECT = pattern("bounce subject")
_DELAY_SUBJECT = pattern("delay subject")
_FAILED = pattern("says failed")
_DELAYED = pattern("says delayed")
_DELIVERED = pattern("says delivered")
_OPENINGS = pattern("opening")
# Behind such a line stands the letter that came back, in the words of each mail server.
_ORIGINAL = re.compile(
    rf"^.{{0,12}}(?:{alternatives('original letter')})", re.IGNORECASE | re.MULTILINE
)
_RETURNED_FIELD = re.compile(
    r"^(?:Return-Path|Received|Message-ID|DKIM-Signature|MIME-Version): ",
    re.IGNORECASE | re.MULTILINE,
)
# Lines of the letter's header that some notifications quote; whom it failed for is not in them.
_OTHERS = re.compile(
    r"^[ \t>]*(?:message-id|return-path|from|reply-to|sender|mail from|original sender)\s*:.*$",
    re.IGNORECASE | re.MULTILINE,
)
_NO_REPLY = re.compile(
    r"^[^@]*(?:no|do[-_.]?not|dont)[-_.]?reply|^auto(?:matic|responder|-?reply)", re.IGNORECASE
)
_ADDR = r"[\w.!#$%&'*+/=?^`{|}~-]{1,64}@(?:[\w-]{1,63}\.){1,8}[\w-]{2,63}"
_ADDRESS_IN_TEXT = re.compile(_ADDR)
_NAMED = re.compile(
    rf"<({_ADDR})>\s*(?::|\(|\.\.\.|$)"
    rf"|^[^\S\n]*[*>\"'-]{{0,3}}[^\S\n]*<?({_ADDR})>?:?[^\S\n]*(?:[\"'*]{{0,3}})$"
    rf"|(?:{alternatives('before an address')})\s*[\"'`<(\[]{{0,2}}(?:smtp:|mailto:)?({_ADDR})"
    rf"|^[^\S\n]*({_ADDR})\s*(?:[:(–-]|\.\.\.|\s\d{{3}})",
    re.IGNORECASE | re.MULTILINE,
)


def is_daemon(mail: MailPart) -> bool:
    """Whether a mail comes from a mail server and not from a person."""
    sender = mail.headers.text("from")
    return bool(_DAEMON.search(sender[:500])) or "x-failed-recipients" in mail.headers


def is_named_person(mail: MailPart) -> bool:
    """Whether the address that it comes from is not one of a mail server, whatever the name."""
    address = first_address(mail.headers.text("from"))
    return bool(address) and not _DAEMON.search(address.rpartition("@")[0] + "@")


def takes_no_reply(mail: MailPart) -> bool:
    """Whether it comes from an address that says of itself that nobody reads it."""
    return bool(_NO_REPLY.search(first_address(mail.headers.text("from"))))


def has_null_sender(mail: MailPart) -> bool:
    """Whether it came with the empty return path of a notification (RFC 5321 4.5.5)."""
    return mail.headers.get("return-path").replace(" ", "") == "<>"


def says_bounce_in_subject(mail: MailPart) -> bool:
    """Whether its subject is one that mail servers give to a notification of failure."""
    return bool(_SUBJECT.search(mail.headers.text("subject")[:500]))


def says_delay_in_subject(mail: MailPart) -> bool:
    """Whether its subject is one that mail servers give to a warning of delay."""
    return bool(_DELAY_SUBJECT.search(mail.headers.text("subject")[:500]))


def opens_as_bounce(text: str) -> bool:
    """Whether a text begins as notifications of mail servers do."""
    return bool(_OPENINGS.search(text[:600]))


def says_failed(text: str) -> bool:
    """Whether a text says that a letter was not delivered."""
    return bool(_FAILED.search(text))


def says_delayed(text: str) -> bool:
    """Whether a text says that a letter will still be tried."""
    return bool(_DELAYED.search(text))


def says_delivered(text: str) -> bool:
    """Whether a text says that a letter has arrived, or was passed on."""
    return bool(_DELIVERED.search(text))


def notice_text(mail: MailPart) -> str:
    """What a mail itself says: its text, without the letter that came back in it."""
    text = next((text for text in mail.texts("text/plain", "text/html") if text.strip()), "")
    cuts = [
        found.start()
        for pattern in (_ORIGINAL, _RETURNED_FIELD)
        if (found := pattern.search(text, 40))
    ]
    return text[: min(cuts, default=len(text))][:20_000]


def named_address(text: str, without: frozenset[str]) -> str:
    """The address that a notification names as the one that failed, or an empty text."""
    text = re.sub(r"\n\s*\n", "\n", _OTHERS.sub("", text))
    for found in _NAMED.finditer(text):
        address = next(group for group in found.groups() if group).strip(".'`\"")
        if folded(address) not in without and not _DAEMON.search(address):
            return address
    for found in _ADDRESS_IN_TEXT.finditer(text):
        address = found[0].strip(".'`\"")
        if folded(address) not in without and not _DAEMON.search(address):
            return address
    return ""


def around(text: str, address: str) -> str:
    """What a notification says of an address: the text behind it and a little before."""
    at = text.lower().find(address.lower()) if address else -1
    if at < 0:
        return text[:4_000]
    said = text[max(0, at - 300) : at + 1_500]
    return said if len(said.strip()) > len(address) + 10 else text[:4_000]


_FLUFL_BYTES = 64_000  # its detectors go over every line many times
_FLUFL_LEVELS = 20  # the standard library's parser asks each level at each line
# It logs a traceback of its own for every mail that one of its detectors fails on.
logging.getLogger("flufl.bounce").setLevel(logging.CRITICAL + 1)
_REASON_LENGTH = 300
_SUCCESSES = {
    "delivered": "a notice that the letter was delivered",
    "relayed": "a notice that the letter was passed on",
    "expanded": "a notice that the letter went to a list",
}
_REJECTED = re.compile(
    r"was automatically rejected|automatically rejected:|mailbox is full|quota exceeded|rejected:",
    re.IGNORECASE,
)


def bounce_of(mail: MailPart) -> Finding | None:
    """What a mail says of a letter's delivery, or None where it is about something else."""
    reported = notices(mail)
    text = notice_text(mail)
    if not reported and (is_daemon(mail) or has_null_sender(mail)):
        reported = notices_in_text(_whole_text(mail)) or notices_in_text(_attached_text(mail))
    if reported:
        return _of_report(mail, reported, text)
    if _is_receipt(mail):
        return _of_receipt(mail, text)
    if is_daemon(mail) and says_delivered(text) and not _says_so(text):
        return _of_success(_SUCCESSES["delivered"], _recipient(mail, text) or None)
    if not _is_about_delivery(mail, text):
        return None
    return _of_words(mail, text)


def _of_report(mail: MailPart, reported: list[Notice], text: str) -> Finding:
    by_action = {action: [one for one in reported if one.action == action] for action in _ACTIONS}
    action = next(action for action in _ACTIONS if by_action[action])
    notice = next((one for one in by_action[action] if one.recipient), by_action[action][0])
    recipient = notice.recipient or _recipient(mail, text) or None
    if action in _SUCCESSES:
        return _of_success(_SUCCESSES[action], recipient, notice.status[:8] or None)
    judged = patterns.judge(notice.status, notice.diagnostic)
    if judged.cause in _UNSURE:
        # The code or the server's own words say little: the text for people may say more.
        more = patterns.judge(
            notice.status, f"{notice.diagnostic} {around(text, notice.recipient)}"
        )
        judged = more if more.cause not in _UNSURE else judged
    return _finding(action == "delayed", recipient, judged, notice.diagnostic or text)


def _of_words(mail: MailPart, text: str) -> Finding:
    recipient = _recipient(mail, text)
    said = around(text, recipient)
    judged = patterns.judge("", said)
    if judged.cause in _UNSURE:
        wider = patterns.judge("", f"{said} {text[:4_000]} {mail.headers.text('subject')[:300]}")
        judged = wider if wider.cause not in _UNSURE else judged
    is_delay = says_delayed(text) or (
        says_delay_in_subject(mail) and not says_bounce_in_subject(mail)
    )
    at = said.lower().find(recipient.lower()) if recipient else 0
    return _finding(is_delay, recipient or None, judged, said[max(at, 0) :])


def _finding(
    is_delay: bool, recipient: str | None, judged: patterns.BounceVerdict, said: str
) -> Finding:
    cause, status = judged
    quoted = re.sub(r"\s+", " ", said).strip()[:_REASON_LENGTH]
    if is_delay:
        reason = f"not delivered yet: {quoted}" if quoted else "not delivered yet"
        return Finding(Kind.DELAY, recipient, status, False, reason)
    reason = f"{cause.words}: {quoted}" if quoted else cause.words
    return Finding(Kind.BOUNCE, recipient, status, cause.is_permanent, reason)


def _is_about_delivery(mail: MailPart, text: str) -> bool:
    """Whether a mail without a report is a mail server's word on a letter."""
    headers = mail.headers
    if "x-failed-recipients" in headers:
        return True
    subject = headers.text("subject")
    by_subject = says_bounce_in_subject(mail) or says_delay_in_subject(mail)
    opens = opens_as_bounce(text)
    is_reply = re.match(r"\s*(?:re|fwd?|aw|wg|отв|ha|sv|antw|tr)\s*:", subject, re.IGNORECASE)
    if is_daemon(mail) and not (is_reply and is_named_person(mail)):
        return by_subject or opens or _says_so(text)
    if is_reply:
        return False  # a person who answers a bounce, or passes one on
    if takes_no_reply(mail) or has_null_sender(mail) or "auto-submitted" in headers:
        return by_subject and (opens or _says_so(text))
    if by_subject and says_failed(text) and patterns.has_refusal(text):
        return True
    return opens and (by_subject or _says_so(text))


def _says_so(text: str) -> bool:
    """Whether the words are those of a mail server; a long look, asked only where it decides."""
    return says_failed(text) or says_delayed(text) or patterns.has_refusal(text)


def _recipient(mail: MailPart, text: str) -> str:
    """Whom a mail names as the one who was not reached."""
    if failed := first_address(mail.headers.text("x-failed-recipients")):
        return failed
    ours = [*mail.headers.all("from", "to", "delivered-to", "reply-to", "sender", "x-original-to")]
    without = frozenset(folded(first_address(one)) for one in ours)
    if named := named_address(text, without):
        return named
    if known := _known_to_flufl(mail, without):
        return known
    if original := returned(mail):
        return first_address(original[0].text("to"))
    found = re.search(r"^To:\s*(.+)$", _whole_text(mail), re.MULTILINE | re.IGNORECASE)
    return first_address(found[1]) if found else ""


def returned(mail: MailPart) -> list[Headers]:
    """The headers of the letters that a mail brings back, of many only the first."""
    parts = (part for part in mail.walk() if is_returned(part) and not part.inside_message)
    return [returned_headers(part) for part in islice(parts, message.RETURNED_MAILS)]


def _known_to_flufl(mail: MailPart, without: frozenset[str]) -> str:
    data = mail.data[:_FLUFL_BYTES]
    lower = data.lower()
    if lower.count(b"multipart/") + lower.count(b"message/") > _FLUFL_LEVELS:
        return ""
    found = _failures(data)
    if found is None:  # its patterns stumble over a header that is not ASCII
        found = _failures(data.decode("ascii", "replace").replace("\ufffd", "?").encode("ascii"))
    names = sorted(address.decode("ascii", "replace") for address in found or ())
    return next((name for name in names if "@" in name and folded(name) not in without), "")


def _failures(data: bytes) -> frozenset[bytes] | None:
    """Whom flufl.bounce finds in a mail; None: one of its detectors has failed."""
    try:
        return frozenset[bytes]().union(*all_failures(email.message_from_bytes(data)))
    except Exception:  # noqa: BLE001 (the mail is anybody's; a library's fault is not ours to have)
        return None


def _is_receipt(mail: MailPart) -> bool:
    return any(
        part.content_type == "message/disposition-notification" and not part.inside_message
        for part in mail.walk()
    )


def _of_receipt(mail: MailPart, text: str) -> Finding:
    """A read receipt (RFC 8098), or a mailbox that refuses a letter in the form of one."""
    if _REJECTED.search(text):
        return _of_words(mail, text)
    who = first_address(mail.headers.text("from")) or None
    return _of_success("a notice that the letter was opened or deleted", who)


def _of_success(reason: str, recipient: str | None, status: str | None = None) -> Finding:
    return Finding(Kind.AUTO_REPLY, recipient, status, None, reason, is_notice=True)


def _attached_text(mail: MailPart) -> str:
    """Files in it that could be a report whose type was lost."""
    parts = (part for part in mail.walk() if part.content_type == "application/octet-stream")
    bodies = (part.beginning(20_000) for part in parts if not part.inside_message)
    return "\n\n".join(body.decode("utf-8", "replace") for body in islice(bodies, 10))


def _whole_text(mail: MailPart) -> str:
    texts = mail.texts("text/plain", "text/html", returned=True)
    return "\n".join(text for text in texts if text)


_ACTIONS = ("failed", "delayed", *_SUCCESSES)
_UNSURE = frozenset({patterns.Cause.OTHER, patterns.Cause.EXPIRED, patterns.Cause.POLICY})
