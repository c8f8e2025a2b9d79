"""LISTEN: what comes back, from the bytes of a mail to what it means for a copy.

What a mail can be, and the patterns of patterns.txt that it is known by, are here.
"""

from enum import StrEnum
from typing import NamedTuple

from petition.smtp.replies import Phrases


class Kind(StrEnum):
    """What came back."""

    BOUNCE = "bounce"  # the letter was not delivered, and no server tries any more
    DELAY = "delay"  # it was not delivered yet
    AUTO_REPLY = "auto-reply"  # a program wrote it: out of office, received, delivered, read
    UNSUBSCRIBE = "unsubscribe"  # a person wants no more letters
    COMPLAINT = "complaint"  # a person called the letter spam (RFC 5965)
    REPORT = "report"  # what receivers tell a domain's owner: DMARC, TLS (RFC 9990, 8460)
    ANSWER = "answer"  # a person wrote


class Finding(NamedTuple):
    """What one mail is."""

    kind: Kind | None  # None: the mail was set aside
    recipient: str | None  # whom the letter did not reach, or who writes, as the mail says
    status: str | None  # the enhanced status code (RFC 3463) of a bounce or delay
    permanent: bool | None  # whether a bounce says that there is no such address
    reason: str  # why it was taken for that
    is_notice: bool = False  # it only says that the letter was delivered or opened
    may_leave: bool = False  # a person's words may ask for no more letters
    others: tuple["Finding", ...] = ()  # the same of further recipients whom a bounce names


# How mail programs begin the subject of a reply, in each language.
REPLY_PREFIXES = "re|aw|antw|sv|отв|ответ|відп|rép|res|rif|odp"

_PHRASES = Phrases("inbox/patterns.txt")
alternatives, finder, pattern = _PHRASES.alternatives, _PHRASES.finder, _PHRASES.pattern
