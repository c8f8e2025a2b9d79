"""Adds rows to the file of the signatories, and leaves everything else in it as it is.

The file is whatever a person made of it: its own columns in its own order, its encoding, separator
and line ends, perhaps the export of a form. A row that is there already is never changed.
"""

import csv
from codecs import BOM_UTF16_LE, BOM_UTF32_LE
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from io import StringIO
from pathlib import Path

from petition.address import folded
from petition.campaign.csv_file import Reading, open_csv
from petition.campaign.names import quoted
from petition.campaign.signatories import SignatoryKind, SignatureForm, read_signatories
from petition.campaign.spreadsheet import split_name
from petition.campaign.tables import open_table
from petition.campaign.text_file import find_file
from petition.errors import CampaignError, Level, Problem
from petition.whole_file import replace_whole

COLUMNS = (
    *("name", "role", "organisation", "place", "country", "kind"),
    *("email", "signed_on", "publish", "updates"),
)
_NEEDED = {
    "name": "nothing can name who signed",
    "email": "nothing tells who is in it already",
    "publish": "nothing can say whether a name may be shown",
}
_FORMULA = ("=", "+", "-", "@", "\t", "\r")  # what a spreadsheet takes for one
_MODE = 0o600  # of a new file: it has addresses


@dataclass(frozen=True, slots=True)
class NewRow:
    """Somebody who signed, as a row of the file says it."""

    name: str
    role: str
    organisation: str
    place: str
    country: str
    kind: SignatoryKind
    email: str
    signed_on: str  # 2026-11-30
    publish: bool
    updates: bool

    def cell(self, column: str) -> str:
        """What a column says of them."""
        value = getattr(self, column)
        return value if isinstance(value, str) else "yes" if value else "no"


@dataclass(frozen=True, slots=True)
class Differing:
    """A row of the file that says something else."""

    line: int
    email: str
    columns: tuple[str, ...]


@dataclass(slots=True)
class Added:
    """What became of the rows."""

    added: list[NewRow] = field(default_factory=list)
    differing: list[Differing] = field(default_factory=list)
    refused: list[NewRow] = field(default_factory=list)  # a spreadsheet would compute a cell
    left_out: dict[str, int] = field(default_factory=dict)  # by column that the file lacks: rows


def add_rows(
    root: Path, file: str, reading: Reading, agreed: Iterable[str], rows: Iterable[NewRow]
) -> Added:
    """Add those whose address is not in the file; CampaignError if that cannot be done.

    `file`, `reading` and `agreed` are as in `read_signatories`. The file is replaced as a whole, or
    not at all.
    """
    if split_name(file):
        hint = "Save the sheet as a CSV file and name that in [people]; or take the rows from"
        raise _refused(file, "is a spreadsheet, which is only read", f"{hint} --csv")
    target = root / file
    if not target.exists():
        return _new_file(target, file, list(rows))
    return _Appending(root, file, reading, agreed).add(list(rows))


def lines_by_address(
    root: Path, file: str, reading: Reading, agreed: Iterable[str] = ()
) -> dict[str, int]:
    """The line of each folded address in the file; nothing of a file that cannot be read."""
    found = read_signatories(root, file, [], reading, agreed=agreed)
    return {folded(one.email): one.line for one in reversed(found) if one.email}


class _Appending:
    """A file that there is, and rows for it."""

    def __init__(self, root: Path, file: str, reading: Reading, agreed: Iterable[str]) -> None:
        problems = list[Problem]()
        found = read_signatories(root, file, problems, reading, agreed=agreed)
        path = find_file(root, file, problems)
        table = open_table(root, file, problems, reading)
        if wrong := [one for one in problems if one.level is Level.ERROR]:
            raise CampaignError(sorted(set(wrong)))
        csv_file = open_csv(file, path, problems, reading) if path else None
        if path is None or table is None or csv_file is None:
            raise CampaignError(problems)
        self._file = file
        self._path = path
        self._table = table
        self._form = SignatureForm(table, agreed)
        self._known = {folded(one.email): one for one in reversed(found) if one.email}
        self._codec = csv_file.encoding.codec
        self._label = csv_file.encoding.label
        self._separator = csv_file.separator
        self._data = path.read_bytes()

    def add(self, rows: Sequence[NewRow]) -> Added:
        done, columns = Added(), self._columns(rows)
        for row in rows:
            if known := self._known.get(folded(row.email)):
                differing = tuple(
                    name
                    for name in COLUMNS
                    if name in columns and name not in {"email", "signed_on"}
                    if getattr(known, name) != getattr(row, name)
                )
                if differing:
                    done.differing.append(Differing(known.line, row.email, differing))
            elif any(row.cell(name).startswith(_FORMULA) for name in COLUMNS):
                done.refused.append(row)
            else:
                done.added.append(row)
                for name in ("role", "organisation", "place", "country", "updates"):
                    if name not in columns and getattr(row, name):
                        done.left_out[name] = done.left_out.get(name, 0) + 1
        if done.added:
            records = [self._record(row) for row in done.added]
            _write(self._path, self._file, self._data, self._data + self._appended(records))
        return done

    def _columns(self, rows: Sequence[NewRow]) -> set[str]:
        """Our columns that the file has; CampaignError if it cannot say what it must."""
        columns, table = set(self._form.columns), self._table
        needed = dict(_NEEDED)
        if any(row.kind == "organisation" for row in rows):
            needed["kind"] = "nothing can say that an organisation signed"
        for name, why in needed.items():
            if name not in columns:
                what = f"has no column {quoted(name)}: {why}"
                hint = f"Add a column {name} to it, or rename the one that says it"
                raise CampaignError([Problem(self._file, table.header_line, what, hint)])
        return columns

    def _record(self, row: NewRow) -> list[str]:
        cells, table = [""] * len(self._table.columns), self._table
        for name in COLUMNS:
            if name in self._form.columns:
                named = table.columns[self._form.place_of(name)]
                for at, column in enumerate(table.columns):  # two of one name hold the same
                    if column == named:
                        cells[at] = row.cell(name)
        return cells

    def _appended(self, records: list[list[str]]) -> bytes:
        text = self._data.decode(self._codec)
        end = next((one for one in ("\r\n", "\n", "\r") if one in text), "\n")
        added = StringIO(newline="")
        csv.writer(added, delimiter=self._separator, lineterminator=end).writerows(records)
        begin = "" if text.endswith(("\n", "\r")) else end
        try:
            return f"{begin}{added.getvalue()}".encode(_bare(self._codec, self._data))
        except UnicodeEncodeError as fault:
            what = f"is saved as {self._label}, which has no {quoted(fault.object[fault.start])}"
            raise _refused(self._file, what, "Save it as UTF-8; nothing was added") from None


def _new_file(path: Path, file: str, rows: list[NewRow]) -> Added:
    done = Added()
    for row in rows:
        is_formula = any(row.cell(name).startswith(_FORMULA) for name in COLUMNS)
        (done.refused if is_formula else done.added).append(row)
    if done.added:
        text = StringIO(newline="")
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(COLUMNS)
        writer.writerows([row.cell(name) for name in COLUMNS] for row in done.added)
        _write(path, file, None, text.getvalue().encode())
    return done


def _bare(codec: str, data: bytes) -> str:
    """A codec without the mark that a file begins with."""
    if codec == "utf-16":
        return "utf-16-le" if data.startswith(BOM_UTF16_LE) else "utf-16-be"
    if codec == "utf-32":
        return "utf-32-le" if data.startswith(BOM_UTF32_LE) else "utf-32-be"
    return "utf-8" if codec == "utf-8-sig" else codec


def _write(path: Path, file: str, before: bytes | None, after: bytes) -> None:
    """Replace a file that is still as it was read."""
    try:
        now = path.read_bytes() if path.exists() else None
        if now != before:
            raise _refused(file, "has changed while it was read", "Nothing was added; try again")
        replace_whole(path, after, _MODE if before is None else path.stat().st_mode & 0o777)
    except OSError as fault:
        what = f"cannot be written: {fault.strerror or fault}"
        raise _refused(file, what, "Nothing was added, and the file is as it was") from None


def _refused(file: str, what: str, hint: str) -> CampaignError:
    return CampaignError([Problem(file, None, what, hint)])
