"""Lists of people: rows are judged, and duplicates are found."""

import re
import sqlite3
import unicodedata
from collections.abc import Iterable, Iterator
from difflib import get_close_matches
from itertools import chain, islice, repeat
from pathlib import Path
from typing import NamedTuple
from weakref import finalize

from petition.address import (
    Mailbox,
    addr_spec_in,
    all_folded,
    find_obscured,
    folded,
    is_plain,
    parse_address,
    parse_mailbox,
)
from petition.campaign.csv_file import AS_IT_IS, Reading
from petition.campaign.names import folded_name, language_tag, quoted
from petition.campaign.tables import (
    Export,
    Table,
    TableRow,
    Unclear,
    language_meant,
    open_table,
)
from petition.campaign.text_file import HINT_OBSCURED, may_reorder, reorders, said_of_obscured
from petition.errors import AddressRefused, Level, PetitionError, Problem, UsageError

_NAME_PARTS = ("first_name", "last_name")
_ADDRESS_LIMIT = 320  # RFC 3696 3, before its erratum: no server takes a longer one
_CANDIDATES = 10_000  # people among whom those nearest to a WHO are looked for
# Honorifics of Turkic languages that stand behind the name ("Табынов мырза"), unlike Ms or cənab.
# fmt: off
_BEHIND = frozenset({
    "мырза", "ханым", "айым", "әфәнде", "туташ", "хоним", "bey", "beyefendi", "hanım", "hanim",
    "hanımefendi", "bəy", "xanım", "xonim",
})
# fmt: on
_NEAR = 0.5  # of what a WHO can be, on difflib's scale: "p9" is near to "p1"
_ADDRESS = re.compile(r"[^\s<>()\[\];,:\"|/]{1,64}@[^\s<>()\[\];,:\"|/]{1,255}(?<!\.)")
_NO_TEXT = hash("")
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
        # Those that say of each row whether it may be written to.
        self.marks = self._export.marks
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

    def person_of(self, row: TableRow) -> Person:
        """The person of a row; RowRefused if it cannot be used."""
        fields = row.cells
        if self._is_completed:
            self._complete(fields)
        excluded = self.exclusion_of(row) if self.marks else ""
        address, name = fields["email"], fields.get("name", "")
        tag = language_tag(fields["language"]) if fields.get("language") else ""
        is_usual = tag is not None and is_plain(address) and "".join(fields.values()).isprintable()
        try:
            mailbox = Mailbox(name, address) if is_usual else self._mailbox(address, name)
        except AddressRefused as why:
            raise self._refusal(why, excluded, address) from None
        if not (excluded or is_usual):
            if tag is None:
                what = f"{quoted(fields['language'])} is not a language tag"
                what = f"{self._heading('language')}: {what}"
                meant = language_tag(language_meant(fields["language"]))
                hint = f'Write "{meant}"' if meant else 'Write it as "en" or "pt-BR"'
                raise RowRefused(what, hint, "language")
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

    def people_of(self, rows: list[TableRow]) -> list[Person] | None:
        """The people of rows in which nothing is unusual: what `person_of` says of each.

        None: each needs a look by itself.
        """
        if any(row.fault for row in rows):
            return None
        fields = [row.cells for row in rows]
        for cells in fields if self._is_completed else ():
            self._complete(cells)
        nothing = [""] * len(rows)
        addresses, names, ids, languages = (
            [cells[name] for cells in fields] if name in self.columns else nothing
            for name in ("email", "name", "id", "language")
        )
        tags = {text: language_tag(text) if text else "" for text in {*languages}}
        text = "".join(chain.from_iterable(map(dict.values, fields)))
        is_usual = None not in tags.values() and text.isprintable()
        # What `doubts` looks for; no plain address begins with an apostrophe.
        if not is_usual or "[" in text or "#" in text or not all(map(is_plain, addresses)):
            return None
        try:
            excluded = [*map(self.exclusion_of, rows)] if self.marks else nothing
        except RowRefused:
            return None
        places = [row.line for row in rows], [row.number for row in rows]
        mailboxes, spoken = map(Mailbox, names, addresses), map(tags.__getitem__, languages)
        of_each = (*places, ids, mailboxes, spoken, fields, excluded)
        return [*map(Person, repeat(self.file), *of_each)]

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
        """The address of a row, whatever else is wrong with it; RowRefused if it has none."""
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
        """Who on this list is meant by some WHOs; reads the list for all but addresses.

        UsageError if one of them means several people.
        """
        choice = Choice(texts)
        choice.look_at(self.known(), has_ids="id" in self.columns)
        return choice

    def known(self) -> Iterator["Known"]:
        """What each row can be named by, whatever is wrong with the row."""
        for row in self.table.rows():
            self._complete(row.cells)  # an export calls its id by a name of its own
            cells = row.cells
            yield Known(
                self.address_in(row),
                cells.get("name", ""),
                cells.get("id", ""),
                self.file,
                row.line,
                row.number,
            )

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
            names = [fields["honorific"], fields["last_name"]]
            if names[0].casefold() in _BEHIND:
                names.reverse()
            fields["salutation"] = " ".join(names) if all(names) else ""

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
        self._seen = sqlite3.connect(":memory:", isolation_level=None)
        finalize(self, self._seen.close)
        self._seen.execute("PRAGMA page_size = 65536")  # a third faster than small pages
        self._seen.execute("CREATE TABLE seen (hash INTEGER PRIMARY KEY, line INTEGER)")
        self._seen.execute("BEGIN")

    def repeats(self, texts: Iterable[str], lines: Iterable[int]) -> dict[int, int]:
        """Which of the next texts appeared before: their index, and the line of the first one.

        "" does not count as a text.
        """
        places = [*zip(map(hash, texts), lines, strict=True)]
        new = [place for place in places if place[0] != _NO_TEXT]
        if not new:
            return {}
        # One statement for all takes two thirds of the time of one for each.
        values, marks = ", (?, ?)" * (len(new) - 1), ", ?" * (len(new) - 1)
        insert = f"INSERT INTO seen VALUES (?, ?){values} ON CONFLICT DO NOTHING"  # noqa: S608
        if self._seen.execute(insert, [*chain.from_iterable(new)]).rowcount == len(new):
            return {}
        find = f"SELECT hash, line FROM seen WHERE hash IN (?{marks})"  # noqa: S608
        first = dict(self._seen.execute(find, [key for key, _ in new]))
        return {
            at: first[key]
            for at, (key, line) in enumerate(places)
            if key != _NO_TEXT and first[key] != line
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
        problems = list[Problem]()
        found = self.people.people_of(rows)
        if found is None:
            found = [*self._judged(rows, problems)]
        keys = all_folded([one.mailbox.addr_spec for one in found])
        lines = [one.line for one in found]
        twice = self._addresses.repeats(keys, lines)
        names = {one.line: one.mailbox.display_name for one in found} if twice else {}
        for at, first in twice.items():
            one = found[at]
            problems += self._twice(first, one, _written(one), "email", names.get(first))
        ids = ["" if at in twice else one.id for at, one in enumerate(found)]
        for at, first in self._ids.repeats(ids, lines).items():
            problems += self._twice(first, found[at], f"the id {quoted(found[at].id)}", "id")
            twice[at] = first
        if twice:
            found = [one for at, one in enumerate(found) if at not in twice]
        return found, problems

    def _judged(self, rows: list[TableRow], problems: list[Problem]) -> Iterator[Person]:
        """The people of rows, each looked at by itself; adds what is wrong with other rows."""
        listed = self.people
        for row in rows:
            if row.fault:
                problems.append(row.fault)
                continue
            try:
                yield listed.person_of(row)
            except RowRefused as why:
                problems.append(listed.problem_of(row, why))
            else:
                text = "".join(row.cells.values())
                if "[" in text or text.startswith("#") or row.cells["email"].startswith("'"):
                    problems += listed.doubts(row)

    def _twice(
        self, first: int, person: Person, what: str, column: str, name: str | None = ""
    ) -> Iterator[Problem]:
        hint, mark = "Delete or correct one of the rows", self.people.cell(column)
        if column == "email" and (other := person.mailbox.display_name) and name != other:
            both = quoted(f"{name or 'Ann'} and {other}")
            hint += f"; if two people share it, join their rows with the name {both}"
            hint += ', or greet both from a column of your own, such as "Ann and Ben"'
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


def mailbox_in(text: str) -> Mailbox:
    """The mailbox that a cell names beside the row's own; AddressRefused if it is not one."""
    try:
        mailbox = parse_mailbox(text)
    except AddressRefused as why:
        raise AddressRefused(why.what, _hint_for(text) or why.hint) from None
    _refuse_two_scripts(mailbox)
    return mailbox


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


class Known(NamedTuple):
    """What a WHO can name somebody by: of a row of a list, or of a person in the log."""

    address: str
    name: str
    id: str
    file: str = ""
    line: int = 0
    number: int = 0

    def __str__(self) -> str:
        who = f"{self.name} <{self.address}>" if self.name else self.address
        return f"{who} ({self.file}:{self.line})" if self.file else who


# What a WHO can be; an earlier kind wins over a later one.
_ADDRESS_OR_LINE, _ID, _NAME, _NUMBER = range(4)


class Choice:
    """The people that WHOs mean: an address, FILE:LINE, an id, a unique name or a row number.

    Without any texts it is for everybody.
    """

    def __init__(self, texts: Iterable[str]) -> None:
        self._texts = {text.strip(): False for text in texts}
        self._addresses: dict[str, list[str]] = {}  # by its key: the texts that give it
        for text in self._texts:
            if "@" in text:
                self._addresses.setdefault(folded(text), []).append(text)
        self._lines: dict[int, list[str]] = {}
        self._found: dict[str, tuple[int, list[Known]]] = {}  # by text, with its kind
        self._seen: list[Known] = []

    def look_at(
        self, people: Iterable[Known], *, has_ids: bool = True, several: bool = False
    ) -> None:
        """Find out whom the texts mean that are not addresses and were not found before.

        UsageError if one of them means several people and `several` does not allow it.
        """
        wanted = {text for text in self._texts if text and "@" not in text} - self._found.keys()
        names = {folded_name(text): text for text in wanted if not text.isdecimal()}
        names.pop("", None)
        last = _ID if has_ids or names else _NUMBER
        for one in people if wanted else ():
            if len(self._seen) < _CANDIDATES:
                self._seen.append(one)
            for kind, text in _meanings(one, names):
                if text in wanted and self._note(text, kind, one) and self._all(wanted, last):
                    wanted.clear()
            if not wanted:
                break
        for text, (_, found) in self._found.items():
            if len(found) > 1 and not several:
                which = ", ".join(map(str, found[:5])) + (", ..." if len(found) > 5 else "")
                what = f"{quoted(text)} could be any of {len(found):,} people: {which}"
                raise UsageError(what, "Use the address")
            for one in found:
                self._lines.setdefault(one.line, []).append(text)

    def _note(self, text: str, kind: int, one: Known) -> bool:
        """Keep whom a text means, if nothing better is known; whether it was kept."""
        best, found = self._found.get(text, (kind, []))
        if kind > best:
            return False
        found = [] if kind < best else found
        key = folded(one.address)
        if all(folded(other.address) != key for other in found):
            found.append(one)
        self._found[text] = kind, found
        return True

    def _all(self, wanted: set[str], last: int) -> bool:
        """Whether no later row can say better whom each text means."""
        kinds = [self._found[text][0] if text in self._found else _NUMBER + 1 for text in wanted]
        return all(kind <= last for kind in kinds)

    def matches(self, person: Person) -> bool:
        """Whether a person is meant; remembers by which text."""
        if not self._texts:
            return True
        texts = self._lines.get(person.line, [])
        if self._addresses:
            texts = texts + self._addresses.get(folded(person.mailbox.addr_spec), [])
            texts += [person.id] if "@" in person.id and person.id in self._texts else []
        for text in texts:
            self._texts[text] = True
        if not texts and len(self._seen) < _CANDIDATES:
            name = person.fields.get("name", "")
            self._seen.append(
                Known(person.mailbox.addr_spec, name, person.id, person.file, person.line)
            )
        return bool(texts)

    def found(self, text: str) -> list[Known]:
        """Whom `look_at` has found for a text."""
        return self._found.get(text.strip(), (_ID, []))[1]

    def missed(self) -> list[str]:
        """The texts that have matched nobody."""
        return [text for text, has_matched in self._texts.items() if not has_matched]

    def nearest(self, text: str) -> str | None:
        """Of the people that were looked at, those nearest to a text (`nearest_people`)."""
        return nearest_people(text, self._seen)


def nearest_people(text: str, people: Iterable[Known]) -> str | None:
    """The people, at most three, that a text probably meant; None: nobody is near."""
    name, near, spelt = folded_name(text), list[Known](), dict[str, Known]()
    for one in islice(people, _CANDIDATES):
        called = folded_name(one.name)
        if name and name in called:
            near.append(one)
        for form in (one.address.lower(), one.id.lower(), called):
            spelt.setdefault(form, one)
    # difflib takes quadratic time, and nobody misspells a name of 100 letters.
    near = near or [spelt[form] for form in get_close_matches(text[:100].lower(), spelt, 3, _NEAR)]
    found = {folded(one.address): str(one) for one in reversed(near)}  # of a person, the first
    *others, last = list(reversed(found.values()))[:3] or [""]
    return f"{', '.join(others)} or {last}" if others else last or None


def _meanings(one: Known, names: dict[str, str]) -> Iterator[tuple[int, str]]:
    """The texts that could mean a person, each with its kind."""
    if one.file:
        yield _ADDRESS_OR_LINE, f"{one.file.partition('#')[0]}:{one.line}"
        yield _NUMBER, str(one.number)
    if one.id:
        yield _ID, one.id
    if names and one.name and (text := names.get(folded_name(one.name))):
        yield _NAME, text
    if "@" not in one.address:  # what the log keeps in place of a forgotten one
        yield _ADDRESS_OR_LINE, one.address


def _written(person: Person) -> str:
    """An address as its row has it, and how it reads if its domain is written in A-labels."""
    own = person.fields["email"].strip()
    read = person.mailbox.readable
    return f"{quoted(own)} ({read})" if own.isascii() and not read.isascii() else quoted(own)
