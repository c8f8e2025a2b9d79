"""Names: of letters' files, slugs, columns, languages; near misses; spellings that count as one."""

import re
import unicodedata
from collections.abc import Iterable
from difflib import get_close_matches
from functools import lru_cache

# The form of RFC 5646 without its registry: a language, then script, region or variant.
_LANGUAGE_TAG = re.compile(r"[a-z]{2,3}(?:-[a-z0-9]{2,8})*")

LETTERS_FOLDER = "letters"
LETTER_FILE = re.compile(r"(?P<name>\w[\w-]*)(?:\.(?P<language>.+))?\.md")
DEMANDS = "demands"  # is beside the letters, but is not one

_QUOTED_LENGTH = 60
_CURLY = "“”„‟«»"
_IN_CURLY = re.compile(rf"[{_CURLY}]([^{_CURLY}]*)[{_CURLY}]")


def slug(title: str) -> str:
    """A name for files and links, in letters of any script: "Stop it, now!" -> `stop-it-now`."""
    return _joined(title, "-")


def column_name(header: str, number: int) -> str:
    """What a letter calls a column: "First Name" -> `first_name`.

    It is an identifier without leading underscores: "2nd phone" is `column_2nd_phone`, and a fifth
    column without a header `column_5`.
    """
    name = _joined(header, "_")
    if name.isidentifier():
        return name
    longer = f"column_{name}"
    return longer if name and longer.isidentifier() else f"column_{number}"


@lru_cache(maxsize=256)  # a list of a million people has a handful of languages
def language_tag(text: str) -> str | None:
    """A language tag in lower case with hyphens ("ru_KZ" -> `ru-kz`), or None."""
    tag = text.strip().lower().replace("_", "-")
    return tag if _LANGUAGE_TAG.fullmatch(tag) else None


def nearest(name: str, known: Iterable[str]) -> str | None:
    """The known name that a misspelt one probably meant, or None."""
    # difflib takes quadratic time, and nobody misspells a name of 100 letters.
    found = get_close_matches(name[:100].lower(), list(known), n=1, cutoff=0.6)
    return found[0] if found else None


def nearest_hint(name: str, known: Iterable[str], otherwise: str, shown: str = '"{}"') -> str:
    """The hint for a name that is not known: the one that was probably meant, or `otherwise`."""
    near = nearest(name, known)
    return f"Did you mean {shown.format(near)}" if near else otherwise


def curly_hint(text: str, at: str = "") -> str | None:
    """What to write if curly quotation marks stand where straight ones must; None: they do not.

    `text` is a value, or a line that cannot be read, from the character `at` on.
    """
    if found := _IN_CURLY.fullmatch(text.strip()):
        return f'Write straight quotation marks: "{found[1]}"'
    is_mixed = text.count('"') % 2 == 1 and any(mark in text for mark in _CURLY)
    if is_mixed or (at and at in _CURLY):
        return 'Write straight quotation marks (") in place of curly ones'
    return None


def quoted(text: str) -> str:
    """A text in quotes for a message, shortened if it is long."""
    cut = text if len(text) <= _QUOTED_LENGTH else text[: _QUOTED_LENGTH - 3] + "..."
    return f'"{cut}"'


def _joined(text: str, mark: str) -> str:
    # NFKC: a letter typed as base and accent must not fall apart, nor a full-width one be another.
    whole = unicodedata.normalize("NFKC", text).lower()
    # Vowel signs (category M) belong to the letters of many scripts.
    stays = [char.isalnum() or unicodedata.category(char).startswith("M") for char in whole]
    words = "".join(char if kept else " " for char, kept in zip(whole, stays, strict=True))
    return mark.join(words.split())


# Letters of Cyrillic, Greek and Latin that look alike in print, in lower case; the capitals decide.
_LOOK_ALIKE = str.maketrans("авекмнорстухіѕјһԁԛԝəαβεικνορτυχ", "abekmhopctyxisjhdqwәabeikvoptux")
# What Unicode does not take apart into a letter and a mark.
_BARRED = str.maketrans(
    {"ł": "l", "ø": "o", "đ": "d", "ð": "d", "ı": "i", "ß": "ss", "æ": "ae", "œ": "oe", "þ": "th"}
)
_MARKS = re.compile(r"[\u0300-\u036f]+")
APOSTROPHES = re.compile(r"['’‘ʼʻ`´]")
_BREAKS = re.compile(r"[\W_]+")


def folded_words(text: str) -> str:
    """A text without regard to case and to how its words are spaced."""
    return " ".join(text.casefold().split())


def folded_name(name: str) -> str:
    """Words of lower-case letters and digits that are the same for all spellings of a name.

    Case, accents, apostrophes, spaces and punctuation make no difference, nor does a letter of
    another script that looks the same: "Анна" begun with a Latin A is "Анна".
    """
    apart = unicodedata.normalize("NFKD", APOSTROPHES.sub("", name).casefold())
    plain = _MARKS.sub("", apart).translate(_BARRED).translate(_LOOK_ALIKE)
    return " ".join(_BREAKS.sub(" ", plain).split())
