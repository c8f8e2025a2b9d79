"""Bounces: delivery status notifications (RFC 3464, 6533), and reports written for people.

The only module that imports flufl.bounce, whose patterns for old and rare mail servers come after
RFC 3464 and our own.

What the server says comes before its codes: many say 550 5.7.1 or 5.0.0 of a user that they do not
know, and 5.1.1 of a mailbox that is full. A bounce is permanent only if it says that there is no
such address.
"""

import email
import logging
import re
from enum import Enum
from itertools import islice
from typing import NamedTuple
from urllib.parse import unquote

from flufl.bounce import all_failures

from petition import mail_parser
from petition.address import folded
from petition.inbox.patterns import Finding, Kind, alternatives, pattern, sections
from petition.mail_parser import (
    Headers,
    MailPart,
    decoded_header,
    first_address,
    is_returned,
    read_headers,
    returned_headers,
)

_TYPES = frozenset({"message/delivery-status", "message/global-delivery-status"})
_ADDRESS_IN_REPORT = re.compile(
    r"[^\s<>\"(),:;\[\]]+@[^\s<>\"(),:;\[\]]+|\"[^\"\s]{1,64}\"@[^\s<>(),:;]+"
)
_IN_TEXT = re.compile(r"^(?:final|original)-recipient:", re.IGNORECASE | re.MULTILINE)
_SUCCESSES = {
    "delivered": "a notice that the letter was delivered",
    "relayed": "a notice that the letter was passed on",
    "expanded": "a notice that the letter went to a list",
}
_ACTIONS = ("failed", "delayed", *_SUCCESSES)


class _Notice(NamedTuple):
    """What a report says of one recipient; the last three are empty where it does not say."""

    action: str
    recipient: str
    status: str
    diagnostic: str


def _notices(mail: MailPart) -> list[_Notice]:
    """What a mail's own report says; that of a mail that somebody forwards is not its own."""
    found: list[_Notice] = []
    left = mail_parser.REPORT_BYTES
    for part in mail.walk():
        if part.content_type in _TYPES and not part.inside_message and left > 0:
            found += _read_report(part.beginning(left))
            left -= part.end - part.start
    return found


def _notices_in_text(text: str) -> list[_Notice]:
    """The same of a report that has lost its MIME structure."""
    return _read_report(text.encode("utf-8", "surrogatepass")) if _IN_TEXT.search(text) else []


def _read_report(data: bytes) -> list[_Notice]:
    blocks = re.split(rb"\r?\n[ \t]*\r?\n", data)
    found = [notice for block in blocks if (notice := _notice(read_headers(block.lstrip())))]
    return found[:1_000]


def _notice(fields: Headers) -> _Notice | None:
    action = fields.get("action").strip().lower()
    final, original = fields.get("final-recipient"), fields.get("original-recipient")
    status = fields.get("status").strip()
    if not (action or final or original) or not (action or status):
        return None
    diagnostic = " ".join(decoded_header(text) for text in fields.all("diagnostic-code"))
    said = re.sub(r"^\s*(?:x-)?[\w-]+\s*;\s*", "", diagnostic)
    remote = fields.get("x-supplementary-info") or fields.get("x-display-name")
    # If a mail was forwarded, the address that was written to is the original one.
    named = (original, final, fields.get("x-actual-recipient"))
    recipient = next(filter(None, map(_address_in, named)), "")
    return _Notice(_action(action, status), recipient, status, said or remote)


def _action(text: str, status: str) -> str:
    """The action, which some write with a comment, misspell or leave out."""
    name = re.match(r"[a-z-]*", text)[0]  # type: ignore[index]
    if name.startswith(("fail", "error", "undeliver", "reject", "bounce", "expired")):
        return "failed"
    if name.startswith(("delay", "deferred", "warn")):
        return "delayed"
    if name in _SUCCESSES:
        return name
    return "delivered" if status.startswith("2") else "failed"


def _address_in(field: str) -> str:
    """The address of a recipient field such as `rfc822; kim@kaz.example`."""
    kind, semicolon, rest = field.partition(";")
    text = decoded_header(rest if semicolon else field).strip()
    kind = kind.strip().lower()
    if kind == "x400":
        return ""
    if kind == "utf-8":  # RFC 6533 3: \x{...} stands for a character
        text = re.sub(r"\\x\{([0-9A-Fa-f]{1,6})\}", _character, text)
    text = unquote(text) if "%40" in text else text
    found = _ADDRESS_IN_REPORT.search(text)
    return found[0].strip("'`.") if found else ""


def _character(found: re.Match[str]) -> str:
    number = int(found[1], 16)
    return chr(number) if number < 0x110000 and not 0xD800 <= number < 0xE000 else ""


class Cause(Enum):
    """Why a letter came back: in words, and whether no letter will ever arrive at the address."""

    UNKNOWN_USER = ("the address does not exist", True)
    UNKNOWN_DOMAIN = ("the domain does not exist or takes no mail", True)
    MOVED = ("the person has moved to another address", True)
    FULL = ("the mailbox is full", False)
    TOO_LARGE = ("the letter is too large", False)
    DISABLED = ("the mailbox is closed to mail", False)
    SENDER = ("the sender or the server that sent it is refused", False)
    POLICY = ("refused as spam or against a rule", False)
    EXPIRED = ("it could not be delivered in time", False)
    LOOP = ("the letter went in a circle", False)
    OTHER = ("refused", False)

    def __init__(self, words: str, is_permanent: bool) -> None:
        self.words = words
        self.is_permanent = is_permanent


_UNSURE = frozenset({Cause.OTHER, Cause.EXPIRED, Cause.POLICY})
# Enhanced status codes without their class (RFC 3463); what their words say comes first.
_BY_CODE = {
    "1.1": Cause.UNKNOWN_USER,
    "1.2": Cause.UNKNOWN_DOMAIN,
    "1.3": Cause.UNKNOWN_USER,
    "1.6": Cause.MOVED,
    "1.7": Cause.SENDER,
    "1.8": Cause.SENDER,
    "1.10": Cause.UNKNOWN_USER,
    "2.1": Cause.DISABLED,
    "2.2": Cause.FULL,
    "2.3": Cause.TOO_LARGE,
    "3.4": Cause.TOO_LARGE,
    "4.4": Cause.UNKNOWN_DOMAIN,
    "4.6": Cause.LOOP,
    "4.7": Cause.EXPIRED,
    "4.14": Cause.LOOP,
    "4.310": Cause.UNKNOWN_DOMAIN,
}
# Headings of patterns.txt, compared in the order of that file: most say more than the code.
_BY_WORDS = {
    "sender refused": Cause.SENDER,
    "refused by choice": Cause.POLICY,
    "mailbox full": Cause.FULL,
    "too large": Cause.TOO_LARGE,
    "moved": Cause.MOVED,
    "unknown domain": Cause.UNKNOWN_DOMAIN,
    "unknown user": Cause.UNKNOWN_USER,
}
# These say less than the code, and count only if it says nothing.
_BY_VAGUE_WORDS = {
    "loop": Cause.LOOP,
    "expired": Cause.EXPIRED,
    "disabled": Cause.DISABLED,
    "policy": Cause.POLICY,
}
_WORDS = [(pattern(name), _BY_WORDS[name]) for name in sections() if name in _BY_WORDS]
_VAGUE_WORDS = [
    (pattern(name), _BY_VAGUE_WORDS[name]) for name in sections() if name in _BY_VAGUE_WORDS
]
_REPLY = re.compile(
    r"(?:^|[\s:;(\[<>'\"#,-])(?:[45]\d\d)[ -](?:#|\(#)?([245]\.\d{1,3}\.\d{1,3})\b"
    r"|\b(?:smtp|said|error|code|status|response)[^\n]{0,40}?\b[45]\d\d\b[ -]"
    r"|^[^\S\n]*(?:<[^>\n]{0,320}>:? )?[45]\d\d[ -]",
    re.IGNORECASE | re.MULTILINE,
)
_ENHANCED = re.compile(r"(?<![\d.])([45]\.\d{1,3}\.\d{1,3})(?![\d.]*\d)")
_VAGUE_CODE = re.compile(r"[245]\.(?:0\.\d+|\d+\.0)")


def judge(status: str, words: str) -> tuple[Cause, str | None]:
    """What a refusal means, and its enhanced status code if it names one."""
    given = re.match(r"\s*([245]\.\d{1,3}\.\d{1,3})", status)
    codes = ([given[1]] if given else []) + _ENHANCED.findall(words[:6_000])
    code = next((one for one in codes if not _VAGUE_CODE.fullmatch(one)), next(iter(codes), None))
    is_temporary = code is not None and code.startswith("4.")
    text = re.sub(r"\s+", " ", words.lower())[:6_000]
    cause = next((cause for pattern, cause in _WORDS if pattern.search(text)), _by_code(code))
    if cause is None:
        otherwise = Cause.EXPIRED if is_temporary else Cause.OTHER
        cause = next((one for pattern, one in _VAGUE_WORDS if pattern.search(text)), otherwise)
    if cause.is_permanent and is_temporary and cause is not Cause.UNKNOWN_DOMAIN:
        # "Later" for days: the letter is lost, but the address may well exist.
        cause = Cause.EXPIRED
    return cause, code


def _by_code(code: str | None) -> Cause | None:
    subject = code.partition(".")[2] if code else ""
    return _BY_CODE.get(subject, Cause.POLICY if subject.startswith("7.") else None)


_DAEMON = pattern("daemon")
_SUBJECT = pattern("bounce subject")
_DELAY_SUBJECT = pattern("delay subject")
_FAILED = pattern("says failed")
_DELAYED = pattern("says delayed")
_DELIVERED = pattern("says delivered")
_OPENINGS = pattern("opening")
_IS_REPLY = re.compile(r"\s*(?:re|fwd?|aw|wg|отв|ha|sv|antw|tr)\s*:", re.IGNORECASE)
_REJECTED = re.compile(
    r"was automatically rejected|automatically rejected:|mailbox is full|quota exceeded|rejected:",
    re.IGNORECASE,
)
# After such a line is the letter that came back, in the words of each mail server.
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
_FLUFL_BYTES = 64_000  # its detectors go over every line many times
_FLUFL_LEVELS = 20  # the standard library's parser asks each level at each line
# It logs a traceback for every mail that one of its detectors fails on.
logging.getLogger("flufl.bounce").setLevel(logging.CRITICAL + 1)
_REASON_LENGTH = 300


def bounce_of(mail: MailPart) -> Finding | None:
    """What a mail says of a letter's delivery; None: it is about something else."""
    reported = _notices(mail)
    text = _notice_text(mail)
    if not reported and (_is_daemon(mail) or has_null_sender(mail)):
        reported = _notices_in_text(_whole_text(mail)) or _notices_in_text(_attached_text(mail))
    if reported:
        return _of_report(mail, reported, text)
    if any(mail.own("message/disposition-notification")):
        # A read receipt (RFC 8098), or a mailbox that refuses a letter in the form of one.
        if _REJECTED.search(text):
            return _of_words(mail, text)
        who = first_address(mail.headers.text("from")) or None
        return _of_success("a notice that the letter was opened or deleted", who)
    if _is_daemon(mail) and _DELIVERED.search(text) and not _says_so(text):
        return _of_success(_SUCCESSES["delivered"], _recipient(mail, text) or None)
    return _of_words(mail, text) if _is_about_delivery(mail, text) else None


def has_null_sender(mail: MailPart) -> bool:
    """Whether it came with the empty return path of a notification (RFC 5321 4.5.5)."""
    return mail.headers.get("return-path").replace(" ", "") == "<>"


def takes_no_reply(mail: MailPart) -> bool:
    """Whether its sender's address says that nobody reads what is sent there."""
    return bool(_NO_REPLY.search(first_address(mail.headers.text("from"))))


def returned(mail: MailPart) -> list[Headers]:
    """The headers of the first letters that a mail brings back."""
    parts = (part for part in mail.walk() if is_returned(part) and not part.inside_message)
    return [returned_headers(part) for part in islice(parts, mail_parser.RETURNED_MAILS)]


def _is_daemon(mail: MailPart) -> bool:
    sender = mail.headers.text("from")
    return bool(_DAEMON.search(sender[:500])) or "x-failed-recipients" in mail.headers


def _is_about_delivery(mail: MailPart, text: str) -> bool:
    """Whether a mail without a report is what a mail server says about a letter."""
    headers = mail.headers
    if "x-failed-recipients" in headers:
        return True
    subject = headers.text("subject")
    by_subject = bool(_SUBJECT.search(subject[:500]) or _DELAY_SUBJECT.search(subject[:500]))
    opens = bool(_OPENINGS.search(text[:600]))
    is_reply = _IS_REPLY.match(subject)
    address = first_address(headers.text("from"))
    is_person = address and not _DAEMON.search(address.rpartition("@")[0] + "@")
    if _is_daemon(mail) and not (is_reply and is_person):
        return by_subject or opens or _says_so(text)
    if is_reply:
        return False  # a person who answers a bounce, or passes one on
    if takes_no_reply(mail) or has_null_sender(mail) or "auto-submitted" in headers:
        return by_subject and (opens or _says_so(text))
    if by_subject and _FAILED.search(text) and _REPLY.search(text):
        return True
    return opens and (by_subject or _says_so(text))


def _says_so(text: str) -> bool:
    """Whether the words are a mail server's. It takes long: ask only if it decides."""
    return any(pattern.search(text) for pattern in (_FAILED, _DELAYED, _REPLY))


def _of_report(mail: MailPart, reported: list[_Notice], text: str) -> Finding:
    action = min((one.action for one in reported), key=_ACTIONS.index)
    of_action = [one for one in reported if one.action == action]
    notice = next((one for one in of_action if one.recipient), of_action[0])
    recipient = notice.recipient or _recipient(mail, text) or None
    if action in _SUCCESSES:
        return _of_success(_SUCCESSES[action], recipient, notice.status[:8] or None)
    more = f"{notice.diagnostic} {_around(text, notice.recipient)}"
    verdict = _judge_wider(notice.status, notice.diagnostic, more)
    return _finding(action == "delayed", recipient, verdict, notice.diagnostic or text)


def _of_words(mail: MailPart, text: str) -> Finding:
    recipient, subject = _recipient(mail, text), mail.headers.text("subject")
    said = _around(text, recipient)
    verdict = _judge_wider("", said, f"{said} {text[:4_000]} {subject[:300]}")
    is_delay = bool(_DELAYED.search(text)) or (
        bool(_DELAY_SUBJECT.search(subject[:500])) and not _SUBJECT.search(subject[:500])
    )
    at = said.lower().find(recipient.lower()) if recipient else 0
    return _finding(is_delay, recipient or None, verdict, said[max(at, 0) :])


def _judge_wider(status: str, words: str, more: str) -> tuple[Cause, str | None]:
    """Judge a refusal; if that leaves the cause open, by what is said around it."""
    verdict = judge(status, words)
    wider = judge(status, more) if verdict[0] in _UNSURE else verdict
    return verdict if wider[0] in _UNSURE else wider


def _finding(
    is_delay: bool, recipient: str | None, verdict: tuple[Cause, str | None], said: str
) -> Finding:
    cause, status = verdict
    words = "not delivered yet" if is_delay else cause.words
    quoted = re.sub(r"\s+", " ", said).strip()[:_REASON_LENGTH]
    reason = f"{words}: {quoted}" if quoted else words
    if is_delay:
        return Finding(Kind.DELAY, recipient, status, False, reason)
    return Finding(Kind.BOUNCE, recipient, status, cause.is_permanent, reason)


def _of_success(reason: str, recipient: str | None, status: str | None = None) -> Finding:
    return Finding(Kind.AUTO_REPLY, recipient, status, None, reason, is_notice=True)


def _recipient(mail: MailPart, text: str) -> str:
    """Whom a mail names as the one who was not reached."""
    if failed := first_address(mail.headers.text("x-failed-recipients")):
        return failed
    ours = mail.headers.all("from", "to", "delivered-to", "reply-to", "sender", "x-original-to")
    without = frozenset(folded(first_address(one)) for one in ours)
    if named := _named_address(text, without) or _known_to_flufl(mail, without):
        return named
    if original := returned(mail):
        return first_address(original[0].text("to"))
    found = re.search(r"^To:\s*(.+)$", _whole_text(mail), re.MULTILINE | re.IGNORECASE)
    return first_address(found[1]) if found else ""


def _named_address(text: str, without: frozenset[str]) -> str:
    text = re.sub(r"\n\s*\n", "\n", _OTHERS.sub("", text))
    for wanted in (_NAMED, _ADDRESS_IN_TEXT):
        for found in wanted.finditer(text):
            address = next((group for group in found.groups() if group), found[0]).strip(".'`\"")
            if folded(address) not in without and not _DAEMON.search(address):
                return address
    return ""


def _known_to_flufl(mail: MailPart, without: frozenset[str]) -> str:
    data = mail.data[:_FLUFL_BYTES]
    lower = data.lower()
    if lower.count(b"multipart/") + lower.count(b"message/") > _FLUFL_LEVELS:
        return ""
    found = _failures(data)
    if found is None:  # its patterns fail on a header that is not ASCII
        found = _failures(data.decode("ascii", "replace").replace("\ufffd", "?").encode("ascii"))
    names = sorted(address.decode("ascii", "replace") for address in found or ())
    return next((name for name in names if "@" in name and folded(name) not in without), "")


def _failures(data: bytes) -> frozenset[bytes] | None:
    """Whom flufl.bounce finds in a mail; None: one of its detectors has failed."""
    try:
        return frozenset[bytes]().union(*all_failures(email.message_from_bytes(data)))
    except Exception:  # noqa: BLE001 (anybody can send such a mail, and it must not stop us)
        return None


def _around(text: str, address: str) -> str:
    """What a notification says of an address: the text after it and a little before."""
    at = text.lower().find(address.lower()) if address else -1
    said = text[max(0, at - 300) : at + 1_500]
    return said if at >= 0 and len(said.strip()) > len(address) + 10 else text[:4_000]


def _notice_text(mail: MailPart) -> str:
    """What a mail itself says: its text, without the letter that came back in it."""
    text = next((text for text in mail.texts("text/plain", "text/html") if text.strip()), "")
    found = (pattern.search(text, 40) for pattern in (_ORIGINAL, _RETURNED_FIELD))
    return text[: min((one.start() for one in found if one), default=len(text))][:20_000]


def _whole_text(mail: MailPart) -> str:
    texts = mail.texts("text/plain", "text/html", returned=True)
    return "\n".join(text for text in texts if text)


def _attached_text(mail: MailPart) -> str:
    """Files in it that could be a report whose type was lost."""
    parts = islice(mail.own("application/octet-stream"), 10)
    return "\n\n".join(part.beginning(20_000).decode("utf-8", "replace") for part in parts)
