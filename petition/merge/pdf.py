"""A copy as a PDF, typeset by typst.

The PDF is made from the merged HTML, in which every field is escaped text: it cannot say anything
else than the email.

The layout (`letter.typ`) gets the letter as data and can read nothing but its pictures. The bytes
are always the same: the document's date is the letter's, and the fonts are those that typst brings.
"""

import json
import re
import shutil
import tempfile
import unicodedata
import weakref
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from functools import cache
from html.parser import HTMLParser
from importlib.util import find_spec
from itertools import groupby, pairwise
from pathlib import Path
from typing import Any, TypeAlias

from babel.dates import format_date

from petition.campaign.names import quoted
from petition.campaign.people import Person
from petition.campaign.text_file import packaged
from petition.errors import MergeHindered, MergeRefused, Problem
from petition.extras import how_to_install
from petition.merge.document import Frozen
from petition.merge.fill import LoadedText
from petition.merge.mime_parts import content_id
from petition.template.fields import locale_of

# As JSON has it: {"tag": "p", "inner": [...]} with the attributes that matter beside them.
Element: TypeAlias = dict[str, Any]
Inner: TypeAlias = str | Element

_HINT = "Attach a PDF made by another program"

# PDF/UA-1 (ISO 14289-1): a document that can be read aloud. It also makes a character that no font
# has an error, and not an empty box.
_STANDARD = "ua-1"

_HEADINGS = frozenset({"h1", "h2", "h3", "h4", "h5", "h6"})
# A salutation: a short paragraph near the beginning that ends with one of these.
_SALUTATION = re.compile(r".{1,80}[,!:،，！：]", re.DOTALL)
_HEAD_LENGTH = 4
_DATELINE_LENGTH = 80

# What typst lays out in some seconds and 300 MB: elements of a letter, and those of one paragraph
# that change the font.
_ELEMENT_LIMIT = 30_000
_STYLED_LIMIT = 2_000

# The first words of Unicode's names for letters.
_SCRIPTS = {"CJK": "Chinese", "HANGUL": "Korean", "HIRAGANA": "Japanese", "KATAKANA": "Japanese"}
_NO_SCRIPTS = {
    "COMBINING",
    "CYRILLIC",
    "FULLWIDTH",
    "GREEK",
    "HALFWIDTH",
    "LATIN",
    "MATHEMATICAL",
    "MODIFIER",
}

_UNSEEN = re.compile(r'the text `"(.+?)"` could not be displayed')


def can_typeset() -> bool:
    """Whether typst is installed."""
    return find_spec("typst") is not None


def missing_typst(file: str, line: int | None) -> Problem:
    """The problem of a letter that needs typst, if that is not installed."""
    what = "a letter as a PDF needs typst, which is missing"
    return Problem(file, line, what, how_to_install("pdf"))


@cache
def layout() -> str:
    """The present layout of letters."""
    return packaged("merge/letter.typ")


class Typesetter:
    """Makes the PDFs of one frozen letter; for one thread.

    `source` is the layout; `place` the file and line that ask for a PDF, for messages.
    """

    def __init__(self, frozen: Frozen, source: str, place: tuple[str, int | None]) -> None:
        self._frozen = frozen
        self._source = source.encode()
        self._place = place
        self._compiler: Any = None
        self._folder = Path()

    def document(self, person: Person, loaded: LoadedText) -> bytes:
        """One person's PDF; MergeRefused if it cannot be made, or typst is not installed."""
        content = json.dumps(self._content(person, loaded), ensure_ascii=False)
        compiler = self._ready()
        today = self._frozen.today
        try:
            made = compiler.compile(
                self._source,
                format="pdf",
                sys_inputs={"letter": content},
                pdf_standards=_STANDARD,
                timestamp=datetime(today.year, today.month, today.day, tzinfo=UTC),
            )
        except (RuntimeError, ValueError) as fault:  # typst raises the first
            raise self._refused(person, str(fault)) from None
        return bytes(made)

    def _content(self, person: Person, loaded: LoadedText) -> dict[str, Any]:
        frozen, today = self._frozen, self._frozen.today
        language = loaded.language
        locale = locale_of(language)
        blocks = [_ready_for_layout(block) for block in read_page(loaded.html(person))]
        if _is_too_large(blocks):
            what = "the letter has too many elements to be typeset as a PDF"
            raise MergeRefused(Problem(*self._place, what, _HINT))
        _step_headings(blocks)
        day = format_date(today, "long", locale=locale)
        dateline, head, body = _parted(blocks, day)
        reply_to = frozen.sender_reply_to or frozen.sender
        return {
            "language": language.partition("-")[0],
            "direction": locale.text_direction,
            "sender": frozen.sender.display_name or frozen.sender.addr_spec,
            "address": reply_to.addr_spec,
            "subject": loaded.subject_for(person),
            "day": [today.year, today.month, today.day],
            "dateline": dateline or day,
            "addressee": "" if head else person.mailbox.display_name,
            "head": head,
            "body": body,
        }

    def _ready(self) -> Any:  # noqa: ANN401 (typst may be missing)
        if self._compiler is None:
            if not can_typeset():
                raise MergeHindered(missing_typst(*self._place))
            import typst  # noqa: PLC0415 (an extra, and 80 MB)

            self._folder = Path(tempfile.mkdtemp(prefix="petition-"))
            weakref.finalize(self, shutil.rmtree, self._folder, ignore_errors=True)
            for language in self._frozen.languages:
                for one in self._frozen.pictures(language):
                    data = self._frozen.content(one["sha256"])
                    (self._folder / content_id(one["sha256"])).write_bytes(data)
            self._compiler = typst.Compiler(root=self._folder, ignore_system_fonts=True)
        return self._compiler

    def _refused(self, person: Person, why: str) -> MergeRefused:
        if unseen := _UNSEEN.search(why):
            char = unseen[1]
            script = _script_of(char[0])
            lacks = f"the {script} script, as in" if script else "the character"
            what = f"the PDF has no font for {lacks} {quoted(char)}"
            hint = "Delete it, or attach a PDF made by another program"
            is_of_row = any(
                char in cell for cell in (person.mailbox.display_name, *person.fields.values())
            )
            place = (person.file, person.line) if is_of_row else self._place
            return MergeRefused(Problem(*place, what, hint))
        what = f"the letter cannot be typeset for {person.mailbox.addr_spec}: {why}"
        return MergeRefused(Problem(*self._place, what.rstrip("."), _HINT))


def draw(source: str, content: Mapping[str, Any]) -> bytes | None:
    """A picture as PNG of 144 pixels an inch; None if it has a character that no font has.

    Args:
        source: Its layout, which gets `content` as typst's input "content".
        content: As JSON has it.
    """
    import typst  # noqa: PLC0415 (an extra, and 80 MB)

    with tempfile.TemporaryDirectory(prefix="petition-") as folder:
        compiler: Any = typst.Compiler(root=folder, ignore_system_fonts=True)
        inputs = {"content": json.dumps(content, ensure_ascii=False)}
        try:  # that a character cannot be shown is an error in this standard alone
            compiler.compile(
                source.encode(), format="pdf", sys_inputs=inputs, pdf_standards=_STANDARD
            )
        except (RuntimeError, ValueError):
            return None
        made = compiler.compile(source.encode(), format="png", sys_inputs=inputs, ppi=144.0)
    return bytes(made if isinstance(made, bytes) else made[0])


def _script_of(char: str) -> str:
    """The script that a letter belongs to; "" for other characters, and letters of ours."""
    first, *rest = unicodedata.name(char, "").split()[:2]
    if not unicodedata.category(char).startswith(("L", "M")) or first in _NO_SCRIPTS or not rest:
        return ""
    return _SCRIPTS.get(first, first.title())


def _is_too_large(blocks: list[Element]) -> bool:
    elements, waiting = 0, [*blocks]
    while waiting:
        inner = [one for one in waiting.pop()["inner"] if isinstance(one, dict)]
        elements += 1
        styled = sum(one["tag"] in _STYLED for one in inner)
        if styled > _STYLED_LIMIT or elements > _ELEMENT_LIMIT:
            return True
        waiting += inner
    return False


def _parted(blocks: list[Element], day: str) -> tuple[str, list[Element], list[Element]]:
    """A letter's own dateline, the blocks above its salutation, and the rest."""
    dateline = ""
    words = words_of(blocks[0]) if blocks and blocks[0]["tag"] == "p" else ""
    if " ".join(day.split()) in words and len(words) <= _DATELINE_LENGTH:
        dateline, blocks = words, blocks[1:]
    for number, block in enumerate(blocks[:_HEAD_LENGTH]):
        if block["tag"] != "p":
            break
        if _SALUTATION.fullmatch(words_of(block)):
            return dateline, blocks[:number], blocks[number:]
    return dateline, [], blocks


def _ready_for_layout(element: Element) -> Element:
    inner = (one if isinstance(one, str) else _ready_for_layout(one) for one in element["inner"])
    ready: Element = {**element, "inner": list(inner)}
    tag = element["tag"]
    if tag in _HEADINGS:
        ready |= {"tag": "heading", "level": int(tag[1:])}
    elif tag == "img":
        ready |= {"file": "/" + str(element.get("src", "")).removeprefix("cid:")}
        ready["alt"] = str(element.get("alt", ""))
    elif tag == "code":
        ready["words"] = words_of(element)
    elif tag == "a":
        target, words = str(element.get("href", "")), words_of(element)
        bare = re.sub(r"^(?:https?://|mailto:)", "", target)
        shorter = {bare, bare.rstrip("/"), bare.removeprefix("www.").rstrip("/")}
        ready["spelt"] = words in {target, *shorter}
    return ready


def _step_headings(blocks: Sequence[Element]) -> None:
    """Let headings go down one level at a time, below the subject (ISO 14289-1 7.4.2)."""
    level = 1
    for block in blocks:
        if block["tag"] == "heading":
            level = min(block["level"] + 1, level + 1)
            block["level"] = level


_LETTER = "letter"  # the class of the element that holds the letter

_KEPT = ("class", "href", "src", "alt", "start", "width")
_VOID = frozenset({"br", "hr", "img", "meta", "link"})
_STYLED = frozenset({"a", "code", "em", "strong"})
_INLINE = _STYLED | {"br"}
_HOLD_BLOCKS = frozenset({"blockquote", "li"})
_HOLD_ELEMENTS = frozenset({"ul", "ol", "table", "thead", "tbody", "tr"})
_BLANKS = re.compile(r"[ \t\r\n]+")
_ALIGN = re.compile(r"text-align:\s*(left|center|right)")


def read_page(page: str) -> list[Element]:
    """The blocks of a letter's page."""
    reader = _Reader()
    reader.feed(page)
    reader.close()
    return _blocks(reader.letter["inner"])


def words_of(inner: Inner) -> str:
    """The words of an element in one line."""
    if isinstance(inner, str):
        return inner
    return " ".join("".join(words_of(one) for one in inner["inner"]).split())


class _Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.letter: Element = {"tag": "div", "inner": []}
        self._open: list[Element] = [{"tag": "", "inner": []}]

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        element: Element = {"tag": tag, "inner": []}
        element |= {name: given[name] for name in _KEPT if given.get(name)}
        if tag in {"td", "th"} and (found := _ALIGN.search(given.get("style", ""))):
            element["align"] = found[1]
        self._open[-1]["inner"].append(element)
        if tag == "div" and given.get("class") == _LETTER:
            self.letter = element
        if tag not in _VOID:
            self._open.append(element)

    def handle_endtag(self, tag: str) -> None:
        if any(one["tag"] == tag for one in self._open[1:]):
            while self._open.pop()["tag"] != tag:
                pass

    def handle_data(self, data: str) -> None:
        self._open[-1]["inner"].append(data)


def _blocks(inner: list[Inner]) -> list[Element]:
    """Only blocks: lines of text among them become blocks as well."""
    blocks: list[Element] = []
    for is_line, run in groupby(inner, _is_inline):
        if is_line:
            blocks += _paragraphs({"tag": "line", "inner": list(run)})
        else:
            blocks += [block for one in run if isinstance(one, dict) for block in _block(one)]
    return blocks


def _is_inline(inner: Inner) -> bool:
    return isinstance(inner, str) or inner["tag"] in _INLINE


def _block(element: Element) -> Iterator[Element]:
    tag = element["tag"]
    if tag == "div":
        yield from _blocks(element["inner"])
    elif tag in _HOLD_BLOCKS:
        yield {**element, "inner": _blocks(element["inner"])}
    elif tag in _HOLD_ELEMENTS:
        held = [one for one in element["inner"] if isinstance(one, dict)]
        yield {**element, "inner": [block for one in held for block in _block(one)]}
    elif tag == "pre":
        yield {**element, "inner": ["".join(_raw(element)).rstrip("\n")]}
    elif tag in {"th", "td"}:
        yield {**element, "inner": _line(element["inner"])}
    elif tag in {"hr", "img"}:
        yield element
    else:
        yield from _paragraphs(element)


def _paragraphs(element: Element) -> Iterator[Element]:
    """A paragraph, cut at its pictures: these stand between lines and not in them."""
    for is_picture, run in groupby(element["inner"], _is_picture):
        if is_picture:
            yield from (one for one in run if isinstance(one, dict))
        elif line := _line(list(run)):
            yield {**element, "inner": line}


def _is_picture(inner: Inner) -> bool:
    return isinstance(inner, dict) and inner["tag"] == "img"


def _raw(element: Element) -> Iterator[str]:
    for one in element["inner"]:
        if isinstance(one, str):
            yield one
        elif one["tag"] == "br":
            yield "\n"
        else:
            yield from _raw(one)


def _line(inner: list[Inner]) -> list[Inner]:
    """Inline elements with single blanks, and none at the ends of a line."""
    line = _collapsed(inner)
    for before, after in pairwise(range(len(line))):
        here, text = line[before], line[after]
        if isinstance(here, dict) and here["tag"] == "br" and isinstance(text, str):
            line[after] = text.lstrip(" ")
    for end, strip in ((0, str.lstrip), (-1, str.rstrip)):
        if line and isinstance(line[end], str):
            line[end] = strip(line[end], " ")  # type: ignore[arg-type]
    return [one for one in line if one != ""]


def _collapsed(inner: list[Inner]) -> list[Inner]:
    return [
        _BLANKS.sub(" ", one)
        if isinstance(one, str)
        else {**one, "inner": _collapsed(one["inner"])}
        for one in inner
    ]
