"""The queries of the .sql files, by name. Nobody else writes SQL."""

import re
from functools import cache
from importlib.resources import files

_FILES = (
    "queries.sql",
    "listing.sql",
    "moving.sql",
    "incoming.sql",
    "answers.sql",
    "privacy.sql",
    "evidence.sql",
)
_HEAD = re.compile(r"^-- :name (\w+)\n-- .+\n((?:-- .*\n)*)", re.MULTILINE)


@cache
def queries() -> dict[str, str]:
    """All queries by name.

    Raises:
        ValueError: Two queries have one name.
    """
    text = "\n".join(map(_text, _FILES))
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
    return _text("schema.sql")


def _text(name: str) -> str:
    return (files("petition.outbox") / name).read_text(encoding="utf-8")
