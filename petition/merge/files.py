"""The files that a letter carries, read once a run and judged before they are read.

What a letter may carry is what an organiser has put into the campaign folder for it: neither a file
from elsewhere, whatever a cell says, nor the lists of people, the settings or the log.
"""

import hashlib
import os
import stat
from collections import OrderedDict
from collections.abc import Collection
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING
from unicodedata import category

from petition.campaign.folder import SETTINGS_FILE, Campaign
from petition.campaign.names import quoted
from petition.campaign.source import find_file, unreadable
from petition.merge.part import Part, attachment_of
from petition.merge.refusals import CellRefused, FileRefused

if TYPE_CHECKING:
    from petition.errors import Problem

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
        """A file that one row has.

        Args:
            path: Its path relative to the folder.
            promised: The files of the row as the log keeps them; None: it was not queued.

        Raises:
            CellRefused: There is no such file, or a letter may not or cannot carry it.
        """
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
            raise FileRefused(f"{quoted(path)}: {problems[0].what}", problems[0].mend)
        self._refuse_private(path, found)
        try:
            data = _read(found)
        except OSError as why:
            what, mend = unreadable(why)
            raise FileRefused(f"{quoted(path)}: {what}", mend) from None
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
    """Refuse a path that leads, or might lead, somewhere else than it seems to.

    Raises:
        CellRefused: It does.
    """
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
