"""A template that only prints fields comes out as Jinja fills it."""

import pytest

from petition.merge.fields import Named
from petition.merge.loaded import PlainEnvironment
from petition.merge.printing import Print, prints_of
from petition.merge.refusals import ValueRefused
from petition.merge.splice import SplicedEnvironment, print_html, print_plain
from petition.merge.tags import mark_tags
from petition.merge.template import template_syntax

ENVIRONMENTS = (
    lambda: PlainEnvironment(str),
    lambda: SplicedEnvironment(print_plain),
    lambda: SplicedEnvironment(print_html),
)
CELLS = {"name": "Zoë <Kim>", "title": "", "street": ".a=b" * 60}
NAMES = {"recipient": Named("recipient", CELLS), "sender": Named("sender", {"name": "Ann"})}


def template_of(text):
    marked = mark_tags(text, template_syntax())
    return marked.template(marked.text)


@pytest.mark.parametrize("environment", ENVIRONMENTS)
@pytest.mark.parametrize(
    "text",
    [
        "",
        "No field.\n",
        "Dear {{ recipient.name }},\n\n.{{ recipient.street }}\n{{ sender.name }}",
        'Dear {{ recipient.title or "Sir & Madam" }} {{ recipient.name or "all" }}',
    ],
)
def test_it_is_filled_as_jinja_fills_it(environment, text):
    renderer = environment().load(template_of(text))
    assert renderer._prints is not None
    without = renderer.render(NAMES)
    renderer._prints = None
    assert without == renderer.render(NAMES)


@pytest.mark.parametrize(
    "text",
    [
        "{% if recipient.name %}a{% endif %}",
        "{{ recipient.name|upper }}",
        "{{ recipient.name ~ recipient.title }}",
        "{{ recipient }}",
        "{{ recipient.title or recipient.name }}",
        '{{ recipient.title or recipient.name or "a" }}',
        "{{ recipient.title or 3 }}",
        "{{ 'a' }}",
    ],
)
def test_whatever_does_more_is_left_to_jinja(text):
    assert PlainEnvironment(str).load(template_of(text))._prints is None


def test_an_empty_cell_is_refused_with_its_line():
    renderer = PlainEnvironment(str).load(template_of("a\n{{ recipient.title }}"))
    assert renderer._prints == ("a\n", Print("recipient", "title"))
    with pytest.raises(ValueRefused, match=r"recipient\.title is empty"):
        renderer.render(NAMES)


def test_a_name_that_nobody_has_is_left_to_jinja():
    assert prints_of(template_syntax().parse("{{ nobody.name }}")) == (Print("nobody", "name"),)
    with pytest.raises(Exception, match="nobody"):
        PlainEnvironment(str).load(template_of("{{ nobody.name }}")).render(NAMES)
