"""Where mail is read: a Maildir or an mbox file; nothing of it is ever changed."""

import os
import re
from collections.abc import Iterator
from pathlib import Path
from stat import S_ISREG
from typing import NamedTuple

from petition.errors import UsageError
from petition.inbox import limits

# The line before each mail of an mbox: a blank one, then "From somebody day time year".
_NEXT = re.compile(rb"\r?\n(?=\r?\nFrom \S+ [^\n]*\d{2}:\d{2}[^\n]*\r?\n[!-9;-~]+:)")


class Fetched(NamedTuple):
    """A mail of a source.

    Args:
        place: What the source calls it.
        data: Its bytes; where it is larger than is read, only so much that this shows.
        uid: Its UID, where the source is IMAP.
        aside: Why its bytes were not even fetched, or an empty text.
    """

    place: str
    data: bytes
    uid: int = 0
    aside: str = ""


class Maildir:
    """A Maildir (https://cr.yp.to/proto/maildir.html), whose files stay where they are.

    Args:
        path: Its folder, with `cur` and `new`.

    Raises:
        UsageError: It is no Maildir.
    """

    def __init__(self, path: Path) -> None:
        self.name = f"maildir:{path}"
        self._path = path
        if not all((path / name).is_dir() for name in ("cur", "new")):
            raise UsageError(
                f"{path} is no Maildir", 'Name a folder that has "cur" and "new" in it'
            )

    def count(self, known: set[str]) -> int:
        """How many mails in it are not known."""
        return len(self._files(known))

    def mails(self, known: set[str]) -> Iterator[Fetched]:
        """The mails in it that are not known, by the time of their delivery."""
        for path, place in self._files(known):
            try:
                data = _content(path)
            except OSError:  # the mail program has moved it (it is read the next time), or a link
                continue
            if data is not None:
                yield Fetched(place, data)

    def _files(self, known: set[str]) -> list[tuple[Path, str]]:
        files = [path for name in ("new", "cur") for path in (self._path / name).iterdir()]
        # Behind the colon stand the flags, which change.
        named = [(path, path.name.partition(":")[0]) for path in sorted(files, key=_name)]
        return [
            (path, place)
            for path, place in named
            if place not in known and not path.name.startswith(".")
        ]


class Mbox:
    """An mbox file (RFC 4155), read from its beginning to its end.

    Args:
        path: The file.

    Raises:
        UsageError: It cannot be read.
    """

    def __init__(self, path: Path) -> None:
        self.name = f"mbox:{path}"
        self._path = path
        if not path.is_file():
            raise UsageError(f"{path} is no file", "Name an mbox file in [inbox] url")

    def count(self, known: set[str]) -> int:  # noqa: ARG002 (as below)
        """0: only reading it to its end would tell."""
        return 0

    def mails(self, known: set[str]) -> Iterator[Fetched]:  # noqa: ARG002 (they have no names)
        """All mails in it."""
        number, size = 0, 0
        lines: list[bytes] = []
        is_blank = True
        with self._path.open("rb") as file:
            for line in _lines(file):
                if is_blank and line.startswith(b"From ") and lines:
                    yield Fetched(str(number), _mail(lines))
                    number, size, lines = number + 1, 0, []
                is_blank = not line.strip()
                if size <= limits.BYTES:
                    lines.append(line)
                    size += len(line)
        if lines:
            yield Fetched(str(number), _mail(lines))


def _name(path: Path) -> str:
    return path.name


def mails_in(data: bytes) -> int:
    """How many mails an mbox file holds; 1 of what is none.

    Args:
        data: The file, or its beginning.
    """
    return 1 + len(_NEXT.findall(data)) if data.startswith(b"From ") else 1


def first_mail(data: bytes) -> bytes:
    """The first mail of an mbox file; what is none stays as it is.

    Args:
        data: The file.
    """
    found = _NEXT.search(data) if data.startswith(b"From ") else None
    return data[: found.start()] if found else data


def _content(path: Path) -> bytes | None:
    """So much of a file as is read; None: it is a pipe or a device, which may never end."""
    handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    with os.fdopen(handle, "rb") as file:
        return file.read(limits.BYTES + 1) if S_ISREG(os.fstat(handle).st_mode) else None


def _lines(file: "object") -> Iterator[bytes]:
    """Lines of at most a megabyte, so that a line without an end does no harm."""
    while line := file.readline(1_000_000):  # type: ignore[attr-defined]
        yield line


def _mail(lines: list[bytes]) -> bytes:
    """A mail without what mbox has put around it: the blank line at its end, the > before From."""
    kept = lines[1:] if lines[0].startswith(b"From ") else lines
    if kept and not kept[-1].strip():
        kept = kept[:-1]
    return b"".join(line[1:] if line.startswith(b">From ") else line for line in kept)
