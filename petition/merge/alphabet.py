"""The order of names in a language: its own script first, its letters in their places.

No library does this here: PyICU and icu4py bring 30 MB of data or a compiler with them, pyuca knows
one order for all languages, and the rules of CLDR leave the Kazakh І behind И, where that alphabet
has it behind Ы.
"""

import re
import unicodedata
from collections.abc import Callable
from functools import cache

Key = tuple[list[tuple[int, int]], str, str]

# Cyrillic for all languages that are not named below; Ё is Е with an accent there, as in a Russian
# dictionary. The letters of other languages have places that their own readers know.
_CYRILLIC = "аәбвгґғдеєжҗзиіїйкқлмнңоөпрстуұүўфхһцчшщъыьэюя"
_ALPHABETS = {
    "kk": "аәбвгғдеёжзийкқлмнңоөпрстуұүфхһцчшщъыіьэюя",
    "da": "abcdefghijklmnopqrstuvwxyzæøå",
    "es": "abcdefghijklmnñopqrstuvwxyz",
    "fi": "abcdefghijklmnopqrstuvwxyzåäö",
    "nb": "abcdefghijklmnopqrstuvwxyzæøå",
    "no": "abcdefghijklmnopqrstuvwxyzæøå",
    "pl": "aąbcćdeęfghijklłmnńoóprsśtuvwxyzźż",
    "sv": "abcdefghijklmnopqrstuvwxyzåäö",
    "tr": "abcçdefgğhıijklmnoöprsştuüvyz",
}
_SCRIPTS = {
    "CYRILLIC": "be bg kk ky mk mn ru sr tg tt uk",
    "GREEK": "el",
    "ARABIC": "ar fa ur ps ug",
    "HEBREW": "he yi",
    "ARMENIAN": "hy",
    "GEORGIAN": "ka",
    "DEVANAGARI": "hi mr ne",
    "CJK": "zh ja",
    "HANGUL": "ko",
}
# Letters that Unicode does not take apart, where an alphabet has no place for them.
_STAND_INS = {
    "ß": "ss", "æ": "ae", "œ": "oe", "ø": "o", "ł": "l", "đ": "d", "ð": "d", "þ": "th", "ı": "i",
    "ħ": "h", "ŋ": "n", "ς": "σ", "є": "е", "ґ": "г", "җ": "ж", "ђ": "д", "ѓ": "г", "ѕ": "з",
    "ј": "и", "љ": "л", "њ": "н", "ћ": "т", "ќ": "к", "џ": "ц",
}  # fmt: skip
_APOSTROPHES = re.compile(r"['’‘ʼʻ`´]")
_PIECES = re.compile(r"([0-9]{1,18})|[^\W_]|[\W_]+")
_DIGITS, _BLANK = (-1, 0), (-2, 0)


@cache
def name_order(language: str) -> Callable[[str], Key]:
    """What a name is sorted by in a language.

    Words are compared one by one, numbers by their value; quotes, apostrophes, case and accents
    count only between names that are otherwise the same.

    Args:
        language: A language tag in lower case.

    Returns:
        A key for `sorted`.
    """
    primary = language.partition("-")[0]
    own = next((name for name, tags in _SCRIPTS.items() if primary in tags.split()), "LATIN")
    scripts = list(dict.fromkeys((own, "LATIN", "GREEK", "CYRILLIC")))
    places: dict[str, tuple[int, int]] = {}
    for script, letters in (("CYRILLIC", _CYRILLIC), (own, _ALPHABETS.get(primary, ""))):
        if letters:
            places = {letter: at for letter, at in places.items() if at[0] != scripts.index(script)}
            places |= {letter: (scripts.index(script), at) for at, letter in enumerate(letters)}
    return lambda name: _key(name, places, scripts)


def _key(name: str, places: dict[str, tuple[int, int]], scripts: list[str]) -> Key:
    whole = unicodedata.normalize("NFC", _APOSTROPHES.sub("", name)).casefold()
    weights: list[tuple[int, int]] = []
    for piece in _PIECES.finditer(whole):
        if piece[1]:
            weights += [_DIGITS, (0, int(piece[1]))]
        elif piece[0].isalnum():
            weights += _weights(piece[0], places, scripts)
        elif not all(unicodedata.category(char).startswith("M") for char in piece[0]):
            weights.append(_BLANK)
    while weights and weights[0] == _BLANK:  # a name in quotes stands where it would without
        del weights[0]
    while weights and weights[-1] == _BLANK:
        del weights[-1]
    return weights, whole, name


def _weights(
    letter: str, places: dict[str, tuple[int, int]], scripts: list[str]
) -> list[tuple[int, int]]:
    if letter in places:
        return [places[letter]]
    if letter in _STAND_INS:
        return [one for part in _STAND_INS[letter] for one in _weights(part, places, scripts)]
    base = unicodedata.normalize("NFD", letter)[0]
    if base != letter:
        return _weights(base, places, scripts)
    script = unicodedata.name(letter, "").partition(" ")[0]
    rank = scripts.index(script) if script in scripts else len(scripts)
    return [(rank, ord(letter))]
