"""Slips in the cells of people and of those who sign."""

import re
from collections.abc import Callable, Iterable, Mapping
from unicodedata import name as name_of

from petition.campaign.names import folded_name, quoted
from petition.lint.forms_of_address import FORMS_OF_ADDRESS, named_in

# What is wrong with a row and how to mend it, or nothing.
Verdict = tuple[str, str] | None
Judge = Callable[[Mapping[str, str], frozenset[str]], Verdict]

_MALE, _FEMALE = ("уважаемый", "дорогой"), ("уважаемая", "дорогая")
_GREETINGS = frozenset({*_MALE, *_FEMALE})
_NO_VALUE = re.compile(
    r"#(?:N/A|NAME\?|REF!|VALUE!|DIV/0!)|(?:null|nan|none|n/a|undefined|unknown|-+|\?+|x{2,})",
    re.IGNORECASE,
)
_NO_VALUES = re.compile(rf"\n(?:{_NO_VALUE.pattern})(?=\n)", re.IGNORECASE)
_ENTITY = re.compile(r"&(?:amp|lt|gt|quot|apos|nbsp|#\d{2,4}|#x[0-9a-f]{2,4});", re.IGNORECASE)
# UTF-8 that was read as Windows-1252 or -1251: "Ã©", "â€™", "Ð°", "Рђ".
_TWICE_ENCODED = re.compile(
    r"Ã[\x80-\xbf\u00a0-\u00bf\u2018-\u2122]|â€.|[ÐÑ][\x80-\xbf\u00a0-\u00bf\u2018-\u2122]"
    r"|(?:[РС][\u0080-\u00bf\u0402-\u040f\u0452-\u045f\u2018-\u2122]){2,}"
)
_ENDS_ODDLY = re.compile(r"[,;:]$")
# What a cell may bring into a letter that nobody meant to write.
_ODD = re.compile(
    r"[{}<>\[\]]|\?\?\?|\b(?:TODO|FIXME|XXX|[Dd]ear|[Ll]orem)\b|\bwww\.|https?:| ,|,\w"
)
# Nothing is wrong with a cell of letters, digits and these, but for the words of `_ODD`.
_UNUSUAL = re.compile(r"[^\w .'’()/+@\n-]")


def may_be_odd(cells: Iterable[str]) -> bool:
    """Whether `ODDITIES` and `brings_along` need to look at some cells: they find nothing in most.

    Args:
        cells: What the letter names of a row.
    """
    text = "\n{}\n".format("\n".join(cells))
    return bool(
        _UNUSUAL.search(text)
        or _NO_VALUES.search(text)
        or ("ear" in text or "orem" in text or "XXX" in text)
        or ("TODO" in text or "FIXME" in text or "www." in text)
        or (not text.isascii() and _TWICE_ENCODED.search(text))
    )


def brings_along(cells: Iterable[str]) -> bool:
    """Whether a row's copy should be read, for what its cells may bring into the letter."""
    return _ODD.search("\n".join(cells)) is not None


def misfitting_salutation(cells: Mapping[str, str], named: frozenset[str]) -> Verdict:
    """A salutation for somebody else: "Mr Smith" beside Anna Jones."""
    del named
    salutation, name = cells.get("salutation", ""), cells.get("name", "")
    if not salutation or not name or salutation.rpartition(" ")[2] in name:
        return _wrong_gender(salutation) if salutation else None
    words = [word for word in re.split(r"[\s./-]+", salutation.strip(" ,!:")) if word]
    folded = [folded_name(word) for word in words]
    addressed = named_in(words)
    there = folded_name(re.sub(r"[-/]", " ", name)).split()
    if not addressed or not FORMS_OF_ADDRESS.intersection(folded):
        return _wrong_gender(salutation)
    if not _is_one_script(salutation, name) or any(_fits(word, there) for word in addressed):
        return _wrong_gender(salutation)
    what = f"the salutation {quoted(salutation)} does not fit the name {quoted(name)}"
    return what, "Correct one of the two cells"


def _fits(word: str, there: list[str]) -> bool:
    """Whether a word is one of a name's, perhaps in another case of its grammar."""
    return any(
        word == other or (min(len(word), len(other)) >= 4 and word[:4] == other[:4])
        for other in there
    )


def _wrong_gender(salutation: str) -> Verdict:
    """A patronymic tells whether it is a man or a woman who is greeted."""
    if salutation.isascii():
        return None
    greeting, _, rest = salutation.casefold().partition(" ")
    if greeting not in _GREETINGS:
        return None
    patronymic = rest.strip(" ,!").rpartition(" ")[2]
    # "Мицкевич" is a family name of women too; "Анна" is no man's name.
    is_first_hers = rest.partition(" ")[0].endswith(("а", "я"))
    is_woman = greeting in _FEMALE and patronymic.endswith("ич") and not is_first_hers
    is_man = greeting in _MALE and patronymic.endswith(("овна", "евна", "ична", "инична"))
    if not is_woman and not is_man:
        return None
    return f"{quoted(salutation)} greets a man as a woman or a woman as a man", "Correct the cell"


def _is_one_script(one: str, other: str) -> bool:
    scripts = [
        {name_of(char, "").partition(" ")[0] for char in text if char.isalpha()}
        for text in (one, other)
    ]
    return bool(scripts[0] & scripts[1])


def shouted_name(cells: Mapping[str, str], named: frozenset[str]) -> Verdict:
    """A name in capitals alone, or in none: "ANNA JONES", "anna jones"."""
    del named
    name = cells.get("name", "")
    if name.isupper() == name.islower() or " " not in name:
        return None  # one word in capitals may be what an organisation is called
    words = re.findall(r"[^\W\d_]{3,}", name)
    if len(words) < 2 or not any(len(word) > 4 for word in words):
        return None
    kind = "capitals" if name.isupper() else "small letters"
    return f"the name {quoted(name)} is in {kind} alone", "Write it as its bearer does"


def no_value(cells: Mapping[str, str], named: frozenset[str]) -> Verdict:
    """What a program writes where it knows nothing: "#N/A", "NULL"."""
    for column in named:
        if cells.get(column) and _NO_VALUE.fullmatch(cells[column]):
            return f"{column} is {quoted(cells[column])}", "Empty the cell, or fill it"
    return None


def spoilt_text(cells: Mapping[str, str], named: frozenset[str]) -> Verdict:
    """A text that was encoded twice, or taken from a web page: "JosÃ©", "Tom &amp; Ann"."""
    for column in named:
        cell = cells.get(column, "")
        if not cell.isascii() and _TWICE_ENCODED.search(cell):
            what = f"{column} is {quoted(cell)}, which was encoded twice"
            return what, "Export the list anew as UTF-8"
        if "&" in cell and _ENTITY.search(cell):
            return f"{column} is {quoted(cell)}, as a web page writes it", "Write the sign itself"
    return None


def odd_end(cells: Mapping[str, str], named: frozenset[str]) -> Verdict:
    """A cell with a sign that the letter has as well: "Mr Kim," where "Dear ...," is written."""
    for column in named:
        if _ENDS_ODDLY.search(cells.get(column, "")):
            return f"{column} is {quoted(cells[column])}, with a sign at its end", "Delete the sign"
    return None


NAMES: tuple[Judge, ...] = (misfitting_salutation, shouted_name)
ODDITIES: tuple[Judge, ...] = (no_value, spoilt_text, odd_end)
