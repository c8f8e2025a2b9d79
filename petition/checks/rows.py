"""What looks wrong in the rows of people and signatories, and who is there twice.

Every finding is a warning: two people may well have one name.
"""

import re
import unicodedata
from collections import Counter
from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from unicodedata import name as name_of

from petition.address import folded
from petition.campaign.names import folded_name, quoted
from petition.campaign.people import FirstLines, Person
from petition.campaign.signatories import Signatory
from petition.campaign.text_file import packaged, packaged_toml
from petition.errors import Level, Problem
from petition.template.fields import SETTINGS

_LISTED = 20  # warnings of one kind; the others are counted
ROWS_NAMED = 5  # of those that share a problem


@dataclass
class FirstRows:
    """The first of many rows that share something, and their number."""

    first: list[Person] = field(default_factory=list)
    count: int = 0

    def add(self, person: Person) -> None:
        """One more."""
        self.count += 1
        if len(self.first) < ROWS_NAMED:
            self.first.append(person)


class SharedProblems:
    """Problems that rows share: each is reported once, with the first rows and their number."""

    def __init__(self) -> None:
        self._found: dict[object, tuple[Problem, FirstRows]] = {}

    def add(self, problem: Problem, person: Person, key: object = None) -> None:
        """Add a row; a row with an equal problem, or an equal key, is reported with the first."""
        self._found.setdefault(key or problem, (problem, FirstRows()))[1].add(person)

    def problems(self, at_least: str = "") -> Iterator[Problem]:
        """What was found; `at_least` says so of the number, if not all rows were looked at."""
        for one, rows in self._found.values():
            file, more, lines = rows.first[0].file, "", tuple[int, ...]()
            if str(one.mark).partition(".")[0] in SETTINGS:
                pass  # it is the same for everybody
            elif one.file != file:
                others = rows.count - len(rows.first)
                more = f" (for {file}:{', '.join(str(person.line) for person in rows.first)}"
                more += f" and {at_least}{others:,} more)" if others else ")"
                lines = () if others else tuple(person.line for person in rows.first)
            elif rows.count > 1:
                more = f" (in {rows.count:,} rows, this is the first)"
            what = one.what + more
            yield Problem(one.file, one.line, what, one.hint, one.level, one.mark, rows=lines)


class Duplicates:
    """Finds namesakes on a list, and recipients who sign the letter."""

    def __init__(self, signatories: Iterable[Signatory], signatories_file: str) -> None:
        self._signatories_file = signatories_file
        self._signed: dict[str, Signatory] = {}
        for one in signatories:
            self._signed.setdefault(_same_name(one.name), one)
            if one.email:
                self._signed.setdefault(folded(one.email), one)
        self._names = FirstLines()
        self._counts: Counter[str] = Counter()
        self._problems: list[Problem] = []

    def look_at(self, people: list[Person]) -> None:
        """Look at the next people of the list."""
        names = [_same_name(person.mailbox.display_name) for person in people]
        for person, name in zip(people, names, strict=True) if self._signed else ():
            address = person.mailbox.addr_spec
            signatory = self._signed.get(folded(address)) or self._signed.get(name)
            if signatory and (name or signatory.email):
                is_same = folded(signatory.email) == folded(address)
                shown = address if is_same else person.mailbox.display_name
                what = f"{quoted(shown)} signs the letter too"
                what += f" ({self._signatories_file}:{signatory.line})"
                hint = "Check whether the letter should go to somebody who signs it"
                self._add("more recipients sign the letter too", person, what, hint)
        whole = [name if " " in name else "" for name in names]  # a first name alone says nothing
        repeats = self._names.repeats(whole, [person.line for person in people])
        for at, line in repeats.items():
            full_name = people[at].mailbox.display_name
            what = f"{quoted(full_name)} is in line {line} too, with another address"
            hint = "Delete one of the rows if both are one person"
            self._add("more people share a name with an earlier row", people[at], what, hint)

    def problems(self) -> Iterator[Problem]:
        """What was found."""
        yield from self._problems
        for rest, count in self._counts.items():
            if count > _LISTED:
                what, hint = f"{count - _LISTED:,} {rest}", "Correct those that are listed first"
                yield Problem(self._problems[0].file, None, what, hint, Level.WARNING)

    def _add(self, rest: str, person: Person, what: str, hint: str) -> None:
        self._counts[rest] += 1
        if self._counts[rest] <= _LISTED:
            self._problems.append(Problem(person.file, person.line, what, hint, Level.WARNING))


def _same_name(name: str) -> str:
    """A name by which two spellings of it are the same."""
    plain = name if name.isascii() else unicodedata.normalize("NFKC", name)
    return " ".join(plain.casefold().split())


SLIPS = packaged_toml("checks/slips.toml")
_, _ADDRESSING, _OFFICES, _GERMAN_ENDS = (
    [folded_name(word) for word in section.split()]
    for section in re.split(r"^==.*$", packaged("checks/salutations.txt"), flags=re.MULTILINE)
)
# A salutation with one of these names a person, unless an office follows: "Mr President".
_FORMS_OF_ADDRESS = frozenset(_ADDRESSING)
_OFFICE_WORDS = frozenset(_OFFICES) - _FORMS_OF_ADDRESS
# German makes one word of many offices: Oberbürgermeisterin.
_OFFICE_ENDS = tuple(end + more for end in _GERMAN_ENDS for more in ("", "in"))
_OF = frozenset({"of", "for", "de", "du", "des", "del", "von", "vom", "der", "fur"})
_MALE, _FEMALE = ("уважаемый", "дорогой"), ("уважаемая", "дорогая")
_NO_VALUE = re.compile(
    r"#(?:N/A|NAME\?|REF!|VALUE!|DIV/0!)|(?:null|nan|none|n/a|undefined|unknown|-+|\?+|x{2,})",
    re.IGNORECASE,
)
# How they begin comes first: it takes a third of the time.
_NO_VALUES = re.compile(rf"\n(?=[#nux?-])(?:{_NO_VALUE.pattern})(?=\n)", re.IGNORECASE)
_ENTITY = re.compile(r"&(?:amp|lt|gt|quot|apos|nbsp|#\d{2,4}|#x[0-9a-f]{2,4});", re.IGNORECASE)
# UTF-8 that was read as Windows-1252, Windows-1251 or Mac Roman: "Ã©", "â€™", "Ð°", "Рђ", "√©".
_TWICE_ENCODED = re.compile(
    r"Ã[\x80-\xbf\u00a0-\u00bf\u2018-\u2122]|â€.|[ÐÑ][\x80-\xbf\u00a0-\u00bf\u2018-\u2122]"
    r"|(?:[РС][\u0080-\u00bf\u0402-\u040f\u0452-\u045f\u2018-\u2122]){2,}"
    r"|√[^\x00-\x7f]|‚Ä[^\x00-\x7f]"
)
# What programs leave in a cell, and what to do about it.
_SPOILT = [(re.compile(one["pattern"]), one["why"], one["hint"]) for one in SLIPS["cells"]]
# What a cell may bring into a letter that nobody meant to write.
_ODD = re.compile(
    r"[{}<>\[\]]|\?\?\?|\b(?:TODO|FIXME|XXX|[Dd]ear|[Ll]orem)\b|\bwww\.|https?:| ,|,\w"
)
# Nothing is wrong with a cell of letters, digits and these, but for the words of `_ODD`.
_UNUSUAL = re.compile(r"[^\w .,'’()/+@\n-]|,(?! )| ,")

LONG = 900  # characters, the longest name that a header takes

# What is wrong, and what to do.
Oddity = tuple[str, str]


def may_be_odd(cells: Iterable[str]) -> bool:
    """Whether cells need a look by `odd_cells` and `brings_along`; most do not."""
    text = "\n{}\n".format("\n".join(cells))
    return bool(
        _UNUSUAL.search(text)
        or _NO_VALUES.search(text)
        or ("ear" in text or "orem" in text or "XXX" in text)
        or ("TODO" in text or "FIXME" in text or "www." in text)
        or ("\n'" in text or "_x" in text or "E+" in text or "e+" in text)
        or (not text.isascii() and _TWICE_ENCODED.search(text))
    )


def unlike_others(cells: Mapping[str, Sequence[str]], columns: Iterable[str]) -> set[int]:
    """The places of rows that need a closer look; `cells` are those of some rows, by column.

    In the others `odd_names` finds nothing, and nor does `odd_cells` in these columns, whose cells
    are all of one printable line, and no longer than `LONG`.
    """
    nothing = [""] * len(next(iter(cells.values())))
    names = zip(cells.get("salutation", nothing), cells.get("name", nothing), strict=True)
    found = {
        at for at, pair in enumerate(names) if _may_be_odd_names(*pair) and any(odd_names(*pair))
    }
    return found.union(*(_unusual(cells[column]) for column in columns if column in cells))


def _may_be_odd_names(salutation: str, name: str) -> bool:
    """Whether they need a look by `odd_names`: most greet somebody by the last word of the name."""
    if salutation and (salutation.rpartition(" ")[2] not in name or not salutation[0].isascii()):
        return True
    return name.isupper() or name.islower()


def _unusual(cells: Sequence[str]) -> Iterator[int]:
    if may_be_odd(cells) or len(max(cells, key=len)) > LONG or "\n" in "".join(cells):
        for at, cell in enumerate(cells):
            if may_be_odd((cell,)) or len(cell) > LONG or "\n" in cell:
                yield at


def brings_along(cells: Iterable[str]) -> bool:
    """Whether a row's copy should be read, for what its cells may bring into the letter."""
    return _ODD.search("\n".join(cells)) is not None


def odd_names(salutation: str, name: str) -> Iterator[Oddity]:
    """A salutation for somebody else, and a name in capitals."""
    if salutation and name and _is_for_another(salutation, name):
        what = f"the salutation {quoted(salutation)} does not fit the name {quoted(name)}"
        yield what, "Correct one of the two cells"
    elif salutation and not salutation[0].isascii() and _has_wrong_gender(salutation):
        what = f"{quoted(salutation)} greets a man as a woman or a woman as a man"
        yield what, "Correct the cell"
    if name.isupper() != name.islower():
        yield from shouted_name(name)


def odd_cells(
    cells: Mapping[str, str], columns: Iterable[str], before_sign: Container[str]
) -> Iterator[Oddity]:
    """Cells that a program or a person got wrong, of the columns that the letter names.

    `before_sign` are those after which the letter has a comma or similar.
    """
    for column in columns:
        cell = cells.get(column, "")
        what = f"{column} is {quoted(cell)}"
        if _NO_VALUE.fullmatch(cell):
            yield what, "Empty the cell, or fill it"
        if not cell.isascii() and _TWICE_ENCODED.search(cell):
            yield f"{what}, which was encoded twice", "Export the list again as UTF-8"
        elif "&" in cell and _ENTITY.search(cell):
            yield f"{what}, which contains an HTML entity", "Write the character itself"
        for spoilt, why, hint in _SPOILT:
            if spoilt.search(cell):
                yield f"{what}, {why}", hint
        if column in before_sign and cell.endswith((",", ";", ":")):
            hint = "Delete it: the letter has one already"
            yield f"{what}, with a punctuation mark at its end", hint


def shouted_name(name: str) -> Iterator[Oddity]:
    """A name in capitals or lower case only; one word may be what an organisation is called."""
    if name.isupper() == name.islower() or " " not in name:
        return
    words = re.findall(r"[^\W\d_]{3,}", name)
    if len(words) > 1 and any(len(word) > 4 for word in words):
        case = "capitals" if name.isupper() else "lower case"
        yield f"the name {quoted(name)} is in {case}", "Write it as its owner does"


def _is_for_another(salutation: str, name: str) -> bool:
    """Whether a salutation names somebody else: "Mr Smith" beside Anna Jones."""
    if salutation.rpartition(" ")[2] in name:
        return False
    words = [word for word in re.split(r"[\s./-]+", salutation.strip(" ,!:")) if word]
    names = _names_in(words)
    there = folded_name(re.sub(r"[-/]", " ", name)).split()
    return (
        bool(names)
        and not _FORMS_OF_ADDRESS.isdisjoint(map(folded_name, words))
        and not _scripts(salutation).isdisjoint(_scripts(name))
        and not any(_is_same_word(word, other) for word in names for other in there)
    )


def _names_in(words: Iterable[str]) -> list[str]:
    """The words of a salutation that are somebody's name, folded."""
    # What follows an office with "of" is not one either: "Monsieur le Maire de Lyon".
    names, has_office = [], False
    for word in words:
        key = folded_name(word)
        is_office = key in _OFFICE_WORDS or key.endswith(_OFFICE_ENDS)
        if has_office and key in _OF:
            break
        has_office = has_office or is_office
        if word[:1].isupper() and key and key not in _FORMS_OF_ADDRESS and not is_office:
            names.append(key)
    return names


def _is_same_word(one: str, other: str) -> bool:
    """Whether two words are one, perhaps in different grammatical cases."""
    return one == other or (min(len(one), len(other)) >= 4 and one[:4] == other[:4])


def _scripts(text: str) -> set[str]:
    return {name_of(char, "").partition(" ")[0] for char in text if char.isalpha()}


def _has_wrong_gender(salutation: str) -> bool:
    """Whether a patronymic tells that a man is greeted as a woman, or a woman as a man."""
    greeting, _, rest = salutation.casefold().partition(" ")
    patronymic = rest.strip(" ,!").rpartition(" ")[2]
    if greeting in _MALE:
        return patronymic.endswith(("овна", "евна", "ична", "инична"))
    # "Мицкевич" is a family name of women too; no man is called "Анна".
    is_her_name = rest.partition(" ")[0].endswith(("а", "я"))
    return greeting in _FEMALE and patronymic.endswith("ич") and not is_her_name


_COMPARED = 2_000  # organisations; the time grows with the square
_SMALL_WORDS = frozenset({"the", "of", "and", "for", "in", "de", "la", "le", "und", "der", "и"})


def two_spellings(file: str, signatories: Iterable[Signatory]) -> Iterator[Problem]:
    """Organisations that are spelt in two ways, of those that the letter shows."""
    first: dict[str, tuple[str, int]] = {}  # by its words: a spelling and its line
    told = 0
    for line, spelling in _organisations(signatories):
        folded_words = folded_name(spelling.replace("&", " and ")).split()
        words = " ".join(word for word in folded_words if word not in _SMALL_WORDS)
        if not words or told >= _LISTED:
            continue
        known = first.get(words) or next(
            (seen for other, seen in first.items() if _is_near(words, other)), None
        )
        if known is None:
            if len(first) < _COMPARED:
                first[words] = spelling, line
        elif known[0] != spelling:
            told += 1
            what = f"{quoted(spelling)} is spelt {quoted(known[0])} in line {known[1]}"
            hint = "Spell it in one way, if both are one organisation"
            first.setdefault(words, (spelling, line))
            yield Problem(file, line, what, hint, Level.WARNING)


def shouted_signatures(file: str, signatories: Iterable[Signatory]) -> Iterator[Problem]:
    """The first name in capitals among those that the letter shows, and their number."""
    shown = (one for one in signatories if one.publish and one.kind == "individual")
    found = [(one.line, finding) for one in shown for finding in shouted_name(one.name)]
    for line, (what, hint) in found[:1]:
        more = f" (in {len(found):,} rows, this is the first)" if len(found) > 1 else ""
        yield Problem(file, line, what + more, hint, Level.WARNING)


def _organisations(signatories: Iterable[Signatory]) -> Iterator[tuple[int, str]]:
    seen = set()
    for one in signatories:
        spelling = one.name if one.kind == "organisation" else one.organisation
        if one.publish and spelling and spelling not in seen:
            seen.add(spelling)
            yield one.line, spelling


def _is_near(one: str, other: str) -> bool:
    """Whether two names differ in one letter of one long word."""
    # A number or a single letter tells branches apart, and the beginning of a word tells North from
    # South.
    if abs(len(one) - len(other)) > 1:
        return False
    words, others = one.split(), other.split()
    if len(words) != len(others):
        return one.replace(" ", "") == other.replace(" ", "")
    pairs = [pair for pair in zip(words, others, strict=True) if pair[0] != pair[1]]
    if len(pairs) != 1 or len(one) < 12:
        return False
    short, long = sorted(pairs[0], key=len)
    if len(short) < 6 or short[:2] != long[:2] or re.search(r"\d", short + long):
        return False
    at = next((at for at in range(len(short)) if short[at] != long[at]), len(short))
    short, long = short[at:], long[at:]
    is_swapped = short[:2] == long[1::-1] and short[2:] == long[2:]
    return is_swapped or short == long[1:] or short[1:] == long[1:]
