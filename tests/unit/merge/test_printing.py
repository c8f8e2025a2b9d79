"""A letter that only prints fields comes out as Jinja fills it, byte for byte."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from petition.errors import MergeRefused
from petition.identity import Signer
from petition.merge.loaded import PlainEnvironment
from petition.merge.message import Merger
from petition.merge.printing import Form, Print, parts_of
from petition.merge.tags import mark_tags
from petition.merge.template import template_syntax
from tests.unit.merge.letters import NOW, freeze_texts, person_of, text_of

BODIES = [
    "No field.",
    "Dear {{ recipient.name }},\n\n.{{ recipient.title }} {{ sender.name }} {{ today }}",
    'Dear {{ recipient.title or "Sir & Madam" }} {{ recipient.name or "жж" }} {{ today.year }}',
    "[{{ recipient.name }}]({{ recipient.page }}) {{ recipient.page }}\n\n{{ demands }}",
    "[a](https://a.example/{{ recipient.title or 'x' }}) [b](mailto:{{ recipient.page }})",
    '{{ recipient.title or "" }}{{ recipient.title or " " }} {{ sender.reply_to or "-" }}',
]
SUBJECT = "To {{ recipient.name or 'all' }} of {{ campaign.title }}"
CELL = st.sampled_from(
    [
        "Zoë <Kim>",
        "Жаңа",
        "",
        " ",
        "a\r\nb",
        "\x00",
        "=3D",
        ".",
        "x" * 80,
        "https://a.example/é?a=b",
    ]
) | st.text(max_size=30)
SIGNER = Signer(b"k" * 32)


BULK = "Dear {{ recipient.name }}\n\n[Leave]({{ unsubscribe }}) {{ unsubscribe }}"
WAYS = [
    {"url": "https://campaign.example/a", "mailto": "leave+{token}@campaign.example"},
    {"mailto": "leave+{token}@campaign.example"},
    None,
]


def mergers(body, unsubscribe=None, **front):
    """One that knows what is only printed, and one that leaves all to Jinja."""
    text = text_of(body, SUBJECT, **front)
    both = [Merger(freeze_texts(text, unsubscribe=unsubscribe), SIGNER) for _ in range(2)]
    loaded = both[1]._text_for(person_of())
    loaded.__dict__.update(_form=None, _subject_form=None)
    assert both[0]._text_for(person_of())._form
    return both


def made(merger, person):
    try:
        return merger.merge(person, 1, NOW, full=False)._replace(is_whole=True)
    except MergeRefused as refusal:
        return refusal.problem


@pytest.mark.parametrize("body", BODIES)
def test_it_is_filled_as_jinja_fills_it(body):
    assert_the_same(*mergers(body))


@pytest.mark.parametrize("ways", WAYS)
def test_a_link_for_leaving_is_printed_as_jinja_prints_it(ways):
    assert_the_same(*mergers(BULK, ways, kind="bulk"))


def assert_the_same(printing, jinja):
    @given(name=CELL, title=CELL, page=CELL)
    def check(**cells):
        person = person_of(**cells)
        assert made(printing, person) == made(jinja, person)
        assert told(printing.subject, person) == told(jinja.subject, person)
        if not isinstance(made(printing, person), tuple):
            return
        assert printing.merge(person, 1, NOW, full=False).is_whole

    check()


def told(subject, person):
    try:
        return subject(person)
    except MergeRefused as refusal:
        return refusal.problem


def template_of(text):
    marked = mark_tags(text, template_syntax())
    return marked.template(marked.text)


def parts(text, names=None):
    return parts_of(PlainEnvironment(str), template_of(text), names or {})


def test_what_all_copies_print_alike_is_printed_once():
    names = {"unsubscribe": "https://a.example/u/0", "year": "2015"}
    found = parts('{{ year }}{{ unsubscribe }}{{ recipient.name or "all" }}', names)
    assert found == ["2015", Print("unsubscribe"), Print("recipient", "name", "all")]


@pytest.mark.parametrize(
    "text",
    [
        "{% if recipient.name %}a{% endif %}",
        "{{ recipient.name|upper }}",
        "{{ recipient.name ~ recipient.title }}",
        "{{ recipient }}",
        "{{ recipient.title or recipient.name }}",
        '{{ recipient.title or recipient.name or "a" }}',
        '{{ recipient.title or "a" or "b" }}',
        '{{ (recipient.title|link_part) or "a" }}',
        "{{ recipient.title|link_part|link_part }}",
        "{{ recipient.title or 3 }}",
        "{{ 'a' }}",
        "{{ nobody.name }}",
        "{{ unsubscribe }}",
        "{{ recipient.name }}" * 1001,
    ],
)
def test_whatever_does_more_is_left_to_jinja(text):
    assert parts(text) is None


@pytest.mark.parametrize("cells", [{"name": " "}, {}, {"name": "\0"}])
def test_what_is_out_of_the_ordinary_is_left_to_jinja(cells):
    form = Form(parts("a\n{{ recipient.name }}"))
    assert form.filled(0, form.texts({"name": "Kim"}, "")) == ["a\n", "Kim"]
    with pytest.raises(Exception, match=r"name|control"):
        form.texts(cells, "")
