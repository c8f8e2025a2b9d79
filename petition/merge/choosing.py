"""What a letter chooses of its signatories, read from its templates before it is frozen."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, cast

from jinja2 import TemplateSyntaxError, nodes

from petition.campaign.letter import LetterText
from petition.campaign.signatories import Signatory
from petition.merge.refusals import ValueRefused
from petition.merge.sandbox import template_syntax
from petition.merge.signing import CHOICE_FIELDS, SignatoryList, is_same

_FIXED = "Write a text in quotes or a number there"


def chosen(source: str, signatories: SignatoryList) -> SignatoryList | None:
    """The signatories that an expression stands for.

    Args:
        source: Such as `signatories | where(country="KZ") | limit(40)`.
        signatories: All of them.

    Returns:
        Those; None where the expression is anything else.

    Raises:
        ValueRefused: An argument is no fixed value.
    """
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
    """Those who are not to be named, counted by what the letter chooses by and by nothing else.

    Args:
        unnamed: Those.
        texts: The letter in all its languages.
        language: In which countries are compared.

    Returns:
        Pairs of fields and a number, in an order that follows from them; empty where the letter
        chooses by nothing.
    """
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
