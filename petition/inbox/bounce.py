"""Bounces: delivery status notifications (RFC 3464, 6533), and reports written for people.

The only module that imports flufl.bounce, whose patterns for old and rare mail servers come after
RFC 3464 and our own. A bounce is permanent only if it says that there is no such address
(smtp/replies.py).
"""

import email
import json
import logging
import re
from itertools import islice
from typing import NamedTuple, TypeAlias
from urllib.parse import unquote

from flufl.bounce import all_failures

from petition import mail_parser
from petition.address import folded
from petition.inbox import REPLY_PREFIXES, Finding, Kind, alternatives, finder, pattern
from petition.mail_parser import (
    Headers,
    MailPart,
    all_addresses,
    decoded_header,
    first_address,
    is_returned,
    read_headers,
    returned_headers,
)
from petition.smtp.replies import UNSURE, Cause, cause_of, names_domain

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
    """What a report says of one recipient; the texts are empty where it does not say."""

    action: str
    recipient: str
    status: str
    diagnostic: str
    is_member: bool = False  # of an address that forwards to others (original and final differ)


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
    named = [_address_in(one) for one in (original, final, fields.get("x-actual-recipient"))]
    recipient = next(filter(None, named), "")
    is_member = all(named[:2]) and folded(named[0]) != folded(named[1])
    return _Notice(_action(action, status), recipient, status, said or remote, is_member)


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


_has_reply = finder("reply of a server")
_names_daemon = finder("daemon")
_is_bounce_subject = finder("bounce subject")
_is_delay_subject = finder("delay subject")
_says_failed = finder("says failed")
_says_delayed = finder("says delayed")
_says_delivered = finder("says delivered")
_opens_a_notice = finder("opening")
# A reply, or a mail that was forwarded.
_IS_REPLY = re.compile(rf"\s*(?:{REPLY_PREFIXES}|fwd?|wg|ha|tr)\s*:", re.IGNORECASE)
_says_rejected = finder("says rejected")
_ORIGINAL = pattern("before the letter")
_RETURNED_FIELD = pattern("field of the letter")
_OTHERS = pattern("others addresses")
_takes_no_reply = finder("takes no reply")
_ADDR = r"[\w.!#$%&'*+/=?^`{|}~-]{1,64}@(?:[\w-]{1,63}\.){1,8}[\w-]{2,63}(?![\w-])"
_ADDRESS_IN_TEXT = re.compile(_ADDR)
_NAMED = re.compile(
    rf"<({_ADDR})>\s*(?::|\(|\.\.\.|$)"
    rf"|^[^\S\n]*[*>\"'-]{{0,3}}[^\S\n]*<?({_ADDR})>?:?[^\S\n]*(?:[\"'*]{{0,3}})$"
    rf"|(?<![\w.@+-])(?:{alternatives('before an address')})(?:[\s:]\s*|(?=[\"'`<(\[]))"
    rf"[\"'`<(\[]{{0,2}}(?:smtp:|mailto:)?({_ADDR})"
    rf"|^[^\S\n]*({_ADDR})\s*(?:[:(–-]|\.\.\.|\s\d{{3}})",
    re.IGNORECASE | re.MULTILINE,
)
# A line of a list of those who were not reached.
_LISTED = re.compile(rf"^[^\S\n]*<?({_ADDR})>?[^\S\n]*(?::[^\n]*|\([^\n]*)?$", re.MULTILINE)
_WHOLE_REPLY = re.compile(r"(?<![\w.])[45]\d\d[ -](?:[^\n]+\n?){1,6}")
_LOCAL_PART = re.compile(r":[^\S\n]{0,9}\n\s{0,9}([\w.+-]{1,64})[^\S\n]{0,9}(?:\n|$)")
_BEHIND = re.compile(
    rf"(?:generated (?:from|by)|expanded from)[\s:]{{1,9}}<?({_ADDR})", re.IGNORECASE
)
# sendmail calls the recipient unknown whatever it was told, and quotes that beside it.
_SENDMAIL_QUOTES = re.compile(r"^<<< \d{3}|\(reason: \d{3}", re.MULTILINE)
_SENDMAIL_ADDS = re.compile(r"^\d{3}[ -](?:[\d.]{5,9} )?\S{1,320}\.\.\. [^\n]*", re.MULTILINE)
_SENDMAIL_ASKED = re.compile(r"^>>> (\w+)[^\n]*\n<<< [45]", re.MULTILINE)
_POLICY_CODE = re.compile(r"(?<![\d.])[45]\.7\.\d")
_RECIPIENTS = 100  # of one notification that are judged
_FLUFL_BYTES = 64_000  # its detectors go over every line many times
_LONG_LINE = re.compile(rb"([^\n]{998})[^\n]+")  # longer than RFC 5322 2.1.1 allows
_FLUFL_LEVELS = 20  # the standard library's parser asks each level at each line
# It logs a traceback for every mail that one of its detectors fails on.
logging.getLogger("flufl.bounce").setLevel(logging.CRITICAL + 1)
_REASON_LENGTH = 300


def bounce_of(mail: MailPart) -> Finding | None:
    """What a mail says of a letter's delivery; None: it is about something else."""
    if told := _of_ses(mail):
        return told
    reported = _notices(mail)
    text = _notice_text(mail)
    if not reported and (_is_daemon(mail) or has_null_sender(mail)):
        reported = _notices_in_text(_whole_text(mail)) or _notices_in_text(_attached_text(mail))
    if reported:
        return _of_report(mail, reported, text)
    if any(mail.own("message/disposition-notification")):
        # A read receipt (RFC 8098), or a mailbox that refuses a letter in the form of one.
        if _says_rejected(text):
            return _of_words(mail, text)
        who = first_address(mail.headers.text("from")) or None
        return _of_success("a notice that the letter was opened or deleted", who)
    if _is_daemon(mail) and _says_delivered(text) and not _says_so(text):
        return _of_success(_SUCCESSES["delivered"], _recipient(mail, text) or None)
    return _of_words(mail, text) if _is_about_delivery(mail, text) else None


def has_null_sender(mail: MailPart) -> bool:
    """Whether it came with the empty return path of a notification (RFC 5321 4.5.5)."""
    return mail.headers.get("return-path").replace(" ", "") == "<>"


def takes_no_reply(mail: MailPart) -> bool:
    """Whether its sender's address says that nobody reads what is sent there."""
    return _takes_no_reply(first_address(mail.headers.text("from")))


def returned(mail: MailPart) -> list[Headers]:
    """The headers of the first letters that a mail brings back."""
    parts = (part for part in mail.walk() if is_returned(part) and not part.inside_message)
    return [returned_headers(part) for part in islice(parts, mail_parser.RETURNED_MAILS)]


def _is_daemon(mail: MailPart) -> bool:
    sender = mail.headers.text("from")
    return _names_daemon(sender[:500]) or "x-failed-recipients" in mail.headers


def _is_about_delivery(mail: MailPart, text: str) -> bool:
    """Whether a mail without a report is what a mail server says about a letter."""
    headers = mail.headers
    brings_back = has_null_sender(mail) and returned(mail)
    if "x-failed-recipients" in headers or (brings_back and _says_failed(text)):
        return True
    subject = headers.text("subject")
    by_subject = _is_bounce_subject(subject[:500]) or _is_delay_subject(subject[:500])
    opens = _opens_a_notice(text[:600])
    is_reply = _IS_REPLY.match(subject)
    address = first_address(headers.text("from"))
    is_person = address and not _names_daemon(address.rpartition("@")[0] + "@")
    if _is_daemon(mail) and not (is_reply and is_person):
        return by_subject or opens or _says_so(text) or cause_of("", text[:2_000])[0].is_permanent
    if is_reply:
        return False  # a person who answers a bounce, or passes one on
    if takes_no_reply(mail) or has_null_sender(mail) or "auto-submitted" in headers:
        return by_subject and (opens or _says_so(text))
    if by_subject and _says_failed(text) and _has_reply(text):
        return True
    return opens and (by_subject or _says_so(text))


def _says_so(text: str) -> bool:
    """Whether the words are a mail server's. It takes long: ask only if it decides."""
    return any(finds(text) for finds in (_says_failed, _says_delayed, _has_reply))


def _of_report(mail: MailPart, reported: list[_Notice], text: str) -> Finding:
    action = min((one.action for one in reported), key=_ACTIONS.index)
    of_action = [one for one in reported if one.action == action]
    notice = next((one for one in of_action if one.recipient), of_action[0])
    recipient = notice.recipient or _recipient(mail, text) or None
    if action in _SUCCESSES:
        return _of_success(_SUCCESSES[action], recipient, notice.status[:8] or None)
    found = [
        _of_notice(mail, one, text, one.recipient or recipient)
        for one in ([notice] + [one for one in of_action if one is not notice])[:_RECIPIENTS]
    ]
    return found[0]._replace(others=tuple(found[1:]))


def _of_notice(mail: MailPart, notice: _Notice, text: str, recipient: str | None) -> Finding:
    more = f"{notice.diagnostic} {_around(text, notice.recipient)}"
    ours = _our_domains(mail, recipient or "")
    asked = _SENDMAIL_ASKED.search(text)
    status = notice.status if asked is None or asked[1].upper() == "RCPT" else ""
    cause = _judge_wider(status, notice.diagnostic, more, ours)[0]
    verdict = cause, cause_of(notice.status, notice.diagnostic)[1]
    if notice.is_member or _names_behind(text, notice.recipient):
        verdict = _of_member(verdict)
    return _finding(notice.action == "delayed", recipient, verdict, notice.diagnostic or text)


def _of_words(mail: MailPart, text: str) -> Finding:
    subject = mail.headers.text("subject")
    is_delay = _says_delayed(text) or (
        _is_delay_subject(subject[:500]) and not _is_bounce_subject(subject[:500])
    )
    named = all_addresses(mail.headers.text("x-failed-recipients"))
    named = named or _listed(text) or [_recipient(mail, text)]
    found = []
    for recipient in named[:_RECIPIENTS]:
        said = _around(text, recipient)
        wider = f"{said} {text[:4_000]} {subject[:300]}" if len(named) == 1 else said
        ours = _our_domains(mail, recipient)
        # Our own address stands in a copy of the letter too: only a reply refuses it.
        replies = "\n".join(one[0] for one in _WHOLE_REPLY.finditer(said))
        if not names_domain(replies, ours):
            replies, ours = said, ()
        verdict = _judge_wider("", replies, wider, ours)
        if _names_behind(text, recipient):
            verdict = _of_member(verdict)
        at = said.lower().find(recipient.lower()) if recipient else 0
        found.append(_finding(is_delay, recipient or None, verdict, said[max(at, 0) :]))
    return found[0]._replace(others=tuple(found[1:]))


def _our_domains(mail: MailPart, recipient: str) -> tuple[str, ...]:
    """The domains that the letter came from, unless it was for one of them."""
    texts = [*mail.headers.all("to", "delivered-to")[:5]]
    texts += [text for one in returned(mail)[:1] for text in one.all("from", "return-path")]
    domains = {one.rpartition("@")[2].lower() for text in texts for one in all_addresses(text)[:5]}
    theirs = recipient.rpartition("@")[2].lower()
    return tuple(one for one in domains if one and one != theirs and not theirs.endswith(f".{one}"))


def _names_behind(text: str, address: str) -> bool:
    """Whether a report says that it was not this address that failed, but one behind it."""
    return any(folded(found[1]) == folded(address) for found in _BEHIND.finditer(text))


_Verdict: TypeAlias = tuple[Cause, str | None]


def _of_member(verdict: _Verdict) -> _Verdict:
    return (Cause.MEMBER, verdict[1]) if verdict[0].is_permanent else verdict


def _judge_wider(status: str, words: str, more: str, ours: tuple[str, ...]) -> _Verdict:
    """Judge a refusal; if that leaves the cause open, by what is said around it."""
    verdict = cause_of(status, words, ours)
    if verdict[0] is Cause.POLICY and _POLICY_CODE.search(words):
        return verdict  # who reports it has only a gloss to add
    wider = cause_of(status, more) if verdict[0] in UNSURE else verdict
    return verdict if wider[0] in UNSURE else wider


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


def _of_ses(mail: MailPart) -> Finding | None:
    """What Amazon SES tells through SNS: a JSON object in the text of a mail."""
    if "x-amz-sns-message-id" not in mail.headers:
        return None
    text = next(iter(mail.texts("text/plain")), "")
    try:
        told = json.JSONDecoder().raw_decode(text, text.index("{"))[0]
        kind = told.get("notificationType") or told.get("eventType")
        if kind == "Complaint":
            failed = told["complaint"]["complainedRecipients"][0]["emailAddress"]
            return Finding(Kind.COMPLAINT, str(failed), None, None, "Amazon SES: a complaint")
        if kind != "Bounce":
            return None
        found = []
        for one in told["bounce"]["bouncedRecipients"][:_RECIPIENTS]:
            status, said = str(one.get("status", "")), str(one.get("diagnosticCode", ""))
            who = str(one["emailAddress"])
            verdict = cause_of(status, said, _our_domains(mail, who))
            found.append(_finding(False, who, verdict, said))
        return found[0]._replace(others=tuple(found[1:]))
    except (ValueError, KeyError, IndexError, TypeError, AttributeError, RecursionError):
        return None


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
    return first_address(found[1]) if found else _without_domain(mail, text)


def _without_domain(mail: MailPart, text: str) -> str:
    """Whom a server names by the local part alone, on a line behind a colon."""
    found = _LOCAL_PART.search(text)
    domain = first_address(mail.headers.text("from")).rpartition("@")[2]
    return f"{found[1]}@{domain}" if found and domain and _is_daemon(mail) else ""


def _named_address(text: str, without: frozenset[str]) -> str:
    text = re.sub(r"\n\s*\n", "\n", _OTHERS.sub("", text))
    for wanted in (_NAMED, _ADDRESS_IN_TEXT):
        for found in wanted.finditer(text):
            address = next((group for group in found.groups() if group), found[0]).strip(".'`\"")
            if folded(address) not in without and not _names_daemon(address):
                return address
    return ""


def _known_to_flufl(mail: MailPart, without: frozenset[str]) -> str:
    data = _LONG_LINE.sub(rb"\1", mail.data[:_FLUFL_BYTES])
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
    if at < 0:
        return text[:4_000]
    begin, end = max(0, at - 300), at + 1_500
    for listed in _LISTED.finditer(text):  # its neighbours in a list have words of their own
        is_other = folded(listed[1]) != folded(address)
        begin = at if is_other and begin <= listed.start() < at else begin
        if is_other and listed.start() > at:
            end = min(end, listed.start())
            break
    said = text[begin:end]
    return said if len(said.strip()) > len(address) + 10 else text[:4_000]


def _listed(text: str) -> list[str]:
    """The addresses that a notification lists, where there are several."""
    found = dict.fromkeys(one[1] for one in _LISTED.finditer(text))
    return list(found) if len(found) > 1 else []


def _notice_text(mail: MailPart) -> str:
    """What a mail itself says: its text, without the letter that came back in it."""
    text = next((text for text in mail.texts("text/plain", "text/html") if text.strip()), "")
    if _SENDMAIL_QUOTES.search(text):
        text = _SENDMAIL_ADDS.sub("", text)
    found = (pattern.search(text, 40) for pattern in (_ORIGINAL, _RETURNED_FIELD))
    return text[: min((one.start() for one in found if one), default=len(text))][:20_000]


def _whole_text(mail: MailPart) -> str:
    texts = mail.texts("text/plain", "text/html", returned=True)
    return "\n".join(text for text in texts if text)


def _attached_text(mail: MailPart) -> str:
    """Files in it that could be a report whose type was lost."""
    parts = islice(mail.own("application/octet-stream"), 10)
    return "\n\n".join(part.beginning(20_000).decode("utf-8", "replace") for part in parts)
