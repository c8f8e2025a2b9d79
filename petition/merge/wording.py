"""The words that the program itself puts into letters, in the languages that it speaks.

A letter in another language has them in English.
"""

from collections.abc import Sequence

from babel.lists import format_list
from babel.numbers import format_decimal

from petition.merge.fields import locale_of

# By the plural categories of CLDR. Signatures are counted in Russian, for a signatory may be a
# person or an organisation; a Kazakh noun behind a number has one form.
_OTHERS = {
    "en": {"one": "{} other", "other": "{} others"},
    "ru": {"one": "ещё {} подпись", "few": "ещё {} подписи", "other": "ещё {} подписей"},
    "kk": {"other": "тағы {} қол қоюшы"},
}
_ALONE = {
    "en": {"one": "{} signatory", "other": "{} signatories"},
    "ru": {"one": "{} подпись", "few": "{} подписи", "other": "{} подписей"},
    "kk": {"other": "{} қол қоюшы"},
}
_AND = {"en": "and", "ru": "и", "kk": "және"}
_DISCLAIMERS = {
    "en": "Affiliations are given for identification only.",
    "ru": (
        "Род занятий и принадлежность к организациям указаны только для идентификации"
        " подписавшихся."
    ),
    "kk": "Кәсібі мен ұйымы қол қоюшылардың кім екенін білдіру үшін ғана көрсетілген.",
}
# What parts the pieces of a line: not every script has our comma.
_COMMAS = {"ar": "، ", "fa": "، ", "ur": "، ", "zh": "，", "ja": "、"}


def others(number: int, language: str) -> str:
    """Those who are not named, as a part of a list: "214 others".

    Args:
        number: How many they are, at least 1.
        language: A language tag in lower case.
    """
    return _counted(_OTHERS, number, language)


def unnamed_line(number: int, language: str, *, follows: bool) -> str:
    """Those who are not named, in a line of their own: "and 214 others".

    Args:
        number: How many they are, at least 1.
        language: A language tag in lower case.
        follows: Whether names stand before.
    """
    if not follows:
        return _counted(_ALONE, number, language)
    return f"{_AND[_spoken(language)]} {others(number, language)}"


def disclaimer(language: str) -> str:
    """That roles and organisations beside a person's name speak for nobody else."""
    return _DISCLAIMERS[_spoken(language)]


def listed(parts: Sequence[str], language: str) -> str:
    """Words in a row: "A, B and C".

    Args:
        parts: The words.
        language: A language tag in lower case.
    """
    return str(format_list(parts, locale=locale_of(language)))


def comma(language: str) -> str:
    """What parts the pieces of a line, with its blank."""
    return _COMMAS.get(language.partition("-")[0], ", ")


def _counted(forms: dict[str, dict[str, str]], number: int, language: str) -> str:
    spoken = _spoken(language)
    locale = locale_of(language if spoken == language.partition("-")[0] else "en")
    form = forms[spoken].get(locale.plural_form(number)) or forms[spoken]["other"]
    return form.format(format_decimal(number, locale=locale))


def _spoken(language: str) -> str:
    primary = language.partition("-")[0]
    return primary if primary in _OTHERS else "en"
