"""The Jinja sandbox that letters run in: its filters, its operators and its limits.

Neither a letter nor a value in it may bring the machine down. Work is counted and not timed: a
letter is refused on every machine, or on none.

Only what is listed here exists in a letter. `safe` does not: it would let a cell write markup. Nor
does `random`: a preview would not be what is sent.
"""

from collections import Counter
from collections.abc import (
    Callable,
    Collection,
    Container,
    Generator,
    Iterable,
    Iterator,
    Mapping,
    Sized,
)
from contextlib import suppress
from functools import cache, lru_cache, wraps
from typing import Any, TypeVar

import jinja2
from jinja2 import StrictUndefined, TemplateError, TemplateSyntaxError, nodes, pass_context
from jinja2.environment import TemplateExpression
from jinja2.filters import FILTERS
from jinja2.lexer import Token, TokenStream
from jinja2.runtime import Context, LoopContext
from jinja2.sandbox import ImmutableSandboxedEnvironment
from jinja2.utils import _PassArg

from petition.campaign.tables import yes_or_no
from petition.template import tags
from petition.template.fields import (
    NEW,
    SINCE,
    EmptyCell,
    Named,
    Value,
    ValueRefused,
    cell_filters,
    printed,
)
from petition.template.signatories import SignatoryList, listed, others

OUTPUT_LIMIT = 1_000_000  # characters of one part of a letter
TEXT_LIMIT = 100_000  # characters of a text, or elements of a list, that an expression makes
NUMBER_LIMIT = 200  # bits of a number; 9**9**9 is (9**9)**9 here, and has 257
RANGE_LIMIT = 10_000  # numbers of a range
STEPS = 50_000  # of about ten microseconds: a round of a loop, a call
STEP_CHARACTERS = 64  # characters that are made or looked through in a step
STEP_ELEMENTS = 8  # elements of lists that are
STEP_NODES = 8  # what a round or a macro has in it, as Jinja takes it apart

ROW = "recipient"  # what a letter calls a row; a condition may

Made = TypeVar("Made", bound=Sized)
T = TypeVar("T", bound=nodes.Node)


class Budget:
    """Counts what a rendering costs."""

    _steps = STEPS

    def start(self) -> None:
        """Begin to count again."""
        self._steps = STEPS

    def spend(self, steps: int) -> None:
        """Pay for work."""
        self._steps -= steps
        if self._steps < 0:
            raise ValueRefused("the template does too much work", "Make its loops shorter")

    def charge(self, made: Made) -> Made:
        """Pay for a text or list that was made, and return it."""
        check_length(len(made))
        self.spend(len(made) // STEP_CHARACTERS)
        return made

    def weigh(self, *values: object) -> int:
        """Pay for looking through values, also through lists in lists; what was paid."""
        before = self._steps
        waiting = list(values)
        while waiting:
            value = waiting.pop()
            if isinstance(value, str):
                self.spend(len(value) // STEP_CHARACTERS)
            elif isinstance(value, list | tuple | dict):
                self.spend(1 + len(value) // STEP_ELEMENTS)
                waiting += value.values() if isinstance(value, dict) else value
            elif isinstance(value, range):
                self.spend(len(value) // STEP_ELEMENTS)
        return before - self._steps


def check_length(length: int) -> None:
    """Refuse a text or list before it is made."""
    if length > TEXT_LIMIT:
        what = f"an expression makes a text or list longer than {TEXT_LIMIT:,}"
        raise ValueRefused(what, "Make it shorter")


def check_bits(bits: int) -> None:
    """Refuse a number before it is made."""
    if bits > NUMBER_LIMIT:
        raise ValueRefused("an expression makes a number that is too large", "Make it smaller")


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

Filter = Callable[..., Value]

# The language of the letter among its names; no letter can write a name with a dot in it.
LANGUAGE = ".language"

# Filters that no letter can name: the compiled template needs them.
CONCATENATE, ROUNDS, WEIGHED, PAID, SAYS_YES = "~", "for", "weighed", "paid", "says yes"
_INNER = frozenset({CONCATENATE, ROUNDS, WEIGHED, PAID, SAYS_YES})

_KEEP_EMPTY = "abs capitalize float int lower string title trim upper"
_AS_THEY_ARE = (
    "count d default dictsort first groupby last length map max min reject rejectattr"
    " reverse select selectattr sort sum truncate unique wordcount"
)


class Operations:
    """Operators and filters that pay for what they make."""

    def __init__(self, budget: Budget) -> None:
        self._budget = budget

    def operators(self) -> dict[str, Filter]:
        """The operators that could make something too large."""
        return {"+": self._add, "*": self._multiply, "**": _power, "%": _modulo}

    def filters(self) -> dict[str, Filter]:
        """All filters, those of the compiled template too."""
        return {
            **{name: self._paying(FILTERS[name]) for name in _AS_THEY_ARE.split()},
            **{name: _keeping_empty(self._paying(FILTERS[name])) for name in _KEEP_EMPTY.split()},
            **{name: _printing(link) for name, link in tags.FILTERS.items()},
            **cell_filters(LANGUAGE),
            CONCATENATE: self._concatenate,
            ROUNDS: self._rounds,
            WEIGHED: self._weighed,
            PAID: self._budget.spend,
            SAYS_YES: says_yes,
            "join": self._join,
            "limit": self._limit,
            "list": self._list,
            "listed": self._listed(),
            "replace": _keeping_empty(self._replace),
            "round": _keeping_empty(_round),
            "where": self._where,
        }

    def _rounds(self, elements: Iterable[Value], weight: int) -> Iterator[Value]:
        for element in elements:
            self._budget.spend(weight)
            self._budget.weigh(element)
            yield element

    def _weighed(self, value: Value) -> Value:
        self._budget.weigh(value)
        return value

    def _paying(self, plain: Filter) -> Filter:
        """A filter that pays for what it looks through, and for its arguments at each element."""
        at = 0 if _PassArg.from_obj(plain) is None else 1

        @wraps(plain)
        def paying(*arguments: Value, **options: Value) -> Value:
            value = arguments[at]
            each = 1 + self._budget.weigh(*arguments[at + 1 :], *options.values())
            if isinstance(value, Sized):
                self._budget.weigh(value)
                if each > 1:
                    self._budget.spend(each * len(value))
            elif isinstance(value, Iterator):
                value = self._rounds(value, each)
            made = plain(*arguments[:at], value, *arguments[at + 1 :], **options)
            if isinstance(made, int):
                check_bits(made.bit_length())
            return self._budget.charge(made) if isinstance(made, str) else made

        return paying

    def _list(self, elements: Iterable[Value]) -> list[Value]:
        return self._budget.charge(list(self._rounds(elements, 1)))

    def _concatenate(self, parts: Iterable[Value]) -> str:
        texts = [printed(part) for part in parts]
        check_length(sum(map(len, texts)))
        return self._budget.charge("".join(texts))

    def _join(self, elements: Iterable[Value], mark: str = "", attribute: str = "") -> str:
        found = [
            one.field(attribute) if attribute and isinstance(one, Named) else one
            for one in self._rounds(elements, 1)
        ]
        return self._concatenate([part for one in found for part in (mark, one)][1:])

    def _where(self, elements: Iterable[Value], **conditions: Value) -> Value:
        """Those of whom all conditions are true; `_where(demands, id="pay")`."""
        if isinstance(elements, SignatoryList):
            self._budget.spend(1 + len(elements) // 64)
            return elements.where(**conditions)
        return [
            one
            for one in self._rounds(elements, 1)
            if isinstance(one, Named)
            and all(one.field(name) == value for name, value in conditions.items())
        ]

    def _limit(self, elements: Iterable[Value], number: int) -> Value:
        """The first of a list; of the signatories, those who are named."""
        if isinstance(elements, SignatoryList):
            return elements.limit(number)
        return self._list(elements)[: max(number, 0)]

    def _listed(self) -> Filter:
        """A list in a sentence: "A, B and C" as the language of the letter has it."""

        @pass_context
        def in_a_row(context: Context, elements: Iterable[Value]) -> str:
            language = str(context.get(LANGUAGE, "en"))
            if isinstance(elements, SignatoryList):
                parts = [printed(one.field("name")) for one in self._rounds(elements, 1)]
                if unnamed := elements.others:
                    parts.append(others(unnamed, language, elements.signed_since))
            else:
                parts = [printed(one) for one in self._rounds(elements, 1)]
            check_length(sum(map(len, parts)))
            return self._budget.charge(listed(parts, language))

        return in_a_row

    def _replace(self, text: str, old: str, new: str) -> str:
        check_length(len(text) + text.count(old) * len(new))
        return self._budget.charge(text.replace(old, new))

    def _add(self, left: Value, right: Value) -> Value:
        for side in (left, right):
            if isinstance(side, EmptyCell):
                printed(side)  # refuses it
        total = left + right
        return self._budget.charge(total) if isinstance(total, str | list) else total

    def _multiply(self, left: Value, right: Value) -> Value:
        for one, other in ((left, right), (right, left)):
            if isinstance(one, str | list | tuple) and isinstance(other, int):
                check_length(len(one) * other)
            elif isinstance(one, int) and isinstance(other, int):
                check_bits(one.bit_length() + other.bit_length())
        product = left * right
        return self._budget.charge(product) if isinstance(product, str | list) else product


def bounded_range(*arguments: int) -> range:
    """Jinja's `range`, of at most RANGE_LIMIT numbers."""
    numbers = range(*arguments)
    # len() of a range can overflow; a slice of it does not.
    if numbers[RANGE_LIMIT:]:
        raise ValueRefused(f"a range has more than {RANGE_LIMIT:,} numbers", "Make it shorter")
    return numbers


def known_filters() -> frozenset[str]:
    """The filters that a letter can use."""
    return frozenset(Operations(Budget()).filters()) - {*_INNER, *tags.FILTERS}


def _power(base: Value, exponent: Value) -> Value:
    if isinstance(base, int) and isinstance(exponent, int):
        check_bits(base.bit_length() * abs(exponent))
    return base**exponent


def _modulo(left: Value, right: Value) -> Value:
    if isinstance(left, str):
        raise ValueRefused("% does not fill in texts here", "Put texts together with ~")
    return left % right


def _round(value: float, digits: int = 0) -> float:
    return round(value, min(max(digits, 0), 9))


def _printing(print_filter: Callable[..., str]) -> Filter:
    return lambda value, *arguments: print_filter(printed(value), *arguments)


def _keeping_empty(text_filter: Filter) -> Filter:
    """A filter that leaves an empty cell as it is, which else would be printed as nothing, or 0."""

    @wraps(text_filter)
    def kept(value: Value, *arguments: Value, **options: Value) -> Value:
        if isinstance(value, EmptyCell):
            return value
        return text_filter(value, *arguments, **options)

    return kept


_TEXT_METHODS = frozenset(
    {
        *("capitalize", "casefold", "lower", "swapcase", "title", "upper"),
        *("lstrip", "removeprefix", "removesuffix", "rstrip", "split", "strip"),
        *("endswith", "isalpha", "isdigit", "islower", "isupper", "startswith"),
    }
)
# Statements whose output goes through the template again, where encoded text would be taken for
# plain. No letter can have one; the subject of a letter that was frozen earlier still may.
_CAPTURES = {
    nodes.Macro: "macro",
    nodes.CallBlock: "call",
    nodes.FilterBlock: "filter",
    nodes.AssignBlock: "set",
    nodes.Block: "block",
}
# What pays for its work where a template is read.
_PAID_FOR = (
    *(nodes.Concat, nodes.Compare, nodes.Operand, nodes.Getitem, nodes.Test),
    *(nodes.For, nodes.Macro, nodes.CallBlock),
)
_FEW_TAGS = 1_000

_MAPPING_METHODS = frozenset({"get", "items", "keys", "values"})


@cache
def template_syntax() -> jinja2.Environment:
    """Jinja as an author knows it; it reads and never renders."""
    return jinja2.Environment(keep_trailing_newline=True)  # noqa: S701 (nothing is rendered)


@lru_cache(maxsize=32)
def read_source(source: str) -> nodes.Template:
    """A template of an author as Jinja reads it; many ask for it, so nobody may change it."""
    return template_syntax().parse(source)


def tree_of(source: str) -> nodes.Template:
    """The same; an empty one if it cannot be parsed, which compiling it tells."""
    with suppress(TemplateSyntaxError, RecursionError, ValueError):
        return read_source(source)
    return nodes.Template([])


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
            concat.nodes = [_filtered(CONCATENATE, nodes.List(concat.nodes), [])]
        for node in found:
            match node:
                case nodes.Compare() | nodes.Operand():
                    node.expr = _filtered(WEIGHED, node.expr, [])
                case nodes.Getitem():
                    node.node = _filtered(WEIGHED, node.node, [])
                case nodes.Test():
                    node.node = _filtered(WEIGHED, node.node, [])
                    node.args = [_filtered(WEIGHED, one, []) for one in node.args or ()]
        for node in found:
            if isinstance(node, nodes.For | nodes.Macro | nodes.CallBlock):
                pay = _filtered(PAID, nodes.Const(_weight_of(node)), [])
                # A loop that calls itself, and a macro, come back without their beginning.
                node.body.insert(0, nodes.ExprStmt(pay, lineno=node.lineno))
        for loop in (node for node in found if isinstance(node, nodes.For)):
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


@lru_cache(maxsize=32)
def read_compiled(template: tags.Template, yes_no: frozenset[str] = frozenset()) -> nodes.Template:
    """A compiled template as Jinja reads it, with what it pays for; TemplateSyntaxError.

    All environments share the tree, whatever they print, so nobody may change it.
    """
    return LetterEnvironment(str, yes_no).read(template)


def says_yes(value: Value) -> bool:
    """Whether a cell says yes; what stands in for an empty one counts as any value does."""
    said = yes_or_no(value) if isinstance(value, str) else None
    return bool(value) if said is None else said


# Filters after which a cell is still a text.
_TEXT_FILTERS = frozenset(
    {"capitalize", "d", "default", "lower", "string", "title", "trim", "upper"}
)


def column_of(node: nodes.Node, columns: Container[str] = ()) -> str:
    """The column whose cell an expression is, or ""; `columns` can be named without their row."""
    while isinstance(node, nodes.Filter) and node.name in _TEXT_FILTERS and node.node is not None:
        node = node.node
    if isinstance(node, nodes.Name):
        return node.name if node.name in columns else ""
    match node:
        case nodes.Getattr(node=nodes.Name(name=owner), attr=column) if owner == ROW:
            return str(column)
        case nodes.Getitem(node=nodes.Name(name=owner), arg=nodes.Const(value=column)):
            return str(column) if owner == ROW else ""
    return ""


def bare_conditions(
    tree: nodes.Node, columns: Container[str] = ()
) -> Iterator[tuple[nodes.Node, str, str]]:
    """The cells that are conditions by themselves, as in `if recipient.member`.

    Each is the node and the name of its field that hold it, and its column.
    """
    kinds = (nodes.If, nodes.CondExpr, nodes.For)
    places: list[tuple[nodes.Node, str]] = [(one, "test") for one in nodes_of(tree, kinds)]
    places += [(one, "node") for one in nodes_of(tree, nodes.Not)]
    places += [(one, "left") for one in nodes_of(tree, nodes.And)]
    renamed = _cells_by_other_names(tree, columns)
    seen: set[tuple[int, str]] = set()
    while places:
        owner, field = places.pop(0)
        test = getattr(owner, field)
        if isinstance(test, nodes.And | nodes.Or):
            places += [(test, "left"), (test, "right")]
        elif (
            test
            and (id(owner), field) not in seen
            and (column := renamed.get(id(test)) or column_of(test, columns))
        ):
            seen.add((id(owner), field))
            yield owner, field, column


def _cells_by_other_names(tree: nodes.Node, columns: Container[str]) -> dict[int, str]:
    """The columns of names that `set` and `with` give to cells, by the identity of their nodes."""
    bindings: list[tuple[nodes.Node, nodes.Node, nodes.Node]] = [
        (block, target, value)
        for block in nodes_of(tree, nodes.With)
        for target, value in zip(block.targets, block.values, strict=True)
    ]
    bound = Counter(one.name for one in nodes_of(tree, nodes.Name) if one.ctx != "load")
    # What is set more than once may be a cell in one place only.
    bindings += [
        (tree, one.target, one.node)
        for one in nodes_of(tree, nodes.Assign)
        if isinstance(one.target, nodes.Name) and bound[one.target.name] == 1
    ]
    return {
        id(name): column
        for scope, target, value in bindings
        if isinstance(target, nodes.Name) and (column := column_of(value, columns))
        for name in scope.find_all(nodes.Name)
        if name.name == target.name and name.ctx == "load"
    }


def count_yes_no(tree: nodes.Node, yes_no: Container[str], columns: Container[str] = ()) -> None:
    """Let cells that are conditions by themselves count as what they say, in some columns."""
    for owner, field, column in bare_conditions(tree, columns):
        if column in yes_no:
            setattr(owner, field, _filtered(SAYS_YES, getattr(owner, field), []))


def nodes_of(tree: nodes.Node, kind: type[T] | tuple[type[T], ...]) -> list[T]:
    """The nodes of a kind, also the topmost one, of a tree that may be too deep to be compiled."""
    found: list[T] = []
    waiting = [tree]
    while waiting:
        node = waiting.pop()
        if isinstance(node, kind):
            found.append(node)
        waiting += [*node.iter_child_nodes()][::-1]
    return found


def can_grow(tree: nodes.Template, tag_count: int) -> bool:
    """Whether what comes out can be much longer than the template."""
    return tag_count > _FEW_TAGS or any(tree.find_all((nodes.For, *_CAPTURES)))


def captures(tree: nodes.Template) -> list[tuple[int, str]]:
    """The statements that capture output, which no letter can have: line and keyword of each."""
    found = [(node.lineno, _CAPTURES[type(node)]) for node in tree.find_all(tuple(_CAPTURES))]
    return found + [
        (loop.lineno, "recursive") for loop in tree.find_all(nodes.For) if loop.recursive
    ]


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


def _filtered(name: str, value: nodes.Node, arguments: list[nodes.Expr]) -> nodes.Filter:
    made = nodes.Filter(value, name, arguments, [], None, None)
    made.set_lineno(value.lineno)
    if value.environment:
        made.set_environment(value.environment)
    return made
