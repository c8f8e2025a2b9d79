"""Clicks that wait for the log in a file: none is lost, whoever writes and counts at a time."""

import os
import threading

import pytest

from petition.outbox import unsubscribe
from petition.outbox.unsubscribe import count_clicks, has_clicks, note_clicks


@pytest.fixture
def counted(monkeypatch):
    """The tokens that were counted, in place of a log that they belong to."""
    tokens: list[str] = []

    def unsubscribe_all(log, some):
        tokens.extend(some)
        return [None] * len(some)

    monkeypatch.setattr(unsubscribe, "unsubscribe_all", unsubscribe_all)
    return tokens


def token(number: int) -> str:
    return f"{number:032x}"


def test_what_was_noted_is_counted_once_and_the_file_goes(tmp_path, counted):
    file = tmp_path / "clicks"
    note_clicks(file, [token(1), token(2)])
    note_clicks(file, [token(3)])
    assert file.stat().st_mode & 0o777 == 0o600
    assert has_clicks(file)
    count_clicks(None, file)
    assert counted == [token(1), token(2), token(3)]
    assert list(tmp_path.iterdir()) == []


def test_half_a_line_of_a_crash_spoils_nothing(tmp_path, counted):
    file = tmp_path / "clicks"
    file.write_bytes(b"\n" + token(1).encode()[:20] + b"\x00\xff")
    note_clicks(file, [token(2)])
    count_clicks(None, file)
    assert counted == [token(2)]


def test_what_could_not_be_counted_stays(tmp_path, counted, monkeypatch):
    file = tmp_path / "clicks"
    note_clicks(file, [token(1)])
    with monkeypatch.context() as patch:
        patch.setattr(unsubscribe, "unsubscribe_all", lambda log, some: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            count_clicks(None, file)
    note_clicks(file, [token(2)])
    assert has_clicks(file)
    count_clicks(None, file)
    count_clicks(None, file)
    assert counted == [token(1), token(2)]
    assert not has_clicks(file)


def test_a_link_in_its_place_is_not_followed(tmp_path):
    other = tmp_path / "other"
    other.write_text("mine")
    (tmp_path / "clicks").symlink_to(other)
    with pytest.raises(OSError):  # noqa: PT011 (ELOOP here, EMLINK elsewhere)
        note_clicks(tmp_path / "clicks", [token(1)])
    assert other.read_text() == "mine"


def test_a_pipe_in_its_place_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "clicks")
    for use in (
        lambda: note_clicks(tmp_path / "clicks", [token(1)]),
        lambda: count_clicks(None, tmp_path / "clicks"),
    ):
        with pytest.raises(OSError):  # noqa: PT011 (ENXIO to write, EINVAL to read)
            use()


def test_many_who_write_and_count_at_once_lose_nothing(tmp_path, counted):
    file = tmp_path / "clicks"
    writers = [
        threading.Thread(
            target=lambda begin=begin: [
                note_clicks(file, [token(begin + one)]) for one in range(50)
            ]
        )
        for begin in range(0, 200, 50)
    ]
    is_over = threading.Event()

    def count_on():
        while not is_over.is_set():
            count_clicks(None, file)

    counters = [threading.Thread(target=count_on) for _ in range(2)]
    for thread in (*writers, *counters):
        thread.start()
    for thread in writers:
        thread.join()
    is_over.set()
    for thread in counters:
        thread.join()
    count_clicks(None, file)
    assert set(counted) == {token(one) for one in range(200)}
    assert not has_clicks(file)
