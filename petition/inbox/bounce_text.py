"""Bounces that are written for people: who sends them, how they begin, and whom they name."""

import re

from petition.address import folded
from petition.inbox.addresses import first_address
from petition.inbox.mail import Part
from petition.inbox.patterns import alternatives, pattern

_DAEMON = pattern("daemon")
_SUBJECT = pattern("bounce subject")
_DELAY_SUBJECT = pattern("delay subject")
_FAILED = pattern("says failed")
_DELAYED = pattern("says delayed")
_DELIVERED = pattern("says delivered")
_OPENINGS = pattern("opening")
# Behind such a line stands the letter that came back, in the words of each mail server.
_ORIGINAL = re.compile(
    rf"^.{{0,12}}(?:{alternatives('original letter')})", re.IGNORECASE | re.MULTILINE
)
_RETURNED_FIELD = re.compile(
    r"^(?:Return-Path|Received|Message-ID|DKIM-Signature|MIME-Version): ",
    re.IGNORECASE | re.MULTILINE,
)
# Lines of the letter's header that some notifications quote; whom it failed for is not in them.
_OTHERS = re.compile(
    r"^[ \t>]*(?:message-id|return-path|from|reply-to|sender|mail from|original sender)\s*:.*$",
    re.IGNORECASE | re.MULTILINE,
)
_NO_REPLY = re.compile(
    r"^[^@]*(?:no|do[-_.]?not|dont)[-_.]?reply|^auto(?:matic|responder|-?reply)", re.IGNORECASE
)
_ADDR = r"[\w.!#$%&'*+/=?^`{|}~-]{1,64}@(?:[\w-]{1,63}\.){1,8}[\w-]{2,63}"
_ADDRESS = re.compile(_ADDR)
_NAMED = re.compile(
    rf"<({_ADDR})>\s*(?::|\(|\.\.\.|$)"
    rf"|^[^\S\n]*[*>\"'-]{{0,3}}[^\S\n]*<?({_ADDR})>?:?[^\S\n]*(?:[\"'*]{{0,3}})$"
    rf"|(?:{alternatives('before an address')})\s*[\"'`<(\[]{{0,2}}(?:smtp:|mailto:)?({_ADDR})"
    rf"|^[^\S\n]*({_ADDR})\s*(?:[:(–-]|\.\.\.|\s\d{{3}})",
    re.IGNORECASE | re.MULTILINE,
)


def is_daemon(mail: Part) -> bool:
    """Whether a mail comes from a mail server and not from a person."""
    sender = mail.headers.text("from")
    return bool(_DAEMON.search(sender[:500])) or "x-failed-recipients" in mail.headers


def is_named_person(mail: Part) -> bool:
    """Whether the address that it comes from is not one of a mail server, whatever the name."""
    address = first_address(mail.headers.text("from"))
    return bool(address) and not _DAEMON.search(address.rpartition("@")[0] + "@")


def takes_no_reply(mail: Part) -> bool:
    """Whether it comes from an address that says of itself that nobody reads it."""
    return bool(_NO_REPLY.search(first_address(mail.headers.text("from"))))


def has_null_sender(mail: Part) -> bool:
    """Whether it came with the empty return path of a notification (RFC 5321 4.5.5)."""
    return mail.headers.get("return-path").replace(" ", "") == "<>"


def says_bounce_in_subject(mail: Part) -> bool:
    """Whether its subject is one that mail servers give to a notification of failure."""
    return bool(_SUBJECT.search(mail.headers.text("subject")[:500]))


def says_delay_in_subject(mail: Part) -> bool:
    """Whether its subject is one that mail servers give to a warning of delay."""
    return bool(_DELAY_SUBJECT.search(mail.headers.text("subject")[:500]))


def opens_as_bounce(text: str) -> bool:
    """Whether a text begins as notifications of mail servers do."""
    return bool(_OPENINGS.search(text[:600]))


def says_failed(text: str) -> bool:
    """Whether a text says that a letter was not delivered."""
    return bool(_FAILED.search(text))


def says_delayed(text: str) -> bool:
    """Whether a text says that a letter will still be tried."""
    return bool(_DELAYED.search(text))


def says_delivered(text: str) -> bool:
    """Whether a text says that a letter has arrived, or was passed on."""
    return bool(_DELIVERED.search(text))


def notice_text(mail: Part) -> str:
    """What a mail itself says: its text, without the letter that came back in it."""
    text = next((text for text in mail.texts("text/plain", "text/html") if text.strip()), "")
    cuts = [
        found.start()
        for pattern in (_ORIGINAL, _RETURNED_FIELD)
        if (found := pattern.search(text, 40))
    ]
    return text[: min(cuts, default=len(text))][:20_000]


def named_address(text: str, without: frozenset[str]) -> str:
    """The address that a notification names as the one that failed, or an empty text.

    Args:
        text: What the notification says.
        without: Addresses that cannot be it, such as those it was sent by and to (their keys).
    """
    text = re.sub(r"\n\s*\n", "\n", _OTHERS.sub("", text))
    for found in _NAMED.finditer(text):
        address = next(group for group in found.groups() if group).strip(".'`\"")
        if folded(address) not in without and not _DAEMON.search(address):
            return address
    for found in _ADDRESS.finditer(text):
        address = found[0].strip(".'`\"")
        if folded(address) not in without and not _DAEMON.search(address):
            return address
    return ""


def around(text: str, address: str) -> str:
    """What a notification says of an address: the text behind it and a little before.

    Args:
        text: What the notification says.
        address: The address; an empty one stands for the whole text.
    """
    at = text.lower().find(address.lower()) if address else -1
    if at < 0:
        return text[:4_000]
    said = text[max(0, at - 300) : at + 1_500]
    return said if len(said.strip()) > len(address) + 10 else text[:4_000]
