"""Copies of one shape: most letters print cells and ask whether they are empty, and no more.

Of two rows with the same cells empty such a letter makes copies that differ in what is printed and
in nothing else. Where the one can be made the other can, unless a cell holds what no letter prints:
a list is checked without merging each of its copies.
"""

from collections.abc import Iterable, Iterator, Mapping

from jinja2 import nodes

from petition.merge.fields import is_printable
from petition.merge.sandbox import LetterEnvironment, can_grow
from petition.merge.tags import Template

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
        """Whether a copy is known to be one that can be made.

        Args:
            cells: The row.
        """
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
    """The shape of a row.

    Args:
        cells: The row.
        columns: Those that a letter names.

    Returns:
        In which of them there is something; None: one of them is not there, or holds what no
        letter prints as it stands.
    """
    try:
        named = [cells[column] for column in columns]
    except KeyError:
        return None
    text = "".join(named)
    if not (text.isprintable() or is_printable(text)):  # the one is Python's, and much faster
        return None
    return tuple([bool(cell.strip()) for cell in named])


def columns_of(template: Template) -> frozenset[str] | None:
    """The columns that a template prints or asks the emptiness of.

    Args:
        template: The template.

    Returns:
        Their names; None where it does anything else with the recipient, or where what comes out
        could be too long.
    """
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
