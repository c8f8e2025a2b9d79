"""In which encoding a file was saved: by its marks, its bytes, or the words that they spell."""

import codecs
import re
from dataclasses import dataclass
from pathlib import Path

from petition.campaign.text_file import packaged_toml
from petition.errors import PetitionError

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
_KNOWN = packaged_toml("campaign/encodings.toml")
_OFFERED = {codec: Encoding(codec, label) for codec, label in _KNOWN["offered"].items()}
WINDOWS_1252 = _OFFERED["cp1252"]
_CYRILLIC = [_OFFERED[codec] for codec in _KNOWN["cyrillic"]]
WINDOWS_1251, KOI8, MAC_CYRILLIC, DOS_CYRILLIC = _CYRILLIC
_RIVALS = [_OFFERED[codec] for codec in _KNOWN["rivals"]]
GREEK = _OFFERED["cp1253"]
_OFTEN, _ALSO = frozenset(_KNOWN["often"]), frozenset(_KNOWN["also"])
_ALPHABETS = list(map(frozenset, _KNOWN["alphabets"].values()))


class EncodingUnclear(PetitionError):
    """Not enough of the words of a file are words in the likeliest encoding."""

    def __init__(self, guess: Encoding, words: list[bytes]) -> None:
        offers = _offers(words)
        telling = max(words, key=lambda word: _difference(word, offers), default=b"")
        shown = [f'"{one.codec}" ({telling.decode(one.codec, "replace")})' for one in offers]
        what = f"its encoding is unclear: it may not be {guess.label}"
        hint = "Save it as UTF-8"
        if shown:
            hint += f", or write what makes its names right in [people]: encoding = {shown[0]}"
            hint += "".join(f", or {one}" for one in shown[1:])
        super().__init__(what, hint)
        self.guess = guess


def encoding_named(name: str) -> Encoding | None:
    """An encoding by Python's name of it; None if it is unknown or not one of text."""
    try:
        codec = codecs.lookup(name)
        is_right = b'a,"'.decode(codec.name) == 'a,"'
    except (LookupError, ValueError):
        return None
    if not is_right:
        return None
    return _OFFERED.get(codec.name) or Encoding(codec.name, codec.name)


def find_encoding(path: Path, declared: Encoding | None = None) -> Encoding:
    """The encoding that a file was most likely saved in; reads it once, in pieces.

    It is `declared` if it is neither UTF-8 nor UTF-16; without that it is guessed, and
    EncodingUnclear raised if that gives no real words.
    """
    decoder, is_utf8 = codecs.getincrementaldecoder("utf-8")(), True
    words: list[bytes] = []
    seen: set[int] = set()  # bytes that one of the Windows encodings does not have
    with path.open("rb") as stream:
        piece = stream.read(_SAMPLE)
        if marked := _by_mark(piece):
            return marked
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
    if is_utf8:
        return UTF8
    return declared or _guess(words, seen)


def _guess(words: list[bytes], seen: set[int]) -> Encoding:
    whole = sum(len(_WHOLE.findall(word)) for word in words)
    stray = sum(len(re.findall(rb"[\x80-\xff]", _WHOLE.sub(b"", word))) for word in words)
    if 0 < whole >= stray:  # UTF-8 with errors
        return UTF8
    guess, first = _likeliest(words, seen), words[:_WEIGHED]
    is_doubtful = _share(first, guess) < _SURE if guess is not UTF8 else bool(_offers(first))
    rivals = _RIVALS if guess in _CYRILLIC else ()
    if is_doubtful or any(_share(first, one) > _ALSO_WORDS for one in rivals):
        raise EncodingUnclear(guess, first)
    return guess


def _by_mark(beginning: bytes) -> Encoding | None:
    for mark, codec, label in _MARKS:
        if beginning.startswith(mark):
            return Encoding(codec, label)
    codec = _utf16_without_mark(beginning)
    return Encoding(codec, "UTF-16 without a byte order mark") if codec else None


def _utf16_without_mark(beginning: bytes) -> str:
    """UTF-16 is known by the zero bytes beside its ASCII letters: each address is full of them."""
    pairs = len(beginning) // 2
    first, second = beginning[0::2].count(0), beginning[1::2].count(0)
    if pairs and second > 4 * first and 4 * second > pairs:
        return "utf-16-le"
    return "utf-16-be" if pairs and first > 4 * second and 4 * first > pairs else ""


def _likeliest(words: list[bytes], seen: set[int]) -> Encoding:
    """The encoding of a list whose words with letters beyond ASCII are these."""
    # Nobody writes "Шевченko", and many write "Müller": a word in Cyrillic has no ASCII letter, a
    # word of a Latin script has more of them than of others. On lists of names that tells the two
    # apart better than the statistics of running text do, since names are few and short.
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
    """The encoding in which words look most like Russian ones; if in doubt, the first."""
    # The same bytes are different letters in each: lower case in one is upper case in KOI8, and
    # symbols or rare letters in others.
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


_SURE = 0.9  # of the words must be words, to trust a guess
_ALSO_WORDS = 0.6  # of them, to doubt it for a rival
_LIKELY = 0.7  # of them, to offer an encoding
_OFFERS = 4

_LATIN = re.compile("[a-zß-ɏ]+")
# Hardly in a word of Western Europe: they are other letters of the Windows encodings for Turkish,
# Icelandic, Hungarian, Romanian or Baltic words, which nothing tells apart.
_UNSURE = re.compile("[ýþðû]|ã(?![oe]|$)|õ(?!e)")
_EDGES = "’‘“”„‚«»‹›–—…·°ªº´`¨¡¿©®™€\u00a0\u00ad"
_APOSTROPHES = re.compile("(?<=.)[’‘´](?=.)")
_SCRIPTS = (
    re.compile("[а-яёђѓєѕіїјљњћќўџґ]+"),
    re.compile("(?=[^άέήίόύώ]*[άέήίόύώ]?[^άέήίόύώ]*$)(?:(?!σ$)(?!ς.)[α-ωάέήίόύώϊϋ])+"),
    re.compile("[א-ת]*(?<![ךםןףץ].)[א-ת]"),
    re.compile("[ء-يپچژگ]{2,}"),
)


def _share(words: list[bytes], encoding: Encoding, *, is_strict: bool = True) -> float:
    """How many of the words are words in an encoding, from 0 to 1."""
    texts = [word.decode(encoding.codec, "replace").strip(_EDGES) for word in words]
    others = [text for text in texts if not text.isascii()]
    found = [_is_word(text, encoding, is_strict=is_strict) for text in others]
    return sum(found) / len(found) if found else float(encoding is WINDOWS_1252)


def _is_word(text: str, encoding: Encoding, *, is_strict: bool) -> bool:
    text = _APOSTROPHES.sub("", text)
    if any(a.islower() and b.isupper() and not b.isascii() for a, b in zip(text, text[1:])):  # noqa: B905, RUF007
        return False
    lower = text.lower()
    if _LATIN.fullmatch(lower.replace("i̇", "i")):
        letters = {char for char in lower if not char.isascii()}
        is_sure = not is_strict or encoding is not WINDOWS_1252 or not _UNSURE.search(lower)
        return is_sure and any(letters <= alphabet for alphabet in _ALPHABETS)
    if encoding is GREEK and text[1:].islower() and not re.search("[ά-ώΆ-Ώ]", text):
        return False  # a word without an accent
    return any(script.fullmatch(lower) for script in _SCRIPTS)


def _offers(words: list[bytes]) -> list[Encoding]:
    """The encodings that make words, the best first; of those that make the same, the first."""
    shares = {one: _share(words, one, is_strict=False) for one in _OFFERED.values()}
    likely = [one for one in _OFFERED.values() if shares[one] >= _LIKELY]
    found: dict[str, Encoding] = {}
    for one in sorted(likely, key=lambda one: -shares[one]):
        found.setdefault(b" ".join(words).decode(one.codec, "replace"), one)
    return list(found.values())[:_OFFERS]


def _difference(word: bytes, offers: list[Encoding]) -> tuple[int, float]:
    """By how much a word tells encodings apart."""
    readings = {word.decode(one.codec, "replace") for one in offers}
    return len(readings), sum(byte > 127 for byte in word) / len(word)
