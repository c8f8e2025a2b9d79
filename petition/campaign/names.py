"""Names that are made from what a person wrote: slugs, column names, language tags, near misses."""

import re
import unicodedata
from collections.abc import Iterable
from difflib import get_close_matches
from functools import lru_cache

# The form of RFC 5646 without its registry: a language, then script, region or variant.
_LANGUAGE_TAG = re.compile(r"[a-z]{2,3}(?:-[a-z0-9]{2,8})*")

_QUOTED_LENGTH = 60


def slug(title: str) -> str:
    """What names a thing in a file or a link: "Stop it, now!" -> `stop-it-now`.

    Letters of every script stay, so that a title in Cyrillic has a slug as well.

    Returns:
        The slug; empty where the title holds neither letter nor digit.
    """
    return _joined(title, "-")


def column_name(header: str, number: int) -> str:
    """What a letter calls a column: "First Name" -> `first_name`.

    Args:
        header: The header cell.
        number: The column's number from 1: an empty header becomes `column_5`.

    Returns:
        A name that is an identifier and begins with no underscore: `__class__` -> `class`,
        "2nd phone" -> `column_2nd_phone`.
    """
    name = _joined(header, "_")
    if name.isidentifier():
        return name
    longer = f"column_{name}"
    return longer if name and longer.isidentifier() else f"column_{number}"


@lru_cache(maxsize=256)  # a list of a million people has a handful of languages
def language_tag(text: str) -> str | None:
    """A language tag in lower case with hyphens ("ru_KZ" -> `ru-kz`), or None where it is none."""
    tag = text.strip().lower().replace("_", "-")
    return tag if _LANGUAGE_TAG.fullmatch(tag) else None


def nearest(name: str, known: Iterable[str]) -> str | None:
    """The known name that a misspelt one was probably meant to be, or None."""
    # difflib takes quadratic time, and nobody misspells a name of 100 letters.
    found = get_close_matches(name[:100].lower(), list(known), n=1, cutoff=0.6)
    return found[0] if found else None


def quoted(text: str) -> str:
    """A text in quotes for a message, cut where it is long."""
    cut = text if len(text) <= _QUOTED_LENGTH else text[: _QUOTED_LENGTH - 3] + "..."
    return f'"{cut}"'


def _joined(text: str, mark: str) -> str:
    # NFKC: a letter typed as base and accent must not fall apart, nor a full-width one be another.
    whole = unicodedata.normalize("NFKC", text).lower()
    return mark.join("".join(char if _stays(char) else " " for char in whole).split())


def _stays(char: str) -> bool:
    # Vowel signs (category M) belong to the letters of many scripts.
    return char.isalnum() or unicodedata.category(char).startswith("M")
