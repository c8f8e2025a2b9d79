"""Bounces and delays: the report that mail programs write, else what a mail server says in words.

The only door to flufl.bounce, whose patterns for old and rare mail servers stand behind RFC 3464
and our own.
"""

import email
import logging
import re
from itertools import islice

from flufl.bounce import all_failures

from petition.address import folded
from petition.inbox import bounce_text as words
from petition.inbox import limits, verdict
from petition.inbox.addresses import first_address
from petition.inbox.dsn import Notice, notices, notices_in_text
from petition.inbox.finding import Finding, Kind
from petition.inbox.mail import Headers, Part, is_returned, returned_headers

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


def bounce_of(mail: Part) -> Finding | None:
    """What a mail says of a letter's delivery, or None where it is about something else.

    Args:
        mail: The mail.
    """
    reported = notices(mail)
    text = words.notice_text(mail)
    if not reported and (words.is_daemon(mail) or words.has_null_sender(mail)):
        reported = notices_in_text(_whole_text(mail)) or notices_in_text(_attached_text(mail))
    if reported:
        return _of_report(mail, reported, text)
    if _is_receipt(mail):
        return _of_receipt(mail, text)
    if words.is_daemon(mail) and words.says_delivered(text) and not _says_so(text):
        return _of_success(_SUCCESSES["delivered"], _recipient(mail, text) or None)
    if not _is_about_delivery(mail, text):
        return None
    return _of_words(mail, text)


def _of_report(mail: Part, reported: list[Notice], text: str) -> Finding:
    by_action = {action: [one for one in reported if one.action == action] for action in _ACTIONS}
    action = next(action for action in _ACTIONS if by_action[action])
    notice = next((one for one in by_action[action] if one.recipient), by_action[action][0])
    recipient = notice.recipient or _recipient(mail, text) or None
    if action in _SUCCESSES:
        return _of_success(_SUCCESSES[action], recipient, notice.status[:8] or None)
    judged = verdict.judge(notice.status, notice.diagnostic)
    if judged.cause in _UNSURE:
        # The code or the server's own words say little: the text for people may say more.
        more = verdict.judge(
            notice.status, f"{notice.diagnostic} {words.around(text, notice.recipient)}"
        )
        judged = more if more.cause not in _UNSURE else judged
    return _finding(action == "delayed", recipient, judged, notice.diagnostic or text)


def _of_words(mail: Part, text: str) -> Finding:
    recipient = _recipient(mail, text)
    said = words.around(text, recipient)
    judged = verdict.judge("", said)
    if judged.cause in _UNSURE:
        wider = verdict.judge("", f"{said} {text[:4_000]} {mail.headers.text('subject')[:300]}")
        judged = wider if wider.cause not in _UNSURE else judged
    is_delay = words.says_delayed(text) or (
        words.says_delay_in_subject(mail) and not words.says_bounce_in_subject(mail)
    )
    at = said.lower().find(recipient.lower()) if recipient else 0
    return _finding(is_delay, recipient or None, judged, said[max(at, 0) :])


def _finding(is_delay: bool, recipient: str | None, judged: verdict.Verdict, said: str) -> Finding:
    cause, status = judged
    quoted = re.sub(r"\s+", " ", said).strip()[:_REASON_LENGTH]
    if is_delay:
        reason = f"not delivered yet: {quoted}" if quoted else "not delivered yet"
        return Finding(Kind.DELAY, recipient, status, False, reason)
    reason = f"{cause.words}: {quoted}" if quoted else cause.words
    return Finding(Kind.BOUNCE, recipient, status, cause.is_permanent, reason)


def _is_about_delivery(mail: Part, text: str) -> bool:
    """Whether a mail without a report is a mail server's word on a letter."""
    headers = mail.headers
    if "x-failed-recipients" in headers:
        return True
    subject = headers.text("subject")
    by_subject = words.says_bounce_in_subject(mail) or words.says_delay_in_subject(mail)
    opens = words.opens_as_bounce(text)
    is_reply = re.match(r"\s*(?:re|fwd?|aw|wg|отв|ha|sv|antw|tr)\s*:", subject, re.IGNORECASE)
    if words.is_daemon(mail) and not (is_reply and words.is_named_person(mail)):
        return by_subject or opens or _says_so(text)
    if is_reply:
        return False  # a person who answers a bounce, or passes one on
    if words.takes_no_reply(mail) or words.has_null_sender(mail) or "auto-submitted" in headers:
        return by_subject and (opens or _says_so(text))
    if by_subject and words.says_failed(text) and verdict.has_refusal(text):
        return True
    return opens and (by_subject or _says_so(text))


def _says_so(text: str) -> bool:
    """Whether the words are those of a mail server; a long look, asked only where it decides."""
    return words.says_failed(text) or words.says_delayed(text) or verdict.has_refusal(text)


def _recipient(mail: Part, text: str) -> str:
    """Whom a mail names as the one who was not reached."""
    if failed := first_address(mail.headers.text("x-failed-recipients")):
        return failed
    ours = [*mail.headers.all("from", "to", "delivered-to", "reply-to", "sender", "x-original-to")]
    without = frozenset(folded(first_address(one)) for one in ours)
    if named := words.named_address(text, without):
        return named
    if known := _known_to_flufl(mail, without):
        return known
    if original := returned(mail):
        return first_address(original[0].text("to"))
    found = re.search(r"^To:\s*(.+)$", _whole_text(mail), re.MULTILINE | re.IGNORECASE)
    return first_address(found[1]) if found else ""


def returned(mail: Part) -> list[Headers]:
    """The headers of the letters that a mail brings back, of many only the first.

    Args:
        mail: The mail.
    """
    parts = (part for part in mail.walk() if is_returned(part) and not part.inside_message)
    return [returned_headers(part) for part in islice(parts, limits.RETURNED_MAILS)]


def _known_to_flufl(mail: Part, without: frozenset[str]) -> str:
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


def _is_receipt(mail: Part) -> bool:
    return any(
        part.content_type == "message/disposition-notification" and not part.inside_message
        for part in mail.walk()
    )


def _of_receipt(mail: Part, text: str) -> Finding:
    """A read receipt (RFC 8098), or a mailbox that refuses a letter in the form of one."""
    if _REJECTED.search(text):
        return _of_words(mail, text)
    who = first_address(mail.headers.text("from")) or None
    return _of_success("a notice that the letter was opened or deleted", who)


def _of_success(reason: str, recipient: str | None, status: str | None = None) -> Finding:
    return Finding(Kind.AUTO_REPLY, recipient, status, None, reason, is_notice=True)


def _attached_text(mail: Part) -> str:
    """Files in it that could be a report whose type was lost."""
    parts = (part for part in mail.walk() if part.content_type == "application/octet-stream")
    bodies = (part.beginning(20_000) for part in parts if not part.inside_message)
    return "\n\n".join(body.decode("utf-8", "replace") for body in islice(bodies, 10))


def _whole_text(mail: Part) -> str:
    texts = mail.texts("text/plain", "text/html", returned=True)
    return "\n".join(text for text in texts if text)


_ACTIONS = ("failed", "delayed", *_SUCCESSES)
_UNSURE = frozenset({verdict.Cause.OTHER, verdict.Cause.EXPIRED, verdict.Cause.POLICY})
