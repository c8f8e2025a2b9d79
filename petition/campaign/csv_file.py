"""CSV files (RFC 4180) in whatever encoding and with whatever separator they were saved."""

import csv
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from io import StringIO
from itertools import chain, islice, repeat
from operator import attrgetter
from os import fstat
from pathlib import Path
from typing import NamedTuple, TextIO

from petition.campaign.encoding import Encoding, EncodingUnclear, encoding_named, find_encoding
from petition.campaign.text_file import HINT_CSV_ENCODING, unreadable
from petition.errors import CampaignError, PetitionError, Problem


class Reading(NamedTuple):
    """What [people] says about reading its files."""

    hidden: str | None = None  # "skip" or "include" the hidden rows of sheets; None: ask
    encoding: str | None = None  # of CSV files that are in neither UTF-8 nor UTF-16; None: guess
    key: str = ""  # under which [people] names the file
    is_search: bool = False  # nothing may be missed: error cells are text, a guess is good enough


AS_IT_IS = Reading()

Record = tuple[int, list[str] | Problem]  # a line and its cells, or why it cannot be used

BLOCK = 250  # rows that go through the pipeline together

_COLUMN_LIMIT = 5_000
_LINE_LIMIT = 1_000_000  # characters; no row of people is longer
_CHARACTERS = 1 << 16  # that are looked over together
_HEADER_LIMIT = 1 << 16  # characters that the separator is looked for in
_SEPARATORS = {",": "commas", ";": "semicolons", "\t": "tabs", "|": "vertical bars"}
# Blanks between a closing quote and the separator; an even number of quotes closes no cell.
_BEHIND_QUOTE = re.compile(r"(?<=[^\s\",;|])((?:\"\")*\") +(?=[,;|\t\r\n]|$)")
# A wrong byte, as "surrogateescape" and "replace" decode it.
_UNDECODED = re.compile("[\udc80-\udcff]")
_REPLACED = "\ufffd"
# Excel writes and reads this line before the header: `sep=;`.
_HINT = re.compile(r"\s*\"?sep=([,;\t|])\"?\s*", re.IGNORECASE)
_SPREADSHEETS = (b"PK\x03\x04", b"\xd0\xcf\x11\xe0")  # of today, and Excel's before 2007

CHANGED = ("has changed while it was read", "Run the command again")
_SAVE = "Save the file as CSV, one row per line"
_HINT_NUL = "Retype the row, or save the file as UTF-8"
_HINT_QUOTES = 'Put quotes around the whole cell, and double each quote inside it ("")'


class _Unreadable(PetitionError):
    """Nothing from the next line on can be read."""


class CsvFile:
    """A CSV file whose encoding and separator are known; `has_hint`: its first line names that."""

    def __init__(
        self, file: str, path: Path, encoding: Encoding, separator: str, *, has_hint: bool
    ) -> None:
        self.file = file
        self.encoding = encoding
        self.separator = separator
        self._path = path
        self._stamp: tuple[int, int] | None = None  # of the file when it was first read
        self._has_hint = has_hint
        name = _SEPARATORS[separator]
        self.hint_row = f"Check its {name}, and the quotes around cells that contain {name}"

    @property
    def guessed(self) -> str:
        """How the file is read if that was guessed; else ""."""
        parts = []
        if not self.encoding.is_utf8:
            parts.append(f"read as {self.encoding.label}")
        if self.separator != ",":
            parts.append(f"cells are separated by {_SEPARATORS[self.separator]}")
        return ", ".join(parts)

    def blocks(self) -> Iterator[list[Record]]:
        """The header and the rows that are not blank, each with its line, some at a time.

        CampaignError if nothing from here on can be read.
        """
        # Wrong bytes are kept apart until their line is known.
        errors = "surrogateescape" if self.encoding.is_utf8 else "replace"
        try:
            with self._path.open(encoding=self.encoding.codec, errors=errors, newline="") as stream:
                self._refuse_changed(stream)
                yield from self._parsed(_Texts(stream, self.encoding))
                self._refuse_changed(stream)
        except OSError as why:
            raise CampaignError([Problem(self.file, None, *unreadable(why))]) from None

    def _refuse_changed(self, stream: TextIO) -> None:
        status = fstat(stream.fileno())
        stamp = (status.st_mtime_ns, status.st_size)
        self._stamp = self._stamp or stamp
        if stamp != self._stamp:
            raise CampaignError([Problem(self.file, None, *CHANGED)])

    def lines(self) -> Iterator[str]:
        """The lines of the file, each with its end, whatever is wrong with it."""
        with self._path.open(encoding=self.encoding.codec, errors="replace", newline="") as stream:
            while line := stream.readline(_LINE_LIMIT):
                yield line

    def _parsed(self, texts: "_Texts") -> Iterator[list[Record]]:
        text = chain.from_iterable(texts)
        reader = csv.reader(text, delimiter=self.separator, skipinitialspace=True, strict=True)
        # Each row with the number of its last line, without a step of Python for it.
        numbered = zip(reader, map(attrgetter("line_num"), repeat(reader)), strict=False)
        before = 0  # lines that the reader does not count
        if self._has_hint:
            next(text, None)
            before = 1
        line, is_over = before + 1, False
        while not is_over:
            read, why = list[tuple[list[str], int]](), None
            try:
                read.extend(islice(numbered, BLOCK))  # keeps the rows before a fault
                is_over = len(read) < BLOCK
            except (csv.Error, _Unreadable) as fault:
                why = fault
            lines = [line, *(before + last + 1 for _, last in read)]
            line = lines.pop()
            records: list[Record] = [
                (at, self._without_nul(at, cells) if texts.have_nul else cells)
                for at, (cells, _) in zip(lines, read, strict=True)
                if (cells and cells[0].strip()) or any(map(str.strip, cells))
            ]
            if why:
                following = before + reader.line_num + 1
                problem, is_over = self._problem_of(why, line, following)
                if not is_over:
                    records.append((line, problem))
                    line = following
            if records:
                yield records
            if why and is_over:
                raise CampaignError([problem])

    def _problem_of(
        self, why: "csv.Error | _Unreadable", line: int, following: int
    ) -> tuple[Problem, bool]:
        """The problem of a row that begins in a line, and whether nothing after it can be read."""
        if isinstance(why, _Unreadable):
            return Problem(self.file, following, why.what, why.hint), True
        spans_lines = following > line + 1  # an unclosed quote has swallowed the rows after it
        return Problem(self.file, line, *_broken(str(why), spans_lines=spans_lines)), spans_lines

    def _without_nul(self, line: int, cells: list[str]) -> list[str] | Problem:
        if any("\0" in cell for cell in cells):
            return Problem(self.file, line, "contains a NUL character", _HINT_NUL)
        return cells


def open_csv(
    file: str, path: Path, problems: list[Problem], reading: Reading = AS_IT_IS
) -> CsvFile | None:
    """Find out how a CSV file was saved; None, and a problem, if it cannot be read."""
    try:
        with path.open("rb") as stream:
            beginning = stream.read(4)
        if beginning in _SPREADSHEETS:
            hint = 'Save it as "CSV UTF-8", or give it a name that ends in .xlsx or .ods'
            problems.append(Problem(file, None, "is a spreadsheet, not a CSV file", hint))
            return None
        encoding = _encoding(path, reading)
        with path.open(encoding=encoding.codec, errors="replace", newline="") as text:
            header = text.read(_HEADER_LIMIT)
    except OSError as why:
        problems.append(Problem(file, None, *unreadable(why)))
        return None
    except EncodingUnclear as why:
        problems.append(Problem(file, None, why.what, why.hint))
        return None
    marked = _HINT.fullmatch(header.partition("\n")[0].partition("\r")[0])
    separator = marked[1] if marked else _separator(header)
    if header.lstrip().partition("\n")[0].count(separator) > _COLUMN_LIMIT:
        what = f"has more than {_COLUMN_LIMIT:,} columns"
        problems.append(Problem(file, 1, what, "Keep only the columns that a letter needs"))
        return None
    return CsvFile(file, path, encoding, separator, has_hint=marked is not None)


def _encoding(path: Path, reading: Reading) -> Encoding:
    try:
        return find_encoding(path, encoding_named(reading.encoding or ""))
    except EncodingUnclear as why:
        if reading.is_search:
            return why.guess
        raise


def _separator(beginning: str) -> str:
    """The separator that is most frequent in the header, outside quotes."""
    counts = Counter({",": 0})  # the comma if there are none, and in a tie
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
        return "a quote opened in this row is never closed", _HINT_QUOTES
    if "limit" in message:
        return "a cell of this row is longer than 131,072 characters", "Shorten it"
    return "a quoted cell continues after its closing quote", _HINT_QUOTES


class _Texts:
    """The lines of a file in blocks, which are checked before they are parsed."""

    def __init__(self, stream: TextIO, encoding: Encoding) -> None:
        self._stream = stream
        self._encoding = encoding
        self.have_nul = False

    def __iter__(self) -> Iterator[Iterable[str]]:
        # Hardly one line in a million is wrong: a block without a fault needs no closer look.
        while block := self._stream.read(_CHARACTERS):
            block += self._stream.readline(_LINE_LIMIT)
            self.have_nul = self.have_nul or "\0" in block
            is_right = len(block) < _LINE_LIMIT and self._fault_in(block) is None
            yield StringIO(_trimmed(block), newline="") if is_right else self._until_fault(block)

    def _until_fault(self, block: str) -> Iterator[str]:
        for line in StringIO(block, newline=""):
            if len(line) >= _LINE_LIMIT:
                raise _Unreadable("this line is longer than 1,000,000 characters", _SAVE)
            if what := self._fault_in(line):
                raise _Unreadable(what, HINT_CSV_ENCODING)
            yield _trimmed(line)

    def _fault_in(self, text: str) -> str | None:
        """What is wrong with the bytes that a text was made of."""
        if text.isascii():
            return None
        if not self._encoding.is_utf8:
            what = f"contains bytes that are not text in {self._encoding.label}"
            return what if _REPLACED in text else None
        if wrong := _UNDECODED.search(text):
            code = ord(wrong.group()) - 0xDC00
            return f"is not saved as UTF-8: it contains the byte 0x{code:02X}"
        return None


def _trimmed(text: str) -> str:
    """A text without the blanks between a closing quote and what ends its cell."""
    return _BEHIND_QUOTE.sub(r"\1", text) if '" ' in text else text
