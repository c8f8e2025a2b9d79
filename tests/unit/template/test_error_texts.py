"""What an author is told of a template that cannot be read or filled."""

import pytest

from petition.errors import MergeRefused, Problem
from tests.unit.merge.letters import merged, problems_of, text_of

UNREADABLE = [
    "{{ recipient.name",
    "{{ recipient.name }",
    "{{ recipient name }}",
    "{{ recipient.name | }}",
    "{{ recipient.name | upper( }}",
    "{{ recipient.name ) }}",
    "{{ (recipient.name }}",
    "{{ [1, 2 }}",
    '{{ "abc }}',
    "{{ }}",
    "{% %}",
    "{{ recipient. }}",
    "{{ recipient..name }}",
    "{{ recipient.first name }}",
    "{{ recipient.first-name }}",
    "{{ recipient.имя }}",
    "{{ {{ recipient.name }} }}",
    "{{% recipient.name %}}",
    "{% recipient.name %}",
    "{% if recipient.town %}x",
    "{% if recipient.town %}x{% end %}",
    "{% if recipient.town %}x{% endfor %}",
    "{% endif %}",
    "{% if %}x{% endif %}",
    '{% if recipient.town = "x" %}x{% endif %}',
    "{% if recipient.town == %}x{% endif %}",
    "{% if recipient.town is empty %}x{% endif %}",
    "{% if recipient.town is %}x{% endif %}",
    "{% if not %}x{% endif %}",
    "{% elif x %}",
    "{% else %}",
    "{% if recipient.town then %}x{% endif %}",
    "{% if recipient.town && recipient.name %}x{% endif %}",
    "{% if recipient.town || recipient.name %}x{% endif %}",
    '{% if recipient.town === "a" %}x{% endif %}',
    "{% if !recipient.town %}x{% endif %}",
    "{% if recipient.town %}x{% else if recipient.name %}y{% endif %}",
    "{% if recipient.town %}x{% elseif recipient.name %}y{% endif %}",
    "{% if recipient.town %}x{% elsif recipient.name %}y{% endif %}",
    "{% for x %}y{% endfor %}",
    "{% for x in %}y{% endfor %}",
    "{% for demands %}y{% endfor %}",
    "{% for d of demands %}y{% endfor %}",
    "{% for d in demands %}y",
    "{% for d in demands %}{{ d.titel }}{% endfor %}",
    "{% set x %}",
    "{% set x = %}",
    "{% set 5 = 3 %}",
    "{% set x = 5 %}{{ y }}",
    "{{ self }}",
    "{{ caller() }}",
    '{% include "x" %}',
    "{% unless x %}y{% endunless %}",
    "{% assign x = 5 %}",
    "{{ recipient.name | uper }}",
    "{{ recipient.name | upper | }}",
    '{{ recipient["nme"] }}',
    "{{ recipient }}",
    "{{ demands.first }}",
    '{{ demands | where("x") }}',
    '{{ signatories | limit("x") }}',
    "{{ signatories | limit(1, 2) }}",
    '{{ signatories | where(name="x") }}',
    "{{ signatories.length }}",
    '{{ today.strftime("%d") }}',
    "{{ now() }}",
    "{{ recipient.name if recipient.town else }}",
    "{{ recipient.name if }}",
    "{{ recipient.name if recipient.nope }}",
    "{{ recipient.name or }}",
    "{{ x.y.z }}",
    "{{ recipient.name | format }}",
    "{{ recipient.name | safe }}",
    '{{ recipient.name ? "a" : "b" }}',
    '{{ recipient.name ?? "b" }}',
    "{{ $name }}",
    "{{ recipient.name; }}",
    "{{ recipient->name }}",
    "{{ #name }}",
    "{{ @name }}",
    "{{ recipient.name & 1 }}",
    "{{ “x” }}",
    "{{ recipient.name | default(‘x’) }}",
    "{# comment",
    "{% macro f %}x{% endmacro %}",
    "{% macro f(a=1,b) %}x{% endmacro %}",
    "{% call 5 %}x{% endcall %}",
    "{% block a-b %}x{% endblock %}",
    "{% block a %}x{% endblock %}{% block a %}y{% endblock %}",
    "{% raw %}x",
    "{% filter upper %}x",
    "{% filter nope %}x{% endfilter %}",
    "{% with a %}x{% endwith %}",
    "{% with a=1 %}x",
    "{% break %}",
    "{% do x %}",
    "{% trans %}x{% endtrans %}",
    "{% autoescape true %}x{% endautoescape %}",
    '{% extends "x" %}',
    '{% import "x" as y %}',
    '{% from "x" import y %}',
    "{% if recipient.town is defined is defined %}x{% endif %}",
    '{{ {"a" 1} }}',
    '{{ "\\N{foo}" }}',
    '{{ "\\x" }}',
    "{{ 1__2 }}",
    "{{ 1a }}",
    "{{ lambda x: x }}",
    "{{ import os }}",
    "{{ recipient.__class__ }}",
    '{{ cycler("a") }}',
    "{{ lipsum() }}",
    "{{ dict(a=1) }}",
    "{{ namespace(a=1) }}",
    "{{ joiner() }}",
    "{{ not }}",
    "{{ recipient.name and and }}",
    "{{ 1 == }}",
    "{{ == 1 }}",
    "{{ recipient.town ~ }}",
    "{{ , }}",
    "{{ recipient.name: }}",
    "{{ recipient.name = 5 }}",
    "{{ recipient[ }}",
    "{% for loop in demands %}x{% endfor %}",
    "{% for recipient in demands %}x{% endfor %}",
]
FAILING = [
    "{% for d in 5 %}y{% endfor %}",
    "{% for a, b in demands %}y{% endfor %}",
    '{{ recipient.name | truncate("x") }}',
    "{{ recipient.name | truncate(1,2,3,4,5,6) }}",
    "{{ recipient.name | upper(3) }}",
    '{{ recipient.name | replace("a") }}',
    "{{ recipient.name | join(1,2,3) }}",
    '{{ recipient.name | int + "a" }}',
    "{{ recipient.name + 1 }}",
    "{{ recipient.name - 1 }}",
    "{{ recipient.name * recipient.name }}",
    "{{ recipient.name / 2 }}",
    "{{ 1 / 0 }}",
    "{{ 1 % 0 }}",
    "{{ 1 // 0 }}",
    "{{ recipient.name[99] }}",
    "{{ recipient.name.foo }}",
    "{{ recipient.name() }}",
    "{{ recipient.name.upper }}",
    "{{ recipient.name.upper(1) }}",
    "{{ recipient.name.split()[5] }}",
    "{{ recipient.name.split() }}",
    "{{ recipient[0] }}",
    "{{ demands[9].title }}",
    "{{ demands | first }}",
    "{{ demands | sum }}",
    "{{ demands | sort }}",
    '{{ demands | join(", ") }}',
    '{{ demands | map(attribute="titel") | join }}',
    '{{ demands | where(id="x") | first }}',
    "{{ demands | limit }}",
    '{{ demands | limit("x") }}',
    "{{ signatories | listed(3) }}",
    '{{ signatories | length + "x" }}',
    "{{ today + 5 }}",
    "{{ range() }}",
    '{{ range("x") }}',
    '{{ "a" < 5 }}',
    "{{ none }}",
    "{{ none.x }}",
    "{{ true }}",
    "{{ 5.x }}",
    '{{ 5 | round("x") }}',
    '{{ "x" | round }}',
    '{{ "x" | abs }}',
    "{{ 3 | first }}",
    "{{ 3 | length }}",
    '{{ recipient.name | default("x", 1, 2, 3) }}',
    "{{ recipient.name | selectattr }}",
    '{{ demands | selectattr("nope") | list }}',
    '{{ demands | selectattr("id", "foo") | list }}',
    '{{ demands | groupby("nope") }}',
    '{{ demands | sort(attribute="nope") }}',
    "{{ demands | dictsort }}",
    "{{ loop.index }}",
    "{{ recipient.name.title().foo() }}",
    '{{ "%s" % recipient.name }}',
    '{{ "{}".format(recipient.name) }}',
    "{% if recipient.name is divisibleby %}x{% endif %}",
    "{% if recipient.name is sameas %}x{% endif %}",
    "{{ recipient.name(*5) }}",
    '{{ {"a": 1}.b }}',
    '{{ {"a": 1}["b"] }}',
    "{{ [1,2,3][1:2:0] }}",
    "{{ recipient.name.__class__ }}",
    "{{ recipient.name.format_map({}) }}",
    '{{ recipient.name | map("nope") | list }}',
    "{{ recipient.name | map | list }}",
    '{{ recipient.name | map(attribute="x", foo=1) | list }}',
    "{{ recipient.name | wordcount(1) }}",
    '{{ 2 ** 3 ** "x" }}',
    "{{ -recipient.name }}",
    "{{ recipient.name, recipient.name }}",
    "{{ recipient[] }}",
    "{{ loop }}",
    "{% for d in demands %}{{ loop.foo }}{% endfor %}",
    "{% for d in demands %}{{ loop.cycle() }}{% endfor %}",
    "{% for d in demands %}{{ loop(d) }}{% endfor %}",
    "{{ [] | first }}",
    "{{ [] | max }}",
    '{{ [1,"a"] | sort }}',
    '{{ [1,"a"] | max }}',
    '{{ [1,"a"] | sum }}',
    '{{ "abc" | list(3) }}',
    '{{ "abc" | replace(1, 2) }}',
    '{{ "abc".replace("a", "b") }}',
    '{{ "abc".split(1) }}',
    '{{ "abc".startswith(1) }}',
    '{{ "abc".strip(1) }}',
    '{{ "abc" | trim(1) }}',
]


def told(body: str) -> Problem:
    found = problems_of(text_of(f"a\n\n{body} b"))
    assert found
    return found[0]


@pytest.mark.parametrize("body", UNREADABLE)
def test_what_cannot_be_read_is_told_with_its_line(body: str):
    problem = told(body)
    assert problem.line == 7
    assert problem.what
    assert problem.hint


@pytest.mark.parametrize("body", FAILING)
def test_what_fails_is_told_with_its_line(body: str):
    with pytest.raises(MergeRefused) as refused:
        merged(f"a\n\n{body} b")
    problem = refused.value.problem
    assert (problem.file, problem.line) == ("letters/open-letter.md", 7)
    assert problem.what
    assert problem.hint
    assert "petition." not in f"{problem.what} {problem.hint}"  # no module of ours


@pytest.mark.parametrize(
    ("body", "mark", "hint"),
    [
        ("{{ recipient.name", "{{", "}}"),
        ("{% if recipient.name", "{%", "%}"),
        ("{{ recipient.name }", "}", "}}"),
        ("{{ recipient.name %}", "%}", "}}"),
        ("{{ recipient name }}", "name", "one word"),
        ("{{ recipient.first name }}", "name", "one word"),
        ("{% if recipient.first name %}x{% endif %}", "name", "one word"),
        ("{{ {{ recipient.name }} }}", "{{", "once"),
        ("{{% recipient.name %}}", "{{%", "{{ ... }}"),
        ('{{ "abc }}', '"', 'Write "'),
        ("{{ }}", "}}", "print"),
        ("{% %}", "%}", "if, for"),
        ("{{ “x” }}", "“", "straight"),
        ("{{ recipient.name | default(‘x’) }}", "‘", "straight"),
        ("{% if recipient.name && 1 %}x{% endif %}", "&&", "and"),
        ("{% if recipient.name || 1 %}x{% endif %}", "||", "or"),
        ("{% if !recipient.name %}x{% endif %}", "!", "not"),
        ('{{ recipient.name ? "a" : "b" }}', "?", "if"),
        ("{{ recipient->name }}", "->", "dot"),
        ("{{ recipient.name; }}", ";", "Remove"),
        ("{{ $name }}", "$", "alone"),
        ('{% if recipient.name = "x" %}x{% endif %}', "=", "=="),
        ('{% if recipient.name === "x" %}x{% endif %}', "===", "=="),
        ("{{ recipient.name = 5 }}", "=", "{% set"),
        ("{% if recipient.name %}x{% else if 1 %}y{% endif %}", "else if", "elif"),
        ("{% if recipient.name %}x{% elseif 1 %}y{% endif %}", "elseif", "elif"),
        ("{% if recipient.name %}x{% elsif 1 %}y{% endif %}", "elsif", "elif"),
        ("{% if recipient.name then %}x{% endif %}", "then", "Remove"),
        ("{% for d of demands %}y{% endfor %}", "of", "{% for demand in demands %}"),
        ("{% for demands %}y{% endfor %}", "%}", "{% for demand in demands %}"),
        ("{% endif %}", "endif", "before"),
        ("{% if 1 %}x{% endfor %}", "endfor", "{% endif %}"),
        ("{% if 1 %}x{% end %}", "end", "{% endif %}"),
        ("{% if 1 %}x", "if", "{% endif %}"),
        ("{% set x %}", "set", "{% set town ="),
        ("{% recipient.name %}", "recipient", "{{ }}"),
        ("{% fro x in demands %}", "fro", "Did you mean for"),
        ("{{ recipient.name | }}", "recipient.name |", "syntax"),
    ],
)
def test_slips_of_authors_are_marked_and_explained(body: str, mark: str, hint: str):
    problem = told(body)
    assert (problem.line, problem.mark) == (7, mark)
    assert hint in problem.hint


@pytest.mark.parametrize(
    "body",
    [
        "{{ recipient.name | }} {{ recipient.name is divisibleby 3 }} {{ 'a && b' }}",
        "{% if recipient.name == %}x{% endif %} {% if 'a = b' != 1 %}y{% endif %}",
        "{# a && b = c #} {{ recipient.name | }} {% raw %}{{ ? }}{% endraw %}",
        "{{ recipient.name | }}{% for d in demands|where(id='pay') %}{% endfor %}",
    ],
)
def test_nothing_right_is_taken_for_a_slip(body: str):
    assert "syntax" in told(body).hint


def test_a_block_that_is_never_closed_is_told_where_it_begins():
    text = "{% if recipient.name %}\n\na\n\n{% for d in demands %}\n{{ d.title }}\n\nb\n\n"
    (problem,) = problems_of(text_of(f"{text}{{% endfor %}}\n\nend"))
    assert (problem.line, problem.mark) == (5, "if")
    (problem,) = problems_of(text_of(text))
    assert (problem.line, problem.mark) == (9, "for")


@pytest.mark.parametrize("behind", ["", " b", ",\n\nb {{ today }}", ",\nb {{ today }}\n\n{{ x }}"])
def test_a_field_that_is_never_closed_is_told_where_it_begins(behind: str):
    (problem, *_) = problems_of(text_of(f"a\n\nDear {{{{ recipient.name{behind}"))
    assert (problem.line, problem.mark) == (7, "{{")


def test_a_field_of_two_lines_is_not_taken_for_open():
    text = text_of("{{ recipient.name\n or 'you' }}\n\n{{ recipient.name ? 1 }}")
    (problem,) = problems_of(text)
    assert (problem.line, problem.mark) == (8, "?")


def test_the_tag_that_failed_is_what_is_meant_of_its_line():
    with pytest.raises(MergeRefused) as refused:
        merged("a\n\nfor {{ recipient.name + 1 }} years")
    assert refused.value.problem.mark == "recipient.name + 1"
    assert "make a number with |int" in refused.value.problem.hint
