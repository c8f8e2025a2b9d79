"""Jinja templates that were written for another program: read, renamed, and filled by the line."""

import re
from collections.abc import Collection, Mapping

from jinja2 import StrictUndefined, TemplateError, TemplateSyntaxError, meta, nodes
from jinja2.sandbox import ImmutableSandboxedEnvironment

from petition.errors import UsageError
from petition.merge.jinja_words import of_syntax
from petition.merge.sandbox import template_syntax
from petition.merge.tags import TAG, Marked, Role, Tag, mark_tags

# A name behind one of these is an attribute or a filter, and no variable.
_NO_NAME_BEHIND = frozenset({".", "|"})
_BRACE = re.compile(r"\{(?=[{%#]|" + TAG.pattern + ")")


class ForeignTemplate:
    """A text with Jinja's tags.

    Args:
        text: The text.

    Raises:
        UsageError: Jinja cannot read it, or it takes in other templates; says the line in it.
    """

    def __init__(self, text: str) -> None:
        self.text = text
        try:
            self._tree = template_syntax().parse(text)
        except TemplateSyntaxError as fault:
            said = of_syntax(fault, text)
            what = f"line {said.line or fault.lineno}: {said.what}"
            raise UsageError(what, said.mend) from None
        others = (nodes.Include, nodes.Import, nodes.FromImport, nodes.Extends)
        if other := next((one for kind in others for one in self._tree.find_all(kind)), None):
            what = f"line {other.lineno}: the template takes in another one"
            raise UsageError(what, "Copy its text into this one")

    @property
    def names(self) -> set[str]:
        """What it calls by name and does not make itself."""
        return set(meta.find_undeclared_variables(self._tree))

    @property
    def own_names(self) -> set[str]:
        """The names that it makes itself, in loops and assignments."""
        stored = {one.name for one in self._tree.find_all(nodes.Name) if one.ctx != "load"}
        return stored | {one.name for one in self._tree.find_all(nodes.Macro)}

    def marked(self) -> Marked:
        """The text with its tags put aside, and with them braces that would become one."""
        marked = mark_tags(self.text, template_syntax())
        marked.text = _BRACE.sub(lambda _: marked.add(Tag(Role.FIELD, '"{"', 1)), marked.text)
        return marked

    def fill(self, values: Mapping[str, str]) -> str:
        """The text for one row.

        Raises:
            UsageError: It cannot be filled.
        """
        environment = ImmutableSandboxedEnvironment(undefined=StrictUndefined)  # no markup here
        try:
            return environment.from_string(self.text).render(values)
        except (TemplateError, ArithmeticError, LookupError, TypeError, ValueError) as fault:
            raise UsageError(str(fault).rstrip("."), "Correct the template or the row") from None


def written_out(text: str, marked: Marked, names: Mapping[str, str], empty: Collection[str]) -> str:
    """A text with its tags in their places again, the names in them being other ones.

    Args:
        text: The text with marks.
        marked: What they mean.
        names: The new names by the old ones.
        empty: Old names that can be empty: a tag that prints one of them alone prints nothing then.
    """

    def written(mark: re.Match[str]) -> str:
        tag = marked.tag(mark.group())
        source = renamed(tag.source, names)
        if tag.role is Role.FIELD and tag.source in empty:
            source += ' or ""'
        return f"{{{{ {source} }}}}" if tag.role is Role.FIELD else f"{{% {source} %}}"

    return TAG.sub(written, text)


def renamed(source: str, names: Mapping[str, str]) -> str:
    """An expression or statement with other names for its variables.

    Args:
        source: What stands between the delimiters.
        names: The new names by the old ones.
    """
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
