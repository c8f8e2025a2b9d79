"""A list that a bulk letter goes to: every row counts, and some are left out, each with its reason.

What keeps a letter to directors from leaving, a row that is wrong or stands there twice, is of no
weight among a hundred thousand supporters: such a row is passed over and counted. What the rows of
one address say of consent counts together.
"""

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

from petition.address import Mailbox, folded
from petition.campaign.consent import NO_CONSENT, Consent, together
from petition.campaign.exports import REASONS
from petition.campaign.lines import FirstLines
from petition.campaign.people import PeopleList, Person, RowRefused
from petition.campaign.table import TableRow
from petition.errors import Level, Problem

INVALID, DUPLICATE = "invalid", "duplicate"

_NAMED = 5  # lines that are named in a warning; the rest are counted
_UNSEEN = re.compile(r"[^\w.@+ -]+")
_SHOWN = 100  # characters of what stands in place of an address


@dataclass
class PassedOver:
    """Rows that cannot be used: one warning for all of them.

    Args:
        file: The list's file.
    """

    file: str
    count: int = 0
    _first: list[Problem] = field(default_factory=list)

    def add(self, problem: Problem) -> None:
        """One more."""
        self.count += 1
        if len(self._first) < _NAMED:
            self._first.append(problem)

    def problems(self) -> Iterator[Problem]:
        """The warning, where there is something to warn of."""
        if not self._first:
            return
        first = self._first[0]
        lines = ", ".join(str(one.line) for one in self._first)
        more = f" and {self.count - len(self._first):,} more" if self.count > _NAMED else ""
        rows = "row is" if self.count == 1 else "rows are"
        what = f"{self.count:,} {rows} passed over as invalid: line {lines}{more} ({first.what})"
        yield Problem(self.file, first.line, what, first.mend, Level.WARNING, first.mark)


class Supporters:
    """A list and the consent of its people.

    Args:
        people: The list.
        consent: Reads who has agreed.
    """

    def __init__(self, people: PeopleList, consent: Consent) -> None:
        self._people = people
        self._consent = consent
        self._numbers: Counter[tuple[str, str]] = Counter()

    def rows(self, problems: list[Problem], passed_over: PassedOver) -> Iterator[Person]:
        """All rows, one at a time; who must not be written to is excluded.

        Args:
            problems: Takes what is wrong with the file as a whole.
            passed_over: Takes what is wrong with single rows.
        """
        self._numbers.clear()
        said = self._said_together()
        addresses, ids, faults = FirstLines(), FirstLines(), list[Problem]()
        for row in self._people.table.rows(faults, whole=True):
            try:
                person = None if faults else self._people.judged(row)
            except RowRefused as why:
                person = None
                faults.append(self._people.problem_of(row, why))
            if person is None:
                passed_over.add(faults.pop(0))
                problems += faults
                faults.clear()
                yield self._invalid(row)
                continue
            key = folded(person.mailbox.addr_spec)
            is_first = addresses.first(key, person.line) == person.line
            if is_first and person.id:
                is_first = ids.first(person.id, person.line) == person.line
            if not is_first:
                yield self._numbered(person, person.mailbox.addr_spec, DUPLICATE)
                continue
            own = person.excluded, self._consent.of(row.cells)
            excluded, consent = said.get(key, own)
            yield person._replace(excluded=excluded or ("" if consent else NO_CONSENT))
        problems += faults

    def _said_together(self) -> dict[str, tuple[str, bool | None]]:
        """What the rows of each address that stands there more than once say together."""
        seen, twice = FirstLines(), set[str]()
        for row in self._people.table.rows([]):
            key = _key(self._people.address_in(row))
            if seen.first(key, row.line) != row.line:
                twice.add(key)
        said: dict[str, tuple[str, bool | None]] = {}
        for row in self._people.table.rows([]) if twice else ():
            key = _key(self._people.address_in(row))
            if key not in twice:
                continue
            excluded, consent = self._says(row)
            if key in said:
                before, consent_before = said[key]
                found = {before, excluded}
                excluded = next((reason for reason in REASONS if reason in found), "")
                consent = together(consent, consent_before)
            said[key] = excluded, consent
        return said

    def _says(self, row: TableRow) -> tuple[str, bool | None]:
        """What a row says of writing to its address, also one that no copy can be made for."""
        try:
            return self._people.exclusion_of(row), self._consent.of(row.cells)
        except RowRefused:
            return "", False  # what is not clear is no yes

    def _invalid(self, row: TableRow) -> Person:
        """The person of a row that cannot be used: nobody, under a name that no address has."""
        people = self._people
        shown = _UNSEEN.sub("?", people.address_in(row))[:_SHOWN].strip() if row.cells else ""
        person = Person(
            people.file, row.line, row.number, "", Mailbox("", shown), "", row.cells, INVALID
        )
        return self._numbered(person, shown or "no address", INVALID)

    def _numbered(self, person: Person, address: str, why: str) -> Person:
        """Somebody under a name of their own in the log: `ann@host.org (duplicate)`."""
        self._numbers[(folded(address), why)] += 1
        number = self._numbers[(folded(address), why)]
        name = f"{address} ({why})" if number == 1 else f"{address} ({why} {number})"
        box = Mailbox(person.mailbox.display_name, name)
        return person._replace(mailbox=box, excluded=why, address=address)


def _key(text: str) -> str:
    """What the rows of one address have in common, however each of them writes it."""
    return folded(text)
