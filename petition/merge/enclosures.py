"""What a letter carries beside its words: attachments, pictures in its text, a calendar file.

What all copies have in common is frozen with the letter, bytes and all. What only one row has is
hashed with its row: the log keeps the path and the hash, and a copy is made of no other file.
"""

from base64 import b64encode
from collections.abc import Mapping, Sequence
from typing import Any

from petition.campaign.letter import Letter
from petition.campaign.names import quoted
from petition.errors import Problem
from petition.merge.files import LETTER_LIMIT, File, Files
from petition.merge.part import content_id, picture_type, type_of
from petition.merge.refusals import CellRefused, FileRefused, ValueRefused
from petition.merge.template import compile_path
from petition.merge.typeset import can_typeset, layout, missing_typst

# The key under which the log keeps a row's own files beside its fields; no column has such a name.
PROMISED = "_enclosures"

# The attachment that is the letter itself, where the campaign has no such file.
LETTER_PDF = "letter.pdf"

_REMOTE = ("http:", "https:", "//", "data:", "cid:", "file:")


class Gathering:
    """Gathers what all copies of a letter carry, while it is frozen.

    Args:
        letter: The letter.
        files: Reads the files.
        problems: Gets what is wrong.
    """

    def __init__(self, letter: Letter, files: Files, problems: list[Problem]) -> None:
        self._letter = letter
        self._files = files
        self._problems = problems
        self._contents: dict[str, File] = {}
        self._pictures: dict[str, dict[str, Any]] = {}
        self._attached = 0

    def attachments(self, known: Mapping[str, Sequence[str]]) -> list[dict[str, Any]]:
        """The attachments as JSON has them.

        Args:
            known: What their paths can name, each with its fields.
        """
        text = self._letter.default_text
        line = text.line_of("attachments")
        described = []
        for path in self._letter.front.attachments:
            before = len(self._problems)
            template = compile_path(text.file, line, path, known, self._problems)
            if len(self._problems) > before:
                continue
            if template.source == LETTER_PDF and not self._files.has(LETTER_PDF):
                described.append({"line": line, "path": LETTER_PDF, "layout": layout()})
                self._judge_typeset(text.file, line)
            elif template.lines:
                described.append({"line": line, "template": template.source})
                described[-1] |= {"lines": list(template.lines)}
            elif shared := self._shared(template.source, text.file, line):
                described.append({"line": line, **shared})
        try:
            refuse_large(self._attached + self._picture_bytes())
        except CellRefused as refusal:
            self._problems.append(Problem(text.file, line, refusal.what, refusal.mend))
        return described

    def _judge_typeset(self, file: str, line: int) -> None:
        if not can_typeset():
            self._problems.append(missing_typst(file, line))
        if self._letter.front.kind == "bulk":
            what = f"{LETTER_PDF} is set anew for each person, which a bulk letter has no time for"
            mend = "Save one with petition preview --pdf FILE, and attach that file"
            self._problems.append(Problem(file, line, what, mend))

    def _shared(self, path: str, file: str, line: int) -> dict[str, Any] | None:
        try:
            found = self._files.read(path)
        except CellRefused as refusal:
            what = f"the attachment {refusal.what}"
            self._problems.append(Problem(file, line, what, refusal.mend))
            return None
        self._contents[found.sha256] = found
        self._attached += len(found.data)
        meant = found.part.meant
        kind = type_of(meant.filename or "", found.data)
        return {"path": path, "name": meant.filename, "type": kind, "sha256": found.sha256}

    def _picture_bytes(self) -> int:
        return sum(len(self._contents[sha].data) for sha in self._pictures)

    def picture(self, path: str) -> str:
        """The link under which the HTML shows a picture.

        Args:
            path: Where the letter says that it is.

        Raises:
            ValueRefused: It cannot be shown.
        """
        if path.lower().startswith(_REMOTE):
            what = f"the image {quoted(path)} is not in the campaign folder"
            mend = "Save it in the folder and write its path, or write a link to it"
            raise ValueRefused(what, mend)
        try:
            found = self._files.read(path)
        except CellRefused as refusal:
            raise ValueRefused(f"the image {refusal.what}", refusal.mend) from None
        kind = picture_type(found.data)
        if kind is None:
            what = f"the image {quoted(path)} is neither PNG nor JPEG nor GIF"
            raise ValueRefused(what, "Save it as one of them; many mail programs show no other")
        self._contents[found.sha256] = found
        self._pictures[found.sha256] = {"path": path, "type": kind, "sha256": found.sha256}
        return f"cid:{content_id(found.sha256)}"

    def pictures_in(self, page: str) -> list[dict[str, Any]]:
        """The pictures that a page shows, each once, as JSON has them."""
        shown = [one for sha, one in self._pictures.items() if content_id(sha) in page]
        return sorted(shown, key=lambda one: page.index(content_id(one["sha256"])))

    def contents(self) -> dict[str, str]:
        """The bytes of all the files, in base64, by their hash."""
        ordered = sorted(self._contents.items())
        return {sha: b64encode(found.data).decode("ascii") for sha, found in ordered}


def refuse_large(size: int) -> None:
    """Refuse a copy that carries too many bytes.

    Raises:
        CellRefused: It does.
    """
    if size > LETTER_LIMIT:
        what = f"the letter carries {size / 1_000_000:.1f} MB"
        mend = f"Attach at most {LETTER_LIMIT // 1_000_000} MB, and write links to the rest"
        raise CellRefused(what, mend)


def promise_of(files: Sequence[File]) -> str:
    """A row's own files as the log keeps them: a line each, as sha256sum writes it."""
    return "".join(f"{file.sha256}  {file.path}\n" for file in files)


def promised_files(promise: str) -> dict[str, str]:
    """The hashes of a row's own files by their paths, of what `promise_of` made."""
    lines = (line.partition("  ") for line in promise.splitlines())
    return {path: sha256 for sha256, _, path in lines}


def read_own(paths: Sequence[str], files: Files, promised: str | None) -> list[File]:
    """A row's own files.

    Args:
        paths: Their paths.
        files: Reads them.
        promised: What they were when the row was queued; None: it was not.

    Raises:
        CellRefused: A file cannot be carried.
    """
    found = []
    for path in paths:
        try:
            found.append(files.read_own(path, promised))
        except CellRefused as refusal:
            raise type(refusal)(f"the attachment {refusal.what}", refusal.mend) from None
    return found


def keep_promise(found: Sequence[File], promised: str | None, *, is_typeset: bool) -> None:
    """Refuse a row's own files that are not the ones that were queued.

    Args:
        found: The files as they are.
        promised: What they were when the row was queued; None: it was not.
        is_typeset: Whether the letter's own PDF is among them.

    Raises:
        CellRefused: One is another.
    """
    if promised is None or promise_of(found) == promised:
        return
    lines = set(promised.splitlines())
    other = [file.path for file in found if f"{file.sha256}  {file.path}" not in lines]
    named = quoted(other[0]) if other else "of the row"
    what = f"the attachment {named} has changed since the letter was queued"
    if other == [LETTER_PDF] and is_typeset:
        mend = "Install the version of typst that it was set with, or send with --revise"
        raise FileRefused(what, mend)
    raise CellRefused(what, "Put the file back as it was, then petition retry")
