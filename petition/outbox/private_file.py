"""The file of a log: it belongs to one person, and nobody else may read it."""

import os
import stat
from contextlib import suppress
from pathlib import Path

from petition.errors import LogUnusable

_SIDES = ("-wal", "-shm")  # what SQLite keeps beside it


def refuse_foreign(path: Path) -> None:
    """Refuse what could be somebody else's or another log's, even to look at it.

    A log that is a link could be led to a file of another person, and one that another person owns
    could be changed behind our back: both hold names and addresses. A file with two names has two
    locks beside it, so two commands could send from it at once; each would keep its changes in a
    write-ahead log of its own.

    Args:
        path: The log.

    Raises:
        LogUnusable: It or a file beside it is a link or has two names, or another person owns it.
    """
    for side in ("", *_SIDES, "-journal", ".lock"):
        _refuse_link(path.with_name(path.name + side))
    if not hasattr(os, "geteuid") or not path.exists():
        return
    if path.stat().st_uid != os.geteuid():  # root too: it reads what is not its own by mistake
        mend = "Use a log of your own, or work as the person whose it is"
        raise LogUnusable(f"{path.name} belongs to another person", mend)


def _refuse_link(path: Path) -> None:
    try:
        found = path.lstat()
    except FileNotFoundError:
        return
    if stat.S_ISLNK(found.st_mode):
        raise LogUnusable(f"{path.name} is a symbolic link", "Name the file itself")
    if stat.S_ISREG(found.st_mode) and found.st_nlink > 1:
        raise LogUnusable(
            f"{path.name} has {found.st_nlink} names (hard links): two commands could use it as two"
            " logs",
            f"Keep one of them: find the others with find / -samefile {path.name} and delete them",
        )


def make_private(path: Path) -> None:
    """Create the file as 0600, and take from others what rights they have to it.

    Args:
        path: The log; its side files are meant too.
    """
    if not path.exists():
        with suppress(FileExistsError):  # another process makes it at this moment
            os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600))
            sync(path.parent)
    for side in ("", *_SIDES):
        _close_to_others(path.with_name(path.name + side))


def _close_to_others(path: Path) -> None:
    """Take from others what rights an earlier hand or a copy from elsewhere gave them."""
    # What belongs to another person or lies on a disk that knows no rights is not ours to change.
    with suppress(FileNotFoundError, PermissionError):
        found = path.lstat()
        is_ours = hasattr(os, "geteuid") and found.st_uid == os.geteuid()
        if is_ours and stat.S_ISREG(found.st_mode) and found.st_mode & 0o077:
            path.chmod(found.st_mode & 0o700)


def sync(path: Path) -> None:
    """Make a file durable, or the names in a folder: an fsync of a file does not cover those."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def size(path: Path) -> int:
    """How many bytes a file has; 0: it is not there."""
    return path.stat().st_size if path.exists() else 0


def is_writable(path: Path) -> bool:
    """Whether the log can be written to, or created: SQLite needs the folder for it too."""
    return os.access(path.parent, os.W_OK) and (not path.exists() or os.access(path, os.W_OK))
