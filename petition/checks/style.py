"""Slips in the text of a letter, as its readers get it: one warning for each kind and place."""

import re
from collections.abc import Iterator, Mapping
from datetime import date, datetime
from functools import cache, lru_cache
from itertools import chain, islice
from typing import NamedTuple
from urllib.parse import urlsplit

from petition.campaign.folder import Campaign
from petition.campaign.letter import Letter, LetterText
from petition.campaign.names import quoted
from petition.campaign.people import Person
from petition.checks import rows
from petition.errors import Level, Problem
from petition.merge.fill import MARK_BEGIN, MARK_END
from petition.merge.message import CheckedCopy
from petition.template.compile import joined_lines, names_in
from petition.template.fields import locale_of

SUBJECT_LIMIT = 78  # characters, the limit that RFC 5322 2.1.1 recommends for a line

_READ = 500  # copies whose text is searched
_SHAPES = 100  # further ones, of which each has other cells empty
_NAMED = re.compile(r"\brecipient\s*(?:\.\s*|\[\s*['\"])(\w+)")
# A field with punctuation after it: there a cell needs none of its own.
_BEFORE_SIGN = re.compile(r"\brecipient\.(\w+)[^{}]{0,500}\}\}\s?[,;:!?]")
_MARKUP = re.compile(r"[*_`\\]")

_MARKS = re.compile(f"[{MARK_BEGIN}{MARK_END}]")


class Slip(NamedTuple):
    """Something that looks wrong at a place of a text, and what to do about it."""

    start: int
    end: int
    what: str
    hint: str
    name: str = ""  # what a placeholder names, as `_bare_name` writes it


class StyleCheck:
    """Looks at one person's row and copy of a letter after the other."""

    def __init__(self, letter: Letter) -> None:
        self._letter = letter
        self._in_letter = rows.SharedProblems()
        self._in_rows = rows.SharedProblems()
        self._shapes: set[tuple[object, ...]] = set()
        self._seen = 0
        sources = [f"{text.subject}\n{text.body}" for text in letter.texts.values()]
        # A dict keeps their order, so that each run finds the same first slip.
        self.columns = dict.fromkeys(["name", *chain(*map(_NAMED.findall, sources))])
        self._before_sign = frozenset(chain(*map(_BEFORE_SIGN.findall, sources)))

    def look_at(self, person: Person, copy: CheckedCopy | None) -> None:
        """Look at a person's row, and at the copy if it could be made."""
        cells = [person.fields.get(column, "") for column in self.columns]
        is_odd = rows.may_be_odd(cells)
        salutation, name = person.fields.get("salutation", ""), person.fields.get("name", "")
        found = list(rows.odd_names(salutation, name))
        if is_odd:
            found += rows.odd_cells(person.fields, self.columns, self._before_sign)
        for hint, what in {hint: what for what, hint in reversed(found)}.items() if found else ():
            problem = Problem(person.file, person.line, what, hint, Level.WARNING)
            self._in_rows.add(problem, person, key=hint)
        if copy is None:
            return
        text = self._letter.texts.get(copy.language) or self._letter.default_text
        slips: list[Problem] = []
        # In a thread the subject is that of the first letter, and must stay so.
        if len(copy.subject.removeprefix("Re: ")) > SUBJECT_LIMIT:
            what = f"the subject is longer than {SUBJECT_LIMIT} characters"
            hint = "Shorten it: most programs cut it off in the list of letters"
            slips.append(Problem(text.file, text.subject_line, what, hint, Level.WARNING))
        if self._is_read(person, copy.language) or (is_odd and rows.brings_along(cells)):
            slips += _slips_in(copy, text, person.fields)
        for problem in dict.fromkeys(slips):
            self._in_letter.add(problem, person)

    def has_read(self, language: str, is_filled: tuple[bool, ...]) -> bool:
        """Whether copies in a language with these cells filled were read, or enough others."""
        is_known = (language, *is_filled) in self._shapes or len(self._shapes) >= _SHAPES
        return is_known and self._seen >= _READ

    def pass_over(self, count: int) -> None:
        """Count copies that were read already in others like them, and rows like any other."""
        self._seen += count

    def problems(self) -> Iterator[Problem]:
        """What was found, as warnings."""
        yield from self._in_letter.problems("at least " if self._seen > _READ else "")
        yield from self._in_rows.problems()

    def _is_read(self, person: Person, language: str) -> bool:
        """Whether a copy is read: the first ones, then those that could be unlike them."""
        # Most slips depend on which cells are empty, the others on what a cell brings along.
        self._seen += 1
        if len(self._shapes) < _SHAPES:
            shape = (language, *map(bool, person.fields.values()))
            if shape not in self._shapes:
                self._shapes.add(shape)
                return True
        return self._seen <= _READ


def _slips_in(copy: CheckedCopy, text: LetterText, columns: Mapping[str, str]) -> Iterator[Problem]:
    """All slips of a copy; a placeholder of the author's with a known name is an error."""
    for words in (None, *copy.text().split("\n\n")):
        for found in _CELL_DATE.finditer(words or ""):
            if found[1] in columns.values():  # not {{ today.iso }}
                slip = Slip(*found.span(), *_SHOWN_DATE)
                line = _line_of(slip, words or "", text)
                yield Problem(text.file, line, slip.what, slip.hint, Level.WARNING)
        for slip in slips_of(copy.subject if words is None else words, text.language):
            shown = (words or copy.subject)[slip.start : slip.end]
            if slip.name and f"!{shown}(" in text.body:  # it is what a picture shows
                continue
            line = text.subject_line if words is None else _line_of(slip, words, text)
            own = shown in f"{text.subject}\n{text.body}"
            is_known = slip.name and slip.name in {*map(_bare_name, columns), *_KNOWN}
            level = Level.ERROR if own and is_known else Level.WARNING
            yield Problem(text.file, line, slip.what, slip.hint, level)


def _line_of(slip: Slip, words: str, text: LetterText) -> int:
    """The line of a slip in the letter's file, by the letter's own words around it."""
    flat, lines = "", [text.body_line]
    for line, source in enumerate(text.body.split("\n"), text.body_line):
        plain = " ".join(_MARKUP.sub("", source).split()) + " "
        flat += plain
        lines += [line] * len(plain)
    before = re.split(rf"{_MARKS.pattern}|\n", words[: slip.start])[-1]
    within = _MARKS.sub("", words[slip.start : slip.end])
    after = re.split(rf"{_MARKS.pattern}|\n", words[slip.end :])[0]
    for piece in (f"{before[-30:]}{within}", within, before[-30:], before[-12:], after[:30]):
        sought = " ".join(_MARKUP.sub("", piece).split())
        if len(sought) > 2 and (at := flat.find(sought)) >= 0:
            return lines[at + len(sought)]
    return text.body_line


# Looked for only where a word begins: a cell may be one word of a hundred thousand letters.
_ADDRESSES = re.compile(r"\b(?:https?|mailto|tel):\S+|(?<!\S)[^\s@]++@\S+|\bwww\.\S+")
_LINK = re.compile(r"\bhttps?:[^\s<>\u201c\u201d\"]+", re.IGNORECASE)
_LINK_END = ".,;:!?)]}’”»'*_"
_STRAY_MARK = re.compile(r"(?<=[^\W_])[)”»’]? +(?:,(?!\d)|\.(?![.\w]))(?=\s|$)", re.MULTILINE)
_CELL_DATE = re.compile(rf"{MARK_BEGIN}(\d{{4}}-\d\d-\d\d(?: \d\d:\d\d:\d\d)?){MARK_END}")
_SHOWN_DATE = (
    "a date from a cell is shown in the form 2026-01-31",
    "To write it in the letter's language, put | date behind the field",
)
_EMPTY_BRACKETS = re.compile(r"(?<!\w)\([ \xa0]*\)")
_EMPTY_FIELD = re.compile(
    r"(?P<before>(?:^|[ \xa0(“«„‘]))\x02\x03(?P<after>(?:[ \xa0]?[,;:!?.](?=\s|$)|[ \xa0]|[)”»’]))",
    re.MULTILINE,
)
_TIGHT_COMMA = re.compile(r"(?<!\w)[\d_]*+[^\W\d_]\w*+,(?=([^\W\d_]\w*))")
_NAME = r"[^\W\d_][\w.'’ -]{1,40}"
_KINDS = {
    kind: re.compile(
        "|".join(known["patterns"]).replace("NAME", _NAME),
        re.MULTILINE | (re.IGNORECASE if known.get("any_case") else re.NOFLAG),
    )
    for kind, known in rows.SLIPS["text"].items()
}
# What a letter can name beside the columns of its list.
_KNOWN = ("demands", "signatories", "today", "replyby", "unsubscribe", "sendername")
_MOST = 20  # slips of one kind in one paragraph: its author will look at all of it
_SPANISH = frozenset({"es", "pt", "gl", "ca"})  # where "todo" is a word


@lru_cache(maxsize=1024)
def slips_of(words: str, language: str) -> tuple[Slip, ...]:
    """All slips of a subject or a paragraph, which has marks around each merged value.

    Most paragraphs are the same in every copy of a letter, and are searched once.
    """
    places = [at for at, char in enumerate(words) if char not in {MARK_BEGIN, MARK_END}]
    plain = "".join(words[at] for at in places)
    places.append(len(words))
    searches = (
        *(_slips_of_kind(kind, plain, language) for kind in _KINDS),
        _tight_commas(plain),
        _broken_links(plain),
        _wrong_weekdays(plain, language),
    )
    found = (slip for search in searches for slip in islice(search, _MOST))
    marked = (one._replace(start=places[one.start], end=places[one.end]) for one in found)
    return (*islice(_empty_fields(words), _MOST), *marked)


def _slips_of_kind(kind: str, text: str, language: str) -> Iterator[Slip]:
    for found in _KINDS[kind].finditer(text):
        if found.group() != "TODO" or language.partition("-")[0] not in _SPANISH:
            name = _bare_name(found.group()) if kind == "placeholder" else ""
            known = rows.SLIPS["text"][kind]
            what = known["what"].replace("{}", quoted(found.group()))
            yield Slip(*found.span(), what, known["hint"], name)


def _bare_name(text: str) -> str:
    """A name without owner, filters, signs and capitals: `firstname` of `{First_Name|upper}`."""
    return re.sub(r" ?\|[^|]*$|[\W_]", "", text.casefold()).removeprefix("recipient")


def _empty_fields(text: str) -> Iterator[Slip]:
    """Empty fields in a sentence: "Dear ,", "the  of the company", "()"."""
    if f"{MARK_BEGIN}{MARK_END}" in text:
        for found in _EMPTY_FIELD.finditer(text):
            before, after = found["before"], found["after"]
            is_mark = re.match(r"[ \xa0]?[,;:!?.]", after)
            if is_mark if not before else before.isspace() or not after.isspace():
                what = f"an empty field leaves a gap {_after_words(text, found)}"
                yield Slip(*found.span(), what, "Use {% if %} to choose what is there without it")
        return  # the marks tell more than what follows
    for found in _STRAY_MARK.finditer(text):
        what = f'there is a space before the "{found.group().strip()}" {_after_words(text, found)}'
        yield Slip(*found.span(), what, "Correct it, or fill the cell")
    for found in _EMPTY_BRACKETS.finditer(text):
        what = f"there are empty brackets {_after_words(text, found)}"
        yield Slip(*found.span(), what, "Correct it, or fill the cell")


def _tight_commas(text: str) -> Iterator[Slip]:
    """Commas without a space: "Dear Anna,we write"."""
    if "," not in text:
        return
    without = _ADDRESSES.sub(lambda found: " " * len(found.group()), text)
    for found in _TIGHT_COMMA.finditer(without):
        what = f"there is no space after the comma in {quoted(found.group() + found[1])}"
        yield Slip(*found.span(), what, "Add one")


def _broken_links(text: str) -> Iterator[Slip]:
    for found in _LINK.finditer(text):
        link = found.group().rstrip(_LINK_END)
        if not _is_valid(link):
            what = f"the link {quoted(link)} is not valid"
            end, hint = found.start() + len(link), "Correct it and try it in a browser"
            yield Slip(found.start(), end, what, hint)


def _is_valid(link: str) -> bool:
    try:
        parts = urlsplit(link)
        host, _ = parts.hostname or "", parts.port
    except ValueError:
        return False
    labels = host.split(".")
    is_named = len(labels) > 1 and all(labels) and not any(len(label) > 63 for label in labels)
    is_number = host.startswith("[") or ":" in host or host == "localhost"
    return (is_named or is_number) and link[len(parts.scheme) :].startswith("://")


def _after_words(text: str, found: re.Match[str]) -> str:
    """Where a slip is, by the words before it on its line."""
    line = _MARKS.sub("", text[: found.start()].rpartition("\n")[2])
    words = " ".join(line.split()[-3:])[-40:]
    return f'after "{words}"' if words else "at the beginning of a line"


_GAP = r"[,\s\u00a0\u202f]{1,3}"
_YEAR = r"(?P<year>[12][0-9]{3})"
_DAY = r"(?P<day>[0-9]{1,2})(?:st|nd|rd|th|\.)?"


def _wrong_weekdays(text: str, language: str) -> Iterator[Slip]:
    """Days with a weekday that is not theirs: "Friday, 28 September 2015"."""
    if not re.search(_YEAR, text):
        return
    weekdays = _weekdays(language)
    if not any(one.search(text) for one in weekdays):  # the dates take 10 ms to compile
        return
    months = _months(language)
    for pattern in _dates(language):
        for found in pattern.finditer(text):
            month = next(number for number, name in months.items() if name.match(found["month"]))
            try:
                day = date(int(found["year"]), month, int(found["day"]))
            except ValueError:
                continue  # 31 June: not what is looked for here
            if not weekdays[day.weekday()].fullmatch(found["weekday"]):
                shown = " ".join(found.group().split())
                what = f'"{shown}" does not exist: {day:%Y-%m-%d} is a {day:%A}'
                yield Slip(*found.span(), what, "Correct the weekday or the day")


@cache
def _dates(language: str) -> tuple[re.Pattern[str], ...]:
    """The orders in which a language writes a date with its weekday."""
    month = f"(?P<month>{'|'.join(name.pattern for name in _months(language).values())})"
    weekday = f"(?P<weekday>{'|'.join(one.pattern for one in _weekdays(language))})"
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
    found = {}
    for number in range(1, 13):
        forms = (re.escape(names[kind]["wide"][number]) for kind in ("format", "stand-alone"))
        found[number] = re.compile(rf"(?:{'|'.join(forms)})(?!\w)", re.IGNORECASE)
    return found


_BLOCKS = ("demands", "signatories", "reply_by")

_OWN_LINE = re.compile(r"[^\w({]*(?:\{\{|\S+@|www\.|https?:|(?P<first>\w))")
_WRAPPED_AT = 50  # characters; no narrower text is taken for wrapped


def slips_of_campaign(campaign: Campaign, letter: Letter) -> Iterator[Problem]:
    """All slips that can be found without a row."""
    yield from broken_promises(letter)
    yield from untranslated(letter)
    yield from run_on(letter)
    if "signatories" in names_in(letter.default_text):
        file = campaign.settings.people["signatories"]
        yield from rows.two_spellings(file, campaign.signatories)
        yield from rows.shouted_signatures(file, campaign.signatories)


def broken_promises(letter: Letter) -> Iterator[Problem]:
    """The first mention of an attachment in each text of a letter that has none."""
    if letter.front.attachments or letter.front.event:
        return
    for text in letter.texts.values():
        words = "|".join(rows.SLIPS["promises"].get(text.language.partition("-")[0], ["(?!)"]))
        if found := re.search(rf"\b(?:{words})\b", text.body, re.IGNORECASE):
            line = text.body_line + text.body.count("\n", 0, found.start())
            shown = " ".join(found.group().split())
            what = f'the text says "{shown}", but nothing is attached to the letter'
            hint = "If a file is meant, name it under attachments in the front matter"
            yield Problem(text.file, line, what, hint, Level.WARNING)


def untranslated(letter: Letter) -> Iterator[Problem]:
    """What a translation leaves out that the default text has: demands, signatories, the date."""
    default = letter.default_text
    asked_for = names_in(default)
    for text in letter.texts.values():
        left_out = asked_for - names_in(text)
        for name in (name for name in _BLOCKS if name in left_out):
            what = f"{default.file} has {{{{ {name} }}}}, and this translation does not"
            yield Problem(text.file, None, what, "Add it, if it belongs there", Level.WARNING)


def run_on(letter: Letter) -> Iterator[Problem]:
    """Lines that Markdown joins and their author meant apart: a signature, an address."""
    for text in letter.texts.values():
        lines = [line.strip(" \t>") for line in text.body.split("\n")]
        joined = joined_lines(text)
        width = max([_WRAPPED_AT, *(len(lines[line]) for line, _ in joined)])
        apart = {
            below: line for line, below in joined if _is_apart(lines[line], lines[below], width)
        }
        for line in (line for line in apart.values() if line not in apart):
            what = f"{quoted(lines[line])} and the line below it become one line"
            hint = "End each line that is to stay apart with a backslash"
            yield Problem(text.file, text.body_line + line, what, hint, Level.WARNING)


def _is_apart(line: str, below: str, width: int) -> bool:
    """Whether a line goes on with no sentence, and was not wrapped for lack of space."""
    begins = _OWN_LINE.match(below)
    is_own = begins is not None and not (begins["first"] or "").islower()
    fits = len(line) + 1 + len(below.split(" ", maxsplit=1)[0]) <= width
    is_short = max(len(line), len(below)) <= _WRAPPED_AT
    return is_own and is_short and fits and not line.endswith((".", "!", "?", "…"))


def wrong_event_weekdays(text: LetterText, starts: datetime) -> Iterator[Problem]:
    """The weekdays that a letter's text names and that are not its event's: a warning each."""
    names = locale_of(text.language).days["stand-alone"]["wide"]
    patterns = _weekdays(text.language)
    subject = [(text.subject_line, text.subject)]
    body = enumerate(text.body.split("\n"), text.body_line)
    for line, words in [*subject, *body]:
        for number in range(7):
            found = patterns[number].search(words) if number != starts.weekday() else None
            if found:
                day = f"{starts:%A} ({starts:%Y-%m-%d})"
                what = f'the letter says "{found.group()}", and the event is on a {day}'
                hint = f"Write {names[starts.weekday()]} or {{{{ event.weekday }}}}, if it is meant"
                yield Problem(text.file, line, what, hint, Level.WARNING)


@cache
def _weekdays(language: str) -> tuple[re.Pattern[str], ...]:
    """How a language writes the weekdays from Monday, in all their forms."""
    primary = language.partition("-")[0]
    days = locale_of(language).days
    patterns = rows.SLIPS["weekdays"].get(primary) or [
        "|".join(
            rf"{re.escape(days[context]['wide'][day])}\w{{0,2}}"  # "Mondays", "Montags"
            for context in ("format", "stand-alone")
        )
        for day in range(7)
    ]
    return tuple(re.compile(rf"\b(?:{pattern})\b", re.IGNORECASE) for pattern in patterns)
