"""The records of a CSV file (RFC 4180): whatever separates its cells and however it was saved."""

import csv
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from io import StringIO
from itertools import chain
from pathlib import Path
from typing import TextIO

from petition.campaign.encoding import Encoding, find_encoding
from petition.campaign.source import MEND_ENCODING, unreadable
from petition.errors import Problem

Record = tuple[int, list[str] | None]

_COLUMN_LIMIT = 5_000
_LINE_LIMIT = 1_000_000  # characters; a line beyond that is no row of people
_BLOCK = 1 << 16  # characters that are looked over together
_HEADER_LIMIT = 1 << 16  # characters that the separator is looked for in
_SEPARATORS = {",": "commas", ";": "semicolons", "\t": "tabs"}
# What "surrogateescape" and "replace" make of a wrong byte.
_UNDECODED = re.compile("[\udc80-\udcff]")
_REPLACED = "\ufffd"
# Excel writes and reads this line before the header: `sep=;`.
_HINT = re.compile(r"\s*\"?sep=([,;\t])\"?\s*", re.IGNORECASE)
_SPREADSHEETS = (b"PK\x03\x04", b"\xd0\xcf\x11\xe0")  # of today, and Excel's before 2007

_SAVE = "Save the file as CSV, with one row in each line"
_MEND_NUL = "Type the row anew, or save the file as UTF-8"
_MEND_QUOTES = 'Put quotes around the whole cell, and write a quote within it twice ("")'


class _Unreadable(Exception):
    """Nothing from the next line on can be read."""

    def __init__(self, what: str, mend: str) -> None:
        super().__init__(what)
        self.what, self.mend = what, mend


class CsvFile:
    """A CSV file of which it is known how it was saved.

    Args:
        file: Its name relative to the campaign folder.
        path: Where it is.
        encoding: How its bytes are letters.
        separator: What stands between its cells.
        has_hint: Whether its first line names the separator and is no row.
    """

    mend_row = "Check its commas, and the quotes around cells that hold commas"

    def __init__(
        self, file: str, path: Path, encoding: Encoding, separator: str, *, has_hint: bool
    ) -> None:
        self.file = file
        self.encoding = encoding
        self.separator = separator
        self._path = path
        self._has_hint = has_hint
        if separator != ",":
            name = _SEPARATORS[separator]
            self.mend_row = f"Check its {name}, and the quotes around cells that hold {name}"

    @property
    def told(self) -> str:
        """How the file is read, where that was guessed; else ""."""
        parts = []
        if not self.encoding.is_utf8:
            parts.append(f"read as {self.encoding.label}")
        if self.separator != ",":
            parts.append(f"the cells are separated by {_SEPARATORS[self.separator]}")
        return ", ".join(parts)

    def records(self, problems: list[Problem]) -> Iterator[Record]:
        """The header and the rows that are not blank: line and cells, or None for unusable ones.

        Args:
            problems: Takes what is wrong with the file as it is now.
        """
        # Wrong bytes are kept apart until their line is known.
        errors = "surrogateescape" if self.encoding.is_utf8 else "replace"
        try:
            with self._path.open(encoding=self.encoding.codec, errors=errors, newline="") as stream:
                yield from self._parsed(_Blocks(stream, self.encoding), problems)
        except OSError as why:
            problems.append(Problem(self.file, None, *unreadable(why)))

    def lines(self) -> Iterator[str]:
        """The lines of the file, each with its end; what is wrong with it is passed over."""
        with self._path.open(encoding=self.encoding.codec, errors="replace", newline="") as stream:
            while line := stream.readline(_LINE_LIMIT):
                yield line

    def _parsed(self, blocks: "_Blocks", problems: list[Problem]) -> Iterator[Record]:
        text = chain.from_iterable(blocks)
        reader = csv.reader(text, delimiter=self.separator, strict=True)
        first = 1
        try:
            if self._has_hint:
                next(text, None)
                first = 2
            line = first
            while True:
                try:
                    for cells in reader:
                        if blocks.have_nul and any("\0" in cell for cell in cells):
                            what = "holds a NUL character"
                            problems.append(Problem(self.file, line, what, _MEND_NUL))
                            yield line, None
                        elif any(map(str.strip, cells)):
                            yield line, cells
                        line = first + reader.line_num
                except csv.Error as why:
                    spans_lines = first + reader.line_num > line + 1
                    fault = _broken(str(why), spans_lines=spans_lines)
                    problems.append(Problem(self.file, line, *fault))
                    if spans_lines:  # a quote without its end has eaten the rows behind it
                        return
                    yield line, None
                    line = first + reader.line_num
                else:
                    return
        except _Unreadable as why:
            problems.append(Problem(self.file, first + reader.line_num, why.what, why.mend))


def open_csv(file: str, path: Path, problems: list[Problem]) -> CsvFile | None:
    """Find out how a CSV file was saved.

    Args:
        file: Its name relative to the campaign folder.
        path: Where it is.
        problems: Takes what is wrong with the file as a whole.
    """
    try:
        with path.open("rb") as stream:
            beginning = stream.read(4)
        if beginning in _SPREADSHEETS:
            mend = 'Save it as "CSV UTF-8", or as .xlsx or .ods under a name that ends so'
            problems.append(Problem(file, None, "is a spreadsheet and not a CSV file", mend))
            return None
        encoding = find_encoding(path)
        with path.open(encoding=encoding.codec, errors="replace", newline="") as text:
            header = text.read(_HEADER_LIMIT)
    except OSError as why:
        problems.append(Problem(file, None, *unreadable(why)))
        return None
    hint = _HINT.fullmatch(header.partition("\n")[0].partition("\r")[0])
    separator = hint[1] if hint else _separator(header)
    if header.lstrip().partition("\n")[0].count(separator) > _COLUMN_LIMIT:
        what = f"has more than {_COLUMN_LIMIT:,} columns"
        problems.append(Problem(file, 1, what, "Keep the columns that a letter needs"))
        return None
    return CsvFile(file, path, encoding, separator, has_hint=hint is not None)


def _separator(beginning: str) -> str:
    """The separator that stands most often in the header outside of quotes."""
    counts = Counter({",": 0})  # where there are none, and among equals, it is the comma
    is_quoted = has_begun = False
    for char in beginning:
        if char == '"':
            is_quoted = not is_quoted
        elif is_quoted:
            continue
        elif char in "\r\n":
            if has_begun:
                break
            continue
        elif char in _SEPARATORS:
            counts[char] += 1
        has_begun = has_begun or not char.isspace()
    return counts.most_common(1)[0][0]


def _broken(message: str, *, spans_lines: bool) -> tuple[str, str]:
    if spans_lines or "end of data" in message:
        return "a quote is opened in this row and never closed", _MEND_QUOTES
    if "limit" in message:
        return "a cell of this row is longer than 131,072 characters", "Shorten it"
    return "a quoted cell goes on behind its closing quote", _MEND_QUOTES


class _Blocks:
    """The lines of a file in blocks, which are looked over before rows are made of them."""

    def __init__(self, stream: TextIO, encoding: Encoding) -> None:
        self._stream = stream
        self._encoding = encoding
        self.have_nul = False

    def __iter__(self) -> Iterator[Iterable[str]]:
        # Of a million lines hardly one is wrong: what is right of a whole block is so of each.
        while block := self._stream.read(_BLOCK):
            block += self._stream.readline(_LINE_LIMIT)
            self.have_nul = self.have_nul or "\0" in block
            lines = StringIO(block, newline="")
            is_right = len(block) < _LINE_LIMIT and self._fault_in(block) is None
            yield lines if is_right else self._until_fault(lines)

    def _until_fault(self, lines: Iterable[str]) -> Iterator[str]:
        for line in lines:
            if len(line) >= _LINE_LIMIT:
                raise _Unreadable("this line is longer than 1,000,000 characters", _SAVE)
            if what := self._fault_in(line):
                raise _Unreadable(what, MEND_ENCODING)
            yield line

    def _fault_in(self, text: str) -> str | None:
        """What is wrong with the bytes that a text was made of."""
        if text.isascii():
            return None
        if not self._encoding.is_utf8:
            is_wrong = _REPLACED in text
            return (
                f"holds bytes that are no letters in {self._encoding.label}" if is_wrong else None
            )
        if wrong := _UNDECODED.search(text):
            code = ord(wrong.group()) - 0xDC00
            return f"is not saved as UTF-8: it holds the byte 0x{code:02X}"
        return None
