"""Lines of a cell and of a letter stay lines."""

import copy

import pytest

from petition.identity import Signer
from petition.merge.message import Merger
from tests.unit.merge.letters import (
    freeze_texts,
    html_of,
    merged,
    parts_of,
    person_of,
    plain_of,
    text_of,
)

CELL = "12 High Street\nLeeds"


@pytest.mark.parametrize(
    ("body", "plain", "html"),
    [
        ("{{ recipient.title }}", "12 High Street\nLeeds", "12 High Street<br>Leeds</p>"),
        ("> x {{ recipient.title }}", "> x 12 High Street\n> Leeds", "x 12 High Street<br>Leeds"),
        ("10. {{ recipient.title }}", "10. 12 High Street\n    Leeds", "12 High Street<br>Leeds"),
        ("> - {{ recipient.title }}", "> - 12 High Street\n>   Leeds", "12 High Street<br>Leeds"),
    ],
)
def test_the_lines_of_a_cell_stay_lines(body, plain, html):
    person = person_of(title=CELL)
    assert plain_of(body, person) == f"{plain}\n"
    assert html in html_of(body, person)
    _, text, page = parts_of(merged(body, person=person).data)
    assert (text.strip(), html in page) == (plain, True)


def test_a_letter_of_an_older_version_is_finished_as_it_was():
    now = freeze_texts(text_of("{{ recipient.title }}"))
    old = copy.deepcopy(now)
    del old.document["texts"]["en"]["breaks"]
    page = Merger(old, Signer(b"k" * 32)).html(person_of(title=CELL), 1)
    assert "12 High Street\nLeeds" in page
    assert old.hash == now.hash  # so that send goes on with it


@pytest.mark.parametrize("mark", ["--", "-- "])
def test_two_dashes_begin_a_signature(mark):
    assert plain_of(f"Yours\n\\\nAnn\n{mark}\nFriends").endswith("Ann\n\n-- \nFriends\n")
    assert plain_of(f"Yours\n\n{mark}\nFriends") == "Yours\n\n-- \nFriends\n"
    assert plain_of(f"> Ann\n> {mark}\n> Friends") == "> Ann\n>\n> -- \n> Friends\n"
    assert "<h2" not in html_of(f"Ann\n{mark}\nFriends")
    assert "<h2" in html_of("Ann\n---\nFriends")


def test_an_indented_paragraph_is_a_paragraph():
    assert plain_of("x\n\n    We *write*.") == "x\n\nWe write.\n"
    assert "<pre" not in html_of("x\n\n    We write.")
