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
from typing import TextIO

from petition.campaign.text_file import HINT_ENCODING, unreadable
from petition.errors import CampaignError, Problem

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
# Looked for only where a word begins: a cell of a hundred thousand letters is gone through once.
_OTHER_WORD = re.compile(rb"(?<![A-Za-z\x80-\xff])[A-Za-z]*+[\x80-\xff][A-Za-z\x80-\xff]*")
# Two bytes and more that are a letter in UTF-8.
_WHOLE = re.compile(rb"[\xc2-\xdf][\x80-\xbf]|[\xe0-\xef][\x80-\xbf]{2}|[\xf0-\xf4][\x80-\xbf]{3}")
_UNDEFINED = {"cp1251": b"\x98", "cp1252": b"\x81\x8d\x8f\x90\x9d"}
_TELLING = b"".join(_UNDEFINED.values())


@dataclass(frozen=True, slots=True)
class Encoding:
    """How a file's bytes are letters.

    Args:
        codec: Python's name of it.
        label: What people call it.
    """

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
    with path.open("rb") as stream:
        beginning = stream.read(_SAMPLE)
        for mark, codec, label in _MARKS:
            if beginning.startswith(mark):
                return Encoding(codec, label)
        if wide := _without_mark(beginning):
            return Encoding(wide, "UTF-16 without a byte order mark")
        pieces, piece = _Pieces(), beginning
        while piece:
            pieces.add(piece)
            piece = stream.read(_CHUNK)
    return pieces.encoding()


def _without_mark(beginning: bytes) -> str | None:
    """UTF-16 is known by the zero bytes beside its ASCII letters: each address is full of them."""
    pairs = len(beginning) // 2
    first, second = beginning[0::2].count(0), beginning[1::2].count(0)
    if pairs and second > 4 * first and 4 * second > pairs:
        return "utf-16-le"
    if pairs and first > 4 * second and 4 * first > pairs:
        return "utf-16-be"
    return None


class _Pieces:
    """What the bytes of a file have shown so far."""

    def __init__(self) -> None:
        self._decoder = codecs.getincrementaldecoder("utf-8")()
        self._words: list[bytes] = []
        self._seen: set[int] = set()  # bytes that one of the encodings has not
        self._is_utf8 = True

    def add(self, piece: bytes) -> None:
        """Look at the next piece."""
        if self._is_utf8:
            try:
                self._decoder.decode(piece)
            except UnicodeDecodeError:
                self._is_utf8 = False
        if not piece.isascii():
            self._seen.update(byte for byte in _TELLING if byte in piece)
            if len(self._words) < _PIECES:
                self._words += _OTHER_WORD.findall(piece)

    def encoding(self) -> Encoding:
        """The likeliest encoding, when all pieces were added."""
        try:
            self._decoder.decode(b"", final=True)
        except UnicodeDecodeError:
            self._is_utf8 = False
        if self._is_utf8 or self._is_broken_utf8():
            return UTF8
        if self._is_cyrillic():
            likely = _likeliest_cyrillic(self._words[:_WEIGHED])
            if likely is not WINDOWS_1251:
                return likely  # each of the others has a letter or a sign for every byte
        else:
            likely = WINDOWS_1252
        for one in (likely, WINDOWS_1252, WINDOWS_1251):
            if not self._seen.intersection(_UNDEFINED[one.codec]):
                return one
        return UTF8  # neither has all these bytes: the first of them will be told of

    def _is_broken_utf8(self) -> bool:
        whole = sum(len(_WHOLE.findall(word)) for word in self._words)
        stray = sum(len(re.findall(rb"[\x80-\xff]", _WHOLE.sub(b"", word))) for word in self._words)
        return 0 < whole >= stray

    def _is_cyrillic(self) -> bool:
        """Whether the words are Cyrillic ones: nobody writes "Шевченko", and many write "Müller".

        A word in Cyrillic has no ASCII letter, a word of a Latin script has more of them than of
        others. On lists of names that tells the two apart better than the statistics of running
        text do, for names are few and short, and most of a list is ASCII.
        """
        apart = sum(_has_cyrillic_letters(word) for word in self._words)
        return 2 * apart > len(self._words)


def _has_cyrillic_letters(word: bytes) -> bool:
    return len(word) > 1 and any(
        all("\u0400" <= char <= "\u04ff" for char in word.decode(one.codec, "replace"))
        for one in _CYRILLIC
    )


def _likeliest_cyrillic(words: list[bytes]) -> Encoding:
    """The encoding in which words look most like Russian ones, in doubt the first.

    The same bytes are other letters in each: small ones are capitals in KOI8, and signs or rare
    letters stand where another encoding has its capitals.
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


Record = tuple[int, list[str] | Problem]  # a line and its cells, or why it cannot be used

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
_HINT_NUL = "Type the row anew, or save the file as UTF-8"
_HINT_QUOTES = 'Put quotes around the whole cell, and write a quote within it twice ("")'


class _Unreadable(Exception):
    """Nothing from the next line on can be read."""

    def __init__(self, what: str, hint: str) -> None:
        super().__init__(what)
        self.what, self.hint = what, hint


class CsvFile:
    """A CSV file of which it is known how it was saved.

    Args:
        file: Its name relative to the campaign folder.
        path: Where it is.
        encoding: How its bytes are letters.
        separator: What stands between its cells.
        has_hint: Whether its first line names the separator and is no row.
    """

    hint_row = "Check its commas, and the quotes around cells that hold commas"

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
            self.hint_row = f"Check its {name}, and the quotes around cells that hold {name}"

    @property
    def told(self) -> str:
        """How the file is read, where that was guessed; else ""."""
        parts = []
        if not self.encoding.is_utf8:
            parts.append(f"read as {self.encoding.label}")
        if self.separator != ",":
            parts.append(f"the cells are separated by {_SEPARATORS[self.separator]}")
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
        """The lines of the file, each with its end; what is wrong with it is passed over."""
        with self._path.open(encoding=self.encoding.codec, errors="replace", newline="") as stream:
            while line := stream.readline(_LINE_LIMIT):
                yield line

    def _parsed(self, blocks: "_Blocks") -> Iterator[Record]:
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
                            yield line, Problem(self.file, line, what, _HINT_NUL)
                        elif any(map(str.strip, cells)):
                            yield line, cells
                        line = first + reader.line_num
                except csv.Error as why:
                    spans_lines = first + reader.line_num > line + 1
                    what, hint = _broken(str(why), spans_lines=spans_lines)
                    fault = Problem(self.file, line, what, hint)
                    if spans_lines:  # a quote without its end has eaten the rows behind it
                        raise CampaignError([fault]) from None
                    yield line, fault
                    line = first + reader.line_num
                else:
                    return
        except _Unreadable as why:
            fault = Problem(self.file, first + reader.line_num, why.what, why.hint)
            raise CampaignError([fault]) from None


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
            hint = 'Save it as "CSV UTF-8", or as .xlsx or .ods under a name that ends so'
            problems.append(Problem(file, None, "is a spreadsheet and not a CSV file", hint))
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
        problems.append(Problem(file, 1, what, "Keep the columns that a letter needs"))
        return None
    return CsvFile(file, path, encoding, separator, has_hint=marked is not None)


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
        return "a quote is opened in this row and never closed", _HINT_QUOTES
    if "limit" in message:
        return "a cell of this row is longer than 131,072 characters", "Shorten it"
    return "a quoted cell goes on behind its closing quote", _HINT_QUOTES


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
                raise _Unreadable(what, HINT_ENCODING)
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
