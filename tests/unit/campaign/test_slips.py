"""What stands in a text or a cell that nobody meant to write there."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from petition.campaign.letter import read_demands
from petition.campaign.people import open_people
from petition.campaign.text_file import may_reorder, reorders
from petition.errors import Level
from tests.unit.campaign.conftest import LETTER
from tests.unit.campaign.samples import Said, judged


@pytest.mark.parametrize(
    ("text", "char"),
    [
        ("a\u202eb", "U+202E"),
        ("\u202a+44 20\u202c", "U+202A"),  # as some telephones copy a number
        ("a\u2066b", "U+2066"),
        ("a\u2069", "U+2069"),
        ("\u2066a\u2069\u2069", "U+2069"),
    ],
)
def test_what_shows_a_text_in_another_order(text, char):
    assert reorders(text) == char


@pytest.mark.parametrize("text", ["", "Ann", "שלום\u200f (x)", "\u2067שלום\u2069 x", "Жезқазған"])
def test_what_real_texts_hold(text):
    assert reorders(text) is None


def test_an_override_in_any_cell_is_refused_unless_nobody_writes_to_the_row(folder, problems):
    folder.write(
        "recipients.csv",
        "email,town,deceased\na@b.example,Lee\u202eds,\nc@d.example,Lee\u202eds,yes\n",
    )
    people = open_people(folder.root, "recipients.csv", problems)
    assert [person.excluded for person in judged(people, problems)] == ["deceased"]
    errors = [one for one in problems if one.is_error]
    assert [(one.line, Said(one.what)) for one in errors] == [(2, "town: ... U+202E")]


def test_an_obscured_address_is_found_wherever_it_stands(folder, problems):
    from petition.campaign.folder import load_campaign

    folder.write("letters/open-letter.md", LETTER + "\nWrite to [email\u00a0protected].\n")
    folder.write("letters/demands.md", "## One {#one}\n\nAsk [Email protected]\n")
    folder.write("recipients.csv", "email,note\na@b.example,see [email protected]\n")
    campaign = load_campaign(folder.root)
    judged(campaign.people("recipients", campaign.problems), campaign.problems)
    found = {(one.file, one.line, one.level) for one in campaign.problems}
    assert found == {
        ("letters/open-letter.md", 6, Level.WARNING),
        ("letters/demands.md", 3, Level.WARNING),
        ("recipients.csv", 2, Level.WARNING),
    }
    assert len(read_demands(folder.root, "letters/demands.md", problems, is_default=True)) == 1


@given(
    st.lists(st.text(st.sampled_from("a ж\u202a\u202b\u202e\u2066\u2067\u2068\u2069")), max_size=4)
)
def test_a_row_is_let_through_at_once_only_where_no_cell_reorders(cells):
    if not may_reorder("".join(cells)):
        assert not any(map(reorders, cells))
