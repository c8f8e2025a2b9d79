"""The page of a merged letter as a tree again, for a reader that is no browser.

What the letter says to one person is decided once, by the template of its HTML: whatever else is
made of the letter is made of that page, in which every field is escaped text.
"""

import re
from collections.abc import Iterator
from html.parser import HTMLParser
from itertools import groupby, pairwise
from typing import Any, TypeAlias

# As JSON has it: {"tag": "p", "inner": [...]} with the attributes that matter beside them.
Element: TypeAlias = dict[str, Any]
Inner: TypeAlias = str | Element

LETTER = "letter"  # the class of what holds the letter

_KEPT = ("class", "href", "src", "alt", "start")
_VOID = frozenset({"br", "hr", "img", "meta", "link"})
_INLINE = frozenset({"a", "br", "code", "em", "strong"})
_HOLD_BLOCKS = frozenset({"div", "blockquote", "li"})
_HOLD_ELEMENTS = frozenset({"ul", "ol", "table", "thead", "tbody", "tr"})
_BLANKS = re.compile(r"[ \t\r\n]+")
_ALIGN = re.compile(r"text-align:\s*(left|center|right)")


def read_page(page: str) -> list[Element]:
    """The blocks of a letter's page.

    Args:
        page: The HTML that `write_page` made, filled.

    Returns:
        The blocks; inside of lines white space stands as a browser shows it.
    """
    reader = _Reader()
    reader.feed(page)
    reader.close()
    return _blocks(reader.letter["inner"])


def words_of(inner: Inner) -> str:
    """The words of an element in one line."""
    if isinstance(inner, str):
        return inner
    return " ".join("".join(words_of(one) for one in inner["inner"]).split())


class _Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.letter: Element = {"tag": "div", "inner": []}
        self._open: list[Element] = [{"tag": "", "inner": []}]

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        element: Element = {"tag": tag, "inner": []}
        element |= {name: given[name] for name in _KEPT if given.get(name)}
        if tag in {"td", "th"} and (found := _ALIGN.search(given.get("style", ""))):
            element["align"] = found[1]
        self._open[-1]["inner"].append(element)
        if tag == "div" and given.get("class") == LETTER:
            self.letter = element
        if tag not in _VOID:
            self._open.append(element)

    def handle_endtag(self, tag: str) -> None:
        if any(one["tag"] == tag for one in self._open[1:]):
            while self._open.pop()["tag"] != tag:
                pass

    def handle_data(self, data: str) -> None:
        self._open[-1]["inner"].append(data)


def _blocks(inner: list[Inner]) -> list[Element]:
    """Blocks alone: lines of text that stand among them become blocks as well."""
    blocks: list[Element] = []
    for is_line, run in groupby(inner, _is_inline):
        if is_line:
            blocks += _paragraphs({"tag": "line", "inner": list(run)})
        else:
            blocks += [block for one in run if isinstance(one, dict) for block in _block(one)]
    return blocks


def _is_inline(inner: Inner) -> bool:
    return isinstance(inner, str) or inner["tag"] in _INLINE


def _block(element: Element) -> Iterator[Element]:
    tag = element["tag"]
    if tag in _HOLD_BLOCKS:
        yield {**element, "inner": _blocks(element["inner"])}
    elif tag in _HOLD_ELEMENTS:
        held = [one for one in element["inner"] if isinstance(one, dict)]
        yield {**element, "inner": [block for one in held for block in _block(one)]}
    elif tag == "pre":
        yield {**element, "inner": ["".join(_raw(element)).rstrip("\n")]}
    elif tag in {"th", "td"}:
        yield {**element, "inner": _line(element["inner"])}
    elif tag in {"hr", "img"}:
        yield element
    else:
        yield from _paragraphs(element)


def _paragraphs(element: Element) -> Iterator[Element]:
    """A paragraph, cut at its pictures, which stand between lines and not in them."""
    for is_picture, run in groupby(element["inner"], _is_picture):
        if is_picture:
            yield from (one for one in run if isinstance(one, dict))
        elif line := _line(list(run)):
            yield {**element, "inner": line}


def _is_picture(inner: Inner) -> bool:
    return isinstance(inner, dict) and inner["tag"] == "img"


def _raw(element: Element) -> Iterator[str]:
    for one in element["inner"]:
        if isinstance(one, str):
            yield one
        else:
            yield from _raw(one)


def _line(inner: list[Inner]) -> list[Inner]:
    """Inlines with one blank where there are many, and none at the ends of a line."""
    line = _collapsed(inner)
    for before, after in pairwise(range(len(line))):
        here, text = line[before], line[after]
        if isinstance(here, dict) and here["tag"] == "br" and isinstance(text, str):
            line[after] = text.lstrip(" ")
    for end, strip in ((0, str.lstrip), (-1, str.rstrip)):
        if line and isinstance(line[end], str):
            line[end] = strip(line[end], " ")  # type: ignore[arg-type]
    return [one for one in line if one != ""]


def _collapsed(inner: list[Inner]) -> list[Inner]:
    return [
        _BLANKS.sub(" ", one)
        if isinstance(one, str)
        else {**one, "inner": _collapsed(one["inner"])}
        for one in inner
    ]
