"""The blocks that `{{ demands }}` and `{{ signatories }}` stand for."""

from collections.abc import Callable, Mapping, Sequence

from petition.campaign.demands import Demand
from petition.merge.fields import Named
from petition.merge.markdown import read_plain
from petition.merge.refusals import ValueRefused
from petition.merge.signing import SignatoryList
from petition.merge.tags import Marked, Tag, without_reserved
from petition.merge.tree import Node
from petition.merge.wording import comma, disclaimer, unnamed_line

# Tells of a field that cannot stand where it does: gets its mark, what is wrong, how to mend it.
Complain = Callable[[str, str, str], None]

# Gives the block that an expression stands for; None: it is none.
Block = Callable[[str], list[Node] | None]

_BLOCK_EMPTY = "Write some into their file, or take it out"
_BLOCK_ALONE = "Give it a paragraph of its own, or take it out"


def demand_blocks(demands: Sequence[Demand]) -> list[Node]:
    """The demands as a numbered list, each with its title and its text."""
    return [Node("ordered_list", name="demands", children=[_demand(one) for one in demands])]


def _demand(demand: Demand) -> Node:
    title = Node("strong", children=[_text(demand.title)])
    heading = Node("paragraph", children=[title], is_tight=True)
    return Node("list_item", children=[heading, *read_plain(demand.text)])


def signatory_blocks(signatories: SignatoryList) -> list[Node]:
    """Those who signed: organisations, then persons, then how many are not named.

    Where a person's role or organisation is shown, a last line says what it is there for.

    Args:
        signatories: Those who signed, in the language of the letter.
    """
    blocks: list[Node] = []
    language, named = signatories.language, list(signatories)
    for is_organisation in (True, False):
        kind = [one for one in named if (one.field("kind") == "organisation") is is_organisation]
        entries = [_signature(one, comma(language)) for one in kind]
        if entries:
            blocks.append(Node("signatures", name="signatories", children=entries))
    if signatories.others:
        line = unnamed_line(signatories.others, language, follows=bool(named))
        blocks.append(Node("paragraph", name="unnamed", children=[Node("text", line)]))
    if any(map(_has_affiliation, named)):
        line = disclaimer(language)
        blocks.append(Node("paragraph", name="disclaimer", children=[Node("text", line)]))
    return blocks


def _has_affiliation(signatory: Named) -> bool:
    is_person = signatory.field("kind") == "individual"
    return is_person and bool(signatory.field("role") or signatory.field("organisation"))


def _signature(signatory: Named, mark: str) -> Node:
    about = [signatory.field(key) for key in ("role", "organisation", "place", "country")]
    rest = "".join(f"{mark}{part}" for part in about if part)
    name = Node("strong", children=[_text(signatory.field("name"))])
    return Node("list_item", children=[name, _text(rest)] if rest else [name])


def _text(text: str) -> Node:
    return Node("text", without_reserved(text))


def expand(nodes: list[Node], block: Block, marked: Marked, complain: Complain) -> list[Node]:
    """Put blocks in place of the paragraphs that hold only what stands for them.

    Args:
        nodes: The tree.
        block: Gives the block of an expression.
        marked: What the marks in the tree mean.
        complain: Is told of an expression that is not alone in its paragraph, or stands for
            nothing.
    """
    expanded: list[Node] = []
    for node in nodes:
        if mark := _only_mark(node):
            try:
                blocks = block(marked.tag(mark).source)
            except ValueRefused as refusal:
                complain(mark, refusal.what, refusal.mend)
                continue
            if blocks is not None:
                if not blocks:
                    complain(mark, *_empty(marked.tag(mark)))
                expanded += blocks
                continue
        if node.kind == "field" and _is_block(node, block, marked):
            what = f"{marked.tag(node.text)} does not stand alone in its paragraph"
            complain(node.text, what, _BLOCK_ALONE)
        node.children = expand(node.children, block, marked, complain)
        expanded.append(node)
    return expanded


def _empty(tag: Tag) -> tuple[str, str]:
    if "|" not in tag.source:
        return f"there are no {tag.source}", _BLOCK_EMPTY
    what = f"nobody who signed fits {tag}"
    return what, "Compare its values with the file's, or take it out"


def _is_block(node: Node, block: Block, marked: Marked) -> bool:
    try:
        return block(marked.tag(node.text).source) is not None
    except ValueRefused:
        return True


def _only_mark(node: Node) -> str:
    """The mark that is all a paragraph holds, or nothing."""
    if node.kind != "paragraph" or len(node.children) != 1 or node.children[0].kind != "field":
        return ""
    return node.children[0].text


class Blocks:
    """The blocks of a letter in one language.

    Args:
        fixed: Blocks by the name that they stand for.
        chosen: Gives the signatories that an expression chooses; None: it is none.
    """

    def __init__(
        self, fixed: Mapping[str, list[Node]], chosen: Callable[[str], SignatoryList | None]
    ) -> None:
        self._fixed = fixed
        self._chosen = chosen

    def __call__(self, source: str) -> list[Node] | None:
        """The block that an expression stands for, or None.

        Raises:
            ValueRefused: It would be one, but differs from copy to copy.
        """
        if source in self._fixed:
            return self._fixed[source]
        chosen = self._chosen(source)
        return None if chosen is None else signatory_blocks(chosen)
