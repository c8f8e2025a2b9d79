"""The blocks that `{{ demands }}` and `{{ signatories }}` stand for."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from petition.campaign.demands import Demand
from petition.merge.markdown import read_plain
from petition.merge.tags import Marked, without_reserved
from petition.merge.tree import Node

# Tells of a field that cannot stand where it does: gets its mark and why.
Complain = Callable[[str, str], None]


def demand_blocks(demands: Sequence[Demand]) -> list[Node]:
    """The demands as a numbered list, each with its title and its text."""
    return [Node("ordered_list", name="demands", children=[_demand(one) for one in demands])]


def _demand(demand: Demand) -> Node:
    title = Node("strong", children=[_text(demand.title)])
    heading = Node("paragraph", children=[title], is_tight=True)
    return Node("list_item", children=[heading, *read_plain(demand.text)])


def signatory_blocks(
    published: Sequence[Mapping[str, Any]], total: int, language: str
) -> list[Node]:
    """Those who signed: organisations, then persons, then how many are not named.

    Args:
        published: Those whose names may be shown.
        total: How many signed.
        language: In which language the last line is.
    """
    blocks = []
    for kind in ("organisation", "individual"):
        entries = [_signature(one) for one in published if one["kind"] == kind]
        if entries:
            blocks.append(Node("signatures", name="signatories", children=entries))
    if unnamed := total - len(published):
        line = _unnamed(unnamed, language, follows=bool(published))
        blocks.append(Node("paragraph", name="unnamed", children=[Node("text", line)]))
    return blocks


def _signature(signatory: Mapping[str, Any]) -> Node:
    about = ("role", "organisation", "place", "country")
    rest = "".join(f", {signatory[key]}" for key in about if signatory[key])
    name = Node("strong", children=[_text(signatory["name"])])
    return Node("list_item", children=[name, _text(rest)] if rest else [name])


def _text(text: str) -> Node:
    return Node("text", without_reserved(text))


def _unnamed(number: int, language: str, *, follows: bool) -> str:
    primary = language.partition("-")[0]
    if primary == "ru":
        is_one = number % 10 == 1 and number % 100 != 11
        who = "подписавшийся, который не желает" if is_one else "подписавшихся, которые не желают"
        named = "быть названным" if is_one else "быть названными"
        return f"{'и ещё ' if follows else ''}{number} {who} {named}"
    if primary == "kk":
        more = "және есімінің аталуын қаламаған тағы" if follows else "Есімінің аталуын қаламаған"
        return f"{more} {number} қол қоюшы"
    does = "does" if number == 1 else "do"
    if follows:
        return f"and {number} more who {does} not wish to be named"
    return f"{number} {'person' if number == 1 else 'people'} who {does} not wish to be named"


def expand(
    nodes: list[Node], blocks: Mapping[str, list[Node]], marked: Marked, complain: Complain
) -> list[Node]:
    """Put blocks in place of the paragraphs that hold only their names.

    Args:
        nodes: The tree.
        blocks: The blocks by name: `demands`, `signatories`.
        marked: What the marks in the tree mean.
        complain: Is told of a name that is not alone in its paragraph, or stands for nothing.
    """
    expanded: list[Node] = []
    for node in nodes:
        name = _only_name(node, marked)
        if name in blocks:
            if not blocks[name]:
                complain(node.children[0].text, f"there are no {name}")
            expanded += blocks[name]
            continue
        if node.kind == "field" and marked.tag(node.text).source in blocks:
            complain(node.text, f"{marked.tag(node.text)} does not stand alone in its paragraph")
        node.children = expand(node.children, blocks, marked, complain)
        expanded.append(node)
    return expanded


def _only_name(node: Node, marked: Marked) -> str:
    if node.kind != "paragraph" or len(node.children) != 1 or node.children[0].kind != "field":
        return ""
    return marked.tag(node.children[0].text).source
