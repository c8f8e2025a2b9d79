"""Looks for slips in a letter and its list: one warning a kind and place, however many have it."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime

from petition.campaign.letter import Letter, LetterText
from petition.campaign.people import Person
from petition.errors import Level, MergeRefused, Problem
from petition.lint.rows import NAMES, ODDITIES, brings_along, may_be_odd, odd_end
from petition.lint.slips import BEGIN, END, Slip, slips_of
from petition.merge.message import Merger

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
    """Looks at one person's copy after the other.

    Args:
        letter: The letter.
        merger: Makes the copies; None: only the rows are looked at.
        revision: In which revision.
        date: The header Date, aware.
    """

    letter: Letter
    merger: Merger | None
    revision: int
    date: datetime
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

    def look_at(self, person: Person, subject: str | None) -> None:
        """Look at a person's row and copy.

        Args:
            person: The person.
            subject: The subject of the copy; None: it cannot be merged.
        """
        cells = [person.fields.get(column, "") for column in self._columns]
        is_odd = may_be_odd(cells)
        self._judge_row(person, is_odd=is_odd)
        if self.merger is None or subject is None:
            return
        # In a thread the subject is that of the first letter, and must stay so.
        if len(subject) > SUBJECT_LIMIT and len(subject.removeprefix("Re: ")) > SUBJECT_LIMIT:
            self._add(self._long_subject(person), person)
        language, _ = self.merger.language_of(person)
        if self._is_read(person, language) or (is_odd and brings_along(cells)):
            for problem in dict.fromkeys(self._read(person, self._text_of(person))):
                self._add(problem, person)

    def problems(self) -> Iterator[Problem]:
        """What was found, as warnings."""
        for problem, found in self._in_letter.items():
            place = f"{found.first.file}:{found.first.line}"
            more = " or more" if self._seen > _READ else ""
            rows = f"in {found.count:,} rows{more}, first {place}"
            rows = rows if found.count > 1 else f"for {place}"
            what = f"{problem.what} ({rows})"
            yield Problem(problem.file, problem.line, what, problem.mend, Level.WARNING)
        for problem, found in self._in_rows.values():
            more = f" (in {found.count:,} rows, this is the first)" if found.count > 1 else ""
            what = problem.what + more
            yield Problem(problem.file, problem.line, what, problem.mend, Level.WARNING)

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

    def _long_subject(self, person: Person) -> Problem:
        text = self._text_of(person)
        what = f"the subject is longer than {SUBJECT_LIMIT} characters"
        mend = "Shorten it: most programs cut it off in the list of letters"
        return Problem(text.file, text.subject_line, what, mend)

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

    def _read(self, person: Person, text: LetterText) -> Iterator[Problem]:
        assert self.merger is not None  # noqa: S101 (look_at asks)
        try:
            shown = self.merger.show(person, self.revision, self.date)
        except MergeRefused:
            return  # told of elsewhere
        for slip in slips_of(dict(shown.headers)["Subject"], text.language):
            yield Problem(text.file, text.subject_line, slip.what, slip.mend, Level.WARNING)
        for words in _PARAGRAPH_END.split(shown.text):
            for slip in slips_of(words, text.language):
                line = _Place(text).of(words, slip)
                yield Problem(text.file, line, slip.what, slip.mend, Level.WARNING)

    def _text_of(self, person: Person) -> LetterText:
        assert self.merger is not None  # noqa: S101 (look_at asks)
        language, _ = self.merger.language_of(person)
        return self.letter.texts.get(language) or self.letter.default_text


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
