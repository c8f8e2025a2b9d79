"""Sheets of spreadsheets (.xlsx, .ods), and what keeps a small one from filling the memory."""

import re
from collections.abc import Iterator
from datetime import date, datetime, time, timedelta
from itertools import islice, product
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any
from xml.parsers import expat
from zipfile import BadZipFile, ZipFile, ZipInfo
from zlib import error as ZlibError  # noqa: N812 (it is a class)

from petition.campaign import sheet_look
from petition.campaign.csv_file import BLOCK, CHANGED, Reading, Record
from petition.campaign.names import nearest_hint, quoted
from petition.campaign.text_file import unreadable
from petition.errors import CampaignError, PetitionError, Problem

if TYPE_CHECKING:
    from python_calamine import CalamineSheet


_NAME = re.compile(
    r"(?P<file>.+\.(?:xls[xmb]?|ods|numbers))(?:#(?P<sheet>.*))?", re.IGNORECASE | re.DOTALL
)
# The whole sheet is held in memory, which these keep below about 300 MB.
_SIZE_LIMIT = 128 * 2**20  # bytes of XML, once it is unpacked
_STRINGS_LIMIT = 48 * 2**20  # bytes of the texts that cells share
_CELL_LIMIT = 2_000_000  # of the sheet's rectangle, empty ones too
_TEXT_LIMIT = 96 * 2**20  # characters of all cells: each has a copy of the text that it shares
_CELL_LENGTH = 131_072  # characters of one cell, as in CSV files
_BYTES_IN_CELL = 6 * _CELL_LENGTH  # "&quot;" is one character
_REPEATED_LIMIT = 1_000  # rows with something in them that .ods writes once for many
_LONG = f"a cell of this row is longer than {_CELL_LENGTH:,} characters", "Shorten it"
_HINT = "Open it in a spreadsheet program and save it again"
_HINT_CELLS = "Copy the table into a new sheet: a stray cell far below or to the right is the cause"
_HINT_SIZE = "Save it as CSV UTF-8, which has no size limit"
_MARKS = re.compile(rb"sheetData|[/:]sst[\s>]")  # without them calamine finds no cells or texts
_MARK_LENGTH = 9
_BOM_UTF_16 = 0xFE  # or one more: no other text begins with these bytes
_PIECE = 1 << 20  # bytes read at a time


class _Refused(PetitionError):
    """The workbook cannot be used."""


_OTHER_KIND = "is not an .xlsx or .ods spreadsheet", _HINT
_PASSWORD = "is protected by a password", "Open it, remove the password and save it again"
_AS_XLSX = "Open it in a spreadsheet program and save it as .xlsx"
_OLD_KIND = "is an .xls workbook of Excel before 2007", _AS_XLSX
_BINARY_KIND = "is a binary workbook (.xlsb)", _AS_XLSX
_NUMBERS = "is a document of Apple Numbers", "Open it in Numbers and export it as Excel (.xlsx)"
_OLE = b"\xd0\xcf\x11\xe0"  # Excel's files before 2007, and those that a password encrypts
_ENCRYPTED = "EncryptedPackage".encode("utf-16-le")
_NOT_READABLE = "cannot be read as a spreadsheet", _HINT


def split_name(file: str) -> tuple[str, str | None] | None:
    """The file and the sheet, if one is named, of `people.xlsx#Directors`; None: another file."""
    found = _NAME.fullmatch(file)
    return (found["file"], found["sheet"] or None) if found else None


class SheetFile:
    """One sheet of a spreadsheet, by default the first; its rows are the lines of problems."""

    hint_row = "Check the row in the spreadsheet"

    def __init__(self, file: str, path: Path, sheet: str | None, reading: Reading) -> None:
        self._name = file
        self._reading = reading
        self._look = sheet_look.Look()
        self._path = path
        self._wanted = sheet
        self._others: list[str] = []
        self._loaded: CalamineSheet | None = None
        self._stamp: tuple[int, int] | None = None
        self.file = f"{file}#{sheet}" if sheet else file

    @property
    def guessed(self) -> str:
        """Which sheet is read if none was named and there are several; else ""."""
        others = ", ".join(map(quoted, self._others[:5]))
        return f"only this sheet is read, not {others}" if others else ""

    def hidden_rows(self) -> list[int]:
        """The rows under the header that hold something and are hidden; errors as in `records`."""
        sheet = self._sheet()
        if not self._look.hidden_rows:
            return []
        filled = (row for row, values in enumerate(sheet.iter_rows(), 1) if any(map(_text, values)))
        next(filled, None)  # the header
        return [row for row in filled if row in self._look.hidden_rows]

    def blocks(self) -> Iterator[list[Record]]:
        """The header and the rows that are not blank, each with its row number, some at a time.

        CampaignError if the sheet cannot be read.
        """
        return _in_blocks(self._records())

    def _records(self) -> Iterator[Record]:
        sheet, width = self._sheet(), 0
        for row, values in enumerate(sheet.iter_rows(), 1):
            cells = self._look.of(row, values, _text)
            if max(map(len, cells), default=0) > _CELL_LENGTH:
                yield row, Problem(self.file, row, *_LONG)
                continue
            if not any(cells):
                continue
            if not width:  # columns without a heading at the end are blank cells, no columns
                width = max(at for at, cell in enumerate(cells, 1) if cell)
            elif self._reading.hidden == "skip" and row in self._look.hidden_rows:
                continue
            kinds = list(map(type, cells[:width]))
            if sheet_look.ErrorCell in kinds and not self._reading.is_search:
                at = kinds.index(sheet_look.ErrorCell)
                place = f"{sheet_look.column_letters(at + 1)}{row}"
                what, hint = f"the cell {place} shows the error {cells[at]}", "Correct its formula"
                yield row, Problem(self.file, row, what, f"{hint}, or empty it", mark=at)
                continue
            while len(cells) > width and not cells[-1]:
                cells.pop()
            yield row, cells

    def _sheet(self) -> "CalamineSheet":
        try:
            status = self._path.stat()
            stamp = (status.st_mtime_ns, status.st_size)
            if self._loaded is None:
                self._loaded, self._stamp = self._load(), stamp
        except OSError as why:
            raise CampaignError([Problem(self.file, None, *unreadable(why))]) from None
        except _Refused as why:
            raise CampaignError([Problem(self.file, None, why.what, why.hint)]) from None
        if stamp != self._stamp:
            raise CampaignError([Problem(self.file, None, *CHANGED)])
        return self._loaded

    def _load(self) -> "CalamineSheet":
        import python_calamine  # noqa: PLC0415 (most lists are CSV files)

        try:
            _refuse_too_large(self._path)
            book = python_calamine.CalamineWorkbook.from_path(str(self._path))
            visible = python_calamine.SheetVisibleEnum.Visible
            shown = [one.name for one in book.sheets_metadata if one.visible == visible]
            name = self._chosen(book.sheet_names, shown)
            sheet = book.get_sheet_by_name(name)
            with ZipFile(self._path) as packed:
                self._look = sheet_look.look_of(packed, name)
        except python_calamine.PasswordError:
            raise _Refused(*_PASSWORD) from None
        except (_Refused, OSError):
            raise
        except BaseException as why:  # a panic of the library is not an Exception
            if isinstance(why, KeyboardInterrupt | SystemExit):
                raise
            raise _Refused(*_NOT_READABLE) from None
        self.file = f"{self._name}#{name}"
        return sheet

    def _chosen(self, names: list[str], shown: list[str]) -> str:
        if not names:
            raise _Refused("has no sheet", _HINT)
        if self._wanted is None:
            first = (shown or names)[0]
            self._others = [name for name in names if name != first]
            return first
        if self._wanted in names:
            return self._wanted
        sheets = f"Its sheets: {', '.join(map(quoted, names[:10]))}"
        hint = nearest_hint(self._wanted, names, sheets)
        raise _Refused(f"has no sheet {quoted(self._wanted)}", hint)


def _in_blocks(records: Iterator[Record]) -> Iterator[list[Record]]:
    """Records some at a time; those before a CampaignError come first."""
    fault = None
    while fault is None:
        some = list[Record]()
        try:
            some.extend(islice(records, BLOCK))
        except CampaignError as why:
            fault = why
        if some:
            yield some
        if fault is None and len(some) < BLOCK:
            return
    raise fault


def _refuse_too_large(path: Path) -> None:
    """Refuse what would take all memory, for calamine aborts the process then."""
    with path.open("rb") as file:
        beginning = file.read(4)
        if beginning == _OLE:
            is_encrypted = _ENCRYPTED in file.read(_SIZE_LIMIT)
            raise _Refused(*(_PASSWORD if is_encrypted else _OLD_KIND))
        if beginning[:2] != b"PK":
            raise _Refused(*_OTHER_KIND)
        try:
            with ZipFile(file) as packed:
                _look_at_parts(packed)
        except (BadZipFile, ValueError, NotImplementedError, RuntimeError, EOFError, ZlibError):
            raise _Refused(*_OTHER_KIND) from None


def _look_at_parts(packed: ZipFile) -> None:
    left = _SIZE_LIMIT
    strings: list[tuple[ZipInfo, int]] = []
    sheets: list[tuple[ZipInfo, int]] = []
    for part in packed.infolist():
        name = part.filename.lower()
        if name == "xl/workbook.bin":  # its cells are not counted here
            raise _Refused(*_BINARY_KIND)
        if name in {"index.zip", "index/document.iwa"}:
            raise _Refused(*_NUMBERS)
        if name == "meta-inf/manifest.xml":
            with packed.open(part) as stream:
                if b"encryption-data" in stream.read(_PIECE):
                    raise _Refused(*_PASSWORD)
        part.file_size = _SIZE_LIMIT + 1  # what the archive says may be a lie
        reader = _OdsContent(left) if name == "content.xml" else _Part(left)
        with packed.open(part) as stream:
            reader.read(stream)
        left -= reader.size
        if reader.longest_string:
            strings.append((part, reader.longest_string))
        if reader.cells:
            sheets.append((part, reader.cells))
    for (texts, longest), (sheet, count) in product(strings, sheets):
        if count * longest > _TEXT_LIMIT:  # else they are short enough in any case
            _refuse_copied_texts(packed, texts, sheet)


class _Part:
    """A part of the archive: how large it is, and the cells that calamine would find in it.

    A workbook may keep a sheet under any name, so each part is looked at.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._run = 0  # bytes since the last tag
        self._is_sheet = False
        self._row = self._column = 0  # before the next cell without a reference
        self._rows, self._width, self._row_tags = 1, 0, 0
        self._last_row = ""
        self.size = self.cells = 0
        self._is_broken = False  # not XML: a picture is not either
        self.longest_string = 0  # in bytes, with the markup
        self._string_at = 0
        self._parser = expat.ParserCreate()
        self._parser.StartElementHandler = self._start
        self._parser.StartDoctypeDeclHandler = sheet_look.refuse_doctype

    def read(self, stream: IO[bytes]) -> None:
        """Read the part to its end."""
        tail = b""
        while piece := stream.read(_PIECE):
            # calamine's parser, quick-xml, would see other tags in UTF-16 than expat does.
            if not self.size and (piece[0] >= _BOM_UTF_16 or 0 in piece[:4]):
                self._is_broken = True
            self.size += len(piece)
            limit = min(self._limit, _STRINGS_LIMIT) if self._string_at else self._limit
            if self.size > limit:
                size = f"{_SIZE_LIMIT >> 20} MB, or its texts more than {_STRINGS_LIMIT >> 20} MB,"
                raise _Refused(f"is larger than {size} when it is unpacked", _HINT_SIZE)
            if not self._is_broken:
                self._parse(piece)
            if not self._is_broken:
                self._refuse_long_text(piece)
            elif self._is_sheet or _MARKS.search(tail + piece):  # calamine reads broken XML too
                raise _Refused(*_NOT_READABLE)
            tail = piece[-_MARK_LENGTH:]
        if self.size and not self._is_broken:
            self._parse(b"", is_last=True)
        if self._string_at:
            self.longest_string = max(self.longest_string, self.size - self._string_at)

    def _parse(self, piece: bytes, *, is_last: bool = False) -> None:
        try:
            self._parser.Parse(piece, is_last)
        except expat.ExpatError:
            self._is_broken = True
            if self._is_sheet or self._string_at:
                raise _Refused(*_NOT_READABLE) from None
        self._refuse_many_cells()

    def _refuse_long_text(self, piece: bytes) -> None:
        end = 0
        while (last := piece.rfind(b"<", end, end + _BYTES_IN_CELL - self._run)) >= 0:
            end, self._run = last + 1, 0
        self._run += len(piece) - end
        if self._run > _BYTES_IN_CELL:
            what = f"has a cell or other text of more than {_CELL_LENGTH:,} characters"
            raise _Refused(what, "Shorten it")

    def _refuse_many_cells(self) -> None:
        rows, width, count = self._rows, self._width, self.cells
        if rows * width > _CELL_LIMIT and rows * width > 2 * count:
            raise _Refused(f"has a sheet of {rows:,} rows and {width:,} columns", _HINT_CELLS)
        if max(count, rows * width) > _CELL_LIMIT:
            raise _Refused(f"has a sheet of more than {_CELL_LIMIT:,} cells", _HINT_SIZE)

    def _start(self, name: str, _: dict[str, str]) -> None:
        if name == "si" or name.endswith(":si"):
            at = self._parser.CurrentByteIndex
            if self._string_at:
                self.longest_string = max(self.longest_string, at - self._string_at)
            self._string_at = at
        elif name.endswith("sheetData"):
            self._is_sheet = True
            self._parser.StartElementHandler = self._start_in_sheet

    def _start_in_sheet(self, name: str, attributes: dict[str, str]) -> None:
        if name == "v":  # half of all
            return
        if name == "c" or name.endswith(":c"):
            self.cells += 1
            if "r" not in attributes:
                self._place_by_position()
                return
            reference = attributes["r"]
            letters = reference.rstrip("0123456789")
            self._column = sheet_look.column_number(letters)
            self._width = max(self._width, self._column)
            row = reference[len(letters) :]
            if row != self._last_row:
                self._last_row = row
                self._rows = max(self._rows, int(row))
        elif name == "row" or name.endswith(":row"):
            self._row_tags += 1
            if "r" in attributes:
                self._row = int(attributes["r"]) - 1
        else:
            self._start(name, attributes)

    def _place_by_position(self) -> None:
        if not self._parser.EndElementHandler:  # it takes long, and most files do without
            self._parser.EndElementHandler = self._end_in_sheet
            self._row += self._row_tags  # no fewer than the rows that have ended
        self._column += 1
        self._rows = max(self._rows, self._row + 1)
        self._width = max(self._width, self._column)

    def _end_in_sheet(self, name: str) -> None:
        if name == "row" or name.endswith(":row"):
            self._row += 1
            self._column = 0


class _OdsContent(_Part):
    """The sheets of an .ods, where a few bytes can stand for many blanks, cells or rows."""

    def __init__(self, limit: int) -> None:
        super().__init__(limit)
        self._repeat_rows = self._repeat_cells = 1  # how often the current ones are repeated
        self._length = self._row_length = self._length_of_all = 0
        self._written = self._more = 0  # rows with something in them, and their repetitions
        self._parser.buffer_text = True
        self._parser.CharacterDataHandler = self._text
        self._parser.EndElementHandler = self._end
        self._is_sheet = True  # so that broken XML is refused

    def _start(self, name: str, attributes: dict[str, str]) -> None:
        match name.rpartition(":")[2]:
            case "table-row":
                self._repeat_rows = _times(attributes, "number-rows-repeated")
                self._row_length = 0
            case "table-cell" | "covered-table-cell":
                self._repeat_cells = _times(attributes, "number-columns-repeated")
                self._length = max(map(len, attributes.values()), default=0)
                self._length *= "office:string-value" in attributes
            case "s":
                self._length += _times(attributes, "c")
            case "p":
                self._length += 1
            case "si" | "sst" | "sheetData":  # of an .xlsx, whose cells would not be counted
                raise _Refused(*_NOT_READABLE)

    def _text(self, text: str) -> None:
        self._length += len(text)

    def _end(self, name: str) -> None:
        match name.rpartition(":")[2]:
            case "table-cell" | "covered-table-cell":
                self._row_length += self._repeat_cells * self._length
                self._length = 0
            case "table-row" if self._row_length:
                self._length_of_all += self._repeat_rows * self._row_length
                self._written += 1
                self._more += self._repeat_rows - 1
        if max(self._length, self._row_length, self._length_of_all) > _STRINGS_LIMIT:
            raise _Refused(f"has more than {_STRINGS_LIMIT >> 20} MB of text", _HINT_SIZE)
        if self._more > _REPEATED_LIMIT + 10 * self._written:
            raise _Refused(f"repeats rows {self._more:,} times", "Delete the repeated rows")


def _times(attributes: dict[str, str], name: str) -> int:
    found = (int(value) for key, value in attributes.items() if key.rpartition(":")[2] == name)
    return max((1, *found))


def _refuse_copied_texts(packed: ZipFile, strings: ZipInfo, sheet: ZipInfo) -> None:
    """Refuse long texts that many cells share."""
    lengths = _TextLengths()
    for part in (strings, sheet):
        with packed.open(part) as stream:
            lengths.read(stream)
    if lengths.used > _TEXT_LIMIT:
        raise _Refused("has long texts that many cells share", _HINT_SIZE)


class _TextLengths:
    """The lengths of the texts that cells share, and how much of them the cells of a sheet use."""

    def __init__(self) -> None:
        self.found: list[int] = []
        self.used = 0
        self._is_shared = self._is_index = False
        self._index = ""

    def read(self, stream: IO[bytes]) -> None:
        """Read a part of the archive."""
        self.used = 0
        parser = expat.ParserCreate(namespace_separator=" ")
        parser.buffer_text = True
        parser.StartElementHandler = self._start
        parser.CharacterDataHandler = self._text
        parser.EndElementHandler = self._end
        try:
            parser.ParseFile(stream)
        except (expat.ExpatError, IndexError, ValueError):
            raise _Refused(*_NOT_READABLE) from None

    def _start(self, name: str, attributes: dict[str, str]) -> None:
        match name.rpartition(" ")[2]:
            case "si":
                self.found.append(0)
            case "c":
                self._is_shared = attributes.get("t") == "s"
            case "v" if self._is_shared:
                self._is_index, self._index = True, ""

    def _text(self, text: str) -> None:
        if self._is_index:
            self._index += text
        elif self.found:
            self.found[-1] += len(text)

    def _end(self, name: str) -> None:
        if self._is_index and name.rpartition(" ")[2] == "v":
            self._is_index = False
            self.used += self.found[int(self._index)]


def _text(value: Any) -> str:  # noqa: ANN401 (whatever calamine gives)
    """A cell as a person reads it."""
    if isinstance(value, str):
        return value.strip()
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int | float):
        return sheet_look.plain_number(value)
    if isinstance(value, datetime):
        return value.date().isoformat() if value.time() == time() else value.isoformat(" ")
    if isinstance(value, date | time):
        return value.isoformat()
    return str(value) if isinstance(value, timedelta) else ""
