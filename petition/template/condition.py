"""The condition of `--where`: which rows of a list a command is for."""

import re
from collections.abc import Collection, Iterator

from jinja2 import TemplateSyntaxError, nodes
from jinja2.environment import TemplateExpression
from jinja2.lexer import Token, TokenStream
from jinja2.parser import Parser
from jinja2.tests import TESTS

from petition.campaign.people import Person
from petition.errors import ConditionRefused, PetitionError, UsageError
from petition.template.check_names import (
    ROW,
    bare_conditions,
    compared_with_numbers,
    counts_as_yes,
    nearest_of,
    nodes_of,
)
from petition.template.fields import Named
from petition.template.sandbox import LetterEnvironment, known_filters

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
_HINT = "Write it like country == 'GB' and language != 'en'"


class Condition:
    """The condition of `--where`, which can name columns.

    Raises:
        ConditionRefused: It cannot be read, or names what does not exist.
    """

    def __init__(self, text: str, columns: Collection[str]) -> None:
        self._text = " ".join(text.splitlines())
        self._environment = _ConditionEnvironment(str)
        self._holds = self._compiled(columns)

    def __str__(self) -> str:
        return self._text

    def holds(self, person: Person) -> bool:
        """Whether it holds for a person; UsageError if that cannot be evaluated."""
        self._environment.budget.start()
        names = {ROW: Named(ROW, person.fields), **person.fields}
        place = f"{person.file}:{person.line}"
        for cell in self._tested:
            if fault := counts_as_yes(cell, person.fields.get(cell.removeprefix(f"{ROW}."), "")):
                raise UsageError(f"{_OPTION} {self} is not clear for {place}: {fault[0]}", fault[1])
        try:
            return bool(self._holds(names))
        except PetitionError as why:
            what, hint = why.what, why.hint
        except Exception as why:  # noqa: BLE001 (an expression can raise anything)
            what = str(why) or type(why).__name__
            hint = "Cells are texts: write age|int > 17"
        raise UsageError(f"{_OPTION} {self} cannot be evaluated for {place}: {what}", hint)

    def _compiled(self, columns: Collection[str]) -> TemplateExpression:
        if len(self._text) > _LIMIT:
            raise UsageError(f"{_OPTION} has more than {_LIMIT:,} characters", "Make it shorter")
        if not self._text.strip():
            raise UsageError(f"{_OPTION} is empty", _HINT)
        try:
            tree = self._environment.tree(self._text)
            self._check_names(tree, columns)
            self._tested = dict.fromkeys(cell for _, cell in bare_conditions(tree, columns))
            return self._environment.compile_expression(self._text, undefined_to_none=False)
        except TemplateSyntaxError as fault:
            raise self._unreadable(fault) from None
        except RecursionError:
            what = f"{_OPTION} is nested too deeply"
            raise UsageError(what, "Write it with fewer brackets") from None

    def _check_names(self, tree: nodes.Expr, columns: Collection[str]) -> None:
        filters = known_filters()
        for used in nodes_of(tree, nodes.Filter):
            self._require(used.name, filters, "filter", used.lineno)
        for test in nodes_of(tree, nodes.Test):
            self._require(test.name, TESTS, "test", test.lineno)
        for found in compared_with_numbers(tree, columns):
            raise self._refused(found.what, found.hint, found.line - 1)
        for name in nodes_of(tree, nodes.Name):
            self._require(name.name, (*columns, ROW), "column", name.lineno)
        for field in nodes_of(tree, nodes.Getattr):
            if isinstance(field.node, nodes.Name) and field.node.name == ROW:
                self._require(field.attr, columns, "column", field.lineno + len("."))

    def _require(self, name: str, known: Collection[str], kind: str, position: int) -> None:
        if name not in known:
            what = f'there is no {kind} "{name}"'
            raise self._refused(what, nearest_of(name, known), position - 1)

    def _unreadable(self, fault: TemplateSyntaxError) -> ConditionRefused:
        message = fault.message or "it cannot be read"
        lexed = _LEXED_AT.fullmatch(message)
        at = int(lexed[1]) if lexed else fault.lineno - 1
        if "end of template" in message or "end of file" in message:
            return self._refused("something is missing at its end", _HINT, len(self._text))
        sign = (re.match(r"\w+|.|$", self._text[at:]) or [""])[0]
        what = f"{sign or 'its end'} is unexpected here"
        return self._refused(what, _HINTS.get(sign, _HINT), at)

    def _refused(self, what: str, hint: str, at: int) -> ConditionRefused:
        return ConditionRefused(f"{_OPTION}: {what}", hint, self._text, at)


class _ConditionEnvironment(LetterEnvironment):
    """The sandbox of the letters, in which a "line" is a place in the condition from 1."""

    def tree(self, text: str) -> nodes.Expr:
        """The condition as Jinja reads it."""
        parser = Parser(self, text, state="variable")
        expression = parser.parse_expression()
        if not parser.stream.eos:
            parser.fail("there is more text after it")
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
