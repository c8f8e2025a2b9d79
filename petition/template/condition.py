"""Conditions about the rows of a list: that of `--where`, and cells that are one by themselves."""

import re
from collections.abc import Collection, Iterable, Iterator
from typing import cast

from jinja2 import TemplateSyntaxError, nodes
from jinja2.environment import TemplateExpression
from jinja2.lexer import Token, TokenStream
from jinja2.parser import Parser
from jinja2.tests import TESTS

from petition.campaign.names import quoted
from petition.campaign.people import Person
from petition.campaign.tables import yes_or_no
from petition.errors import ConditionRefused, PetitionError, UsageError
from petition.template.check_names import compared_with_numbers, nearest_of
from petition.template.error_texts import ERROR_TEXTS
from petition.template.fields import Named
from petition.template.filters import known_filters
from petition.template.sandbox import LetterEnvironment
from petition.template.syntax_tree import ROW, bare_conditions, count_yes_no, nodes_of

_LIMIT = 10_000  # characters
_OPTION = "--where"
_LEXED_AT = re.compile(r"unexpected char .* at (\d+)", re.DOTALL)
_HINT = "Write it like country == 'GB' and language != 'en'"


class BareColumns:
    """Columns whose cells are conditions by themselves, judged over all rows that get a letter.

    If all filled cells say yes or no, that is what they count as. Otherwise any filled cell is
    true. Some of each kind are an error. The first filled cell decides, and a later one agrees or
    makes an error of it, so that a list is judged while its copies are merged. Columns that counted
    as yes or no when the letter was frozen (`before`) still do unless a cell contradicts, and the
    others do not.
    """

    def __init__(self, columns: Iterable[str], before: Collection[str] | None = None) -> None:
        self._seen: dict[str, dict[bool | None, tuple[str, str]]] = {one: {} for one in columns}
        self.before = before

    def __bool__(self) -> bool:
        return bool(self._seen)

    def look_at(self, people: Iterable[Person]) -> frozenset[str]:
        """Look at the next rows of the list; returns `yes_no`."""
        for column, seen in self._seen.items():
            for person in people:
                if person.excluded:
                    continue
                if (cell := person.fields.get(column, "")) and not cell.isspace():
                    said = yes_or_no(cell)
                    if said not in seen:
                        seen[said] = f"{person.file}:{person.line}", cell.strip()
        return self.yes_no

    @property
    def yes_no(self) -> frozenset[str]:
        """The columns that count as yes or no, as far as the list was looked at."""
        return frozenset(filter(self._is_yes_no, self._seen))

    def _is_yes_no(self, column: str) -> bool:
        seen = self._seen[column]
        if self.before is None:
            return bool(seen) and None not in seen
        return None not in seen and (column in self.before or False in seen)

    def mixed(self, owner: str = "") -> Iterator[tuple[str, str, str]]:
        """Columns with cells of each kind: what is wrong, what to do, and the column."""
        for column, seen in self._seen.items():
            word = seen.get(False) or seen.get(True)
            if self.before is not None and column not in self.before and False not in seen:
                continue  # any text was true when the letter was frozen, and "yes" is
            if word and None in seen:
                (place, said), (other, text) = word, seen[None]
                cell = f"{owner}{column}"
                what = f"{cell} is {quoted(said)} in {place}, but {quoted(text)} in {other}"
                yes = f'Write {cell} == "yes", with the word of the list'
                yield what, f'{yes}, or {cell} != "" for any text', column

    def examples(self) -> Iterator[tuple[str, str, str]]:
        """A cell of each column that counts as yes or no: column, row and text."""
        for column in sorted(self.yes_no):
            seen = self._seen[column]
            if cell := seen.get(False) or seen.get(True):
                yield column, *cell


class Condition:
    """The condition of `--where`, which can name columns.

    ConditionRefused if it cannot be read, or names what does not exist.
    """

    def __init__(self, text: str, columns: Collection[str]) -> None:
        self._text = " ".join(text.splitlines())
        self._environment = _ConditionEnvironment(str)
        self._columns = columns
        self._yes_no: frozenset[str] = frozenset()
        self._bare, self._test = self._compiled()

    def __str__(self) -> str:
        return self._text

    def judge(self, people: Collection[Person]) -> None:
        """Look at the next rows of the list, before it is asked of them.

        UsageError if cells that it asks for by themselves say yes or no in some rows alone.
        """
        yes_no = self._bare.look_at(people)
        for what, hint, _ in self._bare.mixed():
            raise UsageError(f"{_OPTION} {self} is not clear: {what}", hint)
        if yes_no != self._yes_no:
            self._yes_no = yes_no
            _, self._test = self._compiled()

    def holds(self, person: Person) -> bool:
        """Whether it holds for a person; UsageError if that cannot be evaluated."""
        self._environment.budget.start()
        names = {ROW: Named(ROW, person.fields), **person.fields}
        place = f"{person.file}:{person.line}"
        try:
            return bool(self._test(names))
        except PetitionError as why:
            what, hint = why.what, why.hint
        except Exception as why:  # noqa: BLE001 (an expression can raise anything)
            what = str(why) or type(why).__name__
            hint = "Cells are texts: write age|int > 17"
        raise UsageError(f"{_OPTION} {self} cannot be evaluated for {place}: {what}", hint)

    def _compiled(self) -> tuple[BareColumns, TemplateExpression]:
        if len(self._text) > _LIMIT:
            raise UsageError(f"{_OPTION} has more than {_LIMIT:,} characters", "Make it shorter")
        if not self._text.strip():
            raise UsageError(f"{_OPTION} is empty", _HINT)
        try:
            tree = self._environment.condition(self._text)
            self._check_names(tree, self._columns)
            bare = BareColumns(column for _, _, column in bare_conditions(tree, self._columns))
            count_yes_no(tree, self._yes_no, self._columns)
            return bare, self._environment.compiled(cast("nodes.Expr", tree.test))
        except TemplateSyntaxError as fault:
            raise self._unreadable(fault) from None
        except RecursionError:
            what = f"{_OPTION} is nested too deeply"
            raise UsageError(what, "Write it with fewer brackets") from None

    def _check_names(self, tree: nodes.If, columns: Collection[str]) -> None:
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
        return self._refused(what, ERROR_TEXTS["condition"].get(sign, _HINT), at)

    def _refused(self, what: str, hint: str, at: int) -> ConditionRefused:
        return ConditionRefused(f"{_OPTION}: {what}", hint, self._text, at)


class _ConditionEnvironment(LetterEnvironment):
    """The sandbox of the letters, in which a "line" is a place in the condition from 1."""

    def condition(self, text: str) -> nodes.If:
        """The condition as Jinja reads it."""
        parser = Parser(self, text, state="variable")
        expression = parser.parse_expression()
        if not parser.stream.eos:
            parser.fail("there is more text after it")
        tree = nodes.If(expression, [], [], [], lineno=1)
        tree.set_environment(self)
        return tree

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
