"""A letter that prints fields and tests what is empty comes out as Jinja fills it, byte for byte.

What is checked by the form of a copy alone is what merging each copy would find.
"""

import pytest
from hypothesis import HealthCheck, assume, example, given, settings
from hypothesis import strategies as st

from petition.errors import CampaignError, MergeRefused
from petition.identity import Signer
from petition.merge.fast_fill import EncodedEnvironment, Forms, print_plain
from petition.merge.fill import PlainEnvironment
from petition.merge.message import Merger
from petition.template.fields import Named, in_html
from petition.template.sandbox import read_compiled
from petition.template.syntax_tree import template_syntax
from petition.template.tags import mark_tags
from tests.unit.merge.letters import NOW, freeze_texts, person_of, text_of

SUBJECT = "To {{ recipient.name or 'all' }} of {{ campaign.title }}"
CELL = st.sampled_from(
    [
        "Zoë <Kim>",
        "Жаңа",
        "",
        " ",
        "a\r\nb",
        "a\n<b",
        "\x00",
        "=3D",
        ".",
        "x" * 80,
        "no",
        " TRUE",
        "https://a.example/é?a=b",
    ]
) | st.text(max_size=30)
WAYS = st.sampled_from(
    [
        {"url": "https://campaign.example/a", "mailto": "leave+{token}@campaign.example"},
        {"mailto": "leave+{token}@campaign.example"},
        None,
    ]
)
PIECES = st.sampled_from(
    [
        *(
            "Dear ",
            "\n\n",
            "> ",
            "- ",
            ".*жж* ",
            "=",
            "{{ demands }}\n\n",
            "{{ today }} {{ today.year }}",
        ),
        *("{{ recipient.name }}", "{{ recipient.title }}", "{{ recipient.page }}"),
        *(
            "{{ recipient.title or 'Sir & Madam' }}",
            "{{ recipient.title or recipient.page or '' }}",
        ),
        *("{{ 'a' if recipient.title else recipient.page }}", "{{ not recipient.title }}"),
        *("{% if recipient.title %}", "{% elif recipient.page %}", "{% else %}", "{% endif %}"),
        *("{% if recipient.title and not recipient.page %}", "{{ 'a' if recipient.title }}"),
        *("[{{ recipient.name }}]({{ recipient.page }})", "[a](mailto:{{ recipient.title }})"),
        *("[a](https://a.example/{{ recipient.title or 'é' }})", "[b]({{ unsubscribe }})"),
        *("{{ unsubscribe }}", "{{ sender.name }}", "{{ sender.reply_to or '-' }}", "{{ 7 }}"),
        *("{{ recipient.title|upper }}", "{{ 'x' ~ recipient.page }}", "{{ sender.reply_to }}"),
        *("{{ signatories|length }}", "{{ demands[1].title|upper }}", "{{ today.year + 1 }}"),
        *(
            "{% if demands|length > 1 %}",
            "{{ demands[7].title }}",
            "{{ 1 // (demands|length - 2) }}",
        ),
        *("{% for demand in demands %}", "{{ demand.title }}", "{% endfor %}", "{{ demands }}"),
    ]
)
SIGNER = Signer(b"k" * 32)


@settings(suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much])
@given(
    pieces=st.lists(PIECES, max_size=7),
    rows=st.lists(st.tuples(CELL, CELL, CELL), min_size=1, max_size=4),
    ways=WAYS,
    yes_no=st.sampled_from([(), ("title",), ("page", "title")]),
)
@example(
    ["{% if recipient.title %}a{% endif %}{{ recipient.title }}"], [("A", "no", "")], None, "title"
)
def test_it_is_filled_as_jinja_fills_it(pieces, rows, ways, yes_no):
    text = text_of("".join(pieces), SUBJECT, kind="bulk")
    try:
        frozen = freeze_texts(text, unsubscribe=ways)
    except CampaignError:
        assume(False)
    frozen = frozen.counting(yes_no)
    printing, jinja = (Merger(frozen, SIGNER) for _ in range(2))
    loaded = jinja._text_for(person_of())
    loaded._forms.of = lambda _: None
    for name, title, page in rows:
        person = person_of(name=name, title=title, page=page)
        assert made(printing, person) == made(jinja, person)
        assert told(printing.subject, person) == told(jinja.subject, person)


def made(merger, person):
    return told(lambda person: merger.merge(person, 1, NOW, full=False), person)


def told(make, person):
    try:
        return make(person)
    except MergeRefused as refusal:
        return refusal.problem


ROW = {"a": "A"}
NAMES = {
    "unsubscribe": "https://a.example/u/0",
    "sender": Named("sender", {"name": "Ann", "reply_to": ""}),
    "demands": ("one",),
}


def filled(text, **cells):
    marked = mark_tags(text, template_syntax())
    template = PlainEnvironment(str), marked.template(marked.text)
    form = Forms(NAMES, in_html, template, template, template).of(cells)
    return form and form.subject(cells, "LEAVE")


def test_nobody_changes_the_tree_that_all_share():
    text = "é {{ recipient.a ~ 'é' }}{% for one in demands %}{{ one }}{% endfor %}"
    marked = mark_tags(text, template_syntax())
    template, names = marked.template(marked.text), NAMES | {"recipient": Named("recipient", ROW)}
    before = repr(read_compiled(template))
    plain, encoded = PlainEnvironment(str), EncodedEnvironment(print_plain)
    assert "".join(encoded.load(template).pieces(names)).startswith("=C3=A9 ")
    assert Forms(NAMES, in_html, *[(encoded, template)] * 3).of(ROW) is None
    assert "".join(plain.load(template).pieces(names)) == "é Aéone"
    assert repr(read_compiled(template)) == before


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("No field.", "No field."),
        ("a {{ recipient.a }} b", "a A b"),
        ("{{ recipient.empty or recipient.a }}{{ recipient.a or recipient.empty }}", "AA"),
        ("{{ sender.name }}{{ sender.reply_to or '-' }}{{ unsubscribe }}", "Ann-LEAVE"),
        ("{{ 'yes' if recipient.a and not recipient.empty else 'no' }}", "yes"),
        ("{% if recipient.empty %}1{% elif recipient.a %}2{% else %}3{% endif %}4", "24"),
        ("{% if recipient.empty %}1{% else %}{{ recipient.a }}{% endif %}", "A"),
        ("{% if demands and unsubscribe %}{{ 3 }}{% endif %}", "3"),
        ("{{ demands|length }}{{ sender.name|upper }}{{ 1 + 2 }}", "1ANN3"),
        ("{% if demands|length == 1 %}a{% endif %}{{ 'x' ~ sender.name }}", "axAnn"),
    ],
)
def test_what_it_prints_and_asks(text, expected):
    assert filled(text, a="A", empty=" ") == expected


@pytest.mark.parametrize(
    "text",
    [
        "{{ recipient.empty }}",
        "{{ recipient.a|upper }}",
        "{{ recipient.a ~ recipient.a }}",
        "{% if recipient.a == 'A' %}a{% endif %}",
        "{{ recipient }}",
        "{{ recipient.b }}",
        "{{ recipient.a.upper() }}",
        "{{ not recipient.a }}",
        "{{ recipient.a if recipient.empty }}",
        "{{ recipient.a|link_part|link_part }}",
        "{{ nobody.name }}",
        "{{ sender }}",
        "{{ sender.age }}",
        "{{ sender.age|upper }}",
        "{{ unsubscribe|length }}",
        "{{ 1 / (demands|length - 1) }}",
        "{{ demands.a }}",
        "{% set a = 1 %}",
        "{% for a in demands %}{% endfor %}",
        "{{ recipient.a }}" * 1001,
    ],
)
def test_whatever_does_more_is_left_to_jinja(text):
    assert filled(text, a="A", empty="") is None


@pytest.mark.parametrize("cell", ["\0", "a\r\nb", "\ud800"])
def test_a_cell_that_is_not_printed_as_it_stands_is_left_to_jinja(cell):
    assert filled("{{ recipient.a }}", a="A") == "A"
    assert filled("{{ recipient.a }}", a=cell) is None


CHECKED_PIECES = st.sampled_from(
    [
        *("Dear ", "\n\n", "> ", "*a* "),
        *("{{ recipient.name }}", "{{ recipient.title }}", "{{ recipient.salutation }}"),
        *("{{ recipient.title or 'x' }}", "{{ recipient.title and recipient.salutation }}"),
        *("{{ 'a' if recipient.title else recipient.salutation }}", "{{ not recipient.title }}"),
        *("{% if recipient.title %}", "{% elif recipient.salutation %}", "{% else %}"),
        *("{% endif %}", "{% if recipient.title and not recipient.salutation %}"),
        *("{% if recipient.title == 'b' %}", "{{ recipient.title | upper }}", "{{ 1 / 0 }}"),
        *("{{ recipient.title[1] }}", "{{ recipient['title'] }}", "{{ recipient.title ~ 'x' }}"),
        *("{% for letter in recipient.title %}", "{{ letter }}", "{% endfor %}"),
        *("{% set title = recipient.title %}", "{{ title }}", "{{ 5 // (not recipient.title) }}"),
        *("[{{ recipient.title }}](https://a.example/{{ recipient.title }})", "{{ today }}"),
        *("{{ signatories | length }}", "{{ demands[5].title }}", "{{ range(2) | join }}"),
    ]
)
CHECKED_SUBJECTS = (
    *("Hello", "To {{ recipient.title }}", "{{ recipient.title or '-' }}", "{{ today }}"),
    *("{{ recipient.title }}", "{{ recipient.name }}: 5 % of {{ recipient.title }}"),
)
CHECKED_CELLS = st.sampled_from(
    ["", " ", "\t", "\u2003", "b", "<b>", "Жу", "a\x00", "\r\nb", "\ud800", "a\tb", "%s", "é" * 901]
)


@settings(suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much])
@example(
    pieces=["{{ recipient.title or 'x' }}"],
    subject="Hello",
    rows=[("", "b", ""), ("", "a\x00", ""), ("", "\ud800", "")],
)
@given(
    pieces=st.lists(CHECKED_PIECES, min_size=1, max_size=6),
    subject=st.sampled_from(CHECKED_SUBJECTS),
    rows=st.lists(st.tuples(CHECKED_CELLS, CHECKED_CELLS, CHECKED_CELLS), min_size=2, max_size=6),
)
def test_check_finds_in_each_row_what_merging_it_would(pieces, subject, rows):
    try:
        frozen = freeze_texts(text_of("".join(pieces), subject))
    except CampaignError:
        return
    checking, merging = (Merger(frozen, SIGNER) for _ in range(2))
    for name, title, salutation in rows:
        person = person_of(name=name.strip(), title=title, salutation=salutation)
        assert found(checking.check, person) == found(merging.merge, person, full=False)


def found(made, person, **how):
    """The subject of a copy, or why there is none."""
    try:
        copy = made(person, 1, NOW, **how)
    except MergeRefused as refusal:
        return refusal.problem
    return copy if isinstance(copy, str) else copy.subject
