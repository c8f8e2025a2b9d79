"""One email for one person: envelope and bytes.

multipart/mixed                 where something is attached
├── multipart/alternative
│   ├── text/plain
│   └── multipart/related       where the HTML shows pictures (RFC 2387)
│       ├── text/html
│       └── image/png ...
└── application/pdf ...
"""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import NamedTuple

from petition.address import Mailbox, folded
from petition.campaign.people import Person
from petition.identity import (
    Identity,
    Signer,
    chance_boundary,
    chance_message_id,
    chance_unsubscribe_token,
)
from petition.merge.attachments import Attachments, Files
from petition.merge.document import Frozen
from petition.merge.fast_fill import Filled
from petition.merge.headers import (
    Mailing,
    check_name,
    date_header,
    mailbox_header,
    subject_header,
    thread_headers,
)
from petition.merge.mime_parts import BlockCheck, CarriedParts, Expected, Part, read_back
from petition.merge.renderer import MARK_BEGIN, MARK_END, LoadedText, load_text, refused_row
from petition.merge.template.fields import CellRefused, thread_of

NOTHING = CarriedParts()

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


class CopyIdentity(NamedTuple):
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

    def envelope(self, copy: CopyIdentity) -> Envelope:
        """Where a copy goes."""
        return copy.envelope(is_ascii=self._is_ascii)

    def header_names(self, copy: CopyIdentity) -> tuple[str, ...]:
        """The names of a copy's headers, in their order."""
        cc = ("Cc",) if copy.cc else ()
        after = _AFTER_MAILBOXES if not copy.thread else _AFTER_MAILBOXES_IN_THREAD
        return ("Date", *self._from, "To", *cc, *after, *self._mailing_names)

    def assemble(
        self,
        copy: CopyIdentity,
        filled: Filled,
        language: str,
        date: datetime,
        carried: CarriedParts = NOTHING,
        *,
        full: bool,
    ) -> bytes:
        """The bytes of a copy, read back."""
        block = self.check(copy, filled.subject, language, date, carried)
        data = b"".join([block, *_body(copy.boundary, filled, carried)])
        if full:
            self._read_back(data, block, copy, filled, carried)
        return data

    def check(
        self, copy: CopyIdentity, subject: str, language: str, date: datetime, carried: CarriedParts
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
        self, data: bytes, block: bytes, copy: CopyIdentity, filled: Filled, carried: CarriedParts
    ) -> None:
        # Megabytes that were read back once in this run are not parsed a hundred times.
        known, light = self._read, carried
        if any(part in known for part in (*carried.pictures, *carried.attached)):
            light = CarriedParts(
                tuple(part.stand_in() if part in known else part for part in carried.pictures),
                tuple(part.stand_in() if part in known else part for part in carried.attached),
            )
            data = b"".join([block, *_body(copy.boundary, filled, light)])
        read_back(data, self.meant(copy, filled.subject, light))
        known.update(carried.pictures, carried.attached[: carried.shared])

    def meant(self, copy: CopyIdentity, subject: str, carried: CarriedParts = NOTHING) -> Expected:
        """What a copy is meant to say."""
        names, mailboxes = self.header_names(copy), self._mailboxes(copy)
        pictures = tuple(part.meant for part in carried.pictures)
        attached = tuple(part.meant for part in carried.attached)
        return Expected(names, subject, mailboxes, pictures, attached)

    def _header_block(
        self, copy: CopyIdentity, subject: str, language: str, date: datetime, kind: str
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

    def _mailboxes(self, copy: CopyIdentity) -> dict[str, tuple[Mailbox, ...]]:
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


def _body(boundary: str, filled: Filled, carried: CarriedParts) -> Iterator[bytes]:
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


__all__ = ["MARK_BEGIN", "MARK_END", "Email", "Envelope", "Merger", "Shown"]


class Email(NamedTuple):
    """A finished email.

    Args:
        envelope: Whom it goes to.
        data: Its bytes: CRLF line ends, one at its end, and no line that begins with a dot.
        message_id: Its Message-ID.
        subject: Its subject.
        language: The language tag of its text.
        is_spliced: Whether what all copies have in common was encoded once.
        is_whole: Whether it was seen, piece by piece, that the bytes are as they should be: CRLF
            line ends, one at their end, and no line that begins with a dot.
    """

    envelope: Envelope
    data: bytes
    message_id: str
    subject: str
    language: str
    is_spliced: bool
    is_whole: bool = False

    @property
    def sha256(self) -> str:
        """The hash of the bytes, in hexadecimal."""
        return hashlib.sha256(self.data).hexdigest()


@dataclass(frozen=True, slots=True)
class Shown:
    """A copy as a person reads it.

    Args:
        headers: The headers, decoded, in their order.
        text: The plain text, `MARK_BEGIN` and `MARK_END` around each merged value.
        attached: The names of the files that come with it.
    """

    headers: list[tuple[str, str]]
    text: str
    attached: tuple[str, ...] = ()


class Merger:
    """Makes the copies of a frozen letter; for one thread.

    Args:
        frozen: The letter.
        signer: Derives what belongs to a copy's identity.
        files: Reads what single copies carry; None: those of the working directory.
    """

    def __init__(self, frozen: Frozen, signer: Signer, files: Files | None = None) -> None:
        self._frozen = frozen
        self._signer = signer
        self._sender = frozen.sender
        self._domain = self._sender.domain
        self._return_path = frozen.return_path
        self._mailing = Mailing.of(frozen)
        self._assembler = Assembler(self._sender, frozen.sender_reply_to, self._mailing)
        self._cc = frozen.cc
        self._bcc = frozen.bcc
        self._languages = frozen.languages
        self._texts: dict[str, LoadedText] = {}
        self._loads = Attachments(frozen, files or Files(Path()))

    @property
    def recipients_each(self) -> int:
        """To how many mailboxes a copy goes, at most."""
        return 1 + len(self._cc) + len(self._bcc)

    def language_of(self, person: Person) -> tuple[str, bool]:
        """In which language a person gets the letter.

        Returns:
            The language tag, and whether it stands in for the person's own.
        """
        languages = self._languages
        if not person.language:
            return languages[0], False
        for tag in (person.language, person.language.partition("-")[0]):
            if tag in languages:
                return tag, False
        return languages[0], True

    def merge(self, person: Person, revision: int, date: datetime, *, full: bool) -> Email:
        """The copy for one person.

        Args:
            person: Whom it is for.
            revision: The letter's revision.
            date: The header Date, aware.
            full: Parse the copy as another program would and compare; else look at its headers
                alone. A copy that is not spliced is always parsed.

        Raises:
            MergeRefused: It cannot be merged, or would not be read back as it was meant.
        """
        return self._build(person, self._copy_for(person, revision), revision, date, full=full)

    def subject(self, person: Person) -> str:
        """The subject of a person's copy.

        Raises:
            MergeRefused: It cannot be merged for this person.
        """
        return self._text_for(person).subject_for(person)

    def check(self, person: Person, revision: int, date: datetime) -> str:
        """See whether a person's copy can be made, for less than it costs to make it.

        What only the identity of the copy decides is left out; arguments are those of `merge`.

        Returns:
            Its subject.

        Raises:
            MergeRefused: It cannot be merged, or would not be read back as it was meant.
        """
        loaded = self._text_for(person)
        if not loaded.is_spliced:
            return self.merge(person, revision, date, full=True).subject
        subject = loaded.check(person)
        carried = self._loads.of(person, loaded, revision)
        try:
            # Tests show that the headers of a name and a subject that can stand in one are sound.
            check_name(person.mailbox.display_name)
            if person.mailbox.needs_smtputf8:
                copy = CopyIdentity(person.mailbox, "", "<0@sender>", "=_0", self._cc, self._bcc)
                self._assembler.check(copy, subject, loaded.language, date, carried)
        except CellRefused as refusal:
            raise refused_row(person, refusal) from None
        return subject

    def trial(
        self, person: Person, date: datetime, to: Mailbox, revision: int = 1
    ) -> tuple[Email, Shown]:
        """A person's copy to somebody else, who tries the letter out, and as a person reads it.

        Its Message-ID belongs to no copy, it bears no token, and nobody else gets it.

        Args:
            person: Whose copy.
            date: The header Date, aware.
            to: Who gets it.
            revision: The letter's revision.

        Raises:
            MergeRefused: It cannot be merged, or would not be read back as it was meant.
        """
        message_id = chance_message_id(self._sender.domain)
        token = chance_unsubscribe_token() if self._mailing else ""
        copy = CopyIdentity(to, self._sender.addr_spec, message_id, chance_boundary(), token=token)
        email = self._build(person, copy, revision, date, full=True)
        return email, self._show(person, copy, revision, date)

    def show(self, person: Person, revision: int, date: datetime) -> Shown:
        """A person's copy for reading.

        Args:
            person: Whom it is for.
            revision: The letter's revision.
            date: The header Date, aware.

        Raises:
            MergeRefused: It cannot be merged.
        """
        return self._show(person, self._copy_for(person, revision), revision, date)

    def _show(self, person: Person, copy: CopyIdentity, revision: int, date: datetime) -> Shown:
        loaded = self._text_for(person)
        subject, text = loaded.shown(person, self._leave(copy))
        values = {
            "Date": date_header(date).partition(": ")[2].strip(),
            "From": str(self._sender),
            "Reply-To": str(self._frozen.sender_reply_to),
            "To": str(copy.to),
            "Cc": ", ".join(map(str, self._cc)),
            "Subject": subject,
            "Message-ID": copy.message_id,
            "In-Reply-To": copy.thread[-1] if copy.thread else "",
            "References": " ".join(copy.thread),
            "MIME-Version": "1.0",
            "Content-Language": loaded.language,
            "Content-Type": f'multipart/alternative; boundary="{copy.boundary}"',
            **(self._mailing.values(copy.token) if self._mailing else {}),
        }
        headers = [(name, values[name]) for name in self._assembler.header_names(copy)]
        return Shown(headers, text, self._loads.of(person, loaded, revision).names)

    def _leave(self, copy: CopyIdentity) -> str:
        return self._mailing.link(copy.token) if self._mailing else ""

    def html(self, person: Person, revision: int, date: datetime) -> str:  # noqa: ARG002
        """The HTML of a person's copy, its pictures in it; the arguments are those of `show`.

        Raises:
            MergeRefused: It cannot be merged.
        """
        loaded = self._text_for(person)
        leave = self._leave(self._copy_for(person, revision))
        return self._loads.with_pictures(loaded.html(person, leave), loaded.language)

    def typeset(self, person: Person) -> bytes:
        """A person's copy as a PDF.

        Raises:
            MergeRefused: It cannot be merged or typeset.
        """
        return self._loads.typeset(person, self._text_for(person))

    @property
    def has_own_files(self) -> bool:
        """Whether a copy carries files that others do not."""
        return self._loads.has_own

    def own_files(self, person: Person) -> dict[str, str]:
        """What the log is to keep beside a row's fields: which files its copy alone carries.

        Raises:
            MergeRefused: One of them cannot be carried.
        """
        return self._loads.promise(person, self._text_for(person))

    def _text_for(self, person: Person) -> LoadedText:
        language, _ = self.language_of(person)
        if language not in self._texts:
            self._texts[language] = load_text(self._frozen, language)
        return self._texts[language]

    def _copy_for(self, person: Person, revision: int) -> CopyIdentity:
        frozen, address = self._frozen, person.queued_as or person.mailbox.addr_spec
        identity = Identity(frozen.campaign_id, frozen.letter, revision, address)
        mail_from = self._sender.addr_spec
        if self._return_path:
            token = self._signer.return_path_token(identity)
            mail_from = self._return_path.replace("{token}", token)
        message_id, boundary = self._signer.message_id_and_boundary(identity, self._domain)
        thread = thread_of(person)
        token = self._signer.unsubscribe_token(identity) if self._mailing else ""
        return CopyIdentity(
            person.mailbox, mail_from, message_id, boundary, self._cc, self._bcc, thread, token
        )

    def _build(
        self, person: Person, copy: CopyIdentity, revision: int, date: datetime, *, full: bool
    ) -> Email:
        loaded = self._text_for(person)
        filled = loaded.fill(person, self._leave(copy))
        carried = self._loads.of(person, loaded, revision)
        full = full or not loaded.is_spliced
        try:
            data = self._assembler.assemble(copy, filled, loaded.language, date, carried, full=full)
        except CellRefused as refusal:
            raise refused_row(person, refusal) from None
        # The header block was looked at too, and what stands between the parts holds nothing but a
        # boundary. Files that the copy carries were not.
        is_whole = filled.is_whole and not (carried.pictures or carried.attached)
        envelope, subject, language = (
            self._assembler.envelope(copy),
            filled.subject,
            loaded.language,
        )
        return Email(
            envelope, data, copy.message_id, subject, language, loaded.is_spliced, is_whole
        )
