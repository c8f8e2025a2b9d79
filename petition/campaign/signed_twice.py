"""Who stands twice among the signatories: counted once, and pointed out."""

from collections.abc import Iterable, Iterator
from dataclasses import replace

from petition.address import folded
from petition.campaign.folding import folded_name
from petition.campaign.names import quoted
from petition.campaign.signatories import Signatory
from petition.errors import Level, Problem

_TOLD = 20  # duplicates that are written out; the others are counted


class SignedOnce:
    """Counts each signatory once.

    Two rows of one kind are one signatory where they have one address, or one name however it is
    spelt. The first row stays; its name is shown only where every row agrees to it.

    Args:
        file: The file of the signatories.
        problems: Takes a warning for each row that is not counted.
    """

    def __init__(self, file: str, problems: list[Problem]) -> None:
        self._file = file
        self._problems = problems
        self._kept: list[Signatory] = []
        self._seen: dict[tuple[str, str], int] = {}  # kind and address or name -> place in _kept
        self._twice = 0

    def of(self, signatories: Iterable[Signatory]) -> tuple[Signatory, ...]:
        """Those who are counted, in the order of their first rows."""
        for signatory in signatories:
            self._take(signatory)
        if self._twice > _TOLD:
            what = f"{self._twice - _TOLD:,} more rows name a signatory who stands there before"
            self._warn(None, f"{what}; each is counted once", "Mend the ones that are named first")
        return tuple(self._kept)

    def _take(self, signatory: Signatory) -> None:
        keys = list(_keys(signatory))
        places = [self._seen[key] for key in keys if key in self._seen]
        place = places[0] if places else len(self._kept)
        for key in keys:
            self._seen.setdefault(key, place)
        if not places:
            self._kept.append(signatory)
            return
        first = self._kept[place]
        both = first.publish and signatory.publish
        self._kept[place] = replace(first, publish=both)
        self._twice += 1
        if self._twice <= _TOLD:
            self._tell(first, signatory)

    def _tell(self, first: Signatory, again: Signatory) -> None:
        is_same_name = folded_name(first.name) == folded_name(again.name)
        who = "this signatory"  # who is not to be named is not named in a warning either
        if first.publish and again.publish:
            who = quoted(again.name if is_same_name else again.email)
        what = f"{who} signs in line {first.line} as well and is counted once"
        if first.publish != again.publish:
            what += ", unnamed, for only one of the rows agrees to be shown"
        mend = "Delete one of the rows; two people of one name need names that differ"
        if not is_same_name:
            mend = "Delete one of the rows; two people need an address each, or none"
        self._warn(again.line, what, mend)

    def _warn(self, line: int | None, what: str, mend: str) -> None:
        self._problems.append(Problem(self._file, line, what, mend, Level.WARNING))


def _keys(signatory: Signatory) -> Iterator[tuple[str, str]]:
    if signatory.email:
        yield signatory.kind, folded(signatory.email)
    if name := folded_name(signatory.name):
        yield signatory.kind, f"name {name}"
