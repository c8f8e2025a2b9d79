"""Templates as Jinja reads them, to be looked at without being run.

A cell of a column of yes and no that is a condition by itself is true if it says yes, and not
whenever it is filled: such conditions are found here, and changed to say so.
"""

from collections import Counter
from collections.abc import Container, Iterator
from contextlib import suppress
from functools import cache, lru_cache
from typing import TypeVar

import jinja2
from jinja2 import TemplateSyntaxError, nodes

from petition.template.filters import SAYS_YES

ROW = "recipient"  # what a letter calls a row; a condition may

T = TypeVar("T", bound=nodes.Node)

# Statements whose output goes through the template again, where encoded text would be taken for
# plain. No letter can have one; the subject of a letter that was frozen earlier still may.
CAPTURES = {
    nodes.Macro: "macro",
    nodes.CallBlock: "call",
    nodes.FilterBlock: "filter",
    nodes.AssignBlock: "set",
    nodes.Block: "block",
}

# Filters after which a cell is still a text.
_TEXT_FILTERS = frozenset(
    {"capitalize", "d", "default", "lower", "string", "title", "trim", "upper"}
)


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


def captures(tree: nodes.Template) -> list[tuple[int, str]]:
    """The statements that capture output, which no letter can have: line and keyword of each."""
    found = [(node.lineno, CAPTURES[type(node)]) for node in tree.find_all(tuple(CAPTURES))]
    return found + [
        (loop.lineno, "recursive") for loop in tree.find_all(nodes.For) if loop.recursive
    ]


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
            setattr(owner, field, filtered(SAYS_YES, getattr(owner, field), []))


def filtered(name: str, value: nodes.Node, arguments: list[nodes.Expr]) -> nodes.Filter:
    """A value of a template, put through a filter."""
    made = nodes.Filter(value, name, arguments, [], None, None)
    made.set_lineno(value.lineno)
    if value.environment:
        made.set_environment(value.environment)
    return made
