"""Slips in the cells of people and signatories."""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from unicodedata import name as name_of

from petition.campaign.names import folded_name, quoted
from petition.campaign.signatories import Signatory
from petition.errors import Level, Problem

# Only where one of these stands does a salutation say that a name follows.
_ADDRESSING = """
    mr mrs ms miss mx dr prof professor sir dame lord lady rev reverend councillor cllr
    herr herrn frau
    monsieur madame mademoiselle mme mlle m
    señor señora señorita sr sra srta don doña estimado estimada
    dear
    господин госпожа доктор профессор уважаемый уважаемая дорогой дорогая
    мырза ханым құрметті
"""

# What stands where a name would, and is none: people are greeted by their office, or together.
_OFFICES = """
    or and the of for madam sir madame colleague colleagues friend friends comrade comrades all
    member members team office board council committee director directors chair chairman chairwoman
    chairperson president mayor mayoress minister secretary chancellor speaker justice judge
    ambassador consul commissioner chief rector dean bishop archbishop cardinal pastor father sister
    vicar rabbi imam general colonel major captain admiral sheriff editor editors resident residents
    supporter supporters neighbour neighbours ladies gentlemen excellency honourable honorable
    deputy vice prime premier first mp msp ms mep senator congressman congresswoman representative
    delegate governor governors officer manager treasurer clerk convener warden principal head
    headteacher provost registrar superintendent inspector trustee trustees ombudsman attorney
    alderman your

    maire préfet préfète ministre président présidente directeur directrice député députée sénateur
    sénatrice ambassadeur ambassadrice conseiller conseillère recteur rectrice gouverneur juge
    procureur procureure chancelier chancelière évêque archevêque secrétaire général générale
    professeur professeure docteur maître consul commissaire chef rédacteur rédactrice adjoint
    adjointe premier première excellence mesdames messieurs collègue collègues ami amis amie amies

    alcalde alcaldesa ministro ministra presidente presidenta director directora diputado diputada
    senador senadora embajador embajadora secretario secretaria gobernador gobernadora rectora juez
    jueza fiscal consejero consejera concejal concejala excelentísimo excelentísima ilustrísimo
    ilustrísima excelencia profesor profesora doctor doctora cónsul obispo comisario comisaria
    primer primera señores señoras amigos amigas compañeros compañeras

    sehr geehrte geehrter geehrtes liebe lieber liebes cher chère chers chères très
    damen herren kolleginnen kollegen freunde freundinnen abgeordneter abgeordnete vorsitzender
    vorsitzende professorin doktor exzellenz magnifizenz staatsanwalt staatsanwältin richter
    richterin pfarrer pfarrerin bischof bischöfin konsul konsulin intendant intendantin landrat
    landrätin stadtrat stadträtin gemeinderat gemeinderätin ministerialrat geheimrat dekan dekanin
    rektor rektorin

    дамы господа коллега коллеги друг друзья товарищ товарищи директор депутат министр председатель
    посол ректор редактор мэр губернатор президент премьер сенатор прокурор глава судья начальник
    секретарь уполномоченный уполномоченная омбудсмен аким консул руководитель заместитель
    генеральный генерал полковник декан заведующий заведующая епископ

    ханымдар мырзалар әріптес әріптестер достар әкім төраға төрайым төрағасы директоры елші хатшы
    басшы басшысы сот депутаты министрі президенті кеңесші бастық бастығы прокуроры
"""
# The ends of the many offices that German makes of one word: Oberbürgermeisterin.
_GERMAN_ENDS = """
    meister minister präsident direktor kanzler leiter sprecher botschafter sekretär beauftragter
    beauftragte vorsteher führer
"""

FORMS_OF_ADDRESS = frozenset(map(folded_name, _ADDRESSING.split()))
_NO_NAMES = FORMS_OF_ADDRESS | frozenset(map(folded_name, _OFFICES.split()))
_OFFICE_WORDS = _NO_NAMES - FORMS_OF_ADDRESS
_OF = frozenset({"of", "for", "de", "du", "des", "del", "von", "vom", "der", "fur"})
_ENDS = tuple(folded_name(end + more) for end in _GERMAN_ENDS.split() for more in ("", "in"))


def named_in(words: Sequence[str]) -> list[str]:
    """The words of a salutation that are somebody's name, folded.

    What follows an office is none either: "Monsieur le Maire de Lyon".
    """
    names, has_office = [], False
    for word in words:
        folded = folded_name(word)
        if has_office and folded in _OF:
            break
        has_office = has_office or _is_office(folded)
        if word[:1].isupper() and folded and folded not in FORMS_OF_ADDRESS:
            names += [] if _is_office(folded) else [folded]
    return names


def _is_office(folded: str) -> bool:
    return folded in _OFFICE_WORDS or folded.endswith(_ENDS)


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
    """Whether cells need a closer look by `ODDITIES` and `brings_along`; most do not."""
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


_TOLD = 20
_COMPARED = 2_000  # organisations that are laid beside one another; the time grows with the square
_SMALL_WORDS = frozenset({"the", "of", "and", "for", "in", "de", "la", "le", "und", "der", "и"})


def two_spellings(file: str, signatories: Iterable[Signatory]) -> Iterator[Problem]:
    """Organisations that are written in two ways, a warning each.

    Those who are not to be named are not looked at: nobody reads of what they are members.
    """
    first: dict[str, tuple[str, int]] = {}  # spelling by its words -> the spelling and its line
    told = 0
    for line, spelling in _organisations(signatories):
        words = _words(spelling)
        if not words or told >= _TOLD:
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
            hint = "Write it in one way, if both are one organisation"
            first.setdefault(words, (spelling, line))
            yield Problem(file, line, what, hint, Level.WARNING)


def shouted_signatures(file: str, signatories: Iterable[Signatory]) -> Iterator[Problem]:
    """The first name in capitals alone among those that the letter shows, and their number."""
    found = [
        (one.line, verdict)
        for one in signatories
        if one.publish and one.kind == "individual"
        if (verdict := shouted_name({"name": one.name}, frozenset()))
    ]
    if found:
        line, (what, hint) = found[0]
        more = f" (in {len(found)} rows, this is the first)" if len(found) > 1 else ""
        yield Problem(file, line, what + more, hint, Level.WARNING)


def _organisations(signatories: Iterable[Signatory]) -> Iterator[tuple[int, str]]:
    seen = set()
    for one in signatories:
        spelling = one.name if one.kind == "organisation" else one.organisation
        if one.publish and spelling and spelling not in seen:
            seen.add(spelling)
            yield one.line, spelling


def _words(spelling: str) -> str:
    words = folded_name(spelling.replace("&", " and ")).split()
    return " ".join(word for word in words if word not in _SMALL_WORDS)


def _is_near(one: str, other: str) -> bool:
    """Whether two names differ in one letter of one long word.

    A number or a letter that stands alone tells branches apart, and the beginning of a word tells
    North from South.
    """
    if abs(len(one) - len(other)) > 1:
        return False
    words, others = one.split(), other.split()
    if len(words) != len(others):
        return one.replace(" ", "") == other.replace(" ", "")
    pairs = [pair for pair in zip(words, others, strict=True) if pair[0] != pair[1]]
    if len(pairs) != 1:
        return False
    first, second = pairs[0]
    is_long = min(len(first), len(second)) >= 6 and len(one) >= 12
    return is_long and not re.search(r"\d", first + second) and _is_one_letter_off(first, second)


def _is_one_letter_off(one: str, other: str) -> bool:
    if one[:2] != other[:2]:
        return False
    short, long = sorted((one, other), key=len)
    if len(short) < len(long):
        return any(long[:at] + long[at + 1 :] == short for at in range(len(long)))
    unlike = [at for at in range(len(one)) if one[at] != other[at]]
    is_swapped = len(unlike) == 2 and (one[unlike[0]], one[unlike[1]]) == (
        other[unlike[1]],
        other[unlike[0]],
    )
    return len(unlike) == 1 or (is_swapped and unlike[1] == unlike[0] + 1)
