"""Lists of recipients: read and validated row by row.

What was read last is a dictionary; what was read before lies sorted in a file without a name. A
Bloom filter says of nearly every new text that the file need not be asked.
"""

import os
import sys
import tempfile
import weakref
from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Collection, Iterable, Iterator
from pathlib import Path
from typing import NamedTuple, NoReturn

from petition.address import Mailbox, find_obscured, folded, parse_address
from petition.campaign.column_aliases import Export, Unclear
from petition.campaign.names import language_tag, nearest, quoted
from petition.campaign.tables import Table, TableRow, open_table
from petition.campaign.text_file import HINT_OBSCURED, may_reorder, reorders, said_of_obscured
from petition.errors import AddressRefused, Level, Problem

_IN_HAND = 1 << 15  # texts in memory
_BUCKET = 1 << 8  # keys that are read from the file at once
_BITS = 1 << 24  # of the filter, 2 MB: of a million texts it takes some thousands for old ones
_MASK = _BITS - 1
_WIDTH = 8  # bytes of a key, and of a line


class _Run(NamedTuple):
    """A piece of the file: keys in their order, then the line of each."""

    start: int
    length: int
    beginnings: "array[int]"  # every key that begins a bucket


class FirstLines:
    """A map from a text to the line where it first stood; made for some millions of texts.

    It keeps a hash of 64 bits for each text; that two of a million texts share one is less likely
    than one in ten million. Python keys its hashes by chance at each start: nobody can make two
    texts that collide.
    """

    def __init__(self) -> None:
        self._recent: dict[int, int] = {}
        self._room = _IN_HAND
        self._runs: list[_Run] = []
        self._filter = bytearray()
        self._file = -1
        self._size = 0

    def __len__(self) -> int:
        return len(self._recent) + sum(run.length for run in self._runs)

    def first(self, text: str, line: int) -> int:
        """The line where a text first stood; this line, if it is new.

        Args:
            text: The text.
            line: The line where it stands now, from 1.
        """
        key = hash(text)
        known = self._recent.get(key)
        if known is None and self._runs:
            # Two bits for each (Bloom 1970). Here and not in a method: millions of texts are new.
            bits, one, other = self._filter, key & _MASK, (key >> 32) & _MASK
            if bits[one >> 3] >> (one & 7) & bits[other >> 3] >> (other & 7) & 1:
                known = self._line_in_file(key)
        if known is not None:
            return known
        self._recent[key] = line
        if len(self._recent) >= self._room:
            self._put_aside()
        return line

    def _line_in_file(self, key: int) -> int | None:
        for run in self._runs:
            bucket = bisect_right(run.beginnings, key) - 1
            if bucket < 0:
                continue
            begin = bucket * _BUCKET
            keys = self._read(run.start + begin * _WIDTH, min(_BUCKET, run.length - begin))
            at = bisect_left(keys, key)
            if at < len(keys) and keys[at] == key:
                return self._read(run.start + (run.length + begin + at) * _WIDTH, 1)[0]
        return None

    def _read(self, start: int, count: int) -> "array[int]":
        return array("q", os.pread(self._file, count * _WIDTH, start))

    def _put_aside(self) -> None:
        keys = array("q", sorted(self._recent))
        lines = array("q", map(self._recent.__getitem__, keys))
        try:
            if self._file < 0:
                self._file = _nameless_file()
                weakref.finalize(self, os.close, self._file)
            _write(self._file, keys.tobytes() + lines.tobytes(), self._size)
        except OSError:  # no room on the disk: memory has to do
            self._room = sys.maxsize
            return
        self._runs.append(_Run(self._size, len(keys), keys[::_BUCKET]))
        self._size += 2 * _WIDTH * len(keys)
        self._recent.clear()
        self._filter = bits = self._filter or bytearray(_BITS >> 3)
        for key in keys:
            one, other = key & _MASK, (key >> 32) & _MASK
            bits[one >> 3] |= 1 << (one & 7)
            bits[other >> 3] |= 1 << (other & 7)


def _nameless_file() -> int:
    handle, name = tempfile.mkstemp(prefix="petition-")
    Path(name).unlink()  # it goes with the process, however that ends
    return handle


def _write(file: int, data: bytes, start: int) -> None:
    while data:
        written = os.pwrite(file, data, start)
        data, start = data[written:], start + written


_NAME_PARTS = ("first_name", "last_name")
_ADDRESS_LIMIT = 320  # RFC 3696 3, before its erratum: no server takes a longer one
_CANDIDATES = 10_000


class Person(NamedTuple):
    """One row of a list.

    Args:
        file: The list's file, relative to the campaign folder.
        line: The line that the row begins in.
        number: The row's number from 1.
        id: The cell `id`, or "".
        mailbox: The address, beside the name.
        language: The language tag in lower case, or "".
        fields: All cells by column; with `name` and `salutation`, where they follow from others,
            and with our names beside those of an export.
        excluded: Why the system that the row comes from says not to write to it, or "".
        address: Of a row that stands in the log under another name, the address that it gives.
        queued_as: The spelling that its copy was first queued with, where the log has one, or "".
    """

    file: str
    line: int
    number: int
    id: str
    mailbox: Mailbox
    language: str
    fields: dict[str, str]
    excluded: str = ""
    address: str = ""
    queued_as: str = ""


class PeopleList:
    """A list of people, read from its file at each pass.

    Args:
        name: The list's name in [people].
        table: Its table; has the column `email`, under this name or that of an export.
    """

    def __init__(self, name: str, table: Table) -> None:
        self.name = name
        self.file = table.file
        self.table = table
        self._export = Export(table.columns)
        columns = (*table.columns, *self._export.added)
        self._has_name_parts = _has_name_parts(columns)
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
        """Which columns were understood that are called otherwise, for a person to judge."""
        export, heading = self._export, self.table.heading
        pairs = [f"{quoted(heading(theirs))} as {ours}" for ours, theirs in export.taken.items()]
        marks = [quoted(heading(column)) for column in export.marks]
        parts = [f"takes {', '.join(pairs)}"] if pairs else []
        parts += [f"leaves out whom {', '.join(marks)} excludes"] if marks else []
        if not parts:
            return None
        hint = "Rename a column that means something else"
        line = self.table.header_line
        return Problem(self.file, line, " and ".join(parts), hint, Level.NOTE)

    def rows(self, problems: list[Problem]) -> Iterator[Person]:
        """The people whose rows are right, one at a time.

        Of two rows with one mailbox or one id the first is given, and both get a problem.

        Args:
            problems: Takes what is wrong, in the order of its discovery.
        """
        seen = _Seen(self.file, self.cell("email"), self.cell("id"), problems)
        for row in self.table.rows(problems):
            text = "".join(row.cells.values())
            try:
                person = self._judged(row, text)
            except RowRefused as why:
                problems.append(self.problem_of(row, why))
                continue
            if seen.is_new(person):
                if "[" in text and (warning := self._obscured(row)):
                    problems.append(warning)
                yield person

    def judged(self, row: TableRow) -> Person:
        """The person of a row."""
        return self._judged(row, "".join(row.cells.values()))

    def _judged(self, row: TableRow, text: str) -> Person:
        person = self._person(row)
        if may_reorder(text) and not person.excluded:
            self._refuse_reordering(row.cells)
        return person

    def exclusion_of(self, row: TableRow) -> str:
        """Why the system that a row comes from says not to write to it, or "".

        Whatever else is wrong with the row: a refusal counts all the same.
        """
        try:
            return self._export.excluded(row.cells)
        except Unclear as why:
            what = f"{self.table.heading(why.column)} is {quoted(row.cells[why.column])}"
            raise RowRefused(what, why.hint, why.column) from None

    def addr_spec_of(self, row: TableRow) -> str:
        """The address of a row, whatever else is wrong with it."""
        try:
            return self._mailbox(self.address_in(row)).addr_spec
        except AddressRefused as why:
            raise self._refusal(why, self.exclusion_of(row)) from None

    def problem_of(self, row: TableRow, why: "RowRefused") -> Problem:
        """A refusal as a problem of its row."""
        mark = self.cell(why.column)
        return Problem(self.file, row.line, why.what, why.hint, why.level, mark)

    def address_in(self, row: TableRow) -> str:
        """What stands where a row's address should, whatever it is."""
        return row.cells[self._export.taken.get("email", "email")]

    def choice(self, texts: Iterable[str]) -> "Choice":
        """Who of this list is meant by some WHOs; reads the list where an id could be meant."""
        wanted = [text.strip() for text in texts]
        numbers = {text for text in wanted if text.isdecimal()}
        if not numbers or "id" not in self.columns:
            return Choice(wanted)
        return Choice(wanted, numbers.intersection(self._ids()))

    def _ids(self) -> Iterator[str]:
        for row in self.table.rows([]):
            self._complete(row.cells)  # an export calls its id by a name of its own
            yield row.cells["id"]

    def _person(self, row: TableRow) -> Person:
        fields = row.cells
        if self._is_completed:
            self._complete(fields)
        excluded = self.exclusion_of(row)
        try:
            mailbox = self._mailbox(fields["email"], fields.get("name", ""))
        except AddressRefused as why:
            raise self._refusal(why, excluded) from None
        tag = language_tag(fields["language"]) if fields.get("language") else ""
        if tag is None and not excluded:
            what = f"{quoted(fields['language'])} is not a language tag"
            what = f"{self._heading('language')}: {what}"
            raise RowRefused(what, 'Write it as "en" or "pt-BR"', "language")
        identity = fields.get("id", "")
        return Person(
            self.file, row.line, row.number, identity, mailbox, tag or "", fields, excluded
        )

    @staticmethod
    def _mailbox(address: str, name: str = "") -> Mailbox:
        if len(address) > _ADDRESS_LIMIT:
            _refuse_long(address)
        return parse_address(address, name)

    def _complete(self, fields: dict[str, str]) -> None:
        self._export.complete(fields)
        if self._has_name_parts and not fields.get("name"):
            parts = (fields.get(part, "") for part in _NAME_PARTS)
            fields["name"] = " ".join(part for part in parts if part)
        if self._greets and not fields.get("salutation"):
            honorific, last_name = fields["honorific"], fields["last_name"]
            fields["salutation"] = f"{honorific} {last_name}" if honorific and last_name else ""

    def _refusal(self, why: AddressRefused, excluded: str) -> "RowRefused":
        is_name = why.what.startswith("the name")
        what = why.what if is_name else f"{self._heading('email')}: {why.what}"
        if not excluded:
            return RowRefused(what, why.hint, "name" if is_name else "email")
        # Nobody would write to it: it keeps no letter from being sent.
        what += f"; the row is marked {quoted(excluded)} and is passed over"
        return RowRefused(what, why.hint, "email", Level.WARNING)

    def _refuse_reordering(self, fields: dict[str, str]) -> None:
        for column, cell in fields.items():
            if column != "name" and (char := reorders(cell)):
                what = (
                    f"{self._heading(column)}: the cell holds {char}, which reorders what is read"
                )
                raise RowRefused(what, "Type the cell anew", column)

    def _obscured(self, row: TableRow) -> Problem | None:
        for column, cell in row.cells.items():
            if found := find_obscured(cell):
                what = f"{self._heading(column)}: {said_of_obscured(found)}"
                mark = self.cell(column)
                return Problem(self.file, row.line, what, HINT_OBSCURED, Level.WARNING, mark)
        return None

    def cell(self, column: str) -> int | None:
        """The number of a column from 0, under our name or the file's own."""
        columns, own = self.table.columns, self._export.taken.get(column, column)
        return columns.index(own) if own in columns else None

    def _heading(self, column: str) -> str:
        return self.table.heading(self._export.taken.get(column, column))


class RowRefused(Exception):
    """A row cannot be used, and which column is to blame."""

    def __init__(self, what: str, hint: str, column: str, level: Level = Level.ERROR) -> None:
        super().__init__(what)
        self.what, self.hint, self.column, self.level = what, hint, column, level


def open_people(
    root: Path, list_name: str, file: str, problems: list[Problem]
) -> PeopleList | None:
    """A list of people, ready to be read."""
    table = open_table(root, file, problems)
    if table is None:
        return None
    people = PeopleList(list_name, table)
    if "email" in people.columns:
        if note := people.note():
            problems.append(note)
        return people
    likely = next((name for name in table.columns if "mail" in name), None)
    hint = "Rename the column that holds the addresses to email"
    if likely:
        hint = f'Rename the column "{likely}" to email, if it holds the addresses'
    problems.append(Problem(file, table.header_line, 'has no column "email"', hint))
    return None


class Choice:
    """The people that a command is to reach, named by address, row id or row number.

    Args:
        texts: What stands behind each `--to`; without any, everybody is meant.
        ids: Those of the texts that are the id of a row: such a text is no row number.
    """

    def __init__(self, texts: Iterable[str], ids: Collection[str] = ()) -> None:
        self._texts = {text.strip(): False for text in texts}
        self._ids = ids
        self._addresses: dict[str, list[str]] = {}  # by its key: the texts that give it
        for text in self._texts:
            if "@" in text:
                self._addresses.setdefault(folded(text), []).append(text)
        self._candidates: list[str] = []
        self.seen = 0  # people that were asked about

    def matches(self, person: Person) -> bool:
        """Whether a person is meant; remembers by which text."""
        self.seen += 1
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
        """The texts that have matched nobody so far."""
        return [text for text, has_matched in self._texts.items() if not has_matched]

    def nearest(self, text: str) -> str | None:
        """The address or id that a text which matched nobody was probably meant to be."""
        return nearest(text, self._candidates)

    def _names(self, person: Person) -> Iterator[str]:
        yield from self._addresses.get(folded(person.mailbox.addr_spec), ())
        if person.id:
            yield person.id
        if (number := str(person.number)) not in self._ids:
            yield number


class _Seen:
    """What earlier rows of a list had, to find what stands in it twice."""

    def __init__(
        self, file: str, email: int | None, identity: int | None, problems: list[Problem]
    ) -> None:
        self._file = file
        self._email, self._identity = email, identity
        self._problems = problems
        self._lines = FirstLines()  # of addresses, by their keys
        self._ids = FirstLines()
        self._told: set[tuple[str, int]] = set()

    def is_new(self, person: Person) -> bool:
        """Whether nobody before had this person's mailbox or id; else both rows are told."""
        address = person.mailbox.addr_spec
        key = folded(address)
        line = self._lines.first(key, person.line)
        if line != person.line:
            self._twice(line, person.line, _written(person), self._email, key)
            return False
        if person.id and (line := self._ids.first(person.id, person.line)) != person.line:
            what = f"the id {quoted(person.id)}"
            self._twice(line, person.line, what, self._identity, what)
            return False
        return True

    def _twice(self, first: int, second: int, what: str, mark: int | None, same: str) -> None:
        hint = "Delete or correct one of the rows"
        if (same, first) not in self._told:
            self._told.add((same, first))
            also = f"{what} stands in line {second} as well"
            self._problems.append(Problem(self._file, first, also, hint, mark=mark))
        also = f"{what} stands in line {first} as well"
        self._problems.append(Problem(self._file, second, also, hint, mark=mark))


def _refuse_long(address: str) -> NoReturn:
    raise AddressRefused(f"the address has {len(address):,} characters", "Correct the cell")


def _written(person: Person) -> str:
    """An address as its row has it, and how it reads where its domain is written in A-labels."""
    own = person.fields["email"].strip()
    read = person.mailbox.readable
    return f"{quoted(own)} ({read})" if own.isascii() and not read.isascii() else quoted(own)


def _has_name_parts(columns: Collection[str]) -> bool:
    return any(part in columns for part in _NAME_PARTS)
