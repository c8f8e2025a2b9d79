"""Whether everything that a letter or a condition names exists, before anything is merged."""

import re
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any, Protocol, TypeVar, cast

from jinja2 import TemplateSyntaxError, nodes
from jinja2.environment import TemplateExpression
from jinja2.lexer import Token, TokenStream
from jinja2.parser import Parser
from jinja2.tests import TESTS

from petition.campaign.letter import LetterText
from petition.campaign.names import nearest
from petition.campaign.people import Person
from petition.campaign.signatories import Signatory
from petition.errors import ConditionRefused, PetitionError, UsageError
from petition.merge.template.fields import (
    ANSWER_FIELDS,
    DEMAND_FIELDS,
    SIGNATORY_FIELDS,
    Named,
    ValueRefused,
)
from petition.merge.template.sandbox import (
    LetterEnvironment,
    captures,
    known_filters,
    template_syntax,
)
from petition.merge.template.signatories import CHOICE_FIELDS, SignatoryList, is_same

_FIXED = "Write a text in quotes or a number there"


def chosen(source: str, signatories: SignatoryList) -> SignatoryList | None:
    """The signatories that an expression stands for."""
    tree = template_syntax().parse(f"{{{{ {source} }}}}")
    (output,) = tree.find_all(nodes.Output)
    return _chosen(output.nodes[0], signatories)


def _chosen(node: nodes.Node | None, signatories: SignatoryList) -> SignatoryList | None:
    if isinstance(node, nodes.Name):
        return signatories if node.name == "signatories" else None
    if not isinstance(node, nodes.Filter) or node.name not in {"where", "limit"}:
        return None
    before = _chosen(node.node, signatories)
    if before is None:
        return None
    if node.name == "limit":
        return before.limit(_number(node))
    conditions = {pair.key: _fixed(pair.value, "where") for pair in keywords_of(node)}
    return before.where(**conditions) if {*conditions} <= {*CHOICE_FIELDS} else before


def keywords_of(used: nodes.Filter) -> list[nodes.Keyword]:
    """The named arguments of a filter: Jinja's parser makes `Keyword`, its types say `Pair`."""
    return cast("list[nodes.Keyword]", used.kwargs)


def _number(limit: nodes.Filter) -> int:
    arguments = [*limit.args, *(pair.value for pair in limit.kwargs)]
    number = _fixed(arguments[0], "limit") if len(arguments) == 1 else None
    if not isinstance(number, int) or isinstance(number, bool):
        raise ValueRefused("limit takes a number", "Write it as limit(40)")
    return number


def _fixed(value: nodes.Expr, name: str) -> Any:  # noqa: ANN401 (whatever a constant is)
    if not isinstance(value, nodes.Const):
        what = f"{name} takes only fixed values where the signatories stand as a block"
        raise ValueRefused(what, _FIXED)
    return value.value


def counted(
    unnamed: Iterable[Signatory], texts: Sequence[LetterText], language: str
) -> list[list[Any]]:
    """Those who are not to be named, counted by what the letter chooses by and by nothing else."""
    asked = _asked(texts)
    if not asked:
        return []
    counts = Counter(
        tuple((name, _kept(name, getattr(one, name), asked[name], language)) for name in asked)
        for one in unnamed
    )
    return [[dict(fields), count] for fields, count in sorted(counts.items(), key=repr)]


def _kept(name: str, value: str, asked: set[str] | None, language: str) -> str | None:
    """A cell, if the letter could ask for it."""
    is_asked = asked is None or any(is_same(name, value, one, language) for one in asked)
    return value if is_asked else None


def _asked(texts: Sequence[LetterText]) -> Mapping[str, set[str] | None]:
    """By which fields a letter chooses, and for which values; None: values of the recipient."""
    asked: dict[str, set[str] | None] = {}
    for pair in _conditions(texts):
        known = asked.setdefault(pair.key, set())
        if not isinstance(pair.value, nodes.Const):
            asked[pair.key] = None
        elif known is not None:
            known.add(str(pair.value.value))
    return {name: asked[name] for name in CHOICE_FIELDS if name in asked}


def _conditions(texts: Sequence[LetterText]) -> Iterator[nodes.Keyword]:
    for text in texts:
        for source in (text.subject, text.body):
            try:
                filters = list(template_syntax().parse(source).find_all(nodes.Filter))
            except (TemplateSyntaxError, RecursionError, ValueError):
                continue  # whoever compiles it tells
            for used in filters:
                if used.name == "where":
                    yield from keywords_of(used)


class Report(Protocol):
    """Is told of a problem."""

    def __call__(self, line: int, what: str, hint: str, mark: str = "") -> None:
        """Take a problem."""
        ...


# What Jinja itself lets a template name.
_JINJAS = frozenset({"range", "loop", "true", "false"})

# Of Jinja's tests those that a letter has a use for.
_TESTS = ("defined", "divisibleby", "even", "in", "lower", "number", "odd", "string", "upper")

_ABSENT = {
    "unsubscribe": ("a personal letter has no list to leave", "Write kind: bulk, or take it out"),
    "event": ("the letter has no event", "Write event: NAME in its front matter"),
    "previous": ("the letter follows no other", "Write follows: LETTER in its front matter"),
    "open_demands": ("the letter follows no other", "Write follows: LETTER in its front matter"),
    "reply_by": ("the letter has no reply-by date", "Write reply_by: 14 days in its front matter"),
}

# Filters after which a list still holds the same things.
_SAME_THINGS = frozenset(
    {
        *("limit", "list", "reject", "rejectattr", "reverse", "select", "selectattr"),
        *("sort", "unique", "where"),
    }
)
_FIELDS_OF_EACH = {
    "demands": DEMAND_FIELDS,
    "open_demands": DEMAND_FIELDS,
    "signatories": SIGNATORY_FIELDS,
    "previous.answers": ANSWER_FIELDS,
    "previous.stalls": ANSWER_FIELDS,
}

_OTHER_FILES = (nodes.Extends, nodes.Include, nodes.Import, nodes.FromImport)

_INSTEAD = {
    "macro": "Write its text where it is to stand, or repeat it with {% for %}",
    "call": "Write its text where it is to stand",
    "filter": "Put the filter on each field: {{ recipient.name | upper }}",
    "set": 'Give the value in the tag, as in {% set town = "Leeds" %}, or choose with {% if %}',
    "block": "Take {% block %} and {% endblock %} out, and leave the text",
    "recursive": 'Take "recursive" out, and write one loop inside the other',
}


def check_statements(tree: nodes.Template, report: Report) -> bool:
    """Look for statements that no letter can have; whether there are none."""
    others, captured = list(tree.find_all(_OTHER_FILES)), captures(tree)
    for node in others:
        what = "a letter is one file and cannot include another"
        report(node.lineno, what, "Write the text into the letter itself")
    escaping = list(tree.find_all(nodes.ScopedEvalContextModifier))
    for node in escaping:
        what = "{% autoescape %} is not possible: fields are always escaped"
        report(node.lineno, what, "Take it out")
    for line, keyword in captured:
        shown = {"set": "{% set %} without a value", "recursive": "a loop that calls itself"}
        what = f"{shown.get(keyword, f'{{% {keyword} %}}')} cannot be used in a letter"
        report(line, what, _INSTEAD[keyword], keyword)
    return not (others or escaping or captured)


def check_names(tree: nodes.Template, known: Mapping[str, Sequence[str]], report: Report) -> None:
    """Look for everything that a template names and that is not there."""
    _Names(tree, known, report).check()


def check_fields(tree: nodes.Template, known: Mapping[str, Sequence[str]], report: Report) -> None:
    """Look only for missing fields: for part of a template that is broken elsewhere."""
    _Names(tree, known, report).check_fields()


class _Names:
    def __init__(
        self, tree: nodes.Template, known: Mapping[str, Sequence[str]], report: Report
    ) -> None:
        self._tree = tree
        self._known = known
        self._report = report

    def check(self) -> None:
        self._check_filters()
        self._check_tests()
        self._check_top_names()
        self.check_fields()
        for name in self._known:
            self._check_bare(name)
        for loop in self._tree.find_all(nodes.For):
            self._check_loop(loop)

    def check_fields(self) -> None:
        for name, fields in self._known.items():
            self._check_fields(self._tree, name, fields)

    def _check_filters(self) -> None:
        known = known_filters()
        for used in self._tree.find_all(nodes.Filter):
            if used.name in {"safe", "e", "escape"}:
                what = f'there is no filter "{used.name}": fields are always escaped'
                self._report(used.lineno, what, f"Take |{used.name} out", used.name)
            elif used.name not in known:
                what = f'there is no filter "{used.name}"'
                self._unknown(used.lineno, what, used.name, known)

            elif used.name == "where":
                self._check_where(used)

    def _check_where(self, used: nodes.Filter) -> None:
        if used.args or used.dyn_args or used.dyn_kwargs or not used.kwargs:
            what = "where is not told what to choose by"
            self._report(used.lineno, what, 'Write it as where(country="KZ")')
        fields = {"signatories": CHOICE_FIELDS, "demands": DEMAND_FIELDS}.get(_source_of(used))
        for pair in keywords_of(used):
            if fields is CHOICE_FIELDS and pair.key == "name":
                what = "where does not choose signatories by name: not all of them are to be named"
                self._report(used.lineno, what, f"Choose by {', '.join(CHOICE_FIELDS)}")
            elif fields and pair.key not in fields:
                what = f"where cannot choose by {pair.key}"
                self._unknown(used.lineno, what, pair.key, fields)

    def _check_tests(self) -> None:
        for used in self._tree.find_all(nodes.Test):
            if used.name not in TESTS:
                what = f'there is no test "{used.name}"'
                self._unknown(used.lineno, what, used.name, _TESTS)

    def _check_top_names(self) -> None:
        made = {name.name for name in self._tree.find_all(nodes.Name) if name.ctx != "load"}
        for name in self._tree.find_all(nodes.Name):
            if name.ctx != "load":
                if name.name in self._known:
                    what = f"{name.name} is already something else in a letter"
                    self._report(name.lineno, what, "Choose another name", name.name)
            elif name.name not in {*made, *self._known, *_JINJAS}:
                self._unknown_name(name, made)

    def _unknown_name(self, name: nodes.Name, made: set[str]) -> None:
        if name.name in _ABSENT:
            self._report(name.lineno, *_ABSENT[name.name], name.name)
            return
        columns = self._known.get("recipient", ())
        if name.name in columns:
            what = f"there is no {name.name} by itself"
            self._report(name.lineno, what, f"Write recipient.{name.name}", name.name)
            return
        what = f"there is no {name.name}"
        if near := nearest(name.name, {*made, *self._known}):
            self._report(name.lineno, what, f"Did you mean {near}", name.name)
        else:
            self._unknown(name.lineno, what, name.name, self._known)

    def _check_fields(self, tree: nodes.Node, name: str, fields: Sequence[str]) -> None:
        for line, field in _named_fields(tree, name):
            if field not in fields:
                self._unknown(line, f"there is no {name}.{field}", field, fields, f"{name}.")

    def _check_bare(self, name: str) -> None:
        if name in {"demands", "signatories", "today", "reply_by", "unsubscribe"}:
            return
        for output in self._tree.find_all(nodes.Output):
            for printed in output.nodes:
                if isinstance(printed, nodes.Name) and printed.name == name:
                    what = f"{{{{ {name} }}}} as a whole cannot be printed"
                    hint = f"Write {{% for demand in {name} %}}"
                    if fields := self._known[name]:
                        hint = f"Name a field of it, as {name}.{fields[0]}"
                    self._report(printed.lineno, what, hint, name)

    def _check_loop(self, loop: nodes.For) -> None:
        if not isinstance(loop.target, nodes.Name):
            return
        if fields := _FIELDS_OF_EACH.get(_source_of(loop.iter)):
            for part in loop.body:
                self._check_fields(part, loop.target.name, fields)

    def _unknown(
        self, line: int, what: str, name: str, known: Collection[str], prefix: str = ""
    ) -> None:
        near = nearest(name, known)
        if prefix and not known:
            each = f"{{% for one in {prefix[:-1]} %}}{{{{ one.{name} }}}}{{% endfor %}}"
            self._report(line, what, f"It is a list: write {each}", f"{prefix}{name}")
            return
        listed = ", ".join(sorted(known)) or "nothing"
        hint = f"Did you mean {prefix}{near}" if near else f"Known here: {listed}"
        self._report(line, what, hint, f"{prefix}{name}")


def _source_of(listed: nodes.Node) -> str:
    """The name of the list that a chain of filters begins with, or nothing."""
    while isinstance(listed, nodes.Filter) and listed.name in _SAME_THINGS:
        listed = listed.node or nodes.Const(None)
    if isinstance(listed, nodes.Getattr) and isinstance(listed.node, nodes.Name):
        return f"{listed.node.name}.{listed.attr}"
    return listed.name if isinstance(listed, nodes.Name) else ""


def _named_fields(tree: nodes.Node, name: str) -> Iterator[tuple[int, str]]:
    """The fields of a name that a template asks for, each with its line."""
    for dotted in tree.find_all(nodes.Getattr):
        if isinstance(dotted.node, nodes.Name) and dotted.node.name == name:
            yield dotted.lineno, dotted.attr
    for item in tree.find_all(nodes.Getitem):
        is_named = isinstance(item.node, nodes.Name) and item.node.name == name
        if is_named and isinstance(item.arg, nodes.Const) and isinstance(item.arg.value, str):
            yield item.lineno, item.arg.value


def shown_to_all(source: str) -> set[str]:
    """The names that a template prints whatever a row holds: outside of every condition."""
    tree = LetterEnvironment(str).parse(source)
    printed = (node for one in tree.body if isinstance(one, nodes.Output) for node in one.nodes)
    return set(filter(None, map(_printed_name, printed)))


def _printed_name(node: nodes.Node) -> str:
    while isinstance(node, nodes.Filter) and node.node is not None:
        node = node.node
    return _source_of(node)


_ROW = "recipient"  # a letter calls the row so; a condition may
_LIMIT = 10_000  # characters
_OPTION = "--where"
_LEXED_AT = re.compile(r"unexpected char .* at (\d+)", re.DOTALL)
_HINTS = {
    "=": "Write == to compare",
    "&": 'Write "and"',
    "|": 'Write "or"',
    "!": 'Write "not", or != to compare',
    "<": "Write != for what is not equal",
    "'": "Close the quote",
    '"': "Close the quote",
}
Node = TypeVar("Node", bound=nodes.Node)

_HINT = "Write it like country == 'GB' and language != 'en'"


class Condition:
    """A condition that can be asked of one person after the other.

    Args:
        text: The condition.
        columns: The columns that it can name.

    Raises:
        ConditionRefused: It cannot be read, or names what is not there.
    """

    def __init__(self, text: str, columns: Collection[str]) -> None:
        self._text = " ".join(text.splitlines())
        self._columns = columns
        self._environment = _ConditionEnvironment(str)
        self._holds = self._compiled()

    def __str__(self) -> str:
        return self._text

    def holds(self, person: Person) -> bool:
        """Whether it holds for a person.

        Raises:
            UsageError: It cannot be worked out for them.
        """
        self._environment.budget.start()
        names = {_ROW: Named(_ROW, person.fields), **person.fields}
        try:
            return bool(self._holds(names))
        except PetitionError as why:
            what, hint = why.what, why.hint
        except Exception as why:  # noqa: BLE001 (an expression can raise anything)
            what = str(why) or type(why).__name__
            hint = "Cells are texts: write age|int > 17"
        place = f"{person.file}:{person.line}"
        raise UsageError(f"{_OPTION} {self} cannot be worked out for {place}: {what}", hint)

    def _compiled(self) -> TemplateExpression:
        if len(self._text) > _LIMIT:
            raise UsageError(f"{_OPTION} has more than {_LIMIT:,} characters", "Make it shorter")
        if not self._text.strip():
            raise UsageError(f"{_OPTION} is empty", _HINT)
        try:
            self._check(self._environment.tree(self._text))
            return self._environment.compile_expression(self._text, undefined_to_none=False)
        except TemplateSyntaxError as fault:
            raise self._unreadable(fault) from None
        except RecursionError:
            what = f"{_OPTION} is nested too deep"
            raise UsageError(what, "Write it with fewer brackets") from None

    def _check(self, tree: nodes.Expr) -> None:
        for used in _all(tree, nodes.Filter):
            self._require(used.name, known_filters(), "filter", used.lineno)
        for test in _all(tree, nodes.Test):
            self._require(test.name, TESTS, "test", test.lineno)
        for name in _all(tree, nodes.Name):
            self._require(name.name, (*self._columns, _ROW), "column", name.lineno)
        for field in _all(tree, nodes.Getattr):
            if isinstance(field.node, nodes.Name) and field.node.name == _ROW:
                place = field.lineno + len(".")
                self._require(field.attr, self._columns, "column", place)

    def _require(self, name: str, known: Collection[str], kind: str, position: int) -> None:
        if name in known:
            return
        near = nearest(name, known)
        hint = f"Did you mean {near}" if near else f"Known here: {', '.join(sorted(known))}"
        raise self._refused(f'there is no {kind} "{name}"', hint, position - 1)

    def _unreadable(self, fault: TemplateSyntaxError) -> ConditionRefused:
        message = fault.message or "it cannot be read"
        lexed = _LEXED_AT.fullmatch(message)
        at = int(lexed[1]) if lexed else fault.lineno - 1
        if "end of template" in message or "end of file" in message:
            return self._refused("something is missing at its end", _HINT, len(self._text))
        found = re.compile(r"\w+|.|$").match(self._text, at)
        sign = found[0] if found else ""
        hint = _HINTS.get(sign, _HINT)
        return self._refused(f"{sign or 'its end'} does not fit here", hint, at)

    def _refused(self, what: str, hint: str, at: int) -> ConditionRefused:
        return ConditionRefused(f"{_OPTION}: {what}", hint, self._text, at)


class _ConditionEnvironment(LetterEnvironment):
    """The sandbox of the letters, in which a "line" is a place in the condition from 1."""

    def tree(self, text: str) -> nodes.Expr:
        """The condition as Jinja reads it."""
        parser = Parser(self, text, state="variable")
        expression = parser.parse_expression()
        if not parser.stream.eos:
            parser.fail("there is more behind it")
        return expression

    def _tokenize(
        self, source: str, name: str | None, filename: str | None = None, state: str | None = None
    ) -> TokenStream:
        return TokenStream(self._placed(source, name, filename, state), name, filename)

    def _placed(
        self, source: str, name: str | None, filename: str | None, state: str | None
    ) -> Iterator[Token]:
        place = 1
        for _, kind, text in self.lexer.tokeniter(source, name, filename, state):
            yield from self.lexer.wrap([(place, kind, text)], name, filename)
            place += len(text)


def _all(tree: nodes.Expr, kind: type[Node]) -> list[Node]:
    """The nodes of a kind, the topmost one too."""
    own = [tree] if isinstance(tree, kind) else []
    return [*own, *tree.find_all(kind)]
