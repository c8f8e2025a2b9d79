import pytest

from petition.campaign.letter import Demand, compare_demands, read_demands
from tests.unit.campaign.samples import Said


def read(folder, text, problems, *, is_default=True):
    folder.write("letters/demands.md", text)
    return read_demands(folder.root, "letters/demands.md", problems, is_default=is_default)


def told(problems):
    return [(problem.line, Said(problem.what)) for problem in problems]


def test_demands_have_number_id_title_and_text(folder, problems):
    text = "# Our demands\n\n## Stop it {#stop}\n\nAt *once*.\n\n- now\n\n##  Raise pay, now! \n"
    assert read(folder, text, problems) == (
        Demand(1, "stop", "Stop it", "At *once*.\n\n- now", 3),
        Demand(2, "raise-pay-now", "Raise pay, now!", "", 9),
    )
    assert problems == []


def test_what_looks_like_a_heading_in_a_code_block_is_none(folder, problems):
    (demand,) = read(folder, "## A {#a}\n```\n## B\n~~~\n## C\n```\n### D\n#hash\n", problems)
    assert demand.text == "```\n## B\n~~~\n## C\n```\n### D\n#hash"


@pytest.mark.parametrize(
    ("text", "line", "what"),
    [
        ("\nHello\n## A {#a}\n", 2, "this text"),
        ("---\nx: y\n---\n", 1, "this text"),
        ("## {#a}\n", 1, "this demand has no title"),
        ("##\n", 1, "this demand has no title"),
        ("## A {#}\n", 1, '"" is not an id'),
        ("## A {#a b}\n", 1, '"a b" is not an id'),
        ("## ?!\n", 1, '"" is not an id'),
        ("## A {#a}\n\n## B {#a}\n", 3, 'the id "a" ... line 1'),
        (
            "## A {#a}\nDear {{ name }}\n",
            2,
            '"{{" ... template',
        ),
        (
            "## A {% if x %} {#a}\n",
            1,
            '"{%" ... template',
        ),
        (
            "## A {#a}\n\n{# hidden #}",
            3,
            '"{#" ... template',
        ),
        ("## A\n" * 1_001, None, "1,001 demands"),
    ],
)
def test_each_mistake_has_its_line(folder, problems, text, line, what):
    read(folder, text, problems)
    assert told(problems) == [(line, what)]


def test_only_the_default_language_may_leave_ids_out(folder, problems):
    assert read(folder, "## Стоп\n", problems, is_default=False) == ()
    assert told(problems) == [(1, "this demand has no id")]


FILES = {"en": "demands.md", "ru": "demands.ru.md"}


def compare(folder, ids, problems):
    english = read(folder, "## A {#a}\n## B {#b}\n## C {#c}\n", problems)
    russian = read(folder, "".join(f"## X {{#{one}}}\n" for one in ids), problems)
    compare_demands({"en": english, "ru": russian}, FILES, problems)
    assert all(problem.file == "demands.ru.md" for problem in problems)
    return told(problems)


@pytest.mark.parametrize(
    ("ids", "faults"),
    [
        ("abc", []),
        ("ac", [(None, 'the demand "b" of demands.md is missing')]),
        (
            "abd",
            [
                (None, 'the demand "c" of demands.md is missing'),
                (3, 'demands.md has no demand "d"'),
            ],
        ),
        ("acb", [(2, 'demand 2 is "b" in demands.md')]),
    ],
)
def test_languages_make_the_same_demands_in_the_same_order(folder, problems, ids, faults):
    assert compare(folder, ids, problems) == faults


def test_without_demands_there_is_nothing_to_compare(problems):
    compare_demands({}, {}, problems)
    assert problems == []
