"""What a server's reply means for one letter; replies of well-known providers.

A reply is judged by its place in the conversation (RFC 5321 4.3.2), its reply code (4.2) and, in a
few cases, its enhanced status code (RFC 3463). Why a server refused is asked of its words first
(refusals.txt): many say 550 5.7.1 or 5.0.0 of a user that they do not know, and 5.1.1 of a mailbox
that is full, or of a sender that they do not like.

Providers say the same thing in words that only their help pages explain: known_replies.toml.
"""

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from enum import Enum, StrEnum
from functools import cache, cached_property, lru_cache
from typing import NamedTuple, TypeAlias

from petition.campaign.text_file import packaged, packaged_toml

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


def scrub(line: bytes) -> str:
    """What a server sent, as one line of visible characters."""
    text = line.decode("utf-8", "replace").replace("\t", " ").replace("\N{NO-BREAK SPACE}", " ")
    if not text.isprintable():
        text = "".join(letter if letter.isprintable() else _UNSEEN for letter in text)
    return text.strip()


# By names of our own: looked up in its enum, a member takes ten times as long.
_SENT, _UNCERTAIN, _SERVER = Outcome.SENT, Outcome.UNCERTAIN, Scope.SERVER


class Verdict(NamedTuple):
    """What became of a letter, and why."""

    outcome: Outcome
    scope: Scope
    stage: Stage
    reason: str  # without a full stop, and without the text of the reply
    reply: Reply | None = None  # the one that decided

    def __str__(self) -> str:
        return f"{self.reason}: {self.reply}" if self.reply else self.reason

    @property
    def enhanced(self) -> str:
        """The enhanced status code of its reply; "": it has none."""
        return (self.reply and self.reply.enhanced) or ""

    @property
    def is_sent(self) -> bool:
        """Whether the server took the letter."""
        return self.outcome is _SENT

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
        return self.scope is _SERVER or self.outcome is _UNCERTAIN


# The state of a mailbox (RFC 3463 3.3), or too many recipients: of this letter alone.
_OF_MAILBOX = re.compile(r"[45]\.(?:2\.|5\.3$)")
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


def judge(stage: Stage, reply: Reply) -> Verdict | None:
    """What a reply means for the letter; None if the conversation goes on."""
    if reply.code in _AT[stage].hoped_for:
        return None
    if stage is Stage.DOT:
        return judge_dot(reply)
    if _is_about_server(stage, reply):
        reason = f"the server is not available {_AT[stage].where}"
        return Verdict(Outcome.RELEASED, Scope.SERVER, stage, reason, reply)
    return _refused(stage, reply) or lost(stage, Loss.GARBLED, reply)


_ACCEPTED = (_SENT, Scope.RECIPIENT, Stage.DOT, "the server accepted the letter")


def judge_dot(reply: Reply) -> Verdict:
    """What the reply to the final dot means for the letter."""
    if 200 <= reply.code <= 299:
        return Verdict(*_ACCEPTED, reply)
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
    if names_limit(reply.text) and not _OF_MAILBOX.match(reply.enhanced or ""):
        return True
    # At MAIL the server knows no recipient yet: a rate limit (Postfix's anvil) is meant for us.
    return stage is Stage.MAIL and reply.code < 500 and (reply.enhanced or "").startswith("4.7.")


class Phrases:
    """The patterns of a file, under headings `== name: explanation`."""

    def __init__(self, file: str) -> None:
        self._file = file

    @cached_property
    def sections(self) -> dict[str, str]:
        """The lines of each heading, in the order of the file."""
        _, *pieces = re.split(r"^== ([a-z ]+): .+$", packaged(self._file), flags=re.MULTILINE)
        return dict(zip(pieces[::2], pieces[1::2], strict=True))

    def alternatives(self, name: str) -> str:
        """The lines of a heading as alternatives of a pattern."""
        lines = (line for line in self.sections[name].split("\n") if line and line[:2] != "# ")
        text = "|".join(lines)
        return re.sub(r"<<([a-z ]+)>>", lambda it: f"(?:{self.alternatives(it[1])})", text)

    def pattern(self, name: str) -> re.Pattern[str]:
        """The pattern of a heading; `^` and `$` match at the ends of any line."""
        return re.compile(self.alternatives(name), re.IGNORECASE | re.MULTILINE)

    def finder(self, name: str) -> Callable[[str], bool]:
        """What tells whether a text has a pattern of a heading anywhere, in any case.

        It is several times as fast as `pattern`: without IGNORECASE an alternative is passed over
        by its first letter, and those that begin with a word share the search for one.
        """
        found = _top_level(self.alternatives(name))
        words = "|".join(one[2:] for one in found if one.startswith(r"\b"))
        others = "|".join(one for one in found if not one.startswith(r"\b"))
        texts = filter(None, (others, words and rf"\b(?:{words})"))
        searches = [re.compile(text, re.MULTILINE).search for text in texts]
        return lambda text: any(search(_lower(text)) for search in searches)


def _top_level(pattern: str) -> list[str]:
    """The alternatives of a pattern that are within no group."""
    found, depth = [""], 0
    for piece in re.findall(r"\\.|\[\^?\]?(?:\\.|[^\\\]])*\]|.", pattern, re.DOTALL):
        depth += (piece == "(") - (piece == ")")
        if piece == "|" and not depth:
            found.append("")
        else:
            found[-1] += piece
    return found


def _lower(text: str) -> str:
    # Python makes two letters of the Turkish capital.
    return text.replace("İ", "i").lower()


PHRASES = Phrases("smtp/refusals.txt")


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
    MEMBER = ("an address to which it was forwarded refused it", False)
    OTHER = ("refused", False)

    def __init__(self, words: str, is_permanent: bool) -> None:
        self.words = words
        self.is_permanent = is_permanent


UNSURE = frozenset({Cause.OTHER, Cause.EXPIRED, Cause.POLICY})
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
# Headings, compared in the order of the file; the first say more than the code.
_BY_WORDS = {
    "sender refused": Cause.SENDER,
    "sending limit": Cause.SENDER,
    "trouble": Cause.EXPIRED,
    "refused by choice": Cause.POLICY,
    "mailbox full": Cause.FULL,
    "too large": Cause.TOO_LARGE,
    "moved": Cause.MOVED,
    "closed": Cause.DISABLED,
    "unknown domain": Cause.UNKNOWN_DOMAIN,
    "unknown user": Cause.UNKNOWN_USER,
    "disabled": Cause.DISABLED,
}
# These say less than the code, and count only if it says nothing.
_BY_VAGUE_WORDS = {"loop": Cause.LOOP, "expired": Cause.EXPIRED, "policy": Cause.POLICY}
_ENHANCED_ANYWHERE = re.compile(r"(?<![\d.])([45]\.\d{1,3}\.\d{1,3})(?![\d.]*\d)")
_VAGUE_CODE = re.compile(r"[245]\.(?:0\.\d+|\d+\.0)")
_TO_ONE = re.compile(r"\bto (?:this|that|the same) (?:recipient|user|mail ?box|address)\b")
_OF_SENDING = re.compile(r"\b(?:sen[dt]|sending|sender|outgoing|outbound|you|your)\b")
_LENGTH = 6_000  # characters that are compared
_ADDRESS = r"(?<![\w@.+=-])<?([\w.+=-]{1,64}@(?:[\w-]{1,63}\.){1,8}[\w-]{2,63})>?"
_UNKNOWN_ONE = re.compile(  # with nothing between the address and what is said of it
    rf"{_ADDRESS}[:,;]?\.{{0,3}} (?:recipient (?:address )?rejected: )?(?:user|mailbox|recipient"
    rf"|account|address)(?: is)? (?:unknown|not found|does ?n[o']t exist)"
    rf"|\b(?:no such|unknown) (?:user|mailbox|recipient|account)(?: here)?:? {_ADDRESS}"
)


def cause_of(status: str, words: str, ours: Iterable[str] = ()) -> tuple[Cause, str | None]:
    """What a refusal means, and its enhanced status code if it names one.

    `status` is what a report gives beside the words, or "". `ours` are the sender's domains: if the
    words name one of them, it is the sender who is refused, unless they say of another address that
    it is unknown.
    """
    given = re.match(r"\s*([245]\.\d{1,3}\.\d{1,3})", status)
    said = _ENHANCED_ANYWHERE.findall(words[:_LENGTH])
    code = _first_clear([given[1], *said] if given else said)
    text = _one_line(words)
    clear, vague = _patterns()
    is_ours = names_domain(text, ours) and not _is_about_another(text, ours)
    cause = Cause.SENDER if is_ours else _by_words(text, clear)
    # A server that passes on what another one said may add a code of its own.
    cause = cause or _by_code(_first_clear(said)) or _by_code(code)
    is_temporary = code is not None and code.startswith("4.")
    if cause is None:
        cause = _by_words(text, vague) or (Cause.EXPIRED if is_temporary else Cause.OTHER)
    if cause.is_permanent and is_temporary and cause is not Cause.UNKNOWN_DOMAIN:
        # "Later" for days: the letter is lost, but the address may well exist.
        cause = Cause.EXPIRED
    return cause, code


def _is_about_another(text: str, ours: Iterable[str]) -> bool:
    """Whether a text says that an address is unknown which is not the sender's."""
    found = _UNKNOWN_ONE.search(text)
    return found is not None and not names_domain(found[1] or found[2], ours)


def names_domain(words: str, domains: Iterable[str]) -> bool:
    """Whether a text names one of some domains, by itself or in an address."""
    return any(_named(domain).search(words) for domain in domains)


def names_limit(words: str) -> bool:
    """Whether a server says that we send too much, and so would refuse the next letter too."""
    text = _one_line(words)
    if not _limit("sending limit")(text) or _TO_ONE.search(text):
        return False
    return not _limit("limit of a mailbox")(text) or bool(_OF_SENDING.search(text))


@cache
def _limit(whose: str) -> Callable[[str], bool]:
    return PHRASES.finder(whose)


def _first_clear(codes: list[str]) -> str | None:
    return next((one for one in codes if not _VAGUE_CODE.fullmatch(one)), next(iter(codes), None))


def _by_words(text: str, patterns: "_Patterns") -> Cause | None:
    return next((cause for finds, cause in patterns if finds(text)), None)


def _by_code(code: str | None) -> Cause | None:
    subject = code.partition(".")[2] if code else ""
    return _BY_CODE.get(subject, Cause.POLICY if subject.startswith("7.") else None)


def _one_line(words: str) -> str:
    return re.sub(r"\s+", " ", _lower(words))[:_LENGTH]


_Patterns: TypeAlias = list[tuple[Callable[[str], bool], Cause]]


@cache
def _patterns() -> tuple[_Patterns, _Patterns]:
    def of(headings: dict[str, Cause]) -> _Patterns:
        names = (name for name in PHRASES.sections if name in headings)
        return [(PHRASES.finder(name), headings[name]) for name in names]

    return of(_BY_WORDS), of(_BY_VAGUE_WORDS)


@lru_cache(maxsize=64)
def _named(domain: str) -> re.Pattern[str]:
    """A domain by itself, or with an address in it."""
    address = r"(?:[\w.+=-]{1,64}@(?:[\w-]{1,63}\.){0,4})?"
    return re.compile(
        rf"(?<![\w@.-]){address}{re.escape(domain.lower())}(?![\w-]|\.\w)", re.IGNORECASE
    )


NOBODY = "nobody receives it"  # in every reply of the sandbox, which is recognised by it
TOO_FAST = "Set a rate in [pace] below what the server allows"


class KnownReply(NamedTuple):
    """A well-known reply of a provider, and what to do about it (known_replies.toml)."""

    hint: str
    reply: str = ""
    host: str = ""
    of_host: str = ""
    of_password: bool = False

    def fits(self, host: str, reply: str) -> bool:
        """Whether a host said it."""
        is_its = self.host and re.search(rf"(^|\.)({self.host})$", host.lower())
        patterns = filter(None, (self.reply, self.of_host if is_its else ""))
        return any(re.search(pattern, reply, re.IGNORECASE) for pattern in patterns)


@cache
def known_replies() -> list[KnownReply]:
    """All of them, in their order."""
    return [KnownReply(**one) for one in packaged_toml("smtp/known_replies.toml")["replies"]]


def advice(host: str, reply: str, *, had_token: bool = False) -> str | None:
    """What to do about a well-known reply (code, enhanced status code, text) of a host, or None.

    A login that `had_token` gets no advice about passwords.
    """
    fitting = (one for one in known_replies() if not (had_token and one.of_password))
    known = next((one.hint for one in fitting if one.fits(host, reply)), None)
    return known or (TOO_FAST if names_limit(reply) else None)
