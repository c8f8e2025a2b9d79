"""Countries in the reader's language, whatever language the file has them in."""

from collections.abc import Sequence
from functools import cache

from petition.merge.fields import locale_of

# What people write and CLDR does not.
_ALSO = {
    "uk": "GB", "great britain": "GB", "britain": "GB", "usa": "US", "u.s.a.": "US",
    "united states of america": "US", "czech republic": "CZ", "turkey": "TR", "holland": "NL",
    "russian federation": "RU", "российская федерация": "RU", "рф": "RU", "рк": "KZ", "қр": "KZ",
    "соединённое королевство": "GB", "соединенное королевство": "GB", "сша": "US", "ақш": "US",
    "республика казахстан": "KZ", "қазақстан республикасы": "KZ", "republic of kazakhstan": "KZ",
}  # fmt: skip
_ALWAYS = ("en", "ru", "kk")


def country_code(text: str, language: str = "en") -> str:
    """The code of ISO 3166-1 of a country.

    Args:
        text: Its name in English, Russian, Kazakh or the language, or its code.
        language: A language tag in lower case.

    Returns:
        The code in capitals; empty where the text names no country.
    """
    return _codes((language, *_ALWAYS)).get(_folded(text), "")


def country_name(text: str, language: str) -> str:
    """A country as a language calls it.

    Args:
        text: As the file has it.
        language: A language tag in lower case.

    Returns:
        The name; the text as it is where it names no country, or names one in this language.
    """
    code = country_code(text, language)
    is_code = _folded(text).upper() == code
    if not code or (not is_code and _folded(text) in _names_in(language)):
        return text
    return str(locale_of(language).territories.get(code, text))


@cache
def _names_in(language: str) -> frozenset[str]:
    """What a language calls countries; of what people write besides, all is taken for English."""
    also = _ALSO if language.partition("-")[0] == "en" else ()
    return frozenset((*_codes((language,)), *also))


@cache
def _codes(languages: Sequence[str]) -> dict[str, str]:
    codes = dict(_ALSO) if len(languages) > 1 else {}
    for language in languages:
        for code, name in locale_of(language).territories.items():
            if len(code) == 2 and code.isalpha():  # the others are regions of the world
                codes[_folded(name)] = codes[code.lower()] = code
    return codes


def _folded(text: str) -> str:
    return " ".join(text.casefold().split())
