"""Looking at a log where nothing can be written: a read-only folder, a full disk."""

import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path

import pytest

from petition.errors import LogUnusable
from petition.outbox import sqlite
from petition.outbox.enqueue import Listing
from petition.outbox.log import Log
from tests import PATIENCE
from tests.privileges import bound_by_permissions

pytestmark = pytest.mark.sqlite

LOOK = """
    import resource
    from petition.errors import LogUnusable
    from petition.outbox.log import Log
    from petition.outbox import manual
    try:
        log = Log("sqlite:///{path}")
        log.tidy()
        print("queued:", log.counts("open")["queued"], len(list(log.events())))
        manual.suppress(log, ["a@x.example"])
    except LogUnusable as fault:
        print(fault)
"""


def look(path: Path, first: str = "") -> str:
    program = textwrap.dedent(LOOK.format(path=path)).replace("try:", f"{first}\ntry:", 1)
    done = subprocess.run(
        [*bound_by_permissions(), sys.executable, "-c", program],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "petition.db"


def test_in_a_read_only_folder_the_log_is_read(log: Log, queue: Callable[..., Listing], path: Path):
    queue("ann", "bob")
    log.close()
    for mode in (0o400, 0o600):  # the folder alone, too
        path.chmod(mode)
        path.parent.chmod(0o555)
        said = look(path)
        path.parent.chmod(0o755)
        assert said.startswith("queued: 2 2\n")
        assert "write access" in said


def test_on_a_full_disk_the_log_is_read(log: Log, queue: Callable[..., Listing], path: Path):
    queue("ann", "bob")
    log.close()
    said = look(path, first="resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))")
    assert said.startswith("queued: 2 2\n")
    assert "the disk is full" in said


def test_changes_that_wait_beside_a_log_that_cannot_be_written_are_pointed_out(
    log: Log, queue: Callable[..., Listing], path: Path
):
    queue("ann", "bob")
    ahead = path.with_name("petition.db-wal").read_bytes()
    log.close()
    path.with_name("petition.db-wal").write_bytes(ahead)
    path.parent.chmod(0o555)
    said = look(path)
    path.parent.chmod(0o755)
    assert "petition.db-wal" in said
    assert "Copy both files" in said


def test_an_old_sqlite_is_refused_by_name(path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(sqlite.sqlite3, "sqlite_version_info", (3, 34, 1))
    monkeypatch.setattr(sqlite.sqlite3, "sqlite_version", "3.34.1")
    with pytest.raises(LogUnusable, match=r"3\.35\.0.*3\.34\.1"):
        Log(f"sqlite:///{path}")
    assert not path.exists()


def test_two_first_uses_at_once_make_one_log(tmp_path: Path):
    program = """
        import sys, threading
        from petition.outbox.log import Log
        sys.stdin.readline()
        for number in range(20):
            with Log(f"sqlite:///{folder}/{number}.db") as log:
                print(log.key.hex())
    """
    text = textwrap.dedent(program).replace("{folder}", str(tmp_path))
    users = [
        subprocess.Popen(
            [sys.executable, "-c", text],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for _ in range(3)
    ]
    for user in users:
        assert user.stdin is not None
        user.stdin.write("go\n")
        user.stdin.flush()
    answers = [user.communicate(timeout=PATIENCE) for user in users]
    assert [error for _, error in answers] == [""] * 3
    first, second, third = (out.split() for out, _ in answers)
    assert len(first) == 20
    assert first == second == third


def test_a_log_that_another_process_makes_at_this_moment_is_not_made_twice(
    path: Path, monkeypatch: pytest.MonkeyPatch
):
    """The other one is quicker between our look and our lock."""
    is_made = sqlite.SqliteDatabase._is_made

    def looks_too_early(self: sqlite.SqliteDatabase) -> bool:
        monkeypatch.setattr(sqlite.SqliteDatabase, "_is_made", is_made)
        with Log(f"sqlite:///{path}"):
            return False

    monkeypatch.setattr(sqlite.SqliteDatabase, "_is_made", looks_too_early)
    with Log(f"sqlite:///{path}") as log:
        assert log.letters() == []
