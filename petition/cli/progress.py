"""What a run tells while it goes on: how far it is, what it waits for, and what slows it down.

Whatever happens to the terminal, nothing here may raise: letters are on their way.
"""

import math
import sys
from collections.abc import Callable
from time import monotonic
from typing import Self

from petition.cli import output
from petition.outbox.states import State
from petition.sending.circuit_breaker import Slowed, Wait

_STEPS = 10  # so many lines tell the progress of a run where there is no terminal
_SECONDS = 5.0  # and further ones after so long without a line
_PAUSE = 1.0  # seconds between two lines at the least, so that a short list makes few of them


class Progress:
    """Shows how many letters of a total were sent, failed and so on."""

    def __init__(self, total: int) -> None:
        self._total = total
        self._by_state: dict[State, int] = {}
        self._open: dict[int, State] = {}  # copies that may come to something else yet
        self._begun = self._told_at = monotonic()
        self._step = 0
        self._is_seen = True
        self._bar = output.bar() if sys.stderr.isatty() else None
        self._task = self._bar.add_task("", total=total, tally="") if self._bar else None

    def count(self, state: State, copy: int | None = None) -> None:
        """Count a letter; by the id of its copy, one that was deferred and is sent counts once."""
        if copy is not None and (before := self._open.pop(copy, None)):
            self._by_state[before] -= 1
        if state is not State.QUEUED:  # put back: as if nothing had happened
            if state in {State.DEFERRED, State.FAILED} and copy is not None:
                self._open[copy] = state
            self._by_state[state] = self._by_state.get(state, 0) + 1
        self._try(self._show)

    def note(self, text: str) -> None:
        """Say something without disturbing the progress bar."""
        self._try(lambda: self._say(text))

    def __enter__(self) -> Self:
        if self._bar:
            self._try(self._bar.start)
        return self

    def __exit__(self, *_: object) -> None:
        if self._bar:
            self._try(self._bar.stop)

    def _try(self, show: Callable[[], None]) -> None:
        """Show something, unless the pipe or terminal was closed."""
        if not self._is_seen:
            return
        try:
            show()
        except (OSError, ValueError, SystemExit):  # rich ends the program if a pipe is closed
            self._is_seen = False

    @property
    def _done(self) -> int:
        return sum(self._by_state.values())

    def _show(self) -> None:
        if self._bar and self._task is not None:
            self._bar.update(self._task, completed=self._done, tally=self._tally())
            return
        done = self._done
        step = done * _STEPS // self._total if self._total else _STEPS
        silence = monotonic() - self._told_at
        is_next = step > self._step and (silence > _PAUSE or done >= self._total)
        if is_next or silence > _SECONDS:
            self._step, self._told_at = step, monotonic()
            self._say(self._line())

    def _say(self, text: str) -> None:
        if self._bar:
            output.say_error(text)
            return
        # Not by rich, which silences stdout too if stderr is a closed pipe.
        sys.stderr.write(f"{output.clean(text)}\n")
        sys.stderr.flush()

    def _tally(self) -> str:
        return ", ".join(
            f"{self._by_state[state]:,} {state}" for state in State if self._by_state.get(state)
        )

    def _line(self) -> str:
        seconds = max(monotonic() - self._begun, 0.001)
        rate = self._done / seconds
        left = max(self._total - self._done, 0) / rate if rate else 0
        percent = 100 * self._done // self._total if self._total else 100
        pace = output.rate(rate)
        if left:
            pace = f"{pace}, {output.duration(left)} left"
        return f"{self._done:,} of {self._total:,} ({percent} %): {self._tally()}; {pace}"


def note_wait(note: Callable[[str], None], wait: Wait) -> None:
    """Say what a run waits for, and until when."""
    until = output.when(wait.until)
    if wait.is_for_server:
        note(f"The server cannot be reached; trying again at {until}, then less often.")
    else:
        note(f"Waiting until {until}. Ctrl-C ends it.")


def why_slower(slowed: Slowed) -> str:
    """Why letters go more slowly now."""
    if math.isinf(slowed.seconds):
        return (
            f"{slowed.domain} refuses letters by policy ({slowed.said}): no more are sent there for"
            " now, and what is waiting for it stays queued."
        )
    if not slowed.seconds:
        return (
            f"The server accepts no commands that arrive with the end of a letter ({slowed.said}):"
            " from now on they wait for its reply, which takes one more round trip per letter."
        )
    seconds = output.duration(slowed.seconds)
    if slowed.domain:
        return (
            f"{slowed.domain} asks us to slow down ({slowed.said}): letters to it are now sent"
            f" {seconds} apart, or more if it asks again."
        )
    if slowed.is_refusal:
        return (
            f"The server refuses more letters for now ({slowed.said}): they stay queued, without"
            f" an attempt counted. Trying again in {seconds}."
        )
    return f"The connection failed ({slowed.said}): trying again in {seconds}."
