"""What may be told of a person to everybody: no address, and of most people no name."""

import re
from collections.abc import Mapping

# What a row calls an office. `title` is one too, unless it is a form of address.
_OFFICE = ("role", "office", "position", "title")
_ORGANISATION = ("organisation", "organization", "company")
_ADDRESSED = frozenset(
    {"mr", "mrs", "ms", "miss", "mx", "dr", "prof", "professor", "sir", "dame", "lord", "lady"}
    | {"rev", "fr", "herr", "frau", "m", "mme", "mlle", "г-н", "г-жа", "д-р", "мырза", "ханым"}
)

_PART = r"[^\s<>\"'(),;:“”@]"
_REORDERS = re.compile("[\u202a-\u202e\u2066-\u2069]")  # UAX 9: nothing needs them in `bdi`
_ADDRESS = re.compile(rf"{_PART}{{1,64}}@{_PART}+")  # bounded, so that a long word costs no more


def office_of(fields: Mapping[str, str]) -> str:
    """The public office that a row names, or ""."""
    for column in _OFFICE:
        text = " ".join(fields.get(column, "").split())
        if text and text.casefold().rstrip(".") not in _ADDRESSED:
            return without_addresses(text)
    return ""


def organisation_of(fields: Mapping[str, str]) -> str:
    """The organisation that a row names, or ""."""
    texts = (" ".join(fields.get(column, "").split()) for column in _ORGANISATION)
    return without_addresses(next(filter(None, texts), ""))


def without_addresses(text: str) -> str:
    """A text in which "[address]" replaces each mail address, and nothing reorders its letters."""
    return _ADDRESS.sub("[address]", _REORDERS.sub("", text))


class Names:
    """Full names that nobody is to read, and what replaces them.

    A name of one word stays: it may be a word of the language.
    """

    def __init__(self) -> None:
        self._instead: dict[str, str] = {}
        self._pattern: re.Pattern[str] | None = None

    def hide(self, name: str, instead: str) -> None:
        """Replace a name from now on."""
        if len(name.split()) > 1:
            self._instead[_plain(name)] = instead
            self._pattern = None

    def out_of(self, text: str) -> str:
        """A text without the names, however they are capitalised."""
        if not self._instead:
            return text
        if self._pattern is None:
            names = (r"\s+".join(map(re.escape, name.split())) for name in self._instead)
            self._pattern = re.compile(rf"(?<!\w)(?:{'|'.join(names)})(?!\w)", re.IGNORECASE)
        return self._pattern.sub(lambda match: self._instead.get(_plain(match[0]), "[name]"), text)


def _plain(name: str) -> str:
    return " ".join(name.split()).casefold()
