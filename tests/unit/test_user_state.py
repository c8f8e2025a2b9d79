import errno
import fcntl
import json
import multiprocessing
from pathlib import Path

import pytest

from petition.user_state import UserStateUnusable, changed_state, read_state, state_folder


def test_what_was_written_is_read_again():
    with changed_state("test.json") as state:
        state["letter"] = {"Қазақ": 1}
    assert read_state("test.json") == {"letter": {"Қазақ": 1}}
    assert (state_folder() / "test.json").stat().st_mode & 0o077 == 0


def test_a_block_that_fails_changes_nothing():
    with changed_state("test.json") as state:
        state["kept"] = 1
    with pytest.raises(ZeroDivisionError), changed_state("test.json") as state:
        state["kept"] = 1 / 0
    assert read_state("test.json") == {"kept": 1}


@pytest.mark.parametrize("text", ["", "{", "[1]", "[" * 100_000])
def test_a_damaged_file_is_named(text: str):
    with changed_state("test.json"):
        pass
    (state_folder() / "test.json").write_text(text)
    with pytest.raises(UserStateUnusable, match=r"test\.json is damaged"):
        read_state("test.json")


def test_a_folder_that_cannot_be_made_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "file"))
    with pytest.raises(UserStateUnusable, match="cannot be used"), changed_state("test.json"):
        pass


def _count(times: int) -> None:
    for _ in range(times):
        with changed_state("test.json") as state:
            state["count"] = state.get("count", 0) + 1


def test_a_disk_without_locks_is_named(monkeypatch: pytest.MonkeyPatch):
    def refuse(*_: object) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", refuse)
    with pytest.raises(UserStateUnusable, match="No locks"), changed_state("test.json"):
        pass


def test_no_change_is_lost_between_processes():
    start = multiprocessing.get_context("spawn")
    processes = [start.Process(target=_count, args=(25,)) for _ in range(3)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    assert json.loads((state_folder() / "test.json").read_text())["count"] == 75
