"""Signatories: who signs, whether the name may be shown, who signed twice, and who since a day."""

import re
from collections.abc import Container, Iterable, Iterator
from dataclasses import dataclass, field, replace
from datetime import date, timedelta
from itertools import chain
from pathlib import Path
from typing import Any, Literal

from petition.address import clean_name, folded, parse_address
from petition.campaign.csv_file import AS_IT_IS, Reading
from petition.campaign.names import folded_name, folded_words, quoted
from petition.campaign.tables import Table, TableRow, open_table, yes_or_no
from petition.campaign.text_file import packaged_toml
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
_MEANS = {"publish": "whether a name may be shown", "updates": "whether somebody wants letters"}
_WRITTEN_BY_FORMS = ("name", "email")  # by Microsoft Forms, of people who are logged in
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


# What stands for those of a file that cannot be read.
STAND_IN = Signatory(line=1, **{**_SILENT, "name": "stand-in", "publish": True})


_FORMS = packaged_toml("campaign/signatory_forms.toml")
# With a time behind it or not, as forms write it.
_DATE = re.compile(r"(\d{4})[-/.](\d{1,2})[-/.](\d{1,2})(?=$|[T ,])")
_SHORT_DATE = re.compile(r"(\d{1,2})([-/.])(\d{1,2})[-/.](\d{4}|\d\d)(?=$|[T ,])")


class _Unclear(PetitionError):
    """A cell cannot be understood."""

    def __init__(self, what: str, hint: str, *, is_harmless: bool = False) -> None:
        super().__init__(what, hint)
        self.is_harmless = is_harmless


def read_signatories(
    root: Path,
    file: str,
    problems: list[Problem],
    reading: Reading = AS_IT_IS,
    *,
    agreed: Iterable[str] = (),
) -> tuple[Signatory, ...]:
    """The signatories whose rows are right, in the order of the file.

    `agreed` are the answers that mean yes in this file, beside those that everybody knows.
    """
    table = open_table(root, file, problems, reading)
    if table is None:
        return (STAND_IN,)
    form = SignatureForm(table, agreed)
    if not set(_NAMED_BY).intersection(form.columns):
        problems.append(table.without_column("name", "names"))
        return (STAND_IN,)
    problems += form.problems
    before = len(problems)
    found = tuple(_right_ones(file, form, problems))
    return found if found or len(problems) == before else (STAND_IN,)


class SignatureForm:
    """A file of signatories, perhaps the export of a form: which of its columns mean what."""

    def __init__(self, table: Table, agreed: Iterable[str] = ()) -> None:
        self._table = table
        self._agreed = {folded_words(answer) for answer in agreed}
        self.problems: list[Problem] = []
        self._is_by_nobody = self._has_nobody()
        used = set(_FORMS["columns"]).intersection(table.columns)
        if self._is_by_nobody:
            used.difference_update(_WRITTEN_BY_FORMS)
        found = {
            ours: [one for one in theirs if one in table.columns]
            for ours, theirs in _FORMS["columns"].items()
            if ours not in used
        }
        self._taken = {ours: theirs[0] for ours, theirs in found.items() if theirs}
        for ours in _ANSWERS:
            if len(both := found.get(ours, [])) > 1:
                self._refuse_two(ours, both)
        self.columns = (*table.columns, *self._taken)
        self._day_first = self._order_of_days()
        if self._taken:
            self._tell_taken()

    def rows(self) -> Iterator[TableRow]:
        """All rows, with our columns in place of theirs."""
        for row in chain.from_iterable(self._table.blocks()):
            if not row.fault:
                for ours, theirs in self._taken.items():
                    row.cells[ours] = row.cells[theirs]
                if self._is_by_nobody and folded_words(row.cells["email"]) in _FORMS["nobody"]:
                    row.cells["email"] = ""
            yield row

    def place_of(self, column: str) -> int:
        """Where the cells of one of our columns are in the file."""
        return self._table.columns.index(self._taken.get(column, column))

    def says(self, cell: str) -> bool | None:
        """Whether an answer is a yes; None: it is unclear."""
        return True if folded_words(cell) in self._agreed else yes_or_no(cell)

    def day(self, cell: str) -> date:
        """The day of a date or of a time stamp; ValueError if it is none."""
        if found := _DATE.match(cell):
            return date(*map(int, found.groups()))
        found = _SHORT_DATE.match(cell)
        if not found or (found[2] != "." and self._day_first is None):
            raise ValueError(cell)
        one, other, year = int(found[1]), int(found[3]), int(found[4])
        day, month = (one, other) if found[2] == "." or self._day_first else (other, one)
        return date(year + 2000 if year < 100 else year, month, day)

    def is_of_a_form(self, column: str) -> bool:
        """Whether one of our columns is another one, known by its heading."""
        return column in self._taken

    def _has_nobody(self) -> bool:
        """Whether a form wrote that it does not know who filled it in."""
        if "email" not in self._table.columns:
            return False
        return any(
            folded_words(row.cells["email"]) in _FORMS["nobody"] for row in self._table.rows()
        )

    def _refuse_two(self, ours: str, theirs: list[str]) -> None:
        table = self._table
        names = " and ".join(quoted(table.heading(one)) for one in theirs[:2])
        what = f"{names} may both say {_MEANS[ours]}"
        hint = f"Rename the one that counts to {ours}"
        self.problems.append(Problem(table.file, table.header_line, what, hint))

    def _order_of_days(self) -> bool | None:
        """Whether days come before months in "3/4/2026"; None if no row tells."""
        column = self._taken.get("signed_on", "signed_on")
        if column not in self._table.columns:
            return None
        firsts = set[bool]()
        for row in self._table.rows():
            found = _SHORT_DATE.match(row.cells[column])
            if found and found[2] != ".":
                firsts |= {is_day for is_day, at in ((True, 1), (False, 3)) if int(found[at]) > 12}
        return firsts.pop() if len(firsts) == 1 else None

    def _tell_taken(self) -> None:
        table = self._table
        words = ", ".join(
            f"{quoted(table.heading(theirs))} as {ours}" for ours, theirs in self._taken.items()
        )
        hint = "If that is wrong, give the columns the names on the right"
        what = f"columns are read by their headings: {words}"
        self.problems.append(Problem(table.file, table.header_line, what, hint, Level.NOTE))


def _right_ones(file: str, form: SignatureForm, problems: list[Problem]) -> Iterator[Signatory]:
    for row in form.rows():
        if row.fault:
            problems.append(row.fault)
            continue
        values: dict[str, Any] = {}
        faults: list[Problem] = []
        for column, cell in row.cells.items():
            try:
                values |= _value(column, cell, form)
            except _Unclear as why:
                at = form.place_of(column)
                level = Level.WARNING if why.is_harmless else Level.ERROR
                faults.append(
                    Problem(file, row.line, why.what, why.hint, level, mark=at, gathers=not cell)
                )
            except AddressRefused as why:
                values[column], at = cell, form.place_of(column)
                what = f"{column}: {why.what}" if column == "email" else why.what
                faults.append(Problem(file, row.line, what, why.hint, mark=at))
        parts = {part: values.get(part) or "" for part in _NAME_PARTS}
        values.pop("first_name", None)
        if values.get("name"):
            faults += _halved(file, row.line, values["name"], parts, form)
        values["name"] = values.get("name") or " ".join(filter(None, parts.values()))
        if not values["name"]:
            at = next(form.place_of(column) for column in row.cells if column in _NAMED_BY)
            what, hint = "this signatory has no name", "Write one or delete the row"
            faults.append(Problem(file, row.line, what, hint, mark=at))
        problems.extend(faults)
        if not any(fault.is_error for fault in faults):
            yield Signatory(line=row.line, **{**_SILENT, **values})


def _halved(
    file: str, line: int, name: str, parts: dict[str, str], form: SignatureForm
) -> Iterator[Problem]:
    """A warning if a name lacks what other columns have of it: "Name" may be half of it."""
    missing = [one for one, part in parts.items() if folded_name(part) not in folded_name(name)]
    if missing:
        what = f"the name lacks what {missing[0]} says"
        hint = "If it is half of the name, rename the column name to first_name or last_name"
        at = form.place_of("name")
        yield Problem(file, line, what, hint, Level.WARNING, mark=at, gathers=True)


def _value(column: str, cell: str, form: SignatureForm) -> dict[str, Any]:
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
        if (value := form.says(cell)) is None:
            hint = 'Write "yes" or "no", or say in [signatories] yes which answers mean yes'
            raise _Unclear(f"{column} is {quoted(cell)}", hint)
    elif column == "signed_on":
        if not cell and form.is_of_a_form(column):
            hint = "Delete the row, or write the day; export only what was sent in"
            raise _Unclear("the form was begun and not sent in", hint)
        try:
            value = form.day(cell) if cell else None
        except ValueError:
            hint = 'Write the day as "2015-09-28"'
            harmless = form.is_of_a_form(column)  # it is known nowhere, and shown nowhere
            raise _Unclear(f"signed_on is {quoted(cell)}", hint, is_harmless=harmless) from None
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
        for matched in set(places):  # one by its address, another by its name
            agrees = kept[matched].publish and signatory.publish
            kept[matched] = replace(kept[matched], publish=agrees)
        if not first.email:  # so that they can be told apart from others of their name
            kept[place] = replace(kept[place], email=signatory.email)
        repeated += 1
        if repeated <= _TOLD:
            problems.append(_repeated(file, first, signatory))
    if repeated > _TOLD:
        what = f"{repeated - _TOLD:,} more rows repeat a signatory; each is counted once"
        problems.append(Problem(file, None, what, "Correct the rows above first", Level.WARNING))
    return tuple(kept)


def with_unnamed(
    signatories: Iterable[Signatory], unnamed: Iterable[Signatory]
) -> tuple[Signatory, ...]:
    """The signatories, and others who are not to be named, each once.

    A name that is shown stays so: who has the same name and another address is somebody else, or
    has typed it. Such two are counted once.
    """
    everybody = list(signatories)
    shown = {name_key(one.kind, one.name): folded(one.email) for one in everybody if one.publish}

    def has_namesake(one: Signatory) -> bool:
        other = shown.get(name_key(one.kind, one.name))
        return other is not None and other != folded(one.email)

    others = [one for one in unnamed if not has_namesake(one)]
    return count_once("", [*everybody, *others], [])


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


_A_DAY_AHEAD = timedelta(days=1)  # where somebody signs it may be tomorrow already


@dataclass(frozen=True, slots=True)
class SignedSince:
    """Who among the signatories has signed since the day on which a letter was frozen."""

    new: list[Signatory] = field(default_factory=list)
    counted: list[Signatory] = field(default_factory=list)  # not new: perhaps counted that day
    unclear: list[Signatory] = field(default_factory=list)  # there is no day, or it is to come


def signed_since(
    everybody: Iterable[Signatory],
    day: date,
    today: date,
    named: Container[tuple[str, str]],
) -> SignedSince:
    """Who has signed since a letter was frozen on a `day`; `named` has the keys of whom it names.

    Nobody is new whom it names, whatever the file says by now. Of those who signed on that very
    day, the others are new if they may be named; whether it counted the rest is not known.
    """
    found = SignedSince()
    for one in everybody:
        if one is STAND_IN:
            found.new.append(one)
        elif name_key(one.kind, one.name) in named:
            continue
        elif one.signed_on is None or one.signed_on > today + _A_DAY_AHEAD:
            found.unclear.append(one)
        elif one.signed_on > day or (one.signed_on == day and one.publish):
            found.new.append(one)
        elif one.signed_on == day:
            found.counted.append(one)
    return found


def name_key(kind: str, name: str) -> tuple[str, str]:
    """What two spellings of a signatory's name have in common."""
    return kind, folded_name(name) or name
