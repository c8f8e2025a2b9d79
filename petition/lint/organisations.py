"""One organisation, spelt in two ways."""

import re
from collections.abc import Iterable, Iterator

from petition.campaign.names import folded_name, quoted
from petition.campaign.signatories import Signatory
from petition.errors import Level, Problem
from petition.lint.rows import shouted_name

_TOLD = 20
_COMPARED = 2_000  # organisations that are laid beside one another; the time grows with the square
_SMALL_WORDS = frozenset({"the", "of", "and", "for", "in", "de", "la", "le", "und", "der", "и"})


def two_spellings(file: str, signatories: Iterable[Signatory]) -> Iterator[Problem]:
    """Organisations that are written in two ways, a warning each.

    Those who are not to be named are not looked at: nobody reads of what they are members.

    Args:
        file: The file of the signatories.
        signatories: Who signs.
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
            mend = "Write it in one way, if both are one organisation"
            first.setdefault(words, (spelling, line))
            yield Problem(file, line, what, mend, Level.WARNING)


def shouted_signatures(file: str, signatories: Iterable[Signatory]) -> Iterator[Problem]:
    """The first name in capitals alone among those that the letter shows, and their number."""
    found = [
        (one.line, verdict)
        for one in signatories
        if one.publish and one.kind == "individual"
        if (verdict := shouted_name({"name": one.name}, frozenset()))
    ]
    if found:
        line, (what, mend) = found[0]
        more = f" (in {len(found)} rows, this is the first)" if len(found) > 1 else ""
        yield Problem(file, line, what + more, mend, Level.WARNING)


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
