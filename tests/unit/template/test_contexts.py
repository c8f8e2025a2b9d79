"""A field stands as data wherever a letter can have one."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from petition.template.markdown import read_markdown
from petition.template.tags import Marked
from tests.unit.merge.letters import (
    html_of,
    merger_of,
    person_of,
    plain_of,
    problems_of,
    text_of,
)

NAUGHTY = "<b>&\"'</b> **x** [a](https://evil.example) {{ 7 * 7 }} `c` | # > - _y_"
ESCAPED = (
    "&lt;b&gt;&amp;&quot;&#x27;&lt;/b&gt; **x** [a](https://evil.example) {{ 7 * 7 }} `c`"
    " | # &gt; - _y_"
)
CONTEXTS = {
    "paragraph": ("say {{ recipient.title }} now", "say {} now"),
    "heading": ("# {{ recipient.title }}", "{}"),
    "underlined heading": ("{{ recipient.title }}\n====", "{}"),
    "emphasis": ("*{{ recipient.title }}*", "{}"),
    "strong": ("a**{{ recipient.title }}**b", "a{}b"),
    "code": ("`{{ recipient.title }}`", "{}"),
    "code block": ("```\n{{ recipient.title }}\n```", "    {}"),
    "list": ("- {{ recipient.title }}\n- b", "- {}\n- b"),
    "numbered list": ("2. {{ recipient.title }}\n3. b", "2. {}\n3. b"),
    "quote": ("> {{ recipient.title }}", "> {}"),
    "table": ("| a | b |\n|---|---|\n| c | {{ recipient.title }} |", "a | b\nc | {}"),
    "table head": ("| b | {{ recipient.title }} |\n|---|---|\n| a | c |", "b | {}\na | c"),
    "link text": ("[{{ recipient.title }}](https://a.example)", "{} <https://a.example>"),
    "condition": ("{% if recipient.name %}\n{{ recipient.title }}\n{% endif %}", "{}"),
    "inline condition": ("a{% if 1 %}{{ recipient.title }}{% endif %}b", "a{}b"),
    "loop": ("{% for x in 'ab' %}\n{{ recipient.title }}\n{% endfor %}", "{0}\n\n{0}\n"),
    "after a break": ("a  \n{{ recipient.title }}", "a\n{}"),
    "begins with a mark of Markdown": ("{{ '#' }} {{ recipient.title }}", "# {}"),
}


@pytest.mark.parametrize("context", CONTEXTS)
def test_value_is_data_in_every_context(context):
    body, text = CONTEXTS[context]
    person = person_of(title=NAUGHTY)
    assert plain_of(body, person) == text.format(NAUGHTY) + "\n"
    html = html_of(body, person)
    assert ESCAPED in html
    assert "evil.example" not in re.sub(re.escape(ESCAPED), "", html)


@pytest.mark.parametrize("context", CONTEXTS)
def test_markup_is_the_letters_alone(context):
    def skeleton(value):
        return re.findall(r"<[^>]*>", html_of(CONTEXTS[context][0], person_of(title=value)))

    assert skeleton(NAUGHTY) == skeleton("plain")


@given(value=st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1))
def test_any_value_is_data_in_the_html(value):
    person = person_of(title=f"x{value}")
    title = "{{ recipient.title }}"
    body = f"# a {title}\n\n[{title}](https://a.example/{title})"
    plain = html_of(body, person_of(title="x"))
    assert len(re.findall("[<>]", html_of(body, person))) == len(re.findall("[<>]", plain))


def test_escaped_html_is_text():
    assert html_of(r"\<b>x\</b> &amp; <x>").endswith("&lt;b&gt;x&lt;/b&gt; &amp; &lt;x&gt;</p>")
    assert "&lt;br&gt;" in html_of("`<br>`")


@pytest.mark.parametrize(
    ("html", "instead"),
    [
        ("<br>", "backslash"),
        ("<BR />", "backslash"),
        ("<b>x</b>", "**words**"),
        ('<a href="https://a.example">x</a>', "[words](https://"),
        ("<u>x</u>", "*words*"),
        ("<div>\nx\n</div>", "empty line"),
        ("<!-- {{ recipient.name }} -->", "{#"),
        ("x <!-- a\n\nb -->", "{#"),
    ],
)
def test_html_in_a_letter_is_a_problem_with_what_to_write(html, instead):
    problem, *_ = problems_of(text_of(f"First.\n\n- {html}"))
    assert problem.line == 7
    assert instead in problem.hint


@pytest.mark.parametrize("typed", [r"a \<!-- b", r"a \<\!-- b --\>"])
def test_html_behind_a_backslash_is_text(typed):
    assert plain_of(typed) in {"a <!-- b\n", "a <!-- b -->\n"}


def test_raw_text_is_no_template():
    body = "{% raw %}{{ recipient.name }} {% if %} {# x #}{% endraw %}"
    assert plain_of(body) == "{{ recipient.name }} {% if %} {# x #}\n"


def test_text_that_decodes_to_a_tag_is_no_template():
    assert plain_of("&#123;{ recipient.name }} &lbrace;% x") == "{{ recipient.name }} {% x\n"


def test_emphasis_and_softbreaks_go_hard_breaks_stay():
    assert plain_of("*a* __b__\nc\\\nd `e`") == "a b c\nd e\n"


def test_nested_blocks_are_indented():
    body = "- a\n  - b\n\n    c\n- > d\n  > e\n"
    assert plain_of(body) == "- a\n  - b\n\n    c\n- > d e\n"


def test_rule_and_headings_stand_alone():
    assert plain_of("# A\nb\n\n---\nc") == "A\n\nb\n\n* * *\n\nc\n"


def test_image_is_a_problem_with_its_line():
    (problem,) = problems_of(text_of("a\n\nb\nc ![alt](https://a.example/x.png)"))
    assert (problem.file, problem.line) == ("letters/open-letter.md", 8)
    assert "image" in problem.what


def test_field_that_would_not_be_printed_is_a_problem():
    body = "x\n\n[a](https://a.example '{{ recipient.name }}')"
    (problem,) = problems_of(text_of(body))
    assert problem.line == 7
    assert "{{ recipient.name }}" in problem.what


def test_unused_reference_with_a_field_is_a_problem():
    (problem,) = problems_of(text_of("x\n\n[a]: https://a.example/{{ recipient.id }}"))
    assert problem.line == 7


def test_page_has_language_direction_and_nothing_remote():
    page = merger_of("[x](https://a.example)").html(person_of(), 1)
    assert page.startswith('<!DOCTYPE html><html lang="en" dir="ltr">')
    assert re.findall(r"(?:src|url|href)\W+[^ >]*", page) == ['href="https://a.example"']
    assert "<link" not in page
    assert "<style>\n@media (prefers-color-scheme: dark)" in page


@pytest.mark.parametrize("mark", ["> ", "- "])
@pytest.mark.parametrize("depth", range(1, 30))
def test_what_is_nested_is_kept_or_refused(mark: str, depth: int):
    problems = list[str]()
    nodes = read_markdown(
        Marked(f"{mark * depth}the text\n"), lambda _line, what, _hint: problems.append(what)
    )
    assert bool(problems) is ("the text" not in repr(nodes))
    assert depth > 5 or not problems
