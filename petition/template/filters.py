"""The filters and operators of letters, each of which pays for what it makes.

Neither a letter nor a value in it may bring the machine down. Work is counted and not timed: a
letter is refused on every machine, or on none.

Only what is listed here exists in a letter. `safe` does not: it would let a cell write markup. Nor
does `random`: a preview would not be what is sent.
"""

from collections.abc import Callable, Iterable, Iterator, Sized
from functools import cache, wraps
from typing import TypeVar

from jinja2 import pass_context
from jinja2.filters import FILTERS
from jinja2.runtime import Context
from jinja2.utils import _PassArg

from petition.campaign.tables import yes_or_no
from petition.template import tags
from petition.template.fields import EmptyCell, Named, Value, ValueRefused, cell_filters, printed
from petition.template.signatories import SignatoryList, listed, others

TEXT_LIMIT = 100_000  # characters of a text, or elements of a list, that an expression makes
NUMBER_LIMIT = 200  # bits of a number; 9**9**9 is (9**9)**9 here, and has 257
RANGE_LIMIT = 10_000  # numbers of a range
STEPS = 50_000  # of about ten microseconds: a round of a loop, a call
STEP_CHARACTERS = 64  # characters that are made or looked through in a step
STEP_ELEMENTS = 8  # elements of lists that are
STEP_NODES = 8  # what a round or a macro has in it, as Jinja takes it apart

Made = TypeVar("Made", bound=Sized)


class Budget:
    """Counts what a rendering costs."""

    _steps = STEPS

    def start(self) -> None:
        """Begin to count again."""
        self._steps = STEPS

    def spend(self, steps: int) -> None:
        """Pay for work."""
        self._steps -= steps
        if self._steps < 0:
            raise ValueRefused("the template does too much work", "Make its loops shorter")

    def charge(self, made: Made) -> Made:
        """Pay for a text or list that was made, and return it."""
        check_length(len(made))
        self.spend(len(made) // STEP_CHARACTERS)
        return made

    def weigh(self, *values: object) -> int:
        """Pay for looking through values, also through lists in lists; what was paid."""
        before = self._steps
        waiting = list(values)
        while waiting:
            value = waiting.pop()
            if isinstance(value, str):
                self.spend(len(value) // STEP_CHARACTERS)
            elif isinstance(value, list | tuple | dict):
                self.spend(1 + len(value) // STEP_ELEMENTS)
                waiting += value.values() if isinstance(value, dict) else value
            elif isinstance(value, range):
                self.spend(len(value) // STEP_ELEMENTS)
        return before - self._steps


def check_length(length: int) -> None:
    """Refuse a text or list before it is made."""
    if length > TEXT_LIMIT:
        what = f"an expression makes a text or list longer than {TEXT_LIMIT:,}"
        raise ValueRefused(what, "Make it shorter")


def check_bits(bits: int) -> None:
    """Refuse a number before it is made."""
    if bits > NUMBER_LIMIT:
        raise ValueRefused("an expression makes a number that is too large", "Make it smaller")


Filter = Callable[..., Value]

# The language of the letter among its names; no letter can write a name with a dot in it.
LANGUAGE = ".language"

# Filters that no letter can name: the compiled template needs them.
CONCATENATE, ROUNDS, WEIGHED, PAID, SAYS_YES = "~", "for", "weighed", "paid", "says yes"
_INNER = frozenset({CONCATENATE, ROUNDS, WEIGHED, PAID, SAYS_YES})

_KEEP_EMPTY = "abs capitalize float int lower string title trim upper"
_AS_THEY_ARE = (
    "count d default dictsort first groupby last length map max min reject rejectattr"
    " reverse select selectattr sort sum truncate unique wordcount"
)


class Operations:
    """Operators and filters that pay for what they make."""

    def __init__(self, budget: Budget) -> None:
        self._budget = budget

    def operators(self) -> dict[str, Filter]:
        """The operators that could make something too large."""
        return {"+": self._add, "*": self._multiply, "**": _power, "%": _modulo}

    def filters(self) -> dict[str, Filter]:
        """All filters, those of the compiled template too."""
        return {
            **{name: self._paying(FILTERS[name]) for name in _AS_THEY_ARE.split()},
            **{name: _keeping_empty(self._paying(FILTERS[name])) for name in _KEEP_EMPTY.split()},
            **{name: _printing(link) for name, link in tags.FILTERS.items()},
            **cell_filters(LANGUAGE),
            CONCATENATE: self._concatenate,
            ROUNDS: self._rounds,
            WEIGHED: self._weighed,
            PAID: self._budget.spend,
            SAYS_YES: says_yes,
            "join": self._join,
            "limit": self._limit,
            "list": self._list,
            "listed": self._listed(),
            "replace": _keeping_empty(self._replace),
            "round": _keeping_empty(_round),
            "where": self._where,
        }

    def _rounds(self, elements: Iterable[Value], weight: int) -> Iterator[Value]:
        for element in elements:
            self._budget.spend(weight)
            self._budget.weigh(element)
            yield element

    def _weighed(self, value: Value) -> Value:
        self._budget.weigh(value)
        return value

    def _paying(self, plain: Filter) -> Filter:
        """A filter that pays for what it looks through, and for its arguments at each element."""
        at = 0 if _PassArg.from_obj(plain) is None else 1

        @wraps(plain)
        def paying(*arguments: Value, **options: Value) -> Value:
            value = arguments[at]
            each = 1 + self._budget.weigh(*arguments[at + 1 :], *options.values())
            if isinstance(value, Sized):
                self._budget.weigh(value)
                if each > 1:
                    self._budget.spend(each * len(value))
            elif isinstance(value, Iterator):
                value = self._rounds(value, each)
            made = plain(*arguments[:at], value, *arguments[at + 1 :], **options)
            if isinstance(made, int):
                check_bits(made.bit_length())
            return self._budget.charge(made) if isinstance(made, str) else made

        return paying

    def _list(self, elements: Iterable[Value]) -> list[Value]:
        return self._budget.charge(list(self._rounds(elements, 1)))

    def _concatenate(self, parts: Iterable[Value]) -> str:
        texts = [printed(part) for part in parts]
        check_length(sum(map(len, texts)))
        return self._budget.charge("".join(texts))

    def _join(self, elements: Iterable[Value], mark: str = "", attribute: str = "") -> str:
        found = [
            one.field(attribute) if attribute and isinstance(one, Named) else one
            for one in self._rounds(elements, 1)
        ]
        return self._concatenate([part for one in found for part in (mark, one)][1:])

    def _where(self, elements: Iterable[Value], **conditions: Value) -> Value:
        """Those of whom all conditions are true; `_where(demands, id="pay")`."""
        if isinstance(elements, SignatoryList):
            self._budget.spend(1 + len(elements) // 64)
            return elements.where(**conditions)
        return [
            one
            for one in self._rounds(elements, 1)
            if isinstance(one, Named)
            and all(one.field(name) == value for name, value in conditions.items())
        ]

    def _limit(self, elements: Iterable[Value], number: int) -> Value:
        """The first of a list; of the signatories, those who are named."""
        if isinstance(elements, SignatoryList):
            return elements.limit(number)
        return self._list(elements)[: max(number, 0)]

    def _listed(self) -> Filter:
        """A list in a sentence: "A, B and C" as the language of the letter has it."""

        @pass_context
        def in_a_row(context: Context, elements: Iterable[Value]) -> str:
            language = str(context.get(LANGUAGE, "en"))
            if isinstance(elements, SignatoryList):
                parts = [printed(one.field("name")) for one in self._rounds(elements, 1)]
                if unnamed := elements.others:
                    parts.append(others(unnamed, language, elements.signed_since))
            else:
                parts = [printed(one) for one in self._rounds(elements, 1)]
            check_length(sum(map(len, parts)))
            return self._budget.charge(listed(parts, language))

        return in_a_row

    def _replace(self, text: str, old: str, new: str) -> str:
        check_length(len(text) + text.count(old) * len(new))
        return self._budget.charge(text.replace(old, new))

    def _add(self, left: Value, right: Value) -> Value:
        for side in (left, right):
            if isinstance(side, EmptyCell):
                printed(side)  # refuses it
        total = left + right
        return self._budget.charge(total) if isinstance(total, str | list) else total

    def _multiply(self, left: Value, right: Value) -> Value:
        for one, other in ((left, right), (right, left)):
            if isinstance(one, str | list | tuple) and isinstance(other, int):
                check_length(len(one) * other)
            elif isinstance(one, int) and isinstance(other, int):
                check_bits(one.bit_length() + other.bit_length())
        product = left * right
        return self._budget.charge(product) if isinstance(product, str | list) else product


def bounded_range(*arguments: int) -> range:
    """Jinja's `range`, of at most RANGE_LIMIT numbers."""
    numbers = range(*arguments)
    # len() of a range can overflow; a slice of it does not.
    if numbers[RANGE_LIMIT:]:
        raise ValueRefused(f"a range has more than {RANGE_LIMIT:,} numbers", "Make it shorter")
    return numbers


@cache
def known_filters() -> frozenset[str]:
    """The filters that a letter can use."""
    return frozenset(Operations(Budget()).filters()) - {*_INNER, *tags.FILTERS}


def _power(base: Value, exponent: Value) -> Value:
    if isinstance(base, int) and isinstance(exponent, int):
        check_bits(base.bit_length() * abs(exponent))
    return base**exponent


def _modulo(left: Value, right: Value) -> Value:
    if isinstance(left, str):
        raise ValueRefused("% does not fill in texts here", "Put texts together with ~")
    return left % right


def _round(value: float, digits: int = 0) -> float:
    return round(value, min(max(digits, 0), 9))


def _printing(print_filter: Callable[..., str]) -> Filter:
    return lambda value, *arguments: print_filter(printed(value), *arguments)


def _keeping_empty(text_filter: Filter) -> Filter:
    """A filter that leaves an empty cell as it is, which else would be printed as nothing, or 0."""

    @wraps(text_filter)
    def kept(value: Value, *arguments: Value, **options: Value) -> Value:
        if isinstance(value, EmptyCell):
            return value
        return text_filter(value, *arguments, **options)

    return kept


def says_yes(value: Value) -> bool:
    """Whether a cell says yes; what stands in for an empty one counts as any value does."""
    said = yes_or_no(value) if isinstance(value, str) else None
    return bool(value) if said is None else said
