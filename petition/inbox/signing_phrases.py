"""What a person writes about a signature: that they sign, confirm, or have not signed.

Pure functions of the words of a mail; the patterns are in signing_phrases.toml. In doubt nothing is
understood: to confirm takes a clear yes and no word that could take it back.
"""

import re
from collections.abc import Iterator
from enum import Enum
from functools import cache
from itertools import islice
from typing import Any, NamedTuple

from petition.campaign.text_file import packaged_toml
from petition.inbox import REPLY_PREFIXES

_WORDS: dict[str, dict[str, Any]] = packaged_toml("inbox/signing_phrases.toml")
_LOOKED_AT = 2_000  # characters of a mail that signs, or of a reply
_CONFIRMATION = 400  # characters of a reply that confirms
_BEGINNING = 2  # sentences of a reply: a greeting may come first
_SUBJECT = 300
_LINES = 60
_VALUE = 2_500  # characters: more than anybody may enter, so that it is refused and not cut
_APOSTROPHES = str.maketrans(dict.fromkeys("’‘ʼ`´", "'"))
_SENTENCE = re.compile(r"[^.!?;,:\n…–—]+[.!?;,:…–—]*")
_LABEL = re.compile(r"^[\s>*•-]*([^:=\n]{1,80}?)\s*[:：=]\s*(.*)$")
_CODE = re.compile(r"(?<![0-9a-f])[0-9a-f]{32}(?![0-9a-f])", re.IGNORECASE)
_IS_REPLY = re.compile(rf"\s*(?:{REPLY_PREFIXES})\s*:", re.IGNORECASE)
_IN_BRACKETS = re.compile(r"\s*\([^)]*\)\s*$")  # "(yes or no)"
# What gateways put before a subject; not "Re:", which answers something else.
_BEFORE_SUBJECT = re.compile(r"^(?:\s*(?:\[[^\]]{0,40}\]|\*{2,5}[\w -]{1,30}\*{2,5}))+\s*")


class SigningRequest(NamedTuple):
    """What somebody wrote who signs by mail: the cells of `signing.entry_of`."""

    language: str
    cells: dict[str, str]


class Stance(Enum):
    """What a reply says to a signature."""

    CONFIRMS = "confirms"
    DECLINES = "declines"  # they have not signed, or withdraw
    UNCLEAR = "unclear"


def asked_in(subject: str, words: str, display_name: str) -> SigningRequest | None:
    """What a mail that signs says of its sender; None: it does not sign.

    `words` are the sender's own; `display_name` is the name if they give no other.
    """
    begun = _plain(_BEFORE_SUBJECT.sub("", subject[:_SUBJECT]))
    written = [line for line in words[:_LOOKED_AT].split("\n") if _labelled(line) is None]
    # Behind the beginning of a subject stands the title of the letter.
    sentences = [*islice(_sentences(begun), 1), *_sentences(_plain("\n".join(written)))]
    if any(_found(language, "declines", one) for language in _WORDS for one, _ in sentences):
        return None
    for sentence, end in sentences:
        for language in _WORDS:
            if "?" not in end and _signs(language, sentence):
                return SigningRequest(language, _cells(words, display_name))
    return None


def stance_of(words: str, subject: str = "") -> Stance:
    """What somebody's own words say, in reply to a mail about a signature.

    Without any, a reply confirms by its `subject`: a program that has nothing to say writes others.
    """
    is_run_on = _CODE.search(words) is not None  # our mail follows, and is not marked as quoted
    own = words.strip().partition("\n")[0] if is_run_on else words[:_LOOKED_AT]
    sentences = list(_sentences(_plain(own)))
    if is_run_on and len(sentences) != 1:
        return Stance.UNCLEAR
    if not sentences:
        return Stance.CONFIRMS if _IS_REPLY.match(subject) else Stance.UNCLEAR
    declining = [
        (language, one, end)
        for one, end in sentences
        for language in _WORDS
        if _found(language, "declines", one)
    ]
    is_confirming = any(_confirms(one) for one, _ in sentences[:_BEGINNING])
    if declining:
        clear = [
            one
            for language, one, end in declining
            if "?" not in end and not _found(language, "condition", one)
        ]
        return Stance.DECLINES if clear and not is_confirming else Stance.UNCLEAR
    is_doubtful = len(own) > _CONFIRMATION or any(
        "?" in end or _found(language, "doubts", one)
        for one, end in sentences
        for language in _WORDS
    )
    return Stance.CONFIRMS if is_confirming and not is_doubtful else Stance.UNCLEAR


def _plain(text: str) -> str:
    return text.translate(_APOSTROPHES).replace("\u00a0", " ").lower()


def _sentences(text: str) -> Iterator[tuple[str, str]]:
    """The parts of a text between punctuation marks, without blanks, and the marks after each."""
    for found in _SENTENCE.finditer(text):
        words = found[0].rstrip(".!?;,:…–—")
        if bare := " ".join(words.split()).strip(" \"'«»“”„()*_>-"):
            yield bare, found[0][len(words) :]


@cache
def _pattern(language: str, name: str) -> re.Pattern[str]:
    return re.compile("|".join(f"(?:{one})" for one in _WORDS[language][name]))


def _found(language: str, name: str, text: str) -> bool:
    return _pattern(language, name).search(text) is not None


def _signs(language: str, sentence: str) -> bool:
    return _pattern(language, "signs").match(sentence) is not None


def _confirms(sentence: str) -> bool:
    return any(_pattern(language, "confirms").fullmatch(sentence) for language in _WORDS)


# ---- what somebody says of themselves


@cache
def _fields() -> list[tuple[str, re.Pattern[str]]]:
    """Each field with the labels that it has in any language."""
    names = dict.fromkeys(field for words in _WORDS.values() for field in words["fields"])
    return [
        (
            field,
            re.compile(
                "|".join(
                    f"(?:{one})" for words in _WORDS.values() for one in words["fields"][field]
                )
            ),
        )
        for field in names
    ]


def _labelled(line: str) -> tuple[str, str] | None:
    """The field that a line "label: value" is for, and the value; None: it has no known label."""
    if not (found := _LABEL.match(line[:_VALUE])):
        return None
    label = _IN_BRACKETS.sub("", _plain(found[1])).strip(" *_")
    value = found[2].strip(" *_") if len(line) <= _VALUE else line
    return next(((field, value) for field, labels in _fields() if labels.fullmatch(label)), None)


def _cells(words: str, display_name: str) -> dict[str, str]:
    """What the lines "label: value" of a mail say, and the name."""
    found: dict[str, str] = {}
    for line in words.split("\n")[:_LINES]:
        if (labelled := _labelled(line)) and labelled[1]:
            found.setdefault(*labelled)
    for field in ("publish", "updates"):
        found[field] = "yes" if _is_yes(found.get(field, "")) else "no"
    if "name" not in found:
        found["name"] = display_name
    if "place" in found and "country" not in found and "," in found["place"]:
        place, _, country = found["place"].rpartition(",")
        found |= {"place": place.strip(), "country": country.strip()}
    return found


def _is_yes(text: str) -> bool:
    said = _plain(text).strip(" .!")
    return any(_pattern(language, "yes").fullmatch(said) for language in _WORDS)
