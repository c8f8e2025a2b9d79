"""What a letter's templates run in: a Jinja sandbox with nothing in it but what is listed."""

from collections.abc import Callable, Generator, Iterable, Iterator
from functools import cache
from typing import Any

import jinja2
from jinja2 import StrictUndefined, nodes
from jinja2.lexer import Token, TokenStream
from jinja2.runtime import Context, LoopContext
from jinja2.sandbox import ImmutableSandboxedEnvironment

from petition.merge import tags
from petition.merge.fields import EmptyCell, Named, Value
from petition.merge.limits import OUTPUT_LIMIT, STEP_CHARACTERS, STEP_NODES, Budget
from petition.merge.operations import CONCATENATE, PAID, ROUNDS, WEIGHED, Operations, bounded_range
from petition.merge.refusals import ValueRefused

_TEXT_METHODS = frozenset(
    {
        *("capitalize", "casefold", "lower", "swapcase", "title", "upper"),
        *("lstrip", "removeprefix", "removesuffix", "rstrip", "split", "strip"),
        *("endswith", "isalpha", "isdigit", "islower", "isupper", "startswith"),
    }
)
# What can make a template's output much longer than the template.
_GROWING = (nodes.For, nodes.Macro, nodes.CallBlock, nodes.Block, nodes.AssignBlock)
_FEW_TAGS = 1_000

_MAPPING_METHODS = frozenset({"get", "items", "keys", "values"})


@cache
def template_syntax() -> jinja2.Environment:
    """Jinja as an author knows it; it reads and never renders."""
    return jinja2.Environment(keep_trailing_newline=True)  # noqa: S701 (nothing is rendered)


class LetterEnvironment(ImmutableSandboxedEnvironment):
    """Compiles and runs a letter's templates, one rendering at a time.

    Args:
        finalize: Turns each value into what the template prints.
        autoescape: Whether what a block of a template makes is markup, not escaped again.
    """

    intercepted_binops = frozenset({"+", "*", "**", "%"})

    def __init__(self, finalize: Callable[[Value], str], *, autoescape: bool = False) -> None:
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
            autoescape=autoescape,
        )
        self.budget = Budget()
        operations = Operations(self.budget)
        self.globals = {"range": bounded_range}
        self.filters = operations.filters()
        self.binop_table |= operations.operators()
        self._lines: tuple[int, ...] = ()

    def load(self, template: tags.Template) -> "Renderer":
        """A compiled template, ready to be filled."""
        self._lines = template.lines
        self.budget.start()
        tree = self.parse(template.source)
        grows = can_grow(tree, len(template.lines))
        return Renderer(self.from_string(tree), self.budget, can_grow=grows)

    # What follows is Jinja's: what a template may touch, and how it is read.

    def getattr(self, obj: Value, attribute: str) -> Value:
        """A field of something, or one of the few methods that a text has here."""
        if isinstance(obj, Named):
            try:
                return obj.field(attribute)
            except KeyError:
                return self._no_field(obj, attribute)
        if isinstance(obj, EmptyCell) and attribute in _TEXT_METHODS:
            return lambda *_: obj
        return super().getattr(obj, attribute)

    def getitem(self, obj: Value, argument: Value) -> Value:
        """The same with `[]`."""
        if isinstance(obj, Named) and isinstance(argument, str):
            return self.getattr(obj, argument)
        return super().getitem(obj, argument)

    def is_safe_attribute(self, obj: Value, attr: str, value: Value) -> bool:
        """Whether an attribute is on the list."""
        if isinstance(obj, str):
            return attr in _TEXT_METHODS
        if isinstance(obj, dict):
            return attr in _MAPPING_METHODS
        if isinstance(obj, tuple):
            return attr in getattr(obj, "_fields", ())
        return isinstance(obj, LoopContext) and super().is_safe_attribute(obj, attr, value)

    def wrap_str_format(self, value: Value) -> None:
        """A format could ask for a text of any width: `format` is a method like any other here."""

    def call(self, context: Context, obj: Value, /, *args: Value, **kwargs: Value) -> Value:
        """Call a macro or a method."""
        self.budget.spend(1)
        self.budget.weigh(getattr(obj, "__self__", None), *args, *kwargs.values())
        made = super().call(context, obj, *args, **kwargs)
        return self.budget.charge(made) if isinstance(made, str | list) else made

    def _parse(self, source: str, name: str | None, filename: str | None) -> nodes.Template:
        tree = super()._parse(source, name, filename)
        for concat in tree.find_all(nodes.Concat):
            concat.nodes = [_filtered(CONCATENATE, nodes.List(concat.nodes), [])]
        for owner, field in [
            *((compare, "expr") for compare in tree.find_all(nodes.Compare)),
            *((operand, "expr") for operand in tree.find_all(nodes.Operand)),
            *((test, "node") for test in tree.find_all(nodes.Test)),
            *((item, "node") for item in tree.find_all(nodes.Getitem)),
        ]:
            setattr(owner, field, _filtered(WEIGHED, getattr(owner, field), []))
        for test in tree.find_all(nodes.Test):
            test.args = [_filtered(WEIGHED, argument, []) for argument in test.args or ()]
        blocks: Iterable[nodes.For | nodes.Macro | nodes.CallBlock] = tree.find_all(
            (nodes.For, nodes.Macro, nodes.CallBlock)
        )
        for block in blocks:
            weight = nodes.Const(_weight_of(block))
            # A loop that calls itself, and a macro, come back without their beginning.
            block.body.insert(0, nodes.ExprStmt(_filtered(PAID, weight, []), lineno=block.lineno))
        for loop in tree.find_all(nodes.For):
            loop.iter = _filtered(ROUNDS, loop.iter, [nodes.Const(1)])
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

    def _no_field(self, named: Named, name: str) -> Value:
        return self.undefined(f"{named!r} has no {name}", obj=named, name=name)


def can_grow(tree: nodes.Template, tag_count: int) -> bool:
    """Whether what comes out can be much longer than the template.

    Args:
        tree: The template.
        tag_count: How many tags it has.
    """
    return tag_count > _FEW_TAGS or any(map(tree.find, _GROWING))


class Renderer:
    """A template that can be filled, within bounds.

    Args:
        template: Jinja's template.
        budget: What a rendering is paid from.
        can_grow: Whether what comes out can be much longer than the template: it has loops.
    """

    def __init__(self, template: jinja2.Template, budget: Budget, *, can_grow: bool) -> None:
        self._template = template
        self._budget = budget
        self._can_grow = can_grow
        self._globals = dict(template.globals)
        self._environment = template.environment
        self._fill = template.root_render_func

    def render(self, names: dict[str, Any]) -> str:
        """The template filled; argument and errors are those of `pieces`."""
        return "".join(self.pieces(names))

    def pieces(self, names: dict[str, Any]) -> list[str]:
        """The template filled, in pieces: its own text, and each value that it prints.

        Args:
            names: What the template can name.

        Raises:
            ValueRefused: A value cannot be printed, or the template does too much.
            Exception: Whatever else an expression can raise; `line_of` knows where.
        """
        self._budget.start()
        template = self._template
        # Made by hand: Template.new_context goes through a ChainMap at each rendering.
        values = {**self._globals, **names}
        chunks = self._fill(Context(self._environment, values, template.name, template.blocks))
        return list(_counted(chunks) if self._can_grow else chunks)


def _counted(chunks: Iterator[str]) -> Iterator[str]:
    size = 0
    for chunk in chunks:
        size += len(chunk)
        if size > OUTPUT_LIMIT:
            what = f"a part of the letter has more than {OUTPUT_LIMIT:,} characters"
            refusal = ValueRefused(what, "Make it shorter")
            # Raised where the template stands, so that its line is known.
            if isinstance(chunks, Generator):
                chunks.throw(refusal)
            raise refusal
        yield chunk


def line_of(fault: BaseException) -> int | None:
    """The line of the letter's file on which a rendering failed; None: no one line is to blame."""
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


def _filtered(name: str, value: nodes.Node, arguments: list[nodes.Expr]) -> nodes.Filter:
    made = nodes.Filter(value, name, arguments, [], None, None)
    made.set_lineno(value.lineno)
    if value.environment:
        made.set_environment(value.environment)
    return made
