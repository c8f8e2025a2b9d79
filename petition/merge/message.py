"""One person's email, step by step.

A letter is compiled (`template.compile`) and frozen (`freeze`) once: its Jinja tags are put aside,
its Markdown becomes one tree, and from that tree come the HTML and the plain text, both templates
again. For each person the frozen document is filled (`fill`), assembled with what it carries
(`Assembler`), and read back:

    multipart/mixed                 if something is attached
    ├── multipart/alternative
    │   ├── text/plain
    │   └── multipart/related       if the HTML shows pictures (RFC 2387)
    │       ├── text/html
    │       └── image/png ...
    └── application/pdf ...

`check_block` looks at the header block alone and costs a few microseconds; `read_back` parses the
whole email as another program would, and costs milliseconds. A test shows that what the first lets
through passes the second too.
"""

import email
import email.policy
import hashlib
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime
from email.header import decode_header, make_header
from email.message import Message
from email.utils import getaddresses
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

from petition import identity
from petition.address import Mailbox, folded
from petition.campaign.letter import COPIES_LIMIT
from petition.campaign.names import quoted
from petition.campaign.people import Person
from petition.errors import MergeRefused
from petition.identity import Identity, Signer
from petition.merge.attachments import Attachments, Files
from petition.merge.document import Frozen
from petition.merge.fast_fill import Filled
from petition.merge.fill import LoadedText, Settled, load_text, refused_row
from petition.merge.headers import (
    Mailing,
    check_name,
    date_header,
    mailbox_header,
    subject_header,
    thread_headers,
)
from petition.merge.mime_parts import CarriedParts, ExpectedPart, MimePart
from petition.template.fields import CellRefused, thread_of

_PART = 'Content-Type: text/{}; charset="utf-8"\r\nContent-Transfer-Encoding: quoted-printable\r\n'
_OF_HTML = ' type="text/html";'
_TEXT, _HTML = _PART.format("plain"), _PART.format("html")

# The older parser takes a message apart three times as fast as the newer one, which parses every
# header it meets; the newer one parses only the headers that are compared.
_READER = email.policy.default.header_fetch_parse

_HINT = "Correct the row, and report the text to the authors of petition"


class Envelope(NamedTuple):
    """The SMTP envelope (RFC 5321 2.3.1): the recipient comes first, then the copies."""

    mail_from: str
    rcpt_to: tuple[str, ...]
    smtputf8: bool  # whether the server must offer it (RFC 6531)


class Email(NamedTuple):
    """A finished email."""

    envelope: Envelope
    data: bytes  # CRLF line ends, one at its end, and no line begins with a dot
    message_id: str
    subject: str
    language: str
    is_whole: bool = False  # checked piece by piece, and need not be checked again

    @property
    def sha256(self) -> str:
        """The hash of the bytes, in hexadecimal."""
        return hashlib.sha256(self.data).hexdigest()


_MAIN_HEADERS = ("Date", "From", "Reply-To", "To", "Cc", "Subject", "Message-ID")


class Shown(NamedTuple):
    """A copy as a person reads it."""

    headers: list[tuple[str, str]]  # decoded, in their order
    text: str  # the plain text, `MARK_BEGIN` and `MARK_END` around each merged value
    attached: tuple[str, ...] = ()  # the names of the files that come with it

    @property
    def main_headers(self) -> list[tuple[str, str]]:
        """The headers that a mail program shows, and the Message-ID."""
        return [(name, value) for name, value in self.headers if name in _MAIN_HEADERS]


class CheckedCopy(NamedTuple):
    """What checking, linting and planning need of a copy, from one merge of it."""

    language: str  # the language tag of its text
    subject: str
    own_files: Mapping[str, str]  # the fields by which the log knows the files of this copy alone
    size: int | None  # in bytes; None if it was checked without being made
    text: Callable[[], str]  # renders the plain text, with marks around each merged value
    cc: tuple[Mailbox, ...] = ()  # who gets it because the row says so


class CopyIdentity(NamedTuple):
    """What tells one copy from all others: where it goes, and what is derived from its identity."""

    to: Mailbox
    mail_from: str
    message_id: str
    boundary: str
    cc: tuple[Mailbox, ...] = ()
    bcc: tuple[Mailbox, ...] = ()
    thread: tuple[str, ...] = ()  # earlier Message-IDs; the last one is answered
    token: str = ""  # the unsubscribe token of a bulk letter


class Merger:
    """Makes the copies of a frozen letter; for one thread.

    Each method raises MergeRefused if the letter cannot be merged for the person, or would not
    be read back as it was meant. Dates are for the header Date, and aware. Without `files`,
    what single copies carry is read from the working directory.
    """

    def __init__(self, frozen: Frozen, signer: Signer, files: Files | None = None) -> None:
        self._frozen = frozen
        self._signer = signer
        self._sender = frozen.sender
        self._domain = self._sender.domain
        self._return_path = frozen.document["sender"]["return_path"]  # with `{token}`, or None
        self._mailing = Mailing.of(frozen)
        self._assembler = Assembler(self._sender, frozen.sender_reply_to, self._mailing)
        self._cc = frozen.copied("cc")
        self._bcc = frozen.copied("bcc")
        self._copied = {folded(one.addr_spec) for one in (*self._cc, *self._bcc)}
        self.left_out: set[str] = set()  # who must not be in cc of a row, folded
        self._languages = frozen.languages
        self._texts: dict[str, LoadedText] = {}
        self._attachments = Attachments(frozen, files or Files(Path()))

    @property
    def frozen(self) -> Frozen:
        """The letter that is merged."""
        return self._frozen

    def count_as_yes_no(self, columns: frozenset[str]) -> None:
        """Count the cells of these columns as what they say, where they are conditions."""
        if columns != self._frozen.yes_no:
            self._frozen = self._frozen.counting(columns)
            self._texts.clear()

    @property
    def recipients_each(self) -> int:
        """The number of mailboxes that a copy goes to, if a row names one where it may."""
        return 1 + len(self._cc) + len(self._bcc) + len(self._frozen.cc_fields)

    def recipients_of(self, person: Person) -> int:
        """The number of mailboxes that a person's copy goes to: a cell may name several."""
        fixed = 1 + len(self._cc) + len(self._bcc)
        if not self._frozen.cc_fields:
            return fixed
        try:
            return fixed + len(self.own_cc(person))
        except MergeRefused:  # merging says so again
            return fixed

    def language_of(self, person: Person) -> tuple[str, bool]:
        """The language in which a person gets the letter, and whether it is a fallback."""
        languages, wanted = self._languages, person.language
        if wanted in languages:
            return wanted, False
        if not wanted:
            return languages[0], False
        tag = wanted.partition("-")[0]
        return (tag, False) if tag in languages else (languages[0], True)

    def merge(self, person: Person, revision: int, date: datetime, *, full: bool) -> Email:
        """The copy for one person.

        With `full` it is parsed as another program would, and compared; otherwise only its headers
        are checked.
        """
        return self._make(person, self._copy_for(person, revision), revision, date, full=full)[0]

    def own_cc(self, person: Person) -> tuple[Mailbox, ...]:
        """Who is in cc of a person's copy because the row says so."""
        return self._own_cc(person, self._text_for(person))

    def subject(self, person: Person) -> str:
        """The subject of a person's copy."""
        return self._text_for(person).subject_for(person)

    def check(
        self, person: Person, revision: int, date: datetime, *, full: bool = False
    ) -> CheckedCopy:
        """Whether a person's copy can be made.

        With `full` it is made, and parsed as in `merge`. Otherwise what depends only on its
        identity is left out, and of many copies of one shape only the first is filled.
        """
        loaded = self._text_for(person)
        if full:
            copy = self._copy_for(person, revision)
            email, carried = self._make(person, copy, revision, date, full=True)
            subject, size, own = email.subject, len(email.data), self._own_cc(person, loaded)
        else:
            subject, size = loaded.check(person), None
            carried = self._attachments.of(person, loaded, revision)
            own = self._own_cc(person, loaded)
            self._check_headers(person, own, subject, loaded.language, date, carried)

        def text() -> str:
            return loaded.shown(person, self._leave(self._copy_for(person, revision)))

        return CheckedCopy(loaded.language, subject, carried.own_files, size, text, own)

    def settled(self, person: Person) -> Settled | None:
        """What `check` says of all copies with the same cells filled; None: it looks at each.

        That holds for mailboxes in ASCII and for cells in which nothing is unusual, but not for
        columns that count as yes or no: there it depends on what the cell says.
        """
        return None if self._attachments.vary else self._text_for(person).settled(person)

    def trial(
        self, person: Person, date: datetime, to: Mailbox, revision: int = 1
    ) -> tuple[Email, Shown]:
        """A person's copy for somebody else (`to`) who tries the letter out, and how it reads.

        Its Message-ID belongs to no copy, its token unsubscribes nobody, and nobody is in copy.
        """
        message_id, boundary = identity.chance_message_id(self._domain), identity.chance_boundary()
        token = identity.chance_unsubscribe_token() if self._mailing else ""
        copy = CopyIdentity(to, self._sender.addr_spec, message_id, boundary, token=token)
        email, carried = self._make(person, copy, revision, date, full=True)
        return email, self._show(person, copy, carried, date)

    def show(self, person: Person, revision: int, date: datetime) -> Shown:
        """A person's copy for reading."""
        carried = self._attachments.of(person, self._text_for(person), revision)
        return self._show(person, self._copy_for(person, revision), carried, date)

    def html(self, person: Person, revision: int) -> str:
        """The HTML of a person's copy, with its pictures in it."""
        loaded = self._text_for(person)
        page = loaded.html(person, self._leave(self._copy_for(person, revision)))
        return self._attachments.with_pictures(page, loaded.language)

    def typeset(self, person: Person) -> bytes:
        """A person's copy as a PDF."""
        return self._attachments.typesetter.document(person, self._text_for(person))

    def _text_for(self, person: Person) -> LoadedText:
        language, _ = self.language_of(person)
        if language not in self._texts:
            self._texts[language] = load_text(self._frozen, language)
        return self._texts[language]

    def _copy_for(self, person: Person, revision: int) -> CopyIdentity:
        frozen, address = self._frozen, person.queued_as or person.mailbox.addr_spec
        whose = Identity(frozen.campaign_id, frozen.letter, revision, address)
        mail_from = self._sender.addr_spec
        if self._return_path:
            token = self._signer.return_path_token(whose)
            mail_from = self._return_path.replace("{token}", token)
        message_id, boundary = self._signer.message_id_and_boundary(whose, self._domain)
        thread = thread_of(person)
        token = self._signer.unsubscribe_token(whose) if self._mailing else ""
        cc = (*self._cc, *self._own_cc(person, self._text_for(person)))
        return CopyIdentity(
            person.mailbox, mail_from, message_id, boundary, cc, self._bcc, thread, token
        )

    def _own_cc(self, person: Person, loaded: LoadedText) -> tuple[Mailbox, ...]:
        """Who gets a copy because the row says so, and does not get it anyway."""
        if not loaded.cc:
            return ()
        own = {folded(one.addr_spec): one for one in reversed(loaded.copied(person))}
        known = {*self._copied, *self.left_out, folded(person.mailbox.addr_spec)}
        found = tuple(one for key, one in reversed(own.items()) if key not in known)
        if len(found) + len(self._copied) > COPIES_LIMIT:
            what = f"the row adds {len(found)} addresses in cc"
            hint = f"A letter has at most {COPIES_LIMIT} in cc and bcc"
            raise refused_row(person, CellRefused(what, hint), loaded.cc_place, "copies")
        return found

    def _leave(self, copy: CopyIdentity) -> str:
        return self._mailing.link(copy.token) if self._mailing else ""

    def _make(
        self, person: Person, copy: CopyIdentity, revision: int, date: datetime, *, full: bool
    ) -> tuple[Email, CarriedParts]:
        loaded = self._text_for(person)
        filled = loaded.fill(person, self._leave(copy))
        carried = self._attachments.of(person, loaded, revision)
        try:
            data = self._assembler.assemble(copy, filled, loaded.language, date, carried, full=full)
        except CellRefused as refusal:
            raise refused_row(person, refusal) from None
        # The header block was checked too, and between the parts stands nothing but a boundary.
        # Files that the copy carries were not checked.
        is_whole = filled.is_whole and not (carried.pictures or carried.attached)
        envelope = self._assembler.envelope(copy)
        email = Email(envelope, data, copy.message_id, filled.subject, loaded.language, is_whole)
        return email, carried

    def _check_headers(
        self,
        person: Person,
        own: tuple[Mailbox, ...],
        subject: str,
        language: str,
        date: datetime,
        carried: CarriedParts,
    ) -> None:
        """Check what only a row decides; tests show that the other headers are sound."""
        try:
            check_name(person.mailbox.display_name)
            if own or person.mailbox.needs_smtputf8:
                cc = (*self._cc, *own)
                copy = CopyIdentity(person.mailbox, "", "<0@sender>", "=_0", cc, self._bcc)
                self._assembler.header_block(copy, subject, language, date, carried)
        except CellRefused as refusal:
            raise refused_row(person, refusal) from None

    def _show(
        self, person: Person, copy: CopyIdentity, carried: CarriedParts, date: datetime
    ) -> Shown:
        loaded, leave = self._text_for(person), self._leave(copy)
        values = {
            "Date": date_header(date).partition(": ")[2].strip(),
            "From": str(self._sender),
            "Reply-To": str(self._frozen.sender_reply_to),
            "To": str(copy.to),
            "Cc": ", ".join(map(str, copy.cc)),
            "Subject": loaded.subject_for(person, leave),
            "Message-ID": copy.message_id,
            "In-Reply-To": copy.thread[-1] if copy.thread else "",
            "References": " ".join(copy.thread),
            "MIME-Version": "1.0",
            "Content-Language": loaded.language,
            "Content-Type": f'multipart/alternative; boundary="{copy.boundary}"',
            **(self._mailing.values(copy.token) if self._mailing else {}),
        }
        headers = [(name, values[name]) for name in self._assembler.header_names(copy)]
        return Shown(headers, loaded.shown(person, leave), carried.names)


class Assembler:
    """Makes the bytes of one sender's copies; `mailing` has the headers of a bulk letter."""

    def __init__(
        self, sender: Mailbox, reply_to: Mailbox | None, mailing: Mailing | None = None
    ) -> None:
        self._mailing = mailing
        self._mailing_names = mailing.names if mailing else ()
        self._from: dict[str, tuple[Mailbox, ...]] = {"From": (sender,)}
        if reply_to:
            self._from["Reply-To"] = (reply_to,)
        self._from_lines = "".join(mailbox_header(*line) for line in self._from.items())
        self._is_ascii = self._from_lines.isascii()
        self._read: set[MimePart] = set()  # parts of all copies that were read back
        self._date: tuple[datetime, str] | None = None

    def envelope(self, copy: CopyIdentity) -> Envelope:
        """Where a copy goes: to each mailbox once."""
        rcpt_to: tuple[str, ...] = (copy.to.addr_spec,)
        if others := copy.cc + copy.bcc:
            boxes = {folded(box): box for box in rcpt_to}
            for one in others:
                boxes.setdefault(folded(one.addr_spec), one.addr_spec)
            rcpt_to = tuple(boxes.values())
        is_ascii = self._is_ascii and "".join((copy.mail_from, *rcpt_to)).isascii()
        return Envelope(copy.mail_from, rcpt_to, not is_ascii)

    def header_names(self, copy: CopyIdentity) -> tuple[str, ...]:
        """The names of a copy's headers, in their order."""
        names = ["Date", *self._from, "To"]
        names += ["Cc"] if copy.cc else []
        names += ["Subject", "Message-ID"]
        names += ["In-Reply-To", "References"] if copy.thread else []
        return (*names, "MIME-Version", "Content-Language", "Content-Type", *self._mailing_names)

    def assemble(
        self,
        copy: CopyIdentity,
        filled: Filled,
        language: str,
        date: datetime,
        carried: CarriedParts,
        *,
        full: bool,
    ) -> bytes:
        """The bytes of a copy; its headers are checked, and with `full` all of it is read back.

        CellRefused if another program would not read it as it was meant.
        """
        block = self.header_block(copy, filled.subject, language, date, carried)
        data = b"".join([block, *_body(copy.boundary, filled, carried)])
        if full:
            self._read_back(data, block, copy, filled, carried)
        return data

    def header_block(
        self, copy: CopyIdentity, subject: str, language: str, date: datetime, carried: CarriedParts
    ) -> bytes:
        """The headers of a copy, checked as in `assemble`."""
        check_name(copy.to.display_name)
        cc = mailbox_header("Cc", copy.cc) if copy.cc else ""
        kind = "mixed" if carried.attached else "alternative"
        mailing = self._mailing.headers(copy.token) if self._mailing else ""
        block = (
            f"{self._date_line(date)}{self._from_lines}{mailbox_header('To', (copy.to,))}{cc}"
            f"{subject_header(subject)}Message-ID: {copy.message_id}\r\n"
            f"{thread_headers(copy.thread)}MIME-Version: 1.0\r\n"
            f"Content-Language: {language}\r\n{_multipart(kind, copy.boundary)}{mailing}"
        ).encode()
        check_block(block, self.header_names(copy))
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

    def meant(self, copy: CopyIdentity, subject: str, carried: CarriedParts) -> "Expected":
        """What a copy is to be read back as."""
        mailboxes = {**self._from, "To": (copy.to,)}
        if copy.cc:
            mailboxes["Cc"] = copy.cc
        pictures = tuple(part.meant for part in carried.pictures)
        attached = tuple(part.meant for part in carried.attached)
        return Expected(self.header_names(copy), subject, mailboxes, pictures, attached)

    def _date_line(self, date: datetime) -> str:
        # The letters of a second share one object; equal dates can differ in their zone.
        if self._date is None or self._date[0] is not date:
            self._date = (date, date_header(date))
        return self._date[1]


def _multipart(kind: str, boundary: str, parameter: str = "") -> str:
    return (
        f"Content-Type: multipart/{kind};{parameter}\r\n"
        f' boundary="{_boundary_of(kind, boundary)}"\r\n'
    )


def _boundary_of(kind: str, boundary: str) -> str:
    """One boundary for each kind; none is the beginning of another (RFC 2046 5.1.2)."""
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


def _parts(boundary: str, parts: Sequence[MimePart]) -> Iterator[bytes]:
    line = f"--{boundary}".encode("ascii")
    for part in parts:
        yield b"".join((line, b"\r\n", part.head, b"\r\n"))
        yield part.body
    yield line + b"--\r\n"


class Expected(NamedTuple):
    """What an email is meant to say."""

    names: tuple[str, ...]  # of its headers, in order
    subject: str
    mailboxes: dict[str, tuple[Mailbox, ...]]  # of each header that holds some
    pictures: tuple[ExpectedPart, ...] = ()
    attached: tuple[ExpectedPart, ...] = ()


def check_block(block: bytes, names: tuple[str, ...]) -> None:
    """Refuse a header block that holds anything but these headers, in this order."""
    if not _block_pattern(names).fullmatch(block):
        raise CellRefused("the headers would not be read back as they were meant", _HINT)


@lru_cache(maxsize=64)
def _block_pattern(names: tuple[str, ...]) -> re.Pattern[bytes]:
    # One line of visible text, then lines that begin with a space and hold visible text: no bare CR
    # or LF, no control character, no line that could be taken for the end of the block.
    text = rb"[ -~\x80-\xff]*[!-~\x80-\xff]"
    value = rb": " + text + rb"(?:\r\n " + text + rb")*\r\n"
    return re.compile(b"".join(name.encode() + value for name in names))


def read_back(data: bytes, meant: Expected) -> None:
    """Parse an email, and refuse it if it does not say what it was meant to say."""
    message = email.message_from_string(data.decode())
    if different := _difference(message, meant):
        raise CellRefused(f"{different} would not be read back as it was meant", _HINT)


def _difference(message: Message, meant: Expected) -> str | None:
    if tuple(message.keys()) != meant.names:
        return "the list of headers"
    raw = dict(message.raw_items())
    if _READER("Subject", raw["Subject"]) != meant.subject:
        return "the subject"
    for name, mailboxes in meant.mailboxes.items():
        if _addresses(name, raw[name]) != tuple(mailbox.addr_spec for mailbox in mailboxes):
            return f"an address in {name}"
        if _mailboxes(raw[name]) != mailboxes:
            return f"a name in {name}"
    if [part.get_content_type() for part in message.walk()] != list(_types(meant)):
        return "the list of parts"
    return _different_file(message, meant)


def _types(meant: Expected) -> Iterator[str]:
    """The types of an email's parts, each before those in it."""
    if meant.attached:
        yield "multipart/mixed"
    yield from ("multipart/alternative", "text/plain")
    if meant.pictures:
        yield "multipart/related"
    yield "text/html"
    yield from (part.content_type for part in (*meant.pictures, *meant.attached))


def _different_file(message: Message, meant: Expected) -> str | None:
    files = (*meant.pictures, *meant.attached)
    leaves = [part for part in message.walk() if not part.is_multipart()][2:]
    for part, file in zip(leaves, files, strict=True):
        name = quoted(file.filename) if file.filename else "an image"
        if part.get_filename() != file.filename or part["Content-ID"] != file.content_id:
            return f"the name of {name}"
        if part.get_content_disposition() != ("attachment" if file.filename else "inline"):
            return f"the place of {name}"
        content = part.get_payload(decode=True)
        if not isinstance(content, bytes) or hashlib.sha256(content).hexdigest() != file.sha256:
            return f"the content of {name}"
    return None


@lru_cache(maxsize=16)  # most copies have the same From
def _addresses(name: str, header: str) -> tuple[str, ...]:
    return tuple(address.addr_spec for address in _READER(name, header).addresses)


@lru_cache(maxsize=16)
def _mailboxes(header: str) -> tuple[Mailbox, ...]:
    """The mailboxes of a header, by the standard library's older parser."""
    # The newer one of Python 3.11 keeps the blanks between two encoded words, against RFC 2047 6.2,
    # and collapses two blanks within one of them.
    found = getaddresses([header.replace("\r\n", "")])
    return tuple(Mailbox(str(make_header(decode_header(name))), spec) for name, spec in found)
