"""The HTML and the plain text of a letter, made from its tree."""

import re
from collections.abc import Iterable, Iterator
from functools import cache
from html import escape
from itertools import chain, repeat, zip_longest
from string import Template
from unicodedata import category, east_asian_width

import css_inline

from petition.campaign.text_file import packaged
from petition.template.fields import locale_of
from petition.template.markdown import INLINE, LISTS, Node, plain_words
from petition.template.tags import LINK_FILTERS, TAG, Marked, Role, Tag, escape_link

# Where HTML calls a kind of node otherwise than Markdown.
_NAMES = {
    "paragraph": "p",
    "bullet_list": "ul",
    "ordered_list": "ol",
    "list_item": "li",
    "code_inline": "code",
    "signatures": "ul",
    "link": "a",
}
_LINES = frozenset(
    {"paragraph", "heading", "em", "strong", "link", "th", "td", "code_inline", "code_block"}
)
_COMMENT = re.compile(f"<!--({TAG.pattern})-->")


def write_page(nodes: Iterable[Node], marked: Marked, language: str, subject: str) -> str:
    """The HTML page of a tree, with its marks and those of the subject, which is its title."""
    letter, style, at_rules = _layout()
    page = letter.substitute(
        language=escape(language),
        direction=locale_of(language).text_direction,
        title=escape(subject, quote=False),
        style=style,
        body=_Html(marked, language).nodes(nodes, is_line=False),
    )
    inlined = _inliner().inline(page)
    # A statement between blocks, rows or entries is a comment until here: text would be moved out
    # of a table by the parser, as by a browser.
    with_tags = _COMMENT.sub(r"\1", inlined)
    return with_tags.replace("</head>", f"<style>\n{at_rules}</style>\n</head>", 1).rstrip() + "\n"


class _Html:
    def __init__(self, marked: Marked, language: str) -> None:
        self._marked = marked
        # No line of Russian or its like begins with a dash.
        self._binds_dash = language.partition("-")[0] in {"be", "kk", "ru", "uk"}

    def nodes(self, nodes: Iterable[Node], *, is_line: bool) -> str:
        return "".join(self._node(node, is_line) for node in nodes)

    def _node(self, node: Node, is_line: bool) -> str:
        if node.kind == "statement":
            return node.text if is_line else f"<!--{node.text}-->"
        if node.kind == "group":
            return self.nodes(node.children, is_line=is_line)
        if node.kind in {"text", "field", "softbreak", "hardbreak", "hr", "image", "signature"}:
            leaf = _leaf(node)
            return leaf.replace(" — ", "\u00a0— ") if self._binds_dash else leaf
        inner = self.nodes(node.children, is_line=node.kind in _LINES)
        if node.kind == "paragraph" and node.is_tight:
            return inner + "\n"
        if node.kind == "code_block":
            return f"<pre><code>{inner}</code></pre>\n"
        return self._element(node, inner)

    def _element(self, node: Node, inner: str) -> str:
        name = f"h{node.number}" if node.kind == "heading" else _NAMES.get(node.kind, node.kind)
        attributes = "".join(f' {key}="{value}"' for key, value in self._attributes(node))
        is_outer = node.kind in {"bullet_list", "ordered_list", "table", "blockquote", "signatures"}
        end = "" if node.kind in {"em", "strong", "link", "code_inline"} else "\n"
        element = f"<{name}{attributes}>{end if is_outer else ''}{inner}</{name}>{end}"
        if name != "table":
            return element
        # A wide table scrolls on a phone, with a keyboard too.
        return f'<div class="wide" tabindex="0">\n{element}</div>\n'

    def _attributes(self, node: Node) -> Iterable[tuple[str, str]]:
        if node.kind == "link":
            yield "href", escape(escape_link(node.text, self._marked))
        elif node.name:
            yield "class", node.name
        if node.kind == "ordered_list" and node.number != 1:
            yield "start", str(node.number)
        if node.align:
            yield "style", f"text-align: {node.align}"


def _leaf(node: Node) -> str:
    if node.kind == "image":
        words = escape(plain_words(node.children))
        size = 'width="{}" height="{}" '.format(*node.size) if all(node.size) else ""
        return f'<img src="{escape(node.text)}" alt="{words}" {size}class="picture">'
    breaks = {"softbreak": "\n", "hardbreak": "<br>\n", "hr": "<hr>\n", "signature": "<p>-- </p>\n"}
    return breaks.get(node.kind) or escape(node.text, quote=False)


@cache
def _inliner() -> css_inline.CSSInliner:
    return css_inline.CSSInliner(load_remote_stylesheets=False)


@cache
def _layout() -> tuple[Template, str, str]:
    """The page, the style that goes into its elements, and the rules that can only be in a head."""
    style, at, rest = packaged("template/letter.css").partition("@media")
    return Template(packaged("template/letter.html")), style, at + rest


def write_plain(nodes: Iterable[Node], marked: Marked) -> str:
    """The text of a tree: paragraphs unwrapped, emphasis dropped, links as `words <link>`."""
    return _Plain(marked).whole(nodes)


class _Plain:
    """Writes blocks, each with an empty line after it."""

    def __init__(self, marked: Marked) -> None:
        self._marked = marked

    def blocks(self, nodes: Iterable[Node]) -> str:
        return "".join(self._block(node) for node in nodes)

    def trimmed(self, text: str) -> str:
        """A text without the line ends at its end.

        They can go before statements that end conditions, but not before the end of a loop,
        whose rounds they separate.
        """
        head, closing = self._closing(text.rstrip("\n"))
        if any(self._marked.tag(mark).keyword != "endif" for mark in closing):
            return head + closing
        return head.rstrip("\n") + closing

    def _closing(self, text: str) -> tuple[str, str]:
        """A text, and the statements at its end."""
        end = len(text)
        while end and TAG.match(mark := text[end - 1]):
            if self._marked.tag(mark).role is Role.FIELD:
                break
            end -= 1
        return text[:end], text[end:]

    def whole(self, nodes: Iterable[Node]) -> str:
        """All blocks; the text ends with one line end, after which a loop can end."""
        text = self.trimmed(self.blocks(nodes))
        return text if self._closing(text)[0].endswith("\n") else text + "\n"

    def _block(self, node: Node) -> str:
        children = node.children
        match node.kind:
            case kind if kind in LISTS:
                text = self._list(node)
            case kind if kind in INLINE:
                text = self._words(node)
            case "group":
                text = self.blocks(children)
            case "statement":
                text = node.text
            case "hr" | "signature":
                text = "* * *\n\n" if node.kind == "hr" else "-- \n"
            case "blockquote":
                text = self._prefixed(self.trimmed(self.blocks(children)), "> ", "> ") + "\n\n"
            case "code_block":
                text = self._prefixed(self.trimmed(self._line(children)), "    ", "    ") + "\n\n"
            case "table":
                rows = self._rows(children)
                text = (rows if TAG.search(rows) else lined_up(rows)) + "\n"
            case "signatures":
                text = "".join(f"{self._line(entry.children)}\n" for entry in children) + "\n"
            case _:
                text = self._line(children) + ("\n" if node.is_tight else "\n\n")
        return text

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
        bullet = f"{entry.text or number}. " if parent.kind == "ordered_list" else "- "
        return self._prefixed(self.trimmed(self.blocks(entry.children)), bullet, " " * len(bullet))

    def _prefixed(self, text: str, first: str, rest: str) -> str:
        """A text with something before its first line and something before all further lines."""
        # A field prints that too before the further lines of a value that has several.
        hung = TAG.sub(lambda mark: self._hung(mark.group(), rest), text)
        lines = (
            ((rest if number else first) + line) for number, line in enumerate(hung.split("\n"))
        )
        return "\n".join(line if line.endswith("-- ") else line.rstrip(" ") for line in lines)

    def _hung(self, mark: str, rest: str) -> str:
        tag = self._marked.tag(mark)
        if tag.role is not Role.FIELD or tag.source.endswith(LINK_FILTERS):
            return mark
        return self._marked.add(Tag(tag.role, f'({tag.source})|hung("{rest}")', tag.line))

    def _rows(self, nodes: Iterable[Node]) -> str:
        text = ""
        for node in nodes:
            if node.kind == "tr":
                cells = (
                    (_RIGHT if cell.align == "right" else "") + self._line(cell.children)
                    for cell in node.children
                )
                begin = _HEAD if node.children[0].kind == "th" else _ROW
                text += f"{begin}{_CELL.join(cells)}{_END}\n"
            else:
                text += node.text if node.kind == "statement" else self._rows(node.children)
        return text

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


# In a plain text whose tables are not lined up yet: what begins the head of a table, begins a row,
# ends either, stands between cells, and before a cell that is aligned right. No value and no letter
# has these characters.
_HEAD, _ROW, _END, _CELL, _RIGHT = "\x01", "\x04", "\x05", "\x06", "\x07"
_ONE_ROW = rf"^([^\n{_HEAD}{_ROW}]*)[{_HEAD}{_ROW}]([^{_END}]*){_END}"
_TABLE = re.compile(
    rf"^[^\n{_HEAD}{_ROW}]*{_HEAD}[^{_END}]*{_END}(?:\n[^\n{_HEAD}{_ROW}]*{_ROW}[^{_END}]*{_END})*",
    re.MULTILINE,
)
_TABLE_WIDTH = 78
_NO_WIDTH = frozenset({"Mn", "Me", "Cf", "Cc"})


def has_tables(template: str) -> bool:
    """Whether a plain text has tables that can be lined up only when it is filled."""
    return _HEAD in template


def lined_up(text: str) -> str:
    """A filled plain text with the columns of its tables below each other.

    A table that is too wide for that has a line for each of its cells.
    """
    return _TABLE.sub(_table, text)


def _table(found: re.Match[str]) -> str:
    rows = re.findall(_ONE_ROW, found[0], re.MULTILINE)
    starts = [start for start, _ in rows]
    cells = [[_cell_lines(cell, start) for cell in row.split(_CELL)] for start, row in rows]
    widths = [
        max(_width(line) for cell in column for line in cell)
        for column in zip_longest(*cells, fillvalue=[""])
    ]
    lines: Iterable[str] = (
        " | ".join(map(_padded, line, widths))
        for row in cells
        for line in zip_longest(*row, fillvalue="")
    )
    if len(starts[0]) + sum(widths) + 3 * len(widths) > _TABLE_WIDTH + 3:
        lines = _stacked(cells)
    begun = zip(chain(starts[:1], repeat(starts[-1])), lines, strict=False)
    return "\n".join(f"{start}{line.replace(_RIGHT, '')}".rstrip() for start, line in begun)


def _cell_lines(cell: str, start: str) -> list[str]:
    """The lines of a cell; in a quotation or a list all but the first begin like those around."""
    first, *more = cell.split("\n")
    return [first, *(line[len(start) :] for line in more)]


def _stacked(cells: list[list[list[str]]]) -> Iterator[str]:
    """For each row lines `heading: cell`, with an empty line before the next."""
    head, *rows = ([" ".join(cell) for cell in row] for row in cells)
    for number, row in enumerate(rows or [head]):
        if number:
            yield ""
        for name, cell in zip(head, row, strict=False):
            if cell.replace(_RIGHT, ""):
                yield f"{name}: {cell}" if name and rows else cell


def _padded(text: str, width: int) -> str:
    blanks = " " * (width - _width(text))
    return blanks + text if text.startswith(_RIGHT) else text + blanks


def _width(text: str) -> int:
    """How many columns a terminal shows a text in."""
    if text.isascii() and text.isprintable():
        return len(text)
    wide = sum(east_asian_width(char) in "WF" for char in text)
    return len(text) + wide - sum(category(char) in _NO_WIDTH for char in text)


def _entries(nodes: Iterable[Node]) -> Iterable[Node]:
    for node in nodes:
        if node.kind == "group":
            yield from _entries(node.children)
        elif node.kind != "statement":
            yield node


def _is_tight(entry: Node) -> bool:
    return all(child.is_tight for child in entry.children if child.kind == "paragraph")
