"""The tree of a letter: blocks and inlines, of which the HTML and the plain text are both made."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from petition.merge.tags import TAG, Marked, Role

LISTS = ("bullet_list", "ordered_list")

# Statements that keep what they hold for another place.
_CAPTURES = frozenset({"macro", "set"})

# What stands inside a line of text; all other kinds are blocks.
INLINE = frozenset(
    {"text", "field", "code_inline", "softbreak", "hardbreak", "em", "strong", "link", "image"}
)


@dataclass(slots=True)
class Node:
    """A piece of a letter.

    Args:
        kind: Markdown's own name for it (`paragraph`, `strong`, `text` ...); and `statement` for a
            Jinja statement, `field` for an expression, `group` for what stands between the
            statements that belong together, with them.
        text: Of a `text` or code its words, of a `field` or `statement` its mark, of a `link` or
            an `image` where it leads to, of a list item in a loop the expression that counts it.
        children: What it holds.
        line: Where it stands in the marked text, from 0.
        number: Of an ordered list its first number, of a heading its level.
        align: How a table cell is aligned; empty: as the text runs.
        is_tight: Whether a paragraph stands without space around it, as in a list of short lines.
        name: What a style sheet may call it.
    """

    kind: str
    text: str = ""
    children: list[Node] = field(default_factory=list)
    line: int = 0
    number: int = 1
    align: str = ""
    is_tight: bool = False
    name: str = ""


# Tells of a statement whose partner stands elsewhere: gets its mark.
Complain = Callable[[str], None]


def gather(nodes: list[Node], marked: Marked, complain: Complain) -> list[Node]:
    """Put what belongs to a statement into one `group` with it.

    Statements must open and close among the same siblings: then the markup is sound whichever
    branch is taken.

    Args:
        nodes: Siblings.
        marked: What their marks mean.
        complain: Is told of each statement whose partner is not among them.
    """
    top: list[Node] = []
    open_groups: list[list[Node]] = [top]
    for node in nodes:
        role = marked.tag(node.text).role if node.kind == "statement" else None
        if role is Role.OPEN:
            open_groups.append([node])
        elif role in {Role.CLOSE, Role.MIDDLE} and len(open_groups) == 1:
            complain(node.text)
        elif role is Role.CLOSE:
            group = [*open_groups.pop(), node]
            open_groups[-1].append(Node("group", children=group, line=group[0].line))
        else:
            open_groups[-1].append(node)
    for group in open_groups[1:]:
        complain(group[0].text)
    return top


def lift_groups(blocks: list[Node], marked: Marked) -> list[Node]:
    """Take a condition that is a paragraph's whole text out of the paragraph.

    Else a paragraph would be left, with nothing in it, where the condition is false.
    """
    return [_lifted(block, marked) for block in blocks]


def _lifted(block: Node, marked: Marked) -> Node:
    if block.kind != "paragraph" or len(block.children) != 1:
        return block
    group = block.children[0]
    if group.kind != "group" or any(_is_middle(part, marked) for part in group.children):
        return block
    opening, *inner, closing = group.children
    if marked.tag(opening.text).keyword in _CAPTURES:
        return group  # what it holds is printed elsewhere, in a paragraph of that place
    paragraph = Node("paragraph", children=inner, line=block.line, is_tight=block.is_tight)
    return Node("group", children=[opening, paragraph, closing], line=block.line)


def _is_middle(node: Node, marked: Marked) -> bool:
    return node.kind == "statement" and marked.tag(node.text).role is Role.MIDDLE


def join_lists(blocks: list[Node], marked: Marked) -> list[Node]:
    """Make one list of lists that only statements part.

    Markdown ends a list at a statement's line; the reader of `- {{ demand.title }}` in a loop
    expects one list all the same.
    """
    joined: list[Node] = []
    before = None
    for block in blocks:
        if before and _go_together(before, block):
            joined[-1] = _one_list([joined[-1], block])
        elif block.kind == "group" and _is_loop(block, marked) and (inner := _only_list(block)):
            joined.append(_looped(block, inner, marked))
        else:
            joined.append(block)
        before = block
    return joined


def _go_together(before: Node, block: Node) -> bool:
    """Whether a block goes on with the bullet list before it."""
    # Two lists side by side have different bullets: their author parted them.
    is_parted = "group" not in {before.kind, block.kind}
    return _is_bulleted(before) and _is_bulleted(block) and not is_parted


def _is_bulleted(block: Node) -> bool:
    if block.kind == "bullet_list":
        return True
    inner = [node for node in block.children if node.kind != "statement"]
    return block.kind == "group" and bool(inner) and all(_is_bulleted(node) for node in inner)


def _one_list(blocks: list[Node]) -> Node:
    entries = [entry for block in blocks for entry in _entries(block)]
    return Node("bullet_list", children=entries, line=blocks[0].line)


def _entries(block: Node) -> list[Node]:
    """A list's entries, with the statements around them."""
    if block.kind == "bullet_list":
        return block.children
    inner = [
        entry
        for node in block.children
        for entry in ([node] if node.kind == "statement" else _entries(node))
    ]
    return [Node("group", children=inner, line=block.line)]


def _is_loop(group: Node, marked: Marked) -> bool:
    return marked.tag(group.children[0].text).keyword == "for"


def _only_list(group: Node) -> Node | None:
    """The list that is all a loop holds, if it can become one list."""
    inner = group.children[1:-1]
    if len(inner) != 1 or inner[0].kind not in LISTS:
        return None
    return inner[0] if inner[0].kind == "bullet_list" or len(inner[0].children) == 1 else None


def _looped(group: Node, inner: Node, marked: Marked) -> Node:
    if inner.kind == "ordered_list":
        entry = inner.children[0]
        loop = marked.tag(group.children[0].text)
        counted = f"loop.index + {inner.number - 1}" if inner.number > 1 else "loop.index"
        entry.text = marked.add(type(loop)(Role.FIELD, counted, loop.line))
    body = [group.children[0], *inner.children, group.children[-1]]
    inner.children = [Node("group", children=body, line=group.line)]
    return inner


def plain_words(nodes: list[Node]) -> str:
    """The words of inlines in one line, without emphasis: what an image is described by."""
    breaks = {"softbreak": " ", "hardbreak": " "}
    return "".join(
        breaks.get(node.kind) or node.text
        if node.kind != "link" and not node.children
        else plain_words(node.children)
        for node in nodes
    )


def pieces(text: str, line: int, marked: Marked) -> list[Node]:
    """A text cut at its marks: `text`, `field` and `statement` nodes."""
    nodes: list[Node] = []
    end = 0
    for found in TAG.finditer(text):
        if found.start() > end:
            nodes.append(Node("text", text[end : found.start()], line=line))
        is_field = marked.tag(found.group()).role is Role.FIELD
        nodes.append(Node("field" if is_field else "statement", found.group(), line=line))
        end = found.end()
    if end < len(text):
        nodes.append(Node("text", text[end:], line=line))
    return nodes
