"""Who signs the letter, and whether the name may be shown."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Literal

from petition.address import clean_name, parse_address
from petition.campaign.answers import answer
from petition.campaign.names import quoted
from petition.campaign.table import TableRow, open_table
from petition.errors import AddressRefused, Problem

Kind = Literal["individual", "organisation"]

_KINDS: dict[str, Kind] = {
    "": "individual",
    "individual": "individual",
    "organisation": "organisation",
    "organization": "organisation",
}
_NAME_PARTS = ("first_name", "last_name")
_NAMES = ("name", "role", "organisation", "place", "country")


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


class _Unclear(Exception):
    """A cell cannot be understood."""

    def __init__(self, what: str, mend: str) -> None:
        super().__init__(what)
        self.what, self.mend = what, mend


def read_signatories(root: Path, file: str, problems: list[Problem]) -> tuple[Signatory, ...]:
    """The signatories whose rows are right, in the order of the file.

    Args:
        root: The campaign folder.
        file: The file, relative to it.
        problems: Takes what is wrong; an unclear consent is a problem, an absent one is none given.
    """
    table = open_table(root, file, problems)
    if table is None:
        return ()
    if not {"name", "last_name"}.intersection(table.columns):
        mend = "Rename the column that holds the names to name"
        problems.append(Problem(file, table.header_line, 'has no column "name"', mend))
        return ()
    return tuple(_right_ones(file, table.rows(problems), problems))


def _right_ones(
    file: str, rows: Iterator[TableRow], problems: list[Problem]
) -> Iterator[Signatory]:
    for row in rows:
        try:
            yield _signatory(row)
        except (_Unclear, AddressRefused) as why:
            problems.append(Problem(file, row.line, why.what, why.mend))


def _signatory(row: TableRow) -> Signatory:
    cells = row.cells
    kind = _KINDS.get(cells.get("kind", "").lower())
    if kind is None:
        what = f"kind is {quoted(cells['kind'])}"
        raise _Unclear(what, 'Write "individual" or "organisation"')
    names = {column: clean_name(cells.get(column, "")) for column in _NAMES}
    first_name, last_name = (clean_name(cells.get(column, "")) for column in _NAME_PARTS)
    names["name"] = names["name"] or f"{first_name} {last_name}".strip()
    if not names["name"]:
        raise _Unclear("this signatory has no name", "Write one or delete the row")
    return Signatory(
        line=row.line,
        **names,
        kind=kind,
        email=parse_address(cells["email"]).addr_spec if cells.get("email") else "",
        signed_on=_day(cells.get("signed_on", "")),
        publish=_answer(cells, "publish"),
        updates=_answer(cells, "updates"),
        last_name=last_name,
    )


def _answer(cells: Mapping[str, str], column: str) -> bool:
    text = cells.get(column, "")
    if (said := answer(text)) is None:
        raise _Unclear(f"{column} is {quoted(text)}", 'Write "yes" or "no"')
    return said


def _day(text: str) -> date | None:
    try:
        return date.fromisoformat(text) if text else None
    except ValueError:
        raise _Unclear(f"signed_on is {quoted(text)}", 'Write the day as "2015-09-28"') from None
