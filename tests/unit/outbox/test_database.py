import re
import stat
import subprocess
import sys
import textwrap
import threading
from concurrent.futures import ThreadPoolExecutor
from itertools import chain
from pathlib import Path

import pytest

from petition.errors import LogBusy, LogUnusable
from petition.outbox.database import POSTGRESQL_SQL, texts
from petition.outbox.log import Log
from tests.privileges import bound_by_permissions


def test_the_log_is_for_its_owner_alone(tmp_path: Path):
    with Log(f"sqlite:///{tmp_path}/petition.db") as log, log.owned():
        for file in tmp_path.iterdir():
            assert stat.S_IMODE(file.stat().st_mode) == 0o600, file


def test_a_log_that_others_may_read_is_closed_to_them(tmp_path: Path):
    path = tmp_path / "petition.db"
    with Log(f"sqlite:///{path}") as log:
        assert log.key
        side_files = [path.with_name(path.name + end) for end in ("-wal", "-shm")]
        for file in (path, *side_files):
            file.chmod(0o644)
        with Log(f"sqlite:///{path}"):
            modes = [stat.S_IMODE(file.stat().st_mode) for file in (path, *side_files)]
    assert modes == [0o600] * 3


def test_commits_are_durable(tmp_path: Path):
    with Log(f"sqlite:///{tmp_path}/petition.db") as log:
        connection = log.database._connection
        assert connection.execute("PRAGMA journal_mode").fetchone()[0] == "wal"
        assert connection.execute("PRAGMA synchronous").fetchone()[0] == 2  # FULL


def test_the_key_is_made_once(tmp_path: Path):
    with Log(f"sqlite:///{tmp_path}/petition.db") as first:
        key = first.key
    with Log(f"sqlite:///{tmp_path}/petition.db") as second:
        assert second.key == key
    with Log(f"sqlite:///{tmp_path}/another.db") as another:
        assert another.key != key


def test_a_log_that_several_make_at_once_is_made_once(tmp_path: Path):
    together = threading.Barrier(8)

    def open_it(_: int) -> bytes:
        together.wait()
        with Log(f"sqlite:///{tmp_path}/petition.db") as log:
            return log.key

    with ThreadPoolExecutor(8) as threads:
        assert len(set(threads.map(open_it, range(8)))) == 1


def test_a_log_that_is_a_link_is_refused(tmp_path: Path):
    (tmp_path / "real.db").touch()
    (tmp_path / "petition.db").symlink_to(tmp_path / "real.db")
    with pytest.raises(LogUnusable, match="symbolic link"):
        Log(f"sqlite:///{tmp_path}/petition.db")


@pytest.mark.parametrize("content", [b"not a database, but long enough to look at" * 9, b"\0" * 64])
def test_a_file_that_is_no_log_is_refused_and_left_alone(tmp_path: Path, content: bytes):
    path = tmp_path / "petition.db"
    path.write_bytes(content)
    with pytest.raises(LogUnusable, match="not a database"):
        Log(f"sqlite:///{path}")
    assert path.read_bytes() == content


def test_another_kind_of_database_is_refused_by_name():
    with pytest.raises(LogUnusable, match="mysql"):
        Log("mysql://somewhere/petition")


def test_a_log_of_another_version_is_refused(tmp_path: Path):
    with Log(f"sqlite:///{tmp_path}/petition.db") as log:
        log.database._connection.execute("UPDATE meta SET value = '99' WHERE name = 'schema'")
    with pytest.raises(LogUnusable, match="newer version"):
        Log(f"sqlite:///{tmp_path}/petition.db")


def test_a_folder_that_is_not_there_is_said(tmp_path: Path):
    with pytest.raises(LogUnusable, match="folder"):
        Log(f"sqlite:///{tmp_path}/nowhere/petition.db")


def test_the_lock_is_freed_by_the_death_of_its_owner_and_by_nothing_else(tmp_path: Path):
    url = f"sqlite:///{tmp_path}/petition.db"
    program = f"""
        import sys, time
        from petition.outbox.log import Log
        with Log({url!r}) as log, log.owned():
            print("owned", flush=True)
            time.sleep(600)
    """
    owner = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(program)], stdout=subprocess.PIPE, text=True
    )
    try:
        assert owner.stdout is not None
        assert owner.stdout.readline() == "owned\n"
        with Log(url) as log:
            with pytest.raises(LogBusy, match=f"process {owner.pid}"), log.owned(0):
                pass
            log.tidy()  # somebody is at work: nothing to tidy
            owner.kill()
            owner.wait()
            with log.owned(0):
                pass
    finally:
        owner.kill()
        owner.wait()
        owner.stdout.close()


def test_a_log_that_may_only_be_read_is_read(tmp_path: Path):
    path = tmp_path / "petition.db"
    with Log(f"sqlite:///{path}") as log:
        key = log.key
    path.chmod(0o444)
    program = f"""
        from petition.errors import LogUnusable
        from petition.outbox.log import Log
        from petition.outbox import manual
        with Log("sqlite:///{path}") as log:
            assert log.database.read_only
            assert log.key.hex() == {key.hex()!r}
            assert log.letters() == []
            try:
                manual.suppress(log, ["a@x.example"])
            except LogUnusable as fault:
                print(fault)
    """
    done = subprocess.run(
        [*bound_by_permissions(), sys.executable, "-c", textwrap.dedent(program)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert "readonly database" in done.stdout, done.stderr


def test_every_query_is_named_once_and_used():
    source = Path(__file__).parents[3] / "petition"
    files = chain(*(source.glob(f"{package}/*.py") for package in ("outbox", "report")))
    code = "".join(file.read_text() for file in files)
    sql = dict(texts(POSTGRESQL_SQL.files) + texts())
    used = {*re.findall(r'"(\w+)"', code), *re.findall(r"@(\w+)", "".join(sql.values()))}
    assert [name for name in sql if name not in used] == []
