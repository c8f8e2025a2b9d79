"""Lists for bulk letters: consent, opt-outs, and rows that are skipped with a reason.

A row that is wrong or a duplicate stops a personal letter; among a hundred thousand supporters it
is skipped and counted. What all rows of one address say about consent counts together.
"""

import re
from array import array
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from itertools import chain, starmap
from pathlib import Path

from petition.address import Mailbox, all_folded, folded
from petition.campaign.csv_file import Reading
from petition.campaign.names import quoted
from petition.campaign.people import (
    PeopleList,
    Person,
    RowRefused,
    open_people,
)
from petition.campaign.tables import OPT_INS, OPTED_OUT, REASONS, STATUSES, TableRow, yes_or_no
from petition.errors import Level, Problem, Problems, listed

UPDATES = "updates"
NO_CONSENT = "no consent"

_SUBSCRIBED = "subscribed"

UNPROVEN = "consent not proven"
_DATE, _WORDS, _SOURCE = "consent_date", "consent_words", "consent_source"
# Regulation 22(3A) of the UK's Privacy and Electronic Communications Regulations 2003 is in force
# from this day on, and covers nobody whose details were collected earlier.
SOFT_OPT_IN_SINCE = date(2026, 2, 5)


class Proof:
    """What a row must say of its consent: when it was given, in which words, and where.

    Args:
        words: Those of all rows without a cell of their own.
        source: That of all rows without a cell of their own.
        since: What is earlier counts for nothing.
        needs_yes: Whether a column that can say yes has to.
    """

    def __init__(
        self,
        words: str | None = None,
        source: str | None = None,
        since: date = date.min,
        *,
        needs_yes: bool = True,
    ) -> None:
        self.needs_yes = needs_yes
        self._since = since
        self._of_all = {_WORDS: words or "", _SOURCE: source or ""}

    def can_be_in(self, columns: Collection[str]) -> bool:
        """Whether a list with these columns can have it."""
        return _DATE in columns and all(
            text or name in columns for name, text in self._of_all.items()
        )

    def completed(self, cells: Mapping[str, str]) -> dict[str, str]:
        """A row with what is true of all rows, so that the log keeps it with the copy."""
        return {**cells, **{name: cells.get(name) or text for name, text in self._of_all.items()}}

    def lacks(self, cells: Mapping[str, str]) -> str:
        """What is missing in a row, in words; empty: nothing."""
        text = cells.get(_DATE, "").strip()
        try:
            day = datetime.fromisoformat(text).date()
        except ValueError:
            return f"{_DATE} {quoted(text)} is no date" if text else f"{_DATE} is empty"
        if day > datetime.now(UTC).date() + timedelta(days=1):
            return f"{_DATE} {text} is in the future"
        if day < self._since:
            return f"{_DATE} {text} is before {self._since}, when the soft opt-in began"
        empty = [name for name, of_all in self._of_all.items() if not (cells.get(name) or of_all)]
        return f"{empty[0]} is empty" if empty else ""


class Consent:
    """Reads consent from rows.

    Args:
        columns: Those of the list.
        of_all: All agreed unless their row says no (`[lists.NAME]`).
        proof: What each row has to say besides; None: nothing.
    """

    def __init__(
        self, columns: Collection[str], *, of_all: bool, proof: Proof | None = None
    ) -> None:
        self._of_all = of_all
        self.proof = proof
        self._has_proof = proof is None or proof.can_be_in(columns)
        self._answers = [name for name in (UPDATES, *OPT_INS) if name in columns]
        self._statuses = [name for name in STATUSES if name in columns]
        proving = (_DATE, _WORDS, _SOURCE) if proof else ()
        # Those in which a row says anything.
        self.columns = (*self._answers, *self._statuses, *proving)

    @property
    def can_be_known(self) -> bool:
        """Whether anything could say yes."""
        if self.proof:
            return self._has_proof
        return bool(self._of_all or self.columns)

    def of(self, cells: Mapping[str, str]) -> bool | None:
        """Whether a row says yes, says no, or says nothing, or not what has to be proven (None).

        An answer that is anything but a yes outweighs any yes: "nein" and "no thanks" are not known
        as a no, and consent is not guessed.
        """
        answers = [yes_or_no(cells[name]) for name in self._answers if cells[name]]
        if not all(answers):
            return False
        statuses = [cells[name].strip().lower() for name in self._statuses]
        says_yes = bool(_SUBSCRIBED in statuses or answers)
        if self.proof is None:
            return True if self._of_all or says_yes else None
        can_say = self.proof.needs_yes and (self._answers or self._statuses)
        return True if (says_yes or not can_say) and not self.proof.lacks(cells) else None


INVALID, DUPLICATE = "invalid", "duplicate"

_NAMED = 5  # lines that are named in a warning; the rest are counted
_UNSEEN = re.compile(r"[^\w.@+ -]+")
_NO_TEXT = hash("")
_FILTER = 1 << 21  # bytes
_SHOWN = 100  # characters of what a row has instead of an address


@dataclass
class PassedOver:
    """Rows that cannot be used: one warning for all of them."""

    file: str
    count: int = 0
    unproven: int = 0
    _first: list[Problem] = field(default_factory=list)
    _first_unproven: list[Problem] = field(default_factory=list)

    def add_unproven(self, line: int, why: str) -> None:
        """One more whose consent is not proven, and what is missing."""
        self.unproven += 1
        if len(self._first_unproven) < _NAMED:
            hint = f"Write {_DATE} as 2026-02-28, {_WORDS} and {_SOURCE} in each row"
            self._first_unproven.append(Problem(self.file, line, why, hint, Level.WARNING))

    def add(self, problem: Problem) -> None:
        """One more."""
        self.count += 1
        if len(self._first) < _NAMED:
            self._first.append(problem)

    def problems(self) -> Iterator[Problem]:
        """The warnings, if there is anything to warn of."""
        if self._first_unproven:
            first = self._first_unproven[0]
            lines = listed((one.line for one in self._first_unproven), self.unproven)
            rows = "row is" if self.unproven == 1 else "rows are"
            what = f"{self.unproven:,} {rows} skipped, as their consent is not proven: line {lines}"
            yield Problem(
                self.file, first.line, f"{what} ({first.what})", first.hint, Level.WARNING
            )
        if not self._first:
            return
        first = self._first[0]
        lines = listed((one.line for one in self._first), self.count)
        rows = "row is" if self.count == 1 else "rows are"
        what = f"{self.count:,} {rows} skipped as invalid: line {lines} ({first.what})"
        yield Problem(self.file, first.line, what, first.hint, Level.WARNING, first.mark)


_Say = tuple[str, bool | None]  # why a row excludes its person, or ""; whether it consents


def together(one: _Say, other: _Say) -> _Say:
    """What two rows of one person say: the gravest reason; a no in either, else a yes in either."""
    reasons, answers = {one[0], other[0]}, {one[1], other[1]}
    consent = False if False in answers else True if True in answers else None
    return next((reason for reason in REASONS if reason in reasons), ""), consent


class Repeated:
    """Which texts of a list may be in it more than once, by their hashes, in two megabytes.

    A Bloom filter with one bit for each text. All that are repeated are in `found`; of a million
    that are not, some 30,000 too.
    """

    def __init__(self) -> None:
        self.found = set[int]()
        self._bits = bytearray(_FILTER)

    def look_at(self, hashes: Iterable[int]) -> None:
        """Look at the next texts; "" does not count as one."""
        bits, found, last = self._bits, self.found, _FILTER - 1
        for key in hashes:
            at, bit = key & last, 1 << (key >> 60 & 7)
            if bits[at] & bit:
                found.add(key)
            else:
                bits[at] |= bit
        found.discard(_NO_TEXT)


class BulkJudge:
    """Judges the rows of a bulk letter's list: each is a person, if one excluded with a reason.

    What the rows of one address say counts together, also of those that follow: so the list is
    looked over first, in the columns that matter for that and no others.
    """

    def __init__(self, people: PeopleList, consent: Consent, passed_over: PassedOver) -> None:
        self.people = people
        self._consent = consent
        self._passed_over = passed_over
        self._numbers: Counter[tuple[str, str]] = Counter()
        says_it = {*consent.columns, *people.marks}
        self._telling = [name for name in people.table.columns if name in says_it]
        self._says: list[_Say] = []  # all that rows have said
        self._say_of = lru_cache(maxsize=1000)(self._read_say)
        # By the hashes of addresses and ids that may be repeated: what all rows of one say.
        self._repeated: dict[int, _Say] = {}
        self._repeated_ids = set[int]()
        self._look_over()
        self._seen, self._seen_ids = set[int](), set[int]()  # those of them that were judged

    def __call__(self, rows: list[TableRow]) -> tuple[list[Person], list[Problem]]:
        """A person for each of the next rows; problems are only those of the file as a whole."""
        people = self.people.people_of(rows)
        if people is not None:
            return self._all_judged(people), []
        found, problems = list[Person](), list[Problem]()
        for row in rows:
            fault = row.fault
            if fault and not row.number:
                problems.append(fault)
                continue
            try:
                person = self._invalid(row) if fault else self._judged(self.people.person_of(row))
            except RowRefused as why:
                fault = self.people.problem_of(row, why)
                person = self._invalid(row)
            if fault:
                self._passed_over.add(fault)
            found.append(person)
        return found, problems

    def _all_judged(self, people: list[Person]) -> list[Person]:
        """What `_judged` makes of each, without a closer look at those who are there once."""
        if self._consent.proof:
            return [*map(self._judged, people)]
        keys = map(hash, all_folded([one.mailbox.addr_spec for one in people]))
        id_keys = map(hash, [one.id for one in people])
        told = self._told([[one.fields[name] for one in people] for name in self._telling], people)
        reasons = [excluded or ("" if consent else NO_CONSENT) for excluded, consent in self._says]
        return [
            self._judged(one)
            if key in self._repeated or id_key in self._repeated_ids
            else one._replace(excluded=reasons[say])
            if reasons[say]
            else one
            for one, key, id_key, say in zip(people, keys, id_keys, told, strict=True)
        ]

    def _told(self, columns: Sequence[Sequence[str]], rows: Sequence[object]) -> list[int]:
        """What each of some rows says in the columns that matter: its place in `_says`."""
        cells = zip(*columns, strict=True) if columns else [()] * len(rows)
        return [*starmap(self._say_of, cells)]

    def _judged(self, person: Person) -> Person:
        """A person, excluded as a duplicate, or if the rows of their address do not say yes."""
        key = hash(folded(person.mailbox.addr_spec))
        if self._is_there(key, person.id):
            return self._numbered(person, person.mailbox.addr_spec, DUPLICATE)
        excluded, consent = (
            self._repeated.get(key)
            or self._says[self._say_of(*map(person.fields.__getitem__, self._telling))]
        )
        if proof := self._consent.proof:
            person = person._replace(fields=proof.completed(person.fields))
            if not excluded and consent is None:
                excluded = UNPROVEN
                lacks = proof.lacks(person.fields) or "no column says yes"
                self._passed_over.add_unproven(person.line, lacks)
        excluded = excluded or ("" if consent else NO_CONSENT)
        return person._replace(excluded=excluded) if excluded else person

    def _is_there(self, key: int, row_id: str) -> bool:
        """Whether the address or the id was judged before; only repeated ones are kept."""
        if key in self._repeated:
            if key in self._seen:
                return True
            self._seen.add(key)
        id_key = hash(row_id)
        if id_key in self._repeated_ids:
            if id_key in self._seen_ids:
                return True
            self._seen_ids.add(id_key)
        return False

    def _look_over(self) -> None:
        """Find the addresses and ids that may be there twice, and what the rows of such say."""
        table, row_id = self.people.table, self.people.cell("id")
        address = self.people.cell("email") or 0
        telling = [table.columns.index(name) for name in self._telling]
        addresses, says = array("q"), bytearray()
        twice, ids_twice = Repeated(), Repeated()
        for rows in table.bare_blocks():
            columns = [*zip(*rows, strict=True)]
            keys = [*map(hash, all_folded(columns[address]))]
            addresses.extend(keys)
            twice.look_at(keys)
            says.extend(self._told([columns[at] for at in telling], rows))
            if row_id is not None:
                ids_twice.look_at(map(hash, map(str.strip, columns[row_id])))
        self._repeated_ids = ids_twice.found
        for key, say in zip(addresses, says, strict=True):
            if key in twice.found:
                said = self._says[say]
                self._repeated[key] = together(said, self._repeated.get(key, said))

    def _read_say(self, *cells: str) -> int:
        """What a row says in the columns that matter: its place in `_says`."""
        row = TableRow(0, 0, dict(zip(self._telling, map(str.strip, cells), strict=True)))
        try:
            say = self.people.exclusion_of(row), self._consent.of(row.cells)
        except RowRefused:
            say = "", False  # what is unclear is not a yes
        if say not in self._says:
            self._says.append(say)
        return self._says.index(say)

    def _invalid(self, row: TableRow) -> Person:
        """A stand-in for a row that cannot be used, under a name that no address has."""
        people = self.people
        shown = _UNSEEN.sub("?", people.address_in(row))[:_SHOWN].strip() if row.cells else ""
        person = Person(
            people.file, row.line, row.number, "", Mailbox("", shown), "", row.cells, INVALID
        )
        return self._numbered(person, shown or "no address", INVALID)

    def _numbered(self, person: Person, address: str, why: str) -> Person:
        """The row under a name of its own in the log: `ann@host.org (duplicate)`."""
        self._numbers[(folded(address), why)] += 1
        number = self._numbers[(folded(address), why)]
        name = f"{address} ({why})" if number == 1 else f"{address} ({why} {number})"
        box = Mailbox(person.mailbox.display_name, name)
        return person._replace(mailbox=box, excluded=why, address=address)


REASON_COLUMNS = ("reason", "unsub_reason", "suppression_reason")
_REASON_LENGTH = 100


@dataclass
class OptOuts:
    """What a file of opt-outs says."""

    by_reason: dict[str, list[str]] = field(default_factory=dict)  # addresses
    passed_over: int = 0  # rows that say that they may be written to
    problems: list[Problem] = field(default_factory=Problems)  # what could not be read

    @property
    def count(self) -> int:
        """How many rows are to be suppressed."""
        return sum(map(len, self.by_reason.values()))


def read_opt_outs(folder: Path, file: str) -> OptOuts:
    """Read a file of opt-outs: CSV, or a sheet of a spreadsheet.

    If a column says of each row whether it may be written to, as in exports, those that may are
    left out; otherwise everybody in the file opted out.
    """
    found = OptOuts()
    # Somebody in a hidden row opted out as well, and no name matters.
    people = open_people(folder, file, found.problems, Reading(hidden="include", is_search=True))
    if people is None:
        return found
    column = next((name for name in REASON_COLUMNS if name in people.columns), None)
    for row in chain.from_iterable(people.table.blocks()):
        if row.fault:
            found.problems.append(row.fault)
            continue
        # A wrong name or language in the row is no reason to write to its address after all.
        try:
            excluded, addr_spec = people.exclusion_of(row), people.addr_spec_of(row)
        except RowRefused as why:
            found.problems.append(people.problem_of(row, why))
            continue
        said = " ".join(row.cells[column].split())[:_REASON_LENGTH] if column else ""
        if people.marks and not excluded:
            found.passed_over += 1
            continue
        found.by_reason.setdefault(excluded or said or OPTED_OUT, []).append(addr_spec)
    return found
