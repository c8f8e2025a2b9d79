"""The lock beside the log, where the disk or its file system does not take part."""

import errno
import fcntl
import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from petition.errors import LogUnusable
from petition.outbox.log_file import ownership


@pytest.mark.parametrize(
    ("number", "hint"),
    [
        (errno.ENOLCK, "Put it on a local disk"),
        (errno.ENOSPC, "Free some space"),
        (errno.EROFS, "a folder that you may write to"),
    ],
)
def test_a_lock_that_cannot_be_had_is_explained(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, hint: str
):
    def refuse(*_: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(fcntl, "flock", refuse)
    with pytest.raises(LogUnusable, match=hint), ownership(tmp_path / "petition.db", 0, 0):
        pass


def test_a_lock_that_cannot_be_written_is_explained(tmp_path: Path):
    program = f"""
        import resource
        from pathlib import Path
        from petition.errors import LogUnusable
        from petition.outbox.log_file import ownership
        resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
        try:
            with ownership(Path({str(tmp_path / "petition.db")!r}), 0, 0):
                pass
        except LogUnusable as fault:
            print(fault)
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program)], capture_output=True, text=True, check=True
    )
    assert "petition.db.lock cannot be used: File too large" in done.stdout


def test_what_goes_wrong_while_it_is_owned_is_left_as_it_is(tmp_path: Path):
    with pytest.raises(ConnectionResetError), ownership(tmp_path / "petition.db", 0, 0):
        raise ConnectionResetError


def test_the_lock_is_free_again_when_it_could_not_be_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    def refuse(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patched:
        patched.setattr(os, "write", refuse)
        with pytest.raises(LogUnusable), ownership(tmp_path / "petition.db", 0, 0):
            pass
    with ownership(tmp_path / "petition.db", patience=0, pause=0):
        pass
