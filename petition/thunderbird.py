"""Takes over a draft of Thunderbird's add-on Mail Merge, with the list that it is filled from.

The draft is an .eml file, in HTML or as text. Its variables, `{{First Name}}`, become merge fields;
HTML becomes Markdown, and what Markdown cannot say is refused by name. The list is copied as it is.
"""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from email import message_from_bytes
from email.message import Message
from email.utils import getaddresses
from html.parser import HTMLParser
from itertools import groupby
from pathlib import Path, PurePosixPath
from urllib.parse import quote

from petition.campaign.names import nearest_hint, quoted
from petition.campaign.tables import ALIASES, Table, open_table
from petition.checks.campaign import in_order
from petition.errors import CampaignError, Problem
from petition.foreign_letter import (
    ForeignTemplate,
    as_yaml_or_toml,
    escape,
    escape_start,
    plain_as_markdown,
    written_out,
)
from petition.mail_parser import BYTES, decoded_header, decoded_text

LETTER = "letter"
_VARIABLE = re.compile(r"\{\{([^{}]*)\}\}")
_TO = re.compile(r'(?:(?:"[^"]*"|[^",<>@]*)\s*<([^<>]*)>|([^<>]*))\s*')
# A brace at the end of a text could begin a tag with what follows: a field, or the next element.
_BRACE = re.compile(r"\{(?=[%#]|\Z)")
_NOT_IN_AUTOLINK = re.compile(r"[\s<>{}]")
# Beside a variable, what would end the address of a link in Markdown, or be read as an entity.
_IN_ADDRESS = re.compile(rf"{_VARIABLE.pattern}|[\s<>()\[\]\\\"`]|&(?=#?\w+;)")
# What Mail Merge can compare besides equality; a letter writes it as a condition.
_OPERATORS = frozenset({"*", "^", "$", "==", "!=", ">", ">=", "<", "<=", "#"})
_TEXTS = ("text/html", "text/plain")
_MARKDOWN_HINT = "Take it out of the draft, or write that part in the new letter by hand"


def files_of_draft(draft: Path, people: Path) -> tuple[dict[str, bytes], list[str]]:
    """The files of the new folder, and notes on them for a person.

    CampaignError if the draft or the list cannot be read, or the draft needs what petition cannot
    do: all of it, and nothing is left out silently.
    """
    try:
        return _Reading(draft, people).files()
    except RecursionError:
        what, hint = "is nested too deeply for a draft", "Save it anew in Thunderbird"
        raise CampaignError([Problem(str(draft), None, what, hint)]) from None


class _Reading:
    def __init__(self, draft: Path, people: Path) -> None:
        self._draft = draft
        self._people = people
        self._problems: list[Problem] = []
        self._notes: list[str] = []
        self._headings: dict[str, str] = {}  # what the draft may call a column: its name
        self._empty: set[str] = set()  # columns with an empty cell

    def files(self) -> tuple[dict[str, bytes], list[str]]:
        table, mail = self._read_list(), self._read_draft()
        self._stop_if_wrong()
        if not (table and mail):  # for the type checker: there was a problem
            raise AssertionError
        self._judge_recipient(mail, table)
        front = [f"subject: {as_yaml_or_toml(self._line(_header(mail, 'Subject')))}"]
        copies = {name: self._copies(mail, name) for name in ("cc", "bcc")}
        front += [f"{name}: {as_yaml_or_toml(found)}" for name, found in copies.items() if found]
        attached: dict[str, bytes] = {}
        for name, content in self._attachments(mail):
            if name.casefold() in map(str.casefold, attached):
                what = f"two attachments are called {quoted(PurePosixPath(name).name)}"
                self._complain(self._draft, what, "Rename one of them")
            attached[name] = content
        if attached:
            front.append(f"attachments: {as_yaml_or_toml(list(attached))}")
        body = self._body(mail)
        settings = self._settings(mail)
        self._stop_if_wrong()
        letter = "\n".join(["---", *front, "---", body])
        made = {"petition.toml": settings.encode(), f"letters/{LETTER}.md": letter.encode()}
        file = self._people.with_name(self._people.name.partition("#")[0])  # not its sheet
        return made | {file.name: file.read_bytes()} | attached, self._notes

    def _complain(self, file: Path, what: str, hint: str) -> None:
        problem = Problem(str(file), None, what, hint)
        if problem not in self._problems:
            self._problems.append(problem)

    def _stop_if_wrong(self) -> None:
        if any(one.is_error for one in self._problems):
            raise CampaignError(in_order([one for one in self._problems if one.is_error]))

    # ---- what is read

    def _read_list(self) -> Table | None:
        found: list[Problem] = []
        table = open_table(self._people.parent, self._people.name, found)
        self._problems += found
        if not table:
            return None
        for heading, name in zip(table.headings, table.columns, strict=True):
            self._headings.setdefault(heading.casefold(), name)
            self._headings.setdefault(name, name)
        for row in table.rows():
            self._empty |= {name for name, cell in row.cells.items() if not cell}
        return table

    def _read_draft(self) -> Message | None:
        try:
            with self._draft.open("rb") as file:
                data = file.read(BYTES + 1)
        except OSError as fault:
            what = f"cannot be read: {fault.strerror}"
            self._complain(self._draft, what, "Save the draft as a file in Thunderbird")
            return None
        mail = message_from_bytes(data)
        if len(data) > BYTES or not mail["To"]:
            what = "is not a draft" if len(data) <= BYTES else "is larger than 25 MB"
            hint = "In Thunderbird open the draft, and save it as a file (.eml); it needs a To"
            self._complain(self._draft, what, hint)
            return None
        return mail

    def _judge_recipient(self, mail: Message, table: Table) -> None:
        to = ", ".join(_decoded(text) for text in mail.get_all("To", []))
        address = _TO.fullmatch(to)
        text = (address[1] or address[2] or "") if address else ""
        found = _VARIABLE.fullmatch(text.strip().strip('"'))
        if not found:
            what = f"To is {quoted(to)}, not the address of each row"
            hint = "Write the variable of the column with the addresses, such as {{email}}"
            self._complain(self._draft, what, hint)
            return
        column = self._column(found[1])
        if column and column not in {"email", *ALIASES["email"]}:
            heading = table.headings[table.columns.index(column)]
            what = f"the column {quoted(heading)} is not known as that of the addresses"
            self._complain(self._people, what, "Rename it to email, in the list and in the draft")

    def _copies(self, mail: Message, name: str) -> list[str]:
        text = ", ".join(_decoded(text) for text in mail.get_all(name, []))
        if not text:
            return []
        parts = [_VARIABLE.fullmatch(part.strip()) for part in text.split(",")]
        if name == "cc" and all(parts):
            return [self._line(part.strip()) for part in text.split(",")]
        if _VARIABLE.search(text):
            what = f"{name.capitalize()} differs from row to row"
            hint = "Keep fixed addresses there, or variables alone in Cc"
            self._complain(self._draft, what, hint)
            return []
        return [address for _, address in getaddresses([text]) if address]

    def _attachments(self, mail: Message) -> Iterator[tuple[str, bytes]]:
        for part in _own_parts(mail):
            name = _decoded(part.get_filename() or "")
            if part.get_content_maintype() == "message":
                what = f"another mail is attached: {quoted(name or 'a forwarded one')}"
                self._complain(self._draft, what, "Attach it as a PDF, or take it out of the draft")
                continue
            if not name:
                if not part.is_multipart() and part.get_content_type() not in _TEXTS:
                    what = f"there is a part without a name: {quoted(part.get_content_type())}"
                    self._complain(self._draft, what, "Attach it as a file, or take it out")
                continue
            if part["Content-ID"] and part.get_content_maintype() == "image":
                what = f"the picture {quoted(name)} stands in the text"
                self._complain(self._draft, what, _MARKDOWN_HINT)
                continue
            safe = re.sub(r"[^\w.() -]", "_", PurePosixPath(name.replace("\\", "/")).name)
            content = part.get_payload(decode=True)
            yield f"annex/{safe.strip('. ') or 'attachment'}", bytes(content or b"")

    def _body(self, mail: Message) -> str:
        parts = [part for part in _own_parts(mail) if not part.get_filename()]
        for kind in _TEXTS:
            if sum(part.get_content_type() == kind for part in parts) > 1:
                hint = "Put all of it into one; in Thunderbird write the draft anew"
                self._complain(self._draft, "there is more than one text", hint)
        for part in parts:
            if part.get_content_type() == "text/html":
                return self._of_html(_text(part))
        for part in parts:
            if part.get_content_type() == "text/plain":
                text = _text(part)
                if str(part.get_param("format", "")).lower() == "flowed":
                    kept = re.sub(r"(?m)^-- $", "\0", text)  # not a line that goes on
                    text = re.sub(r"(?<= )\n", "", kept).replace("\0", "-- ")
                return self._of_text(text)
        self._complain(self._draft, "has no text", "Write the letter in the draft")
        return ""

    def _settings(self, mail: Message) -> str:
        sender = _header(mail, "From")
        if len(getaddresses([sender])) != 1 or "@" not in sender:
            self._complain(self._draft, "From is not one address", "Choose a sender in the draft")
        answers = _header(mail, "Reply-To") or sender
        self._notes.append("Name the mail server: petition provider NAME, or [smtp] by hand.")
        return "\n".join(
            [
                "[campaign]",
                f"title = {as_yaml_or_toml(self._draft.stem)}",
                "",
                "[sender]",
                f"from = {as_yaml_or_toml(sender)}",
                f"reply_to = {as_yaml_or_toml(answers)}",
                "",
                "[people]",
                f"recipients = {as_yaml_or_toml(self._people.name)}",
                "",
            ]
        )

    # ---- variables

    def _column(self, name: str) -> str:
        name = " ".join(name.split())
        if column := self._headings.get(name.casefold()):
            return column
        hint = nearest_hint(name, self._headings, f"Its columns are {', '.join(self._headings)}")
        self._complain(self._draft, f"the list has no column {quoted(name)}", hint)
        return ""

    def field(self, variable: str) -> str:
        """A variable of Mail Merge, without its braces, as a merge field."""
        name, *rest = variable.replace("\xa0", " ").split("|")
        column = f"recipient.{self._column(name)}"
        if not rest:
            empty = ' or ""' if column.removeprefix("recipient.") in self._empty else ""
            return f"{{{{ {column}{empty} }}}}"
        if len(rest) in {2, 3} and rest[0].strip() not in _OPERATORS:
            asked, then, otherwise = map(json.dumps, [*rest, ""][:3])
            return f"{{{{ {then} if {column} == {asked} else {otherwise} }}}}"
        what = f"{{{{{variable}}}}} compares in a way that is not taken over"
        self._complain(self._draft, what, "Write the condition in the new letter by hand")
        return ""

    def source(self, text: str) -> str:
        """A text with variables as a template: nothing else in it is one."""
        made, end = "", 0
        for found in _VARIABLE.finditer(text):
            made += self.literal(text[end : found.start()]) + self.field(found[1])
            end = found.end()
        return made + self.literal(text[end:])

    def literal(self, text: str) -> str:
        """A text without variables, in which nothing is a tag."""
        if "{{" in text:
            what = f"there is a variable that does not end: {quoted(text[text.index('{{') :][:40])}"
            self._complain(self._draft, what, "Write it anew, in one piece and in one format")
        return _BRACE.sub('{{ "{" }}', text)

    def _line(self, text: str) -> str:
        return self.source(" ".join(text.split()))

    def _of_text(self, text: str) -> str:
        marked = ForeignTemplate(self.source(text)).marked()
        return written_out(plain_as_markdown(marked), marked, {}, ())

    def _of_html(self, markup: str) -> str:
        page = _Page(self)
        page.feed(markup)
        page.close()
        for tag in page.refused:
            what = f"there is a <{tag}> in the draft, which a letter in Markdown cannot have"
            self._complain(self._draft, what, _MARKDOWN_HINT)
        return page.as_markdown()


def _own_parts(mail: Message) -> Iterator[Message]:
    """A mail and its parts, without those of mails within it."""
    yield mail
    if mail.is_multipart() and mail.get_content_maintype() != "message":
        for part in mail.get_payload():
            if isinstance(part, Message):
                yield from _own_parts(part)


def _decoded(value: str) -> str:
    return decoded_header(" ".join(str(value).split()))


def _header(mail: Message, name: str) -> str:
    return _decoded(mail[name] or "")


def _text(part: Message) -> str:
    content = part.get_payload(decode=True)
    charset = part.get_content_charset() or "utf-8"
    return decoded_text(bytes(content or b""), charset).replace("\r\n", "\n")


_BLOCKS = frozenset(
    {
        "address", "article", "body", "center", "div", "dd", "dl", "dt", "footer", "header", "html",
        "main", "p", "pre", "section",
    }
)  # fmt: skip
_HEADINGS = {f"h{level}": f"{'#' * level} " for level in range(1, 7)}
_NESTED = frozenset({"ul", "ol", "blockquote"})
_SKIPPED = frozenset({"head", "script", "style", "title"})
_MARKS = {"b": "**", "strong": "**", "i": "*", "em": "*"}
_KEPT = frozenset(
    {  # their text is kept, and how it looks is not
        "abbr", "acronym", "big", "cite", "code", "del", "dfn", "font", "ins", "kbd", "label",
        "meta", "q", "s", "samp", "small", "span", "strike", "sub", "sup", "tt", "u", "var", "wbr",
    }
)  # fmt: skip
_BREAK = "\\\n"


_Run = tuple[str, str]  # a text in Markdown, and the marks of its emphasis


@dataclass
class _Around:
    """A list or a quotation that is being read."""

    kind: str
    number: int = 1  # of the next item
    indent: str = "  "  # of what belongs to an item


class _Page(HTMLParser):
    """The HTML of a draft, as Thunderbird writes it, on its way to Markdown."""

    def __init__(self, reading: _Reading) -> None:
        super().__init__(convert_charrefs=True)
        self.refused: dict[str, None] = {}
        self._reading = reading
        self._blocks: list[tuple[str, bool]] = []  # Markdown, and whether it is a list's next item
        self._line: list[_Run] = []  # of the block that is being read
        self._open: list[str] = []  # marks of emphasis
        self._around: list[_Around] = []
        self._lead = ""
        self._is_item = False
        self._link: list[str] | None = None
        self._skipping = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Begin a block, a mark or a link."""
        if tag in _SKIPPED:
            self._skipping += 1
        elif tag == "br":
            self._add(_BREAK)
        elif tag in _MARKS:
            self._open.append(_MARKS[tag])
        elif tag == "a":
            self._link = [dict(attrs).get("href") or ""]
        elif tag in _BLOCKS or tag in _HEADINGS or tag in _NESTED or tag in {"li", "hr"}:
            self._begin_block(tag)
        elif tag not in _KEPT:
            self.refused[tag] = None

    def _begin_block(self, tag: str) -> None:
        self._end_block()
        if tag in _NESTED:
            self._around.append(_Around(tag))
        elif tag == "li":
            self._is_item = True
        elif tag == "hr":
            self._blocks.append((f"{self._margins()[0]}---", False))
        else:
            self._lead = _HEADINGS.get(tag, "")

    def handle_endtag(self, tag: str) -> None:
        """End a block, a mark or a link."""
        if tag in _SKIPPED:
            self._skipping = max(0, self._skipping - 1)
        elif tag in _MARKS and _MARKS[tag] in self._open:
            self._open.remove(_MARKS[tag])
        elif tag == "a" and self._link is not None:
            self._end_link(self._link)
        elif tag in _NESTED:
            self._end_block()
            if self._around:
                self._around.pop()
        elif tag in _BLOCKS or tag in _HEADINGS or tag == "li":
            self._end_block()

    def handle_data(self, data: str) -> None:
        """Keep what a person reads."""
        if self._skipping:
            return
        text = re.sub(r"\s+", " ", data)
        if self._link is not None:
            self._link.append(text)
            return
        for piece in self._pieces(text):
            self._add(piece)

    def _pieces(self, text: str) -> Iterator[str]:
        """A text in Markdown: its fields, and what is between them."""
        end = 0
        for found in _VARIABLE.finditer(text):
            yield escape(self._reading.literal(text[end : found.start()]))
            yield self._reading.field(found[1])
            end = found.end()
        yield escape(self._reading.literal(text[end:]))

    def _add(self, text: str) -> None:
        if text:
            self._line.append((text, "".join(sorted(set(self._open), reverse=True))))

    def _end_link(self, link: list[str]) -> None:
        target, words = link[0].strip(), "".join(link[1:]).strip()
        self._link = None
        if not target or not words:
            self.handle_data(words)
        elif not re.match(r"(?:https?|mailto|tel):", target):
            self.refused[f'a href="{target[:40]}"'] = None
        elif words in {target, target.removeprefix("mailto:")} and not (
            _NOT_IN_AUTOLINK.search(target)
        ):
            self._add(f"<{words}>")
        else:
            address = self._reading.source(_IN_ADDRESS.sub(_as_in_address, target))
            self._add(f"[{''.join(self._pieces(words))}]({address})")

    def _end_block(self) -> None:
        runs, self._line = self._line, []
        lead, self._lead = self._lead, ""
        for lines in _paragraphs(runs):
            begun = [r"\--&#32;" if line == "--" else escape_start(line) for line in lines]
            first, indent = self._margins()
            self._blocks.append((first + lead + f"{_BREAK}{indent}".join(begun), self._is_item))
            self._is_item, lead = False, ""

    def _margins(self) -> tuple[str, str]:
        """What stands before the first line of a paragraph, and before the others."""
        outer = "".join(
            "> " if one.kind == "blockquote" else one.indent for one in self._around[:-1]
        )
        if not self._around:
            return "", ""
        around = self._around[-1]
        if around.kind == "blockquote":
            return f"{outer}> ", f"{outer}> "
        if not self._is_item:
            return outer + around.indent, outer + around.indent
        marker = f"{around.number}. " if around.kind == "ol" else "- "
        around.number += 1
        around.indent = " " * len(marker)
        return outer + marker, outer + around.indent

    def as_markdown(self) -> str:
        """All of it."""
        self._end_block()
        made = ""
        for number, (block, is_item) in enumerate(self._blocks):
            follows_item = number and is_item and self._blocks[number - 1][1]
            made += ("\n" if follows_item else "\n\n") * bool(number) + block
        return made + "\n"


def _as_in_address(found: re.Match[str]) -> str:
    if found[0].startswith("{{"):
        return found[0]
    return "\\&" if found[0] == "&" else quote(found[0])


def _paragraphs(runs: list[_Run]) -> Iterator[list[str]]:
    """The lines of each paragraph of a block; two line breaks part them."""
    lines: list[list[_Run]] = [[]]
    for run in runs:
        if run[0] == _BREAK:
            lines.append([])
        else:
            lines[-1].append(run)
    shown = [_emphasised(line) for line in lines]
    for is_empty, paragraph in groupby(shown, lambda line: not line):
        if not is_empty:
            yield list(paragraph)


def _emphasised(runs: list[_Run]) -> str:
    """A line with marks of emphasis, where CommonMark would take them for that (its rule 6.2)."""
    pieces: list[_Run] = []
    for mark, alike in groupby(runs, lambda run: run[1]):
        text = re.sub(r"\s+", " ", "".join(run[0] for run in alike))
        inner = text.strip(" ")
        before, after = text[: len(text) - len(text.lstrip(" "))], text[len(text.rstrip(" ")) :]
        pieces += [(before, ""), (inner, mark), (after, "")] if inner else [(text, "")]
    pieces = [piece for piece in pieces if piece[0]]
    made, is_marked = "", False
    for number, (text, mark) in enumerate(pieces):
        follows = pieces[number + 1][0] if number + 1 < len(pieces) else ""
        opens = _begins_a_word(text) or not _ends_a_word(made)
        closes = _ends_a_word(text) or not _begins_a_word(follows)
        is_marked = bool(mark) and not is_marked and opens and closes
        made += f"{mark}{text}{mark}" if is_marked else text
    return re.sub(" {2,}", " ", made).strip(" ")


def _begins_a_word(text: str) -> bool:
    return text.startswith("{{") or text[:1].isalnum()  # a field is a letter to Markdown


def _ends_a_word(text: str) -> bool:
    return text.endswith("}}") or text[-1:].isalnum()
