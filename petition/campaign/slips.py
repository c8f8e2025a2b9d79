"""What stands in a text or a cell that nobody meant to write there."""

import re
from collections.abc import Iterable, Iterator

from petition.address import find_obscured
from petition.errors import Level, Problem

# UAX 9: embeddings and overrides reorder what stands around them, and no name needs them. Isolates
# keep their order to themselves where each is closed.
_REORDERS = re.compile("[\u202a-\u202e\u2066-\u2069]")
_ISOLATES = "\u2066\u2067\u2068"
_END_OF_ISOLATE = "\u2069"

MEND_OBSCURED = "Copy the address itself from the page"


def reorders(text: str) -> str | None:
    """The first character that would show a person a text in another order than it has, or None.

    Args:
        text: What stands in a cell.

    Returns:
        An embedding, an override, or an isolate that is not closed, as "U+202E".
    """
    opened = 0
    for found in _REORDERS.finditer(text):
        char = found.group()
        opened += (char in _ISOLATES) - (char == _END_OF_ISOLATE)
        if char not in f"{_ISOLATES}{_END_OF_ISOLATE}" or opened < 0:
            return _named(char)
    return _named(_ISOLATES[0]) if opened else None


def may_reorder(text: str) -> bool:
    """Whether `reorders` has anything to look at: most rows are done with at once."""
    # What is printable in Python's sense has no control or format characters at all.
    return not (text.isascii() or text.isprintable()) and _REORDERS.search(text) is not None


def _named(char: str) -> str:
    return f"U+{ord(char):04X}"


def said_of_obscured(found: str) -> str:
    """What is wrong with such a text."""
    return f'"{found}" is what a web page shows in place of an address'


def obscured(file: str, lines: Iterable[tuple[int, str]]) -> Iterator[Problem]:
    """The lines that hold `[email protected]` in place of an address, a warning each.

    Args:
        file: The file.
        lines: Its lines, each with its number.
    """
    for line, text in lines:
        if found := find_obscured(text):
            what = said_of_obscured(found)
            yield Problem(file, line, what, MEND_OBSCURED, Level.WARNING, found)
