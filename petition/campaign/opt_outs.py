"""A file of people who are never to be written to: an export, or a table of one's own."""

from dataclasses import dataclass, field
from pathlib import Path

from petition.campaign.exports import OPTED_OUT
from petition.campaign.people import RowRefused, open_people
from petition.errors import Problem

REASON_COLUMNS = ("reason", "unsub_reason", "suppression_reason")
_REASON_LENGTH = 100


@dataclass
class OptOuts:
    """What such a file says.

    Args:
        by_reason: The addresses, by why nothing goes there.
        passed_over: How many rows say that they may be written to.
        problems: What could not be read.
    """

    by_reason: dict[str, list[str]] = field(default_factory=dict)
    passed_over: int = 0
    problems: list[Problem] = field(default_factory=list)

    @property
    def count(self) -> int:
        """How many rows are to be suppressed."""
        return sum(map(len, self.by_reason.values()))


def read_opt_outs(folder: Path, file: str) -> OptOuts:
    """Read a file of opt-outs.

    Where a column says of each row whether it may be written to, as exports have one, those that
    may are passed over; else everybody in the file is meant.

    Args:
        folder: The folder that the file's name is relative to.
        file: The file: CSV, or a sheet of a spreadsheet.
    """
    found = OptOuts()
    people = open_people(folder, "opt-outs", file, found.problems)
    if people is None:
        return found
    column = next((name for name in REASON_COLUMNS if name in people.columns), None)
    for row in people.table.rows(found.problems):
        # Nobody is written to by such a row: a name or a language that is wrong in it is no reason
        # to write to them after all.
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
