"""Requests for no more letters: by mail to the address that a letter names, or in plain words."""

import re

from petition.inbox.addresses import all_addresses, first_address
from petition.inbox.finding import Finding, Kind
from petition.inbox.mail import Part
from petition.inbox.own_words import own_words
from petition.inbox.patterns import alternatives

_ADDRESS = re.compile(
    r"^(?:unsub(?:scribe)?|leave|opt-?out|remove|abmelden)(?:[+._=-]|$)"
    r"|[+._-]unsub(?:scribe)?(?:[+._=-]|$)",
    re.IGNORECASE,
)
_SUBJECT = re.compile(
    r"^\s*(?:please )?"
    rf"(?:{alternatives('unsubscribe word')})(?:\s+(?:me|request))?\W*\S{{0,80}}$",
    re.IGNORECASE,
)
_WORDS = re.compile(
    rf"\W*(?:(?:{alternatives('before asking')})\W+)?"
    r"(?:(?:please|прошу|пожалуйста|bitte|merci de)\W+)?"
    rf"(?:{alternatives('asks to leave')})"
    r"\W*(?:(?:thank(?:s| you)|regards|спасибо|danke|merci)\b.{0,80})?\W*",
    re.IGNORECASE | re.DOTALL,
)


def unsubscribe_of(mail: Part) -> Finding | None:
    """A request for no more letters, or None; words that are only quoted are none.

    Args:
        mail: A mail that is neither a bounce nor an automatic reply.
    """
    who = first_address(mail.headers.text("from")) or None
    if is_to_unsubscribe(mail):
        return Finding(Kind.UNSUBSCRIBE, who, None, None, "it was sent to the address for that")
    words = own_words(mail)
    if _SUBJECT.match(mail.headers.text("subject")[:300]) and len(words) < 200:
        return Finding(Kind.UNSUBSCRIBE, who, None, None, "its subject asks for it")
    if words and len(words) < 300 and _WORDS.fullmatch(words):
        return Finding(Kind.UNSUBSCRIBE, who, None, None, "its own words ask for it")
    return None


def is_to_unsubscribe(mail: Part) -> bool:
    """Whether a mail was sent to an address that is there for nothing else."""
    fields = mail.headers.all("to", "delivered-to", "x-original-to", "envelope-to")
    return any(
        _ADDRESS.search(one.rpartition("@")[0]) for text in fields for one in all_addresses(text)
    )
