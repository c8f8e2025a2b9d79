"""Tables of people, from CSV files and spreadsheets (.xlsx, .ods): rows that know their line.

`column_aliases.toml` has what is known of the exports of other systems.
"""

import re
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import closing, suppress
from itertools import chain, islice
from pathlib import Path
from typing import NamedTuple, TypeGuard

from petition.address import addr_spec_in
from petition.campaign.csv_file import AS_IT_IS, CsvFile, Reading, Record, open_csv
from petition.campaign.names import column_name, language_tag, quoted
from petition.campaign.spreadsheet import SheetFile, split_name
from petition.campaign.text_file import find_file, packaged_toml
from petition.errors import CampaignError, Level, Problem, listed

_CHOICES = {"skip": "left out", "include": "used like the others"}  # for [people] hidden
_ROWS_NAMED = 3  # of those that are hidden; the rest are counted
_HEADER_ROWS = 20  # in which a header is looked for if the first row has none
_LOOKED_AT = 10_000  # rows in which a name is looked for that shows whether the letters are right

_KNOWN = packaged_toml("campaign/column_aliases.toml")
ALIASES: dict[str, list[str]] = _KNOWN["aliases"]
OPT_INS: list[str] = _KNOWN["opt_ins"]
STATUSES: list[str] = _KNOWN["statuses"]
_ON_HOLD_WORDS: dict[str, str] = _KNOWN["on_hold"]
_YES_OR_NO = dict.fromkeys(_KNOWN["yes"], True) | dict.fromkeys(_KNOWN["no"], False)
# Why a row is not written to, in the words of the log; the gravest first.
OPTED_OUT = "opted out"
ON_HOLD = "on hold"
REASONS = (*_KNOWN["flags"], ON_HOLD)
_LABELLED = re.compile(r"([^\W\d_]+)(?:,? [^\W\d_]+)?(?: ?[(;].*)?")


class TableRow(NamedTuple):
    """One row; with a fault it cannot be used and has no cells.

    A fault with the number 0 is about the file: nothing from here on could be read.
    """

    line: int  # where it begins, or its row in a spreadsheet
    number: int  # from 1, counted over all rows that are not blank
    cells: dict[str, str]  # by column, without surrounding whitespace
    fault: Problem | None = None


class Table:
    """A file of rows with a header: `columns` are its normalised names, `headings` as written."""

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
        pairs = ((columns.index(name), at) for at, name in enumerate(columns))
        self._twice = [(first, at) for first, at in pairs if first < at]

    def blocks(self) -> Iterator[list[TableRow]]:
        """All rows of the file as it is now, some at a time."""
        columns, strip, number = self.columns, str.strip, 1
        try:
            for records in self._records():
                if self._are_usual(records):
                    yield [  # to let zip see to it that they fit would take half as long again
                        TableRow(line, at, dict(zip(columns, map(strip, cells))))  # noqa: B905
                        for at, (line, cells) in enumerate(records, number)
                    ]
                else:
                    places = enumerate(records, number)
                    yield [self._row(line, at, cells) for at, (line, cells) in places]
                number += len(records)
        except CampaignError as end:
            yield [TableRow(0, 0, {}, end.problems[0])]

    def bare_blocks(self) -> Iterator[list[list[str]]]:
        """The cells of all rows that can be read, with their blanks, in the order of `columns`."""
        with suppress(CampaignError):  # which `blocks` tells
            for records in self._records():
                if self._are_usual(records):
                    yield [cells for _, cells in records]
                    continue
                rows = [
                    cells
                    for line, cells in records
                    if not (isinstance(cells, Problem) or self._fault(line, cells))
                ]
                if rows:
                    yield rows

    def _records(self) -> Iterator[list[Record]]:
        """The records below the header."""
        blocks = self._source.blocks()
        if first := next(blocks, [])[1:]:
            yield first
        yield from blocks

    def _are_usual(self, records: list[Record]) -> TypeGuard[list[tuple[int, list[str]]]]:
        """Whether nothing is wrong with any of them."""
        widths = {len(cells) if isinstance(cells, list) else -1 for _, cells in records}
        return not self._twice and widths <= {len(self.columns)}

    def _row(self, line: int, number: int, cells: list[str] | Problem) -> TableRow:
        fault = cells if isinstance(cells, Problem) else self._fault(line, cells)
        if fault or isinstance(cells, Problem):
            return TableRow(line, number, {}, fault)
        return TableRow(line, number, dict(zip(self.columns, map(str.strip, cells), strict=True)))

    def _fault(self, line: int, cells: list[str]) -> Problem | None:
        """Why the cells of a row cannot be told by column."""
        if len(cells) != len(self.columns):
            return self._misfit(line, cells)
        return self._differing(line, cells)

    def rows(self) -> Iterator[TableRow]:
        """The rows that can be read, one at a time."""
        return (row for row in chain.from_iterable(self.blocks()) if row.fault is None)

    def _misfit(self, line: int, cells: list[str]) -> Problem:
        width, count = len(self.columns), len(cells)
        what = f"this row has {count} {'cell' if count == 1 else 'cells'}, the header {width}"
        hint = self._source.hint_row
        is_empty = count > width and not any(map(str.strip, cells[width:]))
        if is_empty:
            extra = count - width
            what += "; the extra cell is empty" if extra == 1 else "; the extra cells are empty"
            hint = f"Delete the {'separator' if extra == 1 else 'separators'} at the end of the row"
        mark = min(count, width + 1) - 1
        return Problem(self.file, line, what, hint, mark=mark, gathers=is_empty)

    def _differing(self, line: int, cells: list[str]) -> Problem | None:
        """Two columns of one name are one, as long as they hold the same."""
        for first, at in self._twice:
            if cells[first].strip() != cells[at].strip():
                what = f"columns {first + 1} and {at + 1} are both called"
                what = f"{what} {quoted(self.columns[at])}, and differ in this row"
                hint = "Rename or delete one of the columns"
                return Problem(self.file, line, what, hint, mark=at, gathers=True)
        return None

    def without_column(self, column: str, what_it_has: str, likely: str | None = None) -> Problem:
        """The problem of a table without a column that it needs: its header may not be the first.

        `likely` is another column that may be meant.
        """
        if any(addr_spec_in(cell) for cell in self.headings):
            what = "the first row has an address and no column names"
            hint = "Put a line of column names above it, such as email,name"
            return Problem(self.file, self.header_line, what, hint)
        hint = f"Rename the column with the {what_it_has} to {column}"
        if likely:
            hint = f"Rename the column {quoted(likely)} to {column}, if it has the {what_it_has}"
        elif line := self._line_of_header(column):
            hint = f"The column names seem to be in line {line}: delete the lines above it"
        return Problem(self.file, self.header_line, f'has no column "{column}"', hint)

    def _line_of_header(self, column: str) -> int | None:
        """The line, of the first ones, that looks like a header with a column."""
        known = {column, *ALIASES.get(column, ())}
        with suppress(CampaignError), closing(self._source.blocks()) as blocks:  # type: ignore[type-var]
            for line, cells in islice(chain.from_iterable(blocks), 1, _HEADER_ROWS):
                if isinstance(cells, Problem):
                    continue
                # A title without separators has hidden which one the file has.
                words = cells if len(cells) > 1 else re.split(r"[,;\t|]", cells[0])
                if known.intersection(column_name(word, 1) for word in words):
                    return line
        return None

    def heading(self, column: str) -> str:
        """What the file itself calls a column."""
        if column not in self.columns:
            return column
        return self.headings[self.columns.index(column)] or column

    def note(self) -> Problem | None:
        """How the file is read, if a person should check that."""
        if not self._source.guessed:
            return None
        what = self._source.guessed
        hint = "If that is wrong, save it as UTF-8 with commas"
        if isinstance(self._source, SheetFile):
            hint = f"To use another, write {self.file.partition('#')[0]}#SHEET in [people]"
        elif not self._source.encoding.is_utf8 and (found := self._telling_cell()):
            line, cell = found
            what += f"; line {line} has {quoted(cell)}"
            hint = "If that is not how it is written, save the file as UTF-8"
        return Problem(self.file, None, what, hint, Level.NOTE)

    def _telling_cell(self) -> tuple[int, str] | None:
        """The first cell with letters beyond ASCII, a name if its row has one."""
        for row in islice(self.rows(), _LOOKED_AT):
            cells = [(name, cell) for name, cell in row.cells.items() if not cell.isascii()]
            names = [cell for name, cell in cells if "name" in name]
            if cells:
                return row.line, (names or [cell for _, cell in cells])[0]
        return None


def open_table(
    root: Path, file: str, problems: list[Problem], reading: Reading = AS_IT_IS
) -> Table | None:
    """The table of a CSV file or a sheet; None, and a problem, if it or its header is unusable.

    A file whose encoding or separator was guessed gets a note. A sheet is named as
    `people.xlsx#Directors`.
    """
    source = _open(root, file, problems, reading)
    if source is None:
        return None
    line, header = 1, None
    try:
        with closing(source.blocks()) as blocks:  # type: ignore[type-var]
            line, header = next(chain.from_iterable(blocks), (1, None))
        if isinstance(source, SheetFile) and (hidden := source.hidden_rows()):
            problems.append(_hidden(source.file, hidden, reading.hidden))
    except CampaignError as fault:
        problems += fault.problems
        return None
    if header is None:
        hint = "Start it with a line of column names, such as email,name,language"
        header = Problem(source.file, line, "has no header", hint)
    if isinstance(header, Problem):
        problems.append(header)
        return None
    columns = tuple(column_name(cell, at) for at, cell in enumerate(header, start=1))
    table = Table(source, columns, tuple(map(str.strip, header)), line)
    if note := table.note():
        problems.append(note)
    return table


def _hidden(file: str, numbers: list[int], choice: str | None) -> Problem:
    named = listed(numbers[:_ROWS_NAMED], len(numbers))
    rows = f"1 row ({named}) is" if len(numbers) == 1 else f"{len(numbers):,} rows ({named}) are"
    what = f"{rows} hidden, by a filter or by hand"
    if choice:
        hint = f'[people] hidden = "{choice}" says so'
        return Problem(file, None, f"{what}, and {_CHOICES[choice]}", hint, Level.NOTE)
    hint = 'Write hidden = "skip" in [people] to leave out what is hidden, or hidden = "include"'
    return Problem(file, None, what, hint)


def _open(
    root: Path, file: str, problems: list[Problem], reading: Reading
) -> CsvFile | SheetFile | None:
    spreadsheet = split_name(file)
    path = find_file(root, spreadsheet[0] if spreadsheet else file, problems, reading.key)
    if path is None:
        return None
    if spreadsheet:
        return SheetFile(spreadsheet[0], path, spreadsheet[1], reading)
    return open_csv(file, path, problems, reading)


def yes_or_no(text: str) -> bool | None:
    """Whether a cell says yes, or no (as an empty one does); None: it is unclear."""
    return _YES_OR_NO.get(text.strip().lower())


class Unclear(Exception):
    """A cell does not clearly say whether its row may be written to."""

    def __init__(self, column: str, hint: str) -> None:
        super().__init__(column)
        self.column, self.hint = column, hint


Mark = Callable[[str], str | None]


class Export:
    """What petition understands of a table's columns, by their normalised names."""

    def __init__(self, columns: Collection[str]) -> None:
        found = {
            ours: next((name for name in aliases if name in columns), "")
            for ours, aliases in ALIASES.items()
            if ours not in columns
        }
        self.taken = {ours: theirs for ours, theirs in found.items() if theirs}
        self.added = tuple(self.taken)
        self._marks = list(_marks(columns))
        self.marks = tuple(column for column, _, _ in self._marks)

    def complete(self, cells: dict[str, str]) -> None:
        """Add our names to the cells of a row."""
        for ours, theirs in self.taken.items():
            cells[ours] = cells[theirs]
        if "language" in self.taken:
            cells["language"] = language_meant(cells["language"])

    def excluded(self, cells: Mapping[str, str]) -> str:
        """Why the system that a row comes from says not to write to it, or "".

        Unclear if a cell can be read neither way.
        """
        if not self._marks:
            return ""
        found = set()
        for column, mark, hint in self._marks:
            reason = mark(" ".join(cells[column].lower().replace("_", " ").split()))
            if reason is None:
                raise Unclear(column, hint)
            found.add(reason)
        return next((reason for reason in REASONS if reason in found), "")


def _marks(columns: Collection[str]) -> Iterator[tuple[str, Mark, str]]:
    marks: dict[str, Mark] = {
        column: _flag(yes=reason, no="")
        for reason, flags in _KNOWN["flags"].items()
        for column in flags
    }
    marks |= dict.fromkeys(OPT_INS, _flag(yes="", no=OPTED_OUT))
    marks |= dict.fromkeys(_KNOWN["holds"], _hold)
    for column, mark in marks.items():
        if column in columns:
            yield column, mark, 'Write "yes" or "no"'
    for column in STATUSES:
        if column in columns:
            known = ", ".join(f'"{word}"' for word in _KNOWN["status"] if word)
            yield column, _KNOWN["status"].get, f"Known are {known}"


def _flag(*, yes: str, no: str) -> Mark:
    meaning = {True: yes, False: no, None: None}
    return lambda text: meaning[yes_or_no(text)]


def _hold(text: str) -> str | None:
    return _ON_HOLD_WORDS[text] if text in _ON_HOLD_WORDS else _flag(yes=ON_HOLD, no="")(text)


def language_meant(text: str) -> str:
    """The language tag that a label means, or the text as it is."""
    if not text or language_tag(text):
        return text
    found = _LABELLED.fullmatch(text.lower())
    return _KNOWN["languages"].get(found[1], text) if found else text
