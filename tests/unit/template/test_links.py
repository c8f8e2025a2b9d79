"""A field in a link can neither begin another link nor choose its host."""

import html
import re
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from petition.errors import MergeRefused
from petition.template.tags import whole_link
from tests.unit.merge.letters import (
    html_of,
    merged,
    person_of,
    plain_of,
    problems_of,
    text_of,
)

WHOLE = "[your page]({{ recipient.page }})"
PART = "[your page](https://a.example/p/{{ recipient.page }}/x?q={{ recipient.page }})"


def links(body, page):
    found = re.findall('href="([^"]*)"', html_of(body, person_of(page=page)))
    return [html.unescape(link) for link in found]


@pytest.mark.parametrize(
    ("page", "link"),
    [
        ("https://a.example/ä b?c=d&e=f", "https://a.example/%C3%A4%20b?c=d&e=f"),
        ("http://a.example", "http://a.example"),
        ("HTTPS://a.example/%20", "HTTPS://a.example/%20"),
        ("mailto:kim@kaz.example", "mailto:kim@kaz.example"),
        ('https://a.example/"><script>', "https://a.example/%22%3E%3Cscript%3E"),
    ],
)
def test_whole_link_is_let_through(page, link):
    assert links(WHOLE, page) == [link]
    assert plain_of(WHOLE, person_of(page=page)) == f"your page <{link}>\n"


@pytest.mark.parametrize(
    "page",
    [
        "javascript:alert(1)",
        "data:text/html,x",
        " https://a.example",
        "java\tscript:x",
        "//a.example",
        "ftp://a.example",
        "x",
        "https://",
        "https://bank.example@evil.example/",
        "https://a.example/x\njavascript:x",
        "vbscript:https://a.example",
    ],
)
def test_any_other_scheme_is_refused_with_the_row(page):
    with pytest.raises(MergeRefused) as refused:
        merged(WHOLE, person=person_of(page=page))
    assert (refused.value.problem.file, refused.value.problem.line) == ("recipients.csv", 7)
    assert "letters/open-letter.md:5" in refused.value.problem.what


def test_part_of_a_link_is_only_a_part():
    page = 'a/../b?c#d&"<>%\\:@é'
    part = "a%2F..%2Fb%3Fc%23d%26%22%3C%3E%25%5C%3A%40%C3%A9"
    assert links(PART, page) == [f"https://a.example/p/{part}/x?q={part}"]


def test_address_after_mailto_keeps_its_at_sign():
    assert links("[x](mailto:{{ recipient.page }})", "a+b@c.example?cc=d") == [
        "mailto:a%2Bb@c.example%3Fcc%3Dd"
    ]


def test_condition_in_a_link():
    body = (
        "[x]({% if recipient.title %}https://a.example/{{ recipient.id }}"
        "{% else %}{{ recipient.page }}{% endif %})"
    )
    assert links(body, "https://b.example/?x=1") == ["https://b.example/?x=1"]


@pytest.mark.parametrize(
    "link",
    [
        "javascript:alert(1)",
        "page.html",
        "#x",
        "//a.example",
        "ftp://a.example",
        "data:text/html,x",
        "java{{ recipient.page }}",
        "http{{ recipient.page }}",
        "/{{ recipient.page }}",
    ],
)
def test_letter_links_to_the_web_and_mail_alone(link):
    (problem,) = problems_of(text_of(f"a\n\n[x](<{link}>)"))
    assert problem.line == 7
    assert "does not begin with https://" in problem.what


def test_field_does_not_choose_the_host():
    (problem,) = problems_of(text_of("[x](https://{{ recipient.page }}/)"))
    assert "host of a link" in problem.what
    (problem,) = problems_of(text_of("[x](https://a.example{{ recipient.page }})"))
    assert "host of a link" in problem.what


def test_statement_across_a_links_end_is_a_problem():
    assert problems_of(text_of("[x](https://a.example/{% if 1 %}a) b{% endif %}"))


def test_link_whose_words_are_its_target_is_written_once():
    assert plain_of("<https://a.example/x>") == "https://a.example/x\n"
    assert plain_of("[https://a.example](https://a.example)") == "https://a.example\n"
    assert plain_of("<kim@kaz.example>") == "kim@kaz.example\n"
    assert plain_of("[kim@kaz.example](mailto:kim@kaz.example)") == "kim@kaz.example\n"
    person = person_of(page="ä")
    body = "<https://a.example/{{ recipient.page }}>"
    assert plain_of(body, person) == "https://a.example/%C3%A4\n"


def test_international_host_is_written_in_ascii():
    static = links("[x](https://қазақ.example/ж)", "")[0]
    assert re.fullmatch("https://xn--[a-z0-9-]+.example/%D0%B6", static)
    body = "[x](https://қазақ.example/{{ recipient.page }})"
    assert re.fullmatch("https://xn--[a-z0-9-]+.example/1", links(body, "1")[0])


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ("at https://a.example/x, or www.b.example", "https://a.example/x"),
        ("(https://a.example/x(y)). **https://a.example/x(y)**", "https://a.example/x(y)"),
        ("write to Info@a.example.", "mailto:Info@a.example"),
        ("https://a.example/?q={{ recipient.page }}.", "https://a.example/?q=a%20b"),
        ("{% if recipient.page %}https://a.example{% endif %}", "https://a.example"),
        ("[https://a.example/](https://b.example/)", "https://b.example/"),
    ],
)
def test_a_bare_address_is_a_link(body, expected):
    assert {*links(body, "a b")} == {expected}


@pytest.mark.parametrize(
    "body",
    [
        "{{ recipient.page }}",
        "https://{{ recipient.page }}/x",
        "https://a.example{{ recipient.page }}",
        "https://a.example/{% if recipient.page %}x{% endif %}",
        "info@{{ recipient.page }} info@a.example{{ recipient.page }}",
        "`https://a.example/`",
        "https://",
    ],
)
def test_no_cell_makes_a_link_or_chooses_where_one_leads(body):
    assert links(body, "https://evil.example") == []


@given(rest=st.text(st.characters(max_codepoint=0x17F)) | st.text("/:=&?~#+!$,;'@()*[]%-_. aé<>\""))
def test_a_whole_link_is_quoted_as_the_library_quotes_it(rest):
    link = f"https://a.example/{rest}"
    if "\n" not in rest:  # as there is none in a link
        assert whole_link(link) == quote(link, safe="%/:=&?~#+!$,;'@()*[]")
