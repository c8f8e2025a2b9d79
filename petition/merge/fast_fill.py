"""Fills letters that only print fields and test whether they are empty, without Jinja.

A template's own text is encoded when the template is read, and every value when it is printed. Each
of these pieces begins and ends at the beginning of an encoded line, so that they can be put
together in any order. No line is longer than 76 characters or begins with a dot: a letter never
needs dot-stuffing (RFC 5321 4.5.2).

Of two rows with the same cells empty such a letter makes copies that differ in what is printed and
in nothing else. Where the one can be made the other can, unless a cell holds what no letter prints:
a list is checked without merging each of its copies.

All copies whose rows have the same cells empty are one form, in which other cells are printed. What
they have in common is printed and encoded once. A copy comes out as Jinja fills it, in a fifth of
the time. Whatever is out of the ordinary is left to Jinja, which knows the line it stands on.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from html import escape
from typing import Any, NamedTuple

from jinja2 import nodes

from petition.merge.template.fields import (
    EmptyCell,
    Named,
    Value,
    ValueRefused,
    is_printable,
    printed,
)
from petition.merge.template.sandbox import LetterEnvironment, can_grow
from petition.merge.template.tags import FILTERS, Template

# So that with a dot at its beginning and a soft line break at its end a line has 76 at most.
_PIECE = 73
_LITERAL = {*range(33, 127), 9, 10, 32} - {ord("=")}
_TABLE = {byte: f"={byte:02X}" for byte in range(256) if byte not in _LITERAL}
_SOFT_END = "=\r\n"
_BLANK_AT_END = re.compile(r"[ \t]\Z")
_SHORT = re.compile(r"[!-\-/-<>-~](?:[ -<>-~]{0,72}[!-<>-~])?").fullmatch
_ONE_SHORT_IN_HTML = r"[!#-%(-\-/-;?-~](?:[ !#-%(-;?-~]{0,72}[!#-%(-;?-~])?"
_SHORT_IN_HTML = re.compile(_ONE_SHORT_IN_HTML).fullmatch
_ALL_SHORT_IN_HTML = re.compile(f"{_ONE_SHORT_IN_HTML}(?:\0{_ONE_SHORT_IN_HTML})*").fullmatch
_CACHED_LENGTH = 200

# Statements whose output goes through the template again, where encoded text would be taken for
# plain: letters that have them are encoded as a whole.
_CAPTURES: tuple[type[nodes.Node], ...] = (
    nodes.FilterBlock,
    nodes.AssignBlock,
    nodes.Macro,
    nodes.CallBlock,
    nodes.Block,
)


class Filled(NamedTuple):
    """A letter's words for one person; the text and the HTML in quoted-printable.

    Args:
        subject: The subject.
        text: The plain text, in pieces.
        html: The HTML, in pieces.
        is_whole: Whether both are known to be whole lines (`are_whole`).
    """

    subject: str
    text: Sequence[str]
    html: Sequence[str]
    is_whole: bool = False


def encode(text: str) -> str:
    r"""A text in quoted-printable with CRLF line ends, in one piece of whole lines."""
    if not text:
        return ""
    *lines, last = text.encode().decode("latin-1").translate(_TABLE).split("\n")
    # A blank at a line's end is escaped; one at a piece's end stands before a soft line break.
    whole = [_folded(_BLANK_AT_END.sub(_escaped_blank, line)) for line in lines]
    return "\r\n".join([*whole, _folded(last) + _SOFT_END if last else ""])


def _escaped_blank(blank: re.Match[str]) -> str:
    return f"={ord(blank.group()):02X}"


def _folded(line: str) -> str:
    pieces = []
    start = 0
    while len(line) - start > _PIECE:
        end = start + _PIECE
        # An escape like =2E is not cut.
        cut = line.rfind("=", end - 2, end)
        end = cut if cut >= 0 else end
        pieces.append(_undotted(line[start:end]))
        start = end
    pieces.append(_undotted(line[start:]))
    return _SOFT_END.join(pieces)


def _undotted(line: str) -> str:
    return f"=2E{line[1:]}" if line.startswith(".") else line


@lru_cache(maxsize=4096)
def _encode_short(text: str) -> str:
    return encode(text)


def encode_value(text: str) -> str:
    """A value in quoted-printable: the same as `encode`, faster for what most values are."""
    if _SHORT(text):
        return text + _SOFT_END
    return _encode_short(text) if len(text) < _CACHED_LENGTH else encode(text)


def print_plain(value: Value) -> str:
    """A value as a piece of encoded plain text."""
    if type(value) is str and _SHORT(value):
        return value + _SOFT_END
    return encode_value(printed(value))


def print_html(value: Value) -> str:
    """A value as a piece of encoded HTML."""
    if type(value) is str and _SHORT_IN_HTML(value):
        return value + _SOFT_END
    return encode_value(escape(printed(value)))


def encode_values(texts: Sequence[str]) -> tuple[list[str], list[str]]:
    """Printed values as pieces of encoded plain text, and as pieces of encoded HTML.

    They are those of `print_plain` and `print_html`; of most rows one look tells that they are the
    same.
    """
    if _ALL_SHORT_IN_HTML("\0".join(texts)):  # no text that is printed holds a NUL
        pieces = [text + _SOFT_END for text in texts]
        return pieces, pieces
    return [encode_value(text) for text in texts], [encode_value(escape(text)) for text in texts]


# Lines that end with CRLF, hold no other CR or LF, and do not begin with a dot.
_LINES = r"(?:(?:[^.\r\n\0][^\r\n\0]*)?\r\n)*"
_PIECES_OF_LINES = re.compile(rf"{_LINES}(?:\0{_LINES})*").fullmatch
_LONG = 100


def are_whole(pieces: Sequence[str]) -> bool:
    """Whether each piece is whole lines, and none of these begins with a dot.

    If so, all of them together are as well, in any order: there is no bare CR or LF in them
    (SMTP smuggling) and no dot to stuff, and nobody needs to look the whole letter over again.
    What all copies have in common, which is most of a letter, is looked at once.
    """
    short = [piece for piece in pieces if len(piece) < _LONG]
    long = [piece for piece in pieces if len(piece) >= _LONG]
    return _PIECES_OF_LINES("\0".join(short)) is not None and all(map(_is_whole, long))


@lru_cache(maxsize=512)
def _is_whole(piece: str) -> bool:
    return "\0" not in piece and _PIECES_OF_LINES(piece) is not None


class SplicedEnvironment(LetterEnvironment):
    """An environment whose templates come out encoded."""

    def _parse(self, source: str, name: str | None, filename: str | None) -> nodes.Template:
        tree = super()._parse(source, name, filename)
        for data in tree.find_all(nodes.TemplateData):
            data.data = encode(data.data)
        return tree


def can_be_spliced(tree: nodes.Template) -> bool:
    """Whether a template's pieces come out in the order and form in which they were put in."""
    return not any(tree.find(capture) for capture in _CAPTURES)


RECIPIENT = "recipient"
KEPT = 1_000  # shapes; a list has a handful

Shape = tuple[bool, ...]  # of the cells that a letter names, whether there is something in each

# What takes a value, hands it on as it is, and asks at most whether it is empty.
_HANDS_ON = (nodes.And, nodes.Or, nodes.Not, nodes.CondExpr)
# What prints a value, or asks whether it is empty.
_PRINTS = (nodes.Output, nodes.If)


class Shapes:
    """The shapes of copies that could be made.

    Args:
        templates: The templates of a letter.
    """

    def __init__(self, templates: Iterable[Template]) -> None:
        found = [columns_of(template) for template in templates]
        whole = [columns for columns in found if columns is not None]
        self._columns = sorted(frozenset().union(*whole)) if len(whole) == len(found) else None
        self._made: set[Shape] = set()

    def can_be_made(self, cells: Mapping[str, str]) -> bool:
        """Whether a copy is known to be one that can be made."""
        return self._shape(cells) in self._made

    def add(self, cells: Mapping[str, str]) -> None:
        """Remember that a row's copy could be made."""
        shape = self._shape(cells)
        if shape is not None and len(self._made) < KEPT:
            self._made.add(shape)

    def _shape(self, cells: Mapping[str, str]) -> Shape | None:
        """The shape of a row; None: that does not decide all."""
        return None if self._columns is None else shape_of(cells, self._columns)


def shape_of(cells: Mapping[str, str], columns: Iterable[str]) -> Shape | None:
    """The shape of a row."""
    try:
        named = [cells[column] for column in columns]
    except KeyError:
        return None
    text = "".join(named)
    if not (text.isprintable() or is_printable(text)):  # the one is Python's, and much faster
        return None
    return tuple([bool(cell.strip()) for cell in named])


def columns_of(template: Template) -> frozenset[str] | None:
    """The columns that a template prints or asks the emptiness of."""
    tree = LetterEnvironment(str).parse(template.source)
    if can_grow(tree, len(template.lines)):
        return None
    found = set(_uses(tree, is_handed_on=False))
    return None if None in found else frozenset(filter(None, found))


def _uses(node: nodes.Node, *, is_handed_on: bool) -> Iterator[str | None]:
    """Each use of a cell by its column; None for a use that depends on what stands in the cell."""
    if isinstance(node, nodes.Getattr) and is_recipient(node.node):
        yield node.attr if is_handed_on else None
        return
    if isinstance(node, nodes.Name) and node.name == RECIPIENT:
        yield None  # given to something as a whole, or another thing's name
    if not isinstance(node, _HANDS_ON):
        is_handed_on = isinstance(node, _PRINTS)
    for child in node.iter_child_nodes():
        yield from _uses(child, is_handed_on=is_handed_on)


def is_recipient(node: nodes.Node) -> bool:
    """Whether an expression is the person that a copy is for."""
    return isinstance(node, nodes.Name) and node.name == RECIPIENT


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
        """The template in pieces."""
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
    """Reads what a template is for the rows of one shape."""

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
        """The parts of a template."""
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
