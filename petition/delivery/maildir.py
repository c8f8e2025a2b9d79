"""A Maildir that letters are put into: each is there whole or not at all."""

import os
import secrets
import stat
import time
from itertools import count
from pathlib import Path

from petition.errors import PetitionError

_FOLDERS = ("tmp", "new", "cur")


class Maildir:
    """A Maildir (https://cr.yp.to/proto/maildir.html), made where it is missing.

    Args:
        path: The folder. It and its files are for its owner alone.

    Raises:
        PetitionError: It is a symbolic link or no folder, or cannot be made.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._numbers = count(1)
        for folder in (path, *(path / name for name in _FOLDERS)):
            _make(folder)

    def keep(self, data: bytes) -> str:
        """Write a letter, byte for byte, and make sure that it is on the disk.

        Args:
            data: The letter.

        Returns:
            The name of its file in `new`.

        Raises:
            OSError: It could not be written; nothing of it is left.
        """
        name = self._unique_name()
        draft = self.path / "tmp" / name
        try:
            _write(draft, data)
            draft.rename(self.path / "new" / name)
        except OSError:
            draft.unlink(missing_ok=True)
            raise
        return name

    def _unique_name(self) -> str:
        moment = time.time_ns() // 1000
        unique = f"M{moment % 10**6}P{os.getpid()}Q{next(self._numbers)}R{secrets.token_hex(4)}"
        return f"{moment // 10**6}.{unique}.sandbox"


def _make(folder: Path) -> None:
    try:
        folder.mkdir(mode=0o700, exist_ok=True)
        kind = folder.lstat().st_mode
    except OSError as fault:
        raise PetitionError(
            f"the folder {folder} cannot be made: {fault.strerror}", "Correct its place or rights"
        ) from None
    # A link could lead the letters to a place where others read them.
    if not stat.S_ISDIR(kind):
        raise PetitionError(
            f"{folder} is not a folder of its own", "Remove it; a new folder takes its place"
        )


def _write(file: Path, data: bytes) -> None:
    descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    with os.fdopen(descriptor, "wb") as stream:
        stream.write(data)
        stream.flush()
        os.fsync(descriptor)
