"""What a mail can be, and the patterns of patterns.txt that it is known by."""

import re
from dataclasses import dataclass
from enum import StrEnum
from functools import cache
from importlib.resources import files


class Kind(StrEnum):
    """What came back."""

    BOUNCE = "bounce"  # the letter was not delivered, and no server tries any more
    DELAY = "delay"  # it was not delivered yet
    AUTO_REPLY = "auto-reply"  # a program wrote it: out of office, received, delivered, read
    UNSUBSCRIBE = "unsubscribe"  # a person wants no more letters
    COMPLAINT = "complaint"  # a person called the letter spam (RFC 5965)
    REPORT = "report"  # what receivers tell a domain's owner: DMARC, TLS (RFC 9990, 8460)
    ANSWER = "answer"  # a person wrote


@dataclass(frozen=True, slots=True)
class Finding:
    """What one mail is."""

    kind: Kind | None  # None: the mail was set aside
    recipient: str | None  # whom the letter did not reach, or who writes, as the mail says
    status: str | None  # the enhanced status code (RFC 3463) of a bounce or delay
    permanent: bool | None  # whether a bounce says that there is no such address
    reason: str  # why it was taken for that
    is_notice: bool = False  # it only says that the letter was delivered or opened


def pattern(name: str) -> re.Pattern[str]:
    """The pattern of a heading; `^` and `$` match at the ends of any line."""
    return re.compile(alternatives(name), re.IGNORECASE | re.MULTILINE)


def alternatives(name: str) -> str:
    """The lines of a heading as alternatives of a pattern."""
    lines = (line for line in sections()[name].split("\n") if line)
    return re.sub(r"<<([a-z ]+)>>", lambda it: f"(?:{alternatives(it[1])})", "|".join(lines))


@cache
def sections() -> dict[str, str]:
    """The lines of each heading, in the order of the file."""
    text = (files("petition.inbox") / "patterns.txt").read_text(encoding="utf-8")
    _, *pieces = re.split(r"^== ([a-z ]+): .+$", text, flags=re.MULTILINE)
    return dict(zip(pieces[::2], pieces[1::2], strict=True))
