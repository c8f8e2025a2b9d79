"""The plain text of a letter, as a person would type it."""

from collections.abc import Callable, Iterable

from petition.merge.links import escape_link
from petition.merge.tags import TAG, Marked, Role
from petition.merge.tree import INLINE, LISTS, Node, plain_words


def write_plain(nodes: Iterable[Node], marked: Marked) -> str:
    """The text of a tree: paragraphs unwrapped, emphasis dropped, links as `words <link>`.

    Args:
        nodes: The blocks.
        marked: What the marks in them mean.

    Returns:
        The text with its marks; it ends with one line end.
    """
    return _Plain(marked).whole(nodes)


class _Plain:
    """Writes blocks, each with the empty line behind it that parts it from the next."""

    def __init__(self, marked: Marked) -> None:
        self._marked = marked

    def blocks(self, nodes: Iterable[Node]) -> str:
        return "".join(self._block(node) for node in nodes)

    def trimmed(self, text: str) -> str:
        """A text without the line ends at its end.

        They may stand before the statements that close conditions, but not before the end of a
        loop, whose rounds they part.
        """
        head, closing = self._closing(text.rstrip("\n"))
        if any(self._marked.tag(mark).keyword != "endif" for mark in closing):
            return head + closing
        return head.rstrip("\n") + closing

    def _closing(self, text: str) -> tuple[str, str]:
        """A text, and the statements at its end."""
        end = len(text)
        while end and TAG.match(text[end - 1]) and self._is_statement(text[end - 1]):
            end -= 1
        return text[:end], text[end:]

    def _is_statement(self, mark: str) -> bool:
        return self._marked.tag(mark).role is not Role.FIELD

    def whole(self, nodes: Iterable[Node]) -> str:
        """All blocks; the text ends with one line end, at which a loop may stand."""
        text = self.trimmed(self.blocks(nodes))
        return text if self._closing(text)[0].endswith("\n") else text + "\n"

    def _block(self, node: Node) -> str:
        if node.kind in LISTS:
            return self._list(node)
        if node.kind in INLINE:
            return self._words(node)
        write = self._writers().get(node.kind)
        return write(node) if write else self._paragraph(node)

    def _writers(self) -> dict[str, Callable[[Node], str]]:
        return {
            "group": lambda node: self.blocks(node.children),
            "statement": lambda node: node.text,
            "hr": lambda _: "* * *\n\n",
            "blockquote": self._quote,
            "code_block": self._code,
            "table": lambda node: self._rows(node.children) + "\n",
            "signatures": self._signatures,
        }

    def _paragraph(self, node: Node) -> str:
        return self._line(node.children) + ("\n" if node.is_tight else "\n\n")

    def _quote(self, node: Node) -> str:
        return _prefixed(self.trimmed(self.blocks(node.children)), "> ", "> ") + "\n\n"

    def _code(self, node: Node) -> str:
        return _prefixed(self.trimmed(self._line(node.children)), "    ", "    ") + "\n\n"

    def _signatures(self, node: Node) -> str:
        return "".join(f"{self._line(entry.children)}\n" for entry in node.children) + "\n"

    def _list(self, node: Node) -> str:
        is_tight = all(_is_tight(entry) for entry in _entries(node.children))
        text, _ = self._listed(node.children, node, node.number, "\n" if is_tight else "\n\n")
        return text + ("\n" if is_tight else "")

    def _listed(
        self, entries: Iterable[Node], parent: Node, number: int, gap: str
    ) -> tuple[str, int]:
        """The entries of a list, and the number that the next one has."""
        text = ""
        for entry in entries:
            if entry.kind == "group":
                inner, number = self._listed(entry.children, parent, number, gap)
                text += inner
            elif entry.kind == "statement":
                text += entry.text
            else:
                text += self._entry(entry, parent, number) + gap
                number += 1
        return text, number

    def _entry(self, entry: Node, parent: Node, number: int) -> str:
        is_numbered = parent.kind == "ordered_list"
        bullet = f"{entry.text or number}. " if is_numbered else "- "
        return _prefixed(self.trimmed(self.blocks(entry.children)), bullet, " " * len(bullet))

    def _rows(self, nodes: Iterable[Node]) -> str:
        return "".join(self._row(node) for node in nodes)

    def _row(self, node: Node) -> str:
        if node.kind == "tr":
            return " | ".join(self._line(cell.children) for cell in node.children) + "\n"
        return node.text if node.kind == "statement" else self._rows(node.children)

    def _line(self, nodes: Iterable[Node]) -> str:
        return "".join(self._words(node) for node in nodes)

    def _words(self, node: Node) -> str:
        if node.kind == "link":
            return self._link(node)
        if node.kind == "image":
            return f"[{plain_words(node.children)}]"
        if node.kind == "softbreak":
            return " "
        if node.kind == "hardbreak":
            return "\n"
        return node.text or self._line(node.children)

    def _link(self, node: Node) -> str:
        words, link = self._line(node.children), escape_link(node.text, self._marked)
        is_mail = node.text.lower().startswith("mailto:")
        seen, leads_to = self._spelt(words), self._spelt(node.text)
        if node.name != "autolink" and seen not in {leads_to, leads_to.removeprefix("mailto:")}:
            return f"{words} <{link}>"
        return link if TAG.search(link) and not is_mail else words

    def _spelt(self, text: str) -> str:
        return TAG.sub(lambda mark: str(self._marked.tag(mark.group())), text)


def _entries(nodes: Iterable[Node]) -> Iterable[Node]:
    for node in nodes:
        if node.kind == "group":
            yield from _entries(node.children)
        elif node.kind != "statement":
            yield node


def _is_tight(entry: Node) -> bool:
    return all(child.is_tight for child in entry.children if child.kind == "paragraph")


def _prefixed(text: str, first: str, rest: str) -> str:
    lines = text.split("\n")
    return "\n".join(
        ((rest if number else first) + line).rstrip(" ") for number, line in enumerate(lines)
    )
