"""What a mail is, in the words of the record."""

from dataclasses import dataclass
from enum import StrEnum


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
