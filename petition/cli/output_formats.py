"""JSON, CSV and terminal-safe text, and the line of a file that a problem is about.

Everything that comes from a cell, a file, a server or a mail can hold control characters; nothing
of what is written here holds one.
"""

import csv as csv_format
import json as json_format
import re
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from itertools import islice
from pathlib import Path
from typing import NamedTuple

from petition.campaign.csv_file import open_csv
from petition.campaign.spreadsheet import split_name
from petition.campaign.text_file import find_file, read_text
from petition.errors import CampaignError, Level, PetitionError, Problem

_ROW_LIMIT = 50  # lines that a row is looked for in
_LINE_LIMIT = 10_000  # characters; nobody sees more of a line


class Excerpt(NamedTuple):
    """A line of a file, and what of it is meant.

    Args:
        line: Its number.
        text: The line without its end.
        begin: Where what is meant begins, from 0.
        end: Behind its last character; for an empty cell the same as `begin`.
    """

    line: int
    text: str
    begin: int
    end: int


class Excerpts:
    """Finds the lines of problems that come in the order of their lines.

    Args:
        root: The campaign folder.
    """

    def __init__(self, root: Path) -> None:
        self._root = root
        self._opened: tuple[str, bool] | None = None
        self._texts: list[str] | None = None
        self._rows: _Rows | None = None

    def of(self, problem: Problem) -> Excerpt | None:
        """The line of a problem; None where there is none, or nothing in it is meant.

        Args:
            problem: A problem, of the same file as the one before or of another.
        """
        if problem.line is None or problem.mark is None:
            return None
        is_table = isinstance(problem.mark, int)
        if (problem.file, is_table) != self._opened:
            self._open(problem.file, is_table=is_table)
        if isinstance(problem.mark, int):
            return self._rows.cell(problem.line, problem.mark) if self._rows else None
        if not self._texts or problem.line > len(self._texts):
            return None
        text = self._texts[problem.line - 1][:_LINE_LIMIT]
        return Excerpt(problem.line, text, *_find(problem.mark, text)) if text.strip() else None

    def _open(self, file: str, *, is_table: bool) -> None:
        self._opened, self._texts, self._rows = (file, is_table), None, None
        if is_table:
            self._rows = _Rows.of(self._root, file)
        elif text := read_text(self._root, file, []):
            self._texts = text.split("\n")


def _find(mark: str, text: str) -> tuple[int, int]:
    """Where a mark stands in a line: as whole words, else its last part, else as it stands.

    The whole line is meant where there is none, or where it is not found.
    """
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
    def of(cls, root: Path, file: str) -> "_Rows | None":
        """The rows of a file, or None where it is no CSV file or cannot be read."""
        path = None if split_name(file) else find_file(root, file, [])
        source = open_csv(file, path, []) if path else None
        return cls(source.lines(), source.separator) if source else None

    def cell(self, line: int, number: int) -> Excerpt | None:
        """A cell of the row that begins in a line."""
        with suppress(OSError, ValueError):
            self._go_to(line)
        cells = _cells(self._begun.items(), self._separator)
        for excerpt in islice(cells, number, number + 1):
            return excerpt
        return None

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


# C0, DEL, C1, the marks that reorder text (UAX 9), line and paragraph separators, the byte order
# mark, and halves of surrogate pairs, which cannot be written at all.
_UNSEEN = re.compile(
    "[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff\ud800-\udfff]"
)
_UNSEEN_BUT_LF = re.compile(f"(?!\n){_UNSEEN.pattern}")
_FORMULA = ("=", "+", "-", "@")  # what a spreadsheet takes for the beginning of a formula


def clean(text: str, *, lines: bool = False) -> str:
    """A text without anything that a terminal would obey."""
    if not lines:
        return _UNSEEN.sub(_picture, text.replace("\t", " "))
    return _UNSEEN_BUT_LF.sub(_picture, text.replace("\r\n", "\n").replace("\t", "    "))


def json(value: object) -> None:
    """Write a value as JSON, on stdout."""
    _write_json(_dumped(value, indent=2) + "\n")


def json_of(problem: Problem) -> dict[str, object]:
    """A problem as a script reads it."""
    return {
        "file": problem.file,
        "line": problem.line,
        "what": problem.what,
        "hint": problem.hint,
        "level": problem.level,
    }


def json_error(error: PetitionError) -> None:
    """Write why a command ended as one line of JSON on stdout, unless other JSON was begun."""
    if _JSON.is_begun:
        return
    if isinstance(error, CampaignError):
        found = [json_of(problem) for problem in error.problems]
    else:
        what = {"file": None, "line": None, "what": error.what, "hint": error.hint}
        found = [{**what, "level": Level.ERROR}]
    json_line({"problems": found})


def json_line(value: object) -> None:
    """Write a value as JSON in one line that a script can read while the command runs on."""
    sys.stdout.write(_dumped(value) + "\n")
    sys.stdout.flush()


def json_rows(rows: Iterable[Mapping[str, object]]) -> None:
    """Write objects as a JSON array, one object a line, as they come: there may be a million."""
    divider = "[\n  "
    for row in rows:
        _write_json(divider + _dumped(row))
        divider = ",\n  "
    _write_json("[]\n" if divider.startswith("[") else "\n]\n")


def csv(columns: Sequence[str], rows: Iterable[Mapping[str, object]]) -> None:
    """Write rows as CSV, on stdout, with nothing that a spreadsheet would compute."""
    writer = csv_format.writer(sys.stdout, lineterminator="\n")
    writer.writerow(columns)
    for row in rows:
        writer.writerow([_cell(row[column]) for column in columns])


class _JSON:
    """Whether stdout holds JSON already, to which nothing can be added."""

    is_begun = False


def _write_json(text: str) -> None:
    _JSON.is_begun = True
    sys.stdout.write(text)


def _picture(found: re.Match[str]) -> str:
    number = ord(found.group())
    if number < 0x20:
        return chr(0x2400 + number)  # the pictures of Unicode's block Control Pictures
    return "\u2421" if number == 0x7F else f"<U+{number:04X}>"


def _dumped(value: object, indent: int | None = None) -> str:
    """JSON in which every control character is written as its escape (RFC 8259 7)."""
    is_unicode = (sys.stdout.encoding or "utf-8").lower().startswith("utf")
    text = json_format.dumps(value, ensure_ascii=not is_unicode, indent=indent)
    return _UNSEEN_BUT_LF.sub(lambda found: f"\\u{ord(found.group()):04x}", text)


def _cell(value: object) -> object:
    if not isinstance(value, str):
        return "" if value is None else value
    text = clean(value)
    return f"'{text}" if text.startswith(_FORMULA) else text
