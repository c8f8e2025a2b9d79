"""The Jinja sandbox that letters run in: what a template may touch, and how it is filled.

Its filters and operators pay for their work (filters.py); statements that cost something are given
filters here that pay for them from the same budget.
"""

from collections.abc import Callable, Collection, Generator, Iterator, Mapping
from functools import lru_cache
from typing import Any

import jinja2
from jinja2 import StrictUndefined, TemplateError, nodes
from jinja2.environment import TemplateExpression
from jinja2.lexer import Token, TokenStream
from jinja2.runtime import Context, LoopContext
from jinja2.sandbox import ImmutableSandboxedEnvironment

from petition.template import tags
from petition.template.fields import NEW, SINCE, EmptyCell, Named, Value, ValueRefused
from petition.template.filters import (
    CONCATENATE,
    PAID,
    ROUNDS,
    STEP_CHARACTERS,
    STEP_NODES,
    WEIGHED,
    Budget,
    Operations,
    bounded_range,
)
from petition.template.signatories import SignatoryList
from petition.template.syntax_tree import CAPTURES, count_yes_no, filtered, nodes_of

OUTPUT_LIMIT = 1_000_000  # characters of one part of a letter

# Whatever an expression of a template can raise.
FAULTS = (
    TemplateError,
    ArithmeticError,
    AttributeError,
    LookupError,
    RecursionError,
    TypeError,
    ValueError,
)

_TEXT_METHODS = frozenset(
    {
        *("capitalize", "casefold", "lower", "swapcase", "title", "upper"),
        *("lstrip", "removeprefix", "removesuffix", "rstrip", "split", "strip"),
        *("endswith", "isalpha", "isdigit", "islower", "isupper", "startswith"),
    }
)
_MAPPING_METHODS = frozenset({"get", "items", "keys", "values"})

# The nodes of a template whose work is paid for.
_PAID_FOR = (
    *(nodes.Concat, nodes.Compare, nodes.Operand, nodes.Getitem, nodes.Test),
    *(nodes.For, nodes.Macro, nodes.CallBlock),
)
_FEW_TAGS = 1_000


class LetterEnvironment(ImmutableSandboxedEnvironment):
    """Compiles and runs a letter's templates, one rendering at a time.

    `finalize` turns each value into what the template prints. A cell of a column in `yes_no` that
    is a condition by itself is true if it says yes, and not whenever it is filled.
    """

    intercepted_binops = frozenset({"+", "*", "**", "%"})

    def __init__(self, finalize: Callable[[Value], str], yes_no: Collection[str] = ()) -> None:
        super().__init__(
            block_start_string=tags.BLOCK[0],
            block_end_string=tags.BLOCK[1],
            variable_start_string=tags.VARIABLE[0],
            variable_end_string=tags.VARIABLE[1],
            comment_start_string=tags.COMMENT[0],
            comment_end_string=tags.COMMENT[1],
            keep_trailing_newline=True,
            optimized=False,
            undefined=StrictUndefined,
            finalize=finalize,
            autoescape=False,  # `finalize` escapes
        )
        self.yes_no = frozenset(yes_no)
        self.budget = Budget()
        operations = Operations(self.budget)
        self.globals = {"range": bounded_range}
        self.filters = operations.filters()
        self.binop_table |= operations.operators()
        self._lines: tuple[int, ...] = ()

    def load(self, template: tags.Template) -> "Renderer":
        """A compiled template, ready to be filled."""
        self.budget.start()
        tree = self.tree(template)
        grows = can_grow(tree, len(template.lines))
        return Renderer(self.from_string(tree), self.budget, can_grow=grows)

    def check(self, template: tags.Template) -> None:
        """TemplateSyntaxError if a compiled template could not be loaded."""
        self.compile(self.tree(template), raw=True)  # its Python as a text

    def tree(self, template: tags.Template) -> nodes.Template:
        """A compiled template as Jinja reads it (`read_compiled`)."""
        return read_compiled(template, self.yes_no)

    def own_text(self, text: str) -> str:
        """What a compiled template prints of its own text."""
        return text

    def read(self, template: tags.Template) -> nodes.Template:
        """A compiled template as Jinja reads it, for this environment alone."""
        self._lines = template.lines
        return self.parse(template.source)

    def compiled(self, expression: nodes.Expr) -> TemplateExpression:
        """An expression of a template, ready to be worked out."""
        result = nodes.Name("result", "store", lineno=expression.lineno)
        assign = nodes.Assign(result, expression, lineno=expression.lineno)
        template = self.from_string(nodes.Template([assign], lineno=1))
        return TemplateExpression(template, undefined_to_none=False)

    def worth(self, expression: nodes.Expr, names: Mapping[str, Value]) -> Value:
        """What an expression of a template comes to."""
        self.budget.start()
        return self.compiled(expression)(names)

    # Jinja's hooks: what a template may touch, and how it is read.

    def getattr(self, obj: Value, attribute: str) -> Value:
        """A field of something, or one of the few methods that a text has here."""
        if isinstance(obj, Named):
            try:
                return obj.field(attribute)
            except KeyError:
                what = f"{obj!r} has no {attribute}"
                return self.undefined(what, obj=obj, name=attribute)
        if isinstance(obj, EmptyCell) and attribute in _TEXT_METHODS:
            return lambda *_: obj
        return super().getattr(obj, attribute)

    def getitem(self, obj: Value, argument: Value) -> Value:
        """The same with `[]`."""
        if isinstance(obj, Named):
            return self.getattr(obj, str(argument))
        return super().getitem(obj, argument)

    def is_safe_attribute(self, obj: Value, attr: str, value: Value) -> bool:
        """Whether an attribute is on the list."""
        if isinstance(obj, str):
            return attr in _TEXT_METHODS
        if isinstance(obj, dict):
            return attr in _MAPPING_METHODS
        if isinstance(obj, tuple):
            return attr in getattr(obj, "_fields", ())
        if isinstance(obj, SignatoryList):
            return attr in {NEW, SINCE}
        return isinstance(obj, LoopContext) and super().is_safe_attribute(obj, attr, value)

    def wrap_str_format(self, value: Value) -> None:
        """`format` is a method like any other, and not allowed: it can ask for any width."""

    def call(self, context: Context, obj: Value, /, *args: Value, **kwargs: Value) -> Value:
        """Call a macro or a method."""
        self.budget.spend(1)
        self.budget.weigh(getattr(obj, "__self__", None), *args, *kwargs.values())
        made = super().call(context, obj, *args, **kwargs)
        return self.budget.charge(made) if isinstance(made, str | list) else made

    def _parse(self, source: str, name: str | None, filename: str | None) -> nodes.Template:
        tree = super()._parse(source, name, filename)
        if self.yes_no:
            count_yes_no(tree, self.yes_no)
        found = nodes_of(tree, _PAID_FOR)  # looked for once: a letter has thousands of nodes
        for concat in (node for node in found if isinstance(node, nodes.Concat)):
            concat.nodes = [filtered(CONCATENATE, nodes.List(concat.nodes), [])]
        for node in found:
            match node:
                case nodes.Compare() | nodes.Operand():
                    node.expr = filtered(WEIGHED, node.expr, [])
                case nodes.Getitem():
                    node.node = filtered(WEIGHED, node.node, [])
                case nodes.Test():
                    node.node = filtered(WEIGHED, node.node, [])
                    node.args = [filtered(WEIGHED, one, []) for one in node.args or ()]
        for node in found:
            if isinstance(node, nodes.For | nodes.Macro | nodes.CallBlock):
                pay = filtered(PAID, nodes.Const(_weight_of(node)), [])
                # A loop that calls itself, and a macro, come back without their beginning.
                node.body.insert(0, nodes.ExprStmt(pay, lineno=node.lineno))
        for loop in (node for node in found if isinstance(node, nodes.For)):
            loop.iter = filtered(ROUNDS, loop.iter, [nodes.Const(1)])
        return tree

    def _tokenize(
        self, source: str, name: str | None, filename: str | None = None, state: str | None = None
    ) -> TokenStream:
        tokens = super()._tokenize(source, name, filename, state)
        return TokenStream(self._with_lines(tokens), name, filename)

    def _with_lines(self, tokens: TokenStream) -> Iterator[Token]:
        """The tokens with the lines that they have in the letter."""
        lines = iter(self._lines)
        shift = 0
        for token in tokens:
            if token.type in {"variable_begin", "block_begin"}:
                shift = next(lines, token.lineno) - token.lineno
            yield token._replace(lineno=max(token.lineno + shift, 1))


@lru_cache(maxsize=32)
def read_compiled(template: tags.Template, yes_no: frozenset[str] = frozenset()) -> nodes.Template:
    """A compiled template as Jinja reads it, with what it pays for; TemplateSyntaxError.

    All environments share the tree, whatever they print, so nobody may change it.
    """
    return LetterEnvironment(str, yes_no).read(template)


def can_grow(tree: nodes.Template, tag_count: int) -> bool:
    """Whether what comes out can be much longer than the template."""
    return tag_count > _FEW_TAGS or any(tree.find_all((nodes.For, *CAPTURES)))


class Renderer:
    """A template that can be filled, within bounds."""

    def __init__(self, template: jinja2.Template, budget: Budget, *, can_grow: bool) -> None:
        self._template = template
        self._budget = budget
        self._can_grow = can_grow
        self._globals = dict(template.globals)

    def pieces(self, names: dict[str, Any]) -> list[str]:
        """The template filled, in pieces: its own text and each value that it prints."""
        self._budget.start()
        template = self._template
        # Made by hand: Template.new_context goes through a ChainMap at each rendering.
        values = {**self._globals, **names}
        context = Context(template.environment, values, template.name, template.blocks)
        chunks = template.root_render_func(context)
        return list(_counted(chunks) if self._can_grow else chunks)


def _counted(chunks: Iterator[str]) -> Iterator[str]:
    size = 0
    for chunk in chunks:
        size += len(chunk)
        if size > OUTPUT_LIMIT:
            what = f"a part of the letter has more than {OUTPUT_LIMIT:,} characters"
            refusal = ValueRefused(what, "Make it shorter")
            # Raised inside the template, so that its line is known.
            if isinstance(chunks, Generator):
                chunks.throw(refusal)
            raise refusal
        yield chunk


def line_of(fault: BaseException) -> int | None:
    """The line of the letter's file on which a rendering failed; None if no line is to blame."""
    line = None
    trace = fault.__traceback__
    while trace is not None:
        template = trace.tb_frame.f_globals.get("__jinja_template__")
        if template is not None:
            line = template.get_corresponding_lineno(trace.tb_lineno)
        trace = trace.tb_next
    return line


def _weight_of(block: nodes.Node) -> int:
    """What one round of a loop costs, or one call of a macro."""
    inner = list(block.find_all(nodes.Node))
    size = sum(len(node.data) for node in inner if isinstance(node, nodes.TemplateData))
    return 1 + size // STEP_CHARACTERS + len(inner) // STEP_NODES
