"""Signatories: who signs, whether the name may be shown, and who signed twice."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import date
from itertools import chain
from pathlib import Path
from typing import Any, Literal

from petition.address import clean_name, folded, parse_address
from petition.campaign.column_aliases import answer
from petition.campaign.names import folded_name, quoted
from petition.campaign.tables import TableRow, open_table
from petition.errors import AddressRefused, Level, Problem

Kind = Literal["individual", "organisation"]

_KINDS: dict[str, Kind] = {
    "": "individual",
    "individual": "individual",
    "organisation": "organisation",
    "organization": "organisation",
}
_NAME_PARTS = ("first_name", "last_name")
_NAMED_BY = ("name", "last_name")  # one of them is needed
_NAMES = ("name", "role", "organisation", "place", "country")
_ANSWERS = ("publish", "updates")
# What a file says of whom it has no column for.
_SILENT: dict[str, Any] = {
    **dict.fromkeys(_NAMES, ""),
    "kind": "individual",
    "email": "",
    "signed_on": None,
    **dict.fromkeys(_ANSWERS, False),
}


@dataclass(frozen=True, slots=True)
class Signatory:
    """A person or an organisation that signs.

    Args:
        line: The line of the row.
        name: Never empty.
        role: What the person does, or "".
        organisation: For whom, or "".
        place: The town, or "".
        country: The country, or "".
        kind: Whether a person or an organisation signs.
        email: The address as it stands on the wire, or "".
        signed_on: The day, where it is known.
        publish: Whether the name may be shown: consent is given, never assumed.
        updates: Whether the signatory wants to hear how it goes on.
        last_name: By which the name is sorted, where the file has a column for it; or "".
    """

    line: int
    name: str
    role: str
    organisation: str
    place: str
    country: str
    kind: Kind
    email: str
    signed_on: date | None
    publish: bool
    updates: bool
    last_name: str = ""


_STAND_IN = Signatory(line=1, **{**_SILENT, "name": "stand-in", "publish": True})


class _Unclear(Exception):
    """A cell cannot be understood."""

    def __init__(self, what: str, hint: str) -> None:
        super().__init__(what)
        self.what, self.hint = what, hint


def read_signatories(root: Path, file: str, problems: list[Problem]) -> tuple[Signatory, ...]:
    """The signatories whose rows are right, in the order of the file."""
    table = open_table(root, file, problems)
    if table is None:
        return (_STAND_IN,)
    if not set(_NAMED_BY).intersection(table.columns):
        hint = "Rename the column that holds the names to name"
        problems.append(Problem(file, table.header_line, 'has no column "name"', hint))
        return (_STAND_IN,)
    before = len(problems)
    found = tuple(_right_ones(file, chain.from_iterable(table.blocks()), problems))
    return found if found or len(problems) == before else (_STAND_IN,)


def _right_ones(
    file: str, rows: Iterator[TableRow], problems: list[Problem]
) -> Iterator[Signatory]:
    for row in rows:
        if row.fault:
            problems.append(row.fault)
            continue
        values: dict[str, Any] = {}
        faults: list[Problem] = []
        for at, (column, cell) in enumerate(row.cells.items()):
            try:
                values |= _value(column, cell)
            except _Unclear as why:
                faults.append(Problem(file, row.line, why.what, why.hint, mark=at))
            except AddressRefused as why:
                values[column] = cell
                what = f"{column}: {why.what}" if column == "email" else why.what
                faults.append(Problem(file, row.line, what, why.hint, mark=at))
        parts = (values.pop("first_name", ""), values.get("last_name", ""))
        values["name"] = values.get("name") or " ".join(filter(None, parts))
        if not values["name"]:
            at = next(at for at, column in enumerate(row.cells) if column in _NAMED_BY)
            what, hint = "this signatory has no name", "Write one or delete the row"
            faults.append(Problem(file, row.line, what, hint, mark=at))
        problems.extend(faults)
        if not faults:
            yield Signatory(line=row.line, **{**_SILENT, **values})


def _value(column: str, cell: str) -> dict[str, Any]:
    """What a cell says of the signatory."""
    if column == "kind":
        return {column: _kind(cell)}
    if column in (*_NAMES, *_NAME_PARTS):
        return {column: clean_name(cell)}
    if column == "email":
        return {column: parse_address(cell).addr_spec if cell else ""}
    if column == "signed_on":
        return {column: _day(cell)}
    if column in _ANSWERS:
        return {column: _answer(column, cell)}
    return {}


def _kind(cell: str) -> Kind:
    if (kind := _KINDS.get(cell.lower())) is None:
        raise _Unclear(f"kind is {quoted(cell)}", 'Write "individual" or "organisation"')
    return kind


def _answer(column: str, cell: str) -> bool:
    if (said := answer(cell)) is None:
        raise _Unclear(f"{column} is {quoted(cell)}", 'Write "yes" or "no"')
    return said


def _day(cell: str) -> date | None:
    try:
        return date.fromisoformat(cell) if cell else None
    except ValueError:
        raise _Unclear(f"signed_on is {quoted(cell)}", 'Write the day as "2015-09-28"') from None


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
        hint = "Delete one of the rows; two people of one name need names that differ"
        if not is_same_name:
            hint = "Delete one of the rows; two people need an address each, or none"
        self._warn(again.line, what, hint)

    def _warn(self, line: int | None, what: str, hint: str) -> None:
        self._problems.append(Problem(self._file, line, what, hint, Level.WARNING))


def _keys(signatory: Signatory) -> Iterator[tuple[str, str]]:
    if signatory.email:
        yield signatory.kind, folded(signatory.email)
    if name := folded_name(signatory.name):
        yield signatory.kind, f"name {name}"
