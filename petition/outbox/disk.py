"""What a file system says when it fails, and what a person can do about it."""

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from petition.errors import LogUnusable


@contextmanager
def explained_file(path: Path) -> Iterator[None]:
    """Turn what the file system says of a file into what a person can do about it.

    Args:
        path: The file.

    Raises:
        LogUnusable: In place of any error of the file system.
    """
    try:
        yield
    except OSError as fault:
        reason = fault.strerror or str(fault)
        mend = _MENDS.get(fault.errno or 0, "Give it a folder that you may write to")
        raise LogUnusable(f"{path.name} cannot be used: {reason}", mend) from fault


_MENDS = {
    errno.ENOSPC: "Free some space on the disk and run the same command again",
    errno.EDQUOT: "Free some space on the disk and run the same command again",
    errno.EFBIG: "Look whether the disk or your share of it is full",
    errno.EIO: "Look whether the disk is failing",
    errno.ENOLCK: "Put it on a disk of this machine: its file system knows no locks",
    errno.ENOTSUP: "Put it on a disk of this machine: its file system knows no locks",
}
