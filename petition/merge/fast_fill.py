"""Fills letters that only print fields and test whether they are empty, without Jinja.

A template's own text is encoded when the template is read, and every value when it is printed. Each
of these pieces begins and ends at the beginning of an encoded line, so that they can be put
together in any order. No line is longer than 76 characters or begins with a dot: a letter never
needs dot-stuffing (RFC 5321 4.5.2).

All copies whose rows have the same cells empty have one form, into which the other cells are
printed. What they have in common is encoded once, and a list is checked without merging each copy.
A copy comes out as Jinja fills it, in a fifth of the time. Anything out of the ordinary is left to
Jinja, which knows its line.
"""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Any, NamedTuple

from jinja2 import nodes
from jinja2.compiler import CodeGenerator

from petition.errors import PetitionError
from petition.template.fields import EmptyCell, Value, ValueRefused, is_printable, printed
from petition.template.filters import SAYS_YES, says_yes
from petition.template.sandbox import FAULTS, LetterEnvironment, can_grow
from petition.template.syntax_tree import captures
from petition.template.tags import FILTERS, Template

# With an escaped dot at its beginning and a soft line break at its end a line has at most 76.
_PIECE = 73
_LITERAL = {*range(33, 127), 9, 10, 32} - {ord("=")}
_TABLE = {byte: f"={byte:02X}" for byte in range(256) if byte not in _LITERAL}
_SOFT_END = "=\r\n"
_BLANK_AT_END = re.compile(r"[ \t]\Z")
_SHORT = re.compile(r"[!-\-/-<>-~](?:[ -<>-~]{0,72}[!-<>-~])?").fullmatch
_ONE_SHORT_IN_HTML = r"[!#-%(-\-/-;?-~](?:[ !#-%(-;?-~]{0,72}[!#-%(-;?-~])?"
_ALL_SHORT_IN_HTML = re.compile(f"{_ONE_SHORT_IN_HTML}(?:\0{_ONE_SHORT_IN_HTML})*").fullmatch
_CACHED_LENGTH = 200


class Filled(NamedTuple):
    """A letter's words for one person; the text and the HTML in quoted-printable, in pieces."""

    subject: str
    text: Sequence[str]
    html: Sequence[str]
    is_whole: bool = False  # both are known to be whole lines (`are_whole`)


def encode(text: str) -> str:
    r"""A text in quoted-printable with CRLF line ends, in one piece of whole lines."""
    if not text:
        return ""
    *lines, last = text.encode().decode("latin-1").translate(_TABLE).split("\n")
    # A blank at the end of a line is escaped; at the end of a piece a soft line break follows it.
    whole = [_folded(_BLANK_AT_END.sub(lambda end: f"={ord(end[0]):02X}", one)) for one in lines]
    return "\r\n".join([*whole, _folded(last) + _SOFT_END if last else ""])


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


@lru_cache(maxsize=512)
def _encode_own(text: str) -> str:
    """A template's own text, which is the same in each form of a letter."""
    return encode(text)


def encode_value(text: str) -> str:
    """A value in quoted-printable: the same as `encode`, faster for most values."""
    if _SHORT(text):
        return text + _SOFT_END
    return _encode_short(text) if len(text) < _CACHED_LENGTH else encode(text)


def print_plain(value: Value) -> str:
    """A value as a piece of encoded plain text."""
    return encode_value(printed(value))


def encode_values(
    texts: Sequence[str], to_html: Callable[[str], str]
) -> tuple[list[str], list[str]]:
    """Printed values as pieces of encoded plain text, and as pieces of encoded HTML.

    For most rows one look tells that both are alike.
    """
    if _ALL_SHORT_IN_HTML("\0".join(texts)):  # no text that is printed has a NUL
        pieces = [text + _SOFT_END for text in texts]
        return pieces, pieces
    return [encode_value(text) for text in texts], [encode_value(to_html(text)) for text in texts]


# Lines that end with CRLF, have no other CR or LF, and do not begin with a dot.
_LINES = r"(?:(?:[^.\r\n\0][^\r\n\0]*)?\r\n)*"
_PIECES_OF_LINES = re.compile(rf"{_LINES}(?:\0{_LINES})*").fullmatch
_LONG = 100


def are_whole(pieces: Sequence[str]) -> bool:
    """Whether each piece is whole lines, and none of these begins with a dot.

    Then all of them together are as well, in any order: there is no bare CR or LF in them (SMTP
    smuggling) and no dot to stuff, and the whole letter need not be looked over again. What all
    copies have in common, which is most of a letter, is looked at once.
    """
    short = [piece for piece in pieces if len(piece) < _LONG]
    long = [piece for piece in pieces if len(piece) >= _LONG]
    return _PIECES_OF_LINES("\0".join(short)) is not None and all(map(_is_whole, long))


@lru_cache(maxsize=512)
def _is_whole(piece: str) -> bool:
    return "\0" not in piece and _PIECES_OF_LINES(piece) is not None


class _EncodedCode(CodeGenerator):
    """Jinja's compiler, with a template's own text encoded."""

    def _output_child_to_const(self, node: nodes.Expr, *context: Any) -> str:  # noqa: ANN401
        const = super()._output_child_to_const(node, *context)
        return _encode_own(const) if isinstance(node, nodes.TemplateData) else const


class EncodedEnvironment(LetterEnvironment):
    """An environment whose templates come out encoded."""

    code_generator_class = _EncodedCode

    def own_text(self, text: str) -> str:
        """What a compiled template prints of its own text."""
        return _encode_own(text)

    def tree(self, template: Template) -> nodes.Template:
        """A compiled template as Jinja reads it."""
        tree = super().tree(template)
        if captures(tree):  # what is already encoded would be encoded again
            raise PetitionError("the letter has a statement that can no longer be used")
        return tree


RECIPIENT, UNSUBSCRIBE = "recipient", "unsubscribe"
_KEPT = 1_000  # forms; a list has a handful

# Whether each cell that the letter names has a text, or says yes in a column that counts as that.
Shape = tuple[bool | None, ...]


class Forms:
    """The forms of a letter, each made for the first row of its shape.

    `names` are what the templates can name, except the person; `to_html` makes HTML of a value;
    `templates` are those of the subject, the text and the HTML, each with its environment.
    """

    def __init__(
        self,
        names: Mapping[str, Any],
        to_html: Callable[[str], str],
        *templates: tuple[LetterEnvironment, Template],
    ) -> None:
        self._to_html = to_html
        self._names = names
        self._trees = [(env.tree(template), env) for env, template in templates]
        self._can_grow = any(
            can_grow(tree, len(template.lines))
            for (tree, _), (_, template) in zip(self._trees, templates, strict=True)
        )
        fields = [node for tree, _ in self._trees for node in tree.find_all(nodes.Getattr)]
        owners = [(node.attr, node.node) for node in fields if isinstance(node.node, nodes.Name)]
        self.columns = sorted({column for column, owner in owners if owner.name == RECIPIENT})
        yes_no = templates[0][0].yes_no
        self._yes_no = [column for column in self.columns if column in yes_no]
        self._forms: dict[Shape, Form | None] = {}
        self._same_for_all: dict[nodes.Expr, Value] = {}

    def of(self, cells: Mapping[str, str]) -> "Form | None":
        """The form of a row; None: its copy is left to Jinja."""
        shape = self._shape_of(cells)
        if shape is None:
            return None
        if shape not in self._forms and len(self._forms) < _KEPT:
            self._forms[shape] = self._form_of(shape)
        return self._forms.get(shape)

    def _shape_of(self, cells: Mapping[str, str]) -> Shape | None:
        try:
            named = [cells[column] for column in self.columns]
        except KeyError:
            return None
        text = "".join(named)
        if not (text.isprintable() or is_printable(text)):  # the one is Python's, and much faster
            return None
        says = [says_yes(cells[column]) for column in self._yes_no]
        return (*map(bool, map(str.strip, named)), *says)

    def _form_of(self, shape: Shape) -> "Form | None":
        if self._can_grow:
            return None
        columns = [*self.columns, *(f"{SAYS_YES}: {column}" for column in self._yes_no)]
        known = self._names, dict(zip(columns, shape, strict=True)), self._same_for_all
        try:
            return Form(
                self._to_html,
                *(list(_Reader(*known, env).parts(tree.body)) for tree, env in self._trees),
            )
        except (_DoesMore, ValueRefused, *FAULTS):
            return None


class Print(NamedTuple):
    """What is printed of a person."""

    column: str  # whose cell is not empty; "": the link to leave the list
    printer: str = ""  # the filter for its place, such as that of a link
    arguments: tuple[str, ...] = ()


Piece = str | Print


class Form:
    """A letter for the rows of one shape, made of the parts of its subject, text and HTML."""

    def __init__(self, to_html: Callable[[str], str], *templates: Sequence[Piece]) -> None:
        self._to_html = to_html
        prints = [part for parts in templates for part in parts if isinstance(part, Print)]
        self._prints = list(dict.fromkeys(prints))
        self._subject, self._text, self._html = (_Blanks(one, self._prints) for one in templates)
        self.in_subject = tuple(part.column for part in templates[0] if isinstance(part, Print))
        # A filter may refuse a cell that is not a link, and the link to leave is none of them.
        self.takes_any_text = all(self.in_subject) and not any(
            one.column and one.printer for one in self._prints
        )
        self.own_length = sum(len(part) for part in templates[0] if isinstance(part, str))

    def subject(self, cells: Mapping[str, str], leave: str) -> str:
        """The subject of a copy that can be made; arguments and errors are those of `filled`."""
        return "".join(self._subject.filled(self._texts(cells, leave)))

    def filled(self, cells: Mapping[str, str], leave: str) -> Filled:
        """The letter for a row of this form's shape; `leave` is the link to leave the list.

        CellRefused if a cell that has to be a link is not one.
        """
        texts = self._texts(cells, leave)
        plain, page = encode_values(texts, self._to_html)
        return Filled(
            "".join(self._subject.filled(texts)),
            self._text.filled(plain),
            self._html.filled(page),
            self._text.is_whole and self._html.is_whole,
        )

    def _texts(self, cells: Mapping[str, str], leave: str) -> list[str]:
        """What the templates print of a person, each text once."""
        texts = []
        for column, printer, arguments in self._prints:
            text = cells[column] if column else leave
            texts.append(FILTERS[printer](text, *arguments) if printer else text)
        return texts


class _Blanks:
    """A template's own text in pieces, and which of the letter's prints goes into each blank."""

    def __init__(self, parts: Sequence[Piece], prints: Sequence[Print]) -> None:
        self._pieces = ["" if isinstance(part, Print) else part for part in parts]
        self._blanks = [
            (at, prints.index(part)) for at, part in enumerate(parts) if isinstance(part, Print)
        ]
        self.is_whole = are_whole(self._pieces)

    def filled(self, texts: Sequence[str]) -> list[str]:
        pieces = self._pieces.copy()
        for at, which in self._blanks:
            pieces[at] = texts[which]
        return pieces


class _DoesMore(Exception):
    """A template does more than print, and test what is empty."""


class _Reader:
    def __init__(
        self,
        names: Mapping[str, Any],
        is_filled: Mapping[str, bool | None],
        same_for_all: dict[nodes.Expr, Value],
        environment: LetterEnvironment,
    ) -> None:
        self._names = names
        self._is_filled = is_filled
        self._same_for_all = same_for_all
        self._environment = environment
        self._finish = environment.finalize or str
        environment.budget.start()

    def parts(self, body: Sequence[nodes.Node]) -> Iterator[Piece]:
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

    def _part(self, node: nodes.Node) -> Piece:
        if isinstance(node, nodes.TemplateData):
            return self._environment.own_text(node.data)
        value = self._value(node)
        return value if isinstance(value, Print) else self._finish(value)

    def _value(self, node: nodes.Node | None) -> Value:
        """The value of an expression; a `Print` if it is what a cell has."""
        match node:
            case nodes.Const():
                value = node.value
            case nodes.Name():
                value = self._names[node.name]
                value = Print("") if node.name == UNSUBSCRIBE else value
            case nodes.Getattr(node=nodes.Name() as owner) if owner.name == RECIPIENT:
                label = f"{RECIPIENT}.{node.attr}"
                value = Print(node.attr) if self._is_filled[node.attr] else EmptyCell(label)
            case nodes.Or():
                value = self._value(node.left) or self._value(node.right)
            case nodes.And():
                value = self._value(node.left) and self._value(node.right)
            case nodes.Not():
                value = not self._value(node.node)
            case nodes.CondExpr():
                value = self._value(node.expr1 if self._value(node.test) else node.expr2)
            case nodes.Filter(name=name) if name in FILTERS or name == SAYS_YES:
                value = self._filtered(node)
            case nodes.Expr():
                value = self._same(node)
            case _:
                raise _DoesMore
        return value

    def _filtered(self, node: nodes.Filter) -> Value:
        value = self._value(node.node)
        if node.name == SAYS_YES:
            column = value.column if isinstance(value, Print) else ""
            return bool(column) and self._is_filled[f"{SAYS_YES}: {column}"]
        arguments = tuple(str(one.as_const()) for one in node.args)
        if not isinstance(value, Print):
            return FILTERS[node.name](printed(value), *arguments)
        if value.printer:
            raise _DoesMore
        return Print(value.column, node.name, arguments)

    def _same(self, node: nodes.Expr) -> Value:
        """An expression that names nothing of a person, such as `signatories|length`."""
        if node not in self._same_for_all:
            named = {name.name for name in node.find_all(nodes.Name)}
            if not named <= self._names.keys() - {UNSUBSCRIBE}:
                raise _DoesMore
            if isinstance(node, nodes.Getattr) and isinstance(node.node, nodes.Name):
                # `sender.name` is what most letters print, and needs no code of its own.
                value = self._environment.getattr(self._names[node.node.name], node.attr)
            else:
                value = self._environment.worth(node, self._names)
            self._same_for_all[node] = value
        return self._same_for_all[node]
