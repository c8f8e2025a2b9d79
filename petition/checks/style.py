"""Slips in a letter's text: one warning for each kind and place."""

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import date
from functools import cache, lru_cache
from itertools import islice
from typing import NamedTuple
from urllib.parse import urlsplit

from petition.campaign.folder import Campaign
from petition.campaign.letter import Letter, LetterText
from petition.campaign.names import quoted
from petition.campaign.people import Person
from petition.checks.cells import (
    NAMES,
    ODDITIES,
    brings_along,
    may_be_odd,
    odd_end,
    shouted_signatures,
    two_spellings,
)
from petition.errors import Level, Problem
from petition.merge.message import CheckedCopy
from petition.merge.template.compile import names_in
from petition.merge.template.fields import locale_of, weekday_patterns

_GAP = r"[,\s\u00a0\u202f]{1,3}"
_YEAR = r"(?P<year>[12][0-9]{3})"
_DAY = r"(?P<day>[0-9]{1,2})(?:st|nd|rd|th|\.)?"


def wrong_days(text: str, language: str) -> Iterator[tuple[re.Match[str], date]]:
    """The days of a text whose weekday is another one."""
    weekdays, months = weekday_patterns(language), _months(language)
    for pattern in _written(language):
        for found in pattern.finditer(text):
            month = next(number for number, name in months.items() if name.match(found["month"]))
            try:
                day = date(int(found["year"]), month, int(found["day"]))
            except ValueError:
                continue  # 31 June: not what is looked for here
            if not weekdays[day.weekday()].fullmatch(found["weekday"]):
                yield found, day


@cache
def _written(language: str) -> tuple[re.Pattern[str], ...]:
    """The orders in which a language's readers write such a day."""
    month = f"(?P<month>{'|'.join(name.pattern for name in _months(language).values())})"
    weekday = f"(?P<weekday>{'|'.join(one.pattern for one in weekday_patterns(language))})"
    mark = r"[\s\u00a0\u202f]*(?:г\.|года|ж\.|жылғы)?"
    days = (
        f"{_DAY}{_GAP}(?:of |de )?{month}{_GAP}{_YEAR}",  # 28 September 2015
        f"{month}{_GAP}{_DAY}{_GAP}{_YEAR}",  # September 28, 2015
        rf"{_YEAR}[\s\u00a0\u202f]*(?:ж\.|жылғы){_GAP}{_DAY}{_GAP}{month}",  # 2015 ж. 28 қыркүйек
    )
    orders = [f"{weekday}{_GAP}{day}" for day in days]
    orders += [f"{day}{mark}{_GAP}{weekday}" for day in days]
    return tuple(re.compile(rf"(?<!\w){order}", re.IGNORECASE) for order in orders)


@cache
def _months(language: str) -> dict[int, re.Pattern[str]]:
    names = locale_of(language).months
    return {
        number: re.compile(
            rf"(?:{re.escape(names['format']['wide'][number])}"
            rf"|{re.escape(names['stand-alone']['wide'][number])})(?!\w)",
            re.IGNORECASE,
        )
        for number in range(1, 13)
    }


# Around each merged value, as `Merger.show` gives it.
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
        hint: What to do about it.
    """

    start: int
    end: int
    what: str
    hint: str


# A search for one kind of slip, in a text and the language that it is in.
Search = Callable[[str, str], Iterator[Slip]]


def empty_fields(text: str, language: str) -> Iterator[Slip]:
    """An empty field in a sentence: "Dear ,", "the  of the company", "()"."""
    del language
    hint = "Choose with {% if %} what stands there without it"
    for found in _EMPTY_FIELD.finditer(text):
        is_line_start = not found["before"]
        if is_line_start and not re.match(r"[ \xa0]?[,;:!?.]", found["after"]):
            continue
        if found["before"].isspace() or is_line_start or not found["after"].isspace():
            yield Slip(*found.span(), f"an empty field leaves a gap {_behind(text, found)}", hint)
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
    hint = "Write a merge field such as {{ recipient.name }}, or correct the cell"
    for found in _PLACEHOLDER.finditer(text):
        yield Slip(*found.span(), f"{quoted(found.group())} is left in the letter", hint)


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
        hint = "Take the greeting out of the letter or out of the cell"
        yield Slip(_in_marked(text, found.start()), _in_marked(text, found.end()), what, hint)


def broken_links(text: str, language: str) -> Iterator[Slip]:
    """A link that leads nowhere: it does not parse, or Markdown takes it for text."""
    del language
    plain = _unmarked(text)
    for found in _MARKDOWN_LINK.finditer(plain):
        what = f"{quoted(found.group())} stands there as text and is no link"
        hint = "Write it as [words](https://host.org/), with no blank in it"
        yield Slip(_in_marked(text, found.start()), _in_marked(text, found.end()), what, hint)
    for found in _LINK.finditer(plain):
        link = found.group().rstrip(_LINK_END)
        if not _parses(link):
            what = f"the link {quoted(link)} does not parse"
            end = found.start() + len(link)
            hint = "Correct it, and open it in a browser"
            yield Slip(_in_marked(text, found.start()), _in_marked(text, end), what, hint)


def wrong_weekdays(text: str, language: str) -> Iterator[Slip]:
    """A day with a weekday that it is not: "Friday, 28 September 2015"."""
    plain = _unmarked(text)
    for found, day in wrong_days(plain, language):
        what = f'"{" ".join(found.group().split())}" is no such day: {day:%Y-%m-%d} is a {day:%A}'
        hint = "Correct the weekday or the day"
        yield Slip(_in_marked(text, found.start()), _in_marked(text, found.end()), what, hint)


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


# How each language says that something comes with a letter; a language that is not here is not
# looked at.
_WORDS = {
    "en": r"attached|attachments?|enclosed|enclosures?|annex(?:ed|es)?",
    "ru": (
        r"прилага(?:ю|ем|ется|ются|ем\w{2,3})|прилож(?:ен|им)\w*|во\s+вложении|вложени[еяию]\w*"
        r"|вложенн\w+"
    ),
    "kk": (
        r"қоса\s+(?:беріл|тірке|жібер|ұсын)\w*|тіркел(?:ген|ді|е)\w*|тіркеме\w*|тіркеп"
        r"|қосымшада\w*|қосымшасы\w*"
    ),
}


def broken_promises(letter: Letter) -> Iterator[Problem]:
    """The first promise of each text of a letter that carries no file, as a warning."""
    front = letter.front
    if front.attachments or front.event:
        return
    for text in letter.texts.values():
        words = _WORDS.get(text.language.partition("-")[0])
        pattern = re.compile(rf"\b(?:{words})\b", re.IGNORECASE) if words else None
        body = re.sub(r"\r\n?", "\n", text.body)
        if pattern and (found := pattern.search(body)):
            line = text.body_line + body.count("\n", 0, found.start())
            shown = " ".join(found.group().split())
            what = f'"{shown}" stands here, and nothing is attached to the letter'
            hint = "Name the file in attachments of the front matter, if one is promised"
            yield Problem(text.file, line, what, hint, Level.WARNING)


_BLOCKS = ("demands", "signatories", "reply_by")


def slips_of_campaign(campaign: Campaign, letter: Letter) -> Iterator[Problem]:
    """All slips that no row is needed for."""
    yield from broken_promises(letter)
    yield from untranslated(letter)
    if "signatories" in names_in(letter.default_text):
        file = campaign.settings.people["signatories"]
        yield from two_spellings(file, campaign.signatories)
        yield from shouted_signatures(file, campaign.signatories)


def untranslated(letter: Letter) -> Iterator[Problem]:
    """What a translation leaves out that the default text has: demands, signatories, the date."""
    default = letter.default_text
    for text in letter.texts.values():
        for name in _missing(default, text):
            what = f"{default.file} has {name}, and this translation has not"
            yield Problem(text.file, None, what, "Put it in, if it is missed", Level.WARNING)


def _missing(default: LetterText, text: LetterText) -> Sequence[str]:
    left_out = names_in(default) - names_in(text)
    return [f"{{{{ {name} }}}}" for name in _BLOCKS if name in left_out]


SUBJECT_LIMIT = 78  # characters, as RFC 5322 2.1.1 has it of a line

_READ = 500  # copies that are read as a person reads them
_SHAPES = 100  # further ones, of which each has other cells empty
_NAMED = re.compile(r"\brecipient\s*(?:\.\s*|\[\s*['\"])(\w+)")
# A field and the sign of the sentence behind it: there a cell brings none of its own.
_BEFORE_SIGN = re.compile(r"\brecipient\.(\w+)[^{}]*\}\}\s?[,;:!?]")
_MARKUP = re.compile(r"[*_`\\]")
_PARAGRAPH_END = re.compile(r"(?<=\n\n)(?=[^\n])")


@dataclass
class _Found:
    """A slip in as many rows as have it."""

    first: Person
    count: int = 0


@dataclass
class Lint:
    """Looks at one person's copy of a letter after the other."""

    letter: Letter
    _in_letter: dict[Problem, _Found] = field(default_factory=dict)
    _in_rows: dict[str, tuple[Problem, _Found]] = field(default_factory=dict)
    _shapes: set[tuple[object, ...]] = field(default_factory=set)
    _seen: int = 0
    _columns: frozenset[str] = frozenset()
    _before_sign: frozenset[str] = frozenset()

    def __post_init__(self) -> None:
        """Find out which columns the letter names."""
        sources = [f"{text.subject}\n{text.body}" for text in self.letter.texts.values()]
        self._columns = frozenset({"name"}.union(*map(_NAMED.findall, sources)))
        self._before_sign = frozenset().union(*map(_BEFORE_SIGN.findall, sources))

    def look_at(self, person: Person, copy: CheckedCopy | None) -> None:
        """Look at a person's row, and at the copy if it could be made."""
        cells = [person.fields.get(column, "") for column in self._columns]
        is_odd = may_be_odd(cells)
        self._judge_row(person, is_odd=is_odd)
        if copy is None:
            return
        text = self.letter.texts.get(copy.language) or self.letter.default_text
        # In a thread the subject is that of the first letter, and must stay so.
        if len(copy.subject.removeprefix("Re: ")) > SUBJECT_LIMIT:
            self._add(_long_subject(text), person)
        if self._is_read(person, copy.language) or (is_odd and brings_along(cells)):
            for problem in dict.fromkeys(_slips_in(copy, text)):
                self._add(problem, person)

    def problems(self) -> Iterator[Problem]:
        """What was found, as warnings."""
        for problem, found in self._in_letter.items():
            place = f"{found.first.file}:{found.first.line}"
            more = " or more" if self._seen > _READ else ""
            rows = f"in {found.count:,} rows{more}, first {place}"
            rows = rows if found.count > 1 else f"for {place}"
            what = f"{problem.what} ({rows})"
            yield Problem(problem.file, problem.line, what, problem.hint, Level.WARNING)
        for problem, found in self._in_rows.values():
            more = f" (in {found.count:,} rows, this is the first)" if found.count > 1 else ""
            what = problem.what + more
            yield Problem(problem.file, problem.line, what, problem.hint, Level.WARNING)

    def _judge_row(self, person: Person, *, is_odd: bool) -> None:
        for judge in (*NAMES, *ODDITIES) if is_odd else NAMES:
            columns = self._before_sign if judge is odd_end else self._columns
            verdict = judge(person.fields, columns)
            if verdict is None:
                continue
            if judge.__name__ not in self._in_rows:
                problem = Problem(person.file, person.line, *verdict, Level.WARNING)
                self._in_rows[judge.__name__] = problem, _Found(person)
            self._in_rows[judge.__name__][1].count += 1

    def _add(self, problem: Problem, person: Person) -> None:
        self._in_letter.setdefault(problem, _Found(person)).count += 1

    def _is_read(self, person: Person, language: str) -> bool:
        """Whether a copy is read: the first ones, then those that could be unlike them.

        What is empty decides over most slips, and what a cell brings along over the others.
        """
        self._seen += 1
        if len(self._shapes) < _SHAPES:
            shape = (language, *map(bool, person.fields.values()))
            if shape not in self._shapes:
                self._shapes.add(shape)
                return True
        return self._seen <= _READ


def _long_subject(text: LetterText) -> Problem:
    what = f"the subject is longer than {SUBJECT_LIMIT} characters"
    hint = "Shorten it: most programs cut it off in the list of letters"
    return Problem(text.file, text.subject_line, what, hint)


def _slips_in(copy: CheckedCopy, text: LetterText) -> Iterator[Problem]:
    for slip in slips_of(copy.subject, text.language):
        yield Problem(text.file, text.subject_line, slip.what, slip.hint, Level.WARNING)
    for words in _PARAGRAPH_END.split(copy.text()):
        for slip in slips_of(words, text.language):
            line = _Place(text).of(words, slip)
            yield Problem(text.file, line, slip.what, slip.hint, Level.WARNING)


class _Place:
    """Where in a letter's file the words of a copy stand."""

    def __init__(self, text: LetterText) -> None:
        self._text = text
        self._flat, self._lines = "", [text.body_line]
        for line, words in enumerate(re.split(r"\r\n?|\n", text.body), text.body_line):
            plain = " ".join(_MARKUP.sub("", words).split()) + " "
            self._flat += plain
            self._lines += [line] * len(plain)

    def of(self, words: str, slip: Slip) -> int:
        """The line of a slip, by the letter's own words around it; the first one, where none is."""
        start, end = slip.start, slip.end
        before = re.split(f"[{BEGIN}{END}\n]", words[:start])[-1]
        within = words[start:end].replace(BEGIN, "").replace(END, "")
        after = re.split(f"[{BEGIN}{END}\n]", words[end:])[0]
        for piece in (f"{before[-30:]}{within}", within, before[-30:], before[-12:], after[:30]):
            sought = " ".join(_MARKUP.sub("", piece).split())
            if len(sought) > 2 and (at := self._flat.find(sought)) >= 0:
                return self._lines[at + len(sought)]
        return self._text.body_line
