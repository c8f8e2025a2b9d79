"""Files that are replaced as a whole."""

import os
import re
import tempfile
from contextlib import suppress
from pathlib import Path

from petition import system

PRIVATE = 0o600


def drafts_of(path: Path) -> list[Path]:
    """What commands that were killed while they replaced a file have left beside it."""
    draft = re.compile(rf"{re.escape(f'.{path.name}.')}[a-z0-9_]{{8}}")  # as mkstemp names it
    return [one for one in path.parent.iterdir() if draft.fullmatch(one.name)]


def replace_whole(path: Path, data: bytes, mode: int = PRIVATE) -> None:
    """Give a file another content, or make it; OSError, which names it, if it cannot be written.

    A crash or a power failure leaves the old content or the new one. A private file is closed to
    other accounts on Windows too, where other modes mean nothing.
    """
    try:
        _replace_whole(path, data, mode)
    except OSError as fault:
        fault.filename, fault.filename2 = str(path), None  # nobody knows the draft
        raise


def _replace_whole(path: Path, data: bytes, mode: int) -> None:
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    draft = Path(name)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            system.sync(file.fileno())
        if mode == PRIVATE:
            system.close_to_others(draft)
        else:
            draft.chmod(mode)
        system.replace(draft, path)
    except BaseException:
        with suppress(OSError):
            draft.unlink()
        raise
    system.sync_path(path.parent)
