"""The people of a list: checked row by row, chosen, and summed up for an approval."""

import hashlib
import json
from collections.abc import Callable
from itertools import compress
from typing import NamedTuple

from petition.address import folded
from petition.campaign.people import Choice, Person
from petition.checks.campaign import READ_BACK_FIRST, CopyCheck, Examined, nobody_on
from petition.errors import UsageError
from petition.merge.message import Merger
from petition.outbox.answers import follows_from_answers
from petition.outbox.enqueue import ListedRow, as_json
from petition.planning.plan import SendOptions
from petition.template.condition import Condition
from petition.template.fields import PREVIOUS


class ListDigest:
    """What a list says, row by row and in any order, for an approval.

    What a follow-up says of earlier answers comes from the log, changes every day and is no part
    of it, nor is whom it leaves out because of their answer.
    """

    def __init__(self) -> None:
        self._sum = 0
        self._rows = 0

    def add(self, row: ListedRow) -> None:
        """Look at the next row."""
        fields = {name: cell for name, cell in row.fields.items() if name != PREVIOUS}
        left_out = "" if follows_from_answers(row.excluded) else row.excluded
        who = (folded(row.address or row.mailbox), row.name, row.language, left_out)
        text = json.dumps([*who, as_json(fields)])
        self._sum += int.from_bytes(hashlib.sha256(text.encode()).digest())
        self._rows += 1

    def __str__(self) -> str:
        return f"{self._rows}:{self._sum % 2**256:x}"


class Digests(NamedTuple):
    """The digests of a list: of the people who were chosen, and of all."""

    chosen: ListDigest
    all: ListDigest


class Selection:
    """Chooses people by `--to` and `--where`; ConditionRefused if that is not a condition."""

    def __init__(
        self,
        examined: Examined,
        options: SendOptions,
        merger: Merger | None,
        digests: Digests | None = None,
    ) -> None:
        self._digests = digests
        self._examined = examined
        self._merger = merger
        people = examined.people
        self._choice = people.choice(options.who) if people else Choice(options.who)
        self._condition: Condition | None = None
        if options.where is not None and people:
            self._condition = Condition(options.where, people.columns)
        self._options = options
        # Those of the letter: whoever wants one of them gets it.
        self._languages = {"", *(merger.frozen.languages if merger else ())}
        self._fits_somebody = False
        self.seen = 0

    def rows(self, people: list[Person]) -> list[ListedRow]:
        """The next people of the list as rows for the log, chosen or not."""
        self.seen += len(people)
        if self._condition:
            self._condition.judge(people)
        chooses = bool(self._options.who or self._condition)
        meant = [self._is_for(one) for one in people] if chooses else [True] * len(people)
        chosen, is_due = meant, self._options.is_due
        if is_due is not None:
            chosen = [is_meant and is_due(one) for is_meant, one in zip(meant, people, strict=True)]
        for person in compress(people, chosen):
            if person.language not in self._languages:
                self._examined.note_fallback(self._merger, person)
        # In their order: a hundred thousand times by name would take a tenth of a second.
        rows = [
            ListedRow(
                person.mailbox.addr_spec,
                person.mailbox.display_name,
                person.language,
                person.id,
                person.file,
                person.line,
                person.fields,
                is_chosen,
                person.excluded,
                person.address,
            )
            for person, is_chosen in zip(people, chosen, strict=True)
        ]
        if self._digests:
            for row, is_meant in zip(rows, meant, strict=True):
                self._digests.all.add(row)
                if is_meant:
                    self._digests.chosen.add(row)
        return rows

    def _is_for(self, person: Person) -> bool:
        if not self._choice.matches(person):
            return False
        # A row of a bulk list that cannot be read has no cells.
        fits = self._condition is None or (bool(person.fields) and self._condition.holds(person))
        self._fits_somebody = self._fits_somebody or fits
        return fits

    def require_somebody(self) -> None:
        """After the last person: UsageError if `--to` or `--where` matched nobody on the list."""
        if missed := self._choice.missed():
            near = self._choice.nearest(missed[0])
            hint = f"Did you mean {near}" if near else "Use an address, an id, a name or FILE:LINE"
            raise UsageError(f"not on the list: {', '.join(missed)}", hint)
        if self._condition and not self._fits_somebody:
            hint = "Compare it with the list; it is case-sensitive"
            raise UsageError(f"--where {self._condition} matches nobody on the list", hint)


def check_list(
    examined: Examined,
    merger: Merger | None,
    revision: int,
    stage: Callable[[list[Person]], object],
    *,
    read_back: int = READ_BACK_FIRST,
) -> None:
    """Read a letter's list, judge its rows, check their copies and stage them, a block at a time.

    Afterwards `examined.problems` is complete. Without a merger, of a letter that cannot be merged,
    only the rows are judged. `stage` gets those who are excluded too; `read_back` is the number of
    copies that are parsed in full.
    """
    if examined.people is None:
        return
    judge, check = examined.judge(examined.people), CopyCheck(examined, merger, revision, read_back)
    is_empty = True
    for rows in examined.people.table.blocks():
        people, wrong_rows = judge(rows)
        people, wrong_copies = check([examined.complete(one) for one in people])
        stage(people)
        examined.problems += wrong_rows
        examined.problems += wrong_copies
        is_empty = is_empty and not (people or wrong_rows)
    if is_empty:
        examined.problems.append(nobody_on(examined.people))
    examined.problems += examined.passed_over.problems()
    examined.problems += check.summary()
