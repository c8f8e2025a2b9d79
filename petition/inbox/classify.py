"""What a mail is: bounce, delay, automatic reply, unsubscribe request, complaint or answer.

RFC 3834 gives Auto-Submitted; the other signs are what mail programs and ticket systems really
send. X-Auto-Response-Suppress is not a sign: people's own Outlook sends it too. Words alone must
give two signs: an answer that is taken for a program's goes unseen, which is worse than an
automatic reply that a person must classify.

A pure function of the mail's bytes: nothing is looked up, fetched, run or written.
"""

import re
from bisect import bisect_left

from petition.inbox.bounce import bounce_of, has_null_sender, returned, takes_no_reply
from petition.inbox.patterns import Finding, Kind, alternatives, pattern
from petition.mail_parser import (
    QUOTE_MARK,
    Headers,
    MailPart,
    SetAside,
    all_addresses,
    first_address,
    read_headers,
    read_mail,
)

_SHOWN = 300  # characters of an answer


def explain(data: bytes) -> Finding:
    """What a mail is, whatever its bytes."""
    try:
        return classify(read_mail(data))
    except SetAside as reason:
        return set_aside(str(reason))


def set_aside(reason: str) -> Finding:
    """The finding on a mail that exceeds a limit."""
    return Finding(None, None, None, None, f"set aside: {reason}")


def classify(mail: MailPart) -> Finding:
    """What a parsed mail is."""
    if not mail.headers.fields:
        raise SetAside("it is not a mail: it has no headers" if mail.data else "it is empty")
    found = _complaint(mail) or bounce_of(mail)
    if not found and not _is_to_unsubscribe(mail):
        found = _auto_reply(mail)
    return found or _unsubscribe(mail) or _answer(mail)


def _answer(mail: MailPart) -> Finding:
    words = " ".join(own_words(mail).split())
    shown = words if len(words) <= _SHOWN else words[: _SHOWN - 1] + "…"
    return Finding(Kind.ANSWER, _sender(mail), None, None, shown or "it has no words of its own")


def _sender(mail: MailPart) -> str | None:
    return first_address(mail.headers.text("from")) or None


# ---- what a person wrote themselves

# The line that mail programs put before what is quoted; it may be wrapped to a second and third.
_ATTRIBUTION = re.compile(rf"^[ >*]*(?:{alternatives('attribution')})\s*$", re.IGNORECASE)
_DIVIDER = pattern("divider")
_FROM = re.compile(rf"^[ >]*\*?(?:{alternatives('quoted from')})\s?:\*?\s*\S", re.IGNORECASE)
_BESIDE = re.compile(rf"^[ >]*\*?(?:{alternatives('quoted beside')})\s?:\*?\s*\S", re.IGNORECASE)
_SIGNATURE = pattern("signature")
_DISCLAIMER = pattern("disclaimer")
_LINE = 500  # characters of a line that are compared with patterns
_INVISIBLE = re.compile("[\u200b\u200c\u200d\ufeff]")


def own_words(mail: MailPart) -> str:
    """What the sender of a mail wrote themselves, from its text, else from its HTML."""
    for kind in ("text/plain", "text/html"):
        for part in mail.own(kind):
            disposition = part.headers.get("content-disposition").strip().lower()
            if not disposition.startswith("attachment") and part.text.strip():
                return own_lines(part.text)
    return ""


def own_lines(text: str) -> str:
    """The lines that are not quoted, nor part of a signature or a disclaimer."""
    lines = _INVISIBLE.sub("", text).split("\n")[:5_000]
    quotes = [number for number, line in enumerate(lines) if line.lstrip().startswith(">")]
    last_quote = quotes[-1] if quotes else -1
    is_written_below = any(line.strip() for line in lines[last_quote + 1 :])
    kept: list[str] = []
    has_words = False
    at = 0
    while at < len(lines):
        line = lines[at]
        start = line[:_LINE]
        if line.startswith(QUOTE_MARK) or _DIVIDER.match(start) or _is_header_block(lines, at):
            break
        if span := _attribution(lines, at):
            at += span
            following = next((line for line in lines[at:] if line.strip()), "")
            if not following.lstrip().startswith(">"):
                break  # the quoted text has no marks: all that follows is quoted
        elif line.lstrip(" ").startswith(">"):
            at += 1
        elif _SIGNATURE.match(start) and (has_words or "-" in line[:3]):
            if at > last_quote or not is_written_below:
                break
            at = quotes[bisect_left(quotes, at)]
        elif has_words and _DISCLAIMER.search(start):
            break
        else:
            kept.append(line.rstrip())
            has_words = has_words or bool(line.strip())
            at += 1
    return re.sub(r"\n{3,}", "\n\n", "\n".join(kept)).strip()


def _attribution(lines: list[str], at: int) -> int:
    """Over how many lines an attribution goes that begins at a line; 0: it is not one."""
    if len(lines[at]) > 400:
        return 0
    joined = ""
    for span, line in enumerate(lines[at : at + 3], 1):
        if not line.strip():
            return 0
        joined = f"{joined} {line.strip()}".strip()
        if joined.endswith(":") and _ATTRIBUTION.match(joined[:600]):
            return span
    return 0


def _is_header_block(lines: list[str], at: int) -> bool:
    """Whether the headers of a quoted mail begin here, as Outlook writes them."""
    if not _FROM.match(lines[at]):
        return False
    following = [line for line in lines[at + 1 : at + 8] if line.strip()][:5]
    return sum(bool(_BESIDE.match(line)) for line in following) >= 2


# ---- automatic replies

_FIELDS = re.compile(
    r"x-(?:[\w-]+-)?auto[-_]?(?:repl(?:y|ied)|respon(?:d|der|se))(?:-(?!suppress)[\w-]+)?"
    r"|x-(?:mail-autoreply|autogenerated|vacation|ms-exchange-generated-message-source)"
    r"|x-(?:otrs-loop|cron-env)"
)
_VALUES = {
    "precedence": re.compile(r"auto[-_ ]?reply", re.IGNORECASE),
    "x-precedence": re.compile(r"auto[-_ ]?reply", re.IGNORECASE),
    "preference": re.compile(r"auto[-_ ]?reply", re.IGNORECASE),
    "x-post-messageclass": re.compile(r"autoresponder", re.IGNORECASE),
    "delivered-to": re.compile(r"^autoresponder", re.IGNORECASE),
    "x-fc-machinegenerated": re.compile(r"true", re.IGNORECASE),
    "x-mailer": re.compile(r"vacation|autorespon|auto[- ]?reply|zendesk", re.IGNORECASE),
    "x-ms-exchange-inbox-rules-loop": re.compile(r"."),
}
_TAG = r"^\s*(?:\[[^\]]{0,60}\]\s*)?\[?"  # a desk's number or a list's name before the subject
_AUTO_REPLY_SUBJECT = re.compile(
    rf"{_TAG}(?:{alternatives('answered by a program')})"
    r"|^(?!\s*re\s*:).{0,80}\b(?:is|am|are) (?:currently )?out of (?:the )?office"
    r"|^(?!\s*re\s*:).{0,200}\bout of office\b",
    re.IGNORECASE,
)
_ABSENCE = re.compile(rf"{_TAG}(?:{alternatives('absence')})", re.IGNORECASE)
_TICKET = pattern("ticket")
_IS_REPLY = re.compile(r"\s*(?:re|aw|sv|antw|отв|odp|tr|rif|res)\s*:", re.IGNORECASE)
_SAYS_ABSENT = pattern("says absent")
_BESIDE_ABSENCE = pattern("beside an absence")
_SAYS_AUTOMATIC = pattern("says automatic")
_SAYS_RECEIVED = pattern("says received")
_MAIL_SERVER = re.compile(
    r"^(?:mailer[-_.]?daemon|post[-_.]?master|mdaemon|microsoftexchange\w+)@", re.IGNORECASE
)
_NAME_LENGTH = 80  # characters; no program writes longer names of fields
_NOTE_LENGTH = 1_500  # characters; such notes are short


def _auto_reply(mail: MailPart) -> Finding | None:
    subject, who = mail.headers.text("subject")[:500], _sender(mail)
    if reason := _sign_of_header(mail, subject) or _sign_of_words(mail, subject):
        return Finding(Kind.AUTO_REPLY, who, None, None, f"a program wrote it: {reason}")
    if who and _MAIL_SERVER.search(who) and not _IS_REPLY.match(subject):
        # No person writes from there, and it may be a bounce in words that we do not know.
        reason = "it comes from a mail server, and does not say that a letter failed"
        return Finding(Kind.AUTO_REPLY, who, None, None, reason, is_notice=True)
    return None


def _sign_of_header(mail: MailPart, subject: str) -> str:
    """The header that shows that a program wrote a mail, in words, or ""."""
    headers = mail.headers
    submitted = headers.get("auto-submitted").strip().lower()
    if submitted and not submitted.startswith("no"):
        return f"Auto-Submitted: {submitted[:60]}"
    for name, value in headers.fields:
        is_off = value.strip().lower() in {"no", "false", "0"}
        if len(name) <= _NAME_LENGTH and not is_off and _FIELDS.fullmatch(name):
            return f"it has {name.title()}"
    for name, sign in _VALUES.items():
        if any(sign.search(value[:200]) for value in headers.all(name)):
            return f"{name.title()}: {headers.get(name)[:60]}"
    precedence = headers.get("precedence").strip()
    is_bulk = precedence.lower() in {"bulk", "junk"}
    signs = (
        ("its subject", _AUTO_REPLY_SUBJECT.search(subject)),
        ("an empty return path", has_null_sender(mail)),
        (f"Precedence: {precedence}", is_bulk and not headers.all("list-id", "list-post")),
        ("its sender's address takes no reply", takes_no_reply(mail)),
    )
    return next((reason for reason, is_there in signs if is_there), "")


def _sign_of_words(mail: MailPart, subject: str) -> str:
    """The words that show that a program wrote a mail, or ""."""
    words = " ".join(own_words(mail)[: 2 * _NOTE_LENGTH].split())
    if _SAYS_AUTOMATIC.search(words):
        return "it says so"
    if len(words) > _NOTE_LENGTH:
        return ""
    is_absent = _SAYS_ABSENT.search(words)
    if is_absent and (_ABSENCE.search(subject) or _BESIDE_ABSENCE.search(words)):
        return "a note that somebody is away"
    is_ticket = _TICKET.search(subject) and not _IS_REPLY.match(subject)
    if is_ticket and _SAYS_RECEIVED.search(words):
        return "it only says that a mail has arrived"
    return ""


# ---- complaints


def _complaint(mail: MailPart) -> Finding | None:
    if report := feedback_report(mail):
        kind = report.get("feedback-type")[:40].strip() or "abuse"
        who = first_address(report.get("original-rcpt-to") or report.get("removal-recipient"))
        who = who or next((first_address(headers.text("to")) for headers in returned(mail)), "")
    elif original := mail.headers.text("x-hmxmroriginalrecipient"):  # what Outlook.com sends
        kind, who = "abuse", first_address(original)
    else:
        return None
    return Finding(Kind.COMPLAINT, who or None, None, None, f"a feedback report: {kind}")


def feedback_report(mail: MailPart) -> Headers | None:
    """The fields of a mail's first feedback report (RFC 5965)."""
    for part in mail.own("message/feedback-report"):
        return read_headers(part.beginning(100_000).lstrip())
    return None


# ---- requests to unsubscribe

_ADDRESS = re.compile(
    r"^(?:unsub(?:scribe)?|leave|opt-?out|remove|abmelden)(?:[+._=-]|$)"
    r"|[+._-]unsub(?:scribe)?(?:[+._=-]|$)",
    re.IGNORECASE,
)
_UNSUBSCRIBE_SUBJECT = re.compile(
    r"^\s*(?:please )?"
    rf"(?:{alternatives('unsubscribe word')})(?:\s+(?:me|request))?\W*\S{{0,80}}$",
    re.IGNORECASE,
)
_ASKS = re.compile(
    rf"\W*(?:(?:{alternatives('before asking')})\W+)?"
    r"(?:(?:please|прошу|пожалуйста|bitte|merci de)\W+)?"
    rf"(?:{alternatives('asks to leave')})"
    r"\W*(?:(?:thank(?:s| you)|regards|спасибо|danke|merci)\b.{0,80})?\W*",
    re.IGNORECASE | re.DOTALL,
)


def _unsubscribe(mail: MailPart) -> Finding | None:
    """A request for no more letters; quoted words do not count."""
    words = own_words(mail)
    if _is_to_unsubscribe(mail):
        reason = "it was sent to the address for that"
    elif _UNSUBSCRIBE_SUBJECT.match(mail.headers.text("subject")[:300]) and len(words) < 200:
        reason = "its subject asks for it"
    elif words and len(words) < 300 and _ASKS.fullmatch(words):
        reason = "its own words ask for it"
    else:
        return None
    return Finding(Kind.UNSUBSCRIBE, _sender(mail), None, None, reason)


def _is_to_unsubscribe(mail: MailPart) -> bool:
    """Whether a mail was sent to an address that has no other purpose."""
    fields = mail.headers.all("to", "delivered-to", "x-original-to", "envelope-to")
    return any(
        _ADDRESS.search(one.rpartition("@")[0]) for text in fields for one in all_addresses(text)
    )
