"""Markdown as a tree of blocks and inlines, from which HTML and plain text are made.

CommonMark and tables, but bare addresses are links, HTML is refused, and indented lines are text. A
line with nothing but statements is a block of its own, so that a loop or a condition can stand
around paragraphs, lists and rows.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cache
from itertools import accumulate, pairwise, takewhile
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import quote, unquote

from markdown_it import MarkdownIt
from markdown_it.common.normalize_url import normalizeLink

from petition.campaign.names import quoted
from petition.template.error_texts import ERROR_TEXTS
from petition.template.fields import ValueRefused
from petition.template.tags import TAG, Marked, Role, fault_of, without_reserved

if TYPE_CHECKING:
    from markdown_it.rules_block import StateBlock
    from markdown_it.rules_inline import StateInline
    from markdown_it.token import Token

LISTS = ("bullet_list", "ordered_list")

# What is inside a line of text; all other kinds are blocks.
INLINE = frozenset(
    {"text", "field", "code_inline", "softbreak", "hardbreak", "em", "strong", "link", "image"}
)


@dataclass(slots=True)
class Node:
    """A piece of a letter.

    `kind` is Markdown's own name for it (`paragraph`, `strong`, `text` ...); and `statement` for a
    Jinja statement, `field` for an expression, `group` for what is between the statements that
    belong together, with them. `text` is of a `text` or code its words, of a `field` or `statement`
    its mark, of a `link` or an `image` where it leads, of a list item in a loop the expression that
    counts it.
    """

    kind: str
    text: str = ""
    children: list[Node] = field(default_factory=list)
    number: int = 1  # of an ordered list its first one, of a heading its level
    align: str = ""  # of a table cell; "": as the text runs
    is_tight: bool = False  # whether a paragraph has no space around it
    name: str = ""  # what a style sheet may call it
    size: tuple[int, int] = (0, 0)  # of an image its width and height in pixels, if they are known


def plain_words(nodes: list[Node]) -> str:
    """The words of inlines in one line, without emphasis: what an image is described by."""
    breaks = {"softbreak": " ", "hardbreak": " "}
    return "".join(
        breaks.get(node.kind) or node.text
        if node.kind != "link" and not node.children
        else plain_words(node.children)
        for node in nodes
    )


# Reports a problem: its line in the marked text from 0, what is wrong, what to do about it.
ReportAt = Callable[[int, str, str], None]


class ShownPicture(NamedTuple):
    """A picture in a page: its link, and its size in pixels; 0 if nothing is known of it."""

    link: str
    width: int = 0
    height: int = 0


# Gives a picture by its path and the width that the letter asks for, or refuses it (ValueRefused).
PictureSource = Callable[[str, int | None], ShownPicture]

LETTER_WIDTH = 580  # pixels of a line, as letter.css has it
_WIDTH = re.compile(r"\{width=([1-9][0-9]{0,3})(?:px)?\}")
_ATTRIBUTES = re.compile(r"\{[^{}\n]*\}")

# markdown-it itself limits only the nesting of blocks.
COLUMN_LIMIT = 100  # of a table
DEPTH_LIMIT = 50


# What to write instead of an element of HTML.
_INSTEAD_OF_HTML = {
    name: hint for names, hint in ERROR_TEXTS["html"].items() for name in names.split()
}
# ![words](path): the path may have blanks, and is not in angle brackets.
_PICTURE = re.compile(r"!\[((?:\\.|[^\[\]\\])*)\]\(((?:[^()<>\n]|\([^()\n]*\))+)\)")
_TITLED = re.compile(r"""\s(?:".*"|'.*')$""")

_HTML_NAME = re.compile(r"</?([a-z][a-z0-9]*)", re.IGNORECASE)

# An address of the web or of mail in a text, without the punctuation after it.
_BARE = re.compile(
    r"\bhttps?://[^\s<>\"“”«»\\]+"
    r"|(?<![\w.+/@%-])[a-z0-9](?:[\w.+-]{0,62}[a-z0-9])?@(?:[a-z0-9-]{1,63}\.){1,8}[a-z]{2,63}\b(?![@-])",
    re.IGNORECASE | re.ASCII,
)
_BARE_END = ".,;:!?*_'’”»)]}"


_CONTAINERS = {"blockquote_open", "list_item_open"}


def no_picture(_: str, __: int | None) -> ShownPicture:
    """Refuses every image: for a text that can have none."""
    what = "only a letter's own text can have an image"
    raise ValueRefused(what, "Remove it, or write a link to it")


def read_markdown(
    marked: Marked, report: ReportAt, picture: PictureSource = no_picture
) -> list[Node]:
    """The blocks of a text."""
    parser = _parser()
    tokens = parser.parse(marked.text, {"marked": marked})
    for token in tokens:
        # The parser leaves out what is nested deeper.
        if token.type in _CONTAINERS and token.level + 1 >= parser.options["maxNesting"]:
            what = "lists and quotations are nested too deeply"
            report(token.map[0] if token.map else 0, what, "Remove some of them")
            return []
        depths = accumulate((child.nesting for child in token.children or ()), initial=0)
        if max(depths) > DEPTH_LIMIT:
            what = f"emphasis and links are nested more than {DEPTH_LIMIT} deep"
            report(token.map[0] if token.map else 0, what, "Remove some of them")
            return []
    line = columns = 0
    for token in tokens:
        _give_attributes(token.children or [])
        if token.type == "tr_open":
            line, columns = token.map[0] if token.map else 0, 0
        columns += token.type == "th_open"
        if columns > COLUMN_LIMIT:
            what = f"a table has more than {COLUMN_LIMIT} columns"
            report(line, what, "Make it narrower, or attach it as a file")
            return []
    return _Builder(marked, report, picture).blocks(tokens)


def _give_attributes(inline: Sequence[Token]) -> None:
    """Give an image what stands in braces after it."""
    for image, text in pairwise(inline):
        if (
            image.type == "image"
            and text.type == "text"
            and (found := _ATTRIBUTES.match(text.content))
        ):
            image.meta["attributes"] = found.group()
            text.content = text.content[found.end() :]


def read_plain(text: str, report: ReportAt | None = None) -> list[Node]:
    """The blocks of a text that is not a template: of a demand."""
    return read_markdown(Marked(without_reserved(text)), report or (lambda *_: None))


class _Builder:
    """Turns markdown-it's run of tokens into a tree."""

    def __init__(self, marked: Marked, report: ReportAt, picture: PictureSource) -> None:
        self._marked = marked
        self._report = report
        self._picture = picture
        self._line = 0
        self._is_in_link = False
        self._typed = ""  # the paragraph as its author wrote it

    def blocks(self, tokens: Sequence[Token]) -> list[Node]:
        """The nodes of a run of tokens."""
        return self._siblings(iter(tokens))

    def _siblings(self, tokens: Iterator[Token]) -> list[Node]:
        """The nodes up to the token that closes their parent."""
        nodes: list[Node] = []
        for token in tokens:
            if token.nesting < 0:
                break
            self._line = token.map[0] if token.map else self._line
            nodes += self._nodes(token, tokens)
        groups = self._grouped(nodes)
        return _joined([_lifted(one, self._marked) for one in groups], self._marked)

    def _nodes(self, token: Token, tokens: Iterator[Token]) -> list[Node]:
        if token.type == "inline":
            # The children of a paragraph, not a node of their own.
            self._typed = token.content
            return self.blocks(token.children or [])
        if token.type == "tr_open":
            return self._row(tokens)
        if token.type == "heading_open" and self._is_above_signature(token):
            return [Node("paragraph", children=self._siblings(tokens)), Node("signature")]
        if token.nesting > 0:
            return [self._branch(token, tokens)]
        return self._leaf(token)

    def _is_above_signature(self, token: Token) -> bool:
        """Whether Markdown takes lines for a heading that have only `-- ` below them."""
        end = token.map[1] if token.map else 0
        return token.markup == "-" and self._marked.text.split("\n")[end - 1].strip(" >") == "--"

    def _branch(self, token: Token, tokens: Iterator[Token]) -> Node:
        node = Node(token.type.removesuffix("_open"), is_tight=token.hidden)
        if node.kind == "link":
            node.text = str(token.attrs["href"])
            node.name = token.markup
            if what := fault_of(node.text, self._marked):
                self._report(self._line, what, "Write the whole address into the letter")
        elif node.kind == "heading":
            node.number = int(token.tag[1:])
        elif node.kind == "ordered_list":
            node.number = int(token.attrs.get("start", 1))
        elif node.kind in {"th", "td"}:
            node.align = str(token.attrs.get("style", "")).removeprefix("text-align:")
        self._is_in_link = self._is_in_link or node.kind == "link"
        node.children = self._siblings(tokens)
        self._is_in_link = self._is_in_link and node.kind != "link"
        return node

    def _row(self, tokens: Iterator[Token]) -> list[Node]:
        """A table's row, or the statements that are all it has."""
        cells = list(takewhile(lambda token: token.type != "tr_close", tokens))
        words = "".join(cell.content for cell in cells if cell.type == "inline")
        if words and all(_is_statement(char, self._marked) for char in words):
            return self._pieces(words)
        return [Node("tr", children=self.blocks(cells))]

    def _leaf(self, token: Token) -> list[Node]:
        if token.type in {"text", "html_inline"}:
            self._refuse_html(token)
            return self._linked(token.content)
        if token.type == "statements":
            return self._pieces(token.content)
        if token.type == "image":
            return self._image(token, self._line)
        if token.type in {"code_inline", "code_block", "fence"}:
            kind = "code_inline" if token.type == "code_inline" else "code_block"
            return [Node(kind, children=self._grouped(self._pieces(token.content)))]
        if token.type in {"softbreak", "hardbreak"}:
            self._line += 1
        return [Node(token.type)]

    def _image(self, token: Token, line: int) -> list[Node]:
        path = unquote(str(token.attrs["src"]))
        words = self.blocks(token.children or [])
        if TAG.search(path):
            what = "the path of an image has a field, and images are the same for everybody"
            self._report(line, what, "Write the path out, or attach the file")
            return words
        if not words:
            what = f"the image {quoted(path)} has no alternative text"
            hint = "Say in the square brackets what it shows, for those who do not see it"
            self._report(line, what, hint)
            return []
        asked = str(token.meta.get("attributes", ""))
        found = _WIDTH.fullmatch(asked)
        if asked and not (found and int(found[1]) <= LETTER_WIDTH):
            what = f"{quoted(asked)} after the image {quoted(path)} is not a width"
            hint = f"Write {{width=400}}, or another number of pixels up to {LETTER_WIDTH}"
            self._report(line, what, hint)
            return words
        try:
            link, *size = self._picture(path, int(found[1]) if found else None)
            return [Node("image", link, words, size=(size[0], size[1]))]
        except ValueRefused as refusal:
            self._report(line, refusal.what, refusal.hint)
            return words

    def _refuse_html(self, token: Token) -> None:
        found = _HTML_NAME.match(token.content) if token.type == "html_inline" else None
        name = found[1].lower() if found else ""
        if "<!--" in token.content and re.search(r"(?<!\\)<!--", self._typed):
            name = "!--"
        if name in _INSTEAD_OF_HTML:
            shown = f"<{name}{' -->' if name == '!--' else '>'}"
            what = f'"{shown}" is HTML, which would be shown as text'
            self._report(self._line, what, _INSTEAD_OF_HTML[name])

    def _linked(self, text: str) -> list[Node]:
        """A text cut at its marks, in which bare addresses are links."""
        nodes: list[Node] = []
        end = 0
        for found in () if self._is_in_link else _BARE.finditer(text):
            if bare := self._bare_link(found.group(), text[: found.start()], text[found.end() :]):
                nodes += self._pieces(text[end : found.start()])
                link = bare if "://" in bare else f"mailto:{bare}"
                inner = self._grouped(self._pieces(bare))
                nodes.append(Node("link", _normalize_link(link), inner, name="autolink"))
                end = found.start() + len(bare)
        return nodes + self._pieces(text[end:])

    def _bare_link(self, bare: str, before: str, after: str) -> str:
        """A bare address as far as it is a link; "" if it is not sure where it leads."""
        if self._is_field(before[-1:]) or ("://" not in bare and self._is_field(after[:1])):
            return ""
        for at, char in enumerate(bare + after[:1]):
            if _is_statement(char, self._marked):
                if self._marked.tag(char).role is Role.OPEN:
                    return ""
                bare = bare[:at]
                break
        while bare and bare[-1] in _BARE_END and not bare.count("(") >= bare.count(")") > 0:
            bare = bare[:-1]
        return "" if "://" in bare and fault_of(bare, self._marked) else bare

    def _is_field(self, char: str) -> bool:
        return TAG.match(char) is not None and not _is_statement(char, self._marked)

    def _pieces(self, text: str) -> list[Node]:
        """A text cut at its marks: `text`, `field` and `statement` nodes."""
        nodes: list[Node] = []
        end = 0
        for found in TAG.finditer(text):
            if found.start() > end:
                nodes.append(Node("text", text[end : found.start()]))
            is_statement = _is_statement(found.group(), self._marked)
            nodes.append(Node("statement" if is_statement else "field", found.group()))
            end = found.end()
        if end < len(text):
            nodes.append(Node("text", text[end:]))
        return nodes

    def _grouped(self, nodes: list[Node]) -> list[Node]:
        """The nodes, with what belongs to a statement in one `group` with it."""
        # A statement must open and close among the same siblings, so that the markup is sound in
        # every branch.
        top: list[Node] = []
        open_groups: list[list[Node]] = [top]
        for node in nodes:
            role = self._marked.tag(node.text).role if node.kind == "statement" else None
            if role is Role.OPEN:
                open_groups.append([node])
            elif role in {Role.CLOSE, Role.MIDDLE} and len(open_groups) == 1:
                self._unpaired(node.text)
            elif role is Role.CLOSE:
                group = [*open_groups.pop(), node]
                open_groups[-1].append(Node("group", children=group))
            else:
                open_groups[-1].append(node)
        for group in open_groups[1:]:
            self._unpaired(group[0].text)
        return top

    def _unpaired(self, mark: str) -> None:
        tag = self._marked.tag(mark)
        what = f"{tag} and its matching tags are in different parts of the text"
        line = self._marked.text.count("\n", 0, max(self._marked.text.find(mark), 0))
        hint = "Put each of these tags on a line of its own, without spaces before it"
        self._report(line, what, hint)


def _lifted(block: Node, marked: Marked) -> Node:
    """Put a condition that is all the text of a paragraph around the paragraph."""
    # Otherwise an empty paragraph would be left where it is false.
    if block.kind != "paragraph" or len(block.children) != 1:
        return block
    group = block.children[0]
    marks = [part.text for part in group.children if part.kind == "statement"]
    if group.kind != "group" or any(marked.tag(mark).role is Role.MIDDLE for mark in marks):
        return block
    opening, *inner, closing = group.children
    paragraph = Node("paragraph", children=inner, is_tight=block.is_tight)
    return Node("group", children=[opening, paragraph, closing])


def _joined(blocks: list[Node], marked: Marked) -> list[Node]:
    """Make one list of lists that only statements separate."""
    # Markdown ends a list at a statement's line, but `- {{ demand.title }}` in a loop is one list.
    joined: list[Node] = []
    before = None
    for block in blocks:
        # Two lists side by side have different bullets: their author separated them.
        is_one = before is not None and "group" in {before.kind, block.kind}
        if before and is_one and _is_bulleted(before) and _is_bulleted(block):
            entries = [*_entries(joined[-1]), *_entries(block)]
            joined[-1] = Node("bullet_list", children=entries)
        elif (
            block.kind == "group"
            and marked.tag(block.children[0].text).keyword == "for"
            and (inner := _only_list(block))
        ):
            joined.append(_looped(block, inner, marked))
        else:
            joined.append(block)
        before = block
    return joined


def _is_bulleted(block: Node) -> bool:
    if block.kind == "bullet_list":
        return True
    inner = [node for node in block.children if node.kind != "statement"]
    return block.kind == "group" and bool(inner) and all(_is_bulleted(node) for node in inner)


def _entries(block: Node) -> list[Node]:
    """A list's entries, with the statements around them."""
    if block.kind == "bullet_list":
        return block.children
    inner = [
        entry
        for node in block.children
        for entry in ([node] if node.kind == "statement" else _entries(node))
    ]
    return [Node("group", children=inner)]


def _only_list(group: Node) -> Node | None:
    """The list that is all a loop has, if it can become one list."""
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
    inner.children = [Node("group", children=body)]
    return inner


@cache
def _parser() -> MarkdownIt:
    parser = MarkdownIt("commonmark").enable("table").disable(["html_block", "code"])
    # A link keeps its marks, and is judged where it is written (tags.py), not silently left as it
    # is; and text decoded from a link could contain characters that stand for tags.
    parser.normalizeLink = _normalize_link  # type: ignore[method-assign]
    parser.validateLink = lambda url: True  # type: ignore[method-assign]  # noqa: ARG005
    parser.normalizeLinkText = lambda link: link  # type: ignore[method-assign]
    stops = {"alt": ["paragraph", "reference", "blockquote", "list"]}
    parser.block.ruler.before("table", "statements", _statement_lines, stops)  # type: ignore[arg-type]
    parser.inline.ruler.before("image", "picture", _blank_in_path)
    parser.block.ruler.before("table", "signature", _signature_line, stops)  # type: ignore[arg-type]
    return parser


def _normalize_link(url: str) -> str:
    """A link in ASCII, its marks left as they are."""
    # A mark stands for text that is encoded on its own: a word in its place is left as it is.
    word = "petitionmark"
    while word in url.lower():
        word += "x"
    marks = TAG.findall(url)
    numbers = iter(range(len(marks)))
    stood_in = TAG.sub(lambda _: f"{word}{next(numbers)}z", url)
    return re.sub(f"{word}([0-9]+)z", lambda found: marks[int(found[1])], normalizeLink(stood_in))


def _statement_lines(state: StateBlock, start: int, _end: int, silent: bool) -> bool:
    """A line with nothing but statements is a block."""
    if silent and state.parentType == "table":
        return False  # a table's row, which `_statements_of` makes statements again
    marked: Marked = state.env["marked"]
    line = state.src[state.bMarks[start] + state.tShift[start] : state.eMarks[start]].strip()
    marks = line.replace(" ", "").replace("\t", "")
    if not marks or not all(_is_statement(char, marked) for char in marks):
        return False
    if not silent:
        state.line = start + 1
        token = state.push("statements", "", 0)
        token.content = marks
        token.map = [start, state.line]
    return True


def _signature_line(state: StateBlock, start: int, _end: int, silent: bool) -> bool:
    """A line `-- ` begins the signature (RFC 3676 4.3)."""
    if state.src[state.bMarks[start] : state.eMarks[start]].rstrip() != "--":
        return False
    if not silent:
        state.line = start + 1
        state.push("signature", "", 0).map = [start, state.line]
    return True


def _blank_in_path(state: StateInline, silent: bool) -> bool:
    """A picture whose path has a blank, which CommonMark takes for text."""
    found = _PICTURE.match(state.src, state.pos)
    path = found[2].strip() if found else ""
    if not found or not re.search(r"\s", path) or _TITLED.search(path):
        return False
    if not silent:
        token = state.push("image", "img", 0)
        token.attrs = {"src": quote(unquote(path)), "alt": ""}
        token.content, token.children = found[1], []
        state.md.inline.parse(found[1], state.md, state.env, token.children)
    state.pos = found.end()
    return True


def _is_statement(char: str, marked: Marked) -> bool:
    return TAG.match(char) is not None and marked.tag(char).role is not Role.FIELD


def soft_line_ends(marked: Marked) -> set[int]:
    """The lines of a text, from 0, whose ends are a blank in Markdown and no line break."""
    ends = set()
    for token in _parser().parse(marked.text, {"marked": marked}):
        if token.type != "inline" or not token.map:
            continue
        line = token.map[0]
        for child in token.children or ():
            if child.type == "softbreak":
                ends.add(line)
            if child.type in {"softbreak", "hardbreak"}:
                line += 1
    return ends


def first_html(text: str) -> str:
    """The first piece of HTML in a Markdown text; empty where there is none."""
    parser = MarkdownIt("commonmark", {"html": True})
    tokens = (one for token in parser.parse(text) for one in (token, *(token.children or ())))
    html = (token.content for token in tokens if token.type in {"html_block", "html_inline"})
    return next(html, "").strip()
