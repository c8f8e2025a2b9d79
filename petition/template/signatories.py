"""Signatories in a letter: their order in each language, country names, our own words.

No library fits: PyICU and icu4py need a compiler or 30 MB of data, pyuca knows one order for all
languages, and CLDR has the Kazakh І after И, where that alphabet has it after Ы.
"""

import re
import unicodedata
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import date
from functools import cache, lru_cache
from typing import Any

from babel.core import get_global
from babel.lists import format_list

from petition.campaign.names import APOSTROPHES, folded_words
from petition.campaign.text_file import packaged_toml
from petition.template.fields import (
    NEW,
    SINCE,
    LetterDate,
    Named,
    PrintedAlone,
    Value,
    ValueRefused,
    counted,
    locale_of,
    long_date,
)

_KNOWN = packaged_toml("template/signatories.toml")


def others(number: int, language: str, since: date | None = None) -> str:
    """Those who are not named, as a part of a list: "214 others", "214 more since 3 May 2015"."""
    if since is None:
        return _counted("others", number, language)
    return _counted("since", number, language, day=long_date(since, _spoken(language)))


def unnamed_line(number: int, language: str, *, follows: bool, since: date | None = None) -> str:
    """Those who are not named, in a line of their own: "and 214 others"."""
    if follows:
        return f"{_KNOWN['and'][_spoken(language)]} {others(number, language, since)}"
    return others(number, language, since) if since else _counted("alone", number, language)


def disclaimer(language: str) -> str:
    """That people's roles and organisations are given for identification only."""
    return str(_KNOWN["disclaimers"][_spoken(language)])


def has_words(language: str) -> bool:
    """Whether these lines are in a language; otherwise they are in English."""
    return _spoken(language) == language.partition("-")[0]


def listed(parts: Sequence[str], language: str) -> str:
    """Words in a row: "A, B and C"."""
    return str(format_list(parts, locale=locale_of(language)))


def comma(language: str) -> str:
    """What separates the parts of a line, with its blank."""
    return str(_KNOWN["commas"].get(language.partition("-")[0], ", "))


def _counted(kind: str, number: int, language: str, **more: str) -> str:
    spoken = _spoken(language)
    is_spoken = spoken == language.partition("-")[0]
    return counted(_KNOWN[kind][spoken], number, language if is_spoken else "en", **more)


def _spoken(language: str) -> str:
    primary = language.partition("-")[0]
    return primary if primary in _KNOWN["others"] else "en"


Key = tuple[list[tuple[int, int]], str, str]

_PIECES = re.compile(r"([0-9]{1,18})|[^\W_]|[\W_]+")
_DIGITS, _BLANK = (-1, 0), (-2, 0)


@cache
def name_order(language: str) -> Callable[[str], Key]:
    """What a name is sorted by in a language.

    Words are compared one by one, numbers by their value; quotes, apostrophes, case and accents
    count only between names that are otherwise the same.
    """
    primary = language.partition("-")[0]
    own = next((name for name, tags in _KNOWN["scripts"].items() if primary in tags), "LATIN")
    scripts = list(dict.fromkeys((own, "LATIN", "GREEK", "CYRILLIC")))
    places: dict[str, tuple[int, int]] = {}
    for script, alphabet in (("CYRILLIC", "CYRILLIC"), (own, primary)):
        letters = _KNOWN["alphabets"].get(alphabet, "")
        if letters:
            places = {letter: at for letter, at in places.items() if at[0] != scripts.index(script)}
            places |= {letter: (scripts.index(script), at) for at, letter in enumerate(letters)}

    @lru_cache(maxsize=1024)  # all are put in order again for each text, and to be filled
    def order(name: str) -> Key:
        return _key(name, places, scripts)

    return order


def _key(name: str, places: dict[str, tuple[int, int]], scripts: list[str]) -> Key:
    whole = unicodedata.normalize("NFC", APOSTROPHES.sub("", name)).casefold()
    weights: list[tuple[int, int]] = []
    for piece in _PIECES.finditer(whole):
        if piece[1]:
            weights += [_DIGITS, (0, int(piece[1]))]
        elif piece[0].isalnum():
            weights += _weights(piece[0], places, scripts)
        elif not all(unicodedata.category(char).startswith("M") for char in piece[0]):
            weights.append(_BLANK)
    while weights and weights[0] == _BLANK:  # a name in quotes is sorted as without them
        del weights[0]
    while weights and weights[-1] == _BLANK:
        del weights[-1]
    return weights, whole, name


def _weights(
    letter: str, places: dict[str, tuple[int, int]], scripts: list[str]
) -> list[tuple[int, int]]:
    if letter in places:
        return [places[letter]]
    if letter in _KNOWN["stand_ins"]:
        return [
            one for part in _KNOWN["stand_ins"][letter] for one in _weights(part, places, scripts)
        ]
    base = unicodedata.normalize("NFD", letter)[0]
    if base != letter:
        return _weights(base, places, scripts)
    script = unicodedata.name(letter, "").partition(" ")[0]
    rank = scripts.index(script) if script in scripts else len(scripts)
    return [(rank, ord(letter))]


_ALWAYS = ("en", "ru", "kk")


def country_code(text: str, language: str = "en") -> str:
    """The code of ISO 3166-1 of a country."""
    return _codes_for(language).get(folded_words(text), "")


def country_zones(text: str, language: str = "en") -> tuple[str, ...]:
    """The time zones of a country by their IANA names; of one that is not known, none."""
    return tuple(get_global("territory_zones").get(country_code(text, language), ()))


def country_name(text: str, language: str) -> str:
    """A country as a language calls it."""
    code, name = country_code(text, language), folded_words(text)
    # What a language calls it, and what people write besides, stays.
    also = _KNOWN["countries"].get(language.partition("-")[0], ())
    if not code or (name.upper() != code and (name in _codes(language) or name in also)):
        return text
    return str(locale_of(language).territories.get(code, text))


@cache
def _codes_for(language: str) -> dict[str, str]:
    """The codes of countries by all that readers of a language may call them."""
    codes: dict[str, str] = {}
    for more in (*_KNOWN["countries"].values(), *map(_codes, (language, *_ALWAYS))):
        codes |= more
    return codes


@cache
def _codes(language: str) -> dict[str, str]:
    """The same by the codes themselves, and by what a language calls countries."""
    codes: dict[str, str] = {}
    for code, name in locale_of(language).territories.items():
        if len(code) == 2 and code.isalpha():  # the others are regions of the world
            codes[folded_words(name)] = codes[code.lower()] = code
    return codes


# By what `where` can choose. Not by the name: a count of one would name somebody who is not to be.
CHOICE_FIELDS = ("kind", "role", "organisation", "place", "country")

_CHOICES = 1_000  # choices that are kept: each copy of a letter asks for the same ones
_AS_WRITTEN = {"organization": "organisation"}
# No name is looked up under the title before it.
_TITLES = re.compile(
    r"^(?:(?:dr|prof|professor|sir|dame|lord|lady|rev|fr|д-р|проф|доктор|профессор)\b\.?\s+)+(?=\w)",
    re.IGNORECASE,
)


class SignatoryList(PrintedAlone):
    """Those who signed: as long as all of them, and a loop over it gives those who may be named.

    `published` are those, in their order; `unnamed` the others, counted by what the letter chooses
    by. At most `shown` are named. `since` is the day since which all of them have signed, if they
    are those who are new in a follow-up; `newcomers` are those who are new among them.
    """

    def __init__(
        self,
        published: Sequence[Named],
        unnamed: Sequence[tuple[Mapping[str, str | None], int]],
        language: str,
        shown: int | None = None,
        since: date | None = None,
        newcomers: "SignatoryList | None" = None,
    ) -> None:
        self._published = published
        self._unnamed = unnamed
        self._shown = shown
        self._choices: dict[tuple[tuple[str, str], ...], SignatoryList] = {}
        self.newcomers = newcomers
        self.language = language
        self.signed_since = since

    def __len__(self) -> int:
        return len(self._published) + sum(count for _, count in self._unnamed)

    def __iter__(self) -> Iterator[Named]:
        return iter(self._named)

    def __reversed__(self) -> Iterator[Named]:
        return reversed(self._named)

    @property
    def others(self) -> int:
        """How many are not named."""
        return len(self) - len(self._named)

    @property
    def new(self) -> "SignatoryList":
        """Those among them who have signed since the letter before, in a follow-up."""
        return self._known_new()[0]

    @property
    def since(self) -> LetterDate:
        """The day on which the letter before was frozen."""
        return LetterDate(f"signatories.{SINCE}", self._known_new()[1], self.language)

    def _known_new(self) -> "tuple[SignatoryList, date]":
        new = self.newcomers
        if new is None or new.signed_since is None:
            # It is known only where the letter names it so: who is new takes the day of each.
            what = "who is new among the signatories is not known here"
            raise ValueRefused(what, f"Write signatories.{NEW}, and not another name for it")
        return new, new.signed_since

    def refusal(self) -> ValueRefused:
        """What is said of a field that prints it: of one that is a block if there is somebody."""
        if self.signed_since is None or len(self):
            return super().refusal()
        what = f"nobody of them has signed since {self.signed_since}"
        return ValueRefused(what, f"Write {{% if signatories.{NEW} %}} around it")

    def where(self, **conditions: Value) -> "SignatoryList":
        """Those of whom all of this is true: `country="KZ"`, however that is written."""
        key = tuple((name, repr(value)) for name, value in conditions.items())
        if key not in self._choices:
            if len(self._choices) >= _CHOICES:
                self._choices.clear()
            self._choices[key] = self._where(conditions)
        return self._choices[key]

    def _where(self, conditions: Mapping[str, Value]) -> "SignatoryList":
        def fits(field: Callable[[str], str | None]) -> bool:
            return all(self._is(name, field(name), value) for name, value in conditions.items())

        published = [one for one in self._published if fits(one.field)]
        unnamed = [(one, count) for one, count in self._unnamed if fits(one.get)]
        return SignatoryList(published, unnamed, self.language, self._shown, self.signed_since)

    def limit(self, number: int) -> "SignatoryList":
        """The same list, of whom at most so many are named; the others still count."""
        shown = max(number, 0) if self._shown is None else min(max(number, 0), self._shown)
        return SignatoryList(
            self._published, self._unnamed, self.language, shown, self.signed_since
        )

    @property
    def _named(self) -> Sequence[Named]:
        return self._published[: self._shown]

    def _is(self, name: str, field: str | None, value: Value) -> bool:
        if field is None or not isinstance(value, str):
            return False
        return is_same(name, field, value, self.language)


def is_same(name: str, field: str, value: str, language: str) -> bool:
    """Whether a signatory's field has a value, however both are written."""
    one, other = folded_words(field), folded_words(value)
    if one == other or _AS_WRITTEN.get(one, one) == _AS_WRITTEN.get(other, other):
        return True
    if name != "country":
        return False
    code = country_code(field, language)
    return bool(code) and code == country_code(value, language)


def signatories_in(part: Mapping[str, Any], language: str) -> SignatoryList:
    """The signatories of a frozen letter for the readers of a language."""
    published = in_order(part["published"], language)
    named = [
        Named("signatory", {**one, "country": country_name(one["country"], language)})
        for one in published
    ]
    unnamed = [(fields, count) for fields, count in part.get("unnamed", ())]
    unnamed = unnamed or [({}, part["total"] - len(named))]
    since = date.fromisoformat(part[SINCE]) if SINCE in part else None
    newcomers = signatories_in(part[NEW], language) if NEW in part else None
    return SignatoryList(named, unnamed, language, since=since, newcomers=newcomers)


def in_order(published: Sequence[dict[str, str]], language: str) -> list[dict[str, str]]:
    """Organisations before persons, each by name; persons by family name where the file has it."""
    order = name_order(language)

    def key(one: dict[str, str]) -> tuple[bool, object, object]:
        is_person = one["kind"] != "organisation"
        by = one.get("last_name") or (
            _TITLES.sub("", one["name"], count=1) if is_person else one["name"]
        )
        return is_person, order(by), order(one["name"])

    return sorted(published, key=key)
