"""Why a server refused a letter, by its words (refusals.txt) and its codes (RFC 3463).

What a server says comes before its codes: many say 550 5.7.1 or 5.0.0 of a user that they do not
know, and 5.1.1 of a mailbox that is full, or of a sender that they do not like.
"""

import re
from collections.abc import Iterable
from enum import Enum
from functools import cache, cached_property, lru_cache
from importlib.resources import files


class Phrases:
    """The patterns of a file, under headings `== name: explanation`."""

    def __init__(self, package: str, file: str) -> None:
        self._package = package
        self._file = file

    @cached_property
    def sections(self) -> dict[str, str]:
        """The lines of each heading, in the order of the file."""
        text = (files(self._package) / self._file).read_text(encoding="utf-8")
        _, *pieces = re.split(r"^== ([a-z ]+): .+$", text, flags=re.MULTILINE)
        return dict(zip(pieces[::2], pieces[1::2], strict=True))

    def alternatives(self, name: str) -> str:
        """The lines of a heading as alternatives of a pattern."""
        lines = (line for line in self.sections[name].split("\n") if line)
        text = "|".join(lines)
        return re.sub(r"<<([a-z ]+)>>", lambda it: f"(?:{self.alternatives(it[1])})", text)

    def pattern(self, name: str) -> re.Pattern[str]:
        """The pattern of a heading; `^` and `$` match at the ends of any line."""
        return re.compile(self.alternatives(name), re.IGNORECASE | re.MULTILINE)


PHRASES = Phrases("petition.smtp", "refusals.txt")


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
    "unknown domain": Cause.UNKNOWN_DOMAIN,
    "unknown user": Cause.UNKNOWN_USER,
    "disabled": Cause.DISABLED,
}
# These say less than the code, and count only if it says nothing.
_BY_VAGUE_WORDS = {"loop": Cause.LOOP, "expired": Cause.EXPIRED, "policy": Cause.POLICY}
_ENHANCED = re.compile(r"(?<![\d.])([45]\.\d{1,3}\.\d{1,3})(?![\d.]*\d)")
_VAGUE_CODE = re.compile(r"[245]\.(?:0\.\d+|\d+\.0)")
_LENGTH = 6_000  # characters that are compared


def judge(status: str, words: str, ours: Iterable[str] = ()) -> tuple[Cause, str | None]:
    """What a refusal means, and its enhanced status code if it names one.

    `status` is what a report gives beside the words, or "". `ours` are the sender's domains: if the
    words name one of them, it is the sender who is refused.
    """
    given = re.match(r"\s*([245]\.\d{1,3}\.\d{1,3})", status)
    said = _ENHANCED.findall(words[:_LENGTH])
    code = _first_clear([given[1], *said] if given else said)
    # A server that passes on what another one said may add a code of its own.
    cause = _by_words(words, ours) or _by_code(_first_clear(said)) or _by_code(code)
    is_temporary = code is not None and code.startswith("4.")
    if cause is None:
        cause = _by_vague_words(words) or (Cause.EXPIRED if is_temporary else Cause.OTHER)
    if cause.is_permanent and is_temporary and cause is not Cause.UNKNOWN_DOMAIN:
        # "Later" for days: the letter is lost, but the address may well exist.
        cause = Cause.EXPIRED
    return cause, code


def names_domain(words: str, domains: Iterable[str]) -> bool:
    """Whether one of some domains stands in a text, by itself or in an address."""
    return any(_named(domain).search(words) for domain in domains)


def names_limit(words: str) -> bool:
    """Whether a server says that we send too much, and so would refuse the next letter too."""
    return bool(_limit().search(_one_line(words)))


@cache
def _limit() -> re.Pattern[str]:
    return PHRASES.pattern("sending limit")


def _first_clear(codes: list[str]) -> str | None:
    return next((one for one in codes if not _VAGUE_CODE.fullmatch(one)), next(iter(codes), None))


def _by_words(words: str, ours: Iterable[str]) -> Cause | None:
    text = _one_line(words)
    if names_domain(text, ours):
        return Cause.SENDER
    return next((cause for pattern, cause in _patterns()[0] if pattern.search(text)), None)


def _by_vague_words(words: str) -> Cause | None:
    text = _one_line(words)
    return next((cause for pattern, cause in _patterns()[1] if pattern.search(text)), None)


def _by_code(code: str | None) -> Cause | None:
    subject = code.partition(".")[2] if code else ""
    return _BY_CODE.get(subject, Cause.POLICY if subject.startswith("7.") else None)


def _one_line(words: str) -> str:
    return re.sub(r"\s+", " ", words.lower())[:_LENGTH]


@cache
def _patterns() -> tuple[list[tuple[re.Pattern[str], Cause]], list[tuple[re.Pattern[str], Cause]]]:
    def of(headings: dict[str, Cause]) -> list[tuple[re.Pattern[str], Cause]]:
        names = (name for name in PHRASES.sections if name in headings)
        return [(PHRASES.pattern(name), headings[name]) for name in names]

    return of(_BY_WORDS), of(_BY_VAGUE_WORDS)


@lru_cache(maxsize=64)
def _named(domain: str) -> re.Pattern[str]:
    """A domain by itself, or with an address in it."""
    address = r"(?:[\w.+=-]{1,64}@(?:[\w-]{1,63}\.){0,4})?"
    return re.compile(
        rf"(?<![\w@.-]){address}{re.escape(domain.lower())}(?![\w-]|\.\w)", re.IGNORECASE
    )
