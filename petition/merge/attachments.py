"""Attachments, pictures and files of single rows: found, limited, read once a run.

What a letter may carry is what an organiser has put into the campaign folder for it: neither a file
from elsewhere, whatever a cell says, nor the lists of people, the settings or the log.

What all copies have in common is frozen with the letter, bytes and all. What only one row has is
hashed with its row: the log keeps the path and the hash, and a copy is made of no other file.
"""

import hashlib
import os
import stat
from base64 import b64encode
from collections import OrderedDict
from collections.abc import Collection, Mapping, Sequence
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import Any
from unicodedata import category

from petition.campaign.folder import SETTINGS_FILE, Campaign
from petition.campaign.letter import Letter
from petition.campaign.names import quoted
from petition.campaign.people import Person
from petition.campaign.text_file import find_file, unreadable
from petition.errors import Problem
from petition.merge.document import Frozen
from petition.merge.mime_parts import (
    CarriedParts,
    Part,
    attachment_of,
    calendar_part,
    content_id,
    picture_of,
    picture_type,
    type_of,
)
from petition.merge.pdf import Typesetter, can_typeset, layout, missing_typst
from petition.merge.renderer import LoadedText, refused_row
from petition.merge.template.compile import compile_path
from petition.merge.template.fields import CellRefused, FileRefused, ValueRefused

FILE_LIMIT = 10_000_000  # bytes of one file
LETTER_LIMIT = 20_000_000  # bytes of all files of one copy, before they are encoded

_KEPT = 64_000_000  # bytes of files and their encoded forms that are kept in memory
_ENCODED = 2.4  # a file and its encoded form beside the file alone
_PATH_LENGTH = 1_000

_LOGS = frozenset({".db", ".db-wal", ".db-shm", ".lock", ".sqlite", ".sqlite3"})
_OUTBOX = "outbox"


class File:
    """A file as it was read.

    Args:
        path: Its path relative to the campaign folder.
        data: Its bytes.
    """

    def __init__(self, path: str, data: bytes) -> None:
        self.path = path
        self.data = data
        self.sha256 = hashlib.sha256(data).hexdigest()

    @cached_property
    def part(self) -> Part:
        """The file as an attachment."""
        return attachment_of(PurePosixPath(self.path).name, self.data)


class Files:
    """Reads the files of one campaign; those used last are kept.

    Args:
        root: The campaign folder.
        private: Files that no letter may carry, relative to it.
    """

    def __init__(self, root: Path, private: Collection[str] = ()) -> None:
        self._root = root
        self._private = {SETTINGS_FILE, *private}
        self._kept: OrderedDict[str, File] = OrderedDict()
        self._size = 0
        self.asked: set[str] = set()  # paths of what was to be read, found or not

    @classmethod
    def of(cls, campaign: Campaign) -> "Files":
        """The files of a campaign, its lists of people being private."""
        return cls(campaign.root, campaign.settings.people.values())

    def has(self, path: str) -> bool:
        """Whether something of this name is in the campaign folder, whatever it is."""
        return os.path.lexists(self._root / path)

    def read(self, path: str) -> File:
        """A file within the campaign folder.

        Args:
            path: Its path relative to the folder, with forward slashes.

        Raises:
            CellRefused: There is no such file, or a letter may not or cannot carry it.
        """
        if file := self.kept(path):
            return file
        _judge_path(path)
        self.asked.add(path)
        return self.keep(path, File(path, self._content(path)))

    def read_own(self, path: str, promised: str | None) -> File:  # noqa: ARG002 (of workers)
        """A file that one row has."""
        return self.read(path)

    def kept(self, key: str) -> File | None:
        """A file that was read a while ago."""
        if key in self._kept:
            self._kept.move_to_end(key)
        return self._kept.get(key)

    def keep(self, key: str, file: File) -> File:
        """Keep a file for the next who asks; the oldest ones make room."""
        self._kept[key] = file
        self._size += len(file.data)
        while self._size * _ENCODED > _KEPT and len(self._kept) > 1:
            _, oldest = self._kept.popitem(last=False)
            self._size -= len(oldest.data)
        return file

    def _content(self, path: str) -> bytes:
        problems: list[Problem] = []
        found = find_file(self._root, path, problems)
        if found is None:
            raise FileRefused(f"{quoted(path)}: {problems[0].what}", problems[0].hint)
        self._refuse_private(path, found)
        try:
            data = _read(found)
        except OSError as why:
            what, hint = unreadable(why)
            raise FileRefused(f"{quoted(path)}: {what}", hint) from None
        if not data:
            raise FileRefused(f"{quoted(path)} is empty", "Put in the file that you meant")
        if len(data) > FILE_LIMIT:
            what = f"{quoted(path)} is larger than {FILE_LIMIT // 1_000_000} MB"
            raise FileRefused(what, "Make it smaller, or put it on the web and write a link to it")
        return data

    def _refuse_private(self, path: str, found: Path) -> None:
        inner = found.relative_to(self._root.resolve())
        is_ours = found.suffix.lower() in _LOGS or inner.parts[0] == _OUTBOX
        if is_ours or any(_is_same(found, self._root / name) for name in self._private):
            what = f"{quoted(path)} is one of the campaign's own files, which nobody is to be sent"
            raise CellRefused(what, "Attach another file")


def _is_same(one: Path, other: Path) -> bool:
    """Whether two paths lead to one file, by whatever links or spelling."""
    try:
        return one.samefile(other)
    except OSError:
        return False


def _judge_path(path: str) -> None:
    """Refuse a path that leads, or might lead, somewhere else than it seems to."""
    if unseen := next((char for char in path if category(char) in {"Cc", "Cs", "Zl", "Zp"}), ""):
        what = f"a path holds the control character U+{ord(unseen):04X}"
        raise CellRefused(what, "Type it anew")
    if not path.strip() or len(path) > _PATH_LENGTH:
        what = "the path is empty" if not path.strip() else f"{quoted(path)} is too long for a path"
        raise CellRefused(what, "Name a file of the campaign folder")
    if path.startswith("/") or "\\" in path or ".." in path.split("/"):
        what = f"{quoted(path)} leads out of the campaign folder"
        raise CellRefused(what, "Copy the file into the folder, and write its path with / alone")
    if any(part.startswith(".") for part in PurePosixPath(path).parts):
        raise CellRefused(f"{quoted(path)} is a hidden file", "Give it a name without the dot")


def _read(path: Path) -> bytes:
    # Between the look at it and its opening a FIFO can have taken the file's place.
    handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOFOLLOW)
    with os.fdopen(handle, "rb") as stream:
        if not stat.S_ISREG(os.fstat(handle).st_mode):
            raise OSError(0, "it is no ordinary file")
        return stream.read(FILE_LIMIT + 1)


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
            self._problems.append(Problem(text.file, line, refusal.what, refusal.hint))
        return described

    def _judge_typeset(self, file: str, line: int) -> None:
        if not can_typeset():
            self._problems.append(missing_typst(file, line))
        if self._letter.front.kind == "bulk":
            what = f"{LETTER_PDF} is set anew for each person, which a bulk letter has no time for"
            hint = "Save one with petition preview --pdf FILE, and attach that file"
            self._problems.append(Problem(file, line, what, hint))

    def _shared(self, path: str, file: str, line: int) -> dict[str, Any] | None:
        try:
            found = self._files.read(path)
        except CellRefused as refusal:
            what = f"the attachment {refusal.what}"
            self._problems.append(Problem(file, line, what, refusal.hint))
            return None
        self._contents[found.sha256] = found
        self._attached += len(found.data)
        meant = found.part.meant
        kind = type_of(meant.filename or "", found.data)
        return {"path": path, "name": meant.filename, "type": kind, "sha256": found.sha256}

    def _picture_bytes(self) -> int:
        return sum(len(self._contents[sha].data) for sha in self._pictures)

    def picture(self, path: str) -> str:
        """The link under which the HTML shows a picture."""
        if path.lower().startswith(_REMOTE):
            what = f"the image {quoted(path)} is not in the campaign folder"
            hint = "Save it in the folder and write its path, or write a link to it"
            raise ValueRefused(what, hint)
        try:
            found = self._files.read(path)
        except CellRefused as refusal:
            raise ValueRefused(f"the image {refusal.what}", refusal.hint) from None
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
    """Refuse a copy that carries too many bytes."""
    if size > LETTER_LIMIT:
        what = f"the letter carries {size / 1_000_000:.1f} MB"
        hint = f"Attach at most {LETTER_LIMIT // 1_000_000} MB, and write links to the rest"
        raise CellRefused(what, hint)


def promise_of(files: Sequence[File]) -> str:
    """A row's own files as the log keeps them: a line each, as sha256sum writes it."""
    return "".join(f"{file.sha256}  {file.path}\n" for file in files)


def promised_files(promise: str) -> dict[str, str]:
    """The hashes of a row's own files by their paths, of what `promise_of` made."""
    lines = (line.partition("  ") for line in promise.splitlines())
    return {path: sha256 for sha256, _, path in lines}


def read_own(paths: Sequence[str], files: Files, promised: str | None) -> list[File]:
    """A row's own files."""
    found = []
    for path in paths:
        try:
            found.append(files.read_own(path, promised))
        except CellRefused as refusal:
            raise type(refusal)(f"the attachment {refusal.what}", refusal.hint) from None
    return found


def keep_promise(found: Sequence[File], promised: str | None, *, is_typeset: bool) -> None:
    """Refuse a row's own files that are not the ones that were queued."""
    if promised is None or promise_of(found) == promised:
        return
    lines = set(promised.splitlines())
    other = [file.path for file in found if f"{file.sha256}  {file.path}" not in lines]
    named = quoted(other[0]) if other else "of the row"
    what = f"the attachment {named} has changed since the letter was queued"
    if other == [LETTER_PDF] and is_typeset:
        hint = "Install the version of typst that it was set with, or send with --revise"
        raise FileRefused(what, hint)
    raise CellRefused(what, "Put the file back as it was, then petition retry")


class Attachments:
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
        self._shared: dict[tuple[str, int], CarriedParts] = {}

    def of(self, person: Person, loaded: LoadedText, revision: int) -> CarriedParts:
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
            self._shared[key] = CarriedParts(pictures, attached, len(attached))
        shared = self._shared[key]
        if not self.has_own:
            return shared
        own = tuple(file.part for file in self._own(person, loaded))
        return CarriedParts(shared.pictures, (*shared.attached, *own), shared.shared)

    def promise(self, person: Person, loaded: LoadedText) -> dict[str, str]:
        """What the log is to keep of a person's own files, beside the fields of the row."""
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
