"""Signatories: who signs, whether the name may be shown, and who signed twice."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import date
from itertools import chain
from pathlib import Path
from typing import Any, Literal

from petition.address import clean_name, folded, parse_address
from petition.campaign.csv_file import AS_IT_IS, Reading
from petition.campaign.names import folded_name, quoted
from petition.campaign.tables import TableRow, open_table, yes_or_no
from petition.errors import AddressRefused, Level, PetitionError, Problem

SignatoryKind = Literal["individual", "organisation"]

_KINDS: dict[str, SignatoryKind] = {
    "": "individual",
    "individual": "individual",
    "organisation": "organisation",
    "organization": "organisation",
}
_NAME_PARTS = ("first_name", "last_name")
_NAMED_BY = ("name", "last_name")  # one of them is needed
_NAMES = ("name", "role", "organisation", "place", "country")
_ANSWERS = ("publish", "updates")
# The values of missing columns.
_SILENT: dict[str, Any] = {
    **dict.fromkeys(_NAMES, ""),
    "kind": "individual",
    "email": "",
    "signed_on": None,
    **dict.fromkeys(_ANSWERS, False),
}


@dataclass(frozen=True, slots=True)
class Signatory:
    """A person or an organisation that signs; what is not known is ""."""

    line: int
    name: str  # never empty
    role: str
    organisation: str
    place: str
    country: str
    kind: SignatoryKind
    email: str  # as on the wire
    signed_on: date | None
    publish: bool  # whether the name may be shown: consent is given, never assumed
    updates: bool  # whether they want to hear how it goes on
    last_name: str = ""  # to sort by, if the file has a column for it


_STAND_IN = Signatory(line=1, **{**_SILENT, "name": "stand-in", "publish": True})


class _Unclear(PetitionError):
    """A cell cannot be understood."""


def read_signatories(
    root: Path, file: str, problems: list[Problem], reading: Reading = AS_IT_IS
) -> tuple[Signatory, ...]:
    """The signatories whose rows are right, in the order of the file."""
    table = open_table(root, file, problems, reading)
    if table is None:
        return (_STAND_IN,)
    if not set(_NAMED_BY).intersection(table.columns):
        problems.append(table.without_column("name", "names"))
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
    value: Any
    if column in (*_NAMES, *_NAME_PARTS):
        value = clean_name(cell)
    elif column == "email":
        value = parse_address(cell).addr_spec if cell else ""
    elif column == "kind":
        if (value := _KINDS.get(cell.lower())) is None:
            raise _Unclear(f"kind is {quoted(cell)}", 'Write "individual" or "organisation"')
    elif column in _ANSWERS:
        if (value := yes_or_no(cell)) is None:
            raise _Unclear(f"{column} is {quoted(cell)}", 'Write "yes" or "no"')
    elif column == "signed_on":
        try:
            value = date.fromisoformat(cell) if cell else None
        except ValueError:
            hint = 'Write the day as "2015-09-28"'
            raise _Unclear(f"signed_on is {quoted(cell)}", hint) from None
    else:
        return {}
    return {column: value}


_TOLD = 20  # duplicates that are reported one by one; the others are counted


def count_once(
    file: str, signatories: Iterable[Signatory], problems: list[Problem]
) -> tuple[Signatory, ...]:
    """The signatories, each once, in the order of their first rows; a warning for each other row.

    Two rows of one kind are one signatory if they have one address, or one name however it is
    spelt. The first row stays; its name is shown only if every row agrees to that.
    """
    kept: list[Signatory] = []
    seen: dict[tuple[str, str], int] = {}  # kind and address or name -> place in `kept`
    repeated = 0
    for signatory in signatories:
        keys = list(_keys(signatory))
        places = [seen[key] for key in keys if key in seen]
        place = places[0] if places else len(kept)
        for key in keys:
            seen.setdefault(key, place)
        if not places:
            kept.append(signatory)
            continue
        first = kept[place]
        kept[place] = replace(first, publish=first.publish and signatory.publish)
        repeated += 1
        if repeated <= _TOLD:
            problems.append(_repeated(file, first, signatory))
    if repeated > _TOLD:
        what = f"{repeated - _TOLD:,} more rows repeat a signatory; each is counted once"
        problems.append(Problem(file, None, what, "Correct the rows above first", Level.WARNING))
    return tuple(kept)


def _repeated(file: str, first: Signatory, again: Signatory) -> Problem:
    is_same_name = folded_name(first.name) == folded_name(again.name)
    who = "this signatory"  # a warning does not name those who are not to be named either
    if first.publish and again.publish:
        who = quoted(again.name if is_same_name else again.email)
    what = f"{who} is also in line {first.line} and is counted once"
    if first.publish != again.publish:
        what += ", without the name: only one of the rows agrees to be shown"
    hint = "Delete one of the rows; two people with one name need names that differ"
    if not is_same_name:
        hint = "Delete one of the rows; two people need different addresses, or none"
    return Problem(file, again.line, what, hint, Level.WARNING)


def _keys(signatory: Signatory) -> Iterator[tuple[str, str]]:
    if signatory.email:
        yield signatory.kind, folded(signatory.email)
    if name := folded_name(signatory.name):
        yield signatory.kind, f"name {name}"
