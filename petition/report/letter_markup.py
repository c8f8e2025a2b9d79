"""A letter, as it was read for its PDF, as a part of a page of the site.

Nothing of the email's own markup is kept: each element is made anew, and only of the kinds that a
letter can have.
"""

import re
from collections.abc import Iterable, Iterator
from html import escape

from petition.merge.pdf import Element, Inner
from petition.report.markup import Html, tag, void

_PICTURE = re.compile(r"data:image/(?:png|jpeg|gif);base64,[A-Za-z0-9+/=]+")
_LINK = re.compile(r"(?:https?://|mailto:)", re.IGNORECASE)
_HEADING = re.compile(r"h([1-6])")
_INLINE = frozenset({"a", "br", "code", "em", "strong"})
_HOLDERS = frozenset({"blockquote", "li", "ol", "tbody", "thead", "tr", "ul"})
_CLASSES = frozenset({"demands", "disclaimer", "signatories", "unnamed"})  # that site.css knows


def letter_markup(blocks: Iterable[Inner]) -> Html:
    """The markup of a letter; its headings begin below that of the page."""
    return Html("\n".join(_blocks(blocks)))


def _blocks(blocks: Iterable[Inner], level: int = 1) -> Iterator[Html]:
    """Blocks of a letter; its headings go down one level at a time, below that of the page."""
    for block in blocks:
        if isinstance(block, str):
            yield Html(escape(block, quote=False))
            continue
        if found := _HEADING.fullmatch(block["tag"]):
            level = min(int(found[1]) + 1, level + 1, 6)
            yield tag(f"h{level}", *map(_inline, block["inner"]))
        else:
            yield _block(block, level)


def _block(block: Element, level: int) -> Html:
    name, inner = block["tag"], block["inner"]
    given = {"class_": block.get("class", "")} if block.get("class") in _CLASSES else {}
    if name in {"hr", "img"}:
        return void("hr") if name == "hr" else _picture(block)
    if name == "table":
        return tag("div", tag("table", *_blocks(inner, level)), class_="wide", tabindex="0")
    if name in {"td", "th"}:
        side = f"to-{block['align']}" if block.get("align") else ""
        scope = "col" if name == "th" else ""
        return tag(name, *map(_inline, inner), class_=side, scope=scope)
    if name in _HOLDERS:
        start = str(block.get("start", "")) if name == "ol" else ""
        return tag(name, *_blocks(inner, level), start=start, **given)
    return tag("pre" if name == "pre" else "p", *map(_inline, inner), **given)


def _inline(inner: Inner) -> Html:
    if isinstance(inner, str):
        return Html(escape(inner, quote=False))
    name, parts = inner["tag"], [_inline(one) for one in inner["inner"]]
    if name == "br":
        return void("br")
    if name == "img":
        return _picture(inner)
    href = str(inner.get("href", ""))
    if name not in _INLINE or (name == "a" and not _LINK.match(href)):
        return Html("".join(parts))
    return tag(name, *parts, href=href if name == "a" else "")


def _picture(block: Element) -> Html:
    source, words = str(block.get("src", "")), str(block.get("alt", ""))
    if not _PICTURE.fullmatch(source):
        return tag("p", words)
    width = str(block.get("width", ""))
    # Unlike with others, an empty text says something here: that the picture only adorns.
    shown = void("img", src=source, width=width if width.isdigit() else "")
    return Html(f'{str(shown)[:-1]} alt="{escape(words)}">')
