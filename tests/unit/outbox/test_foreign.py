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
from petition.outbox.sqlite import APPLICATION_ID, is_there
from petition.outbox.transfer import transfer
from tests.unit.outbox.kept import keep

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
    assert b"belongs to another user" in done.stderr
    assert path.read_bytes() == before
    assert path.stat().st_mode & 0o777 == mode


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file to somebody else")
def test_root_too_is_refused_a_log_of_another_person(tmp_path: Path):
    path = tmp_path / "petition.db"
    Log(f"sqlite:///{path}").close()
    os.chown(path, SOMEBODY, SOMEBODY)
    with pytest.raises(LogUnusable, match="belongs to another user"):
        Log(f"sqlite:///{path}")


def test_a_link_is_refused_even_where_nothing_can_be_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    Log(f"sqlite:///{tmp_path}/real.db").close()
    (tmp_path / "petition.db").symlink_to(tmp_path / "real.db")
    monkeypatch.setattr("petition.outbox.log_file.is_writable", lambda _: False)
    with pytest.raises(LogUnusable, match="symbolic link"):
        Log(f"sqlite:///{tmp_path}/petition.db")


@pytest.mark.parametrize("side", ["", "-wal", "-shm", ".lock"])
def test_a_file_with_two_names_is_refused(tmp_path: Path, side: str):
    """As deduplicators and `cp -al` make them: each name would be a log of its own."""
    with Log(f"sqlite:///{tmp_path}/petition.db") as log:
        with log.owned():  # makes the lock
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


# ---- whose a file is


def number_of(path: Path) -> int:
    return int.from_bytes(path.read_bytes()[68:72], "big")


def test_a_log_of_before_is_known_by_its_tables_and_gets_its_id_when_it_is_written_to(
    tmp_path: Path,
):
    path = tmp_path / "petition.db"
    url = keep(f"sqlite:///{path}")
    path.chmod(0o644)
    before = path.read_bytes()
    assert number_of(path) == 0
    with pytest.raises(LogUnusable, match="older version of petition"):
        Log(url, looks=True)
    assert path.read_bytes() == before
    assert path.stat().st_mode & 0o777 == 0o644
    assert sorted(one.name for one in tmp_path.iterdir()) == ["petition.db"]
    Log(url).close()
    assert number_of(path) == APPLICATION_ID
    assert path.stat().st_mode & 0o777 == 0o600


def test_a_log_of_before_whose_run_died_is_known_by_what_stands_in_its_wal(tmp_path: Path):
    path = tmp_path / "petition.db"
    program = (
        "import os, sys; from tests.unit.outbox import kept; import sqlite3;"
        "c = sqlite3.connect(sys.argv[1]); c.execute('PRAGMA journal_mode = WAL');"
        "c.executescript((kept.SAMPLES / 'schema-8.sqlite.sql').read_text()); os._exit(0)"
    )
    subprocess.run([sys.executable, "-c", program, str(path)], check=True)
    assert path.stat().st_size <= 4096
    beside = {one.name: one.read_bytes() for one in tmp_path.iterdir()}
    assert is_there(path)
    assert {one.name: one.read_bytes() for one in tmp_path.iterdir()} == beside
    with Log(f"sqlite:///{path}") as log:
        assert log.letters()


def test_a_new_log_has_its_id_in_the_file_itself_before_anything_else(tmp_path: Path):
    path = tmp_path / "petition.db"
    program = "import os, sys; from petition.outbox.log import Log; Log(sys.argv[1]); os._exit(0)"
    subprocess.run([sys.executable, "-c", program, f"sqlite:///{path}"], check=True)
    assert (tmp_path / "petition.db-wal").stat().st_size
    assert number_of(path) == APPLICATION_ID


@pytest.mark.parametrize("content", [b"", None])
def test_who_only_looks_makes_no_log(tmp_path: Path, content: bytes | None):
    path = tmp_path / "petition.db"
    if content is not None:
        path.write_bytes(content)
    before = sorted(tmp_path.iterdir())
    assert not is_there(path)
    with pytest.raises(LogUnusable, match="there is no log"):
        Log(f"sqlite:///{path}", looks=True)
    assert sorted(tmp_path.iterdir()) == before


@pytest.mark.parametrize("side", ["-wal", "-shm", "-journal", ".lock"])
def test_a_file_that_belongs_to_a_log_becomes_no_other(tmp_path: Path, side: str):
    with Log(f"sqlite:///{tmp_path}/petition.db") as log:
        assert log.key
        with pytest.raises(LogUnusable, match="belongs to a log"):
            transfer(log, f"sqlite:///{tmp_path}/petition.db{side}")
        log.database.examine()
    assert not (tmp_path / "petition.db-journal").exists()
    with Log(f"sqlite:///{tmp_path}/petition.db") as log:
        log.database.examine()
