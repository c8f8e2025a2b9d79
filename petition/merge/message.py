"""One person's email, step by step.

A letter is compiled (`template.compile`) and frozen (`freeze`) once: its Jinja tags are put aside,
its Markdown becomes one tree, and from that tree come the HTML and the plain text, both templates
again. For each person the frozen document is filled (`fill`), assembled with what it carries, and
read back (both `assemble`).
"""

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import NamedTuple

from petition.address import Mailbox
from petition.campaign.people import Person
from petition.identity import (
    Identity,
    Signer,
    chance_boundary,
    chance_message_id,
    chance_unsubscribe_token,
)
from petition.merge.assemble import Assembler, CopyIdentity, Envelope
from petition.merge.attachments import Attachments, Files
from petition.merge.document import Frozen
from petition.merge.fill import MARK_BEGIN, MARK_END, LoadedText, load_text, refused_row
from petition.merge.headers import Mailing, check_name, date_header
from petition.merge.mime_parts import CarriedParts
from petition.template.fields import CellRefused, thread_of

__all__ = ["MARK_BEGIN", "MARK_END", "CheckedCopy", "Email", "Envelope", "Merger", "Shown"]


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


@dataclass(frozen=True, slots=True)
class Shown:
    """A copy as a person reads it."""

    headers: list[tuple[str, str]]  # decoded, in their order
    text: str  # the plain text, `MARK_BEGIN` and `MARK_END` around each merged value
    attached: tuple[str, ...] = ()  # the names of the files that come with it


@dataclass(frozen=True, slots=True)
class CheckedCopy:
    """What checking, linting and planning need of a copy, from one merge of it."""

    language: str  # the language tag of its text
    subject: str
    own_files: Mapping[str, str]  # the fields by which the log knows the files of this copy alone
    size: int | None  # in bytes; None if it was checked without being made
    text: Callable[[], str]  # renders the plain text, with marks around each merged value


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
        self._return_path = frozen.return_path
        self._mailing = Mailing.of(frozen)
        self._assembler = Assembler(self._sender, frozen.sender_reply_to, self._mailing)
        self._cc = frozen.cc
        self._bcc = frozen.bcc
        self._languages = frozen.languages
        self._texts: dict[str, LoadedText] = {}
        self._attachments = Attachments(frozen, files or Files(Path()))

    @property
    def recipients_each(self) -> int:
        """The largest number of mailboxes that a copy goes to."""
        return 1 + len(self._cc) + len(self._bcc)

    def language_of(self, person: Person) -> tuple[str, bool]:
        """The language in which a person gets the letter, and whether it is a fallback."""
        languages = self._languages
        if not person.language:
            return languages[0], False
        for tag in (person.language, person.language.partition("-")[0]):
            if tag in languages:
                return tag, False
        return languages[0], True

    def merge(self, person: Person, revision: int, date: datetime, *, full: bool) -> Email:
        """The copy for one person.

        With `full` it is parsed as another program would, and compared; otherwise only its headers
        are checked.
        """
        return self._make(person, self._copy_for(person, revision), revision, date, full=full)[0]

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
            subject, size = email.subject, len(email.data)
        else:
            subject, size = loaded.check(person), None
            carried = self._attachments.of(person, loaded, revision)
            self._check_headers(person, subject, loaded.language, date, carried)

        def text() -> str:
            return loaded.shown(person, self._leave(self._copy_for(person, revision)))[1]

        return CheckedCopy(loaded.language, subject, carried.own_files, size, text)

    def trial(
        self, person: Person, date: datetime, to: Mailbox, revision: int = 1
    ) -> tuple[Email, Shown]:
        """A person's copy for somebody else (`to`) who tries the letter out, and how it reads.

        Its Message-ID belongs to no copy, its token unsubscribes nobody, and nobody is in copy.
        """
        message_id = chance_message_id(self._domain)
        token = chance_unsubscribe_token() if self._mailing else ""
        copy = CopyIdentity(to, self._sender.addr_spec, message_id, chance_boundary(), token=token)
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
        self, person: Person, subject: str, language: str, date: datetime, carried: CarriedParts
    ) -> None:
        """Check what only a row decides; tests show that the other headers are sound."""
        try:
            check_name(person.mailbox.display_name)
            if person.mailbox.needs_smtputf8:
                copy = CopyIdentity(person.mailbox, "", "<0@sender>", "=_0", self._cc, self._bcc)
                self._assembler.header_block(copy, subject, language, date, carried)
        except CellRefused as refusal:
            raise refused_row(person, refusal) from None

    def _show(
        self, person: Person, copy: CopyIdentity, carried: CarriedParts, date: datetime
    ) -> Shown:
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
        return Shown(headers, text, carried.names)
