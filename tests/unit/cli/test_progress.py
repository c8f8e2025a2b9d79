import io
import sys

import pytest

from petition.cli.progress import Progress
from petition.outbox.states import State


def test_a_short_list_makes_one_line(capsys):
    with Progress(3) as progress:
        for copy, state in enumerate((State.SENT, State.FAILED, State.SENT)):
            progress.count(state, copy)
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1
    assert lines[0].startswith("3 of 3 (100 %): 2 sent, 1 failed; ")


def test_a_deferred_letter_that_is_sent_later_counts_once(capsys):
    with Progress(2) as progress:
        progress.count(State.DEFERRED, 1)
        progress.count(State.SENT, 1)
        progress.count(State.SENT, 2)
    assert "2 of 2 (100 %): 2 sent" in capsys.readouterr().err


def test_a_letter_that_was_put_back_is_not_done(capsys):
    with Progress(2) as progress:
        progress.count(State.QUEUED, 1)
        progress.count(State.SENT, 1)
        progress.count(State.QUEUED, 2)
    assert "2 of 2" not in capsys.readouterr().err


def test_nothing_goes_to_stdout(capsys):
    with Progress(1) as progress:
        progress.count(State.SENT, 1)
        progress.note("a word")
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "a word" in captured.err


def test_no_letters_at_all():
    with Progress(0) as progress:
        progress.count(State.QUEUED, 1)


class Gone(io.StringIO):
    """A stream whose reader has left, or whose terminal has."""

    def __init__(self, fault: Exception, *, is_terminal: bool) -> None:
        super().__init__()
        self.fault = fault
        self.is_terminal = is_terminal

    def isatty(self):
        return self.is_terminal

    def write(self, text):
        raise self.fault

    def flush(self):
        raise self.fault


@pytest.mark.parametrize("is_terminal", [True, False])
@pytest.mark.parametrize(
    "fault", [BrokenPipeError(32, "Broken pipe"), OSError(5, "EIO"), ValueError("closed file")]
)
def test_a_terminal_that_went_away_stops_nothing(monkeypatch, fault, is_terminal):
    from petition.cli import output

    output.err.cache_clear()
    monkeypatch.setattr(sys, "stderr", Gone(fault, is_terminal=is_terminal))
    try:
        with Progress(3) as progress:
            progress.note("a word")
            for copy in range(3):
                progress.count(State.SENT, copy)
            progress.note("another")
    finally:
        output.err.cache_clear()
