"""Fills a frozen letter in one language for one person after the other.

`fast_fill` fills what it can without Jinja; Jinja does the rest, and whatever is out of the
ordinary.
"""

import re
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

from jinja2 import TemplateSyntaxError

from petition.address import FORGOTTEN, Mailbox
from petition.campaign.people import Person, mailbox_in
from petition.errors import AddressRefused, MergeHindered, MergeRefused, Problem
from petition.merge.document import Frozen
from petition.merge.fast_fill import (
    UNSUBSCRIBE,
    EncodedEnvironment,
    Filled,
    Forms,
    are_whole,
    encode,
    encode_value,
    print_plain,
)
from petition.merge.headers import check_text
from petition.template import fields
from petition.template.bodies import has_tables, lined_up
from petition.template.compile import CompiledText
from petition.template.error_texts import of_failure
from petition.template.fields import (
    SOME_TEXT,
    CellRefused,
    EmptyCell,
    Named,
    Value,
    ValueRefused,
    printed,
)
from petition.template.filters import LANGUAGE
from petition.template.sandbox import FAULTS, LetterEnvironment, Renderer, line_of, read_compiled
from petition.template.signatories import signatories_in
from petition.template.syntax_tree import captures
from petition.template.tags import Template

# Around each merged value in a text that is shown; no value can hold them.
MARK_BEGIN, MARK_END = "\x02", "\x03"

# The unsubscribe link of a copy that is only checked.
_SOME_LINK = "https://example.org/u/0"


class Settled(NamedTuple):
    """What all copies share whose rows have the same cells filled, with nothing unusual in them."""

    language: str  # the language tag of its text
    named: Sequence[str]  # the columns that the letter names
    in_subject: tuple[str, ...]  # those that its subject prints
    own_length: int  # characters of the subject beside them


@dataclass
class LoadedText:
    """A letter in one language.

    Its methods raise MergeRefused if it cannot be merged for the person. `leave` is the unsubscribe
    link of a bulk letter.
    """

    file: str  # for messages
    language: str
    compiled: CompiledText
    names: Mapping[str, Any]  # what it can name, except the person
    paths: tuple[Template, ...] = ()  # of the files that a person's copy alone carries
    cc: tuple[Template, ...] = ()  # the addresses that only the row says
    front_file: str = ""  # whose front matter has `paths` and `cc`: that of the default language
    cc_place: str = ""  # for messages
    breaks_lines: bool = False  # whether its HTML shows the line ends of cells
    instead: fields.Previous | None = None  # in a follow-up, for a person of whom nothing is known
    yes_no: frozenset[str] = frozenset()  # columns whose cells count as what they say

    def fill(self, person: Person, leave: str = "") -> Filled:
        """The letter for one person, encoded."""
        if not self._has_tables and (form := self._forms.of(person.fields)) is not None:
            try:
                filled = form.filled(person.fields, fields.clean(leave) if leave else _SOME_LINK)
            except CellRefused:
                pass  # a cell is not a link: Jinja tells on which line
            else:
                self._check_subject(filled.subject, person)
                return filled
        names = self._names_for(person, leave)
        subject = self._subject_of(names, person)
        text = self._pieces(self._text, names, person)
        text = [encode(lined_up("".join(text)))] if self._has_tables else text
        html = self._pieces(self._encoded_html, names, person)
        return Filled(subject, text, html, are_whole(text) and are_whole(html))

    def check(self, person: Person) -> str:
        """The subject; raises what `fill` would raise, and costs less."""
        if (form := self._forms.of(person.fields)) is not None:
            try:
                return self._check_subject(form.subject(person.fields, _SOME_LINK), person)
            except CellRefused:
                pass
        return self.fill(person).subject

    def settled(self, person: Person) -> Settled | None:
        """What `check` says of all rows with the same cells filled; None: it looks at each row."""
        form = None if self.paths or self.cc else self._forms.of(person.fields)
        if form is None or not form.takes_any_text:
            return None
        try:
            self._check_subject(form.subject(person.fields, _SOME_LINK), person)
        except (CellRefused, MergeRefused):
            return None
        return Settled(self.language, self._forms.columns, form.in_subject, form.own_length)

    def shown(self, person: Person, leave: str = "") -> str:
        """The text with a mark at both ends of each merged value."""
        return lined_up(self._render(self._marked_text, self._names_for(person, leave), person))

    def own_paths(self, person: Person) -> list[str]:
        """The paths of the files that a person's copy alone carries."""
        if not self.paths:
            return []
        names = self._names_for(person)
        return [
            self._render(renderer, names, person, self.front_file) for renderer in self._own_paths
        ]

    def copied(self, person: Person) -> list[Mailbox]:
        """Who gets a person's copy in Cc because the row says so."""
        if not self.cc:
            return []
        names = self._names_for(person)
        texts = [self._render(renderer, names, person, self.front_file) for renderer in self._cc]
        found = [one.strip() for text in texts for one in re.split(r"[;\n]", text) if one.strip()]
        try:
            return [mailbox_in(one) for one in found if FORGOTTEN not in one]
        except AddressRefused as why:
            refusal = CellRefused(f"cc: {why.what}", why.hint)
            raise refused_row(person, refusal, self.cc_place, "copies") from None

    def subject_for(self, person: Person, leave: str = "") -> str:
        """The subject for one person."""
        return self._subject_of(self._names_for(person, leave), person)

    def html(self, person: Person, leave: str = "") -> str:
        """The HTML for one person."""
        return self._render(self._html, self._names_for(person, leave), person)

    @cached_property
    def _own_paths(self) -> list[Renderer]:
        return [PlainEnvironment(str, self.yes_no, "''").load(path) for path in self.paths]

    @cached_property
    def _cc(self) -> list[Renderer]:
        def text(value: Value) -> str:
            return "" if isinstance(value, EmptyCell) else printed(value)

        return [LetterEnvironment(text, self.yes_no).load(one) for one in self.cc]

    @cached_property
    def _subject(self) -> Renderer:
        return PlainEnvironment(str, self.yes_no).load(self.compiled.subject)

    @cached_property
    def _has_tables(self) -> bool:
        return has_tables(self.compiled.text.source)

    @cached_property
    def _text(self) -> Renderer:
        """Fills the text: encoded, unless its tables have to be lined up first."""
        if self._has_tables:
            return PlainEnvironment(str, self.yes_no).load(self.compiled.text)
        return EncodedEnvironment(print_plain, self.yes_no).load(self.compiled.text)

    @cached_property
    def _encoded_html(self) -> Renderer:
        return self._html_environment().load(self.compiled.html)

    def _html_environment(self) -> EncodedEnvironment:
        to_html = self._to_html
        return EncodedEnvironment(lambda value: encode_value(to_html(printed(value))), self.yes_no)

    @property
    def _to_html(self) -> Callable[[str], str]:
        return fields.lines_in_html if self.breaks_lines else fields.in_html

    @cached_property
    def _html(self) -> Renderer:
        return PlainEnvironment(self._to_html, self.yes_no).load(self.compiled.html)

    @cached_property
    def _marked_text(self) -> Renderer:
        def marked(text: str) -> str:
            return f"{MARK_BEGIN}{text}{MARK_END}"

        return PlainEnvironment(marked, self.yes_no).load(self.compiled.text)

    @cached_property
    def _forms(self) -> Forms:
        return Forms(
            self.names,
            self._to_html,
            (PlainEnvironment(str, self.yes_no), self.compiled.subject),
            (EncodedEnvironment(print_plain, self.yes_no), self.compiled.text),
            (self._html_environment(), self.compiled.html),
        )

    def _names_for(self, person: Person, leave: str = "") -> dict[str, Any]:
        names = {**self.names, "recipient": Named("recipient", person.fields)}
        if leave:
            names[UNSUBSCRIBE] = leave
        if self.instead is None:
            return names
        demands = self.names["demands"]
        return names | fields.previous_names(person, self.instead, demands, self.language)

    def _subject_of(self, names: dict[str, Any], person: Person) -> str:
        return self._check_subject(self._render(self._subject, names, person), person)

    def _check_subject(self, subject: str, person: Person) -> str:
        if not subject.strip():
            empty = CellRefused("the subject is empty", "Fill the cells that it names")
            raise refused_row(person, empty)
        try:
            return check_text(subject, "the subject")
        except CellRefused as refusal:
            raise refused_row(person, refusal) from None

    def _render(
        self, renderer: Renderer, names: dict[str, Any], person: Person, file: str = ""
    ) -> str:
        return "".join(self._pieces(renderer, names, person, file))

    def _pieces(
        self, renderer: Renderer, names: dict[str, Any], person: Person, file: str = ""
    ) -> list[str]:
        file = file or self.file
        try:
            return renderer.pieces(names)
        except CellRefused as refusal:
            raise refused_row(person, refusal, f"{file}:{line_of(refusal)}") from None
        except ValueRefused as refusal:
            raise self._refused(file, refusal, refusal.what, refusal.hint, refusal.mark) from None
        except FAULTS as fault:
            raise self._refused(file, fault, *of_failure(fault)[:3]) from None

    def _refused(
        self, file: str, fault: Exception, what: str, hint: str, mark: str = ""
    ) -> MergeRefused:
        line = line_of(fault)
        if file == self.file:
            mark = mark or self._only_tag(line)
        return MergeRefused(Problem(file, line, what, hint, mark=mark))

    def _only_tag(self, line: int | None) -> str:
        """The only tag on a line of the letter; "" if there are several."""
        found = self.compiled.text.tags_on(line) or self.compiled.subject.tags_on(line)
        return found[0] if len(found) == 1 else ""


class PlainEnvironment(LetterEnvironment):
    """An environment whose templates are not encoded; `finish` is applied to each value."""

    def __init__(
        self, finish: Callable[[str], str], yes_no: Collection[str] = (), instead: str = SOME_TEXT
    ) -> None:
        def paid(value: Value) -> str:
            text = printed(value, instead)
            self.budget.spend(len(text) // 64)
            return finish(text)

        super().__init__(paid, yes_no)


def load_text(frozen: Frozen, language: str) -> LoadedText:
    """A text of a frozen letter, ready to be filled."""
    sender, reply_to = frozen.sender, frozen.sender_reply_to
    names: dict[str, Any] = {
        LANGUAGE: language,
        "campaign": Named("campaign", {"title": frozen.title, "id": frozen.campaign_id}),
        "sender": Named(
            "sender",
            {
                "name": sender.display_name,
                "address": sender.addr_spec,
                "reply_to": reply_to.addr_spec if reply_to else "",
                "postal_address": frozen.document["sender"].get("postal_address") or "",
            },
        ),
        "demands": tuple(Named("demand", one) for one in frozen.demands(language)),
        "signatories": signatories_in(frozen.document["signatories"], language),
        "today": fields.LetterDate("today", frozen.today, language),
    }
    if frozen.is_bulk:
        names[UNSUBSCRIBE] = _SOME_LINK
    if frozen.reply_by:
        names["reply_by"] = fields.LetterDate("reply_by", frozen.reply_by, language)
    if frozen.event:
        names["event"] = fields.named_event(frozen.event, language)
    document, front_file = frozen.document, frozen.file(frozen.languages[0])
    cc = frozen.cc_fields
    paths = [one for one in frozen.attachments if "template" in one]
    follows = document.get("follows")
    return LoadedText(
        file=frozen.file(language),
        language=language,
        compiled=frozen.compiled(language),
        names=names,
        paths=tuple(map(_template_of, paths)),
        cc=tuple(map(_template_of, cc)),
        front_file=front_file,
        cc_place=f"{front_file}:{cc[0]['line']}" if cc else "",
        breaks_lines=document["texts"][language].get("breaks", False),
        instead=fields.stand_in(frozen.title, frozen.today) if follows else None,
        yes_no=frozen.yes_no,
    )


def _template_of(described: Mapping[str, Any]) -> Template:
    return Template(described["template"], tuple(described["lines"]))


def captured_in(frozen: Frozen) -> str:
    """The keyword of a statement that an older version froze and this one refuses, or ""."""
    for language in frozen.languages:
        with suppress(TemplateSyntaxError):
            if found := captures(read_compiled(frozen.compiled(language).text)):
                return found[0][1]
    return ""


def refused_row(
    person: Person, refusal: CellRefused, place: str = "", verb: str = "prints"
) -> MergeRefused:
    """The refusal of a copy because of its row."""
    what = f"{refusal.what} ({place} {verb} it)" if place else refusal.what
    kind = MergeHindered if isinstance(refusal, fields.FileRefused) else MergeRefused
    return kind(Problem(person.file, person.line, what, refusal.hint))
