"""Lists of people: rows are judged, and duplicates are found."""

import re
import sqlite3
import unicodedata
from collections.abc import Collection, Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from petition.address import Mailbox, addr_spec_in, find_obscured, folded, parse_address
from petition.campaign.csv_file import AS_IT_IS, Reading
from petition.campaign.names import language_tag, nearest, quoted
from petition.campaign.tables import Export, Table, TableRow, Unclear, open_table
from petition.campaign.text_file import HINT_OBSCURED, may_reorder, reorders, said_of_obscured
from petition.errors import AddressRefused, Level, PetitionError, Problem

_NAME_PARTS = ("first_name", "last_name")
_ADDRESS_LIMIT = 320  # RFC 3696 3, before its erratum: no server takes a longer one
_CANDIDATES = 10_000
_ADDRESS = re.compile(r"[^\s<>()\[\];,:\"|/]{1,64}@[^\s<>()\[\];,:\"|/]{1,255}(?<!\.)")
_LABEL_END = re.compile(r"[@.+]")
_ALIKE = frozenset({"LATIN", "CYRILLIC", "GREEK"})


class Person(NamedTuple):
    """One row of a list.

    `fields` has all cells by column, with `name` and `salutation` if they follow from others, and
    with our names beside those of an export.
    """

    file: str  # relative to the campaign folder
    line: int  # where the row begins
    number: int  # of the row, from 1
    id: str  # the cell `id`, or ""
    mailbox: Mailbox
    language: str  # a language tag in lower case, or ""
    fields: dict[str, str]
    excluded: str = ""  # why nobody is to write to it, or ""
    address: str = ""  # if the log has the row under another name, the address that it gives
    queued_as: str = ""  # the spelling that its copy was first queued with, or ""


class PeopleList:
    """A list of people, read from its file at each pass."""

    def __init__(self, table: Table) -> None:
        self.file = table.file
        self.table = table
        self._export = Export(table.columns)
        columns = (*table.columns, *self._export.added)
        self._has_name_parts = any(part in columns for part in _NAME_PARTS)
        if "name" not in columns and self._has_name_parts:
            columns = (*columns, "name")
        self._greets = {"honorific", "last_name"} <= set(columns)
        if "salutation" not in columns and self._greets:
            columns = (*columns, "salutation")
        self.columns = columns
        # Whether columns say of each row whether it may be written to.
        self.is_marked = bool(self._export.marks)
        self._is_completed = bool(self._export.taken) or self._has_name_parts or self._greets

    def note(self) -> Problem | None:
        """Which columns were understood under other names, for a person to judge."""
        export, heading = self._export, self.table.heading
        pairs = [f"{quoted(heading(theirs))} as {ours}" for ours, theirs in export.taken.items()]
        marks = [quoted(heading(column)) for column in export.marks]
        parts = [f"reads {', '.join(pairs)}"] if pairs else []
        parts += [f"leaves out people by {', '.join(marks)}"] if marks else []
        hint = "Rename a column that means something else"
        what, line = " and ".join(parts), self.table.header_line
        return Problem(self.file, line, what, hint, Level.NOTE) if parts else None

    def rows(self) -> Iterator[Person]:
        """The people whose rows are right, one at a time, whatever is wrong with the others."""
        judge = ListJudge(self)
        for rows in self.table.blocks():
            yield from judge(rows)[0]

    def person_of(self, row: TableRow) -> Person:
        """The person of a row; RowRefused if it cannot be used."""
        fields = row.cells
        if self._is_completed:
            self._complete(fields)
        excluded = self.exclusion_of(row)
        try:
            mailbox = self._mailbox(fields["email"], fields.get("name", ""))
        except AddressRefused as why:
            raise self._refusal(why, excluded, fields["email"]) from None
        tag = language_tag(fields["language"]) if fields.get("language") else ""
        if not excluded:
            if tag is None:
                what = f"{quoted(fields['language'])} is not a language tag"
                what = f"{self._heading('language')}: {what}"
                raise RowRefused(what, 'Write it as "en" or "pt-BR"', "language")
            if may_reorder("".join(fields.values())):
                self._refuse_reordering(fields)
        return Person(
            self.file,
            row.line,
            row.number,
            fields.get("id", ""),
            mailbox,
            tag or "",
            fields,
            excluded,
        )

    def exclusion_of(self, row: TableRow) -> str:
        """Why not to write to a row, or ""; a refusal counts whatever else is wrong in the row.

        RowRefused if the row does not say it clearly.
        """
        try:
            return self._export.excluded(row.cells)
        except Unclear as why:
            what = f"{self.table.heading(why.column)} is {quoted(row.cells[why.column])}"
            raise RowRefused(what, why.hint, why.column) from None

    def addr_spec_of(self, row: TableRow) -> str:
        """The address of a row, whatever else is wrong with it; RowRefused if it is none."""
        try:
            return self._mailbox(self.address_in(row)).addr_spec
        except AddressRefused as why:
            raise self._refusal(why, self.exclusion_of(row), self.address_in(row)) from None

    def problem_of(self, row: TableRow, why: "RowRefused") -> Problem:
        """A refusal as a problem of its row."""
        mark = self.cell(why.column)
        is_empty = bool(row.cells) and not self.address_in(row)
        return Problem(self.file, row.line, why.what, why.hint, why.level, mark, gathers=is_empty)

    def address_in(self, row: TableRow) -> str:
        """What a row has in place of an address."""
        return row.cells[self._export.taken.get("email", "email")]

    def choice(self, texts: Iterable[str]) -> "Choice":
        """Who on this list is meant by some WHOs; reads the list if one could be an id."""
        wanted = [text.strip() for text in texts]
        numbers = {text for text in wanted if text.isdecimal()}
        if not numbers or "id" not in self.columns:
            return Choice(wanted)
        return Choice(wanted, numbers.intersection(self._ids()))

    def _ids(self) -> Iterator[str]:
        for row in self.table.rows():
            self._complete(row.cells)  # an export calls its id by a name of its own
            yield row.cells["id"]

    @staticmethod
    def _mailbox(address: str, name: str = "") -> Mailbox:
        if len(address) > _ADDRESS_LIMIT:
            raise AddressRefused(f"the address has {len(address):,} characters", "Correct the cell")
        if address.startswith("#"):
            what = f"{quoted(address)} looks commented out"
            raise AddressRefused(what, "Delete the row, or only the #")
        mailbox = parse_address(address, name)
        if not address.isascii() or "xn--" in mailbox.addr_spec:
            _refuse_two_scripts(mailbox)
        return mailbox

    def _complete(self, fields: dict[str, str]) -> None:
        self._export.complete(fields)
        if self._has_name_parts and not fields.get("name"):
            parts = (fields.get(part, "") for part in _NAME_PARTS)
            fields["name"] = " ".join(part for part in parts if part)
        if self._greets and not fields.get("salutation"):
            honorific, last_name = fields["honorific"], fields["last_name"]
            fields["salutation"] = f"{honorific} {last_name}" if honorific and last_name else ""

    def _refusal(self, why: AddressRefused, excluded: str, address: str) -> "RowRefused":
        is_name = why.what.startswith("the name")
        what = why.what if is_name else f"{self._heading('email')}: {why.what}"
        if not excluded:
            hint = why.hint if is_name else _hint_for(address) or why.hint
            return RowRefused(what, hint, "name" if is_name else "email")
        # Nobody would write to it, so it stops no letter.
        what += f"; the row is marked {quoted(excluded)} and is skipped"
        return RowRefused(what, why.hint, "email", Level.WARNING)

    def _refuse_reordering(self, fields: dict[str, str]) -> None:
        for column, cell in fields.items():
            if column != "name" and (char := reorders(cell)):
                what = f"{self._heading(column)}: the cell contains {char}, which reorders text"
                raise RowRefused(what, "Retype the cell", column)

    def doubts(self, row: TableRow) -> Iterator[Problem]:
        """Warnings about a row that is used."""
        for column, cell in row.cells.items():
            if "[" in cell and (obscured := find_obscured(cell)):
                what = f"{self._heading(column)}: {said_of_obscured(obscured)}"
                yield self._doubt(row, what, HINT_OBSCURED, column)
                break
        if next(filter(None, row.cells.values())).startswith("#"):
            what = "this row looks commented out, but is used"
            yield self._doubt(row, what, "Delete the row, or only the #", self.table.columns[0])
        if (address := row.cells["email"]).startswith("'"):
            what = f"{self._heading('email')}: {quoted(address)} begins with an apostrophe"
            yield self._doubt(row, what, "Delete it if it is not part of the address", "email")

    def _doubt(self, row: TableRow, what: str, hint: str, column: str) -> Problem:
        mark = self.cell(column)
        return Problem(self.file, row.line, what, hint, Level.WARNING, mark, gathers=True)

    def cell(self, column: str) -> int | None:
        """The number of a column from 0, under our name or the file's own."""
        columns, own = self.table.columns, self._export.taken.get(column, column)
        return columns.index(own) if own in columns else None

    def _heading(self, column: str) -> str:
        return self.table.heading(self._export.taken.get(column, column))


class FirstLines:
    """Where each text of a list first appeared, in an SQLite table in memory: 20 bytes a text.

    It keeps 64-bit hashes: the odds that two of a million texts share one are below one in ten
    million. Python keys its hashes at random when it starts, so nobody can craft a collision.
    """

    def __init__(self) -> None:
        self._table = sqlite3.connect(":memory:", isolation_level=None)
        self._table.execute("CREATE TABLE seen (hash INTEGER PRIMARY KEY, line INTEGER)")
        self._table.execute("BEGIN")

    def repeats(self, texts: Sequence[str], lines: Sequence[int]) -> dict[int, int]:
        """Which of the next texts appeared before: their index, and the line of the first one.

        The lines must increase, and "" does not count as a text.
        """
        keys = list(map(hash, texts))
        new = list(zip(keys, lines, strict=True))
        if "" in texts:
            new = [pair for pair, text in zip(new, texts, strict=True) if text]
        insert = "INSERT INTO seen VALUES (?, ?) ON CONFLICT DO NOTHING"
        if self._table.executemany(insert, new).rowcount == len(new):
            return {}
        find = "SELECT line FROM seen WHERE hash = ?"
        first = [self._table.execute(find, (key,)).fetchone() for key in keys]
        return {
            at: one[0]
            for at, (one, line) in enumerate(zip(first, lines, strict=True))
            if one and one[0] != line
        }


class ListJudge:
    """Judges the rows of a personal letter's list, in one pass.

    Of two rows with one mailbox or one id, the first is used, and both get a problem.
    """

    def __init__(self, people: PeopleList) -> None:
        self.people = people
        self._addresses, self._ids = FirstLines(), FirstLines()
        self._told: set[tuple[str, int]] = set()

    def __call__(self, rows: list[TableRow]) -> tuple[list[Person], list[Problem]]:
        """The people of the next rows, and what is wrong with other rows."""
        listed, found, problems = self.people, list[Person](), list[Problem]()
        for row in rows:
            if row.fault:
                problems.append(row.fault)
                continue
            try:
                found.append(listed.person_of(row))
            except RowRefused as why:
                problems.append(listed.problem_of(row, why))
            else:
                text = "".join(row.cells.values())
                if "[" in text or text.startswith("#") or row.cells["email"].startswith("'"):
                    problems += listed.doubts(row)
        keys = [folded(one.mailbox.addr_spec) for one in found]
        lines = [one.line for one in found]
        twice = self._addresses.repeats(keys, lines)
        for at, first in twice.items():
            problems += self._twice(first, found[at], _written(found[at]), "email")
        ids = ["" if at in twice else one.id for at, one in enumerate(found)]
        for at, first in self._ids.repeats(ids, lines).items():
            problems += self._twice(first, found[at], f"the id {quoted(found[at].id)}", "id")
            twice[at] = first
        if twice:
            found = [one for at, one in enumerate(found) if at not in twice]
        return found, problems

    def _twice(self, first: int, person: Person, what: str, column: str) -> Iterator[Problem]:
        hint, mark = "Delete or correct one of the rows", self.people.cell(column)
        if column == "email" and person.mailbox.display_name:
            name = person.mailbox.display_name
            hint += "; if two people share it, write to both in one row, with a name such as "
            hint += quoted(f"Ann and {name}")
        if (column, first) not in self._told:
            self._told.add((column, first))
            also = f"{what} is also in line {person.line}"
            yield Problem(person.file, first, also, hint, mark=mark)
        yield Problem(person.file, person.line, f"{what} is also in line {first}", hint, mark=mark)


def _hint_for(cell: str) -> str:
    """What to write instead of a name with an address, or of several addresses."""
    found = [one for one in dict.fromkeys(_ADDRESS.findall(cell)) if addr_spec_in(one)]
    if len(found) == 1 and found[0] != cell:
        return f"Write only {found[0]}"
    return f"Write one of them in each row: {', '.join(found[:5])}" if len(found) > 1 else ""


def _refuse_two_scripts(mailbox: Mailbox) -> None:
    """Refuse a label of Latin, Cyrillic and Greek letters, which look alike (UTS 39, 5.1)."""
    for label in _LABEL_END.split(mailbox.readable):
        scripts: dict[str, list[str]] = {}
        for char in label:
            script = "" if not char.isalpha() else unicodedata.name(char, "").partition(" ")[0]
            if script in _ALIKE:
                scripts.setdefault(script, []).append(char)
        if len(scripts) > 1:
            fewest = min(scripts, key=lambda script: len(scripts[script]))
            char = scripts[fewest][0]
            others = " and ".join(script.capitalize() for script in scripts if script != fewest)
            what = f"{quoted(mailbox.readable)} has the {fewest.capitalize()} letter {char}"
            what += f" (U+{ord(char):04X}) among {others} ones in {quoted(label)}"
            raise AddressRefused(what, "Type the address again")


class RowRefused(PetitionError):
    """A row cannot be used; `column` is to blame."""

    def __init__(self, what: str, hint: str, column: str, level: Level = Level.ERROR) -> None:
        super().__init__(what, hint)
        self.column, self.level = column, level


def open_people(
    root: Path, file: str, problems: list[Problem], reading: Reading = AS_IT_IS
) -> PeopleList | None:
    """A list of people, ready to be read."""
    table = open_table(root, file, problems, reading)
    if table is None:
        return None
    people = PeopleList(table)
    if "email" in people.columns:
        if note := people.note():
            problems.append(note)
        return people
    likely = next((name for name in table.columns if "mail" in name), None)
    problems.append(table.without_column("email", "addresses", likely))
    return None


class Choice:
    """The people that a command is for, named by address, row id or row number.

    Without any texts it is for everybody; a text in `ids` is the id of a row and not a row number.
    """

    def __init__(self, texts: Iterable[str], ids: Collection[str] = ()) -> None:
        self._texts = {text.strip(): False for text in texts}
        self._ids = ids
        self._addresses: dict[str, list[str]] = {}  # by its key: the texts that give it
        for text in self._texts:
            if "@" in text:
                self._addresses.setdefault(folded(text), []).append(text)
        self._candidates: list[str] = []

    def matches(self, person: Person) -> bool:
        """Whether a person is meant; remembers by which text."""
        if not self._texts:
            return True
        found = False
        for text in self._names(person):
            if text in self._texts:
                self._texts[text] = found = True
        if not found and len(self._candidates) < _CANDIDATES:
            self._candidates += filter(None, (person.id, person.mailbox.addr_spec))
        return found

    def missed(self) -> list[str]:
        """The texts that have matched nobody."""
        return [text for text, has_matched in self._texts.items() if not has_matched]

    def nearest(self, text: str) -> str | None:
        """The address or id that a text probably meant."""
        return nearest(text, self._candidates)

    def _names(self, person: Person) -> Iterator[str]:
        yield from self._addresses.get(folded(person.mailbox.addr_spec), ())
        if person.id:
            yield person.id
        if (number := str(person.number)) not in self._ids:
            yield number


def _written(person: Person) -> str:
    """An address as its row has it, and how it reads if its domain is written in A-labels."""
    own = person.fields["email"].strip()
    read = person.mailbox.readable
    return f"{quoted(own)} ({read})" if own.isascii() and not read.isascii() else quoted(own)
