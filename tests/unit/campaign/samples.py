"""The sample files: exports, encodings and spreadsheets as they come, of invented people."""

from itertools import chain
from pathlib import Path

from petition.campaign.people import ListJudge, PeopleList, Person, open_people
from petition.campaign.tables import Table, TableRow, open_table
from petition.errors import Problem


class Said(str):
    """A message that is equal to its key words, which are separated by three dots."""

    __slots__ = ()
    __hash__ = str.__hash__

    def __eq__(self, words: object) -> bool:
        return all(part.strip() in str(self) for part in str(words).split("..."))

    def __ne__(self, words: object) -> bool:
        return not self == words


SAMPLES = Path(__file__).parents[2] / "samples"


def rows_of(file: str, root: Path = SAMPLES) -> tuple[list[TableRow], list[Problem]]:
    """The rows of a sample, and what was told of it."""
    problems: list[Problem] = []
    table = open_table(root, file, problems)
    return read_rows(table, problems) if table else [], problems


def people_of(file: str, root: Path = SAMPLES) -> tuple[list[Person], list[Problem]]:
    """The people of a sample, and what was told of it."""
    problems: list[Problem] = []
    people = open_people(root, file, problems)
    return judged(people, problems) if people else [], problems


def read_rows(table: Table, problems: list[Problem]) -> list[TableRow]:
    """The rows of a table that can be read; the others become problems."""
    rows = list(chain.from_iterable(table.blocks()))
    problems += [row.fault for row in rows if row.fault]
    return [row for row in rows if not row.fault]


def judged(people: PeopleList, problems: list[Problem]) -> list[Person]:
    """The people of a list whose rows are right; the others become problems."""
    judge, found = ListJudge(people), []
    for rows in people.table.blocks():
        right, wrong = judge(rows)
        found += right
        problems += wrong
    return found
