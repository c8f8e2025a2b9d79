"""A letter of another program: its template, and its text as Markdown with merge fields.

A plain text must come out as it was typed: Markdown's signs are escaped, and every line end stays
one. The Markdown of mailmerge stays Markdown, with the line breaks that it makes of line ends
(`nl2br`).
"""

import json
import re
from collections.abc import Collection, Iterator, Mapping
from functools import cached_property
from typing import Self

from jinja2 import StrictUndefined, TemplateError, TemplateSyntaxError, meta, nodes
from jinja2.sandbox import ImmutableSandboxedEnvironment

from petition.errors import UsageError
from petition.template.check_names import Report, check_statements
from petition.template.error_texts import of_syntax
from petition.template.markdown import first_html, soft_line_ends
from petition.template.syntax_tree import template_syntax
from petition.template.tags import TAG, Marked, Role, Tag, mark_tags

# A name after one of these is an attribute or a filter, not a variable.
_NO_NAME_BEHIND = frozenset({".", "|"})
_BRACE = re.compile(r"\{(?=[{%#]|" + TAG.pattern + ")")


class ForeignTemplate:
    """A text with Jinja's tags."""

    def __init__(self, text: str) -> None:
        self.text = text

    @classmethod
    def read(cls, text: str, report: Report) -> Self:
        """A text; what a letter cannot have is reported with its line."""
        found = cls(text)
        try:
            check_statements(found._tree, report)
        except TemplateSyntaxError as fault:
            said = of_syntax(fault, text)
            report(said.line or fault.lineno, said.what, said.hint)
        return found

    @cached_property
    def _tree(self) -> nodes.Template:
        return template_syntax().parse(self.text)

    @property
    def names(self) -> dict[str, int]:
        """The names that it uses and does not give itself, each with its first line."""
        unknown = meta.find_undeclared_variables(self._tree)
        used = [one for one in self._tree.find_all(nodes.Name) if one.name in unknown]
        return {one.name: one.lineno for one in sorted(used, key=lambda one: -one.lineno)}

    @property
    def own_names(self) -> set[str]:
        """The names that it gives itself, in loops and assignments."""
        return {one.name for one in self._tree.find_all(nodes.Name) if one.ctx != "load"}

    def marked(self) -> Marked:
        """The text with its tags put aside, and with them braces that would become a tag."""
        marked = mark_tags(self.text, template_syntax())
        marked.text = _BRACE.sub(lambda _: marked.add(Tag(Role.FIELD, '"{"', 1)), marked.text)
        return marked

    def fill(self, values: Mapping[str, str]) -> str:
        """The text for one row; UsageError if it cannot be filled."""
        environment = ImmutableSandboxedEnvironment(undefined=StrictUndefined)  # no markup here
        try:
            return environment.from_string(self.text).render(values)
        except (TemplateError, ArithmeticError, LookupError, TypeError, ValueError) as fault:
            raise UsageError(str(fault).rstrip("."), "Correct the template or the row") from None


def as_yaml_or_toml(value: str | list[str]) -> str:
    """A value as TOML and YAML both read it: JSON, with control characters escaped."""
    made = json.dumps(value, ensure_ascii=False)
    return re.sub(r"[\x7f-\x9f\u2028\u2029\ufeff]", lambda one: f"\\u{ord(one[0]):04x}", made)


_ANYWHERE = re.compile(r"[\\`*<&\[\]]|(?<![^\W_])_|_(?![^\W_])|!(?=\[)")
_AT_START = re.compile(r"(?:[#>+=|:~-]|(?<=\d)[.)])")
_NUMBER = re.compile(r"(\d{1,9})([.)])(?=\s|$)")
_LINK = re.compile(r"https?://[^\s<>\"'\\{}]*[^\s<>\"'\\{}.,;:!?)\]]")
_SIGNATURE = "-- "  # RFC 3676 4.3: its blank belongs to it
_BLANKS = {" ": "&#32;", "\t": "&#9;"}


def plain_as_markdown(marked: Marked) -> str:
    """A plain text as Markdown that comes out as it was typed; its marks stay."""
    lines = marked.text.split("\n")
    is_text = [*(_is_text(line, marked) for line in lines), False]
    made = []
    for number, line in enumerate(lines):
        if is_text[number]:
            made.append(_escaped(line, marked) + ("\\" if is_text[number + 1] else ""))
        else:
            made.append(line.strip())
    return "\n".join(made).strip("\n") + "\n"


def markdown_as_markdown(marked: Marked) -> str:
    """A Markdown text of mailmerge, where every line end is a line break; UsageError for HTML."""
    if html := first_html(TAG.sub("x", marked.text)):
        what = f"there is HTML in the Markdown: {html.splitlines()[0][:60]}"
        raise UsageError(what, "Write it in Markdown; petition shows HTML as text")
    soft = soft_line_ends(marked)
    lines = marked.text.split("\n")
    made = [f"{line.rstrip()}\\" if number in soft else line for number, line in enumerate(lines)]
    return "\n".join(made).strip("\n") + "\n"


def _is_text(line: str, marked: Marked) -> bool:
    """Whether a line has more than blanks and statements."""
    return any(not TAG.match(char) or _is_field(char, marked) for char in "".join(line.split()))


def _is_field(mark: str, marked: Marked) -> bool:
    return marked.tag(mark).role is Role.FIELD


def escape(text: str) -> str:
    """A text in which nothing is Markdown, if it does not begin a line."""
    return _ANYWHERE.sub(r"\\\g<0>", text)


def escape_start(line: str) -> str:
    """An escaped line that begins no heading, list, quotation, table or rule."""
    if _AT_START.match(line):
        return f"\\{line}"
    if number := _NUMBER.match(line):
        return f"{number[1]}\\{line[number.end(1) :]}"
    return line


def _escaped(line: str, marked: Marked) -> str:
    text = line.lstrip(" \t")
    indent = "".join(_BLANKS[char] for char in line[: len(line) - len(text)])
    made = escape_start("".join(_pieces(text.rstrip(" \t"), marked)))
    if line == _SIGNATURE:
        made += _BLANKS[" "]
    return indent + made


def _pieces(text: str, marked: Marked) -> Iterator[str]:
    end = 0
    for link in _LINK.finditer(text):
        yield escape(text[end : link.start()])
        yield f"<{link[0]}>" if _is_whole(link[0], marked) else escape(link[0])
        end = link.end()
    yield escape(text[end:])


def _is_whole(link: str, marked: Marked) -> bool:
    """Whether a link leads to a host that the letter itself names, whatever is in the fields."""
    host = re.split(r"[/?#]", link.partition("://")[2])[0]
    marks = TAG.findall(link)
    return bool(host) and not TAG.search(host) and all(_is_field(mark, marked) for mark in marks)


def written_out(text: str, marked: Marked, names: Mapping[str, str], empty: Collection[str]) -> str:
    """A text with its tags back in their places, and new names in them.

    `empty` are old names that can be empty: a tag that prints only one of them then prints nothing.
    """

    def written(mark: re.Match[str]) -> str:
        tag = marked.tag(mark.group())
        source = renamed(tag.source, names)
        if tag.role is Role.FIELD and tag.source in empty:
            source += ' or ""'
        return f"{{{{ {source} }}}}" if tag.role is Role.FIELD else f"{{% {source} %}}"

    return TAG.sub(written, text)


def renamed(source: str, names: Mapping[str, str]) -> str:
    """An expression or statement with other names for its variables."""
    lexed = list(template_syntax().lexer.tokeniter(f"{{{{ {source} }}}}", None))[1:-1]
    words: list[tuple[str, str]] = [(kind, word) for _, kind, word in lexed]
    solid = [number for number, (kind, _) in enumerate(words) if kind != "whitespace"]
    made = [word for _, word in words]
    depth = 0
    for at, number in enumerate(solid):
        kind, word = words[number]
        before = words[solid[at - 1]][1] if at else ""
        after = words[solid[at + 1]][1] if at + 1 < len(solid) else ""
        if kind == "operator":
            depth += (word in "([{") - (word in ")]}")
        is_keyword = after == "=" and depth > 0
        is_test = before == "is" or (before == "not" and at > 1 and words[solid[at - 2]][1] == "is")
        if kind == "name" and before not in _NO_NAME_BEHIND and not (is_keyword or is_test):
            made[number] = names.get(word, word)
    return "".join(made).strip()
