"""What a refusal means: whether the address does not exist, or a letter was only not taken.

The words of the server come before its codes: many say 550 5.7.1 or 5.0.0 of a user that they do
not know, and 5.1.1 of a mailbox that is full. Only what says that there is no such address is
permanent; whatever nobody can be sure of is not.
"""

import re
from enum import Enum
from typing import NamedTuple

from petition.inbox.patterns import pattern


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


class Verdict(NamedTuple):
    """What a refusal means, and the enhanced status code (RFC 3463) where one was named."""

    cause: Cause
    status: str | None


def judge(status: str, words: str) -> Verdict:
    """What a refusal means.

    Args:
        status: The status of the report (`5.1.1`), or an empty text.
        words: What the server or the report says, in any of its languages.
    """
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
    return Verdict(cause, code)


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
