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
_NEXT = re.compile(
    rb"\r?\n(?=\r?\nFrom \S{1,320} [^\n]{0,80}\d{2}:\d{2}[^\n]{0,80}\r?\n[!-9;-~]{1,80}:)"
)

# Neither through a link nor waiting for a pipe; Windows has neither flag, nor such files.
_TO_READ = (
    os.O_RDONLY
    | getattr(os, "O_BINARY", 0)
    | getattr(os, "O_NOFOLLOW", 0)
    | getattr(os, "O_NONBLOCK", 0)
)


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
        self.name = f"maildir:{_shown(path)}"
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
        named = [(path, _shown(path.name).partition(":")[0]) for path in sorted(files, key=_name)]
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
        self.name = f"mbox:{_shown(path)}"
        self._path = path
        if not path.is_file():
            raise UsageError(f"{path} is no file", "Name an mbox file in [inbox] url")

    def count(self, known: set[str]) -> int:  # noqa: ARG002 (as below)
        """0: only reading it to its end would tell."""
        return 0

    def mails(self, known: set[str]) -> Iterator[Fetched]:  # noqa: ARG002 (they have no names)
        """All mails in it."""
        number = 0
        mail = bytearray()  # no list of lines, which takes ten times the memory
        is_blank = is_first = True
        with self._path.open("rb") as file:
            for line in _lines(file):
                if is_blank and line.startswith(b"From "):
                    if not is_first:
                        yield Fetched(str(number), _mail(mail))
                        number, mail = number + 1, bytearray()
                elif len(mail) <= limits.BYTES:
                    mail += line[1:] if line.startswith(b">From ") else line
                is_blank, is_first = not line.strip(), False
        if not is_first:
            yield Fetched(str(number), _mail(mail))


def _name(path: Path) -> str:
    return path.name


def _shown(path: Path | str) -> str:
    """A name as the log can keep it; one that is not UTF-8 has its bytes in numbers."""
    return os.fsencode(path).decode("utf-8", "backslashreplace")


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
    """So much of a file as is read; None: it is a folder, or a pipe or a device without an end."""
    handle = os.open(path, _TO_READ)
    if not S_ISREG(os.fstat(handle).st_mode):
        os.close(handle)
        return None
    with os.fdopen(handle, "rb") as file:
        return file.read(limits.BYTES + 1)


def _lines(file: "object") -> Iterator[bytes]:
    """Lines of at most a megabyte, so that a line without an end does no harm."""
    while line := file.readline(1_000_000):  # type: ignore[attr-defined]
        yield line


def _mail(mail: bytearray) -> bytes:
    """A mail without the blank line that mbox puts behind it."""
    data = bytes(mail)
    for end in (b"\r\n", b"\n"):
        if data == end or data.endswith(b"\n" + end):
            return data[: -len(end)]
    return data
