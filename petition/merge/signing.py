"""Those who signed, as a letter can name, choose and count them."""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from petition.merge.alphabet import name_order
from petition.merge.countries import country_code, country_name
from petition.merge.fields import Named, Value

# By what `where` can choose. Not by the name: a count of one would name somebody who is not to be.
CHOICE_FIELDS = ("kind", "role", "organisation", "place", "country")

_CHOICES = 1_000  # choices that are kept: each copy of a letter asks for the same ones
_AS_WRITTEN = {"organization": "organisation"}
# No name is looked up under the title before it.
_TITLES = re.compile(
    r"^(?:(?:dr|prof|professor|sir|dame|lord|lady|rev|fr|д-р|проф|доктор|профессор)\b\.?\s+)+(?=\w)",
    re.IGNORECASE,
)


class SignatoryList:
    """Those who signed: as many as did, of whom a letter can name those who agreed to it.

    Args:
        published: Whose names may be shown, in their order.
        unnamed: The others, counted by what the letter chooses by.
        language: The language of the letter.
        shown: How many are named at most; None: all who may be.
    """

    def __init__(
        self,
        published: Sequence[Named],
        unnamed: Sequence[tuple[Mapping[str, str | None], int]],
        language: str,
        shown: int | None = None,
    ) -> None:
        self._published = published
        self._unnamed = unnamed
        self._shown = shown
        self._choices: dict[tuple[tuple[str, str], ...], SignatoryList] = {}
        self.language = language

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

    def where(self, **conditions: Value) -> "SignatoryList":
        """Those of whom all of this is true.

        Args:
            conditions: What a field is to be, however it is written: `country="KZ"`.
        """
        key = tuple((name, repr(value)) for name, value in conditions.items())
        if key not in self._choices:
            if len(self._choices) >= _CHOICES:
                self._choices.clear()
            self._choices[key] = self._where(conditions)
        return self._choices[key]

    def _where(self, conditions: Mapping[str, Value]) -> "SignatoryList":
        published = [
            one
            for one in self._published
            if all(self._is(name, one.field(name), value) for name, value in conditions.items())
        ]
        unnamed = [
            (one, count)
            for one, count in self._unnamed
            if all(self._is(name, one.get(name), value) for name, value in conditions.items())
        ]
        return SignatoryList(published, unnamed, self.language, self._shown)

    def limit(self, number: int) -> "SignatoryList":
        """The same, of whom no more than a number are named; they count all the same."""
        shown = max(number, 0) if self._shown is None else min(max(number, 0), self._shown)
        return SignatoryList(self._published, self._unnamed, self.language, shown)

    @property
    def _named(self) -> Sequence[Named]:
        return self._published[: self._shown]

    def _is(self, name: str, field: str | None, value: Value) -> bool:
        if field is None or not isinstance(value, str):
            return False
        return is_same(name, field, value, self.language)


def is_same(name: str, field: str, value: str, language: str) -> bool:
    """Whether a field of a signatory is what is asked for, however both are written."""
    one, other = (" ".join(text.casefold().split()) for text in (field, value))
    if one == other or _AS_WRITTEN.get(one, one) == _AS_WRITTEN.get(other, other):
        return True
    if name != "country":
        return False
    code = country_code(field, language)
    return bool(code) and code == country_code(value, language)


def signatories_in(part: Mapping[str, Any], language: str) -> SignatoryList:
    """The signatories of a frozen letter for the readers of a language.

    Args:
        part: The letter's `signatories`: `published`, `total`, and `unnamed` where it chooses.
        language: The language tag of the letter.
    """
    published = in_order(part["published"], language)
    named = [
        Named("signatory", {**one, "country": country_name(one["country"], language)})
        for one in published
    ]
    unnamed = [(fields, count) for fields, count in part.get("unnamed", ())]
    return SignatoryList(named, unnamed or [({}, part["total"] - len(named))], language)


def in_order(published: Sequence[dict[str, str]], language: str) -> list[dict[str, str]]:
    """Organisations before persons, each by name as the language sorts them.

    Persons stand by their family names where the file tells which those are.
    """
    order = name_order(language)

    def key(one: dict[str, str]) -> tuple[bool, object, object]:
        is_person = one["kind"] != "organisation"
        by = one.get("last_name") or (
            _TITLES.sub("", one["name"], count=1) if is_person else one["name"]
        )
        return is_person, order(by), order(one["name"])

    return sorted(published, key=key)
