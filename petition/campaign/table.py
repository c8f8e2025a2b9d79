"""A table of people: rows that know their line, read one at a time."""

from collections.abc import Iterator
from contextlib import closing
from itertools import islice
from pathlib import Path
from typing import NamedTuple

from petition.campaign.csv_file import CsvFile, open_csv
from petition.campaign.names import column_name, quoted
from petition.campaign.sheet import SheetFile, split_name
from petition.campaign.source import find_file
from petition.errors import Level, Problem

_LOOKED_AT = 10_000  # rows in which a name is looked for that shows whether the letters are right


class TableRow(NamedTuple):
    """One row.

    Args:
        line: The line that it begins in, or its row in a spreadsheet.
        number: Its number from 1, counted over all rows that are not blank.
        cells: What stands in it by column, without the blanks around it.
    """

    line: int
    number: int
    cells: dict[str, str]


class Table:
    """A file of rows whose header is known.

    Args:
        source: The file.
        columns: The normalised names of its columns, each once.
        headings: The same columns as the file calls them.
        header_line: The line that they stand in.
    """

    def __init__(
        self,
        source: CsvFile | SheetFile,
        columns: tuple[str, ...],
        headings: tuple[str, ...],
        header_line: int,
    ) -> None:
        self.file = source.file
        self.columns = columns
        self.headings = headings
        self.header_line = header_line
        self._source = source

    def rows(self, problems: list[Problem], *, whole: bool = False) -> Iterator[TableRow]:
        """The rows, one at a time, from the file as it is now.

        Args:
            problems: Takes what is wrong; a row with a problem is left out and still counted.
            whole: Give such a row too, without cells.
        """
        records = self._source.records(problems)
        next(records, None)  # the header
        columns, width, strip = self.columns, len(self.columns), str.strip
        for number, (line, cells) in enumerate(records, start=1):
            if cells is None:
                if whole:
                    yield TableRow(line, number, {})
                continue
            if len(cells) != width:
                what = f"this row has {len(cells)} cells where the header has {width}"
                mark = min(len(cells), width + 1) - 1
                problems.append(Problem(self.file, line, what, self._source.mend_row, mark=mark))
                if whole:
                    yield TableRow(line, number, {})
                continue
            # They are as many as the columns; to let zip see to that would take half as long again.
            yield TableRow(line, number, dict(zip(columns, map(strip, cells))))  # noqa: B905

    def heading(self, column: str) -> str:
        """What the file itself calls a column."""
        if column not in self.columns:
            return column
        return self.headings[self.columns.index(column)] or column

    def note(self) -> Problem | None:
        """How the file is read, where a person should judge that."""
        if not self._source.told:
            return None
        what = self._source.told
        mend = "Save it as UTF-8 with commas if that is wrong"
        if isinstance(self._source, SheetFile):
            mend = f"Name another one in [people] as {self.file.partition('#')[0]}#SHEET"
        elif not self._source.encoding.is_utf8 and (found := self._telling_cell()):
            line, cell = found
            what += f"; {quoted(cell)} stands in line {line}"
            mend = "Save it as UTF-8 if that is not how it is written"
        return Problem(self.file, None, what, mend, Level.NOTE)

    def _telling_cell(self) -> tuple[int, str] | None:
        """The first cell with other letters than ASCII's, a name if there is one in its row."""
        for row in islice(self.rows([]), _LOOKED_AT):
            cells = [(name, cell) for name, cell in row.cells.items() if not cell.isascii()]
            names = [cell for name, cell in cells if "name" in name]
            if cells:
                return row.line, (names or [cell for _, cell in cells])[0]
        return None


def open_table(root: Path, file: str, problems: list[Problem]) -> Table | None:
    """The table of a CSV file or a sheet that has a header.

    Args:
        root: The campaign folder.
        file: The file's name relative to it; `people.xlsx#Directors` for a sheet.
        problems: Takes what is wrong, and a note where it was guessed how to read the file.

    Returns:
        The table, or None where the file or its header cannot be used.
    """
    source = _open(root, file, problems)
    if source is None:
        return None
    faults: list[Problem] = []
    with closing(source.records(faults)) as records:  # type: ignore[type-var]
        line, header = next(records, (1, None))
    if header is None:
        mend = "Begin it with a line of column names, such as email,name,language"
        problems.extend(faults or [Problem(source.file, line, "has no header", mend)])
        return None
    columns = tuple(column_name(cell, at) for at, cell in enumerate(header, start=1))
    faults = [
        Problem(source.file, line, what, mend, mark=at)
        for at, what, mend in _header_faults(columns)
    ]
    problems.extend(faults)
    if faults:
        return None
    table = Table(source, columns, tuple(map(str.strip, header)), line)
    if note := table.note():
        problems.append(note)
    return table


def _open(root: Path, file: str, problems: list[Problem]) -> CsvFile | SheetFile | None:
    spreadsheet = split_name(file)
    path = find_file(root, spreadsheet[0] if spreadsheet else file, problems)
    if path is None:
        return None
    if spreadsheet:
        return SheetFile(spreadsheet[0], path, spreadsheet[1])
    return open_csv(file, path, problems)


def _header_faults(columns: tuple[str, ...]) -> Iterator[tuple[int, str, str]]:
    places: dict[str, int] = {}
    for at, name in enumerate(columns, start=1):
        if (first := places.setdefault(name, at)) < at:
            what = f"columns {first} and {at} are both called {quoted(name)}"
            yield at - 1, what, "Rename or delete one of them"
