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


TABLE = """\
| Works | Year | Injured |
|---|--:|--:|
| {{ recipient.title }} | 2014 | 1,200 |
| Жезқазған | 15 | 3 |
{% for demand in demands %}
| 安全 {{ loop.index }} | | {{ demand.id | length }} |
{% endfor %}
"""


def columns_of(line: str) -> list[int]:
    """Where the bars of a line are on a terminal, where a Chinese character is two columns wide."""
    shown = "".join(char * 2 if char > "\u4e00" else char for char in line)
    return [at for at, char in enumerate(shown) if char == "|"]


@pytest.mark.parametrize(
    ("first", "rest"), [("", ""), ("> ", "> "), ("- ", "  "), ("> 1. ", ">    ")]
)
@pytest.mark.parametrize("title", ["Zhezkazgantsvetmet & Co", "", "High Street\nLeeds"])
def test_the_columns_of_a_table_line_up(first, rest, title):
    head, *rows = TABLE.splitlines()
    body = "\n".join([first + head, *(rest + row for row in rows)]).replace("title", "title or ''")
    person = person_of(title=title)
    text = plain_of(body, person)
    lines = [line for line in text.splitlines() if "|" in line]
    assert len(lines) == 5 + title.count("\n")
    assert len({tuple(columns_of(line)) for line in lines}) == 1
    assert [line.startswith(first if not at else rest) for at, line in enumerate(lines)] == [
        True
    ] * len(lines)
    assert lines[0].endswith("Injured")
    assert lines[-1].endswith("      3")
    _, sent, _ = parts_of(merged(body, person=person).data)
    assert sent == text


def test_a_table_too_wide_for_columns_has_a_line_for_each_cell():
    names = [f"Column {at}" for at in range(6)]
    body = (
        f"| {' | '.join(names)} |\n|{'---|' * 6}\n"
        + "| {{ recipient.title }} | 2 | | 4 | 5 | 6 |\n" * 2
    )
    text = plain_of(body, person_of(title="Zhezkazgantsvetmet " * 4))
    rows = text.strip().split("\n\n")
    assert len(rows) == 2
    assert rows[0].splitlines()[1:] == ["Column 1: 2", "Column 3: 4", "Column 4: 5", "Column 5: 6"]
    assert rows[0].startswith("Column 0: Zhezkazgantsvetmet Zhezkazgantsvetmet")


def test_tables_of_one_letter_are_each_lined_up_on_their_own():
    table = "| a | b |\n|---|---|\n| {} | c |\n"
    fields = "{{ recipient.title }}"
    body = f"{table.format('xxxx')}\n{table.format(fields)}\n\n{table.format('y')}"
    text = plain_of(body, person_of(title="xx"))
    assert [line.find("|") for line in text.splitlines() if "|" in line] == [5, 5, 3, 3, 2, 2]
