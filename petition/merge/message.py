"""One email for one person: envelope and bytes."""

import hashlib
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
from petition.merge.assembly import Assembler, Copy, Envelope
from petition.merge.document import Frozen
from petition.merge.files import Files
from petition.merge.headers import check_name, date_header
from petition.merge.loaded import MARK_BEGIN, MARK_END, LoadedText, load_text, refused_row
from petition.merge.loads import Loads
from petition.merge.mailing import Mailing
from petition.merge.previous import thread_of
from petition.merge.refusals import CellRefused

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
        self._loads = Loads(frozen, files or Files(Path()))

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
                copy = Copy(person.mailbox, "", "<0@sender>", "=_0", self._cc, self._bcc)
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
        copy = Copy(to, self._sender.addr_spec, message_id, chance_boundary(), token=token)
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

    def _show(self, person: Person, copy: Copy, revision: int, date: datetime) -> Shown:
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

    def _leave(self, copy: Copy) -> str:
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

    def _copy_for(self, person: Person, revision: int) -> Copy:
        frozen, address = self._frozen, person.queued_as or person.mailbox.addr_spec
        identity = Identity(frozen.campaign_id, frozen.letter, revision, address)
        mail_from = self._sender.addr_spec
        if self._return_path:
            token = self._signer.return_path_token(identity)
            mail_from = self._return_path.replace("{token}", token)
        message_id, boundary = self._signer.message_id_and_boundary(identity, self._domain)
        thread = thread_of(person)
        token = self._signer.unsubscribe_token(identity) if self._mailing else ""
        return Copy(
            person.mailbox, mail_from, message_id, boundary, self._cc, self._bcc, thread, token
        )

    def _build(
        self, person: Person, copy: Copy, revision: int, date: datetime, *, full: bool
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
