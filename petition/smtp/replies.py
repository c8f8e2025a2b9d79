"""From a server's reply to a verdict on one letter; replies of well-known providers.

A reply is judged by where in the conversation it came (RFC 5321 4.3.2), by its reply code (4.2)
and, in few cases, by its enhanced status code (RFC 3463).

Providers say the same thing in words that only their own help pages explain. Each row of the table
is a reply as the provider gives it (docs/providers.md names where it is told of).
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

TEXT_LIMIT = 500  # characters of a reply that are kept

_ENHANCED = re.compile(r"([245])\.(\d{1,3})\.(\d{1,3})(?=\s|$)", re.ASCII)
_UNSEEN = "\N{REPLACEMENT CHARACTER}"
# One character can take four bytes; the rest allows for codes and blanks that are taken away.
_BYTES_LIMIT = 8 * TEXT_LIMIT


class Stage(StrEnum):
    """Where in the conversation with a server something happened."""

    GREETING = "greeting"  # the connection is made and the server has not yet said 220
    EHLO = "ehlo"
    STARTTLS = "starttls"
    AUTH = "auth"
    MAIL = "mail"  # MAIL FROM, and the time between two letters
    RCPT = "rcpt"
    DATA = "data"  # DATA was sent; 354 may have come and the body has not begun
    BODY = "body"  # the body is on its way, the final dot is not
    DOT = "dot"  # the final dot may have reached the server


class Outcome(StrEnum):
    """What became of a letter."""

    SENT = "sent"  # the server took responsibility (RFC 5321 4.2.5)
    DEFERRED = "deferred"  # refused for now
    FAILED = "failed"  # refused for good
    RELEASED = "released"  # not sent, through no fault of the letter: no attempt is charged
    UNCERTAIN = "uncertain"  # the dot was on its way and no answer came


class Scope(StrEnum):
    """Whose trouble it is; of a letter that was sent, no more than its recipient's."""

    RECIPIENT = "recipient"  # ends this letter
    MESSAGE = "message"  # may befall every letter of the run
    SERVER = "server"  # befalls every letter; the connection is closed


class Loss(StrEnum):
    """How a conversation ended without a reply that could be judged; the value is what to say."""

    DROPPED = "the connection was lost"
    SILENT = "the server stayed silent"
    GARBLED = "the server sent what is no SMTP reply"
    OUT_OF_STEP = "the server sent a reply that nothing had asked for"


@dataclass(frozen=True, slots=True)
class Reply:
    """A server's reply, fit to be shown and kept.

    Args:
        code: The reply code, 100 to 599.
        enhanced: The enhanced status code (RFC 2034), if there is one of the code's own class.
        text: All lines joined by a blank, without codes and control characters, at most 500
            characters.
    """

    code: int
    enhanced: str | None
    text: str

    @classmethod
    def of(cls, code: int, lines: Sequence[bytes]) -> "Reply":
        """Make a reply of what the server sent.

        Args:
            code: The reply code.
            lines: The text of each line, whatever it holds.
        """
        shown = [scrub(line) for line in _first_bytes(lines)]
        found = _ENHANCED.match(shown[0]) if shown else None
        enhanced = found.group() if found and found.group(1) == str(code)[0] else None
        if enhanced:
            # RFC 2034 3: every line of a reply repeats the code.
            shown = [line.removeprefix(enhanced).strip() for line in shown]
        return cls(code, enhanced, " ".join(filter(None, shown))[:TEXT_LIMIT])

    def __str__(self) -> str:
        return " ".join(filter(None, (str(self.code), self.enhanced, self.text)))


@dataclass(frozen=True, slots=True)
class Verdict:
    """What became of a letter, and why.

    Args:
        outcome: What became of it.
        scope: Whose trouble it is.
        stage: Where the conversation stood.
        reason: In words, without a full stop; the reply's text is not in it.
        reply: The server's reply, where one decided.
    """

    outcome: Outcome
    scope: Scope
    stage: Stage
    reason: str
    reply: Reply | None = None

    def __str__(self) -> str:
        return f"{self.reason}: {self.reply}" if self.reply else self.reason

    @property
    def is_refusal(self) -> bool:
        """Whether the server said no, in words that fit the question."""
        return self.reply is not None and 400 <= self.reply.code <= 599

    @property
    def may_be_about_pipelining(self) -> bool:
        """Whether the server may mean how the commands came, and neither letter nor recipient.

        503 and 5.5.1 are commands out of sequence. 500 is said where the beginning of the first
        command was thrown away and its rest came later.
        """
        reply = self.reply
        return reply is not None and (
            reply.code in {500, 503} or (self.is_refusal and reply.enhanced == "5.5.1")
        )

    @property
    def ends_connection(self) -> bool:
        """Whether nothing more may be said on the connection it came from."""
        return self.scope is Scope.SERVER or self.outcome is Outcome.UNCERTAIN


def judge(stage: Stage, reply: Reply) -> Verdict | None:
    """What a reply means for the letter."""
    if stage is Stage.DOT:
        return judge_dot(reply)
    if reply.code in _HOPED_FOR[stage]:
        return None
    if _is_about_server(stage, reply):
        reason = f"the server is not at our service {_WHERE[stage]}"
        return Verdict(Outcome.RELEASED, Scope.SERVER, stage, reason, reply)
    return _refused(stage, reply) or lost(stage, Loss.GARBLED, reply)


def judge_dot(reply: Reply) -> Verdict:
    """What the reply to the final dot means for the letter."""
    if 200 <= reply.code <= 299:
        reason = "the server took the letter"
        return Verdict(Outcome.SENT, Scope.RECIPIENT, Stage.DOT, reason, reply)
    if reply.code != 421 and _is_about_server(Stage.DOT, reply):
        # A refusal is certain even here: the letter was not taken and may go another day.
        reason = f"the server is not at our service {_WHERE[Stage.DOT]}"
        return Verdict(Outcome.RELEASED, Scope.SERVER, Stage.DOT, reason, reply)
    return _refused(Stage.DOT, reply) or lost(Stage.DOT, Loss.GARBLED, reply)


def lost(stage: Stage, loss: Loss = Loss.DROPPED, reply: Reply | None = None) -> Verdict:
    """What it means that no reply came which could be judged."""
    # Only after the dot can the server have taken the letter (RFC 5321 4.2.5, RFC 1047).
    outcome = Outcome.UNCERTAIN if stage is Stage.DOT else Outcome.RELEASED
    return Verdict(outcome, Scope.SERVER, stage, f"{loss} {_WHERE[stage]}", reply)


def unsendable(scope: Scope, reason: str) -> Verdict:
    """The verdict on a letter that this server cannot take, so that nothing was said to it."""
    return Verdict(Outcome.FAILED, scope, Stage.MAIL, reason)


def withheld(reason: str) -> Verdict:
    """The verdict on a letter that was stopped on our side before its body."""
    return Verdict(Outcome.RELEASED, Scope.RECIPIENT, Stage.DATA, reason)


def _refused(stage: Stage, reply: Reply) -> Verdict | None:
    if not 400 <= reply.code <= 599:
        return None
    outcome = Outcome.DEFERRED if reply.code < 500 else Outcome.FAILED
    scope = Scope.RECIPIENT if stage is Stage.RCPT else Scope.MESSAGE
    if reply.code == 421:  # only the dot gets here; the server closes the connection
        scope = Scope.SERVER
    return Verdict(outcome, scope, stage, f"the server refused {_WHAT[stage]}", reply)


def _is_about_server(stage: Stage, reply: Reply) -> bool:
    """Whether every other letter would have got the same reply."""
    if stage in _BEFORE_LETTERS or reply.code == 421:
        return True
    # 530: it wants a login or TLS first (RFC 4954 6, RFC 3207 4). 5.4.5: the login's daily limit
    # is reached (Gmail, which says so in reply to RCPT, DATA or the dot).
    if reply.code == 530 or (reply.code >= 500 and reply.enhanced == "5.4.5"):
        return True
    # Of MAIL the server knows no recipient yet: "not so fast" (Postfix's anvil) is meant for us.
    return stage is Stage.MAIL and reply.code < 500 and (reply.enhanced or "").startswith("4.7.")


def _first_bytes(lines: Sequence[bytes]) -> list[bytes]:
    kept: list[bytes] = []
    left = _BYTES_LIMIT
    for line in lines:
        if left <= 0:
            break
        kept.append(line[:left])
        left -= len(line) + 1
    return kept


def scrub(line: bytes) -> str:
    """What a server sent, as text that can be shown: one line, every character of it visible."""
    text = line.decode("utf-8", "replace").replace("\t", " ").replace("\N{NO-BREAK SPACE}", " ")
    if not text.isprintable():
        text = "".join(letter if letter.isprintable() else _UNSEEN for letter in text)
    return text.strip()


_BEFORE_LETTERS = frozenset({Stage.GREETING, Stage.EHLO, Stage.STARTTLS, Stage.AUTH})

_ANY_2XX = range(200, 300)
_HOPED_FOR: dict[Stage, Sequence[int]] = {
    Stage.GREETING: (220,),
    Stage.EHLO: (250,),
    Stage.STARTTLS: (220,),
    Stage.AUTH: (235, 334),
    Stage.MAIL: _ANY_2XX,
    Stage.RCPT: _ANY_2XX,
    Stage.DATA: (354,),
    Stage.BODY: (),
}
_WHERE = {
    Stage.GREETING: "before its greeting",
    Stage.EHLO: "at EHLO",
    Stage.STARTTLS: "at STARTTLS",
    Stage.AUTH: "at the login",
    Stage.MAIL: "at MAIL FROM",
    Stage.RCPT: "at RCPT TO",
    Stage.DATA: "at DATA",
    Stage.BODY: "in the middle of the letter",
    Stage.DOT: "after the final dot",
}
_WHAT = {
    Stage.MAIL: "the sender",
    Stage.RCPT: "the recipient",
    Stage.DATA: "to take a letter",
    Stage.BODY: "the letter before its end",
    Stage.DOT: "the letter",
}


NOBODY = "nobody receives it"  # how the sandbox answers for every letter, and is known by

_GMAIL = (
    "Gmail wants an app password here: turn on 2-Step Verification, make an app password at"
    " https://myaccount.google.com/apppasswords and use it in place of the account's own"
)
_MICROSOFT_SWITCH = (
    "Authenticated SMTP is switched off: an administrator of the organisation turns it on for this"
    " mailbox (Microsoft 365 admin centre, Active users, Mail, Manage email apps)"
)
_MICROSOFT_OAUTH = (
    'Microsoft takes no password here: set auth = "xoauth2" and a token_command in [smtp]; an app'
    " password does not help"
)
_MICROSOFT_POLICY = (
    "A policy of the organisation stopped the login: ask an administrator about security defaults"
    ' and conditional access for this mailbox, or set auth = "xoauth2" and a token_command'
)
_MICROSOFT_CREDENTIALS = (
    "Use the mailbox's full address and its own password or token. If they are right,"
    " an administrator has to allow Authenticated SMTP for this mailbox"
)
_YAHOO = (
    "Yahoo wants an app password here: make one under Account security, Generate app password,"
    " and wait an hour if there were many attempts"
)
_SES_CREDENTIALS = (
    "Use the SMTP credentials that the SES console makes, not an AWS access key; they are good for"
    " one region, so host must be that region's"
)
_SES_UNVERIFIED = (
    "Verify the From address or its domain in the SES console, in the region that host names; while"
    " the account is in the SES sandbox every recipient must be verified too"
)
_SES_QUOTA = "Set rate and per_day in [pace] to what the SES console shows for the account"
_MAILGUN_CREDENTIALS = (
    "Use the SMTP credentials of the sending domain (Mailgun, Sending, Domain settings), not an API"
    " key; a domain in the EU needs host = smtp.eu.mailgun.org"
)
_POSTMARK_CREDENTIALS = (
    "Use the SMTP token of the message stream, its access key as username and its secret key as"
    " password, or the server API token as both"
)
_FASTMAIL = (
    "Fastmail wants an app password here: make one under Settings, Privacy & Security, with access"
    " to SMTP, and use the account's full address as username"
)
_ENCRYPT_FIRST = 'Set security = "starttls" with port 587, or "tls" with port 465, in [smtp]'
_DAILY_LIMIT = "Set per_day in [pace] to the provider's limit and go on in 24 hours"
_TOO_FAST = "Set a rate in [pace] below what the server allows"


@dataclass(frozen=True, slots=True)
class KnownReply:
    """A reply that a provider is known for.

    Args:
        host: A pattern for the end of the server's name; "" for any.
        reply: A pattern for the reply: code, enhanced status code, text.
        hint: What to do, a sentence without its full stop.
    """

    host: str
    reply: str
    hint: str


# The first that fits counts.
KNOWN = (
    KnownReply("", r"534 5\.7\.9 .*application-specific password", _GMAIL),
    KnownReply("", r"53[45] 5\.7\.(8|14) .*(support\.google|accounts\.google)", _GMAIL),
    KnownReply(r"gmail\.com", r"53[45] ", _GMAIL),
    KnownReply("", r"daily .*(limit|quota)", _DAILY_LIMIT),
    KnownReply("", r"535 5\.7\.139 .*SmtpClientAuthentication is disabled", _MICROSOFT_SWITCH),
    KnownReply("", r"535 5\.7\.139 .*basic authentication is disabled", _MICROSOFT_OAUTH),
    KnownReply("", r"535 5\.7\.139 .*(locked by|criteria|policy)", _MICROSOFT_POLICY),
    KnownReply("", r"535 5\.7\.(139|3) .*authentication unsuccessful", _MICROSOFT_CREDENTIALS),
    KnownReply("", r"client not authenticated to send mail", _MICROSOFT_CREDENTIALS),
    KnownReply("", r"535 .*#(AUTH|MBR)\d+", _YAHOO),
    KnownReply(r"yahoo\.com", r"535 ", _YAHOO),
    KnownReply("", r"535 authentication credentials invalid", _SES_CREDENTIALS),
    KnownReply(r"amazonaws\.com", r"535 ", _SES_CREDENTIALS),
    KnownReply("", r"address(es)? (is|are) not verified", _SES_UNVERIFIED),
    KnownReply("", r"throttling failure", _SES_QUOTA),
    KnownReply("", r"535 .*mailgun is not loving", _MAILGUN_CREDENTIALS),
    KnownReply(r"mailgun\.org", r"535 ", _MAILGUN_CREDENTIALS),
    KnownReply(r"postmarkapp\.com", r"535 ", _POSTMARK_CREDENTIALS),
    KnownReply(r"(fastmail|messagingengine)\.com", r"535 ", _FASTMAIL),
    KnownReply("", r"too (much|many) (mail|messages)|rate limit", _TOO_FAST),
    KnownReply("", r"53[08] .*(starttls|encryption required)", _ENCRYPT_FIRST),
)


def advice(host: str, reply: str) -> str | None:
    """What to do about a reply, where it is a well-known one.

    Args:
        host: The server's name.
        reply: The reply as it is shown: code, enhanced status code, text.

    Returns:
        A sentence without its full stop, or None.
    """
    for known in KNOWN:
        is_host = re.search(rf"(^|\.)({known.host})$", host.lower()) if known.host else True
        if is_host and re.search(known.reply, reply, re.IGNORECASE):
            return known.hint
    return None
