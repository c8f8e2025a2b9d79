"""Who may send from a log in a file: the one process that holds the lock beside it.

The lock is the kernel's (flock), so that the owner's death frees it and nothing else does: no
clock, no process id that another process could have got meanwhile, no laptop that slept.
"""

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from petition.errors import LogBusy
from petition.outbox.disk import explained_file

PATIENCE = 2.0  # seconds: as long as `status` may hold the lock to tidy up after a crash
_PAUSE = 0.05  # seconds


@contextmanager
def ownership(database: Path, *, patience: float = PATIENCE) -> Iterator[None]:
    """Own a log while the block runs.

    Args:
        database: The log's file; the lock is the file beside it that ends in `.lock`.
        patience: How long to wait for the lock, in seconds.

    Raises:
        LogBusy: Another process owns it.
        LogUnusable: The lock cannot be made: a full disk, a file system that knows no locks.
    """
    path = database.with_name(database.name + ".lock")
    with explained_file(path):
        # O_CLOEXEC (Python's default): a password command must not inherit the lock and keep it.
        handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
    try:
        with explained_file(path):
            _lock(handle, database.name, patience)
            os.ftruncate(handle, 0)
            os.write(handle, f"{os.getpid()}\n".encode())
        yield
    finally:
        os.close(handle)


def is_owned(database: Path) -> bool:
    """Whether a process owns a log; asked by whoever may only look.

    Args:
        database: The log's file.
    """
    try:
        handle = os.open(database.with_name(database.name + ".lock"), os.O_RDONLY | os.O_NOFOLLOW)
    except OSError:
        return False  # there is no lock, or it is not for us to see
    try:
        fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError:
        return True
    finally:
        os.close(handle)
    return False


def _lock(handle: int, name: str, patience: float) -> None:
    deadline = time.monotonic() + patience
    while True:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > deadline:
                raise LogBusy(
                    f"another petition command{_who(handle)} is sending from {name}",
                    "Wait until it has ended; nothing was done here",
                ) from None
            time.sleep(_PAUSE)
        else:
            return


def _who(handle: int) -> str:
    text = os.pread(handle, 32, 0).decode("ascii", "replace").strip()
    return f" (process {text})" if text.isdigit() else ""
