"""Attachments, pictures and files of single rows: found, limited, read once in a run.

A letter can carry what an organiser has put into the campaign folder for it: neither a file from
elsewhere, whatever a cell says, nor the lists of people, the settings or the log.

Files of all copies are frozen with the letter, bytes included. Of the files of a single row the log
keeps path and SHA-256 with the row, and no other file goes out with its copy.
"""

import hashlib
import os
from base64 import b64encode
from collections import OrderedDict
from collections.abc import Collection, Mapping, Sequence
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import Any, NoReturn

from petition import system
from petition.address import UNSEEN
from petition.campaign.folder import SETTINGS_FILE, Campaign
from petition.campaign.letter import ATTACHMENTS_LIMIT, Letter
from petition.campaign.names import quoted
from petition.campaign.people import Person
from petition.campaign.text_file import find_file, unreadable
from petition.errors import Problem
from petition.merge import mime_parts
from petition.merge.document import Frozen
from petition.merge.fill import LoadedText, refused_row
from petition.merge.mime_parts import CarriedParts, MimePart
from petition.merge.pdf import Typesetter, can_typeset, layout, missing_typst
from petition.template.compile import compile_path
from petition.template.fields import CellRefused, FileRefused, ValueRefused
from petition.template.markdown import LETTER_WIDTH, ShownPicture

FILE_LIMIT = 10_000_000  # bytes of one file
LETTER_LIMIT = 20_000_000  # bytes of all files of one copy, before they are encoded
PIXEL_LIMIT = 40_000_000  # of all pictures of a letter; typst takes 8 bytes for each

_SHARP = 2  # pixels for each that a picture is wide, since most screens have two
_KEPT = 64_000_000  # bytes of files and their encoded forms that stay in memory
_ENCODED = 2.4  # the size of a file with its encoded form, relative to the file
_PATH_LENGTH = 1_000

_LOGS = frozenset({".db", ".db-wal", ".db-shm", ".lock", ".sqlite", ".sqlite3"})
_OUTBOX = "outbox"


class File:
    """A file as it was read; the path is relative to the campaign folder."""

    def __init__(self, path: str, data: bytes) -> None:
        self.path = path
        self.data = data
        self.sha256 = hashlib.sha256(data).hexdigest()

    @cached_property
    def part(self) -> MimePart:
        """The file as an attachment."""
        return mime_parts.attachment_of(PurePosixPath(self.path).name, self.data)


class Files:
    """Reads a campaign's files, and keeps those used last; no letter may carry `private` ones."""

    def __init__(self, root: Path, private: Collection[str] = ()) -> None:
        self._root = root
        self._private = {SETTINGS_FILE, *private}
        self._kept: OrderedDict[str, File] = OrderedDict()
        self._size = 0
        self.asked: set[str] = set()  # paths that were to be read, found or not

    @classmethod
    def of(cls, campaign: Campaign) -> "Files":
        """The files of a campaign; its lists of people are private."""
        return cls(campaign.root, campaign.settings.people.values())

    def has(self, path: str) -> bool:
        """Whether the campaign folder has anything by this name."""
        return os.path.lexists(self._root / path)

    def read(self, path: str) -> File:
        """A file by its path in the folder; CellRefused if a letter may not or cannot carry it."""
        if file := self.kept(path):
            return file
        _check_path(path)
        self.asked.add(path)
        return self.keep(path, File(path, self._content(path)))

    def read_own(self, path: str, queued: str | None) -> File:  # noqa: ARG002 (for workers)
        """A file of a single row."""
        return self.read(path)

    def kept(self, key: str) -> File | None:
        """A file that is still in memory."""
        if key in self._kept:
            self._kept.move_to_end(key)
        return self._kept.get(key)

    def keep(self, key: str, file: File) -> File:
        """Keep a file in memory, in place of those used longest ago."""
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
            raise FileRefused(f"{quoted(path)} {problems[0].what}", problems[0].hint)
        self._refuse_private(path, found)
        try:
            data = _read(found)
        except OSError as why:
            what, hint = unreadable(why)
            raise FileRefused(f"{quoted(path)} {what}", hint) from None
        if not data:
            raise FileRefused(f"{quoted(path)} is empty", "Replace it with the file that you meant")
        if len(data) > FILE_LIMIT:
            what = f"{quoted(path)} is larger than {FILE_LIMIT // 1_000_000} MB"
            raise FileRefused(what, "Make it smaller, or put it on the web and write a link to it")
        return data

    def _refuse_private(self, path: str, found: Path) -> None:
        inner = found.relative_to(self._root.resolve())
        is_ours = found.suffix.lower() in _LOGS or inner.parts[0] == _OUTBOX
        if is_ours or any(_is_same(found, self._root / name) for name in self._private):
            what = f"{quoted(path)} is one of the campaign's own files, which nobody may be sent"
            raise CellRefused(what, "Attach another file")


def _is_same(one: Path, other: Path) -> bool:
    """Whether two paths lead to one file, by whatever links or spelling."""
    try:
        return one.samefile(other)
    except OSError:
        return False


def _check_path(path: str) -> None:
    """Refuse a path that leads, or might lead, elsewhere than it seems to."""
    if unseen := UNSEEN.search(path):
        what = f"a path contains the invisible character U+{ord(unseen.group()):04X}"
        raise CellRefused(what, "Rename the file, and type the path again")
    if not path.strip() or len(path) > _PATH_LENGTH:
        what = "the path is empty" if not path.strip() else f"{quoted(path)} is too long for a path"
        raise CellRefused(what, "Name a file of the campaign folder")
    outward = path.startswith("/") or "\\" in path or ".." in path.split("/")
    if outward or any(sign in path for sign in system.NOT_IN_NAMES):
        what = f"{quoted(path)} leads out of the campaign folder"
        raise CellRefused(what, "Copy the file into the folder, and use only / in its path")
    if any(part.startswith(".") for part in PurePosixPath(path).parts):
        raise CellRefused(f"{quoted(path)} is a hidden file", "Give it a name without the dot")


def _read(path: Path) -> bytes:
    # A FIFO can have replaced the file after it was checked.
    with os.fdopen(system.open_file(path, os.O_RDONLY), "rb") as stream:
        return stream.read(FILE_LIMIT + 1)


# The key under which the log keeps a row's own files beside its fields; no column has such a name.
OWN_FILES = "_enclosures"

# The attachment that is the letter itself, if the campaign has no such file.
LETTER_PDF = "letter.pdf"

_REMOTE = ("http:", "https:", "//", "data:", "cid:", "file:")


class Gathering:
    """Gathers what all copies of a letter carry, while it is frozen, and what is wrong with it."""

    def __init__(self, letter: Letter, files: Files, problems: list[Problem]) -> None:
        self._letter = letter
        self._files = files
        self._problems = problems
        self._contents: dict[str, File] = {}
        self._pictures: dict[tuple[str, int | None], dict[str, Any]] = {}
        self._pixels: dict[str, int] = {}

    def attachments(self, known: Mapping[str, Sequence[str]]) -> list[dict[str, Any]]:
        """The attachments as JSON has them; their paths can name what is `known`."""
        text = self._letter.default_text
        line = text.line_of("attachments")
        described: list[dict[str, Any]] = []
        size = sum(len(found.data) for found in self._contents.values())  # the pictures so far
        for path in self._letter.front.attachments:
            if size > LETTER_LIMIT:  # no more of them is read into memory
                break
            before = len(self._problems)
            template = compile_path(text.file, line, path, known, self._problems)
            if len(self._problems) > before:
                continue
            if template.source == LETTER_PDF and not self._files.has(LETTER_PDF):
                described.append({"line": line, "path": LETTER_PDF, "layout": layout()})
                self._check_typeset(text.file, line)
            elif template.lines:
                lines = list(template.lines)
                described.append({"line": line, "template": template.source, "lines": lines})
            elif found := self._shared(template.source, text.file, line):
                name = found.part.meant.filename or ""
                kind = mime_parts.type_of(name, found.data)
                described.append({"line": line, "path": template.source, "name": name})
                described[-1] |= {"type": kind, "sha256": found.sha256}
                size += len(found.data)
        try:
            refuse_large(size)
        except CellRefused as refusal:
            self._problems.append(Problem(text.file, line, refusal.what, refusal.hint))
        return described

    def _check_typeset(self, file: str, line: int) -> None:
        if not can_typeset():
            self._problems.append(missing_typst(file, line))
        if self._letter.front.kind == "bulk":
            what = f"{LETTER_PDF} is typeset for each person, too slow for a bulk letter"
            hint = "Save one with petition preview --pdf FILE, and attach that file"
            self._problems.append(Problem(file, line, what, hint))

    def _shared(self, path: str, file: str, line: int) -> File | None:
        try:
            found = self._files.read(path)
        except CellRefused as refusal:
            what = f"the attachment {refusal.what}"
            self._problems.append(Problem(file, line, what, refusal.hint))
            return None
        self._contents[found.sha256] = found
        return found

    def picture(self, path: str, width: int | None) -> ShownPicture:
        """A picture in the HTML, scaled to a width; ValueRefused if it cannot be shown."""
        if path.lower().startswith(_REMOTE):
            what = f"the image {quoted(path)} is not in the campaign folder"
            hint = "Save it in the folder and write its path, or write a link to it"
            raise ValueRefused(what, hint)
        if (path, width) not in self._pictures:
            try:
                self._pictures[path, width] = self._described(path, width)
            except CellRefused as refusal:
                raise ValueRefused(f"the image {refusal.what}", refusal.hint) from None
            except ValueRefused as refusal:
                what = f"the image {quoted(path)}: {refusal.what}"
                raise ValueRefused(what, refusal.hint) from None
        return shown_picture(self._pictures[path, width])

    def _described(self, path: str, width: int | None) -> dict[str, Any]:
        """A picture as JSON has it; one that is asked for smaller is scaled down."""
        found = self._files.read(path)
        picture = mime_parts.read_picture(found.data)
        if picture is None:
            hint = "Save it as one of these: many mail programs show no others"
            raise ValueRefused("it is not a PNG, JPEG or GIF", hint)
        shown = width or min(picture.width, LETTER_WIDTH)
        described: dict[str, Any] = {"path": path, "width": shown}
        described["height"] = max(1, round(picture.height * shown / picture.width))
        self._pixels[found.sha256] = picture.width * picture.height
        if sum(self._pixels.values()) > PIXEL_LIMIT:
            what = f"the letter's pictures have more than {PIXEL_LIMIT // 1_000_000} megapixels"
            raise ValueRefused(what, "Make them smaller")
        if width:
            described["asked"] = width
            if picture.width > width * _SHARP:
                described["of"] = found.sha256
                found = File(path, mime_parts.scaled(found.data, width * _SHARP))
        size = sum(len(one.data) for one in self._contents.values())
        if found.sha256 not in self._contents and size + len(found.data) > LETTER_LIMIT:
            what = f"the letter's pictures have more than {LETTER_LIMIT // 1_000_000} MB"
            raise ValueRefused(what, "Make them smaller, or write links to them")
        self._contents[found.sha256] = found
        kind = mime_parts.read_picture(found.data)
        return {**described, "type": kind.type if kind else "", "sha256": found.sha256}

    def pictures_in(self, page: str) -> list[dict[str, Any]]:
        """The pictures that a page shows, in order, as JSON has them."""

        def place(one: dict[str, Any]) -> int:
            return page.find(mime_parts.content_id(one["sha256"]))

        return sorted((one for one in self._pictures.values() if place(one) >= 0), key=place)

    def contents(self) -> dict[str, str]:
        """The bytes of all the files, in base64, by their hash."""
        ordered = sorted(self._contents.items())
        return {sha: b64encode(found.data).decode("ascii") for sha, found in ordered}


def shown_picture(described: Mapping[str, Any]) -> ShownPicture:
    """A picture that was described as JSON has it; older versions noted no size."""
    link = f"cid:{mime_parts.content_id(described['sha256'])}"
    return ShownPicture(link, described.get("width", 0), described.get("height", 0))


def refuse_large(size: int) -> None:
    """Refuse a copy that carries too many bytes."""
    if size > LETTER_LIMIT:
        what = f"the letter carries more than {LETTER_LIMIT // 1_000_000} MB"
        raise CellRefused(what, "Attach less, and write links to the rest")


def list_of(files: Sequence[File]) -> str:
    """A row's own files as the log keeps them: one line each, as sha256sum writes it."""
    return "".join(f"{file.sha256}  {file.path}\n" for file in files)


def hashes_in(listed: str) -> dict[str, str]:
    """The hashes of a row's own files by their paths, read from what `list_of` wrote."""
    lines = (line.partition("  ") for line in listed.splitlines())
    return {path: sha256 for sha256, _, path in lines}


class Attachments:
    """What the copies of a letter carry; `files` reads what is not frozen with it."""

    def __init__(self, frozen: Frozen, files: Files) -> None:
        self._frozen = frozen
        self._files = files
        self._shared: dict[tuple[str, int], CarriedParts] = {}
        entries = frozen.attachments
        self._of_all = [one for one in entries if "sha256" in one]
        self._of_rows = [one for one in entries if "sha256" not in one]
        self._letter_pdf = next((one for one in entries if "layout" in one), None)

    @property
    def vary(self) -> bool:
        """Whether copies carry files that depend on their rows."""
        return bool(self._of_rows)

    def of(self, person: Person, loaded: LoadedText, revision: int) -> CarriedParts:
        """What a person's copy carries; MergeRefused if a file of their own cannot be carried."""
        shared = self._shared_by_all(loaded.language, revision)
        if not self.vary:
            return shared
        own = self._own(person, loaded)
        attached = (*shared.attached, *(file.part for file in own))
        return CarriedParts(shared.pictures, attached, shared.shared, {OWN_FILES: list_of(own)})

    def with_pictures(self, page: str, language: str) -> str:
        """A page whose pictures are in it, and not in the email around it."""
        for one in self._frozen.pictures(language):
            data = b64encode(self._frozen.content(one["sha256"])).decode("ascii")
            link = f"data:{one['type']};base64,{data}"
            page = page.replace(f"cid:{mime_parts.content_id(one['sha256'])}", link)
        return page

    @cached_property
    def typesetter(self) -> Typesetter:
        """Makes the letter as a PDF, in the layout that was frozen with it if there is one."""
        entry = self._letter_pdf
        file = self._frozen.file(self._frozen.languages[0])
        if entry:
            return Typesetter(self._frozen, entry["layout"], (file, entry["line"]))
        return Typesetter(self._frozen, layout(), (file, None))

    def _own(self, person: Person, loaded: LoadedText) -> list[File]:
        queued = person.fields.get(OWN_FILES)
        found: list[File] = []
        size = self._shared_size
        try:
            for path in self._own_paths(person, loaded, queued):
                found.append(self._read_own(path, queued))
                size += len(found[-1].data)
                refuse_large(size)
            if self._letter_pdf:
                document = self.typesetter.document(person, loaded)
                found.append(File(LETTER_PDF, document))
                refuse_large(size + len(document))
            if queued not in {None, list_of(found)}:
                self._refuse_changed(found, queued or "")
        except CellRefused as refusal:
            file = self._frozen.file(self._frozen.languages[0])
            place = f"{file}:{self._of_rows[0]['line']}"
            raise refused_row(person, refusal, place, "attaches") from None
        return found

    def _own_paths(self, person: Person, loaded: LoadedText, queued: str | None) -> list[str]:
        """The paths of a person's own files: none for an empty one, several between semicolons."""
        paths: list[str] = []
        known = hashes_in(queued or "")
        for path in loaded.own_paths(person):
            if ";" not in path or path in known or self._files.has(path):
                paths += [path] if path.strip() else []
            else:
                named = [one.strip() for one in path.split(";") if one.strip()]
                paths += dict.fromkeys(named)
        if len(paths) > ATTACHMENTS_LIMIT:
            what = f"the row names {len(paths)} files, but at most {ATTACHMENTS_LIMIT} are possible"
            raise CellRefused(what, "Combine some of them into one file")
        return paths

    def _read_own(self, path: str, queued: str | None) -> File:
        try:
            return self._files.read_own(path, queued)
        except CellRefused as refusal:
            raise type(refusal)(f"the attachment {refusal.what}", refusal.hint) from None

    def _refuse_changed(self, found: Sequence[File], queued: str) -> NoReturn:
        lines = set(queued.splitlines())
        other = [file.path for file in found if f"{file.sha256}  {file.path}" not in lines]
        named = quoted(other[0]) if other else "of the row"
        what = f"the attachment {named} has changed since the letter was queued"
        if other == [LETTER_PDF] and self._letter_pdf:
            hint = "Install the version of typst that typeset it, or send with --revise"
            raise FileRefused(what, hint)
        raise CellRefused(what, "Put the file back as it was, then petition retry")

    def _shared_by_all(self, language: str, revision: int) -> CarriedParts:
        if (language, revision) not in self._shared:
            calendar = mime_parts.calendar_part(self._frozen, revision)
            attached = (*self._attachments, *([calendar] if calendar else []))
            shown = [(one["sha256"], one["type"]) for one in self._frozen.pictures(language)]
            pictures = tuple(
                mime_parts.picture_of(sha256, kind, self._frozen.content(sha256))
                for sha256, kind in shown
            )
            self._shared[language, revision] = CarriedParts(pictures, attached, len(attached))
        return self._shared[language, revision]

    @cached_property
    def _shared_size(self) -> int:
        """The bytes that every copy carries; of pictures those of all languages."""
        hashes = [one["sha256"] for one in self._of_all]
        for language in self._frozen.languages:
            hashes += [one["sha256"] for one in self._frozen.pictures(language)]
        return sum(len(self._frozen.content(sha256)) for sha256 in hashes)

    @cached_property
    def _attachments(self) -> tuple[MimePart, ...]:
        return tuple(
            mime_parts.attachment_of(one["name"], self._frozen.content(one["sha256"]), one["type"])
            for one in self._of_all
        )
