"""CSV files (RFC 4180) in whatever encoding and with whatever separator they were saved."""

import codecs
import csv
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from io import StringIO
from itertools import chain
from pathlib import Path
from typing import NamedTuple, TextIO

from petition.campaign.text_file import HINT_ENCODING, unreadable
from petition.errors import CampaignError, PetitionError, Problem

_CHUNK = 1 << 18  # bytes read at a time
_SAMPLE = 1 << 12  # bytes by which UTF-16 without a byte order mark is known
_PIECES = 20_000  # words with other than ASCII letters that the guess looks at
_WEIGHED = 2_000  # of them, to tell the Cyrillic encodings apart

# Longest first: the mark of UTF-32 begins with that of UTF-16.
_MARKS = (
    (codecs.BOM_UTF32_LE, "utf-32", "UTF-32"),
    (codecs.BOM_UTF32_BE, "utf-32", "UTF-32"),
    (codecs.BOM_UTF8, "utf-8-sig", "UTF-8"),
    (codecs.BOM_UTF16_LE, "utf-16", "UTF-16"),
    (codecs.BOM_UTF16_BE, "utf-16", "UTF-16"),
)
# Only matched at the start of a word, so that a cell of a hundred thousand letters is scanned once.
_OTHER_WORD = re.compile(rb"(?<![A-Za-z\x80-\xff])[A-Za-z]*+[\x80-\xff][A-Za-z\x80-\xff]*")
# Two bytes and more that are a letter in UTF-8.
_WHOLE = re.compile(rb"[\xc2-\xdf][\x80-\xbf]|[\xe0-\xef][\x80-\xbf]{2}|[\xf0-\xf4][\x80-\xbf]{3}")
_UNDEFINED = {"cp1251": b"\x98", "cp1252": b"\x81\x8d\x8f\x90\x9d"}
_TELLING = b"".join(_UNDEFINED.values())


@dataclass(frozen=True, slots=True)
class Encoding:
    """How a file's bytes are letters: Python's name of it, and what people call it."""

    codec: str
    label: str

    @property
    def is_utf8(self) -> bool:
        """Whether it is what a file should be saved as."""
        return self.codec == "utf-8-sig"


UTF8 = Encoding("utf-8-sig", "UTF-8")
WINDOWS_1251 = Encoding("cp1251", "Windows-1251 (Cyrillic)")
WINDOWS_1252 = Encoding("cp1252", "Windows-1252 (Western European)")
KOI8 = Encoding("koi8_u", "KOI8 (Cyrillic)")
MAC_CYRILLIC = Encoding("mac_cyrillic", "Mac Cyrillic")
DOS_CYRILLIC = Encoding("cp866", "DOS 866 (Cyrillic)")
_CYRILLIC = (WINDOWS_1251, KOI8, MAC_CYRILLIC, DOS_CYRILLIC)

_OFTEN = frozenset("оеаинтсрвлкмдпу")  # nine of ten letters of a Russian or Ukrainian text
_ALSO = frozenset("яыьгзбчйхжшюцщэфъёіїєґў")


def find_encoding(path: Path) -> Encoding:
    """The encoding that a file was most likely saved in; reads it once, in pieces."""
    decoder, is_utf8 = codecs.getincrementaldecoder("utf-8")(), True
    words: list[bytes] = []
    seen: set[int] = set()  # bytes that one of the Windows encodings does not have
    with path.open("rb") as stream:
        piece = stream.read(_SAMPLE)
        for mark, codec, label in _MARKS:
            if piece.startswith(mark):
                return Encoding(codec, label)
        if codec := _utf16_without_mark(piece):
            return Encoding(codec, "UTF-16 without a byte order mark")
        while True:
            if is_utf8:
                try:
                    decoder.decode(piece, final=not piece)
                except UnicodeDecodeError:
                    is_utf8 = False
            if not piece:
                break
            if not piece.isascii():
                seen.update(byte for byte in _TELLING if byte in piece)
                if len(words) < _PIECES:
                    words += _OTHER_WORD.findall(piece)
            piece = stream.read(_CHUNK)
    return UTF8 if is_utf8 or _is_broken_utf8(words) else _likeliest(words, seen)


def _utf16_without_mark(beginning: bytes) -> str:
    """UTF-16 is known by the zero bytes beside its ASCII letters: each address is full of them."""
    pairs = len(beginning) // 2
    first, second = beginning[0::2].count(0), beginning[1::2].count(0)
    if pairs and second > 4 * first and 4 * second > pairs:
        return "utf-16-le"
    return "utf-16-be" if pairs and first > 4 * second and 4 * first > pairs else ""


def _is_broken_utf8(words: list[bytes]) -> bool:
    whole = sum(len(_WHOLE.findall(word)) for word in words)
    stray = sum(len(re.findall(rb"[\x80-\xff]", _WHOLE.sub(b"", word))) for word in words)
    return 0 < whole >= stray


def _likeliest(words: list[bytes], seen: set[int]) -> Encoding:
    """The encoding of a list whose words with letters beyond ASCII are these.

    Nobody writes "Шевченko", and many write "Müller": a word in Cyrillic has no ASCII letter, a
    word of a Latin script has more of them than of others. On lists of names that tells the two
    apart better than the statistics of running text do, for names are few and short.
    """
    likely = WINDOWS_1252
    if 2 * sum(map(_has_cyrillic_letters, words)) > len(words):
        likely = _likeliest_cyrillic(words[:_WEIGHED])
        if likely is not WINDOWS_1251:
            return likely  # each of the others has a letter or a sign for every byte
    for one in (likely, WINDOWS_1252, WINDOWS_1251):
        if not seen.intersection(_UNDEFINED[one.codec]):
            return one
    return UTF8  # neither has all these bytes: the first wrong one is reported


def _has_cyrillic_letters(word: bytes) -> bool:
    return len(word) > 1 and any(
        all("\u0400" <= char <= "\u04ff" for char in word.decode(one.codec, "replace"))
        for one in _CYRILLIC
    )


def _likeliest_cyrillic(words: list[bytes]) -> Encoding:
    """The encoding in which words look most like Russian ones; if in doubt, the first.

    The same bytes are different letters in each: lower case in one is upper case in KOI8, and
    symbols or rare letters in others.
    """
    weights = {one: sum(_weight(word.decode(one.codec, "replace")) for word in words)
               for one in _CYRILLIC}  # fmt: skip
    best = max(_CYRILLIC, key=lambda one: weights[one])
    is_clear = weights[best] > weights[WINDOWS_1251] + sum(map(len, words)) / 4
    return best if is_clear else WINDOWS_1251


def _weight(word: str) -> int:
    weight = 0
    for before, char in zip(" " + word, word, strict=False):
        lower = char.lower()
        weight += 3 if lower in _OFTEN else 1 if lower in _ALSO else -2 if char.isalpha() else -4
        if before.islower() and char.isupper():
            weight -= 3
    return weight


class Reading(NamedTuple):
    """What [people] says about reading its files."""

    hidden: str | None = None  # "skip" or "include" the hidden rows of sheets; None: ask
    keeps_errors: bool = False  # what error cells show is text, for a search


AS_IT_IS = Reading()

Record = tuple[int, list[str] | Problem]  # a line and its cells, or why it cannot be used

_COLUMN_LIMIT = 5_000
_LINE_LIMIT = 1_000_000  # characters; no row of people is longer
_BLOCK = 1 << 16  # characters that are looked over together
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

    def records(self) -> Iterator[Record]:
        """The header and the rows that are not blank, each with its line.

        Raises:
            CampaignError: Nothing from here on can be read.
        """
        # Wrong bytes are kept apart until their line is known.
        errors = "surrogateescape" if self.encoding.is_utf8 else "replace"
        try:
            with self._path.open(encoding=self.encoding.codec, errors=errors, newline="") as stream:
                yield from self._parsed(_Blocks(stream, self.encoding))
        except OSError as why:
            raise CampaignError([Problem(self.file, None, *unreadable(why))]) from None

    def lines(self) -> Iterator[str]:
        """The lines of the file, each with its end, whatever is wrong with it."""
        with self._path.open(encoding=self.encoding.codec, errors="replace", newline="") as stream:
            while line := stream.readline(_LINE_LIMIT):
                yield line

    def _parsed(self, blocks: "_Blocks") -> Iterator[Record]:
        text = chain.from_iterable(blocks)
        reader = csv.reader(text, delimiter=self.separator, skipinitialspace=True, strict=True)
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
                            what = "contains a NUL character"
                            yield line, Problem(self.file, line, what, _HINT_NUL)
                        elif any(map(str.strip, cells)):
                            yield line, cells
                        line = first + reader.line_num
                except csv.Error as why:
                    spans_lines = first + reader.line_num > line + 1
                    what, hint = _broken(str(why), spans_lines=spans_lines)
                    fault = Problem(self.file, line, what, hint)
                    if spans_lines:  # an unclosed quote has swallowed the rows after it
                        raise CampaignError([fault]) from None
                    yield line, fault
                    line = first + reader.line_num
                else:
                    return
        except _Unreadable as why:
            fault = Problem(self.file, first + reader.line_num, why.what, why.hint)
            raise CampaignError([fault]) from None


def open_csv(file: str, path: Path, problems: list[Problem]) -> CsvFile | None:
    """Find out how a CSV file was saved; None, and a problem, if it cannot be read."""
    try:
        with path.open("rb") as stream:
            beginning = stream.read(4)
        if beginning in _SPREADSHEETS:
            hint = 'Save it as "CSV UTF-8", or give it a name that ends in .xlsx or .ods'
            problems.append(Problem(file, None, "is a spreadsheet, not a CSV file", hint))
            return None
        encoding = find_encoding(path)
        with path.open(encoding=encoding.codec, errors="replace", newline="") as text:
            header = text.read(_HEADER_LIMIT)
    except OSError as why:
        problems.append(Problem(file, None, *unreadable(why)))
        return None
    marked = _HINT.fullmatch(header.partition("\n")[0].partition("\r")[0])
    separator = marked[1] if marked else _separator(header)
    if header.lstrip().partition("\n")[0].count(separator) > _COLUMN_LIMIT:
        what = f"has more than {_COLUMN_LIMIT:,} columns"
        problems.append(Problem(file, 1, what, "Keep only the columns that a letter needs"))
        return None
    return CsvFile(file, path, encoding, separator, has_hint=marked is not None)


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


class _Blocks:
    """The lines of a file in blocks, which are checked before they are parsed."""

    def __init__(self, stream: TextIO, encoding: Encoding) -> None:
        self._stream = stream
        self._encoding = encoding
        self.have_nul = False

    def __iter__(self) -> Iterator[Iterable[str]]:
        # Hardly one line in a million is wrong: a block without a fault needs no closer look.
        while block := self._stream.read(_BLOCK):
            block += self._stream.readline(_LINE_LIMIT)
            self.have_nul = self.have_nul or "\0" in block
            if '" ' in block:
                block = _BEHIND_QUOTE.sub(r"\1", block)
            lines = StringIO(block, newline="")
            is_right = len(block) < _LINE_LIMIT and self._fault_in(block) is None
            yield lines if is_right else self._until_fault(lines)

    def _until_fault(self, lines: Iterable[str]) -> Iterator[str]:
        for line in lines:
            if len(line) >= _LINE_LIMIT:
                raise _Unreadable("this line is longer than 1,000,000 characters", _SAVE)
            if what := self._fault_in(line):
                raise _Unreadable(what, HINT_ENCODING)
            yield line

    def _fault_in(self, text: str) -> str | None:
        """What is wrong with the bytes that a text was made of."""
        if text.isascii():
            return None
        if not self._encoding.is_utf8:
            is_wrong = _REPLACED in text
            return (
                f"contains bytes that are not text in {self._encoding.label}" if is_wrong else None
            )
        if wrong := _UNDECODED.search(text):
            code = ord(wrong.group()) - 0xDC00
            return f"is not saved as UTF-8: it contains the byte 0x{code:02X}"
        return None
