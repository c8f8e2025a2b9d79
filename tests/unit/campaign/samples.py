"""The sample files: exports, encodings and spreadsheets as they come, of invented people."""

from pathlib import Path

from petition.campaign.people import Person, open_people
from petition.campaign.tables import TableRow, open_table
from petition.errors import Problem

SAMPLES = Path(__file__).parents[2] / "samples"


def rows_of(file: str, root: Path = SAMPLES) -> tuple[list[TableRow], list[Problem]]:
    """The rows of a sample, and what was told of it."""
    problems: list[Problem] = []
    table = open_table(root, file, problems)
    return list(table.rows(problems)) if table else [], problems


def people_of(file: str, root: Path = SAMPLES) -> tuple[list[Person], list[Problem]]:
    """The people of a sample, and what was told of it."""
    problems: list[Problem] = []
    people = open_people(root, "recipients", file, problems)
    return list(people.rows(problems)) if people else [], problems
