"""The book of copies: every copy of a letter on one page, before anything is sent.

The copies that differ most from the others come first: with a handful of lines that hardly any
other copy has, or without a line that nearly all have. The page makes no request; its script
searches, and draws the HTML of a copy that is opened.
"""

import hashlib
import json
import math
import re
from base64 import b64encode
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from html import escape
from itertools import chain
from pathlib import Path
from string import Template

from petition.campaign.people import Person
from petition.campaign.text_file import packaged
from petition.errors import Level, Problem, sentence
from petition.merge.attachments import OWN_FILES
from petition.merge.fill import MARK_BEGIN, MARK_END
from petition.merge.message import Shown
from petition.report.markup import SHOWN, Html, tag, write_page

MOST_COPIES = 2_000  # in a book
_MOST_FALLBACKS = 200  # of the sample of a longer list
_MOST_PROBLEMS = 100  # at the top of the page
_RARE = 0.1  # of all copies: a line that more of them have is not worth telling
_LINE_LENGTH = 70

_VALUE = re.compile(f"{MARK_BEGIN}([^{MARK_END}]*){MARK_END}")
_EMPTY = "\x00"
_OWN = "\x01"  # in place of a value from the row
_FEW = 4  # values that a line may have in a small list
_SHORT = 3  # characters of a cell that may be in another word by chance, such as "en"


@dataclass(slots=True)
class BookCopy:
    """One person's copy, as the book shows it."""

    person: Person
    shown: Shown
    html: str
    language: str
    is_fallback: bool  # there is no letter in the person's language
    problems: list[Problem] = field(default_factory=list)  # with this row
    rare: list[str] = field(default_factory=list)  # what sets it apart from the others, in words
    difference: float = 0.0


@dataclass(slots=True)
class Book:
    """A letter's copies, and what is known of them."""

    campaign: str
    letter: str
    listed: int  # people who would get it
    copies: list[BookCopy]
    problems: list[Problem]  # that concern no single copy of the book
    is_rehearsal: bool
    sampled: str = ""  # how the copies were chosen, if these are not all


class BookSample:
    """A sample of a list of any length: people spread evenly over it, in its order."""

    def __init__(self, most: int = MOST_COPIES) -> None:
        self._most = most
        self._step = 1
        self._kept: list[Person] = []
        self._fallbacks: list[Person] = []
        self.seen = 0

    def add(self, person: Person, *, is_fallback: bool) -> None:
        """Look at the next person."""
        if self.seen % self._step == 0:
            self._kept.append(person)
            if len(self._kept) > self._most:
                self._kept = self._kept[::2]
                self._step *= 2
        elif is_fallback and len(self._fallbacks) < _MOST_FALLBACKS:
            self._fallbacks.append(person)
        self.seen += 1

    def people(self) -> list[Person]:
        """Those who were chosen."""
        chosen = {person.line: person for person in chain(self._kept, self._fallbacks)}
        return [chosen[line] for line in sorted(chosen)]

    def how(self) -> str:
        """In words how they were chosen; "" if it is everybody."""
        if self._step == 1:
            return ""
        words = f"one in {self._step} of the list, from the first on"
        if self._fallbacks:
            words += f", and {len(self._fallbacks)} for whom there is no letter in their language"
        return words


def write(book: Book, path: Path) -> None:
    """Write the book, for its owner alone, over an older one; PetitionError as for a report."""
    put_unusual_first(book.copies)
    layout = packaged("report/book.html")
    script = packaged("report/book.js")
    digest = b64encode(hashlib.sha256(script.encode()).digest()).decode("ascii")
    page = Template(layout).substitute(
        allowed=f"sha256-{digest}",
        title=escape(f"{book.letter}: {len(book.copies)} copies"),
        style=packaged("report/style.css") + packaged("report/book.css"),
        body=tag("main", *_body(book)).translate(SHOWN),
        pages=_pages(book.copies),
        script=script,
    )
    write_page(path, page, layout=layout, what="a book of copies")


def put_unusual_first(copies: list[BookCopy]) -> None:
    """Put those first that have problems, and then those that differ most from all others."""
    lines = _shapes(copies)
    shapes = [set(each) for each in lines]
    having = Counter(chain.from_iterable(shapes))
    number = len(copies)
    has = {line: math.log(number / many) for line, many in having.items()}
    lacks = {
        line: math.log(number / (number - many)) for line, many in having.items() if many < number
    }
    lacked_by_all = sum(lacks.values())
    usual = Counter(copy.language for copy in copies).most_common(1)
    longest = max(copies, key=lambda copy: len(copy.person.mailbox.display_name), default=None)
    for copy, shape, in_order in zip(copies, shapes, lines, strict=True):
        copy.difference = sum(has[line] for line in shape) + lacked_by_all
        copy.difference -= sum(lacks.get(line, 0.0) for line in shape)
        if copy.is_fallback:
            what = f"there is no letter in “{copy.person.language}”: it is in “{copy.language}”"
            copy.rare.append(what)
        elif copy.language != usual[0][0]:
            copy.rare.append(f"in “{copy.language}”")
        if any(_EMPTY in line for line in shape):
            copy.rare.append("a field is empty")
        if copy is longest and number > 1:
            copy.rare.append("the longest name")
        if told := _rarest(copy.shown.text, in_order, having, number):
            copy.rare.append(told)
    copies.sort(
        key=lambda one: (
            not any(problem.is_error for problem in one.problems),
            not any(problem.level is not Level.NOTE for problem in one.problems),
            not one.is_fallback,
            -one.difference,
            one.person.number,
        )
    )


def _shapes(copies: Iterable[BookCopy]) -> list[list[str]]:
    """The lines of each copy, with a sign in place of what differs from row to row.

    A value that is not from the row, such as "Sir or Madam" in place of an empty cell, stays,
    unless a line has so many that each row seems to have its own.
    """
    told = [list(_lines(copy)) for copy in copies]
    kinds: dict[str, set[str]] = {}
    for line, kind in chain.from_iterable(told):
        kinds.setdefault(line, set()).add(kind)
    most = max(_FEW, len(told) * _RARE)
    return [[kind if len(kinds[line]) <= most else line for line, kind in lines] for lines in told]


def _lines(copy: BookCopy) -> Iterator[tuple[str, str]]:
    """Each line without its values, and without those alone that are from the row."""
    cells = [cell.strip().casefold() for cell in copy.person.fields.values() if cell.strip()]

    def is_own(value: str) -> bool:
        return any(value in cell or (len(cell) > _SHORT and cell in value) for cell in cells)

    def kind_of(value: re.Match[str]) -> str:
        words = value[1].strip()
        return _OWN if words and is_own(words.casefold()) else words or _EMPTY

    for line in copy.shown.text.split("\n"):
        if line.strip():
            without = _VALUE.sub(lambda value: _OWN if value[1].strip() else _EMPTY, line)
            yield without, _VALUE.sub(kind_of, line)


def _rarest(text: str, shape: list[str], having: Counter[str], number: int) -> str:
    """The line that fewest copies have, if these are few."""
    lines = [line for line in text.split("\n") if line.strip()]
    many, line = min(
        ((having[one], line) for one, line in zip(shape, lines, strict=True)),
        key=lambda one: one[0],
        default=(number, ""),
    )
    if many > number * _RARE:
        return ""
    words = " ".join(_VALUE.sub(r"\1", line).split())
    words = words if len(words) <= _LINE_LENGTH else words[: _LINE_LENGTH - 1] + "…"
    others = "no other copy says" if many == 1 else f"only {many} of {number} say"
    return f"{others} “{words}”"


def _pages(copies: Iterable[BookCopy]) -> str:
    """The HTML of the copies as JSON: every line once, and of each copy which lines it has."""
    lines: dict[str, int] = {}
    pages = [
        [lines.setdefault(line, len(lines)) for line in copy.html.split("\n")] for copy in copies
    ]
    text = json.dumps({"lines": list(lines), "copies": pages}, separators=(",", ":"))
    return text.replace("<", "\\u003c")  # so that no copy ends the element


def _body(book: Book) -> Iterator[Html]:
    yield tag("header", *_head(book))
    if book.problems:
        yield tag("h2", "What petition check says")
        shown = book.problems[:_MOST_PROBLEMS]
        rest = len(book.problems) - len(shown)
        notes = [_problem(one) for one in shown]
        if rest:
            notes.append(tag("li", f"and {rest:,} more: petition check shows them"))
        yield tag("ul", *notes, class_="notes")
    yield tag("h2", "Copies")
    label = tag("label", "Find a name, a place, a word: ", for_="find")
    search = Html('<input id="find" type="search" autocomplete="off" spellcheck="false">')
    number = f"{len(book.copies):,} {'copy' if len(book.copies) == 1 else 'copies'}"
    yield tag(
        "div", label, search, tag("output", number, for_="find"), class_="find", role="search"
    )
    for page, copy in enumerate(book.copies):
        yield _copy(copy, page)


def _head(book: Book) -> Iterator[Html]:
    yield tag("h1", book.letter, dir="auto")
    many = f"{book.listed:,} {'copy' if book.listed == 1 else 'copies'}"
    what = f"{many} of “{book.campaign}”, as they would go. Nothing was sent."
    if book.sampled:
        what += f" Shown are {len(book.copies):,}: {book.sampled}."
    elif book.listed != len(book.copies):
        what += f" Shown are {len(book.copies):,}: the others cannot be made."
    yield tag("p", what, class_="soft")
    order = "Copies with problems come first, then those that differ most from the others. "
    private = "Keep this file private: it holds names and addresses."
    yield tag("p", f"{order if len(book.copies) > 1 else ''}{private}", class_="soft")
    if book.is_rehearsal:
        what = "There is no mail server yet: petition send would only rehearse this."
        yield tag("p", tag("strong", what), role="note")
    if any(one.is_error for one in chain(book.problems, *(copy.problems for copy in book.copies))):
        what = "The letter cannot be sent as it is: it has errors."
        yield tag("p", tag("strong", what), class_="late", role="note")


def _problem(problem: Problem) -> Html:
    return tag("li", f"{problem.level}: {problem}", class_=_class_of(problem))


def _class_of(problem: Problem) -> str:
    return "grave" if problem.level is not Level.NOTE else ""


def _copy(copy: BookCopy, page: int) -> Html:
    person, address = copy.person, copy.person.mailbox.readable
    name = person.mailbox.display_name
    where = f"{address} · row {person.number}" if name else f"row {person.number}"
    what = [tag("strong", name or address, dir="auto"), tag("small", where)]
    notes = [
        tag("li", f"{one.level}: {sentence(one.what)} {sentence(one.hint)}", class_=_class_of(one))
        for one in copy.problems
    ]
    notes += [tag("li", one) for one in copy.rare]
    if notes:
        what.append(tag("ul", *notes, class_="notes"))
    cells = (f"{key}: {cell}" for key, cell in person.fields.items() if cell and key != OWN_FILES)
    rows = [*copy.shown.main_headers, ("Row", ", ".join(cells))]
    rows += [("Attached", name) for name in copy.shown.attached]
    facts = chain.from_iterable((tag("dt", key), tag("dd", cell, dir="auto")) for key, cell in rows)
    text = tag("pre", *_marked(copy.shown.text), lang=copy.language, dir="auto")
    parts = tag("div", tag("dl", *facts), text, class_="parts")
    return tag("details", tag("summary", *what), parts, class_="copy", data_page=page)


def _marked(text: str) -> Iterator[object]:
    """A text in which merged values are marked."""
    for at, piece in enumerate(re.split(f"[{MARK_BEGIN}{MARK_END}]", text)):
        yield tag("mark", piece) if at % 2 else piece
