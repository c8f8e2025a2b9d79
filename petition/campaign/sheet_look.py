"""What a sheet shows and calamine does not tell: formats of numbers, error cells, hidden rows.

The XML of the chosen sheet is read once more, within the limits that spreadsheet.py has checked.
Numbers are shown by the format codes of spreadsheets (ECMA-376-1, 18.8.30 and 18.8.31): digits,
grouping, decimals, percentages, currencies and other text around them. What a workbook leaves to
the machine (the signs for decimals and thousands) is as in English. A number with exponents or
fractions is shown in full.
"""

import re
from array import array
from collections.abc import Callable, Iterator
from datetime import time
from decimal import ROUND_HALF_UP, Context, Decimal
from functools import lru_cache
from math import isfinite
from typing import Any
from xml.parsers import expat
from zipfile import ZipFile

from petition.campaign.text_file import packaged_toml

_WIDTH = 16_384  # columns of a sheet; further ones cannot be filled
_ODS_VALUES = frozenset({"float", "percentage", "currency", "time"})
_UNCLEAR = re.compile(r"###|[0-9][eE][+-]?[0-9]")  # a column too narrow, and an exponent


class ErrorCell(str):
    """What a cell shows whose formula failed: `#N/A`."""

    __slots__ = ()


class _Code(str):
    """The code of a cell's number format."""

    __slots__ = ()


class Look:
    """How cells and rows of a sheet are shown, where that is not the plain value."""

    def __init__(self) -> None:
        self.hidden_rows: set[int] = set()
        self._looks: list[str] = [""]
        self._numbers: dict[tuple[type[str], str], int] = {}
        self._rows: dict[int, array[int]] = {}  # for each column the index of its look

    def add(self, row: int, column: int, look: str, times: int = 1) -> None:
        """Note how a cell is shown, and the same ones to the right of it; from 1."""
        number = self._numbers.setdefault((type(look), look), len(self._looks))
        if number == len(self._looks):
            self._looks.append(look)
        numbers = self._rows.setdefault(row, array("I"))
        last = min(column + times - 1, _WIDTH)
        numbers.extend([0] * (last - len(numbers)))
        numbers[column - 1 : last] = array("I", [number]) * (last - column + 1)

    def repeat(self, row: int, times: int) -> None:
        """Let the rows after a row be like it."""
        for other in range(row + 1, row + times):
            if row in self._rows:
                self._rows[other] = self._rows[row]
            if row in self.hidden_rows:
                self.hidden_rows.add(other)

    def of(self, row: int, values: list[Any], plain: Callable[[Any], str]) -> list[str]:
        """The cells of a row as they are shown."""
        if row not in self._rows:
            return list(map(plain, values))
        looks = self._rows[row]
        looks.extend([0] * (len(values) - len(looks)))
        return [
            _shown(value, self._looks[number], plain) if number else plain(value)
            for value, number in zip(values, looks, strict=False)
        ]


def _shown(value: Any, look: str, plain: Callable[[Any], str]) -> str:  # noqa: ANN401 (calamine's)
    if not isinstance(look, _Code):
        return look
    if isinstance(value, time) and shows_no_seconds(look):
        return f"{value:%H:%M}"
    if isinstance(value, int | float) and not isinstance(value, bool):
        return shown_number(value, look)
    return plain(value)


def look_of(packed: ZipFile, sheet: str) -> Look:
    """How a sheet of a workbook is shown; LookupError, ExpatError or ValueError if it is broken."""
    parts = {name.lower(): name for name in packed.namelist()}
    look = Look()
    if "content.xml" in parts:
        _read(packed, parts["content.xml"], _Ods(sheet, look))
        return look
    book, styles = _Book(sheet), _Styles()
    _read(packed, parts["xl/workbook.xml"], book)
    _read(packed, parts["xl/_rels/workbook.xml.rels"], book)
    if "xl/styles.xml" in parts:
        _read(packed, parts["xl/styles.xml"], styles)
    target = book.targets[book.relation].lstrip("/")
    part = target if target.startswith("xl/") else f"xl/{target}"
    _read(packed, parts[part.lower()], _Xlsx(styles.codes(), look))
    return look


class _Reader:
    """Gets the tags of a part by their local names."""

    def listen(self, parser: expat.XMLParserType) -> None:
        """Have a parser call the methods below."""
        parser.StartElementHandler = lambda tag, attributes: self.start(_local(tag), attributes)
        parser.CharacterDataHandler = self.text
        parser.EndElementHandler = lambda tag: self.end(_local(tag))

    def start(self, tag: str, attributes: dict[str, str]) -> None:
        """A tag begins."""

    def text(self, text: str) -> None:
        """Text between tags."""

    def end(self, tag: str) -> None:
        """A tag ends."""


def _read(packed: ZipFile, part: str, reader: _Reader) -> None:
    parser = expat.ParserCreate()
    parser.buffer_text = True
    reader.listen(parser)
    parser.StartDoctypeDeclHandler = refuse_doctype
    with packed.open(part) as stream:
        parser.ParseFile(stream)


def refuse_doctype(*_: object) -> None:
    """No sheet has one, and quick-xml may disagree with expat about where it ends."""
    raise expat.ExpatError("a document type declaration")


def _local(tag: str) -> str:
    return tag.rpartition(":")[2]


def _get(attributes: dict[str, str], name: str) -> str:
    """An attribute by its local name, or ""."""
    return next((value for key, value in attributes.items() if _local(key) == name), "")


class _Book(_Reader):
    """workbook.xml and its relations: in which part a sheet is."""

    def __init__(self, sheet: str) -> None:
        self._sheet, self.relation = sheet, ""
        self.targets: dict[str, str] = {}

    def start(self, tag: str, attributes: dict[str, str]) -> None:
        if tag == "sheet" and attributes.get("name") == self._sheet:
            self.relation = next(value for key, value in attributes.items() if key.endswith(":id"))
        elif tag == "Relationship":
            self.targets[attributes["Id"]] = attributes["Target"]


class _Styles(_Reader):
    """styles.xml: the number format of each style of cells."""

    def __init__(self) -> None:
        self._written: dict[int, str] = {}
        self._formats: list[int] = []
        self._is_of_cells = False

    def start(self, tag: str, attributes: dict[str, str]) -> None:
        if tag == "numFmt":
            self._written.setdefault(int(attributes["numFmtId"]), attributes["formatCode"])
        elif tag == "cellXfs":
            self._is_of_cells = True
        elif tag == "xf" and self._is_of_cells:
            self._formats.append(int(attributes.get("numFmtId", "0")))

    def end(self, tag: str) -> None:
        if tag == "cellXfs":
            self._is_of_cells = False

    def codes(self) -> list[_Code | None]:
        """By the number of a style; None: nothing to say of it."""
        codes = [code_of(number, self._written.get(number)) for number in self._formats]
        return [code and _Code(code) for code in codes]  # type: ignore[misc]


class _Xlsx(_Reader):
    def __init__(self, codes: list[_Code | None], look: Look) -> None:
        self._codes, self._look = dict(enumerate(codes)), look
        self._row = 0
        self._reference, self._further = "", 0  # the last one in the row, and the cells after it
        self._text = ""

    def listen(self, parser: expat.XMLParserType) -> None:
        """What is in a tag, and where it ends, matters of error cells alone: they are few."""
        self._parser = parser
        parser.StartElementHandler = self.start

    def start(self, tag: str, attributes: dict[str, str]) -> None:
        tag = _local(tag) if ":" in tag else tag
        if tag == "c":
            self._further += 1
            if "r" in attributes:
                self._reference, self._further = attributes["r"], 0
            kind = attributes.get("t", "n")
            if kind == "e":
                self._parser.CharacterDataHandler = self.text
                self._parser.EndElementHandler = lambda tag: self.end(_local(tag))
            elif kind in {"n", "d"} and (code := self._codes.get(int(attributes.get("s", "0")))):
                self._look.add(*self._place(), code)
        elif tag == "row":
            self._row = int(attributes["r"]) if "r" in attributes else self._place()[0] + 1
            self._reference, self._further = "", 0
            if attributes.get("hidden", "0") in {"1", "true"}:
                self._look.hidden_rows.add(self._row)
        elif tag == "v":
            self._text = ""

    def text(self, text: str) -> None:
        self._text += text

    def end(self, tag: str) -> None:
        if tag == "v":
            self._look.add(*self._place(), ErrorCell(self._text.strip() or "#ERROR"))
        if tag in {"v", "c"}:
            self._parser.CharacterDataHandler = self._parser.EndElementHandler = None

    def _place(self) -> tuple[int, int]:
        letters = self._reference.rstrip("0123456789")
        if letters != self._reference:
            self._row = int(self._reference[len(letters) :])
        return self._row, column_number(letters) + self._further


class _Ods(_Reader):
    def __init__(self, sheet: str, look: Look) -> None:
        self._sheet, self._look = sheet, look
        self._is_wanted = False
        self._row, self._row_times, self._column = 0, 0, 0
        self._is_row_hidden = self._has_cells = False
        self._hidden_groups: list[bool] = []
        self._times = 1
        self._kind = ""
        self._paragraphs: list[str] = []
        self._notes = self._in_paragraph = 0

    def start(self, tag: str, attributes: dict[str, str]) -> None:
        if tag == "table":
            self._is_wanted = _get(attributes, "name") == self._sheet
        elif not self._is_wanted:
            return
        elif tag == "table-row-group":
            self._hidden_groups.append(_get(attributes, "display") == "false")
        elif tag == "table-row":
            self._row += 1
            self._row_times = int(_get(attributes, "number-rows-repeated") or 1)
            self._column, self._has_cells = 1, False
            is_shown = _get(attributes, "visibility") in {"", "visible"}
            self._is_row_hidden = not is_shown or any(self._hidden_groups)
        elif tag in {"table-cell", "covered-table-cell"}:
            self._times = int(_get(attributes, "number-columns-repeated") or 1)
            is_error = attributes.get("calcext:value-type") == "error"
            self._kind = "error" if is_error else attributes.get("office:value-type", "")
            self._paragraphs = []
        elif tag == "annotation":
            self._notes += 1
        elif tag == "p" and not self._notes:
            self._paragraphs.append("")
            self._in_paragraph += 1

    def text(self, text: str) -> None:
        if self._in_paragraph and not self._notes:
            self._paragraphs[-1] += text

    def end(self, tag: str) -> None:
        if not self._is_wanted:
            return
        if tag in {"table-cell", "covered-table-cell"}:
            self._end_cell(" ".join("\n".join(self._paragraphs).split()))
        elif tag == "p" and not self._notes:
            self._in_paragraph -= 1
        elif tag == "annotation":
            self._notes -= 1
        elif tag == "table-row-group":
            self._hidden_groups.pop()
        elif tag == "table-row":
            if self._is_row_hidden and self._has_cells:
                self._look.hidden_rows.add(self._row)
            if self._has_cells:  # else nobody looks at them, and there may be a million
                self._look.repeat(self._row, self._row_times)
            self._row += self._row_times - 1
        elif tag == "table":
            self._is_wanted = False

    def _end_cell(self, text: str) -> None:
        self._has_cells = self._has_cells or bool(self._kind)
        if self._kind == "error":
            self._look.add(self._row, self._column, ErrorCell(text or "#ERROR"), self._times)
        elif self._kind in _ODS_VALUES and text and not _UNCLEAR.search(text):
            self._look.add(self._row, self._column, text, self._times)
        self._column += self._times
        self._kind = ""


@lru_cache(maxsize=_WIDTH)
def column_number(letters: str) -> int:
    """The number of a column: A is 1, AA is 27."""
    number = 0
    for letter in letters.upper():
        number = 26 * number + ord(letter) - ord("A") + 1
    return number


def column_letters(number: int) -> str:
    """The letters of a column: 1 is A, 27 is AA."""
    letters = ""
    while number:
        number, rest = divmod(number - 1, 26)
        letters = chr(ord("A") + rest) + letters
    return letters


_BUILT_IN: dict[str, str] = packaged_toml("campaign/number_formats.toml")
_CODE_LENGTH = 255  # of Excel
_EXACT = Context(prec=700, rounding=ROUND_HALF_UP)  # more digits than number and format have
_DECIMALS = 10  # of a number without a format
_SMALL = Decimal("0.0001")
_TOKEN = re.compile(
    r'"(?P<quoted>[^"]*)"|\\(?P<escaped>.)|_.|\*.|\[\$(?P<currency>[^\]-]*)[^\]]*\]'
    r"|\[(?:Black|Blue|Cyan|Green|Magenta|Red|White|Yellow|Color ?\d+)\]"
    r"|(?P<digit>[0#?])|(?P<point>\.)|(?P<group>,)|(?P<percent>%)"
    r"|(?P<sign>[-+$€£¥(): ']|[^\x00-\x7f])",
    re.IGNORECASE,
)
_IS_TIME = re.compile(r"[hH].*[mM]")
_UNSHOWN = re.compile(r'"[^"]*"|\\.|\[[^\]]*\]')  # in which letters have no meaning


def plain_number(value: float) -> str:
    """A number without a format: at most 15 digits and, unless it is small, 10 decimals.

    What comes after them is noise: 10 - 9.9 is 0.0999999999999996, and every sheet shows 0.1.
    """
    if not isfinite(value):
        return str(value)
    exact = Decimal(f"{value + 0:.15g}")
    if _SMALL <= abs(exact) < 10**15:
        exact = Decimal(f"{round(exact, _DECIMALS).normalize():f}")
    return format(exact, "f")


@lru_cache(maxsize=1024)
def code_of(number: int, written: str | None) -> str | None:
    """The code of a format by its number and the code that the workbook has for it, if we know it.

    None if a number is shown in full, or the format is one of a date.
    """
    code = _BUILT_IN.get(str(number), "") if written is None else written
    if not code or len(code) > _CODE_LENGTH:
        return None
    sections = _sections(code)[:3]
    is_known = not any(_TOKEN.sub("", one) or one.lower() == "general" for one in sections)
    return code if is_known or shows_no_seconds(code) else None


@lru_cache(maxsize=1024)
def shows_no_seconds(code: str) -> bool:
    """Whether a format is that of a time of the day in hours and minutes."""
    letters = _UNSHOWN.sub("", code)
    return bool(_IS_TIME.search(letters)) and not re.search("[sdySDY]", letters)


def shown_number(value: float, code: str) -> str:
    """A number in a format."""
    if not isfinite(value) or shows_no_seconds(code):
        return plain_number(value)
    sections = _sections(code)
    number, sign = Decimal(f"{value:.15g}"), ""
    section = sections[0]
    if value < 0 and len(sections) > 1:
        section, number = sections[1], -number
    elif value == 0 and len(sections) > 2:
        section = sections[2]
    elif value < 0:
        sign, number = "-", -number
    shown = _filled(section, number)
    return sign + shown if re.search("[1-9]", shown) else shown


@lru_cache(maxsize=1024)
def _sections(code: str) -> list[str]:
    return re.split(r';(?=(?:[^"]*"[^"]*")*[^"]*$)', code)


def _filled(section: str, number: Decimal) -> str:
    """The digits of a number in the places of a section."""
    tokens = _tokens(section)
    kinds = [kind for kind, _ in tokens]
    places = [at for at, kind in enumerate(kinds) if kind == "digit"]
    if not places:
        return "".join(text for kind, text in tokens if kind == "text").strip()
    point = kinds.index("point") if "point" in kinds else len(kinds)
    whole = [at for at in places if at < point]
    last = whole[-1] if whole else -1
    groups = [at for at, kind in enumerate(kinds) if kind == "group"]
    thousands = sum(1 for at in groups if places[-1] < at or last < at < point)
    number = number.scaleb(2 * kinds.count("percent") - 3 * thousands, _EXACT)
    decimals = len(places) - len(whole)
    rounded = number.quantize(Decimal(1).scaleb(-decimals), context=_EXACT)
    digits, _, fraction = format(rounded, "f").partition(".")
    shown = dict(_whole_digits(digits.lstrip("0"), whole, tokens, any(at < last for at in groups)))
    optional = {at for at in places if tokens[at][1] != "0"}
    for at, digit in zip(reversed(places[len(whole) :]), reversed(fraction), strict=True):
        is_left_out = at in optional and digit == "0"
        optional = optional if is_left_out else set()
        shown[at] = "" if is_left_out else digit
    text = "".join(
        shown.get(at, "") if kind == "digit" else "" if kind == "group" else part
        for at, (kind, part) in enumerate(tokens)
    )
    return text.strip()


def _whole_digits(
    digits: str, places: list[int], tokens: list[tuple[str, str]], is_grouped: bool
) -> Iterator[tuple[int, str]]:
    """What stands in each place before the decimal point."""
    count = 0  # digits so far, from the right
    for at in reversed(places):
        here = len(digits) if at == places[0] else 1
        mine, digits = digits[len(digits) - here :], digits[: max(len(digits) - here, 0)]
        mine = mine or ("0" if tokens[at][1] == "0" else "")
        text = ""
        for digit in reversed(mine):
            text = digit + ("," if is_grouped and count and count % 3 == 0 else "") + text
            count += 1
        yield at, text


@lru_cache(maxsize=1024)
def _tokens(section: str) -> list[tuple[str, str]]:
    tokens = list[tuple[str, str]]()
    for found in _TOKEN.finditer(section):
        match found.lastgroup:
            case "digit" | "point" | "group" | "percent" as kind:
                tokens.append((kind, found.group()))
            case "quoted" | "escaped" | "currency" | "sign" as kind:
                tokens.append(("text", found[kind]))
    return tokens
