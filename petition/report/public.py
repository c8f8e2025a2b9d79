"""What may be told of a person to everybody: no address, and of most people no name."""

import re
from collections.abc import Mapping

from petition.campaign.names import APOSTROPHES, folded_name

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


_LETTER = r"(?:[^\W_]|[\u0300-\u036f])"  # perhaps with its accent apart
# "O’Neil" is one word, and "Neil’s" is "Neil".
_WORD = re.compile(rf"[^\W_]{_LETTER}*(?:{APOSTROPHES.pattern}(?!s(?![^\W_])){_LETTER}+)*")
_GAP = re.compile(r"\s+|\s?[-‐‑–]\s?|[.,]\s*")  # between two words of a name
_SOMEBODY = "[…]"  # one of several people
_SURNAME = 4  # letters; a shorter one is a word of too many languages
_PATRONYMIC = re.compile(r"(?:вич|вна|ична|ұлы|улы|қызы|кызы)$")
_BEHIND = frozenset({"jr", "sr", "phd", "esq"})


def surname_of(name: str) -> str:
    """The word of a full name that is taken for the surname, or ""."""
    words = name.split()
    while len(words) > 1 and _is_behind(words[-1]) and not name.isupper():
        del words[-1]
    if len(words) < 2:
        return ""
    return words[0] if len(words) > 2 and _PATRONYMIC.search(words[-1].lower()) else words[-1]


def _is_behind(word: str) -> bool:
    """Whether a word stands behind a name: "MP", "Jr."."""
    return (word.isupper() and len(word) <= 3) or folded_name(word) in _BEHIND


_Words = tuple[str, ...]  # folded, so that all spellings of a name are the same


class Names:
    """Names that nobody is to read, and what replaces them, however they are spelt.

    A name of one word stays: it may be a word of the language. A surname alone goes where it has
    four letters and a capital.
    """

    def __init__(self) -> None:
        self._instead: dict[_Words, str] = {}
        self._surnames: dict[_Words, dict[_Words, str]] = {}  # by who has them
        self._kept: set[_Words] = set()
        self._longest = 0

    def hide(self, name: str, instead: str, *, surname: str = "") -> None:
        """Replace a full name from now on, and the surname alone."""
        words, last = _words(name), _words(surname)
        if len(words) > 1:
            self._instead[words] = instead
        if len("".join(last)) >= _SURNAME:
            self._surnames.setdefault(last, {})[words] = instead
        self._longest = max(self._longest, len(words), len(last))

    def keep(self, text: str) -> None:
        """Leave a name or an office as it is, although a surname may be a part of it."""
        words = _words(text)
        if len(words) > 1:
            self._kept.add(words)
            self._longest = max(self._longest, len(words))

    def out_of(self, text: str) -> str:
        """A text without the names."""
        found = list(_WORD.finditer(text))
        made, done, at = [], 0, 0
        while at < len(found):
            length, instead = self._at(text, found, at)
            if instead is not None:
                made += [text[done : found[at].start()], instead]
                done = found[at + length - 1].end()
            at += length
        return "".join([*made, text[done:]])

    def _at(self, text: str, found: list[re.Match[str]], at: int) -> tuple[int, str | None]:
        """How many words from one on are one name, and what replaces them; None: they stay."""
        words, lengths = list[str](), list[int]()  # a word with a hyphen is two
        for number in range(at, min(at + self._longest, len(found))):
            if number > at and not _GAP.fullmatch(
                text, found[number - 1].end(), found[number].start()
            ):
                break
            words += _words(found[number][0])
            lengths.append(len(words))
        for length in range(len(lengths), 0, -1):
            name = tuple(words[: lengths[length - 1]])
            if name in self._instead:
                return length, self._instead[name]
            if name in self._kept:
                return length, None
            if name in self._surnames and not found[at][0][0].islower():
                who = set(self._surnames[name].values())
                return length, who.pop() if len(who) == 1 else _SOMEBODY
        return 1, None


def _words(name: str) -> _Words:
    return tuple(folded_name(name).split())
