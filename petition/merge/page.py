"""The HTML of a letter, with its style in every element. The only door to css-inline."""

import re
from collections.abc import Iterable
from functools import cache
from html import escape
from importlib.resources import files
from string import Template

import css_inline

from petition.merge.fields import locale_of
from petition.merge.links import escape_link
from petition.merge.tags import TAG, Marked, without_reserved
from petition.merge.tree import Node, plain_words

_NAMES = {
    "paragraph": "p",
    "blockquote": "blockquote",
    "bullet_list": "ul",
    "ordered_list": "ol",
    "list_item": "li",
    "em": "em",
    "strong": "strong",
    "code_inline": "code",
    "table": "table",
    "thead": "thead",
    "tbody": "tbody",
    "tr": "tr",
    "th": "th",
    "td": "td",
    "signatures": "ul",
}
_LINES = frozenset(
    {"paragraph", "heading", "em", "strong", "link", "th", "td", "code_inline", "code_block"}
)
_COMMENT = re.compile(f"<!--({TAG.pattern})-->")


def write_page(nodes: Iterable[Node], marked: Marked, language: str, title: str) -> str:
    """The HTML page of a tree, with its marks.

    Args:
        nodes: The blocks.
        marked: What the marks in them mean.
        language: The language tag of the letter.
        title: What a browser calls the page.
    """
    letter, style, at_rules = _layout()
    page = letter.substitute(
        language=escape(language),
        direction=locale_of(language).text_direction,
        title=escape(without_reserved(title)),
        style=style,
        body=_Html(marked, language).nodes(nodes, is_line=False),
    )
    inlined = _inliner().inline(page)
    # A statement between blocks, rows or entries is a comment until here: text would be moved out
    # of a table by the parser, as a browser does.
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
        if node.kind in {"text", "field", "softbreak", "hardbreak", "hr", "image"}:
            leaf = _leaf(node)
            return leaf.replace(" — ", "\u00a0— ") if self._binds_dash else leaf
        inner = self.nodes(node.children, is_line=node.kind in _LINES)
        if node.kind == "paragraph" and node.is_tight:
            return inner + "\n"
        if node.kind == "code_block":
            return f"<pre><code>{inner}</code></pre>\n"
        return self._element(node, inner)

    def _element(self, node: Node, inner: str) -> str:
        name = f"h{node.number}" if node.kind == "heading" else _NAMES.get(node.kind, "a")
        attributes = "".join(f' {key}="{value}"' for key, value in self._attributes(node))
        is_outer = node.kind in {"bullet_list", "ordered_list", "table", "blockquote", "signatures"}
        end = "" if node.kind in {"em", "strong", "link", "code_inline"} else "\n"
        return f"<{name}{attributes}>{end if is_outer else ''}{inner}</{name}>{end}"

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
        return f'<img src="{escape(node.text)}" alt="{words}" class="picture">'
    breaks = {"softbreak": "\n", "hardbreak": "<br>\n", "hr": "<hr>\n"}
    return breaks.get(node.kind) or escape(node.text, quote=False)


@cache
def _inliner() -> css_inline.CSSInliner:
    return css_inline.CSSInliner(load_remote_stylesheets=False)


@cache
def _layout() -> tuple[Template, str, str]:
    """The page, the style that goes into its elements, and the rules that only a head can hold."""
    room = files("petition.merge")
    letter = room.joinpath("letter.html").read_text("utf-8")
    style, at, rest = room.joinpath("letter.css").read_text("utf-8").partition("@media")
    return Template(letter), style, at + rest
