"""The queries of `queries.sql`, by name. Nobody else writes SQL."""

import re
from functools import cache
from importlib.resources import files

_HEAD = re.compile(r"^-- :name (\w+)\n-- .+\n((?:-- .*\n)*)", re.MULTILINE)


@cache
def queries() -> dict[str, str]:
    """All queries by name.

    Raises:
        ValueError: Two queries have one name.
    """
    text = (files("petition.outbox") / "queries.sql").read_text(encoding="utf-8")
    heads = list(_HEAD.finditer(text))
    ends = [head.start() for head in heads[1:]] + [len(text)]
    found: dict[str, str] = {}
    for head, end in zip(heads, ends, strict=True):
        if head[1] in found:
            raise ValueError(f"two queries are named {head[1]}")
        found[head[1]] = text[head.end() : end].strip()
    return found


@cache
def schema() -> str:
    """The statements that make an empty log."""
    return (files("petition.outbox") / "schema.sql").read_text(encoding="utf-8")
