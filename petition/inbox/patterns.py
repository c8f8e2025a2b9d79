"""The patterns of patterns.txt, and what a refusal means by its words and codes.

The words of the server come before its codes: many say 550 5.7.1 or 5.0.0 of a user that they do
not know, and 5.1.1 of a mailbox that is full. Only what says that there is no such address is
permanent; whatever nobody can be sure of is not.
"""

import re
from dataclasses import dataclass
from enum import Enum, StrEnum
from functools import cache
from importlib.resources import files
from typing import NamedTuple


class Kind(StrEnum):
    """What came back."""

    BOUNCE = "bounce"  # the letter was not delivered, and nobody tries any more
    DELAY = "delay"  # it was not delivered yet
    AUTO_REPLY = "auto-reply"  # a program wrote it: out of office, received, delivered, read
    UNSUBSCRIBE = "unsubscribe"  # a person wants no more letters
    COMPLAINT = "complaint"  # a person called the letter spam (RFC 5965)
    ANSWER = "answer"  # a person wrote


@dataclass(frozen=True, slots=True)
class Finding:
    """What one mail is.

    Args:
        kind: What came back; None: the mail was set aside.
        recipient: For whom: whom the letter did not reach, or who writes, as the mail says.
        status: The enhanced status code (RFC 3463) of a bounce or delay, where it names one.
        permanent: Whether a bounce says that there is no such address; None where it is none.
        reason: Why it was taken for that.
        is_notice: Whether it only says that the letter was delivered or opened.
    """

    kind: Kind | None
    recipient: str | None
    status: str | None
    permanent: bool | None
    reason: str
    is_notice: bool = False


_HEADING = re.compile(r"^== ([a-z ]+): .+$", re.MULTILINE)


def pattern(name: str) -> re.Pattern[str]:
    """The pattern of a heading; `^` and `$` are the ends of any line.

    Args:
        name: The heading.
    """
    return re.compile(alternatives(name), re.IGNORECASE | re.MULTILINE)


@cache
def alternatives(name: str) -> str:
    """What stands behind a heading, as alternatives of a pattern."""
    lines = (line for line in _sections()[name].split("\n") if line)
    return re.sub(r"<<([a-z ]+)>>", _group, "|".join(lines))


def _group(found: re.Match[str]) -> str:
    return f"(?:{alternatives(found[1])})"


@cache
def _sections() -> dict[str, str]:
    text = (files("petition.inbox") / "patterns.txt").read_text(encoding="utf-8")
    _, *pieces = _HEADING.split(text)
    return dict(zip(pieces[::2], pieces[1::2], strict=True))


class Cause(Enum):
    """Why a letter came back: in words, and whether the address will never work."""

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

    @property
    def words(self) -> str:
        """The cause in words."""
        return self.value[0]

    @property
    def is_permanent(self) -> bool:
        """Whether no letter will ever arrive at this address."""
        return self.value[1]


class BounceVerdict(NamedTuple):
    """What a refusal means, and the enhanced status code (RFC 3463) where one was named."""

    cause: Cause
    status: str | None


def judge(status: str, words: str) -> BounceVerdict:
    """What a refusal means."""
    code = _best_code(status, words)
    text = re.sub(r"\s+", " ", words.lower())[:6_000]
    cause = next((cause for pattern, cause in _STRONG if pattern.search(text)), None)
    if cause is None:
        cause = _by_code(code)
    if cause is None:
        cause = next((cause for pattern, cause in _WEAK if pattern.search(text)), None)
    if cause is None:
        cause = _by_class(code)
    if cause.is_permanent and code and code.startswith("4.") and cause is not Cause.UNKNOWN_DOMAIN:
        # Refused for days with "later": the letter is lost, and the address may well be there.
        cause = Cause.EXPIRED
    return BounceVerdict(cause, code)


def has_refusal(words: str) -> bool:
    """Whether a text holds a server's refusal: a reply code with what was said."""
    return _REPLY.search(words) is not None


_REPLY = re.compile(
    r"(?:^|[\s:;(\[<>'\"#,-])(?:[45]\d\d)[ -](?:#|\(#)?([245]\.\d{1,3}\.\d{1,3})\b"
    r"|\b(?:smtp|said|error|code|status|response)[^\n]{0,40}?\b[45]\d\d\b[ -]"
    r"|^[^\S\n]*(?:<[^>\n]{0,320}>:? )?[45]\d\d[ -]",
    re.IGNORECASE | re.MULTILINE,
)
_ENHANCED = re.compile(r"(?<![\d.])([45]\.\d{1,3}\.\d{1,3})(?![\d.]*\d)")
_VAGUE = re.compile(r"[245]\.(?:0\.\d+|\d+\.0)")


def _best_code(status: str, words: str) -> str | None:
    given = re.match(r"\s*([245]\.\d{1,3}\.\d{1,3})", status)
    code = given[1] if given else None
    if code and not _VAGUE.fullmatch(code):
        return code
    for found in _ENHANCED.findall(words[:6_000]):
        if not _VAGUE.fullmatch(found):
            return str(found)
    if code:
        return code
    named = _ENHANCED.search(words[:6_000])
    return named[1] if named else None


def _by_code(code: str | None) -> Cause | None:
    if code is None:
        return None
    subject = code.partition(".")[2]
    if subject in _BY_CODE:
        return _BY_CODE[subject]
    return Cause.POLICY if subject.startswith("7.") else None


def _by_class(code: str | None) -> Cause:
    return Cause.EXPIRED if code and code.startswith("4.") else Cause.OTHER


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


_STRONG = (
    (pattern("sender refused"), Cause.SENDER),
    (pattern("refused by choice"), Cause.POLICY),
    (pattern("mailbox full"), Cause.FULL),
    (pattern("too large"), Cause.TOO_LARGE),
    (pattern("moved"), Cause.MOVED),
    (pattern("unknown domain"), Cause.UNKNOWN_DOMAIN),
    (pattern("unknown user"), Cause.UNKNOWN_USER),
)
_WEAK = (
    (pattern("loop"), Cause.LOOP),
    (pattern("expired"), Cause.EXPIRED),
    (pattern("disabled"), Cause.DISABLED),
    (pattern("policy"), Cause.POLICY),
)
