"""Finds one person in texts and mails, and takes them out."""

import email
import email.errors
import html
import json
import re
import unicodedata
from collections.abc import Iterable, Iterator
from email.header import decode_header
from email.message import Message

from petition.address import folded
from petition.outbox.records import fields_of

STAND_IN = "[forgotten]"
_AROUND = 60  # characters on either side
_OTHERS = re.compile(r"[^\s<>\"'(),;:]+@[^\s<>\"'(),;:]+")
_SHORTEST = 3  # characters of a local part that is looked for by itself


class Redaction:
    """One person, as texts can name them.

    Args:
        mailbox: The address (addr_spec).
        names: Full names; a single word is none, for it would be found everywhere.
    """

    def __init__(self, mailbox: str, names: Iterable[str] = ()) -> None:
        local_part, _, domain = mailbox.rpartition("@")
        domains = {domain, _readable(domain)}
        spelled = {mailbox, *(f"{local_part}{at}{one}" for one in domains for at in ("@", "%40"))}
        addresses = [re.escape(one) for one in sorted(spelled)]
        # In the return paths of lists it stands behind their own name (VERP): list+ann=host@list.
        returned = "|".join(re.escape(f"{local_part}={one}") for one in sorted(domains))
        verp = rf"(?<![\w.])(?:{returned})(?![\w-])"
        full = sorted({form for name in names for form in _forms(name)})
        words = [r"\s+".join(map(re.escape, name.split())) for name in full]
        alone = [re.escape(local_part)] if len(local_part) >= _SHORTEST else []

        def pattern(*parts: str) -> re.Pattern[str]:
            return re.compile(rf"(?<![\w.+-])(?:{'|'.join(parts)})(?![\w-])|{verp}", re.IGNORECASE)

        self._key = folded(mailbox)
        self._address = pattern(*addresses)
        self._either = pattern(*addresses, *words)
        self._own = pattern(*addresses, *words, *alone)

    def is_them(self, mailbox: str | None) -> bool:
        """Whether an address is theirs, however it is capitalised."""
        return mailbox is not None and folded(mailbox) == self._key

    def names_them(self, text: str | None) -> bool:
        """Whether a text names them."""
        return text is not None and self._either.search(text) is not None

    def has_address(self, text: str) -> bool:
        """Whether a text holds their address."""
        return self._address.search(text) is not None

    def without(self, text: str | None, *, own: bool = False) -> str | None:
        """A text that names them no more.

        Args:
            text: The text.
            own: It is about them: the local part of their address alone is theirs too.
        """
        return None if text is None else (self._own if own else self._either).sub(STAND_IN, text)

    def without_in(self, fields: str) -> str:
        """The merge fields of somebody else, as JSON, that name them no more.

        What a follow-up tells of answers is among the fields.
        """
        if not self.names_them(fields):
            return fields
        known = fields_of(fields)
        less = {name: self._either.sub(STAND_IN, text) for name, text in known.items()}
        return json.dumps(less, ensure_ascii=False, sort_keys=True)

    def around(self, text: str | None) -> list[str]:
        """What stands around each place where a text names them: nobody else's whole words."""
        found = self._either.finditer(text or "")
        return [_around(text or "", *one.span()) for one in found]

    def around_in_mail(self, data: bytes) -> list[str]:
        """The same of a mail, in whichever of its parts."""
        return list(dict.fromkeys(one for text in _texts(data) for one in self.around(text)))

    def is_in_mail(self, data: bytes) -> bool:
        """Whether a mail names them, in a header or a text, however that is encoded."""
        return any(map(self.names_them, _texts(data)))


def _forms(name: str) -> Iterator[str]:
    """A full name as people and mail programs write it; a single word is none."""
    words = name.split()
    if len(words) > 1:
        for form in (" ".join(words), f"{words[-1]}, {' '.join(words[:-1])}"):
            yield from (unicodedata.normalize(shape, form) for shape in ("NFC", "NFD"))


def _around(text: str, start: int, end: int) -> str:
    """A piece of a text, cut between words."""
    before, after = text[max(0, start - _AROUND) : start], text[end : end + _AROUND]
    if start > _AROUND:
        before = f"…{before.partition(' ')[2]}"
    if end + _AROUND < len(text):
        after = f"{after.rpartition(' ')[0]}…"
    before, after = (_OTHERS.sub("[address]", part) for part in (before, after))
    return " ".join(f"{before}{text[start:end]}{after}".split())


def _texts(data: bytes) -> Iterator[str]:
    yield data.decode("utf-8", "replace")
    try:
        mail = email.message_from_bytes(data)
        for part in mail.walk():
            yield from (_decoded(str(value)) for value in part.values())
            yield from _text_of(part)
    except (RecursionError, ValueError, LookupError, email.errors.MessageError):
        return  # what cannot be taken apart was looked through as it stands


def _text_of(part: Message) -> Iterator[str]:
    payload = part.get_payload(decode=True) if not part.is_multipart() else None
    if not isinstance(payload, bytes) or part.get_content_maintype() not in {"text", "message"}:
        return
    try:
        text = payload.decode(part.get_content_charset("utf-8"), "replace")
    except LookupError:
        text = payload.decode("latin-1")
    yield text
    if "<" in text:  # HTML may break a name by markup
        yield html.unescape(re.sub(r"<[^<>]*>", " ", text))  # linear, whatever the text


def _decoded(header: str) -> str:
    parts = [
        piece.decode(charset or "latin-1", "replace") if isinstance(piece, bytes) else piece
        for piece, charset in decode_header(header)
    ]
    return "".join(parts)


def _readable(domain: str) -> str:
    """A domain as people write it, where the wire has A-labels (RFC 5890)."""
    try:
        return domain.encode("ascii").decode("idna")
    except (UnicodeError, ValueError):
        return domain
