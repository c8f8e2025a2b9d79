"""Small JSON files in the user's state folder: what must outlive a campaign folder.

A campaign folder can be copied, restored or sent by a stranger; what is kept here does not change
with it. The platform names the folder (`XDG_STATE_HOME`, `~/.local/state/petition` on Linux).
"""

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import platformdirs

from petition import system
from petition.errors import PetitionError


class UserStateUnusable(PetitionError):
    """A file of the state folder cannot be read or written."""


def state_folder() -> Path:
    """The folder, whether it exists or not."""
    return platformdirs.user_state_path("petition", appauthor=False)


def read_state(name: str) -> dict[str, Any]:
    """What a file of the state folder, such as "logs.json", holds; empty if it does not exist.

    UserStateUnusable if it cannot be read, or is not a JSON object.
    """
    path = state_folder() / name
    try:
        with os.fdopen(system.open_file(path, os.O_RDONLY, follows=True), encoding="utf-8") as file:
            found = json.load(file)
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise _unusable(path, error) from error
    except (ValueError, RecursionError) as error:
        raise _damaged(path) from error
    if not isinstance(found, dict):
        raise _damaged(path)
    return found


@contextmanager
def changed_state(name: str) -> Iterator[dict[str, Any]]:
    """Change a file of the state folder: what the block leaves in the dict is written and synced.

    Only one process at a time is inside such a block. A crash leaves the old file or the new
    one; if the block raises, nothing is written. UserStateUnusable if it cannot be read or
    written.
    """
    path = state_folder() / name
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        lock = system.open_file(path.with_name(f"{name}.lock"), os.O_RDWR | os.O_CREAT)
    except OSError as error:
        raise _unusable(path, error) from error
    try:
        try:
            system.lock(lock, waits=True)
        except OSError as error:
            raise _unusable(path, error) from error
        state = read_state(name)
        yield state
        try:
            _replace(path, json.dumps(state, indent=2, sort_keys=True))
        except OSError as error:
            raise _unusable(path, error) from error
    finally:
        os.close(lock)


def _replace(path: Path, text: str) -> None:
    new = path.with_name(f"{path.name}.new")
    handle = system.open_file(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    with os.fdopen(handle, "w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        system.sync(file.fileno())
    system.replace(new, path)
    system.sync_path(path.parent)  # else the new name may not survive a power loss


def _unusable(path: Path, error: OSError) -> UserStateUnusable:
    return UserStateUnusable(
        f"{path} cannot be used: {error.strerror or error}",
        "Check the permissions of that folder and the space on the disk",
    )


def _damaged(path: Path) -> UserStateUnusable:
    return UserStateUnusable(
        f"{path} is damaged: it is not a JSON object", "Restore it from a backup or delete it"
    )
