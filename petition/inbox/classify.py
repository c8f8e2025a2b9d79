"""What a mail is: bounce, delay, automatic reply, unsubscribe request, complaint or answer.

RFC 3834 gives Auto-Submitted; the other signs are what mail programs and ticket systems really
send. X-Auto-Response-Suppress is not a sign: people's own Outlook sends it too. Words alone must
give two signs: an answer that is taken for a program's goes unseen, which is worse than an
automatic reply that a person must classify.

A pure function of the mail's bytes: nothing is looked up, fetched, run or written.
"""

import re

from petition.inbox import REPLY_PREFIXES, Finding, Kind, alternatives, finder, pattern
from petition.inbox.bounce import bounce_of, has_null_sender, returned, takes_no_reply
from petition.inbox.own_words import own_words
from petition.mail_parser import (
    Headers,
    MailPart,
    SetAside,
    all_addresses,
    decoded_header,
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
    if found := _feedback(mail) or _domain_report(mail) or bounce_of(mail):
        return found
    found = None if _is_to_unsubscribe(mail) else _auto_reply(mail)
    found = found or _unsubscribe(mail) or _answer(mail)
    return found._replace(may_leave=found.kind is not Kind.UNSUBSCRIBE and _may_leave(mail))


def _answer(mail: MailPart) -> Finding:
    words = " ".join((_calendar_reply(mail) or _reaction(mail) or own_words(mail)).split())
    shown = words if len(words) <= _SHOWN else words[: _SHOWN - 1] + "…"
    shown = shown or f"it has no words of its own{_attached(mail)}"
    return Finding(Kind.ANSWER, _sender(mail), None, None, shown)


def _attached(mail: MailPart) -> str:
    """The files in which the words of a mail without any may be."""
    found = (decoded_header(part.parameters.get("name", "")) for part in mail.walk())
    names = [name for name in found if name.strip()][:5]
    return f"; attached: {', '.join(names)}" if names else ""


def _calendar_reply(mail: MailPart) -> str:
    """What a calendar answers to an invitation (RFC 5546 3.2.3), and the person's comment."""
    for part in mail.own("text/calendar"):
        lines = re.sub(r"\n[ \t]", "", part.text)
        status = re.search(r"^ATTENDEE[^\n]*PARTSTAT=(\w+)", lines, re.MULTILINE | re.IGNORECASE)
        if status and re.search(r"^METHOD:REPLY\b", lines, re.MULTILINE | re.IGNORECASE):
            comment = re.search(r"^COMMENT[^:\n]*:([^\n]*)", lines, re.MULTILINE | re.IGNORECASE)
            text = re.sub(r"\\[nN]", "\n", comment[1]) if comment else own_words(mail)
            said = re.sub(r"\\(.)", r"\1", text) if comment else text
            return f"{status[1].lower()} the invitation" + (f": {said}" if said.strip() else "")
    return ""


def _reaction(mail: MailPart) -> str:
    """The emoji that somebody reacted with, as Gmail sends it."""
    for part in mail.own("text/vnd.google.email-reaction+json"):
        text = part.beginning(1_000).decode("utf-8", "replace")
        found = re.search(r'"emoji"\s*:\s*"([^"]{1,40})"', text)
        return f"reacted with {found[1]}" if found else ""
    return ""


def _plain_words(mail: MailPart) -> str:
    """A person's own words, with the apostrophe of patterns.txt: phones write another one."""
    return own_words(mail).replace("’", "'")


def _sender(mail: MailPart) -> str | None:
    return first_address(mail.headers.text("from")) or None


# ---- automatic replies

_FIELDS = pattern("field of a program")
_VALUES = pattern("value of a program")
_DESK = re.compile(r"zendesk", re.IGNORECASE)
_TAG = r"^\s*(?:\[[^\]]{0,60}\]\s*)?\[?"  # a desk's number or a list's name before the subject
_AUTO_REPLY_SUBJECT = re.compile(
    rf"{_TAG}(?:{alternatives('answered by a program')})"
    r"|^(?!\s*re\s*:).{0,80}\b(?:is|am|are) (?:currently )?out of (?:the )?office"
    r"|^(?!\s*re\s*:).{0,200}\bout of office\b",
    re.IGNORECASE,
)
_ABSENCE = re.compile(rf"{_TAG}(?:{alternatives('absence')})", re.IGNORECASE)
_names_ticket = finder("ticket")
_IS_REPLY = re.compile(rf"\s*(?:{REPLY_PREFIXES}|tr)\s*:", re.IGNORECASE)
_says_absent = finder("says absent")
_fits_an_absence = finder("beside an absence")
_says_automatic = finder("says automatic")
_says_received = finder("says received")
_says_decided = finder("says decided")
_is_mail_server = finder("mail server")
_NAME_LENGTH = 80  # characters; no program writes longer names of fields
_NOTE_LENGTH = 1_500  # characters; such notes are short


def _auto_reply(mail: MailPart) -> Finding | None:
    subject, who = mail.headers.text("subject")[:500], _sender(mail)
    if reason := _sign_of_header(mail, subject) or _sign_of_words(mail, subject):
        return Finding(Kind.AUTO_REPLY, who, None, None, f"a program wrote it: {reason}")
    if who and _is_mail_server(who) and not _IS_REPLY.match(subject):
        # No person writes from there, and it may be a bounce in words that we do not know.
        reason = "it comes from a mail server, and does not say that a letter failed"
        return Finding(Kind.AUTO_REPLY, who, None, None, reason, is_notice=True)
    return None


def _sign_of_header(mail: MailPart, subject: str) -> str:
    """The header that shows that a program wrote a mail, in words, or ""."""
    headers = mail.headers
    submitted = headers.get("auto-submitted").strip().lower()
    is_generated = submitted.startswith(("auto-generated", "auto-notified"))
    if submitted and not submitted.startswith("no") and not is_generated:
        return f"Auto-Submitted: {submitted[:60]}"
    for name, value in headers.fields:
        is_off = value.strip().lower() in {"no", "false", "0"}
        if len(name) <= _NAME_LENGTH and not is_off and _FIELDS.fullmatch(name):
            return f"it has {name.title()}"
        if _VALUES.match(f"{name[:_NAME_LENGTH]}: {value[:200]}"):
            return f"{name.title()}: {value[:60]}"
    if _AUTO_REPLY_SUBJECT.search(subject):
        return "its subject"
    if has_null_sender(mail):
        return "an empty return path"
    reason = _sign_of_transport(mail, submitted if is_generated else "")
    return "" if reason and _is_carried_answer(mail, subject) else reason


def _sign_of_transport(mail: MailPart, submitted: str) -> str:
    """A header that a program writes, which may carry the words of a person."""
    headers, sender = mail.headers, (_sender(mail) or "").lower()
    precedence = headers.get("precedence").strip()
    is_bulk = precedence.lower() in {"bulk", "junk"}
    loop = first_address(headers.get("x-ms-exchange-inbox-rules-loop")).lower()
    is_rule = loop or "x-ms-exchange-generated-message-source" in headers
    # A rule of the mailbox that we read has passed the mail on.
    is_passed_on = "resent-from" in headers or loop not in {"", sender}
    signs = (
        (f"Auto-Submitted: {submitted[:60]}", submitted and not (is_rule and is_passed_on)),
        ("a rule of Exchange", is_rule and not is_passed_on),
        (f"X-Mailer: {headers.get('x-mailer')[:60]}", _DESK.search(headers.get("x-mailer")[:200])),
        (f"Precedence: {precedence}", is_bulk and not headers.all("list-id", "list-post")),
        ("its sender's address takes no reply", takes_no_reply(mail)),
    )
    return next((reason for reason, is_there in signs if is_there), "")


def _is_carried_answer(mail: MailPart, subject: str) -> bool:
    """Whether a mail answers ours in words that no acknowledgement uses: a desk carries them."""
    headers, is_unread = mail.headers, takes_no_reply(mail)
    # Casework systems begin a thread of their own, and say where an answer reaches the person.
    is_for_person = is_unread and first_address(headers.text("reply-to")) not in {"", _sender(mail)}
    is_reply = "in-reply-to" in headers or "references" in headers or _IS_REPLY.match(subject)
    words = " ".join(_plain_words(mail)[: 2 * _NOTE_LENGTH].split())
    if not words or (is_unread and not is_for_person):
        return False
    if _says_decided(words):
        return True
    if not (is_reply or is_for_person) or _says_automatic(words):
        return False
    return not (_says_received(words) or _says_absent(words))


def _sign_of_words(mail: MailPart, subject: str) -> str:
    """The words that show that a program wrote a mail, or ""."""
    words = " ".join(_plain_words(mail)[: 2 * _NOTE_LENGTH].split())
    if _says_decided(words):
        return ""
    if _says_automatic(words):
        return "it says so"
    if len(words) > _NOTE_LENGTH:
        return ""
    if _says_absent(words) and (_ABSENCE.search(subject) or _fits_an_absence(words)):
        return "a note that somebody is away"
    is_ticket = _names_ticket(subject) and not _IS_REPLY.match(subject)
    if is_ticket and _says_received(words):
        return "it only says that a mail has arrived"
    return ""


# ---- what providers report


# Feedback-Type (RFC 5965, 6430, 6591) of what says nothing against the letter or the person.
_ABOUT_DOMAIN = frozenset({"auth-failure", "dmarc", "virus"})
# receiver!domain!begin!end, as RFC 7489 7.2.1.1 names them
_REPORT_FILE = re.compile(r"[\w.-]{4,200}![\w.-]{4,200}!\d{9,12}!\d{9,12}\W")
_REPORT_SUBJECT = re.compile(
    r"\s*report domain:.{1,300}submitter:.{1,300}report-id:", re.IGNORECASE
)


def _feedback(mail: MailPart) -> Finding | None:
    """A report of a provider about a letter: most often, that somebody called it spam."""
    headers = [mail.headers, *returned(mail)]
    originals = (one.text("x-hmxmroriginalrecipient") for one in headers)  # what Outlook.com sends
    if report := feedback_report(mail):
        kind = report.get("feedback-type")[:40].strip().lower() or "abuse"
        who = first_address(report.get("original-rcpt-to") or report.get("removal-recipient"))
        who = who or next((first_address(one.text("to")) for one in headers[1:]), "")
    elif original := next(filter(None, originals), ""):
        kind, who = "abuse", first_address(original)
    else:
        return None
    reason = f"a feedback report: {kind}"
    if kind in _ABOUT_DOMAIN:
        return Finding(Kind.REPORT, _sender(mail), None, None, reason)
    if kind == "not-spam":  # somebody took the letter out of the junk folder
        return Finding(Kind.AUTO_REPLY, who or None, None, None, reason, is_notice=True)
    return Finding(Kind.COMPLAINT, who or None, None, None, reason)


def _domain_report(mail: MailPart) -> Finding | None:
    """What receivers report to the owner of a domain (RFC 9990 and 8460): DMARC, TLS."""
    files = (part.headers.get("content-disposition")[:500] for part in mail.walk())
    if (
        "tls-report-domain" in mail.headers
        or _REPORT_SUBJECT.match(mail.headers.text("subject")[:1_000])
        or any(map(_REPORT_FILE.search, files))
    ):
        return Finding(Kind.REPORT, _sender(mail), None, None, "a report about a domain")
    return None


def feedback_report(mail: MailPart) -> Headers | None:
    """The fields of a mail's first feedback report (RFC 5965)."""
    for part in mail.own("message/feedback-report"):
        return read_headers(part.beginning(100_000).lstrip())
    return None


# ---- requests to unsubscribe

_is_unsubscribe_address = finder("unsubscribe address")
_UNSUBSCRIBE_SUBJECT = pattern("unsubscribe subject")
_ASKS = pattern("unsubscribe request")
_may_ask_to_leave = finder("may ask to leave")
_MAY_ASK_LENGTH = 5_000  # characters that are searched for it
# What gateways and replies put before a subject: [EXT], ***SPAM***, Re:
_BEFORE_SUBJECT = re.compile(
    r"^(?:\s*(?:[\[{][^\]}]{0,40}[\]}]|\*{2,5}[\w -]{1,30}\*{2,5}"
    r"|(?:re|fwd?|aw|wg|sv|antw|отв|rif|rv|odp|vs"
    r"|(?:suspected )?spam|(?:caution - )?external)\s*:))+\s*",
    re.IGNORECASE,
)


def _unsubscribe(mail: MailPart) -> Finding | None:
    """A request for no more letters; quoted words do not count."""
    words = _plain_words(mail)
    subject = mail.headers.text("subject")[:300]
    bare = _BEFORE_SUBJECT.sub("", subject)
    if _is_to_unsubscribe(mail):
        reason = "it was sent to the address for that"
    elif _UNSUBSCRIBE_SUBJECT.match(bare) and (len(words) < 200 if bare == subject else not words):
        reason = "its subject asks for it"
    elif _ASKS.fullmatch(words or bare) and len(words) < 300:
        reason = "its own words ask for it"
    else:
        return None
    return Finding(Kind.UNSUBSCRIBE, _sender(mail), None, None, reason)


def _may_leave(mail: MailPart) -> bool:
    """Whether somebody may ask for no more letters; then a person must decide."""
    subject = mail.headers.text("subject")[:300]
    subject = "" if _IS_REPLY.match(subject) else subject  # then it is that of the letter
    return _may_ask_to_leave(f"{subject}\n{_plain_words(mail)[:_MAY_ASK_LENGTH]}")


def _is_to_unsubscribe(mail: MailPart) -> bool:
    """Whether a mail was sent to an address that has no other purpose."""
    fields = mail.headers.all("to", "delivered-to", "x-original-to", "envelope-to")
    return any(
        _is_unsubscribe_address(one.rpartition("@")[0])
        for text in fields
        for one in all_addresses(text)
    )
