"""How a run goes on: a bar on a terminal, else now and then a line, on stderr.

Whatever becomes of the terminal, nothing here may raise: letters are on their way meanwhile.
"""

import sys
from collections.abc import Callable
from time import monotonic
from types import TracebackType
from typing import Self

from petition.cli import console, live
from petition.outbox.states import State

_STEPS = 10  # so many lines tell the progress of a run where there is no terminal
_SECONDS = 5.0  # and further ones after so long without a line
_PAUSE = 1.0  # seconds between two lines at the least, so that a short list makes few of them


class Progress:
    """Shows how many letters became what.

    Args:
        total: How many letters there are to send.
    """

    def __init__(self, total: int) -> None:
        self._total = total
        self._by_state: dict[State, int] = {}
        self._deferred: set[int] = set()
        self._begun = self._told_at = monotonic()
        self._step = 0
        self._is_seen = True
        self._bar = live.bar() if sys.stderr.isatty() else None
        self._task = self._bar.add_task("", total=total, tally="") if self._bar else None

    def told(self, state: State, copy: int | None = None) -> None:
        """Count what became of one letter.

        Args:
            state: Where it is now.
            copy: Its id, so that one that was deferred and is sent later counts once.
        """
        if copy in self._deferred:
            self._deferred.remove(copy)
            self._by_state[State.DEFERRED] -= 1
        if state is State.QUEUED:  # put back: as if nothing had happened
            return
        if state is State.DEFERRED and copy is not None:
            self._deferred.add(copy)
        self._by_state[state] = self._by_state.get(state, 0) + 1
        self._try(self._show)

    def note(self, text: str) -> None:
        """Say something beside the progress."""
        self._try(lambda: self._say(text))

    def __enter__(self) -> Self:
        if self._bar:
            self._try(self._bar.start)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._bar:
            self._try(self._bar.stop)

    def _try(self, show: Callable[[], None]) -> None:
        """Show something, unless nobody is there any more: a closed pipe, a terminal that went."""
        if not self._is_seen:
            return
        try:
            show()
        except (OSError, ValueError, SystemExit):  # rich ends the program where a pipe is closed
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
            console.say_error(text)
            return
        # Not by rich, which makes stdout silent too where stderr is a closed pipe.
        sys.stderr.write(f"{console.clean(text)}\n")
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
        pace = console.rate(rate)
        if left:
            pace = f"{pace}, {console.duration(left)} left"
        return f"{self._done:,} of {self._total:,} ({percent} %): {self._tally()}; {pace}"
