"""What a caret stands under."""

import pytest

from petition.campaign.people import open_people
from petition.cli.excerpts import Excerpts
from petition.errors import Problem
from tests.unit.campaign.samples import judged


def meant(folder, file, line, mark, content=None):
    """The text that the caret stands under, and the line that it is in."""
    if content is not None:
        folder.write(file, content)
    excerpt = Excerpts(folder.root).of(Problem(file, line, "what", "hint", mark=mark))
    assert excerpt is not None
    return excerpt.line, excerpt.text[excerpt.begin : excerpt.end]


@pytest.mark.parametrize(
    ("mark", "found"),
    [
        ("recipient.saluation", "recipient . saluation"),
        ("saluation", "saluation"),
        ("other.saluation", "saluation"),
        ("rec", "rec"),
        ("}}", "}}"),
        ("", "Dear {{ recipient . saluation }},"),
        ("nowhere", "Dear {{ recipient . saluation }},"),
    ],
)
def test_a_name_in_a_letter(folder, mark, found):
    content = "---\n---\n  Dear {{ recipient . saluation }}, \n"
    assert meant(folder, "letters/open-letter.md", 3, mark, content) == (3, found)


@pytest.mark.parametrize(
    ("line", "number", "found"),
    [
        (2, 0, (2, "a@b.example")),
        (2, 1, (2, '"Reed, ""Ann"""')),
        (3, 0, (3, "")),
        (3, 1, (3, '"Two')),
        (3, 2, (4, "en")),
        (5, 2, (5, "ru")),
    ],
)
def test_a_cell_of_a_list(folder, line, number, found):
    content = 'email,name,language\na@b.example,"Reed, ""Ann""",\n,"Two\nlines", en \nx,y,ru\n'
    assert meant(folder, "recipients.csv", line, number, content) == found


def test_a_cell_of_a_list_that_is_saved_otherwise(folder):
    content = "email;name\nolha@poshta.example;Ольга\nx@poshta.example;Шевченко\n".encode("cp1251")
    assert meant(folder, "recipients.csv", 3, 1, content) == (3, "Шевченко")


def test_problems_one_after_the_other(folder):
    rows = "".join(f"p{at}@x.example,{at}\n" for at in range(2, 500))
    folder.write("recipients.csv", f"email,name\n{rows}")
    excerpts = Excerpts(folder.root)
    for line in (2, 2, 3, 60, 400, 499):
        excerpt = excerpts.of(Problem("recipients.csv", line, "", "", mark=1))
        assert excerpt is not None
        assert (excerpt.line, excerpt.text) == (line, f"p{line}@x.example,{line}")


@pytest.mark.parametrize(
    ("file", "line", "mark"),
    [
        ("recipients.csv", 2, None),
        ("recipients.csv", None, 1),
        ("recipients.csv", 2, 7),
        ("recipients.csv", 99, 0),
        ("people.xlsx#Directors", 2, 0),
        ("nowhere.csv", 2, 0),
        ("letters/open-letter.md", 99, "x"),
        ("letters/nowhere.md", 1, "x"),
    ],
)
def test_nothing_is_shown_where_nothing_is_known(folder, file, line, mark):
    assert Excerpts(folder.root).of(Problem(file, line, "", "", mark=mark)) is None


def test_every_problem_with_a_cell_knows_it(folder, problems):
    folder.write(
        "recipients.csv",
        "id,email,name,language,town\n"
        "1,bad,,,\n"
        "2,a@b.example,,english,\n"
        "3,c@b.example,,,x\u202ey\n"
        "4,d@b.example,,,[email\u00a0protected]\n"
        "4,e@b.example,,,\n"
        "6,d@b.example,,,\n"
        "7,f@b.example,A\u202eB,,\n",
    )
    people = open_people(folder.root, "recipients.csv", problems)
    judged(people, problems)
    found = {meant(folder, one.file, one.line, one.mark) for one in problems}
    assert found >= {
        (2, "bad"),
        (3, "english"),
        (4, "x\u202ey"),
        (5, "[email\u00a0protected]"),
        (5, "4"),
        (6, "4"),
        (7, "d@b.example"),
        (8, "A\u202eB"),
    }
