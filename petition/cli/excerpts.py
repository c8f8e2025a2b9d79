"""The line of a file that a problem is about, and the part of it that is meant."""

import re
from collections.abc import Iterable, Iterator
from contextlib import suppress
from itertools import islice
from pathlib import Path
from typing import NamedTuple, Self

from petition.campaign.csv_file import open_csv
from petition.campaign.spreadsheet import split_name
from petition.campaign.text_file import find_file, read_text
from petition.errors import Problem

_ROW_LIMIT = 50  # lines that a row is looked for in
_LINE_LIMIT = 10_000  # characters; nobody sees more of a line


class Excerpt(NamedTuple):
    """A line of a file, and the part of it from `begin` to before `end` (equal: an empty cell)."""

    line: int
    text: str
    begin: int
    end: int


class Excerpts:
    """Finds the lines of problems that come in the order of their lines."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._opened: tuple[str, bool] | None = None
        self._texts: list[str] = []
        self._rows: _Rows | None = None

    def of(self, problem: Problem) -> Excerpt | None:
        """The line of a problem; None if it has none."""
        if problem.line is None or problem.mark is None:
            return None
        is_table = isinstance(problem.mark, int)
        if (problem.file, is_table) != self._opened:
            self._open(problem.file, is_table=is_table)
        if isinstance(problem.mark, int):
            return self._rows.cell(problem.line, problem.mark) if self._rows else None
        if problem.line > len(self._texts):
            return None
        text = self._texts[problem.line - 1][:_LINE_LIMIT]
        return Excerpt(problem.line, text, *_find(problem.mark, text)) if text.strip() else None

    def _open(self, file: str, *, is_table: bool) -> None:
        self._opened, self._texts, self._rows = (file, is_table), [], None
        if is_table:
            self._rows = _Rows.of(self._root, file)
        elif text := read_text(self._root, file, []):
            self._texts = text.split("\n")


def _find(mark: str, text: str) -> tuple[int, int]:
    """Where a mark is in a line: as whole words, else its last part; else all of the line."""
    for words in filter(None, (mark, mark.rpartition(".")[2])):
        dotted = r"\s*\.\s*".join(map(re.escape, words.split(".")))
        if found := re.search(rf"(?<!\w){dotted}(?!\w)", text):
            return found.span()
    at = text.find(mark) if mark else -1
    if at >= 0:
        return at, at + len(mark)
    return len(text) - len(text.lstrip()), len(text.rstrip())


class _Rows:
    """The rows of a CSV file, gone through once from its beginning."""

    def __init__(self, lines: Iterator[str], separator: str) -> None:
        self._lines = enumerate(lines, start=1)
        self._separator = separator
        self._begun: dict[int, str] = {}  # the lines from the row that was asked for last

    @classmethod
    def of(cls, root: Path, file: str) -> Self | None:
        """The rows of a file, or None if it is not a CSV file or cannot be read."""
        path = None if split_name(file) else find_file(root, file, [])
        source = open_csv(file, path, []) if path else None
        return cls(source.lines(), source.separator) if source else None

    def cell(self, line: int, number: int) -> Excerpt | None:
        """A cell of the row that begins in a line."""
        with suppress(OSError, ValueError):
            self._go_to(line)
        cells = _cells(self._begun.items(), self._separator)
        return next(islice(cells, number, None), None)

    def _go_to(self, line: int) -> None:
        self._begun = {at: text for at, text in self._begun.items() if at >= line}
        wanted = line + _ROW_LIMIT
        if self._begun and max(self._begun) >= wanted:
            return
        for at, text in self._lines:
            if at >= line:
                self._begun[at] = text
            if at >= wanted:
                return


def _cells(lines: Iterable[tuple[int, str]], separator: str) -> Iterator[Excerpt]:
    """The cells of one row, by the rules of RFC 4180, each where it begins."""
    is_quoted = False
    start: Excerpt | None = None  # of a cell that goes on in further lines
    for line, whole in lines:
        text = whole.rstrip("\r\n")
        begin = 0
        for at, char in enumerate(text[:_LINE_LIMIT]):
            if char == '"':
                is_quoted = not is_quoted
            elif char == separator and not is_quoted:
                yield start or _trimmed(line, text, begin, at)
                start, begin = None, at + 1
        if not is_quoted:
            yield start or _trimmed(line, text, begin, len(text[:_LINE_LIMIT]))
            return
        start = start or Excerpt(line, text, begin, len(text))


def _trimmed(line: int, text: str, begin: int, end: int) -> Excerpt:
    cell = text[begin:end]
    if cell.strip():
        begin += len(cell) - len(cell.lstrip())
        end = begin + len(cell.strip())
    return Excerpt(line, text[:_LINE_LIMIT], begin, end)
