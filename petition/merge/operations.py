"""The operators and filters of a letter's templates, each within bounds.

What is not listed here does not exist in a letter: neither `safe`, which would let a cell write
markup, nor `random`, after which a preview would not be what is sent.
"""

from collections.abc import Callable, Iterable, Iterator, Sized
from functools import wraps

from jinja2 import pass_context
from jinja2.filters import FILTERS
from jinja2.runtime import Context
from jinja2.utils import _PassArg
from markupsafe import Markup

from petition.merge import links
from petition.merge.fields import EmptyCell, Named, Value, printed
from petition.merge.limits import RANGE_LIMIT, Budget, check_bits, check_length
from petition.merge.refusals import ValueRefused
from petition.merge.signing import SignatoryList
from petition.merge.wording import listed, others

Filter = Callable[..., Value]

# The language of the letter among its names; no letter can write a name with a dot in it.
LANGUAGE = ".language"

# Filters that no letter can name: the compiled template needs them.
CONCATENATE, ROUNDS, WEIGHED, PAID = "~", "for", "weighed", "paid"
_INNER = frozenset({CONCATENATE, ROUNDS, WEIGHED, PAID})

_KEEP_EMPTY = "abs capitalize float int lower string title trim upper"
_AS_THEY_ARE = (
    "count d default dictsort first groupby last length map max min reject rejectattr"
    " reverse select selectattr sort sum truncate unique wordcount"
)


class Operations:
    """Operators and filters that pay for what they make.

    Args:
        budget: What they are paid from.
    """

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
            **{name: _of_printed(link) for name, link in links.FILTERS.items()},
            CONCATENATE: self._concatenate,
            ROUNDS: self._rounds,
            WEIGHED: self._weighed,
            PAID: self._budget.spend,
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
        is_markup = any(isinstance(text, Markup) for text in texts)
        return self._budget.charge(Markup("").join(texts) if is_markup else "".join(texts))

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
                parts += [others(elements.others, language)] if elements.others else []
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
    """Jinja's `range`, of no more numbers than a letter can need.

    Raises:
        ValueRefused: It has more.
    """
    numbers = range(*arguments)
    # len() of a range can overflow; a slice of it does not.
    if numbers[RANGE_LIMIT:]:
        raise ValueRefused(f"a range has more than {RANGE_LIMIT:,} numbers", "Make it shorter")
    return numbers


def known_filters() -> frozenset[str]:
    """The filters that a letter can use."""
    return frozenset(Operations(Budget()).filters()) - {*_INNER, *links.FILTERS}


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


def _keeping_empty(text_filter: Filter) -> Filter:
    """A filter that leaves an empty cell what it is: else it would be printed as nothing, or 0."""

    @wraps(text_filter)
    def kept(value: Value, *arguments: Value, **options: Value) -> Value:
        if isinstance(value, EmptyCell):
            return value
        return text_filter(value, *arguments, **options)

    return kept


def _of_printed(link_filter: Callable[[str], str]) -> Filter:
    return lambda value: link_filter(printed(value))
