"""The words of a mailmerge template as those of a letter.

A plain template must come out as it was typed: what Markdown would take for its own is escaped,
and every line end stays one. A Markdown template stays Markdown, with the line breaks that
mailmerge makes of its line ends (`nl2br`).
"""

import re
from collections.abc import Iterator

from petition.errors import UsageError
from petition.merge.markdown import first_html, soft_line_ends
from petition.merge.tags import TAG, Marked, Role

_ANYWHERE = re.compile(r"[\\`*<&\[\]]|(?<![^\W_])_|_(?![^\W_])|!(?=\[)")
_AT_START = re.compile(r"(?:[#>+=|:~-]|(?<=\d)[.)])")
_NUMBER = re.compile(r"(\d{1,9})([.)])(?=\s|$)")
_LINK = re.compile(r"https?://[^\s<>\"'\\{}]*[^\s<>\"'\\{}.,;:!?)\]]")
_SIGNATURE = "-- "  # RFC 3676 4.3: its blank belongs to it
_BLANKS = {" ": "&#32;", "\t": "&#9;"}


def plain_as_markdown(marked: Marked) -> str:
    """A plain text in Markdown that comes out as it was typed.

    Args:
        marked: The text with its tags put aside.

    Returns:
        The text with the same marks.
    """
    lines = marked.text.split("\n")
    kinds = [_kind(line, marked) for line in lines]
    made = []
    for number, line in enumerate(lines):
        if kinds[number] != "text":
            made.append(line.strip())
            continue
        goes_on = number + 1 < len(lines) and kinds[number + 1] == "text"
        made.append(_escaped(line, marked) + ("\\" if goes_on else ""))
    return "\n".join(made).strip("\n") + "\n"


def markdown_as_markdown(marked: Marked) -> str:
    """A Markdown text of mailmerge, every line end of which is a line break.

    Args:
        marked: The text with its tags put aside.

    Raises:
        UsageError: It holds HTML.
    """
    if html := first_html(TAG.sub("x", marked.text)):
        what = f"HTML stands in the Markdown: {html.splitlines()[0][:60]}"
        raise UsageError(what, "Write it in Markdown; petition prints HTML as it was typed")
    soft = soft_line_ends(marked)
    lines = marked.text.split("\n")
    made = [f"{line.rstrip()}\\" if number in soft else line for number, line in enumerate(lines)]
    return "\n".join(made).strip("\n") + "\n"


def _kind(line: str, marked: Marked) -> str:
    solid = "".join(line.split())
    if not solid:
        return "blank"
    is_statement = all(TAG.match(char) and not _is_field(char, marked) for char in solid)
    return "statement" if is_statement else "text"


def _is_field(mark: str, marked: Marked) -> bool:
    return marked.tag(mark).role is Role.FIELD


def _escaped(line: str, marked: Marked) -> str:
    text = line.lstrip(" \t")
    indent = "".join(_BLANKS[char] for char in line[: len(line) - len(text)])
    made = "".join(_pieces(text.rstrip(" \t"), marked))
    if _AT_START.match(made):
        made = f"\\{made}"
    elif number := _NUMBER.match(made):
        made = f"{number[1]}\\{made[number.end(1) :]}"
    if line == _SIGNATURE:
        made += _BLANKS[" "]
    return indent + made


def _pieces(text: str, marked: Marked) -> Iterator[str]:
    end = 0
    for link in _LINK.finditer(text):
        yield _ANYWHERE.sub(r"\\\g<0>", text[end : link.start()])
        yield f"<{link[0]}>" if _is_whole(link[0], marked) else _ANYWHERE.sub(r"\\\g<0>", link[0])
        end = link.end()
    yield _ANYWHERE.sub(r"\\\g<0>", text[end:])


def _is_whole(link: str, marked: Marked) -> bool:
    """Whether a link leads to a host that the letter itself names, whatever the fields hold."""
    host = re.split(r"[/?#]", link.partition("://")[2])[0]
    marks = TAG.findall(link)
    return bool(host) and not TAG.search(host) and all(_is_field(mark, marked) for mark in marks)
