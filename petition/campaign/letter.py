"""A letter: its YAML front matter and its Markdown text, in each language; and the demands.

Only texts, lists and mappings are built from YAML: none of its guesses (`no` as False, 2015-10-01
as a date), of its tags, which can make objects, or of its aliases, which can make a small file
endless.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date, timedelta
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple

import yaml
from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainValidator,
    ValidationInfo,
    field_validator,
)

from petition.address import Mailbox, folded
from petition.campaign import validation as kinds
from petition.campaign.holidays import CODE
from petition.campaign.names import curly_hint, nearest_hint, quoted, slug
from petition.campaign.text_file import obscured, read_text
from petition.errors import PetitionError, Problem

FOLLOW_UP_SUBJECT = "Re: {{ previous.subject }}"

COPIES_LIMIT = 10  # cc and bcc together
ATTACHMENTS_LIMIT = 20

# What people can have answered (outbox.answers.Status); a follow-up is for some of these.
ANSWERS = (
    *("none", "acknowledged", "stalled", "clarification", "meeting", "refused", "partial", "met"),
    "withdrawn",
)
UNANSWERED = ANSWERS[:3]
UNCLASSIFIED = "unclassified"  # holds a follow-up back, whatever is chosen

_TAG = re.compile(r"\{[{%#]")  # where a template has a tag or a comment
_WHERE = re.compile(r"answer\s+(?P<not>not\s+)?in\s*[(\[](?P<list>[^()\[\]]*)[)\]]", re.IGNORECASE)
_WHERE_ONE = re.compile(r"answer\s*(?P<sign>==|!=)\s*(?P<one>\S+)", re.IGNORECASE)
_WHERE_HINT = "Write it like: answer in (none, stalled)"


def _addresses(value: object) -> object:
    if not isinstance(value, list):
        raise kinds.fault("this is not a list", 'Write it in square brackets: ["name@host.org"]')
    return tuple(value)


def _copied(value: object) -> Mailbox:
    text = kinds.text_of(value)
    if _TAG.search(text):
        what = f"{quoted(text)} is a template, but it is the same for everybody"
        raise kinds.fault(what, "Write an address")
    return kinds.mailbox_of(text)


def _copied_or_field(value: object) -> Mailbox | str:
    text = kinds.text_of(value)
    return text.strip() if _TAG.search(text) else kinds.mailbox_of(text)


def _same(one: Mailbox | str) -> str:
    return one if isinstance(one, str) else folded(one.addr_spec)


class WorkingDays(NamedTuple):
    """A number of working days: Monday to Friday, or those of a calendar of holidays."""

    number: int
    calendar: str | None


_WORKING_DAYS = re.compile(
    rf"(?P<number>[1-9][0-9]{{0,2}})\s+working days?(?:\s+in\s+(?P<calendar>{CODE.pattern}))?"
)


def _reply_by(value: object) -> timedelta | WorkingDays | date:
    text = kinds.text_of(value).strip()
    if working := _WORKING_DAYS.fullmatch(text):
        return WorkingDays(int(working["number"]), working["calendar"])
    if found := re.fullmatch(r"([1-9][0-9]{0,3})\s+(day|week)s?", text):
        return timedelta(days=int(found[1]) * (7 if found[2] == "week" else 1))
    try:
        return date.fromisoformat(text)
    except ValueError:
        what = f"{quoted(text)} is neither a number of days nor a date"
        hint = 'Write it as "14 days", "10 working days in CH-GE" or "2015-10-01"'
        raise kinds.fault(what, hint) from None


def _where(value: object) -> tuple[str, ...]:
    text = kinds.text_of(value).strip()
    listed, single = _WHERE.fullmatch(text), _WHERE_ONE.fullmatch(text)
    if listed:
        words, is_not = listed["list"].split(","), bool(listed["not"])
    elif single:
        words, is_not = [single["one"]], single["sign"] == "!="
    else:
        raise kinds.fault(f"{quoted(text)} does not say which answers are meant", _WHERE_HINT)
    named = [word.strip().strip("'\"").strip().lower() for word in words if word.strip()]
    for one in named:
        if one == UNCLASSIFIED:
            what = "an unclassified answer always holds the letter back"
            raise kinds.fault(what, "Remove it here; classify the answer with petition answer")
        if one not in ANSWERS:
            raise kinds.fault(f"{quoted(one)} is not an answer", f"Answers: {', '.join(ANSWERS)}")
    chosen = tuple(one for one in ANSWERS if (one in named) is not is_not)
    if not chosen:
        raise kinds.fault(f"{quoted(text)} matches nobody", _WHERE_HINT)
    return chosen


def _attachments(value: object) -> tuple[str, ...]:
    if not isinstance(value, list):
        raise kinds.fault("this is not a list", 'Write it in square brackets: ["annex/report.pdf"]')
    paths = tuple(kinds.one_line(text) for text in value)
    if len(paths) > ATTACHMENTS_LIMIT:
        what = f"{len(paths)} attachments, but at most {ATTACHMENTS_LIMIT} are possible"
        raise kinds.fault(what, "Combine some of them into one file")
    return kinds.each_once(paths)


CopiedTo = Annotated[
    tuple[Annotated[Mailbox, PlainValidator(_copied)], ...], BeforeValidator(_addresses)
]
CopiedByRow = Annotated[
    tuple[Annotated[Mailbox | str, PlainValidator(_copied_or_field)], ...],
    BeforeValidator(_addresses),
]


class FrontMatter(BaseModel):
    """The front matter of a letter."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    to: kinds.OneLine = "recipients"
    subject: kinds.OneLine = Field(examples=['subject: "What the letter is about"'])
    kind: Literal["personal", "bulk"] = "personal"
    from_: Annotated[Mailbox | None, PlainValidator(_copied)] = Field(default=None, alias="from")
    cc: CopiedByRow = ()  # a text names fields: the row says who
    bcc: CopiedTo = ()
    reply_to: Annotated[Mailbox | None, PlainValidator(_copied)] = None
    reply_by: Annotated[timedelta | WorkingDays | date | None, PlainValidator(_reply_by)] = None
    attachments: Annotated[tuple[str, ...], PlainValidator(_attachments)] = ()
    event: kinds.OneLine | None = None
    follows: kinds.OneLine | None = None
    where: Annotated[tuple[str, ...] | None, PlainValidator(_where)] = None

    @field_validator("cc", "bcc")
    @classmethod
    def _few_copies(
        cls, copies: tuple[Mailbox | str, ...], known: ValidationInfo
    ) -> tuple[Mailbox | str, ...]:
        everybody = tuple(map(_same, (*known.data.get("cc", ()), *copies)))
        if len(everybody) > COPIES_LIMIT:
            what = f"{len(everybody)} copies of a letter, but at most {COPIES_LIMIT} are possible"
            raise kinds.fault(what, "Add people who should get the letter to the list")
        kinds.each_once(everybody)
        return copies

    def mailboxes(self, key: str) -> list[Mailbox]:
        """Those in `cc` or `bcc` who are the same for everybody."""
        return [one for one in getattr(self, key) if isinstance(one, Mailbox)]

    @property
    def cc_fields(self) -> list[str]:
        """The templates in `cc`: each row says who they are."""
        return [one for one in self.cc if isinstance(one, str)]


@dataclass(frozen=True, slots=True)
class LetterText:
    """A letter in one language."""

    file: str  # relative to the campaign folder
    language: str  # a tag in lower case
    subject: str  # a template
    subject_line: int
    body: str  # a template, in Markdown
    body_line: int  # of its first line
    front: FrontMatter  # with defaults for missing keys
    lines: Mapping[str, int]  # of the keys of the front matter
    is_patched: bool = False  # something in the front matter is wrong and was left out

    def line_of(self, key: str) -> int:
        """The line of a key of the front matter; 1 if it is missing."""
        return self.lines.get(key, 1)


@dataclass(frozen=True, slots=True)
class Letter:
    """A letter in all its languages, in the campaign's order."""

    name: str  # `open-letter` for `letters/open-letter.ru.md`
    files: Mapping[str, str]  # by language; never empty
    texts: Mapping[str, LetterText]  # those that can be read

    @property
    def default_text(self) -> LetterText:
        """The text in the default language, or else in the first one; there must be one."""
        return next(iter(self.texts.values()))

    @property
    def front(self) -> FrontMatter:
        """The front matter of the default text, which counts for every language."""
        return self.default_text.front


class FrontMatterRefused(PetitionError):
    """A front matter cannot be read, from a line of the letter's file."""

    def __init__(self, line: int, what: str, hint: str) -> None:
        super().__init__(what, hint)
        self.line = line


class SplitLetter(NamedTuple):
    """A letter's file in its two parts."""

    values: dict[str, Any]  # the front matter: texts, lists and mappings
    lines: dict[str, int]  # of its keys
    body: str
    body_line: int  # of its first line


def read_letter(root: Path, name: str, files: Mapping[str, str], problems: list[Problem]) -> Letter:
    """A letter with those of its texts that can be read."""
    texts: dict[str, LetterText] = {}
    for language, file in files.items():
        if text := _read_text(root, file, language, problems):
            texts[language] = text
    letter = Letter(name, files, texts)
    if next(iter(files)) in texts:  # what a translation differs from
        problems.extend(_differences(letter))
    return letter


def _read_text(root: Path, file: str, language: str, problems: list[Problem]) -> LetterText | None:
    content = read_text(root, file, problems)
    if content is None:
        return None
    try:
        split = split_letter(content)
    except FrontMatterRefused as why:
        problems.append(Problem(file, why.line, why.what, why.hint))
        return None
    if not split.body.strip():
        hint = "Write it below the front matter"
        problems.append(Problem(file, split.body_line, "the letter has no text", hint))
    before = len(problems)
    front = _front(file, split, problems)
    is_patched = len(problems) > before
    problems.extend(obscured(file, enumerate(content.split("\n"), start=1)))
    return LetterText(
        file=file,
        language=language,
        subject=front.subject,
        subject_line=split.lines.get("subject", 1),
        body=split.body,
        body_line=split.body_line,
        front=front,
        lines=split.lines,
        is_patched=is_patched,
    )


def _front(file: str, split: SplitLetter, problems: list[Problem]) -> FrontMatter:
    values = dict(split.values)
    if "follows" in values:
        values.setdefault("subject", FOLLOW_UP_SUBJECT)
    elif "where" in values:
        what = "where in the front matter is for a letter that follows another"
        hint = "Write follows: and the other letter's name, or remove the key"
        problems.append(Problem(file, split.lines["where"], what, hint))

    def line_of(path: kinds.KeyPath) -> int:
        return split.lines.get(str(path[0]), 1)

    faults = kinds.Faults(FrontMatter, file, line_of, lambda _: " in the front matter")
    front, found = kinds.read_on(FrontMatter, values, faults, {("subject",): "untitled"})
    problems.extend(found)
    return front


def _differences(letter: Letter) -> Iterator[Problem]:
    """What differs in a translation's front matter; only the subject may."""
    default = letter.default_text
    for text in letter.texts.values():
        for key in text.front.model_fields_set - {"subject"}:
            if getattr(text.front, key) != getattr(default.front, key):
                name = key.rstrip("_")
                what = f"{name} in the front matter differs from {default.file}"
                yield Problem(text.file, text.line_of(name), what, "Remove it here")


_FRONT_MATTER_LIMIT = 20_000  # characters: PyYAML is slow, and a front matter is a few lines
_BRACKETS_LIMIT = 200  # 5,000 of them in a row take PyYAML 5 s
_COMMENT = re.compile(r"[ \t]+(#[^\n]*)")
_TAB_HINT = "Write a blank in place of the tab"
_YAML_HINT = 'Write lines of key: value, and quote a value that has ": " or starts with a symbol'


def split_letter(text: str) -> SplitLetter:
    """The front matter and the body of a letter."""
    lines = text.split("\n")
    if lines[0].rstrip() != "---":
        hint = 'Start it with a line ---, then subject: "...", then a line ---'
        raise FrontMatterRefused(1, "has no front matter", hint)
    end = next((at for at, line in enumerate(lines) if at and line.rstrip() == "---"), None)
    if end is None:
        raise FrontMatterRefused(1, "the front matter does not end", "Put a line --- after it")
    values, keys = _mapping("\n".join(lines[1:end]))
    return SplitLetter(values, keys, "\n".join(lines[end + 1 :]), end + 2)


def _mapping(text: str) -> tuple[dict[str, Any], dict[str, int]]:
    if len(text) > _FRONT_MATTER_LIMIT:
        what = f"the front matter is longer than {_FRONT_MATTER_LIMIT:,} characters"
        raise FrontMatterRefused(1, what, "Shorten it")
    if text.count("[") + text.count("{") > _BRACKETS_LIMIT:
        raise FrontMatterRefused(1, "the front matter has too many brackets", "Remove some")
    try:
        _refuse_unquoted(text)
        loader = yaml.BaseLoader(text)
        node = loader.get_single_node()
        lines = _key_lines(node)
        return loader.construct_document(node) if lines else {}, lines
    except yaml.MarkedYAMLError as why:
        mark = why.problem_mark or why.context_mark
        line = mark.line + 2 if mark else 1
        reason = " ".join(str(why.problem or why.context).split())
        value = text.split("\n")[max(line - 2, 0)].partition(":")[2].strip()
        hint = curly_hint(value, value[:1]) or (_TAB_HINT if "'\\t'" in reason else _YAML_HINT)
        raise FrontMatterRefused(line, f"this is not YAML: {reason}", hint) from None
    except yaml.reader.ReaderError as why:
        line = text.count("\n", 0, why.position) + 2
        what = f"contains the invisible character U+{why.character:04X}"
        raise FrontMatterRefused(line, what, "Retype the line") from None
    except (RecursionError, ValueError, OverflowError):
        raise FrontMatterRefused(1, "this is not YAML", _YAML_HINT) from None


def _refuse_unquoted(text: str) -> None:
    """Refuse aliases, values that a comment cuts off, and curly quotation marks around one."""
    for token in yaml.scan(text, Loader=yaml.BaseLoader):
        line = token.end_mark.line + 2
        if isinstance(token, yaml.AnchorToken | yaml.AliasToken):
            hint = "Put a value that starts with & or * in quotes"
            raise FrontMatterRefused(line, "& and * are not used here", hint)
        is_plain = isinstance(token, yaml.ScalarToken) and token.plain
        value = text[token.start_mark.index : token.end_mark.index] if is_plain else ""
        if straight := curly_hint(value):
            what = f"the quotation marks of {value} are curly, and part of the value"
            raise FrontMatterRefused(line, what, straight)
        ends_early = is_plain or isinstance(token, yaml.ValueToken | yaml.BlockEntryToken)
        if ends_early and (comment := _COMMENT.match(text, token.end_mark.index)):
            what = f"{quoted(comment[1])} is a comment in YAML, and not part of the value"
            raise FrontMatterRefused(line, what, _quoted_value(text.split("\n")[line - 2]))


def _quoted_value(line: str) -> str:
    key, _, value = line.strip().partition(" ")
    escaped = value.strip().replace("\\", "\\\\").replace('"', '\\"')
    form = "Put the value in quotes" if value.startswith("[") else f'Write {key} "{escaped}"'
    return f"{form}, or put the comment on a line of its own"


def _key_lines(node: yaml.Node | None) -> dict[str, int]:
    if node is None:
        return {}
    if not isinstance(node, yaml.MappingNode):
        raise FrontMatterRefused(
            node.start_mark.line + 2, "the front matter has no keys", _YAML_HINT
        )
    lines: dict[str, int] = {}
    for key, _ in node.value:
        line = key.start_mark.line + 2
        if not isinstance(key, yaml.ScalarNode):
            raise FrontMatterRefused(line, "this is not a key", _YAML_HINT)
        if key.value in lines:
            what = f"{quoted(key.value)} is also in line {lines[key.value]}"
            raise FrontMatterRefused(line, what, "Delete one of the two")
        lines[key.value] = line
    return lines


_DEMANDS_LIMIT = 1_000

_HEADING = re.compile(r" {0,3}##(?=[ \t]|$)")
_FENCE = re.compile(r" {0,3}(```|~~~)")
_ID = re.compile(r"\w[\w-]*")


@dataclass(frozen=True, slots=True)
class Demand:
    """One demand in one language."""

    number: int  # from 1
    id: str  # the same in every language, and in the answers to the demand
    title: str
    text: str  # Markdown, without the heading; may be empty
    line: int  # of the heading


def read_demands(
    root: Path, file: str, problems: list[Problem], *, is_default: bool
) -> tuple[Demand, ...]:
    """The demands of one language."""
    text = read_text(root, file, problems)
    if text is None:
        return ()
    problems.extend(obscured(file, enumerate(text.split("\n"), start=1)))
    drafts = list(_drafts(text))
    if len(drafts) > _DEMANDS_LIMIT + 1:  # one is before the first heading
        what = f"has {len(drafts) - 1:,} demands"
        problems.append(Problem(file, None, what, f"Write at most {_DEMANDS_LIMIT:,}"))
        return ()
    demands: list[Demand] = []
    for draft in drafts:
        faults = list(_draft_faults(draft, demands, is_default=is_default))
        for line, what, hint, mark in faults:
            problems.append(Problem(file, line, what, hint, mark=mark))
        if draft.line and not faults:
            body = "\n".join(draft.text).strip("\n")
            demands.append(Demand(len(demands) + 1, draft.identity, draft.title, body, draft.line))
    return tuple(demands)


def compare_demands(
    demands: Mapping[str, tuple[Demand, ...]], files: Mapping[str, str], problems: list[Problem]
) -> None:
    """Find languages whose demands are not those of the first language."""
    if not demands:
        return
    first = next(iter(demands))
    ids = [demand.id for demand in demands[first]]
    for language, translated in demands.items():
        for line, what, hint in _demand_differences(translated, ids, files[first]):
            problems.append(Problem(files[language], line, what, hint))


def _demand_differences(
    demands: tuple[Demand, ...], ids: list[str], file: str
) -> Iterator[tuple[int | None, str, str]]:
    known = {demand.id for demand in demands}
    for missing in ids:
        if missing not in known:
            yield None, f"the demand {quoted(missing)} of {file} is missing", "Translate it"
    for demand in demands:
        if demand.id not in ids:
            hint = nearest_hint(demand.id, ids, "Add it there, or delete it here")
            yield demand.line, f"{file} has no demand {quoted(demand.id)}", hint
    if known == set(ids):
        for demand, expected in zip(demands, ids, strict=True):
            if demand.id != expected:
                what = f"demand {demand.number} is {quoted(expected)} in {file}"
                yield demand.line, what, "Put the demands in the same order"
                return


@dataclass
class _Draft:
    """The text between two headings; before the first, line 0 and no title."""

    line: int = 0
    title: str = ""
    id: str | None = None
    text: list[str] = field(default_factory=list)

    @property
    def identity(self) -> str:
        """The id, made from the title if none is given."""
        return slug(self.title) if self.id is None else self.id


def _drafts(text: str) -> Iterator[_Draft]:
    draft, fence = _Draft(), ""
    for line, content in enumerate(text.split("\n"), start=1):
        if mark := _FENCE.match(content):
            if fence in ("", mark[1]):
                fence = "" if fence else mark[1]
        elif not fence and (heading := _HEADING.match(content)):
            yield draft
            draft = _Draft(line, *_title_and_id(content[heading.end() :].strip()))
            continue
        draft.text.append(content)
    yield draft


def _title_and_id(heading: str) -> tuple[str, str | None]:
    title, mark, identity = heading.rpartition("{#")
    if mark and identity.endswith("}"):
        return title.rstrip(), identity[:-1].strip()
    return heading, None


def _draft_faults(
    draft: _Draft, earlier: list[Demand], *, is_default: bool
) -> Iterator[tuple[int, str, str, str]]:
    """What is wrong with a draft: line, what, hint, and the part of the line that is meant."""
    for line, content in enumerate([draft.title, *draft.text], start=draft.line):
        if mark := _TAG.search(content):
            what = f"{quoted(mark.group())} starts a template, which a demand cannot have"
            yield line, what, "Write plain text", mark.group()
    if not draft.line:
        for line, content in enumerate(draft.text, start=1):
            # A heading for the whole file is fine; other text would be in no letter.
            if content.strip() and not re.match(r" {0,3}#(?:[ \t]|$)", content):
                hint = "Put it under a heading ## Title {#id}"
                yield line, "this text is not in a demand", hint, ""
                return
        return
    identity = draft.identity
    if not draft.title:
        yield draft.line, "this demand has no title", "Write one after the ##", ""
    elif draft.id is None and not is_default:
        hint = "Write {#...} after the title, with its id in the default language"
        yield draft.line, "this demand has no id", hint, ""
    elif not _ID.fullmatch(identity):
        what = f"{quoted(identity)} is not an id"
        yield draft.line, what, "Use letters, digits, - and _: {#stop-it}", identity
    elif twin := next((demand for demand in earlier if demand.id == identity), None):
        what = f"the id {quoted(identity)} is also used in line {twin.line}"
        yield draft.line, what, "Give each demand its own id", identity
