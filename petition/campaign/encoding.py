"""In which encoding a table was saved: UTF-8 if its bytes allow it, else the likeliest one."""

import codecs
import re
from dataclasses import dataclass
from pathlib import Path

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
    """The encoding that a file was most likely saved in; reads it once, in pieces.

    Args:
        path: The file.

    Returns:
        UTF-8 also for a file that is UTF-8 but for a few broken bytes: whoever reads it will meet
        them and can say in which line.

    Raises:
        OSError: The file cannot be read.
    """
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
