"""Terminal output: messages, tables, the letter, progress, JSON.

Whatever comes from a cell, a file, a server or a mail passes `clean` and reaches rich as `Text`,
never as markup: rich passes escape sequences through, and a cell with brackets in it would be a
style or an error. What is for a person or a script goes to stdout; progress and errors go to
stderr.
"""

import errno
import os
import re
import sys
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from functools import cache
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Protocol, Self

from petition.cli.output_formats import (
    Excerpt,
    Excerpts,
    clean,
    csv,
    json,
    json_error,
    json_line,
    json_of,
    json_rows,
)
from petition.errors import Level, Problem, sentence

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress as Bar
    from rich.status import Status
    from rich.table import Table
    from rich.text import Text


def when(moment: datetime) -> str:
    """A moment in the words of the person's own clock.

    Args:
        moment: An aware moment.
    """
    local = moment.astimezone()
    return f"{local:%Y-%m-%d %H:%M} {local.tzname()}".rstrip()


def count(number: int, noun: str, plural: str = "") -> str:
    """A number with its noun: `1 letter`, `2 letters`, `3 people`.

    Args:
        number: How many.
        noun: What one of them is called.
        plural: What several are called, where an s does not do it.
    """
    return f"{number:,} {noun if number == 1 else plural or noun + 's'}"


def rate(letters_a_second: float) -> str:
    """A rate in the words of a person: `12/s`, `30/min`."""
    if letters_a_second >= 1:
        return f"{letters_a_second:,.0f}/s"
    return f"{letters_a_second * 60:.0f}/min" if letters_a_second else ""


def duration(seconds: float) -> str:
    """About how long: `12 s`, `5 min`, `1.5 h`."""
    if seconds < 60:
        return f"{max(seconds, 1):.0f} s"
    if seconds < 3600:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h"


__all__ = [
    "ask",
    "can_ask",
    "clean",
    "clear",
    "count",
    "csv",
    "difference",
    "duration",
    "err",
    "facts",
    "fitted",
    "harmless",
    "is_terminal",
    "json",
    "json_error",
    "json_line",
    "json_of",
    "json_rows",
    "letter",
    "problems",
    "rate",
    "say",
    "say_error",
    "source",
    "table",
    "when",
    "width",
]

_UNBROKEN = 10_000  # columns where there is no terminal: a pipe gets every line whole
_NARROWEST = 20  # columns that a cut column has at the least


class Viewable(Protocol):
    """A letter to be looked at (merge.message.Shown)."""

    @property
    def headers(self) -> Sequence[tuple[str, str]]:
        """Its headers."""
        ...

    @property
    def text(self) -> str:
        """Its text, with marks around each merge field."""
        ...

    @property
    def attached(self) -> Sequence[str]:
        """The names of the files that come with it."""
        ...


def say(text: str, style: str = "") -> None:
    """Tell the person something, on stdout."""
    for line in harmless(text, style).split("\n", allow_blank=True) or [harmless("")]:
        _print_indented(line)


def say_error(text: str) -> None:
    """Tell the person what went wrong, on stderr."""
    _print(err(), harmless(text))


def problems(found: Iterable[Problem], *, on_stderr: bool = False) -> None:
    """Show problems as FILE:LINE: what. mend, a warning and a note marked as such.

    On a terminal the line that is meant follows, with a caret; a pipe gets one line a problem, so
    that it can be counted and searched.

    Args:
        found: The problems, in the order in which they are to be read, of the campaign in the
            working directory.
        on_stderr: They are why the command ends, and not what was asked for.
    """
    console = err() if on_stderr else _out()
    excerpts = Excerpts(Path.cwd()) if console.is_terminal else None
    for problem in found:
        _print(console, _problem_text(problem))
        if excerpts and (excerpt := excerpts.of(problem)):
            _print(console, _excerpt_text(excerpt, console.width))


def facts(pairs: Iterable[tuple[str, str]]) -> None:
    """Show headings with what stands beside each."""
    from rich.table import Table

    grid = Table.grid(padding=(0, 2, 0, 0))
    grid.add_column(style="bold", no_wrap=True)
    grid.add_column(overflow="fold")
    for heading, text in pairs:
        grid.add_row(harmless(heading), harmless(text))
    _print_grid(grid)


def table(
    columns: Sequence[str],
    rows: Iterable[Sequence[object]],
    *,
    cut_last: bool = False,
    styles: Mapping[str, str] | None = None,
) -> None:
    """Show a table; a column of numbers alone is set to the right.

    Args:
        columns: Its headings.
        rows: Its cells, a text or a number each; None is shown as nothing.
        cut_last: Keep each row to one line: what does not fit of the last column is left out.
        styles: The style of rich that a cell of this very text has.
    """
    from rich.table import Table

    cells = [["" if cell is None else cell for cell in row] for row in rows]
    styles = styles or {}
    grid = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, header_style="bold")
    for at, heading in enumerate(columns):
        is_number = _is_of_numbers([row[at] for row in cells])
        is_cut = cut_last and at == len(columns) - 1
        grid.add_column(
            harmless(heading),
            justify="right" if is_number else "left",
            overflow="ellipsis" if is_cut else "fold",
            no_wrap=is_cut,
            max_width=_rest_of_line(columns, cells) if is_cut else None,
        )
    for row in cells:
        grid.add_row(*(harmless(clean(str(cell)), styles.get(str(cell), "")) for cell in row))
    _print_grid(grid)


def _is_of_numbers(cells: Sequence[object]) -> bool:
    has_some = any(isinstance(cell, int) for cell in cells)
    return has_some and all(isinstance(cell, int) or cell == "" for cell in cells)


def width() -> int:
    """How many columns a line of stdout has."""
    return _out().width


def fitted(text: str, columns: int) -> str:
    """A text in so many columns of a terminal, cut with a mark where it is longer."""
    from rich.text import Text

    fitting = Text(clean(text))
    fitting.truncate(columns, overflow="ellipsis")
    return fitting.plain


def _rest_of_line(columns: Sequence[str], rows: Sequence[Sequence[object]]) -> int:
    """How much of a line the columns before the last one leave."""
    from rich.cells import cell_len

    before = [
        max(cell_len(clean(str(cell))) for cell in column)
        for column in zip(columns, *rows, strict=True)
    ]
    return max(_NARROWEST, _out().width - sum(width + 2 for width in before[:-1]))


def letter(shown: Viewable) -> None:
    """Show a letter as a person reads it, with its merge fields marked if it is on a terminal."""
    for name, value in shown.headers:
        _print(_out(), harmless("").append(f"{clean(name)}: ", "dim").append_text(_marked(value)))
    if shown.attached:
        names = ", ".join(clean(name) for name in shown.attached)
        _print(_out(), harmless("").append("Attached: ", "dim").append(names))
    _print(_out(), harmless(""))
    for line in _marked(shown.text.rstrip("\n")).split("\n", allow_blank=True):
        _print_indented(line)
    _print(_out(), harmless(""))


def clear() -> None:
    """Begin a new screen, on a terminal."""
    _out().clear()


def difference(lines: Iterable[str]) -> None:
    """Show a unified diff."""
    styles = {"+": "green", "-": "red", "@": "cyan"}
    for line in lines:
        _print(_out(), harmless(clean(line), styles.get(line[:1], "")))


def source(data: bytes) -> None:
    """Show bytes: as they are to a pipe or a file, as harmless text on a terminal."""
    if is_terminal():
        _print(_out(), harmless(data.decode("utf-8", "surrogateescape").rstrip("\r\n")))
        return
    sys.stdout.flush()
    sys.stdout.buffer.write(data)
    sys.stdout.buffer.flush()


def ask(question: str) -> bool:
    """Ask the person at the terminal; anything but y or yes is no.

    Args:
        question: What would be done, as a question.
    """
    err().print(harmless(f"{question} [y/N] "), end="")
    sys.stderr.flush()
    return sys.stdin.readline().strip().lower() in {"y", "yes"}


def can_ask() -> bool:
    """Whether there is a person who sees what is shown and can answer."""
    return sys.stdin.isatty() and sys.stdout.isatty() and sys.stderr.isatty()


def is_terminal() -> bool:
    """Whether stdout is a terminal."""
    return sys.stdout.isatty()


@cache
def _out() -> "Console":
    return _console(on_stderr=False)


@cache
def err() -> "Console":
    """Where progress and errors are shown."""
    return _console(on_stderr=True)


def _console(*, on_stderr: bool) -> "Console":
    from rich.console import Console

    class Plain(Console):
        """A console that leaves it to main.py what to do when nobody reads any more."""

        def on_broken_pipe(self) -> None:
            raise BrokenPipeError(errno.EPIPE, os.strerror(errno.EPIPE))

    is_seen = (sys.stderr if on_stderr else sys.stdout).isatty()
    return Plain(
        stderr=on_stderr,
        # rich would also take FORCE_COLOR for a terminal, and colour would end up in files.
        force_terminal=is_seen,
        width=None if is_seen else _UNBROKEN,
        highlight=False,
        markup=False,
        emoji=False,
    )


def _print(console: "Console", text: "Text") -> None:
    # Beyond a terminal rich would also cut or pad; a line of a pipe is left as it is.
    console.print(text, soft_wrap=not console.is_terminal)


def _print_indented(line: "Text") -> None:
    """One line, of which what is wrapped stays under its beginning."""
    from rich.padding import Padding

    indent = len(line.plain) - len(line.plain.lstrip(" "))
    if indent and _out().is_terminal:
        _out().print(Padding(line[indent:], (0, 0, 0, indent)))
    else:
        _print(_out(), line)


def _print_grid(grid: "Table") -> None:
    console = _out()
    with console.capture() as drawn:
        console.print(grid)
    # rich fills the last column with blanks, which a pipe would carry along.
    sys.stdout.write("".join(line.rstrip() + "\n" for line in drawn.get().splitlines()))


def harmless(text: str, style: str = "") -> "Text":
    """A text of which neither rich nor the terminal obeys anything."""
    from rich.text import Text

    return Text(clean(text, lines=True), style)


def _problem_text(problem: Problem) -> "Text":
    line = harmless("").append(f"{clean(problem.place)}: ", "bold")
    if not problem.is_error:
        line.append(f"{problem.level}: ", "yellow" if problem.level is Level.WARNING else "cyan")
    line.append(f"{sentence(clean(problem.what))} ")
    return line.append(sentence(clean(problem.hint)), "dim")


def _excerpt_text(excerpt: Excerpt, width: int) -> "Text":
    """A line and a caret under what is meant of it, no wider than a terminal."""
    from rich.cells import cell_len, set_cell_size

    number = f"{excerpt.line:>5} | "
    room = max(width - len(number) - 1, _NARROWEST)
    before, meant, after = (
        clean(part)
        for part in (
            excerpt.text[: excerpt.begin],
            excerpt.text[excerpt.begin : excerpt.end],
            excerpt.text[excerpt.end :],
        )
    )
    before = before.lstrip()
    if cell_len(before) > room // 2:
        before = "…" + before[-(room // 2 - 1) :]
        while cell_len(before) > room // 2:
            before = "…" + before[2:]
    shown = f"{before}{meant}{after}"
    if cell_len(shown) > room:
        shown = set_cell_size(shown, room - 1) + "…"
    start = cell_len(before)
    carets = "^" * max(1, min(cell_len(meant), room - start))
    margin = f"{'|':>{len(number) - 1}} "
    text = harmless("").append(number, "dim").append(f"{shown}\n")
    return text.append(margin, "dim").append(" " * start + carets, "bold red")


def _marked(text: str) -> "Text":
    from petition.merge.fill import MARK_BEGIN, MARK_END

    line = harmless("")
    for at, piece in enumerate(re.split(f"[{MARK_BEGIN}{MARK_END}]", text)):
        # Marks do not nest: every second piece stands between two of them.
        line.append_text(harmless(piece, "underline bold" if at % 2 and is_terminal() else ""))
    return line


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
