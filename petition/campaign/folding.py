"""Two spellings of one name, made the same."""

import re
import unicodedata

# Letters of Cyrillic, Greek and Latin that look alike in print, in lower case; the capitals decide,
# for В and B are told apart by nobody.
_LOOK_ALIKE = str.maketrans("авекмнорстухіѕјһԁԛԝəαβεικνορτυχ", "abekmhopctyxisjhdqwәabeikvoptux")
# What Unicode does not take apart into a letter and a mark.
_BARRED = str.maketrans(
    {"ł": "l", "ø": "o", "đ": "d", "ð": "d", "ı": "i", "ß": "ss", "æ": "ae", "œ": "oe", "þ": "th"}
)
_MARKS = re.compile(r"[\u0300-\u036f]+")
_APOSTROPHES = re.compile(r"['’‘ʼʻ`´]")
_BREAKS = re.compile(r"[\W_]+")


def folded_name(name: str) -> str:
    """A name by which all its spellings are the same.

    Case, accents, apostrophes, blanks and punctuation make no difference, nor does a letter of
    another script that looks the same: "Анна" begun with a Latin A is "Анна".

    Args:
        name: The name of a person or an organisation.

    Returns:
        Words of lower-case letters and digits; empty where the name has none.
    """
    apart = unicodedata.normalize("NFKD", _APOSTROPHES.sub("", name).casefold())
    plain = _MARKS.sub("", apart).translate(_BARRED).translate(_LOOK_ALIKE)
    return " ".join(_BREAKS.sub(" ", plain).split())
