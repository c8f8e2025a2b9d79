"""A log that could be somebody else's is refused, even to look at it."""

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from petition.errors import LogUnusable
from petition.outbox.log import Log

NOBODY, SOMEBODY = 65534, 12345
# What the program is made of is read first: others may have no right to it.
OPEN = f"""
import os, sys
from petition.outbox.log import Log
Log(sys.argv[1]).close()
os.setgroups([])
os.setuid({NOBODY})
Log(sys.argv[2]).close()
"""


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder that other people may enter."""
    path = Path(tempfile.mkdtemp())
    path.chmod(0o755)
    yield path
    shutil.rmtree(path)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file to somebody else")
@pytest.mark.parametrize(("mode", "folder_mode"), [(0o644, 0o755), (0o666, 0o777)])
def test_a_log_of_another_person_is_refused(
    folder: Path, tmp_path: Path, mode: int, folder_mode: int
):
    path = folder / "petition.db"
    Log(f"sqlite:///{path}").close()
    os.chown(path, SOMEBODY, SOMEBODY)
    path.chmod(mode)
    folder.chmod(folder_mode)
    before = path.read_bytes()
    done = subprocess.run(
        [sys.executable, "-c", OPEN, f"sqlite:///{tmp_path}/own.db", f"sqlite:///{path}"],
        capture_output=True,
        check=False,
    )
    assert b"belongs to another person" in done.stderr
    assert path.read_bytes() == before
    assert path.stat().st_mode & 0o777 == mode


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file to somebody else")
def test_root_too_is_refused_a_log_of_another_person(tmp_path: Path):
    path = tmp_path / "petition.db"
    Log(f"sqlite:///{path}").close()
    os.chown(path, SOMEBODY, SOMEBODY)
    with pytest.raises(LogUnusable, match="belongs to another person"):
        Log(f"sqlite:///{path}")


def test_a_link_is_refused_even_where_nothing_can_be_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    Log(f"sqlite:///{tmp_path}/real.db").close()
    (tmp_path / "petition.db").symlink_to(tmp_path / "real.db")
    monkeypatch.setattr("petition.outbox.sqlite.is_writable", lambda _: False)
    with pytest.raises(LogUnusable, match="symbolic link"):
        Log(f"sqlite:///{tmp_path}/petition.db")


@pytest.mark.parametrize("side", ["", "-wal", "-shm", ".lock"])
def test_a_file_with_two_names_is_refused(tmp_path: Path, side: str):
    """As deduplicators and `cp -al` make them: each name would be a log of its own."""
    with Log(f"sqlite:///{tmp_path}/petition.db") as log:
        log.tidy()
        assert log.key
        (tmp_path / f"other.db{side}").hardlink_to(tmp_path / f"petition.db{side}")
        for name in ("petition.db", "other.db"):
            with pytest.raises(LogUnusable, match="hard links"):
                Log(f"sqlite:///{tmp_path}/{name}")
    (tmp_path / f"other.db{side}").unlink()
    Log(f"sqlite:///{tmp_path}/petition.db").close()


@pytest.mark.parametrize("side", ["-wal", "-shm"])
def test_a_link_beside_the_log_is_refused(tmp_path: Path, side: str):
    Log(f"sqlite:///{tmp_path}/petition.db").close()
    (tmp_path / f"petition.db{side}").symlink_to(tmp_path / "somewhere")
    with pytest.raises(LogUnusable, match="symbolic link"):
        Log(f"sqlite:///{tmp_path}/petition.db")
