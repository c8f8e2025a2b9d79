"""The lists of people that letters go to: read row by row, judged row by row."""

from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from petition.address import Mailbox, parse_address
from petition.campaign.names import language_tag, nearest, quoted
from petition.campaign.table import Table, TableRow, open_table
from petition.errors import AddressRefused, Level, Problem

_NAME_PARTS = ("first_name", "last_name")
_ADDRESS_LIMIT = 320  # RFC 3696 3, before its erratum: no server takes a longer one
_CANDIDATES = 10_000


@dataclass(frozen=True, slots=True)
class Person:
    """One row of a list.

    Args:
        file: The list's file, relative to the campaign folder.
        line: The line that the row begins in.
        number: The row's number from 1.
        id: The cell `id`, or "".
        mailbox: The address, beside the name.
        language: The language tag in lower case, or "".
        fields: All cells by column; with `name`, where that follows from first and last name.
    """

    file: str
    line: int
    number: int
    id: str
    mailbox: Mailbox
    language: str
    fields: dict[str, str]


class PeopleList:
    """A list of people, read from its file at each pass.

    Args:
        name: The list's name in [people].
        table: Its table; has the column `email`.
    """

    def __init__(self, name: str, table: Table) -> None:
        self.name = name
        self.file = table.file
        self.table = table
        has_name = "name" in table.columns or not _has_name_parts(table.columns)
        self.columns = table.columns if has_name else (*table.columns, "name")

    def rows(self, problems: list[Problem]) -> Iterator[Person]:
        """The people whose rows are right, one at a time.

        Of two rows with one mailbox or one id the first is given, and both get a problem.

        Args:
            problems: Takes what is wrong, in the order of its discovery.
        """
        seen = _Seen(self.file, problems)
        for row in self.table.rows(problems):
            try:
                person = self._person(row)
            except AddressRefused as why:
                problems.append(Problem(self.file, row.line, why.what, why.mend))
                continue
            if person is None:
                what = f"{quoted(row.cells['language'])} is not a language tag"
                problems.append(Problem(self.file, row.line, what, 'Write it as "en" or "pt-BR"'))
            elif seen.is_new(person):
                yield person

    def choice(self, texts: Iterable[str]) -> "Choice":
        """Who of this list is meant by some WHOs; reads the list where an id could be meant."""
        wanted = [text.strip() for text in texts]
        numbers = {text for text in wanted if text.isdecimal()}
        if not numbers or "id" not in self.columns:
            return Choice(wanted)
        return Choice(wanted, numbers.intersection(row.cells["id"] for row in self.table.rows([])))

    def _person(self, row: TableRow) -> Person | None:
        fields = row.cells
        if not fields.get("name") and _has_name_parts(self.columns):
            parts = (fields.get(part, "") for part in _NAME_PARTS)
            fields["name"] = " ".join(part for part in parts if part)
        language = fields.get("language", "")
        tag = language_tag(language) if language else ""
        if tag is None:
            return None
        mailbox = _mailbox(fields["email"], fields.get("name", ""))
        return Person(self.file, row.line, row.number, fields.get("id", ""), mailbox, tag, fields)


def open_people(
    root: Path, list_name: str, file: str, problems: list[Problem]
) -> PeopleList | None:
    """A list of people, ready to be read.

    Args:
        root: The campaign folder.
        list_name: The list's name in [people].
        file: Its file, relative to the campaign folder.
        problems: Takes what is wrong with the file or its header.

    Returns:
        The list, or None where there is a problem.
    """
    table = open_table(root, file, problems)
    if table is None:
        return None
    if "email" in table.columns:
        return PeopleList(list_name, table)
    likely = next((name for name in table.columns if "mail" in name), None)
    mend = "Rename the column that holds the addresses to email"
    if likely:
        mend = f'Rename the column "{likely}" to email, if it holds the addresses'
    problems.append(Problem(file, table.header_line, 'has no column "email"', mend))
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
        self._addresses: dict[str, list[str]] = {}  # addr-spec -> the texts that give it
        for text in self._texts:
            if "@" in text:
                self._addresses.setdefault(_addr_spec(text), []).append(text)
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
        yield from self._addresses.get(person.mailbox.addr_spec, ())
        if person.id:
            yield person.id
        if (number := str(person.number)) not in self._ids:
            yield number


class _Seen:
    """What earlier rows of a list had, to find what stands in it twice."""

    def __init__(self, file: str, problems: list[Problem]) -> None:
        self._file = file
        self._problems = problems
        self._lines: dict[str, int] = {}  # addr-spec -> line
        self._folded: dict[str, tuple[str, int]] = {}  # only for those not in lower case
        self._ids: dict[str, int] = {}
        self._told: set[tuple[str, int]] = set()

    def is_new(self, person: Person) -> bool:
        """Whether nobody before had this person's mailbox or id; else both rows are told."""
        address = person.mailbox.addr_spec
        line = self._lines.setdefault(address, person.line)
        if line != person.line:
            self._twice(line, person.line, quoted(address))
            return False
        if person.id and (line := self._ids.setdefault(person.id, person.line)) != person.line:
            self._twice(line, person.line, f"the id {quoted(person.id)}")
            return False
        self._warn_of_case(address, person.line)
        return True

    def _twice(self, first: int, second: int, what: str) -> None:
        mend = "Delete or correct one of the rows"
        if (what, first) not in self._told:
            self._told.add((what, first))
            also = f"{what} stands in line {second} as well"
            self._problems.append(Problem(self._file, first, also, mend))
        also = f"{what} stands in line {first} as well"
        self._problems.append(Problem(self._file, second, also, mend))

    def _warn_of_case(self, address: str, line: int) -> None:
        # RFC 5321 2.4: only the host that owns a mailbox may say that case makes no difference.
        folded = address.lower()
        twin, twin_line = self._folded.get(folded) or (folded, self._lines.get(folded, line))
        if folded != address:
            self._folded[folded] = (address, line)
        if twin != address and twin_line != line:
            what = f"{quoted(address)} differs from line {twin_line} in capital letters alone"
            mend = "Delete one of the rows if both are one person"
            self._problems.append(Problem(self._file, line, what, mend, Level.WARNING))


def _mailbox(address: str, name: str) -> Mailbox:
    if len(address) > _ADDRESS_LIMIT:
        what = f"the address has {len(address):,} characters"
        raise AddressRefused(what, "Correct the cell")
    return parse_address(address, name)


def _addr_spec(text: str) -> str:
    try:
        return parse_address(text).addr_spec
    except AddressRefused:
        return text  # it may still be an id


def _has_name_parts(columns: Collection[str]) -> bool:
    return any(part in columns for part in _NAME_PARTS)
