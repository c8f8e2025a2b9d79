"""Puts an email together: the header block, and the parts under it (RFC 2046 5.1).

multipart/mixed                 where something is attached
├── multipart/alternative
│   ├── text/plain
│   └── multipart/related       where the HTML shows pictures (RFC 2387)
│       ├── text/html
│       └── image/png ...
└── application/pdf ...
"""

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import NamedTuple

from petition.address import Mailbox, folded
from petition.merge.carried import Carried
from petition.merge.headers import (
    check_name,
    date_header,
    mailbox_header,
    subject_header,
    thread_headers,
)
from petition.merge.mailing import Mailing
from petition.merge.part import Part
from petition.merge.readback import BlockCheck, Meant, read_back
from petition.merge.splice import Filled

NOTHING = Carried()

_PART = 'Content-Type: text/{}; charset="utf-8"\r\nContent-Transfer-Encoding: quoted-printable\r\n'
_OF_HTML = ' type="text/html";'
_TEXT, _HTML = _PART.format("plain"), _PART.format("html")


class Envelope(NamedTuple):
    """What is said to the server, apart from the email itself (RFC 5321 2.3.1).

    Args:
        mail_from: The return path.
        rcpt_to: Who gets it: the person first, then the copies.
        smtputf8: Whether the server must offer SMTPUTF8 (RFC 6531).
    """

    mail_from: str
    rcpt_to: tuple[str, ...]
    smtputf8: bool


class Copy(NamedTuple):
    """What makes a copy this one and no other: where it goes, and the marks of its identity."""

    to: Mailbox
    mail_from: str
    message_id: str
    boundary: str
    cc: tuple[Mailbox, ...] = ()
    bcc: tuple[Mailbox, ...] = ()
    thread: tuple[str, ...] = ()  # the Message-IDs before it, the one that it answers last
    token: str = ""  # for leaving the list of a bulk letter

    def envelope(self, *, is_ascii: bool) -> Envelope:
        """Where the copy goes.

        Args:
            is_ascii: Whether the other mailboxes in its headers are.
        """
        rcpt_to: tuple[str, ...] = (self.to.addr_spec,)
        if others := self.cc + self.bcc:
            boxes = {folded(box): box for box in rcpt_to}
            for one in others:
                boxes.setdefault(folded(one.addr_spec), one.addr_spec)
            rcpt_to = tuple(boxes.values())
        is_ascii = is_ascii and "".join((self.mail_from, *rcpt_to)).isascii()
        return Envelope(self.mail_from, rcpt_to, not is_ascii)


class Assembler:
    """Makes the bytes of one sender's copies.

    Args:
        sender: The header From.
        reply_to: The header Reply-To.
        mailing: What a bulk letter has beside; None: it is a personal one.
    """

    def __init__(
        self, sender: Mailbox, reply_to: Mailbox | None, mailing: Mailing | None = None
    ) -> None:
        self._mailing = mailing
        self._mailing_names = mailing.names() if mailing else ()
        self._from: dict[str, tuple[Mailbox, ...]] = {"From": (sender,)}
        if reply_to:
            self._from["Reply-To"] = (reply_to,)
        self._from_lines = "".join(mailbox_header(*line) for line in self._from.items())
        self._is_ascii = self._from_lines.isascii()
        self._checks: dict[tuple[bool, bool], BlockCheck] = {}  # by whether there are Cc, a thread
        self._read: set[Part] = set()  # parts of all copies that were read back
        self._date: tuple[datetime, str] | None = None

    def envelope(self, copy: Copy) -> Envelope:
        """Where a copy goes."""
        return copy.envelope(is_ascii=self._is_ascii)

    def header_names(self, copy: Copy) -> tuple[str, ...]:
        """The names of a copy's headers, in their order."""
        cc = ("Cc",) if copy.cc else ()
        after = _AFTER_MAILBOXES if not copy.thread else _AFTER_MAILBOXES_IN_THREAD
        return ("Date", *self._from, "To", *cc, *after, *self._mailing_names)

    def assemble(
        self,
        copy: Copy,
        filled: Filled,
        language: str,
        date: datetime,
        carried: Carried = NOTHING,
        *,
        full: bool,
    ) -> bytes:
        """The bytes of a copy, read back.

        Args:
            copy: Whose.
            filled: Its words.
            language: Their language tag.
            date: The header Date, aware.
            carried: What it has beside its words.
            full: Parse the whole; else look at the header block.

        Raises:
            CellRefused: A header cannot be written, or would be read back as another one.
        """
        block = self.check(copy, filled.subject, language, date, carried)
        data = b"".join([block, *_body(copy.boundary, filled, carried)])
        if full:
            self._read_back(data, block, copy, filled, carried)
        return data

    def check(
        self, copy: Copy, subject: str, language: str, date: datetime, carried: Carried
    ) -> bytes:
        """The header block of a copy, looked at; arguments and errors are those of `assemble`."""
        kind = "mixed" if carried.attached else "alternative"
        block = self._header_block(copy, subject, language, date, kind).encode()
        shape = bool(copy.cc), bool(copy.thread)
        if shape not in self._checks:
            self._checks[shape] = BlockCheck(self.header_names(copy))
        self._checks[shape].check(block)
        return block

    def _read_back(
        self, data: bytes, block: bytes, copy: Copy, filled: Filled, carried: Carried
    ) -> None:
        # Megabytes that were read back once in this run are not parsed a hundred times.
        known, light = self._read, carried
        if any(part in known for part in (*carried.pictures, *carried.attached)):
            light = Carried(
                tuple(part.stand_in() if part in known else part for part in carried.pictures),
                tuple(part.stand_in() if part in known else part for part in carried.attached),
            )
            data = b"".join([block, *_body(copy.boundary, filled, light)])
        read_back(data, self.meant(copy, filled.subject, light))
        known.update(carried.pictures, carried.attached[: carried.shared])

    def meant(self, copy: Copy, subject: str, carried: Carried = NOTHING) -> Meant:
        """What a copy is meant to say."""
        names, mailboxes = self.header_names(copy), self._mailboxes(copy)
        pictures = tuple(part.meant for part in carried.pictures)
        attached = tuple(part.meant for part in carried.attached)
        return Meant(names, subject, mailboxes, pictures, attached)

    def _header_block(
        self, copy: Copy, subject: str, language: str, date: datetime, kind: str
    ) -> str:
        check_name(copy.to.display_name)
        cc = mailbox_header("Cc", copy.cc) if copy.cc else ""
        mailing = self._mailing.headers(copy.token) if self._mailing else ""
        return (
            f"{self._date_line(date)}{self._from_lines}{mailbox_header('To', (copy.to,))}{cc}"
            f"{subject_header(subject)}Message-ID: {copy.message_id}\r\n"
            f"{thread_headers(copy.thread)}MIME-Version: 1.0\r\n"
            f"Content-Language: {language}\r\n{_multipart(kind, copy.boundary)}{mailing}"
        )

    def _mailboxes(self, copy: Copy) -> dict[str, tuple[Mailbox, ...]]:
        mailboxes = {**self._from, "To": (copy.to,)}
        return {**mailboxes, "Cc": copy.cc} if copy.cc else mailboxes

    def _date_line(self, date: datetime) -> str:
        if self._date is None or self._date[0] is not date:  # all letters of a second have the same
            self._date = (date, date_header(date.replace(microsecond=0)))
        return self._date[1]


_AFTER_MAILBOXES = ("Subject", "Message-ID", "MIME-Version", "Content-Language", "Content-Type")
_AFTER_MAILBOXES_IN_THREAD = (
    *_AFTER_MAILBOXES[:2],
    *("In-Reply-To", "References"),
    *_AFTER_MAILBOXES[2:],
)


def _multipart(kind: str, boundary: str, parameter: str = "") -> str:
    return (
        f"Content-Type: multipart/{kind};{parameter}\r\n"
        f' boundary="{_boundary_of(kind, boundary)}"\r\n'
    )


def _boundary_of(kind: str, boundary: str) -> str:
    """A boundary for each kind: none is the beginning of another (RFC 2046 5.1.2)."""
    return boundary if kind == "alternative" else boundary.replace("=_", f"=_{kind}_", 1)


def _body(boundary: str, filled: Filled, carried: Carried) -> Iterator[bytes]:
    top, page = "\r\n", _HTML
    if carried.attached:
        mixed = _boundary_of("mixed", boundary)
        top = f"\r\n--{mixed}\r\n{_multipart('alternative', boundary)}\r\n"
    if carried.pictures:
        related = _boundary_of("related", boundary)
        page = f"{_multipart('related', boundary, _OF_HTML)}\r\n--{related}\r\n{_HTML}"
    text = (f"{top}--{boundary}\r\n{_TEXT}\r\n", *filled.text)
    words = (*text, f"\r\n--{boundary}\r\n{page}\r\n", *filled.html, "\r\n")
    end = f"--{boundary}--\r\n"
    if carried.pictures:
        yield "".join(words).encode("ascii")
        yield from _parts(related, carried.pictures)
        yield end.encode("ascii")
    else:
        yield "".join((*words, end)).encode("ascii")
    if carried.attached:
        yield from _parts(mixed, carried.attached)


def _parts(boundary: str, parts: Sequence[Part]) -> Iterator[bytes]:
    """The parts behind the first, and the end of a multipart."""
    line = f"--{boundary}".encode("ascii")
    for part in parts:
        yield b"".join((line, b"\r\n", part.head, b"\r\n"))
        yield part.body
    yield line + b"--\r\n"
