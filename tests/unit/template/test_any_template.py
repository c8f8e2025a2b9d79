"""Whatever a letter's text is: it compiles to sound markup, or its problems are told."""

import re
from html.parser import HTMLParser

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from petition.errors import CampaignError, MergeRefused
from petition.identity import Signer
from petition.merge.message import Merger
from tests.unit.merge.letters import NOW, freeze_texts, parts_of, person_of, text_of

FRAGMENTS = st.sampled_from(
    [
        *("a", "b ", " c", "\n", "\n\n", "  \n", "*", "**", "_", "`", "```\n", "> ", "- ", "1. "),
        *("# ", "| a | b |\n|---|---|\n", "| x | y |\n", "---\n", "[", "](https://a.example/", ")"),
        *("<https://a.example/", ">", "<b>", "&amp;", "\\", "    ", "  ", "{", "}", ".", "\t", "ж"),
        *("[r]: https://a.example/", "[r]", "![", "mailto:", "://", "(", "<", '"', "&#123;{ x }}"),
        *("{{ recipient.name }}", "{{ recipient.title or '' }}", "{{ demands }}", "{{ today }}"),
        *("{% if recipient.title %}", "{% else %}", "{% endif %}", "{% elif 1 %}", "{# c #}"),
        *("{% for x in 'ab' %}", "{{ x }}", "{% endfor %}", "{% set y = 1 %}", "{{- 'z' -}}"),
        *("{% raw %}{{ q }}{% endraw %}", "{{ signatories }}", "{% set v %}", "{% endset %}"),
        *("\n{% if recipient.title %}\n", "\n{% endif %}\n", "\n{% for x in 'ab' %}\n"),
        *("\n{% endfor %}\n", "\n- ", "\n1. ", "\n> ", "\n{% else %}\n"),
    ]
)
BODIES = st.lists(FRAGMENTS, max_size=25).map("".join)
VOID = frozenset({"br", "hr", "meta"})


class Sound(HTMLParser):
    """Fails where an element is closed that is not the one that is open."""

    def __init__(self):
        super().__init__()
        self.open = []

    def handle_starttag(self, tag, attrs):
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


@settings(suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much])
@given(body=BODIES)
def test_text_compiles_or_its_problems_are_told(body):
    frozen, problems = attempt(body)
    assert all(problem.line for problem in problems)
    assume(frozen is not None)
    merger = Merger(frozen, Signer(b"k" * 32))
    for title in ("", "T<&"):
        assert_sound(merger, person_of(title=title))


def attempt(body):
    try:
        return freeze_texts(text_of(body)), []
    except CampaignError as fault:
        return None, fault.problems


def assert_sound(merger, person):
    try:
        sent = merger.merge(person, 1, NOW, full=True)
    except MergeRefused:
        return  # {{ x }} outside of its loop
    _, text, html = parts_of(sent.data)
    parser = Sound()
    parser.feed(html)
    parser.close()
    assert not parser.open
    assert html == merger.html(person, 1)
    assert text == re.sub("[\x02\x03]", "", merger.show(person, 1, NOW).text)
    assert not re.search("[\U00100000-\U0010ffff]", text + html)
    assert max(map(len, sent.data.split(b"\r\n"))) <= 76


def test_a_table_of_very_many_columns_is_told_with_its_line():
    frozen, (problem,) = attempt("Dear you\n\n" + "|a" * 101 + "|\n" + "|-" * 101 + "|\n")
    assert frozen is None
    assert problem.line == 7
    assert attempt("|a" * 100 + "|\n" + "|-" * 100 + "|\n")[1] == []


@pytest.mark.parametrize(
    "line",
    ["{% for x in range(90) %}{% for y in range(900) %}{% endfor %}{% endfor %}", "{{ 9**9**9 }}"],
)
def test_what_is_too_much_for_a_letter_to_many_is_told_with_its_line(line):
    frozen, problems = attempt("Dear you\n\n" + line + "\n")
    if frozen is not None:
        with pytest.raises(MergeRefused) as refused:
            Merger(frozen, Signer(b"k" * 32)).merge(person_of(), 1, NOW, full=True)
        problems = [refused.value.problem]
    assert [problem.line for problem in problems] == [7]
