"""Jinja tags and links in a letter's text, put aside before Markdown sees them.

Markdown sees a field as one plain letter: nothing in an expression is taken for emphasis, a table's
bar or a link's end, and nothing in a field is Markdown.

A field that begins a link is a whole address, of the web or mail only. Any other field is a part of
one, and can neither end it nor change its host.
"""

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from enum import StrEnum
from typing import NamedTuple
from urllib.parse import quote

from jinja2 import Environment, TemplateSyntaxError

from petition.template.fields import CellRefused

# The last plane of Unicode is private use throughout, and no font or program is known to use it.
_FIRST, _LAST = 0x100000, 0x10EFFF
TAG = re.compile(f"[{chr(_FIRST)}-{chr(_LAST)}]")
_RESERVED = re.compile("[\U00100000-\U0010ffff]")
_NUMERIC_ENTITY = re.compile(r"&#(?:([0-9]{1,8})|[xX]([0-9a-fA-F]{1,8}));")

# What opens and closes a tag in a compiled template. A letter cannot contain these characters, so
# its own text is never taken for a tag.
VARIABLE = ("\U0010f001", "\U0010f002")
BLOCK = ("\U0010f003", "\U0010f004")
COMMENT = ("\U0010f005", "\U0010f006")
_COMPILED_TAG = re.compile("[\U0010f001\U0010f003] (.*?) [\U0010f002\U0010f004]", re.DOTALL)


# How large a letter's tags may be; Jinja and Python give up some way beyond.
_TAG_WORDS = 300
_TAG_DEPTH = 20
_BLOCK_DEPTH = 15  # Python has 20 for loops
_TAGS = 5_000  # each takes 0.3 ms to check and compile
_DIGITS = 300


class Role(StrEnum):
    """What a tag is to the text around it."""

    FIELD = "field"  # {{ ... }}: prints a value
    OPEN = "open"  # {% if %}, {% for %} ...: what follows is its own
    MIDDLE = "middle"  # {% else %}, {% elif %}
    CLOSE = "close"  # {% endif %} ...
    ALONE = "alone"  # {% set x = 1 %}


class Tag(NamedTuple):
    """One tag."""

    role: Role
    source: str  # what is between its delimiters
    line: int  # where it begins, from 1

    @property
    def keyword(self) -> str:
        """The first word of a statement: `if`."""
        return self.source.split(None, 1)[0]

    def __str__(self) -> str:
        inner = " ".join(self.source.split())
        return f"{{{{ {inner} }}}}" if self.role is Role.FIELD else f"{{% {inner} %}}"


class Template(NamedTuple):
    """A compiled template: its source, and for each of its tags in turn the line in the letter."""

    source: str
    lines: tuple[int, ...]

    def tags_on(self, line: int | None) -> list[str]:
        """What is in each of the tags on a line of the letter."""
        if line not in self.lines:
            return []
        inner = _COMPILED_TAG.findall(self.source)
        return [text for text, at in zip(inner, self.lines, strict=False) if at == line]


@dataclass(slots=True)
class Marked:
    """A text whose tags are put aside."""

    text: str = ""  # a private-use character for each tag
    lines: list[int] = field(default_factory=lambda: [1])  # of each line its number in the letter
    _tags: list[Tag] = field(default_factory=list)

    def tag(self, mark: str) -> Tag:
        """The tag that a character stands for."""
        return self._tags[ord(mark) - _FIRST]

    def marks(self) -> Iterator[str]:
        """The characters of all tags."""
        return (chr(_FIRST + number) for number in range(len(self._tags)))

    def add(self, tag: Tag) -> str:
        """Put a tag aside; the character that stands for it."""
        if len(self._tags) > _LAST - _FIRST:
            raise OverflowError("the letter has over 60,000 tags")
        self._tags.append(tag)
        return chr(_FIRST + len(self._tags) - 1)

    def template(self, text: str) -> Template:
        """A compiled template of a text with these marks."""
        marks = TAG.findall(text)
        source = TAG.sub(lambda mark: _delimited(self.tag(mark.group())), text)
        return Template(source, tuple(self.tag(mark).line for mark in marks))


def find_reserved(text: str) -> int | None:
    """The line of the first character that stands for tags, or of an entity for one."""
    entities = _NUMERIC_ENTITY.finditer(text)
    found = _RESERVED.search(text) or next(filter(_names_reserved, entities), None)
    return None if found is None else text.count("\n", 0, found.start()) + 1


def without_reserved(text: str) -> str:
    """A text without the characters that `find_reserved` finds."""
    plain = _RESERVED.sub("", text)
    return _NUMERIC_ENTITY.sub(
        lambda entity: "" if _names_reserved(entity) else entity.group(), plain
    )


def find_oversized(source: str, syntax: Environment) -> tuple[int, str] | None:
    """Where a text has too many tags, or one that is too long or nested too deep."""
    tokens = iter(syntax.lexer.tokeniter(source, None))
    blocks = count = 0
    try:
        for line, kind, _ in tokens:
            if kind not in {"variable_begin", "block_begin"}:
                continue
            count += 1
            if count > _TAGS:
                return line, f"the text has more than {_TAGS:,} tags"
            words = []
            for word in _until(kind.replace("begin", "end"), tokens):
                words += [] if word[0] == "whitespace" else [word]
                if what := _oversized(words):
                    return line, what
            if kind == "block_begin" and words:
                role = _role(words)
                blocks += (role is Role.OPEN) - (role is Role.CLOSE)
                if blocks > _BLOCK_DEPTH:
                    return line, f"blocks are nested more than {_BLOCK_DEPTH} deep"
    except TemplateSyntaxError:
        pass  # parsing it tells
    return None


def _oversized(words: list[tuple[str, str]]) -> str | None:
    """What the last of a tag's words makes too large."""
    if len(words) > _TAG_WORDS:
        return f"a tag has more than {_TAG_WORDS} words and signs"
    kind, word = words[-1] if words else ("", "")
    if kind in {"integer", "float"} and (len(word) > _DIGITS or _is_endless(word)):
        return "a number is too large"
    if kind == "operator" and word in "([{":
        signs = "".join(word for kind, word in words if kind == "operator")
        depth = sum(map(signs.count, "([{")) - sum(map(signs.count, ")]}"))
        if depth > _TAG_DEPTH:
            return f"brackets are nested more than {_TAG_DEPTH} deep"
    return None


def _is_endless(number: str) -> bool:
    # Jinja would write 1e400 into its Python as `inf`, a name that nobody has.
    return (
        "e" in number.lower()
        and not number.lower().startswith("0x")
        and (float(number.replace("_", "")) == float("inf"))
    )


def mark_tags(source: str, syntax: Environment) -> Marked:
    """Put the tags of a text aside."""
    marked = Marked()
    drops_line = False
    tokens = iter(syntax.lexer.tokeniter(source, None))
    for line, kind, text in tokens:
        first, value = line, TAG.sub("\N{REPLACEMENT CHARACTER}", text)  # else it would be a mark
        if kind == "comment_begin":
            list(_until("comment_end", tokens))
            # A comment on a line of its own goes with its line: an empty one would end a paragraph.
            before = marked.text.rstrip(" \t")
            if not before or before.endswith("\n"):
                marked.text, drops_line = before, True
            continue
        if kind == "variable_begin":
            inner = "".join(word for _, word in _until("variable_end", tokens))
            value = marked.add(Tag(Role.FIELD, inner.strip(), line))
        elif kind == "block_begin":
            words = list(_until("block_end", tokens))
            value = marked.add(Tag(_role(words), "".join(word for _, word in words).strip(), line))
        elif kind != "data":
            continue
        elif drops_line and (rest := re.match(r"[ \t]*\n", text)):
            first, value = line + 1, value[rest.end() :]
        drops_line = False
        if marked.text.endswith("\n") or not marked.text:
            marked.lines[-1] = first
        marked.text += value
        marked.lines += range(first + 1, first + 1 + value.count("\n"))
    return marked


def _until(end: str, tokens: Iterator[tuple[int, str, str]]) -> Iterator[tuple[str, str]]:
    for _, kind, value in tokens:
        if kind == end:
            return
        yield kind, value


def _role(words: Iterable[tuple[str, str]]) -> Role:
    solid = [word for kind, word in words if kind != "whitespace"]
    keyword = solid[0]
    if keyword.startswith("end"):
        return Role.CLOSE
    if keyword in {"else", "elif"}:
        return Role.MIDDLE
    if keyword in {"include", "import", "from", "extends"}:
        return Role.ALONE
    return Role.ALONE if keyword == "set" and "=" in solid else Role.OPEN


def _delimited(tag: Tag) -> str:
    begin, end = VARIABLE if tag.role is Role.FIELD else BLOCK
    # The blanks keep a minus at either end from being taken for white space control.
    return f"{begin} {tag.source} {end}"


def _names_reserved(entity: re.Match[str]) -> bool:
    decimal, hexadecimal = entity.groups()
    number = int(decimal) if decimal else int(hexadecimal, 16)
    return 0x100000 <= number <= 0x10FFFF


_STATIC = re.compile(r"(?:https?://|mailto:|tel:)", re.IGNORECASE)
_WHOLE = re.compile(r"(?:https?://[^/?#@\s]+(?:[/?#].*)?|mailto:.+)", re.IGNORECASE)
_HOST_UNFINISHED = re.compile(r"https?://[^/?#]*", re.IGNORECASE)

# RFC 3986: what a whole URL can consist of. A part of one keeps only unreserved characters.
_OF_A_URL = "%/:=&?~#+!$,;'@()*[]"
_AS_IT_IS = re.compile(f"[A-Za-z0-9_.{re.escape(_OF_A_URL)}-]*")


def whole_link(value: str) -> str:
    """A value as a whole link."""
    if not _WHOLE.fullmatch(value):
        what = f"{value[:60]!a} is not a link that begins with https://, http:// or mailto:"
        raise CellRefused(what, "Correct it")
    return value if _AS_IT_IS.fullmatch(value) else quote(value, safe=_OF_A_URL)


def link_part(value: str) -> str:
    """A value as a part of a link: every reserved character is encoded."""
    return quote(value, safe="")


def mail_link_part(value: str) -> str:
    """A value as a part of a `mailto:` link, where @ is not reserved."""
    return quote(value, safe="@")


def hung(value: str, before: str) -> str:
    """A value whose further lines are in the same quotation or entry of a list as its first."""
    return value.replace("\n", f"\n{before}")


# What a compiled template does with a field in its place; no letter can name these.
_OF_LINKS = {"whole_link": whole_link, "link_part": link_part, "mail_link_part": mail_link_part}
LINK_FILTERS = tuple(f"|{name}" for name in _OF_LINKS)
FILTERS: dict[str, Callable[..., str]] = {**_OF_LINKS, "hung": hung}


def fault_of(link: str, marked: Marked) -> str | None:
    """Why a letter cannot have a link, or None."""
    if not _is_balanced(link, marked):
        return "a statement begins in a link and ends outside of it"
    fields = [mark for mark in TAG.findall(link) if marked.tag(mark).role is Role.FIELD]
    static = TAG.sub("", link.split(fields[0], 1)[0] if fields else link)
    if not static and fields:
        return None
    if not _STATIC.match(static):
        shown = TAG.sub(lambda mark: str(marked.tag(mark.group())), link)
        return f'the link "{shown}" does not begin with https://, http:// or mailto:'
    if fields and _HOST_UNFINISHED.fullmatch(static):
        return f"{marked.tag(fields[0])} cannot set the host of a link"
    return None


def escape_link(link: str, marked: Marked) -> str:
    """A link whose fields pass the filter that makes each a whole link or a part of one."""
    part = "mail_link_part" if link.lower().startswith("mailto:") else "link_part"
    made = ""
    is_first = True
    before: list[bool] = []  # for each statement that is open: whether nothing stood before it
    for char in link:
        tag = marked.tag(char) if TAG.match(char) else None
        role = tag.role if tag else None
        if role is Role.OPEN:
            before.append(is_first)
        elif role is Role.MIDDLE and before:
            is_first = before[-1]
        elif role is Role.CLOSE and before:
            before.pop()
            is_first = False
        if tag and role is Role.FIELD:
            link_filter = "whole_link" if is_first else part
            made += marked.add(Tag(role, f"({tag.source})|{link_filter}", tag.line))
        else:
            made += char
        if role in {None, Role.FIELD}:
            is_first = False
    return made


def _is_balanced(link: str, marked: Marked) -> bool:
    depth = 0
    for mark in TAG.findall(link):
        role = marked.tag(mark).role
        if role in {Role.MIDDLE, Role.CLOSE} and depth == 0:
            return False
        depth += (role is Role.OPEN) - (role is Role.CLOSE)
    return depth == 0
