"""A letter for everybody: what it says where a copy has the cells of a row."""

import pytest

from petition.errors import MergeRefused
from petition.merge.open_letter import OpenLetter
from petition.merge.pdf import words_of
from tests.unit.merge.letters import freeze_texts, text_of

BODY = """\
Dear {{ recipient.name }} of {{ recipient.town or "our town" }},

{% if recipient.vip %}you are important{% else %}everybody is important{% endif %}.

{{ recipient.since | date }}, {{ recipient.name | upper }}, {{ recipient.town ~ "!" }}

{{ ["a", recipient.name] | join(" and ") }}. [Answer](https://x.example/?to={{ recipient.name }})
"""


def letter(body: str = BODY, subject: str = "To {{ recipient.name }}") -> OpenLetter:
    columns = ("email", "name", "town", "vip", "since")
    return OpenLetter(freeze_texts(text_of(body, subject), columns=columns), "en")


def test_a_cell_is_an_ellipsis_and_a_condition_takes_it_for_empty():
    found = letter()
    assert found.subject == "To …"
    assert [words_of(block) for block in found.blocks] == [
        "Dear … of our town,",
        "everybody is important.",
        "…, …, …!",
        "a and …. Answer",
    ]


def test_a_link_of_the_letter_leads_where_it_leads():
    links = [one for one in letter().blocks[-1]["inner"] if isinstance(one, dict)]
    assert links[0]["href"].startswith("https://x.example/?to=")


def test_what_needs_a_cell_is_refused_with_its_line():
    with pytest.raises(MergeRefused) as refused:
        letter("One.\n\n{{ (recipient.since | int) + 1 }}\n").blocks  # noqa: B018 (a property)
    assert "{% if %}" in refused.value.problem.hint
    assert refused.value.problem.line
