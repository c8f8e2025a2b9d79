"""Lists for bulk letters: consent, opt-outs, and rows that are skipped with a reason.

A row that is wrong or a duplicate stops a personal letter; among a hundred thousand supporters it
is skipped and counted. What all rows of one address say about consent counts together.
"""

import re
from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from itertools import chain
from pathlib import Path

from petition.address import Mailbox, folded
from petition.campaign.csv_file import Reading
from petition.campaign.names import quoted
from petition.campaign.people import (
    FirstLines,
    ListJudge,
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
        # Those in which a row says anything.
        self.columns = (*self._answers, *self._statuses, *((_DATE,) if proof else ()))

    @property
    def can_be_known(self) -> bool:
        """Whether anything could say yes."""
        if self.proof:
            return self._has_proof
        return bool(self._of_all or self.columns)

    def of(self, cells: Mapping[str, str]) -> bool | None:
        """Whether a row says yes, says no, or says nothing.

        A cell with anything but a yes outweighs any yes: "nein" and "no thanks" are not known as a
        no, and consent is not guessed.
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


def together(one: bool | None, other: bool | None) -> bool | None:
    """What two rows of one person say: a no in either, else a yes in either."""
    both = (one, other)
    return False if False in both else True if True in both else None


INVALID, DUPLICATE = "invalid", "duplicate"

_NAMED = 5  # lines that are named in a warning; the rest are counted
_UNSEEN = re.compile(r"[^\w.@+ -]+")
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


class BulkJudge(ListJudge):
    """Judges the rows of a bulk letter's list: each is a person, if one excluded with a reason."""

    def __init__(self, people: PeopleList, consent: Consent, passed_over: PassedOver) -> None:
        super().__init__(people)
        self._consent = consent
        self._passed_over = passed_over
        self._numbers: Counter[tuple[str, str]] = Counter()
        # Where no column says anything, all rows say the same.
        says_anything = bool(consent.columns) or people.is_marked
        self._said = self._said_together() if says_anything else None

    def __call__(self, rows: list[TableRow]) -> tuple[list[Person], list[Problem]]:
        """All of the next rows; the problems are only those of the file as a whole."""
        found, problems = list[Person](), list[Problem]()
        for row in rows:
            if row.fault and not row.number:
                problems.append(row.fault)
                continue
            try:
                fault = row.fault
                person = self._invalid(row) if fault else self.people.person_of(row)
            except RowRefused as why:
                fault = self.people.problem_of(row, why)
                person = self._invalid(row)
            if fault:
                self._passed_over.add(fault)
            found.append(person)
        keys = ["" if one.address else folded(one.mailbox.addr_spec) for one in found]
        lines = [one.line for one in found]
        said = self._said
        repeated = keys if said is None else [key if key in said else "" for key in keys]
        twice = self._addresses.repeats(repeated, lines)
        ids = ["" if at in twice or not keys[at] else one.id for at, one in enumerate(found)]
        twice |= self._ids.repeats(ids, lines)
        for at, (person, key) in enumerate(zip(found, keys, strict=True)):
            if at in twice:
                found[at] = self._numbered(person, person.mailbox.addr_spec, DUPLICATE)
            elif key:
                found[at] = self._judged(person, key)
        return found, problems

    def _judged(self, person: Person, key: str) -> Person:
        """A person, excluded if the rows of their address say so or do not say yes."""
        own = person.excluded, self._consent.of(person.fields)
        excluded, consent = self._said.get(key, own) if self._said else own
        if proof := self._consent.proof:
            person = person._replace(fields=proof.completed(person.fields))
            if not excluded and consent is None:
                excluded = UNPROVEN
                lacks = proof.lacks(person.fields) or "no column says yes"
                self._passed_over.add_unproven(person.line, lacks)
        excluded = excluded or ("" if consent else NO_CONSENT)
        return person._replace(excluded=excluded) if excluded else person

    def _said_together(self) -> dict[str, tuple[str, bool | None]]:
        """What the rows of each repeated address say together."""
        seen, twice = FirstLines(), set[str]()
        for rows in self.people.table.blocks():
            readable = [row for row in rows if not row.fault]
            keys = [folded(self.people.address_in(row)) for row in readable]
            repeats = seen.repeats(keys, [row.line for row in readable])
            twice.update(keys[at] for at in repeats)
        said: dict[str, tuple[str, bool | None]] = {}
        for row in self.people.table.rows() if twice else ():
            key = folded(self.people.address_in(row))
            if key not in twice:
                continue
            try:
                excluded, consent = self.people.exclusion_of(row), self._consent.of(row.cells)
            except RowRefused:
                excluded, consent = "", False  # what is unclear is not a yes
            if key in said:
                before, consent_before = said[key]
                found = {before, excluded}
                excluded = next((reason for reason in REASONS if reason in found), "")
                consent = together(consent, consent_before)
            said[key] = excluded, consent
        return said

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
        if people.is_marked and not excluded:
            found.passed_over += 1
            continue
        found.by_reason.setdefault(excluded or said or OPTED_OUT, []).append(addr_spec)
    return found
