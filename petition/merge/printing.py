"""Letters that print fields and ask whether they are empty, as most do: filled without Jinja.

All copies whose rows have the same cells empty are one form, in which other cells are printed. What
they have in common is printed and encoded once. A copy comes out as Jinja fills it, in a fifth of
the time. Whatever is out of the ordinary is left to Jinja, which knows the line it stands on.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from jinja2 import nodes

from petition.merge.fields import EmptyCell, Named, Value, printed
from petition.merge.links import FILTERS
from petition.merge.refusals import ValueRefused
from petition.merge.sandbox import LetterEnvironment, can_grow
from petition.merge.shapes import KEPT, RECIPIENT, Shape, is_recipient, shape_of
from petition.merge.splice import are_whole
from petition.merge.tags import Template

UNSUBSCRIBE = "unsubscribe"


class Print(NamedTuple):
    """What is printed of a person.

    Args:
        column: A cell that is not empty; "": the link for leaving the list.
        link: The filter that makes it a link or a part of one; "": none.
    """

    column: str
    link: str = ""


Part = str | Print


class Blanks:
    """A template's own text in pieces, and which of the prints goes into each blank among them.

    Args:
        parts: What the template is made of.
        prints: What all templates of the letter print.
    """

    def __init__(self, parts: Sequence[Part], prints: Sequence[Print]) -> None:
        self._pieces = ["" if isinstance(part, Print) else part for part in parts]
        self._blanks = [
            (at, prints.index(part)) for at, part in enumerate(parts) if isinstance(part, Print)
        ]
        self.is_whole = are_whole(self._pieces)

    def filled(self, texts: Sequence[str]) -> list[str]:
        """The template in pieces.

        Args:
            texts: What `Form.texts` gave, each as this template is to have it.
        """
        pieces = self._pieces.copy()
        for at, which in self._blanks:
            pieces[at] = texts[which]
        return pieces


class Form:
    """The templates of a letter as the rows of one shape fill them.

    Args:
        templates: What each is made of.
    """

    def __init__(self, templates: Sequence[Sequence[Part]]) -> None:
        prints = [part for parts in templates for part in parts if isinstance(part, Print)]
        self._prints = list(dict.fromkeys(prints))
        self.blanks = [Blanks(parts, self._prints) for parts in templates]

    def texts(self, cells: Mapping[str, str], leave: str) -> list[str]:
        """What the templates print of a person, each text once.

        Args:
            cells: The person's row, of this form's shape.
            leave: Where their link for leaving the list leads.

        Raises:
            CellRefused: A cell that is to be a link is none.
        """
        texts = []
        for column, link in self._prints:
            text = cells[column] if column else leave
            texts.append(FILTERS[link](text) if link else text)
        return texts


class Forms:
    """The forms of a letter's templates, each made when the first row of its shape comes.

    Args:
        names: What the templates can name, but for the person.
        templates: The templates, each with what it runs in.
    """

    def __init__(
        self, names: Mapping[str, Any], *templates: tuple[LetterEnvironment, Template]
    ) -> None:
        self._names = names
        trees = [environment.parse(template.source) for environment, template in templates]
        self._templates = [
            (tree, environment.finalize or str)
            for tree, (environment, _) in zip(trees, templates, strict=True)
        ]
        self._can_grow = any(
            can_grow(tree, len(template.lines))
            for tree, (_, template) in zip(trees, templates, strict=True)
        )
        fields = [node for tree in trees for node in tree.find_all(nodes.Getattr)]
        self._columns = sorted({node.attr for node in fields if is_recipient(node.node)})
        self._forms: dict[Shape, Form | None] = {}

    def of(self, cells: Mapping[str, str]) -> Form | None:
        """The form of a row; None: its copy is left to Jinja."""
        shape = shape_of(cells, self._columns)
        if shape is None:
            return None
        if shape not in self._forms and len(self._forms) < KEPT:
            self._forms[shape] = self._form_of(shape)
        return self._forms.get(shape)

    def _form_of(self, shape: Shape) -> Form | None:
        if self._can_grow:
            return None
        is_filled = dict(zip(self._columns, shape, strict=True))
        readers = [
            (_Reader(self._names, is_filled, finish), tree) for tree, finish in self._templates
        ]
        try:
            return Form([list(reader.parts(tree.body)) for reader, tree in readers])
        except (_DoesMore, LookupError, ValueRefused):
            return None


class _DoesMore(Exception):
    """A template does more than print, and ask what is empty."""


class _Reader:
    """Reads what a template is for the rows of one shape.

    Args:
        names: What the template can name, but for the person.
        is_filled: Of each column that it names, whether there is something in the cell.
        finish: Turns each value into what is printed.
    """

    def __init__(
        self,
        names: Mapping[str, Any],
        is_filled: Mapping[str, bool],
        finish: Callable[[Value], str],
    ) -> None:
        self._names = names
        self._is_filled = is_filled
        self._finish = finish

    def parts(self, body: Sequence[nodes.Node]) -> Iterator[Part]:
        """The parts of a template.

        Raises:
            Exception: It does more, or cannot be printed for such a row.
        """
        for statement in body:
            if isinstance(statement, nodes.If):
                yield from self.parts(self._branch(statement))
            elif isinstance(statement, nodes.Output):
                yield from map(self._part, statement.nodes)
            else:
                raise _DoesMore

    def _branch(self, choice: nodes.If) -> Sequence[nodes.Node]:
        for one in (choice, *choice.elif_):
            if self._value(one.test):
                return one.body
        return choice.else_

    def _part(self, node: nodes.Node) -> Part:
        if isinstance(node, nodes.TemplateData):
            return node.data
        value = self._value(node)
        return value if isinstance(value, Print) else self._finish(value)

    def _value(self, node: nodes.Node | None) -> Value:
        """What an expression comes to; a `Print`, where that is what stands in a cell."""
        match node:
            case nodes.Const():
                value = node.value
            case nodes.Name():
                value = self._named(node.name)
            case nodes.Getattr(node=nodes.Name() as owner):
                value = self._field(owner.name, node.attr)
            case nodes.Or():
                value = self._value(node.left) or self._value(node.right)
            case nodes.And():
                value = self._value(node.left) and self._value(node.right)
            case nodes.Not():
                value = not self._value(node.node)
            case nodes.CondExpr():
                value = self._value(node.expr1 if self._value(node.test) else node.expr2)
            case nodes.Filter(name=name) if name in FILTERS:
                value = self._link(self._value(node.node), name)
            case _:
                raise _DoesMore
        return value

    def _named(self, name: str) -> Value:
        value = self._names[name]
        return Print("") if name == UNSUBSCRIBE else value

    def _field(self, name: str, field: str) -> Value:
        if name == RECIPIENT:
            return Print(field) if self._is_filled[field] else EmptyCell(f"{name}.{field}")
        value = self._names[name]
        if not isinstance(value, Named):
            raise _DoesMore
        return value.field(field)

    def _link(self, value: Value, name: str) -> Value:
        if not isinstance(value, Print):
            return FILTERS[name](printed(value))
        if value.link:
            raise _DoesMore
        return Print(value.column, name)
