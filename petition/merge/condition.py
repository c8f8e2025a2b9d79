"""A condition over the fields of a row: `country == 'GB' and language != 'en'`."""

import re
from collections.abc import Collection, Iterator
from typing import TypeVar

from jinja2 import TemplateSyntaxError, nodes
from jinja2.environment import TemplateExpression
from jinja2.lexer import Token, TokenStream
from jinja2.parser import Parser
from jinja2.tests import TESTS

from petition.campaign.names import nearest
from petition.campaign.people import Person
from petition.errors import ConditionRefused, PetitionError, UsageError
from petition.merge.fields import Named
from petition.merge.operations import known_filters
from petition.merge.python_words import of_failure
from petition.merge.sandbox import LetterEnvironment

_ROW = "recipient"  # a letter calls the row so; a condition may
_LIMIT = 10_000  # characters
_OPTION = "--where"
_LEXED_AT = re.compile(r"unexpected char .* at (\d+)", re.DOTALL)
_MENDS = {
    "=": "Write == to compare",
    "&": 'Write "and"',
    "|": 'Write "or"',
    "!": 'Write "not", or != to compare',
    "<": "Write != for what is not equal",
    "'": "Close the quote",
    '"': "Close the quote",
}
Node = TypeVar("Node", bound=nodes.Node)

_MEND = "Write it like country == 'GB' and language != 'en'"


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
            what, mend = why.what, why.mend
        except Exception as why:  # noqa: BLE001 (an expression can raise anything)
            what, mend = of_failure(why).what, "Cells are texts: write age|int > 17"
        place = f"{person.file}:{person.line}"
        raise UsageError(f"{_OPTION} {self} cannot be worked out for {place}: {what}", mend)

    def _compiled(self) -> TemplateExpression:
        if len(self._text) > _LIMIT:
            raise UsageError(f"{_OPTION} has more than {_LIMIT:,} characters", "Make it shorter")
        if not self._text.strip():
            raise UsageError(f"{_OPTION} is empty", _MEND)
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
        mend = f"Did you mean {near}" if near else f"Known here: {', '.join(sorted(known))}"
        raise self._refused(f'there is no {kind} "{name}"', mend, position - 1)

    def _unreadable(self, fault: TemplateSyntaxError) -> ConditionRefused:
        message = fault.message or "it cannot be read"
        lexed = _LEXED_AT.fullmatch(message)
        at = int(lexed[1]) if lexed else fault.lineno - 1
        if "end of template" in message or "end of file" in message:
            return self._refused("something is missing at its end", _MEND, len(self._text))
        found = re.compile(r"\w+|.|$").match(self._text, at)
        sign = found[0] if found else ""
        mend = _MENDS.get(sign, _MEND)
        return self._refused(f"{sign or 'its end'} does not fit here", mend, at)

    def _refused(self, what: str, mend: str, at: int) -> ConditionRefused:
        return ConditionRefused(f"{_OPTION}: {what}", mend, self._text, at)


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
