"""A frozen letter as everybody may read it: without a recipient, as a page and as a PDF."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import cached_property
from pathlib import Path

from petition.address import Mailbox
from petition.campaign.people import Person
from petition.errors import MergeRefused
from petition.merge.attachments import Attachments, Files
from petition.merge.document import Frozen
from petition.merge.fill import load_text
from petition.merge.pdf import Element, Typesetter, layout, read_page
from petition.template.fields import Everybody

# Above each page; the layout of letters leaves that place free.
_HEADER = '#set page(header: text(size: 9pt, weight: "bold", fill: rgb("#9c2a22"), {}))\n'


def is_open(frozen: Frozen) -> bool:
    """Whether a letter is one that everybody may read: personal, and no follow-up."""
    return not (frozen.is_bulk or frozen.document.get("follows"))


class OpenLetter:
    """A letter in one language of its own; where a copy has a cell of its row, it says "…".

    A condition takes each cell for empty: what the letter says to somebody of whom nothing is known
    is what everybody reads. MergeRefused if it cannot be merged so.
    """

    def __init__(self, frozen: Frozen, language: str) -> None:
        self.language = language
        self._frozen = frozen
        self._loaded = load_text(frozen, language)
        nobody = Mailbox("", "everybody@invalid")
        self._reader = Person("", 0, 0, "", nobody, language, Everybody())

    @cached_property
    def subject(self) -> str:
        """Its subject."""
        with _explained():
            return self._loaded.subject_for(self._reader)

    @cached_property
    def blocks(self) -> list[Element]:
        """Its text as read_page has it; each picture is a `data:` address."""
        with _explained():
            page = self._loaded.html(self._reader)
        files = Attachments(self._frozen, Files(Path()))
        return read_page(files.with_pictures(page, self.language))

    def pdf(self, stamp: str = "") -> bytes:
        """Its PDF, each page of it with a stamp above; MergeHindered if typst is not installed."""
        # A text of ours: without control characters it is the same in JSON and in typst.
        header = _HEADER.format(json.dumps(stamp, ensure_ascii=False)) if stamp else ""
        source = header + layout()
        place = self._frozen.file(self.language), None
        return Typesetter(self._frozen, source, place).document(self._reader, self._loaded)


@contextmanager
def _explained() -> Iterator[None]:
    """Say of what a letter cannot do for everybody why that is."""
    try:
        yield
    except MergeRefused as why:
        hint = "For the public each cell is empty: write {% if %} around what needs one"
        raise MergeRefused(replace(why.problem, hint=hint)) from None
