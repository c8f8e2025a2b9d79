"""Slips that can be seen in a letter as one person gets it."""

import re
from collections.abc import Callable, Iterator
from functools import lru_cache
from itertools import islice
from typing import NamedTuple
from urllib.parse import urlsplit

from petition.campaign.names import quoted
from petition.merge.weekdays import wrong_days

# Around each merged value, as `Merger.show` gives it; a letter that cannot be spliced has none.
BEGIN, END = "\x02", "\x03"

# Looked for only where a word begins: a cell may be one word of a hundred thousand letters.
_ADDRESSES = re.compile(r"\b(?:https?|mailto|tel):\S+|(?<!\S)[^\s@]++@\S+|\bwww\.\S+")
_LINK = re.compile(r"\bhttps?:[^\s<>\u201c\u201d\"]+", re.IGNORECASE)
_LINK_END = ".,;:!?)]}’”»'*_"
_MARKDOWN_LINK = re.compile(r"\[[^\]\n]{1,80}\]\s*\((?:https?:|www\.|mailto:)[^)\n]{0,80}\)?")
_STRAY_MARK = re.compile(r"(?<=[^\W_])[)”»’]? +(?:,(?!\d)|\.(?![.\w]))(?=\s|$)", re.MULTILINE)
_EMPTY_BRACKETS = re.compile(r"(?<!\w)\([ \xa0]*\)")
_EMPTY_FIELD = re.compile(
    r"(?P<before>(?:^|[ \xa0(“«„‘]))\x02\x03(?P<after>(?:[ \xa0]?[,;:!?.](?=\s|$)|[ \xa0]|[)”»’]))",
    re.MULTILINE,
)
_TIGHT_COMMA = re.compile(r"(?<!\w)[\d_]*+[^\W\d_]\w*+,(?=[^\W\d_])")
_PLACEHOLDER = re.compile(
    r"\{[{%][^{}\n]{0,60}[}%]\}|\{ ?\{|\} ?\}|\{%|%\}|\*\|\w+\|\*|%%\w+%%|<<[\w ]+>>"
    r"|[\[{<«](?:first|last|full|your|recipient)?[ _-]?name[\]}>»]"
    r"|\[(?:insert|your|add|date|town|city|address|вставить|имя|есімі)\b[^\]\n]{0,40}\]",
    re.IGNORECASE,
)
_DRAFT = re.compile(r"\b(?:FIXME|XXX+)\b|\bTODO\b(?=[:\s]|$)|(?<![\w!?])\?{3,}|\b[Ll]orem ipsum\b")
_GREETED_TWICE = re.compile(
    r"\b(dear|hello|hi|уважаем\w+|дорог\w+|здравствуйте|құрметті|sehr geehrte\w?|liebe\w?|chère?"
    r"|estimad\w+)\W{1,3}\1\b",
    re.IGNORECASE,
)
_TOLD = 20  # slips of one kind in one paragraph: whoever wrote it will look at all of it
_SPANISH = frozenset({"es", "pt", "gl", "ca"})  # where "todo" is a word


class Slip(NamedTuple):
    """Something that looks wrong.

    Args:
        start: Where it begins in the text that was looked at.
        end: Where it ends.
        what: What is wrong, a sentence without its full stop.
        mend: What to do about it.
    """

    start: int
    end: int
    what: str
    mend: str


# A search for one kind of slip, in a text and the language that it is in.
Search = Callable[[str, str], Iterator[Slip]]


def empty_fields(text: str, language: str) -> Iterator[Slip]:
    """An empty field in a sentence: "Dear ,", "the  of the company", "()"."""
    del language
    mend = "Choose with {% if %} what stands there without it"
    for found in _EMPTY_FIELD.finditer(text):
        is_line_start = not found["before"]
        if is_line_start and not re.match(r"[ \xa0]?[,;:!?.]", found["after"]):
            continue
        if found["before"].isspace() or is_line_start or not found["after"].isspace():
            yield Slip(*found.span(), f"an empty field leaves a gap {_behind(text, found)}", mend)
    if f"{BEGIN}{END}" in text:
        return  # the marks tell more than what follows
    for found in _STRAY_MARK.finditer(text):
        what = f'a blank stands before the "{found.group().strip()}" {_behind(text, found)}'
        yield Slip(*found.span(), what, "Correct it, or fill the cell")
    for found in _EMPTY_BRACKETS.finditer(text):
        what = f"empty brackets stand {_behind(text, found)}"
        yield Slip(*found.span(), what, "Correct it, or fill the cell")


def tight_commas(text: str, language: str) -> Iterator[Slip]:
    """A comma without a space: "Dear Anna,we write"."""
    del language
    for found in _TIGHT_COMMA.finditer(_without_addresses(_unmarked(text))):
        at = _in_marked(text, found.start())
        word = re.match(r"\w+", _unmarked(text)[found.end() :])
        shown = f"{found.group()}{word.group() if word else ''}"
        what = f"no blank stands behind the comma in {quoted(shown)}"
        yield Slip(at, _in_marked(text, found.end()), what, "Put a blank there")


def placeholders(text: str, language: str) -> Iterator[Slip]:
    """What should have been filled in: "{{", "[First Name]", "*|FNAME|*"."""
    del language
    mend = "Write a merge field such as {{ recipient.name }}, or correct the cell"
    for found in _PLACEHOLDER.finditer(text):
        yield Slip(*found.span(), f"{quoted(found.group())} is left in the letter", mend)


def drafts(text: str, language: str) -> Iterator[Slip]:
    """What an author meant to come back to: TODO, XXX, lorem ipsum."""
    for found in _DRAFT.finditer(text):
        if found.group() == "TODO" and language.partition("-")[0] in _SPANISH:
            continue
        yield Slip(*found.span(), f"{quoted(found.group())} is left in the letter", "Finish it")


def greeted_twice(text: str, language: str) -> Iterator[Slip]:
    """A greeting in the letter and in the cell: "Dear Dear Mr Kim"."""
    del language
    plain = _unmarked(text)
    for found in _GREETED_TWICE.finditer(plain):
        what = f"{quoted(found.group())} greets twice"
        mend = "Take the greeting out of the letter or out of the cell"
        yield Slip(_in_marked(text, found.start()), _in_marked(text, found.end()), what, mend)


def broken_links(text: str, language: str) -> Iterator[Slip]:
    """A link that leads nowhere: it does not parse, or Markdown takes it for text."""
    del language
    plain = _unmarked(text)
    for found in _MARKDOWN_LINK.finditer(plain):
        what = f"{quoted(found.group())} stands there as text and is no link"
        mend = "Write it as [words](https://host.org/), with no blank in it"
        yield Slip(_in_marked(text, found.start()), _in_marked(text, found.end()), what, mend)
    for found in _LINK.finditer(plain):
        link = found.group().rstrip(_LINK_END)
        if not _parses(link):
            what = f"the link {quoted(link)} does not parse"
            end = found.start() + len(link)
            mend = "Correct it, and open it in a browser"
            yield Slip(_in_marked(text, found.start()), _in_marked(text, end), what, mend)


def wrong_weekdays(text: str, language: str) -> Iterator[Slip]:
    """A day with a weekday that it is not: "Friday, 28 September 2015"."""
    plain = _unmarked(text)
    for found, day in wrong_days(plain, language):
        what = f'"{" ".join(found.group().split())}" is no such day: {day:%Y-%m-%d} is a {day:%A}'
        mend = "Correct the weekday or the day"
        yield Slip(_in_marked(text, found.start()), _in_marked(text, found.end()), what, mend)


SEARCHES: tuple[Search, ...] = (
    empty_fields,
    tight_commas,
    placeholders,
    drafts,
    greeted_twice,
    broken_links,
    wrong_weekdays,
)


@lru_cache(maxsize=1024)
def slips_of(words: str, language: str) -> tuple[Slip, ...]:
    """All slips of a subject or a paragraph.

    Most paragraphs are the same in every copy of a letter, and are searched once.

    Args:
        words: What is looked at.
        language: Its language tag.
    """
    return tuple(slip for search in SEARCHES for slip in islice(search(words, language), _TOLD))


def _parses(link: str) -> bool:
    try:
        parts = urlsplit(link)
        host, _ = parts.hostname or "", parts.port
    except ValueError:
        return False
    labels = host.split(".")
    is_named = len(labels) > 1 and all(labels) and not any(len(label) > 63 for label in labels)
    is_number = host.startswith("[") or ":" in host or host == "localhost"
    return (is_named or is_number) and link[len(parts.scheme) :].startswith("://")


def _behind(text: str, found: re.Match[str]) -> str:
    """Where a slip stands, by the words before it."""
    words = _words_before(text, found.start())
    return f'behind "{words}"' if words else "where a line begins"


def _words_before(text: str, at: int) -> str:
    """The last few words before a place, on its line."""
    line = _unmarked(text[:at].rpartition("\n")[2])
    return " ".join(line.split()[-3:])[-40:]


def _without_addresses(text: str) -> str:
    """The same text, of the same length, without links and mail addresses."""
    return _ADDRESSES.sub(lambda found: " " * len(found.group()), text)


def _unmarked(text: str) -> str:
    return text.replace(BEGIN, "").replace(END, "")


def _in_marked(text: str, at: int) -> int:
    """Where a place of the unmarked text is in the marked one."""
    if BEGIN not in text:
        return at
    seen = 0
    for place, char in enumerate(text):
        if char in {BEGIN, END}:
            continue
        if seen == at:
            return place
        seen += 1
    return len(text)
