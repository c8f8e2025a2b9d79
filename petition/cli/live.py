"""What moves on a terminal while work goes on. Beside console.py the door to rich."""

import sys
from types import TracebackType
from typing import TYPE_CHECKING, Self

from petition.cli.console import err, harmless
from petition.cli.words import duration, rate

if TYPE_CHECKING:
    from rich.progress import Progress as Bar
    from rich.status import Status
    from rich.text import Text

_TIMES_A_SECOND = 10  # that a progress bar is drawn at the most
_COUNTED = 1_000  # rows between two looks of a counter


class Counter:
    """Counts on stderr while a long list is read: on a terminal alone, and gone at the end.

    Args:
        label: What is counted.
    """

    def __init__(self, label: str) -> None:
        self._label = label
        self._status: Status | None = None
        self._next = _COUNTED if sys.stderr.isatty() else sys.maxsize

    def show(self, count: int) -> None:
        """Say how many there were."""
        if count < self._next:
            return
        self._next = count + _COUNTED
        if self._status is None:
            self._status = err().status("")
            self._status.start()
        self._status.update(harmless(f"{self._label}: {count:,}"))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._status:
            self._status.stop()


def bar() -> "Bar":
    """A progress bar on stderr; its one task has a field `tally`."""
    from rich.progress import BarColumn, ProgressColumn, Task, TextColumn
    from rich.progress import Progress as Bar

    class Done(ProgressColumn):
        """How many of them there are."""

        def render(self, task: Task) -> "Text":
            return harmless(f"{task.completed:,.0f} of {task.total or 0:,.0f}")

    class Pace(ProgressColumn):
        """How many a second, and the time that the rest will take."""

        max_refresh = 0.5  # seconds: figures that jump cannot be read

        def render(self, task: Task) -> "Text":
            if not task.speed or task.finished:
                return harmless(rate(task.finished_speed or 0) if task.finished else "")
            left = duration(task.time_remaining or 0)
            return harmless(f"{rate(task.speed)}, {left} left")

    return Bar(
        BarColumn(bar_width=None),
        Done(),
        TextColumn("{task.fields[tally]}", markup=False),
        Pace(),
        console=err(),
        expand=True,
        refresh_per_second=_TIMES_A_SECOND,
        redirect_stdout=False,
        redirect_stderr=False,
    )
