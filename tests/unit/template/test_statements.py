"""Loops and conditions stand around paragraphs, lists and rows."""

import re

import pytest

from tests.unit.merge.letters import BODY_LINE, html_of, person_of, plain_of, problems_of, text_of


def bare(html):
    """HTML without its style and line ends."""
    return re.sub(r"\s*\n\s*", "", re.sub(r' (?:style|class)="[^"]*"', "", html))


def test_line_of_statements_is_no_paragraph():
    body = "a\n{% if recipient.title %}\nb\n{% else %}\nc\n{% endif %}\nd"
    assert bare(html_of(body)) == "<p>a</p><p>c</p><p>d</p>"
    assert plain_of(body) == "a\n\nc\n\nd\n"
    assert plain_of(body, person_of(title="x")) == "a\n\nb\n\nd\n"


def test_several_statements_on_one_line():
    body = "{% if 1 %}{% if 0 %}\na\n{% endif %} {% endif %}\nb"
    assert plain_of(body) == "b\n"


def test_condition_that_is_a_whole_paragraph_leaves_no_empty_one():
    body = "a\n\n{% if recipient.title %}You are {{ recipient.title }}.{% endif %}\n\nb"
    assert bare(html_of(body)) == "<p>a</p><p>b</p>"
    assert plain_of(body) == "a\n\nb\n"
    assert bare(html_of(body, person_of(title="T"))) == "<p>a</p><p>You are T.</p><p>b</p>"


def test_loop_around_bullets_makes_one_list():
    body = "x\n\n{% for demand in demands %}\n- {{ demand.title }}\n{% endfor %}\n\ny"
    assert plain_of(body) == "x\n\n- Stop it\n- Pay <fairly> & in full\n\ny\n"
    assert bare(html_of(body)) == (
        "<p>x</p><ul><li>Stop it</li><li>Pay &lt;fairly&gt; &amp; in full</li></ul><p>y</p>"
    )


def test_loop_around_a_number_counts():
    body = "{% for x in 'abc' %}\n4. {{ x }}\n{% endfor %}"
    assert plain_of(body) == "4. a\n5. b\n6. c\n"
    assert bare(html_of(body)) == '<ol start="4"><li>a</li><li>b</li><li>c</li></ol>'


def test_conditions_part_no_list():
    body = "- a\n{% if recipient.title %}\n- b\n{% else %}\n- c\n{% endif %}\n- d\n- e"
    assert plain_of(body) == "- a\n- c\n- d\n- e\n"
    assert bare(html_of(body)).count("<ul>") == 1


def test_lists_with_other_bullets_stay_apart():
    assert bare(html_of("- a\n* b")).count("<ul>") == 2


def test_loop_around_rows():
    body = "| a |\n|---|\n{% for x in 'bc' %}\n| {{ x }} |\n{% endfor %}\n| d |"
    assert plain_of(body) == "a\nb\nc\nd\n"
    cells = ["<th>a</th>", "<td>b</td>", "<td>c</td>", "<td>d</td>"]
    assert re.findall(r"<t[hd]>\w</t[hd]>", bare(html_of(body))) == cells


def test_statements_in_a_quote_and_in_a_list_entry():
    quoted = "> a\n>\n> {% if recipient.title %}\n> b\n> {% endif %}\n> c"
    assert plain_of(quoted) == "> a\n>\n> c\n"
    assert plain_of(quoted, person_of(title="x")) == "> a\n>\n> b\n>\n> c\n"
    listed = "- a\n  {% if 1 %}\n  b\n  {% endif %}\n- c"
    assert plain_of(listed) == "- a\n  b\n- c\n"


def test_statement_in_code_is_carried_out():
    assert plain_of("```\n{% if 0 %}a{% endif %}b\n```") == "    b\n"


@pytest.mark.parametrize(
    "body",
    [
        "a {% if 1 %} b\n\nc {% endif %}",
        "**{% if 1 %}a**{% endif %}",
        "- {% if 1 %}a\n- b{% endif %}",
        "{% if 1 %}\n> a\n> {% endif %}",
        "[a{% if 1 %}](https://x.example){% endif %}",
        "| a |\n|---|\n| {% if 1 %}a |\n| b{% endif %} |",
    ],
)
def test_statements_that_would_break_the_markup_are_problems(body):
    problems = problems_of(text_of(body))
    assert problems
    assert all("line of its own" in problem.hint for problem in problems)


def test_unpaired_statement_has_its_line():
    problems = problems_of(text_of("x\n\n**{% if 1 %}a**\n{% endif %}"))
    assert [problem.line for problem in problems] == [7, 8]


@pytest.mark.parametrize(
    ("body", "text"),
    [
        ("{% with x = 1 %}\n{{ x }}\n{% endwith %}", "1"),
        ("{% set x = recipient.name %}\n{{ x }}", "Vladimir Kim"),
        ("{% set x = demands|where(id='pay')|list %}\n{{ x|length }}", "1"),
    ],
)
def test_names_given_in_a_letter(body, text):
    assert plain_of(body).strip() == text


CAPTURES = {
    "macro": "{% macro m(x) %}<{{ x }}>{% endmacro %}\n\n{{ m(recipient.name) }}",
    "call": "{% call recipient.name() %}x{% endcall %}",
    "filter": "{% filter upper %}\na {{ recipient.name }}\n{% endfilter %}",
    "block": "{% block b %}x{% endblock %}",
    "set": "{% set x %}a **b** {{ recipient.name }}{% endset %}\n\n{{ x }}",
    "recursive": "{% for a in [[1]] recursive %}{{ loop(a) }}{% endfor %}",
}


@pytest.mark.parametrize("keyword", CAPTURES)
def test_what_captures_output_is_refused_with_its_line(keyword):
    (problem,) = problems_of(text_of(f"a\n\n{CAPTURES[keyword]}"))
    assert (problem.file, problem.line) == ("letters/open-letter.md", 7)
    assert problem.mark == keyword
    assert keyword in problem.what or problem.what.startswith("a loop that calls itself")
    assert problem.hint
    if keyword not in {"macro", "set", "recursive"}:
        (problem,) = problems_of(text_of("a", subject=CAPTURES[keyword].replace("\n", "")))
        assert problem.line == 3


def test_each_of_several_is_named():
    body = "\n\n".join(CAPTURES.values())
    lines = [problem.line for problem in problems_of(text_of(body))]
    expected = [BODY_LINE + body[: body.index(one)].count("\n") for one in CAPTURES.values()]
    assert lines == expected
