"""What a server's reply means for one letter; replies of well-known providers.

A reply is judged by its place in the conversation (RFC 5321 4.3.2), its reply code (4.2) and, in a
few cases, its enhanced status code (RFC 3463).

Providers say the same thing in words that only their help pages explain: known_replies.toml.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import cache
from typing import NamedTuple

from petition.campaign.text_file import packaged_toml
from petition.smtp.refusals import names_limit

TEXT_LIMIT = 500  # characters of a reply that are kept

_ENHANCED = re.compile(r"([245])\.(\d{1,3})\.(\d{1,3})(?=\s|$)", re.ASCII)
_UNSEEN = "\N{REPLACEMENT CHARACTER}"
# A character can take four bytes; the rest is for codes and blanks that are removed.
_BYTES_LIMIT = 8 * TEXT_LIMIT


class Stage(StrEnum):
    """A stage of the conversation with a server."""

    GREETING = "greeting"  # connecting, until the server says 220
    EHLO = "ehlo"
    STARTTLS = "starttls"
    AUTH = "auth"
    MAIL = "mail"  # MAIL FROM, and the time between two letters
    RCPT = "rcpt"
    DATA = "data"  # DATA was sent, and nothing of the body
    BODY = "body"  # the body is on its way, the final dot is not
    DOT = "dot"  # the final dot may have reached the server


class Outcome(StrEnum):
    """What became of a letter."""

    SENT = "sent"  # the server accepted responsibility (RFC 5321 4.2.5)
    DEFERRED = "deferred"  # refused for now
    FAILED = "failed"  # refused for good
    RELEASED = "released"  # not sent, and not because of the letter: no attempt is charged
    UNCERTAIN = "uncertain"  # the dot was on its way and no reply came


class Scope(StrEnum):
    """What a failure concerns; RECIPIENT for a letter that was sent."""

    RECIPIENT = "recipient"  # only this letter
    MESSAGE = "message"  # perhaps every letter of the run
    SERVER = "server"  # every letter; the connection is closed


class Loss(StrEnum):
    """How a conversation ended without a usable reply; the value is the text for people."""

    DROPPED = "the connection was lost"
    SILENT = "the server did not reply in time"
    GARBLED = "the server sent something that is not an SMTP reply"
    OUT_OF_STEP = "the server sent an unexpected reply"


@dataclass(frozen=True, slots=True)
class Reply:
    """A server's reply, safe to show and to store."""

    code: int  # 100 to 599
    enhanced: str | None  # the enhanced status code (RFC 2034), if it has the class of the code
    text: str  # all lines, without codes and control characters, at most TEXT_LIMIT characters

    @classmethod
    def of(cls, code: int, lines: Sequence[bytes]) -> "Reply":
        """A reply from what the server sent: its code, and the text of each line."""
        shown = [scrub(line) for line in b"\n".join(lines)[:_BYTES_LIMIT].split(b"\n")]
        found = _ENHANCED.match(shown[0])
        enhanced = found.group() if found and found.group(1) == str(code)[0] else None
        if enhanced:
            # RFC 2034 3: every line of a reply repeats the code.
            shown = [line.removeprefix(enhanced).strip() for line in shown]
        return cls(code, enhanced, " ".join(filter(None, shown))[:TEXT_LIMIT])

    def __str__(self) -> str:
        return " ".join(filter(None, (str(self.code), self.enhanced, self.text)))


@dataclass(frozen=True, slots=True)
class Verdict:
    """What became of a letter, and why."""

    outcome: Outcome
    scope: Scope
    stage: Stage
    reason: str  # without a full stop, and without the text of the reply
    reply: Reply | None = None  # the one that decided

    def __str__(self) -> str:
        return f"{self.reason}: {self.reply}" if self.reply else self.reason

    @property
    def is_refusal(self) -> bool:
        """Whether the server refused."""
        return self.reply is not None and 400 <= self.reply.code <= 599

    @property
    def may_be_about_pipelining(self) -> bool:
        """Whether the server may have refused pipelined commands, and not the letter.

        503 and 5.5.1 mean that commands are out of sequence. 500 and 502 come when the server
        dropped the beginning of the commands and read the rest later.
        """
        reply = self.reply
        return reply is not None and (
            reply.code in {500, 502, 503} or (self.is_refusal and reply.enhanced == "5.5.1")
        )

    @property
    def ends_connection(self) -> bool:
        """Whether its connection must not be used any more."""
        return self.scope is Scope.SERVER or self.outcome is Outcome.UNCERTAIN


def judge(stage: Stage, reply: Reply) -> Verdict | None:
    """What a reply means for the letter; None if the conversation goes on."""
    if stage is Stage.DOT:
        return judge_dot(reply)
    if reply.code in _AT[stage].hoped_for:
        return None
    if _is_about_server(stage, reply):
        reason = f"the server is not available {_AT[stage].where}"
        return Verdict(Outcome.RELEASED, Scope.SERVER, stage, reason, reply)
    return _refused(stage, reply) or lost(stage, Loss.GARBLED, reply)


def judge_dot(reply: Reply) -> Verdict:
    """What the reply to the final dot means for the letter."""
    if 200 <= reply.code <= 299:
        reason = "the server accepted the letter"
        return Verdict(Outcome.SENT, Scope.RECIPIENT, Stage.DOT, reason, reply)
    if reply.code != 421 and _is_about_server(Stage.DOT, reply):
        # A refusal is certain even here: the letter was not accepted and can go another day.
        reason = f"the server is not available {_AT[Stage.DOT].where}"
        return Verdict(Outcome.RELEASED, Scope.SERVER, Stage.DOT, reason, reply)
    return _refused(Stage.DOT, reply) or lost(Stage.DOT, Loss.GARBLED, reply)


def lost(stage: Stage, loss: Loss = Loss.DROPPED, reply: Reply | None = None) -> Verdict:
    """The verdict on a letter without a usable reply."""
    # Only after the dot can the server have accepted the letter (RFC 5321 4.2.5, RFC 1047).
    outcome = Outcome.UNCERTAIN if stage is Stage.DOT else Outcome.RELEASED
    return Verdict(outcome, Scope.SERVER, stage, f"{loss} {_AT[stage].where}", reply)


def unsendable(scope: Scope, reason: str) -> Verdict:
    """The verdict on a letter that this server cannot accept, before anything is sent to it."""
    return Verdict(Outcome.FAILED, scope, Stage.MAIL, reason)


def withheld(reason: str) -> Verdict:
    """The verdict on a letter that we stopped before its body."""
    return Verdict(Outcome.RELEASED, Scope.RECIPIENT, Stage.DATA, reason)


def _refused(stage: Stage, reply: Reply) -> Verdict | None:
    if not 400 <= reply.code <= 599:
        return None
    outcome = Outcome.DEFERRED if reply.code < 500 else Outcome.FAILED
    scope = Scope.RECIPIENT if stage is Stage.RCPT else Scope.MESSAGE
    if reply.code == 421:  # only the dot gets here; the server closes the connection
        scope = Scope.SERVER
    return Verdict(outcome, scope, stage, f"the server refused {_AT[stage].what}", reply)


def _is_about_server(stage: Stage, reply: Reply) -> bool:
    """Whether every other letter would get the same reply."""
    if stage in _BEFORE_LETTERS or reply.code == 421:
        return True
    # 530: a login or TLS is required first (RFC 4954 6, RFC 3207 4). 5.4.5: the daily limit of the
    # account is reached (Gmail, in reply to RCPT, DATA or the dot).
    if reply.code == 530 or (reply.code >= 500 and reply.enhanced == "5.4.5"):
        return True
    if names_limit(reply.text) and reply.enhanced not in _OF_MAILBOX:
        return True
    # At MAIL the server knows no recipient yet: a rate limit (Postfix's anvil) is meant for us.
    return stage is Stage.MAIL and reply.code < 500 and (reply.enhanced or "").startswith("4.7.")


def scrub(line: bytes) -> str:
    """What a server sent, as one line of visible characters."""
    text = line.decode("utf-8", "replace").replace("\t", " ").replace("\N{NO-BREAK SPACE}", " ")
    if not text.isprintable():
        text = "".join(letter if letter.isprintable() else _UNSEEN for letter in text)
    return text.strip()


_OF_MAILBOX = frozenset({"4.2.1", "4.2.2", "5.2.2", "4.5.3", "5.5.3"})  # of this letter alone
_BEFORE_LETTERS = frozenset({Stage.GREETING, Stage.EHLO, Stage.STARTTLS, Stage.AUTH})

_ANY_2XX = range(200, 300)


class _Place(NamedTuple):
    where: str
    hoped_for: Sequence[int] = ()
    what: str = ""  # is refused there


_AT = {
    Stage.GREETING: _Place("before its greeting", (220,)),
    Stage.EHLO: _Place("at EHLO", (250,)),
    Stage.STARTTLS: _Place("at STARTTLS", (220,)),
    Stage.AUTH: _Place("at the login", (235, 334)),
    Stage.MAIL: _Place("at MAIL FROM", _ANY_2XX, "the sender"),
    Stage.RCPT: _Place("at RCPT TO", _ANY_2XX, "the recipient"),
    Stage.DATA: _Place("at DATA", (354,), "to accept a letter"),
    Stage.BODY: _Place("in the middle of the letter", (), "the letter before its end"),
    Stage.DOT: _Place("after the final dot", (), "the letter"),
}


NOBODY = "nobody receives it"  # in every reply of the sandbox, which is recognised by it


class KnownReply(NamedTuple):
    """A well-known reply of a provider, and what to do about it (known_replies.toml)."""

    hint: str
    reply: str = ""
    host: str = ""
    of_host: str = ""

    def fits(self, host: str, reply: str) -> bool:
        """Whether a host said it."""
        is_its = self.host and re.search(rf"(^|\.)({self.host})$", host.lower())
        patterns = filter(None, (self.reply, self.of_host if is_its else ""))
        return any(re.search(pattern, reply, re.IGNORECASE) for pattern in patterns)


@cache
def known_replies() -> list[KnownReply]:
    """All of them, in their order."""
    return [KnownReply(**one) for one in packaged_toml("smtp/known_replies.toml")["replies"]]


TOO_FAST = "Set a rate in [pace] below what the server allows"


def advice(host: str, reply: str) -> str | None:
    """What to do about a well-known reply (code, enhanced status code, text) of a host, or None."""
    known = next((known.hint for known in known_replies() if known.fits(host, reply)), None)
    return known or (TOO_FAST if names_limit(reply) else None)
