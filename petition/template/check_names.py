"""Whether everything that a letter names exists, before anything is merged."""

from collections import Counter
from collections.abc import Collection, Container, Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple, Protocol, Self, cast

from jinja2 import nodes
from jinja2.tests import TESTS

from petition.campaign.letter import Letter
from petition.campaign.names import nearest, nearest_hint
from petition.template.error_texts import ERROR_TEXTS
from petition.template.fields import (
    ANSWER_FIELDS,
    DEMAND_FIELDS,
    NEW,
    SIGNATORY_FIELDS,
    SINCE,
    ValueRefused,
)
from petition.template.filters import known_filters
from petition.template.sandbox import read_compiled
from petition.template.signatories import CHOICE_FIELDS, SignatoryList, is_same
from petition.template.syntax_tree import (
    ROW,
    bare_conditions,
    captures,
    column_of,
    nodes_of,
    template_syntax,
    tree_of,
)
from petition.template.tags import Template


class Report(Protocol):
    """Takes a problem; `mark` is what of the line is meant."""

    def __call__(self, line: int, what: str, hint: str, mark: str = "") -> None: ...  # noqa: D102


# What Jinja itself lets a template name.
_JINJAS = frozenset({"range", "loop", "true", "false"})

# Of Jinja's tests those that a letter has a use for.
_TESTS = ("defined", "divisibleby", "even", "in", "lower", "number", "odd", "string", "upper")

SAYS_ABSENT = frozenset(one["what"] for one in ERROR_TEXTS["absent"].values())

# Filters that leave the things in a list as they are.
_SAME_THINGS = frozenset(
    {
        *("limit", "list", "reject", "rejectattr", "reverse", "select", "selectattr"),
        *("sort", "unique", "where"),
    }
)
_FIELDS_OF_EACH = {
    "demands": DEMAND_FIELDS,
    "open_demands": DEMAND_FIELDS,
    "signatories": SIGNATORY_FIELDS,
    f"signatories.{NEW}": SIGNATORY_FIELDS,
    "previous.answers": ANSWER_FIELDS,
    "previous.stalls": ANSWER_FIELDS,
}

_PRINTED_WHOLE = frozenset({"demands", "signatories", "today", "reply_by", "unsubscribe"})

_OTHER_FILES = (nodes.Extends, nodes.Include, nodes.Import, nodes.FromImport)

_SHOWN = {"set": "{% set %} without a value", "recursive": "a loop that calls itself"}


def check_statements(tree: nodes.Template, report: Report) -> bool:
    """Look for statements that no letter can have; whether there are none."""
    others = list(tree.find_all(_OTHER_FILES))
    for node in others:
        what = "a letter is one file and cannot include another"
        report(node.lineno, what, "Write the text into the letter itself")
    escaping = tree.find_all(nodes.ScopedEvalContextModifier)
    found = [*captures(tree), *((node.lineno, "autoescape") for node in escaping)]
    for line, keyword in found:
        what = f"{_SHOWN.get(keyword, f'{{% {keyword} %}}')} cannot be used in a letter"
        report(line, what, ERROR_TEXTS["statements"][keyword], keyword)
    return not (others or found)


class NameCheck(NamedTuple):
    """Looks for what a template names and that does not exist."""

    tree: nodes.Template
    known: Mapping[str, Sequence[str]]  # what it can name, each with its fields
    report: Report

    def check(self) -> None:
        """Look at everything."""
        self._check_filters()
        self._check_tests()
        self._check_top_names()
        self.check_fields()
        for found in compared_with_numbers(self.tree):
            self.report(*found)
        for name in sorted(self.known.keys() - _PRINTED_WHOLE):
            self._check_bare(name)
        for loop in self.tree.find_all(nodes.For):
            fields = _FIELDS_OF_EACH.get(_source_of(loop.iter), ())
            if fields and isinstance(loop.target, nodes.Name):
                for part in loop.body:
                    self._check_fields(part, loop.target.name, fields)

    def check_fields(self) -> None:
        """Look only at fields: for a part of a template that is broken elsewhere."""
        for name, fields in self.known.items():
            self._check_fields(self.tree, name, fields)

    def _check_filters(self) -> None:
        known = known_filters()
        for used in self.tree.find_all(nodes.Filter):
            if used.name in {"safe", "e", "escape"}:
                what = f'there is no filter "{used.name}": fields are always escaped'
                self.report(used.lineno, what, f"Remove |{used.name}", used.name)
            elif used.name not in known:
                what = f'there is no filter "{used.name}"'
                self._unknown(used.lineno, what, used.name, known)
            elif used.name == "where":
                self._check_where(used)

    def _check_where(self, used: nodes.Filter) -> None:
        if used.args or used.dyn_args or used.dyn_kwargs or not used.kwargs:
            what = "where needs a condition"
            self.report(used.lineno, what, 'Write it as where(country="KZ")')
        fields = _FIELDS_OF_EACH.get(_source_of(used))
        fields = CHOICE_FIELDS if fields is SIGNATORY_FIELDS else fields
        for pair in _keywords_of(used):
            if fields is CHOICE_FIELDS and pair.key == "name":
                what = "where cannot choose signatories by name: some are not to be named"
                self.report(used.lineno, what, f"Choose by {', '.join(CHOICE_FIELDS)}")
            elif fields is CHOICE_FIELDS and (numbers := list(_numbers(pair.value))):
                found = ComparedCell.of(used.lineno, pair.key, numbers[0])
                hint = f'Write what is in the file, in quotes: {pair.key}="{numbers[0]}"'
                self.report(found.line, found.what, hint, pair.key)
            elif fields and pair.key not in fields:
                what = f"where cannot choose by {pair.key}"
                self._unknown(used.lineno, what, pair.key, fields)

    def _check_tests(self) -> None:
        for used in self.tree.find_all(nodes.Test):
            if used.name not in TESTS:
                what = f'there is no test "{used.name}"'
                self._unknown(used.lineno, what, used.name, _TESTS)

    def _check_top_names(self) -> None:
        made = {name.name for name in self.tree.find_all(nodes.Name) if name.ctx != "load"}
        for name in self.tree.find_all(nodes.Name):
            if name.ctx != "load":
                if name.name in self.known:
                    what = f"{name.name} is already something else in a letter"
                    self.report(name.lineno, what, "Choose another name", name.name)
            elif name.name not in {*made, *self.known, *_JINJAS}:
                self._unknown_name(name.name, name.lineno, made)

    def _unknown_name(self, name: str, line: int, made: set[str]) -> None:
        if absent := ERROR_TEXTS["absent"].get(name):
            self.report(line, absent["what"], absent["hint"], name)
        elif name in self.known.get("recipient", ()):
            what = f"there is no {name} on its own"
            self.report(line, what, f"Write recipient.{name}", name)
        elif near := nearest(name, {*made, *self.known}):
            self.report(line, f"there is no {name}", f"Did you mean {near}", name)
        else:
            self._unknown(line, f"there is no {name}", name, self.known)

    def _check_fields(self, tree: nodes.Node, name: str, fields: Sequence[str]) -> None:
        for line, field in _named_fields(tree, name):
            if field in fields:
                continue
            if absent := ERROR_TEXTS["absent"].get(f"{name}.{field}"):
                self.report(line, absent["what"], absent["hint"], f"{name}.{field}")
            else:
                self._unknown(line, f"there is no {name}.{field}", field, fields, name)

    def _check_bare(self, name: str) -> None:
        for output in self.tree.find_all(nodes.Output):
            for printed in output.nodes:
                if isinstance(printed, nodes.Name) and printed.name == name:
                    what = f"{{{{ {name} }}}} cannot be printed directly"
                    hint = f"Write {{% for demand in {name} %}}"
                    if fields := self.known[name]:
                        hint = f"Name a field of it, as {name}.{fields[0]}"
                    self.report(printed.lineno, what, hint, name)

    def _unknown(
        self, line: int, what: str, name: str, known: Collection[str], owner: str = ""
    ) -> None:
        whole = f"{owner}.{name}" if owner else name
        if owner and (not known or name in _FIELDS_OF_EACH.get(owner, ())):
            hint = (
                f"It is a list: write {{% for one in {owner} %}}{{{{ one.{name} }}}}{{% endfor %}}"
            )
        else:
            hint = nearest_of(name, known, f"{owner}." if owner else "")
        self.report(line, what, hint, whole)


def nearest_of(name: str, known: Collection[str], prefix: str = "") -> str:
    """What somebody who wrote a name that is not there may have meant."""
    return nearest_hint(name, known, f"Known here: {', '.join(sorted(known))}", prefix + "{}")


def _source_of(listed: nodes.Node) -> str:
    """The name of the list that a chain of filters begins with, or nothing."""
    while isinstance(listed, nodes.Filter) and listed.name in _SAME_THINGS:
        listed = listed.node or nodes.Const(None)
    if isinstance(listed, nodes.Getattr) and isinstance(listed.node, nodes.Name):
        return f"{listed.node.name}.{listed.attr}"
    return listed.name if isinstance(listed, nodes.Name) else ""


def names_new(letter: Letter) -> bool:
    """Whether a letter says which signatories are new, or since when."""
    sources = [source for text in letter.texts.values() for source in (text.subject, text.body)]
    trees = map(tree_of, sources)
    return any(
        field in {NEW, SINCE} for tree in trees for _, field in _named_fields(tree, "signatories")
    )


def _named_fields(tree: nodes.Node, name: str) -> Iterator[tuple[int, str]]:
    """The fields of a name that a template asks for, each with its line."""
    for dotted in tree.find_all(nodes.Getattr):
        if isinstance(dotted.node, nodes.Name) and dotted.node.name == name:
            yield dotted.lineno, dotted.attr
    for item in tree.find_all(nodes.Getitem):
        is_named = isinstance(item.node, nodes.Name) and item.node.name == name
        if is_named and isinstance(item.arg, nodes.Const) and isinstance(item.arg.value, str):
            yield item.lineno, item.arg.value


_COMPARING = frozenset(
    {"divisibleby", "eq", "equalto", "ge", "gt", "greaterthan", "in", "le", "lessthan", "lt", "ne"}
)


_CONSTANTS = {"true": True, "false": False, "boolean": True, "none": None}


class ComparedCell(NamedTuple):
    """A cell that is compared with a number, a truth value or none, to which no text is equal."""

    line: int
    what: str
    hint: str
    cell: str  # as its author wrote it: `recipient.ward`

    @classmethod
    def of(cls, line: int, cell: str, value: float | None) -> Self:
        """The comparison of a cell with a value."""
        if value is None:
            hint = f'Write {cell} == "" if the cell is empty, or {cell} != "" if it is filled'
            return cls(line, f"{cell} is a text, and is compared with none", hint, cell)
        kind = "true or false" if isinstance(value, bool) else "a number"
        what = f"{cell} is a text, and is compared with {kind}"
        if isinstance(value, bool):
            return cls(line, what, f'Write what is in the cell: {cell} == "yes"', cell)
        return cls(line, what, f'Write {cell}|int == {value}, or {cell} == "{value}"', cell)


def compared_with_numbers(tree: nodes.Node, columns: Container[str] = ()) -> Iterator[ComparedCell]:
    """The comparisons of a template or condition that no cell can meet."""
    for compare in nodes_of(tree, nodes.Compare):
        sides = [compare.expr, *(operand.expr for operand in compare.ops)]
        yield from _compared(compare.lineno, sides, columns)
    for test in nodes_of(tree, nodes.Test):
        if test.name in _CONSTANTS:
            constant = nodes.Const(_CONSTANTS[test.name])
            yield from _compared(test.lineno, [test.node, constant], columns)
        elif test.name in _COMPARING:
            yield from _compared(test.lineno, [test.node, *(test.args or ())], columns)


def _compared(
    line: int, sides: Sequence[nodes.Node], columns: Container[str]
) -> Iterator[ComparedCell]:
    cells = [cell for cell in (_cell(side, columns) for side in sides) if cell]
    values = [value for side in sides for value in _numbers(side)]
    if cells and values:
        yield ComparedCell.of(line, cells[0], values[0])


def _numbers(node: nodes.Node) -> Iterator[float | None]:
    """The number, the truth value or none that an expression is, or those of a list."""
    if isinstance(node, nodes.List | nodes.Tuple):
        for item in node.items:
            yield from _numbers(item)
    elif isinstance(node, nodes.Neg):
        yield from (-number for number in _numbers(node.node) if number is not None)
    elif isinstance(node, nodes.Const) and isinstance(node.value, int | float | None):
        yield node.value


def _cell(node: nodes.Node, columns: Container[str]) -> str:
    """The cell that an expression is, as its author wrote it; "" if it is something else."""
    column = column_of(node, columns)
    is_alone = any(name.name == column for name in nodes_of(node, nodes.Name))
    return f"{ROW}.{column}" if column and not is_alone else column


def conditions_of(letter: Letter) -> dict[str, tuple[str, int]]:
    """The columns whose cells are conditions by themselves in a letter: file and line of each."""
    found: dict[str, tuple[str, int]] = {}
    default = letter.default_text
    sources = []
    for text in letter.texts.values():
        sources += [(text, text.subject_line, text.subject), (text, text.body_line, text.body)]
    for key, templates in (
        ("attachments", default.front.attachments),
        ("cc", default.front.cc_fields),
    ):
        sources += [(default, default.line_of(key), one) for one in templates]
    for text, line, source in sources:
        for owner, part, column in bare_conditions(tree_of(source)):
            found.setdefault(column, (text.file, line + getattr(owner, part).lineno - 1))
    return found


def shown_to_all(template: Template) -> set[str]:
    """The names that a template prints whatever a row holds: outside of every condition."""
    tree = read_compiled(template)
    printed = (node for one in tree.body if isinstance(one, nodes.Output) for node in one.nodes)
    return set(filter(None, map(_printed_name, printed)))


def _printed_name(node: nodes.Node) -> str:
    while isinstance(node, nodes.Filter) and node.node is not None:
        node = node.node
    return _source_of(node)


def chosen(source: str, signatories: SignatoryList) -> SignatoryList | None:
    """The signatories that an expression stands for; None: it does not stand for any."""
    if "signatories" not in source:
        return None
    (output,) = template_syntax().parse(f"{{{{ {source} }}}}").find_all(nodes.Output)
    return _chosen(output.nodes[0], signatories)


def _chosen(node: nodes.Node | None, signatories: SignatoryList) -> SignatoryList | None:
    match node:
        case nodes.Name(name="signatories"):
            return signatories
        case nodes.Getattr(node=nodes.Name(name="signatories"), attr=field) if field == NEW:
            return signatories.newcomers
    if not isinstance(node, nodes.Filter) or node.name not in {"where", "limit"}:
        return None
    before = _chosen(node.node, signatories)
    if before is None:
        return None
    if node.name == "limit":
        return before.limit(_number(node))
    conditions = {pair.key: _fixed(pair.value, "where") for pair in _keywords_of(node)}
    return before.where(**conditions) if {*conditions} <= {*CHOICE_FIELDS} else before


def _keywords_of(used: nodes.Filter) -> list[nodes.Keyword]:
    """The named arguments of a filter; Jinja's parser makes `Keyword`, its types say `Pair`."""
    return cast("list[nodes.Keyword]", used.kwargs)


def _number(limit: nodes.Filter) -> int:
    arguments = [*limit.args, *(pair.value for pair in limit.kwargs)]
    number = _fixed(arguments[0], "limit") if len(arguments) == 1 else None
    if not isinstance(number, int) or isinstance(number, bool):
        raise ValueRefused("limit takes a number", "Write it as limit(40)")
    return number


def _fixed(value: nodes.Expr, name: str) -> Any:  # noqa: ANN401 (whatever a constant is)
    if not isinstance(value, nodes.Const):
        what = f"{name} takes only fixed values where the signatories are a list of their own"
        raise ValueRefused(what, "Write a text in quotes or a number there")
    return value.value


def counted(
    unnamed: Iterable[Mapping[str, str]], sources: Iterable[str], language: str
) -> list[list[Any]]:
    """Those who are not to be named, counted only by what the letter chooses by.

    `unnamed` has their CHOICE_FIELDS, `sources` the templates of the letter.
    """
    asked = _asked(sources)
    if not asked:
        return []

    def kept(name: str, value: str) -> tuple[str, str | None]:
        """A cell, if the letter could ask for it."""
        values = asked[name]
        is_asked = values is None or any(is_same(name, value, one, language) for one in values)
        return name, value if is_asked else None

    counts = Counter(tuple(kept(name, one[name]) for name in asked) for one in unnamed)
    return [[dict(fields), count] for fields, count in sorted(counts.items(), key=repr)]


def _asked(sources: Iterable[str]) -> Mapping[str, set[str] | None]:
    """The fields that a letter chooses by, each with its values; None: values of the recipient."""
    asked: dict[str, set[str] | None] = {}
    trees = [tree_of(source) for source in sources]
    used = [one for tree in trees for one in nodes_of(tree, nodes.Filter)]
    for pair in (pair for one in used if one.name == "where" for pair in _keywords_of(one)):
        known = asked.setdefault(pair.key, set())
        if not isinstance(pair.value, nodes.Const):
            asked[pair.key] = None
        elif known is not None:
            known.add(str(pair.value.value))
    return {name: asked[name] for name in CHOICE_FIELDS if name in asked}
