"""Letters that print fields and do no more, as most do: filled without Jinja.

What is the same in all copies is printed and encoded once. A copy comes out as Jinja fills it, in a
fifth of the time. Whatever is out of the ordinary (a cell that is empty, a column that is not
there) raises, and is left to Jinja, which knows the line it stands on.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from jinja2 import nodes

from petition.merge.fields import Named, Value, clean, printed
from petition.merge.links import FILTERS
from petition.merge.refusals import ValueRefused
from petition.merge.sandbox import LetterEnvironment, can_grow
from petition.merge.tags import Template

# What differs from copy to copy; whatever else such a letter can name is the same in each.
RECIPIENT, UNSUBSCRIBE = "recipient", "unsubscribe"


class Print(NamedTuple):
    """What is printed: `{{ name.field or "otherwise" }}`.

    Args:
        name: What the letter names.
        field: Which field of it; "": the thing itself.
        otherwise: What stands in for an empty one; None: nothing does.
        link: The filter that makes it a link or a part of one; "": none.
    """

    name: str
    field: str = ""
    otherwise: str | None = None
    link: str = ""


Part = str | Print


class _DoesMore(Exception):
    """A template does more than print."""


class Form:
    """Templates that print fields and do no more, filled together.

    Args:
        templates: The parts of each, as `parts_of` finds them.
    """

    def __init__(self, *templates: Sequence[Part]) -> None:
        prints = [part for parts in templates for part in parts if isinstance(part, Print)]
        self._prints = list(dict.fromkeys(prints))
        self._blanks = [_Blanks(parts, self._prints) for parts in templates]

    def texts(self, cells: Mapping[str, str], leave: str) -> list[str]:
        """What the templates print of a person, each text once.

        Args:
            cells: The person's row.
            leave: Where their link for leaving the list leads.

        Raises:
            LookupError: There is no such column, or nothing in it.
            ValueRefused: A text cannot be printed.
        """
        texts = []
        for name, field, otherwise, link in self._prints:
            text = cells[field] if name == RECIPIENT else leave
            if not text or text.isspace():
                if otherwise is None:
                    raise LookupError(field)
                text = otherwise
            text = clean(text)
            texts.append(FILTERS[link](text) if link else text)
        return texts

    def filled(self, number: int, texts: Sequence[str]) -> list[str]:
        """A template in pieces: its own text, and between them what it prints.

        Args:
            number: Which template, from 0.
            texts: What `texts` gave, each as the template is to have it.
        """
        return self._blanks[number].filled(texts)


class _Blanks:
    """A template's own text in pieces, and which of the prints goes into each blank among them."""

    def __init__(self, parts: Sequence[Part], prints: Sequence[Print]) -> None:
        self._pieces = ["" if isinstance(part, Print) else part for part in parts]
        self._blanks = [
            (at, prints.index(part)) for at, part in enumerate(parts) if isinstance(part, Print)
        ]

    def filled(self, texts: Sequence[str]) -> list[str]:
        pieces = self._pieces.copy()
        for at, which in self._blanks:
            pieces[at] = texts[which]
        return pieces


def parts_of(
    environment: LetterEnvironment, template: Template, names: Mapping[str, Any]
) -> list[Part] | None:
    """A template's own text and what it prints of a person; None where it does anything else.

    Args:
        environment: What the template runs in.
        template: The template.
        names: What it can name, but for the person.
    """
    tree = environment.parse(template.source)
    if can_grow(tree, len(template.lines)):
        return None
    finish: Callable[[Value], str] = environment.finalize or str
    try:
        return [_settled(part, names, finish) for part in _parts(tree.body)]
    except (_DoesMore, LookupError, ValueRefused):
        return None


def _settled(part: Part, names: Mapping[str, Any], finish: Callable[[Value], str]) -> Part:
    """A part; what all copies print alike is printed now.

    Raises:
        Exception: It cannot be printed.
    """
    if isinstance(part, str) or (part.name == RECIPIENT and part.field):
        return part
    value = names[part.name]
    if part.name == UNSUBSCRIBE and not part.field:
        return part
    if part.field:
        value = _field(value, part.field)
    if part.otherwise is not None:
        value = value or part.otherwise
    return finish(FILTERS[part.link](printed(value)) if part.link else value)


def _field(value: Value, field: str) -> Value:
    if not isinstance(value, Named):
        raise _DoesMore
    return value.field(field)


def _parts(body: Sequence[nodes.Node]) -> Iterator[Part]:
    """The parts of a template.

    Raises:
        _DoesMore: There is something else in it.
    """
    for output in body:
        if not isinstance(output, nodes.Output):
            raise _DoesMore
        for node in output.nodes:
            yield node.data if isinstance(node, nodes.TemplateData) else _print(node)


def _print(node: nodes.Node | None) -> Print:
    """What an expression prints: `x.y`, `x.y or "z"`, either of them with a filter for links.

    Raises:
        _DoesMore: There is something else in it.
    """
    if isinstance(node, nodes.Filter) and node.name in FILTERS:
        return _print_or(node.node)._replace(link=node.name)
    return _print_or(node)


def _print_or(node: nodes.Node | None) -> Print:
    if not isinstance(node, nodes.Or):
        return _named(node)
    otherwise = node.right
    if isinstance(otherwise, nodes.Const) and isinstance(otherwise.value, str):
        return _named(node.left)._replace(otherwise=otherwise.value)
    raise _DoesMore


def _named(node: nodes.Node | None) -> Print:
    if isinstance(node, nodes.Getattr) and isinstance(node.node, nodes.Name):
        return Print(node.node.name, node.attr)
    if isinstance(node, nodes.Name):
        return Print(node.name)
    raise _DoesMore
