"""Tags are found where Jinja finds them, and put aside with their lines."""

import pytest

from petition.template.syntax_tree import template_syntax
from petition.template.tags import TAG, Role, find_reserved, mark_tags


def marked(source):
    found = mark_tags(source, template_syntax())
    return TAG.sub("@", found.text), [found.tag(mark) for mark in TAG.findall(found.text)]


def test_tag_becomes_one_character():
    text, tags = marked("Dear {{ a|default('}}') }}, {% if b %}x{% endif %}")
    assert text == "Dear @, @x@"
    assert [tag.source for tag in tags] == ["a|default('}}')", "if b", "endif"]
    assert [tag.role for tag in tags] == [Role.FIELD, Role.OPEN, Role.CLOSE]


@pytest.mark.parametrize(
    ("tag", "role"),
    [
        ("set x = 1", Role.ALONE),
        ("set x", Role.OPEN),
        ("else", Role.MIDDLE),
        ("elif x", Role.MIDDLE),
        ("for a in b", Role.OPEN),
        ("endfor", Role.CLOSE),
    ],
)
def test_role_of_a_statement(tag, role):
    _, tags = marked(f"{{% {tag} %}}")
    assert tags[0].role is role


def test_comment_goes_with_its_line():
    assert marked("a\n  {# note #}  \nb {# inner #} c\n{# two\nlines #}\nd")[0] == "a\nb  c\nd"


def test_raw_text_stays_as_it_is():
    assert marked("{% raw %}{{ x }}{% endraw %} {{ y }}")[0] == "{{ x }} @"


def test_white_space_control_is_carried_out():
    assert marked("a \n {{- x -}} \n b")[0] == "a@b"


def test_lines_count_in_the_source():
    source = "one\n{{ a\n or\n b }}\n{# c\n #}\n{{ d }} {% if e -%}\n\n\n{{ f }}{% endif %}\nend\n"
    found = mark_tags(source, template_syntax())
    lines = {found.tag(mark).source: found.tag(mark).line for mark in found.marks()}
    assert lines == {"a\n or\n b": 2, "d": 7, "if e": 7, "f": 10, "endif": 10}
    texts = found.text.split("\n")
    assert found.lines[texts.index("end")] == 11
    assert len(found.lines) == len(texts)


@pytest.mark.parametrize(
    "text",
    ["\U00100000", "\U0010ffff", "&#x100000;", "&#X10FFFD;", "&#1048576;", "\U0010f001"],
)
def test_reserved_characters_are_found(text):
    assert find_reserved(f"a\nb {text}") == 2


@pytest.mark.parametrize("text", ["\ue000", "\U000f0000", "&#65;", "&#x41;", "&amp;", ""])
def test_other_characters_are_not_reserved(text):
    assert find_reserved(text) is None
