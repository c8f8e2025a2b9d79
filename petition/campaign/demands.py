"""The demands of a campaign: `## Title {#id}` and the text under it, one file a language."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from petition.campaign.names import nearest_hint, quoted, slug
from petition.campaign.text_file import obscured, read_text
from petition.errors import Problem

_LIMIT = 1_000

_HEADING = re.compile(r" {0,3}##(?=[ \t]|$)")
_FENCE = re.compile(r" {0,3}(```|~~~)")
_ID = re.compile(r"\w[\w-]*")
# What a template would take for its own; `{#` begins a comment there.
_TEMPLATE = re.compile(r"\{\{|\{%|\{#")


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
    if len(drafts) > _LIMIT + 1:  # one is before the first heading
        what = f"has {len(drafts) - 1:,} demands"
        problems.append(Problem(file, None, what, f"Write at most {_LIMIT:,}"))
        return ()
    demands: list[Demand] = []
    for draft in drafts:
        faults = list(_faults(draft, demands, is_default=is_default))
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
        for line, what, hint in _differences(translated, ids, files[first]):
            problems.append(Problem(files[language], line, what, hint))


def _differences(
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


def _faults(
    draft: _Draft, earlier: list[Demand], *, is_default: bool
) -> Iterator[tuple[int, str, str, str]]:
    """What is wrong with a draft: line, what, hint, and the part of the line that is meant."""
    for line, content in enumerate([draft.title, *draft.text], start=draft.line):
        if mark := _TEMPLATE.search(content):
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
