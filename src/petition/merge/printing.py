"""Templates that print fields and do no more, as most letters do: filled without Jinja.

They come out as Jinja fills them, in half the time. Whatever is out of the ordinary (a cell that is
empty, a name that is not there) raises, and is left to Jinja, which knows the line it stands on.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from jinja2 import nodes

from petition.merge.fields import Named, Value


class Print(NamedTuple):
    """A field that is printed: `{{ name.field or "otherwise" }}`."""

    name: str
    field: str
    otherwise: str | None = None


def prints_of(tree: nodes.Template) -> tuple[str | Print, ...] | None:
    """A template's own text and the fields that it prints; None where it does anything else.

    Args:
        tree: The template.
    """
    parts = tuple(_parts(tree.body))
    return None if None in parts else parts


def filled(
    parts: Sequence[str | Print], names: Mapping[str, Any], finish: Callable[[Value], str]
) -> list[str]:
    """A template filled, in pieces.

    Args:
        parts: What `prints_of` found.
        names: What the template can name.
        finish: Turns each value into what is printed.

    Raises:
        Exception: It has to be filled by Jinja.
    """
    pieces = []
    for part in parts:
        if isinstance(part, str):
            pieces.append(part)
            continue
        name, field, otherwise = part
        named: Named = names[name]
        value = named.field(field)
        pieces.append(finish(value if otherwise is None else value or otherwise))
    return pieces


def _parts(body: Sequence[nodes.Node]) -> "Iterator[Any]":
    for output in body:
        if not isinstance(output, nodes.Output):
            yield None
            continue
        for node in output.nodes:
            yield node.data if isinstance(node, nodes.TemplateData) else _print(node)


def _print(node: nodes.Node) -> Print | None:
    if isinstance(node, nodes.Or):
        field, otherwise = _print(node.left), node.right
        if field is None or not isinstance(otherwise, nodes.Const):
            return None
        is_text = isinstance(otherwise.value, str) and field.otherwise is None
        return field._replace(otherwise=otherwise.value) if is_text else None
    if isinstance(node, nodes.Getattr) and isinstance(node.node, nodes.Name):
        return Print(node.node.name, node.attr)
    return None
