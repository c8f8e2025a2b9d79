"""Quoted-printable, once for all copies (RFC 2045 6.7).

A template's own text is encoded when the template is read, and every value when it is printed. Each
of these pieces begins and ends at the beginning of an encoded line, so that they can be put
together in any order. No line is longer than 76 characters or begins with a dot: a letter never
needs dot-stuffing (RFC 5321 4.5.2).
"""

import re
from collections.abc import Sequence
from functools import lru_cache
from html import escape
from typing import NamedTuple

from jinja2 import nodes

from petition.merge.fields import Value, printed
from petition.merge.sandbox import LetterEnvironment

# So that with a dot at its beginning and a soft line break at its end a line has 76 at most.
_PIECE = 73
_LITERAL = {*range(33, 127), 9, 10, 32} - {ord("=")}
_TABLE = {byte: f"={byte:02X}" for byte in range(256) if byte not in _LITERAL}
_SOFT_END = "=\r\n"
_BLANK_AT_END = re.compile(r"[ \t]\Z")
_SHORT = re.compile(r"[!-\-/-<>-~](?:[ -<>-~]{0,72}[!-<>-~])?").fullmatch
_ONE_SHORT_IN_HTML = r"[!#-%(-\-/-;?-~](?:[ !#-%(-;?-~]{0,72}[!#-%(-;?-~])?"
_SHORT_IN_HTML = re.compile(_ONE_SHORT_IN_HTML).fullmatch
_ALL_SHORT_IN_HTML = re.compile(f"{_ONE_SHORT_IN_HTML}(?:\0{_ONE_SHORT_IN_HTML})*").fullmatch
_CACHED_LENGTH = 200

# Statements whose output goes through the template again, where encoded text would be taken for
# plain: letters that have them are encoded as a whole.
_CAPTURES: tuple[type[nodes.Node], ...] = (
    nodes.FilterBlock,
    nodes.AssignBlock,
    nodes.Macro,
    nodes.CallBlock,
    nodes.Block,
)


class Filled(NamedTuple):
    """A letter's words for one person; the text and the HTML in quoted-printable.

    Args:
        subject: The subject.
        text: The plain text, in pieces.
        html: The HTML, in pieces.
        is_whole: Whether both are known to be whole lines (`are_whole`).
    """

    subject: str
    text: Sequence[str]
    html: Sequence[str]
    is_whole: bool = False


def encode(text: str) -> str:
    r"""A text in quoted-printable with CRLF line ends, in one piece of whole lines.

    Args:
        text: Any text with \n line ends.

    Returns:
        Lines that each end with CRLF; a text without a line end at its end gets a soft one.
    """
    if not text:
        return ""
    *lines, last = text.encode().decode("latin-1").translate(_TABLE).split("\n")
    # A blank at a line's end is escaped; one at a piece's end stands before a soft line break.
    whole = [_folded(_BLANK_AT_END.sub(_escaped_blank, line)) for line in lines]
    return "\r\n".join([*whole, _folded(last) + _SOFT_END if last else ""])


def _escaped_blank(blank: re.Match[str]) -> str:
    return f"={ord(blank.group()):02X}"


def _folded(line: str) -> str:
    pieces = []
    start = 0
    while len(line) - start > _PIECE:
        end = start + _PIECE
        # An escape like =2E is not cut.
        cut = line.rfind("=", end - 2, end)
        end = cut if cut >= 0 else end
        pieces.append(_undotted(line[start:end]))
        start = end
    pieces.append(_undotted(line[start:]))
    return _SOFT_END.join(pieces)


def _undotted(line: str) -> str:
    return f"=2E{line[1:]}" if line.startswith(".") else line


@lru_cache(maxsize=4096)
def _encode_short(text: str) -> str:
    return encode(text)


def encode_value(text: str) -> str:
    """A value in quoted-printable: the same as `encode`, faster for what most values are."""
    if _SHORT(text):
        return text + _SOFT_END
    return _encode_short(text) if len(text) < _CACHED_LENGTH else encode(text)


def print_plain(value: Value) -> str:
    """A value as a piece of encoded plain text."""
    if type(value) is str and _SHORT(value):
        return value + _SOFT_END
    return encode_value(printed(value))


def print_html(value: Value) -> str:
    """A value as a piece of encoded HTML."""
    if type(value) is str and _SHORT_IN_HTML(value):
        return value + _SOFT_END
    return encode_value(escape(printed(value)))


def encode_values(texts: Sequence[str]) -> tuple[list[str], list[str]]:
    """Printed values as pieces of encoded plain text, and as pieces of encoded HTML.

    They are those of `print_plain` and `print_html`; of most rows one look tells that they are the
    same.
    """
    if _ALL_SHORT_IN_HTML("\0".join(texts)):  # no text that is printed holds a NUL
        pieces = [text + _SOFT_END for text in texts]
        return pieces, pieces
    return [encode_value(text) for text in texts], [encode_value(escape(text)) for text in texts]


# Lines that end with CRLF, hold no other CR or LF, and do not begin with a dot.
_LINES = r"(?:(?:[^.\r\n\0][^\r\n\0]*)?\r\n)*"
_PIECES_OF_LINES = re.compile(rf"{_LINES}(?:\0{_LINES})*").fullmatch
_LONG = 100


def are_whole(pieces: Sequence[str]) -> bool:
    """Whether each piece is whole lines, and none of these begins with a dot.

    If so, all of them together are as well, in any order: there is no bare CR or LF in them
    (SMTP smuggling) and no dot to stuff, and nobody needs to look the whole letter over again.
    What all copies have in common, which is most of a letter, is looked at once.

    Args:
        pieces: What a template that comes out encoded was filled with.
    """
    short = [piece for piece in pieces if len(piece) < _LONG]
    long = [piece for piece in pieces if len(piece) >= _LONG]
    return _PIECES_OF_LINES("\0".join(short)) is not None and all(map(_is_whole, long))


@lru_cache(maxsize=512)
def _is_whole(piece: str) -> bool:
    return "\0" not in piece and _PIECES_OF_LINES(piece) is not None


class SplicedEnvironment(LetterEnvironment):
    """An environment whose templates come out encoded."""

    def _parse(self, source: str, name: str | None, filename: str | None) -> nodes.Template:
        tree = super()._parse(source, name, filename)
        for data in tree.find_all(nodes.TemplateData):
            data.data = encode(data.data)
        return tree


def can_be_spliced(tree: nodes.Template) -> bool:
    """Whether a template's pieces come out in the order and form in which they were put in."""
    return not any(tree.find(capture) for capture in _CAPTURES)
