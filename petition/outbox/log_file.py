"""The file of a log: its permissions, its lock, and what a file system error means.

The lock is the kernel's, so the owner's death frees it and nothing else does: no clock, no
process id that another process may have got since, no laptop that slept.
"""

import errno
import os
import stat
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from itertools import chain, count
from pathlib import Path

from petition import system
from petition.errors import LogBusy, LogUnusable


@contextmanager
def explained_file(path: Path) -> Iterator[None]:
    """Turn an error of the file system into what a person can do about it."""
    try:
        yield
    except OSError as fault:
        reason = fault.strerror or str(fault)
        hint = _HINTS.get(fault.errno or 0, "Use a folder that you may write to")
        raise LogUnusable(f"{path.name} cannot be used: {reason}", hint) from fault


_HINTS = {
    errno.ENOSPC: "Free some space on the disk and run the same command again",
    errno.EDQUOT: "Free some space on the disk and run the same command again",
    errno.EFBIG: "Check whether the disk or your quota is full",
    errno.EIO: "Check whether the disk is failing",
    errno.ENOLCK: "Put it on a local disk: its file system has no locks",
    errno.ENOTSUP: "Put it on a local disk: its file system has no locks",
}


_SIDES = ("-wal", "-shm")  # what SQLite keeps beside the file
_BESIDE = (*_SIDES, "-journal", ".lock")


def refuse_foreign(path: Path) -> None:
    """Refuse a file that may be somebody else's or another log's, even to look at it.

    A link can lead to another person's file, and the owner of a file can change it: it has names
    and addresses. A file with two names has two locks beside it, so two commands could send from it
    at once; each would keep its changes in a write-ahead log of its own.
    """
    if path.name.endswith(_BESIDE):  # SQLite would write it over the log that it belongs to
        raise LogUnusable(
            f"{path.name} is the name of a file that belongs to a log",
            f"Name a file that does not end in {', '.join(_BESIDE)}",
        )
    for side in ("", *_BESIDE):
        _refuse_link(path.with_name(path.name + side))
    # Root too: it can read every file by mistake.
    if path.exists() and system.is_of_other_account(path.stat()):
        hint = "Use a log of your own, or run petition as that user"
        raise LogUnusable(f"{path.name} belongs to another user", hint)


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
            f"Keep one of them: find the others with {system.find_hard_links(path.name)} and delete"
            " them",
        )


def make_private(path: Path) -> None:
    """Create the file for its owner alone, and remove the rights of others."""
    if not path.exists():
        with suppress(FileExistsError):  # another process makes it at this moment
            os.close(system.open_file(path, os.O_RDWR | os.O_CREAT | os.O_EXCL))
            system.sync_path(path.parent)
    for side in ("", *_SIDES):
        system.close_to_others(path.with_name(path.name + side))


def size(path: Path) -> int:
    """How many bytes a file has; 0 if it does not exist."""
    return path.stat().st_size if path.exists() else 0


def is_writable(path: Path) -> bool:
    """Whether the log can be written or created: SQLite needs the folder for it too."""
    return os.access(path.parent, os.W_OK) and (not path.exists() or os.access(path, os.W_OK))


_PID_LENGTH = 15  # of the lock file's first line; after it stand the numbers of `keep_last`


@contextmanager
def ownership(database: Path, patience: float, pause: float) -> Iterator[int]:
    """Own a log while the block runs; yields its lock file. `patience` and `pause` are seconds."""
    path = _lock_file(database)
    with explained_file(path):
        # Python lets no child inherit it: a password command would keep the lock.
        handle = system.open_file(path, os.O_RDWR | os.O_CREAT)
    try:
        with explained_file(path):
            _lock(handle, database.name, patience, pause)
            _write(handle, f"{os.getpid():<{_PID_LENGTH}}\n", 0)
        yield handle
    finally:
        os.close(handle)


def _lock_file(database: Path) -> Path:
    return database.with_name(database.name + ".lock")


def keep_last(handle: int, numbers: Iterable[int]) -> None:
    """Note in the lock file how far the log is, unsynced: SIGKILL loses no write."""
    text = "".join(f"{number:<19}\n" for number in numbers)
    _write(handle, text, _PID_LENGTH + 1)


def _write(handle: int, text: str, at: int) -> None:
    os.lseek(handle, at, os.SEEK_SET)
    os.write(handle, text.encode())


def last_kept(database: Path) -> list[int]:
    """What `keep_last` noted; empty if it did not, or it cannot be read."""
    try:
        return list(map(int, _lock_file(database).read_bytes()[_PID_LENGTH + 1 :].split()))
    except (OSError, ValueError):
        return []


def is_owned(database: Path) -> bool:
    """Whether a process owns a log."""
    try:
        handle = system.open_file(_lock_file(database), os.O_RDONLY)
    except OSError:
        return False  # there is no lock, or it cannot be read
    try:
        system.lock(handle, shared=True)
    except OSError:
        return True
    finally:
        os.close(handle)
    return False


def _lock(handle: int, name: str, patience: float, pause: float) -> None:
    deadline = time.monotonic() + patience
    while True:
        try:
            system.lock(handle)
        except BlockingIOError:
            if time.monotonic() > deadline:
                raise LogBusy(
                    f"another petition command{_who(handle)} is sending from {name}",
                    "Wait until it has ended; nothing was done here",
                ) from None
            time.sleep(pause)
        else:
            return


def _who(handle: int) -> str:
    os.lseek(handle, 0, os.SEEK_SET)
    text = os.read(handle, _PID_LENGTH).decode("ascii", "replace").strip()
    return f" (process {text})" if text.isdigit() else ""


def free_name(database: Path, name: str) -> Path:
    """An unused name beside a log: `petition.schema-8.db`."""
    numbers = chain([""], (f"-{number}" for number in count(2)))
    names = (f"{database.stem}.{name}{number}{database.suffix}" for number in numbers)
    return next(path for path in map(database.with_name, names) if not path.exists())


def kept_copies(database: Path) -> list[Path]:
    """The copies that upgrades have left beside a log."""
    start, end = f"{database.stem}.schema-", database.suffix
    found = database.parent.iterdir()
    return sorted(one for one in found if one.name.startswith(start) and one.name.endswith(end))
