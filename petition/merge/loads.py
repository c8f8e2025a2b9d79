"""What each copy of a frozen letter carries: the parts of all, made once, and those of one row."""

from base64 import b64encode
from functools import cached_property
from typing import Any

from petition.campaign.people import Person
from petition.merge.calendar import calendar_part
from petition.merge.carried import Carried
from petition.merge.document import Frozen
from petition.merge.enclosures import (
    LETTER_PDF,
    PROMISED,
    keep_promise,
    promise_of,
    read_own,
    refuse_large,
)
from petition.merge.files import File, Files
from petition.merge.loaded import LoadedText, refused_row
from petition.merge.part import Part, attachment_of, content_id, picture_of
from petition.merge.refusals import CellRefused
from petition.merge.typeset import Typesetter, layout


class Loads:
    """What the copies of a letter carry.

    Args:
        frozen: The letter.
        files: Reads the files that are not frozen with it.
    """

    def __init__(self, frozen: Frozen, files: Files) -> None:
        self._frozen = frozen
        self._files = files
        self._pictures: dict[str, tuple[Part, ...]] = {}
        self._calendars: dict[int, tuple[Part, ...]] = {}
        self._shared: dict[tuple[str, int], Carried] = {}

    def of(self, person: Person, loaded: LoadedText, revision: int) -> Carried:
        """What a person's copy carries.

        Args:
            person: Whom it is for.
            loaded: The letter in their language.
            revision: The letter's revision.

        Raises:
            MergeRefused: A file of their own cannot be carried.
        """
        key = loaded.language, revision
        if key not in self._shared:
            attached = (*self._attachments, *self._calendar(revision))
            pictures = self._pictures_of(loaded.language)
            self._shared[key] = Carried(pictures, attached, len(attached))
        shared = self._shared[key]
        if not self.has_own:
            return shared
        own = tuple(file.part for file in self._own(person, loaded))
        return Carried(shared.pictures, (*shared.attached, *own), shared.shared)

    def promise(self, person: Person, loaded: LoadedText) -> dict[str, str]:
        """What the log is to keep of a person's own files, beside the fields of the row.

        Raises:
            MergeRefused: A file of their own cannot be carried.
        """
        if not self.has_own:
            return {}
        return {PROMISED: promise_of(self._own(person, loaded))}

    def with_pictures(self, page: str, language: str) -> str:
        """A page that shows its pictures where there is no email around it."""
        for one in self._frozen.pictures(language):
            data = b64encode(self._frozen.content(one["sha256"])).decode("ascii")
            link = f"data:{one['type']};base64,{data}"
            page = page.replace(f"cid:{content_id(one['sha256'])}", link)
        return page

    def typeset(self, person: Person, loaded: LoadedText) -> bytes:
        """A person's letter as a PDF.

        Args:
            person: Whom it is for.
            loaded: The letter in their language.

        Raises:
            MergeRefused: It cannot be merged or typeset.
        """
        return self._typesetter.document(person, loaded)

    def _own(self, person: Person, loaded: LoadedText) -> list[File]:
        paths, promised = loaded.own_paths(person), person.fields.get(PROMISED)
        try:
            found = read_own(paths, self._files, promised)
            if self._typeset_entry:
                found.append(File(LETTER_PDF, self.typeset(person, loaded)))
            is_typeset = self._typeset_entry is not None
            keep_promise(found, promised, is_typeset=is_typeset)
            refuse_large(self._shared_size + sum(len(file.data) for file in found))
        except CellRefused as refusal:
            raise refused_row(person, refusal, self._place, "attaches") from None
        return found

    @property
    def _place(self) -> str:
        """Where the letter names its attachments."""
        language = self._frozen.languages[0]
        line = next(one["line"] for one in self._frozen.attachments if "sha256" not in one)
        return f"{self._frozen.file(language)}:{line}"

    @cached_property
    def has_own(self) -> bool:
        """Whether copies carry files of their own."""
        return any("sha256" not in one for one in self._frozen.attachments)

    @cached_property
    def _typeset_entry(self) -> dict[str, Any] | None:
        """The attachment that is the letter itself."""
        return next((one for one in self._frozen.attachments if "layout" in one), None)

    @cached_property
    def _typesetter(self) -> Typesetter:
        entry = self._typeset_entry
        file = self._frozen.file(self._frozen.languages[0])
        if entry:
            return Typesetter(self._frozen, entry["layout"], (file, entry["line"]))
        return Typesetter(self._frozen, layout(), (file, None))

    @cached_property
    def _shared_size(self) -> int:
        """The bytes that every copy carries; of pictures those of all languages."""
        hashes = [one["sha256"] for one in self._frozen.attachments if "sha256" in one]
        for language in self._frozen.languages:
            hashes += [one["sha256"] for one in self._frozen.pictures(language)]
        return sum(len(self._frozen.content(sha256)) for sha256 in hashes)

    @cached_property
    def _attachments(self) -> tuple[Part, ...]:
        return tuple(
            attachment_of(one["name"], self._frozen.content(one["sha256"]), one["type"])
            for one in self._frozen.attachments
            if "sha256" in one
        )

    def _pictures_of(self, language: str) -> tuple[Part, ...]:
        if language not in self._pictures:
            self._pictures[language] = tuple(
                picture_of(
                    content_id(one["sha256"]), one["type"], self._frozen.content(one["sha256"])
                )
                for one in self._frozen.pictures(language)
            )
        return self._pictures[language]

    def _calendar(self, revision: int) -> tuple[Part, ...]:
        if revision not in self._calendars:
            part = calendar_part(self._frozen, revision)
            self._calendars[revision] = (part,) if part else ()
        return self._calendars[revision]
