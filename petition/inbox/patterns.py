"""The patterns of `patterns.txt`, by name. Only there are the words of mail servers and people."""

import re
from functools import cache
from importlib.resources import files

_HEADING = re.compile(r"^== ([a-z ]+): .+$", re.MULTILINE)


def pattern(name: str) -> re.Pattern[str]:
    """The pattern of a heading; `^` and `$` are the ends of any line.

    Args:
        name: The heading.
    """
    return re.compile(alternatives(name), re.IGNORECASE | re.MULTILINE)


@cache
def alternatives(name: str) -> str:
    """What stands behind a heading, as alternatives of a pattern.

    Args:
        name: The heading.
    """
    lines = (line for line in _sections()[name].split("\n") if line)
    return re.sub(r"<<([a-z ]+)>>", _group, "|".join(lines))


def _group(found: re.Match[str]) -> str:
    return f"(?:{alternatives(found[1])})"


@cache
def _sections() -> dict[str, str]:
    text = (files("petition.inbox") / "patterns.txt").read_text(encoding="utf-8")
    _, *pieces = _HEADING.split(text)
    return dict(zip(pieces[::2], pieces[1::2], strict=True))
