"""A table of people in a CSV file (RFC 4180): rows that know their line, read one at a time."""

import csv
import re
from collections.abc import Generator, Iterator
from contextlib import closing
from pathlib import Path
from typing import NamedTuple, TextIO

from petition.campaign.names import column_name, quoted
from petition.campaign.source import MEND_ENCODING, find_file, unreadable
from petition.errors import Problem

_LINE_LIMIT = 1_000_000  # characters; a line beyond that is no row of people
_UNDECODED = re.compile("[\udc80-\udcff]")  # what "surrogateescape" makes of a wrong byte
_SAVE = "Save the file as CSV, with one row in each line"
_MEND_NUL = "Type the row anew, or save the file as UTF-8"
_MEND_QUOTES = 'Put quotes around the whole cell, and write a quote within it twice ("")'
_MEND_ROW = "Check its commas, and the quotes around cells that hold commas"


class TableRow(NamedTuple):
    """One row.

    Args:
        line: The line that it begins in.
        number: Its number from 1, counted over all rows that are not blank.
        cells: What stands in it by column, without the blanks around it.
    """

    line: int
    number: int
    cells: dict[str, str]


class _Unreadable(Exception):
    """Nothing from here on can be read."""

    def __init__(self, line: int, what: str, mend: str) -> None:
        super().__init__(what)
        self.line, self.what, self.mend = line, what, mend


class Table:
    """A CSV file whose header is known.

    Args:
        file: Its name relative to the campaign folder.
        path: Where it is.
        columns: The normalised names of its columns, each once.
        header_line: The line that they stand in.
    """

    def __init__(self, file: str, path: Path, columns: tuple[str, ...], header_line: int) -> None:
        self.file = file
        self.columns = columns
        self.header_line = header_line
        self._path = path

    def rows(self, problems: list[Problem]) -> Iterator[TableRow]:
        """The rows, one at a time, from the file as it is now.

        Args:
            problems: Takes what is wrong; a row with a problem is left out and still counted.
        """
        records = _records(self._path, self.file, problems)
        next(records, None)  # the header
        for number, (line, cells) in enumerate(records, start=1):
            if cells is None:
                continue
            if len(cells) != len(self.columns):
                what = f"this row has {len(cells)} cells where the header has {len(self.columns)}"
                problems.append(Problem(self.file, line, what, _MEND_ROW))
                continue
            named = zip(self.columns, map(str.strip, cells), strict=True)
            yield TableRow(line, number, dict(named))


def open_table(root: Path, file: str, problems: list[Problem]) -> Table | None:
    """The table of a CSV file in UTF-8 with commas and a header.

    Args:
        root: The campaign folder.
        file: The file's name relative to it.
        problems: Takes what is wrong.

    Returns:
        The table, or None where the file or its header cannot be used.
    """
    path = find_file(root, file, problems)
    if path is None:
        return None
    faults: list[Problem] = []
    with closing(_records(path, file, faults)) as records:
        line, header = next(records, (1, None))
    if header is None:
        mend = "Begin it with a line of column names, such as email,name,language"
        problems.extend(faults or [Problem(file, line, "has no header", mend)])
        return None
    columns = tuple(column_name(cell, at) for at, cell in enumerate(header, start=1))
    faults = [Problem(file, line, *fault) for fault in _header_faults(header, columns)]
    problems.extend(faults)
    return None if faults else Table(file, path, columns, line)


def _header_faults(header: list[str], columns: tuple[str, ...]) -> Iterator[tuple[str, str]]:
    for mark, name in ((";", "semicolons"), ("\t", "tabs")):
        if len(header) == 1 and mark in header[0]:
            yield f"its cells are separated by {name}", "Save it with commas between the cells"
    places: dict[str, int] = {}
    for at, name in enumerate(columns, start=1):
        if (first := places.setdefault(name, at)) < at:
            what = f"columns {first} and {at} are both called {quoted(name)}"
            yield what, "Rename or delete one of them"


Record = tuple[int, list[str] | None]


def _records(path: Path, file: str, problems: list[Problem]) -> Generator[Record, None, None]:
    """The header and the rows that are not blank: line and cells, or None for unusable ones."""
    try:
        # A byte order mark is dropped; wrong bytes are kept apart until their line is known.
        with path.open(encoding="utf-8-sig", errors="surrogateescape", newline="") as stream:
            yield from _parsed(_Lines(stream), file, problems)
    except _Unreadable as why:
        problems.append(Problem(file, why.line, why.what, why.mend))
    except OSError as why:
        problems.append(Problem(file, None, *unreadable(why)))


def _parsed(lines: "_Lines", file: str, problems: list[Problem]) -> Generator[Record, None, None]:
    reader = csv.reader(lines, strict=True)
    while True:
        line = lines.number + 1
        try:
            cells = next(reader, None)
        except csv.Error as why:
            spans_lines = lines.number > line
            problems.append(Problem(file, line, *_broken(str(why), spans_lines=spans_lines)))
            if spans_lines:  # a quote without its end has eaten the rows behind it
                return
            yield line, None
            continue
        if cells is None:
            return
        if lines.last_nul >= line:
            problems.append(Problem(file, line, "holds a NUL character", _MEND_NUL))
            yield line, None
        elif any(map(str.strip, cells)):
            yield line, cells


def _broken(message: str, *, spans_lines: bool) -> tuple[str, str]:
    if spans_lines or "end of data" in message:
        return "a quote is opened in this row and never closed", _MEND_QUOTES
    if "limit" in message:
        return "a cell of this row is longer than 131,072 characters", "Shorten it"
    return "a quoted cell goes on behind its closing quote", _MEND_QUOTES


class _Lines:
    """The lines of a file, counted, each checked before a row is made of it."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self.number = 0
        self.last_nul = 0

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        line = self._stream.readline(_LINE_LIMIT)
        if not line:
            raise StopIteration
        self.number += 1
        if len(line) == _LINE_LIMIT:
            raise _Unreadable(self.number, "this line is longer than 1,000,000 characters", _SAVE)
        if not line.isascii() and (wrong := _UNDECODED.search(line)):
            raise _Unreadable(self.number, _encoding_fault(line, wrong.group()), MEND_ENCODING)
        if "\0" in line:
            self.last_nul = self.number
        return line


def _encoding_fault(line: str, wrong: str) -> str:
    if line.startswith(("\udcff\udcfe", "\udcfe\udcff")):
        return "is saved as UTF-16"
    return f"is not saved as UTF-8: it holds the byte 0x{ord(wrong) - 0xDC00:02X}"
