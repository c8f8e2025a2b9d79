"""Copies of one shape: what is checked by shape alone is what merging each copy would find."""

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from petition.errors import CampaignError, MergeRefused
from petition.identity import Signer
from petition.merge.fast_fill import columns_of
from petition.merge.message import Merger
from petition.merge.template.tags import BLOCK, VARIABLE, Template
from tests.unit.merge.letters import NOW, freeze_texts, person_of, text_of

PIECES = st.sampled_from(
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
    ]
)
SUBJECTS = (
    *("Hello", "To {{ recipient.title }}", "{{ recipient.title or '-' }}", "{{ today }}"),
    *("{{ recipient.title }}", "{{ recipient.name }}: 5 % of {{ recipient.title }}"),
)
CELLS = st.sampled_from(
    ["", " ", "\t", "\u2003", "b", "<b>", "Жу", "a\x00", "\r\nb", "\ud800", "a\tb", "%s", "é" * 901]
)


@settings(suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much])
@example(
    pieces=["{{ recipient.title or 'x' }}"],
    subject="Hello",
    rows=[("", "b", ""), ("", "a\x00", ""), ("", "\ud800", "")],
)
@given(
    pieces=st.lists(PIECES, min_size=1, max_size=6),
    subject=st.sampled_from(SUBJECTS),
    rows=st.lists(st.tuples(CELLS, CELLS, CELLS), min_size=2, max_size=6),
)
def test_check_finds_in_each_row_what_merging_it_would(pieces, subject, rows):
    try:
        frozen = freeze_texts(text_of("".join(pieces), subject))
    except CampaignError:
        return
    checking, merging = (Merger(frozen, Signer(b"k" * 32)) for _ in range(2))
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


@pytest.mark.parametrize(
    ("source", "columns"),
    [
        ("Hello", set()),
        ("{{ recipient.a }} {{ recipient.b or 'x' }}", {"a", "b"}),
        ("{% if not recipient.a and recipient.b %}{{ today }}{% endif %}", {"a", "b"}),
        ("{{ recipient.a if recipient.b else recipient.c }}", {"a", "b", "c"}),
        ("{{ (recipient.a or 'x') == 'y' }}", None),
        ("{{ recipient.a | upper }}", None),
        ("{{ recipient }}", None),
        ("{{ recipient[x] }}", None),
        ("{{ recipient.a.upper() }}", None),
        ("{% set recipient = 1 %}", None),
        ("{% for x in demands %}{{ recipient.a }}{% endfor %}", None),  # its length would count
    ],
)
def test_columns_of(source, columns):
    for old, new in zip(("{{", "}}", "{%", "%}"), (*VARIABLE, *BLOCK), strict=True):
        source = source.replace(old, new)
    assert columns_of(Template(source, (1,))) == columns
