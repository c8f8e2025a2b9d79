"""Problems as a person reads them: those of many rows once, with the line of the file."""

from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path

from rich.cells import cell_len, set_cell_size
from rich.text import Text

from petition.cli import output
from petition.cli.excerpts import Excerpt, Excerpts
from petition.errors import Level, Problem, sentence

_NAMED = 5  # lines that are named of a problem that many rows have


def show_problems(found: Iterable[Problem], *, on_stderr: bool = False) -> None:
    """Show problems of the campaign in the working directory as FILE:LINE: what. hint.

    A problem that many rows share is shown once, with their lines. On a terminal the line of the
    file follows, with a caret; in a pipe each problem is one line.
    """
    console = output.err() if on_stderr else output.out()
    excerpts = Excerpts(Path.cwd()) if console.is_terminal else None
    for problem in gathered(found):
        line = output.harmless("").append(f"{output.clean(problem.place)}: ", "bold")
        if not problem.is_error:
            style = output.CARE if problem.level is Level.WARNING else output.NOTE
            line.append(f"{problem.level}: ", style)
        line.append(f"{sentence(output.clean(problem.what))} ")
        output.print_text(console, line.append(sentence(output.clean(problem.hint))))
        if excerpts and (excerpt := excerpts.of(problem)):
            output.print_text(console, _excerpt_text(excerpt, console.width))


def gathered(problems: Iterable[Problem]) -> Iterator[Problem]:
    """Problems, of which some that many rows have are one, with the lines of all."""
    told = list(problems)
    alike: dict[Problem, list[Problem]] = {}
    for one in told:
        if one.gathers:
            alike.setdefault(replace(one, line=0), []).append(one)
    for one in told:
        found = alike.get(replace(one, line=0), []) if one.gathers else []
        if len(found) <= _NAMED:
            yield one
        elif one is found[0]:
            yield _joined(found)


def _joined(found: list[Problem]) -> Problem:
    first, *others = sorted(found, key=lambda one: one.line or 0)
    rows = "rows" if "#" in first.file else "lines"  # of a sheet, or of a CSV file
    what = f"{first.what}, also in {rows} {_ranges([one.line or 0 for one in others])}"
    return replace(first, what=what, count=sum(one.count for one in found))


def _ranges(lines: list[int]) -> str:
    """Increasing numbers in words: `6 to 304, 310 and 12 more`."""
    spans: list[list[int]] = []
    for line in lines:
        if spans and line == spans[-1][1] + 1:
            spans[-1][1] = line
        else:
            spans.append([line, line])
    shown = [f"{first}" if first == last else f"{first} to {last}"
             for first, last in spans[:_NAMED]]  # fmt: skip
    more = sum(last - first + 1 for first, last in spans[_NAMED:])
    return ", ".join(shown) + (f" and {more:,} more" if more else "")


def _excerpt_text(excerpt: Excerpt, width: int) -> Text:
    """A line with carets under a part of it, no wider than a terminal."""
    number = f"{excerpt.line:>5} | "
    space = max(width - len(number) - 1, output.NARROWEST)
    before, meant, after = (
        output.clean(part)
        for part in (
            excerpt.text[: excerpt.begin],
            excerpt.text[excerpt.begin : excerpt.end],
            excerpt.text[excerpt.end :],
        )
    )
    before = before.lstrip()
    if cell_len(before) > space // 2:
        before = "…" + before[-(space // 2 - 1) :]
        while cell_len(before) > space // 2:
            before = "…" + before[2:]
    shown = f"{before}{meant}{after}"
    if cell_len(shown) > space:
        shown = set_cell_size(shown, space - 1) + "…"
    start = cell_len(before)
    carets = "^" * max(1, min(cell_len(meant), space - start))
    margin = f"{'|':>{len(number) - 1}} "
    text = output.harmless("").append(number, "dim").append(f"{shown}\n")
    return text.append(margin, "dim").append(" " * start + carets, output.BAD)
