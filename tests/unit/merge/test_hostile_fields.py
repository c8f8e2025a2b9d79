"""Hostile fields, many thousand: what is read back is what was written, or the row is refused.

Headers are read by a strict decoder of this file's own, because the standard library's is lenient
where it matters, and puts blanks between encoded words of a name.
"""

import base64
import json
import quopri
import random
import re
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote

import pytest

from petition.errors import MergeRefused
from tests.unit.merge.letters import NOW, merger_of, parts_of, person_of

NAUGHTY = Path(__file__).parents[2] / "samples/naughty-strings/blns.json"
SEED = 28_092_015
GENERATED = 2_500

BODY = """\
Dear {{ recipient.salutation or "x" }},

see [the page](https://example.org/?q={{ recipient.page or "x" }}), **{{ recipient.title or "x" }}**
"""
SUBJECT = "{{ recipient.title or 'x' }}: a letter"
HEADERS = ["From", "To", "Subject", "Date", "Message-ID"]

_WORD = re.compile(r"=\?utf-8\?([bq])\?([!->@-~]*)\?=", re.IGNORECASE)
_ATOMS = re.compile(r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~. -]+")

# What hostile strings are made of.
PIECES = [
    *("\r", "\n", "\r\n", "\r\n\r\n", "\n.\n", "\r\n.\r\n", "\r.\r", "\n.\r\n", ".", "..", "\0"),
    *("\t", " ", "  ", "\x0b", "\x0c", "\x1b[2J", "\x7f", "\x85", "\u2028", "\u2029", "\xa0"),
    *("\u200b", "\u202e", "\u2066", "\ufeff", "\ufffd", "\ud800", "\U0001f600", "e\u0301", "ё"),
    *("=?UTF-8?Q?=0A?=", "=?utf-8?b?Cg==?=", "=?UTF-8?Q?a?= =?UTF-8?Q?b?=", "=?", "?=", "=0D=0A"),
    *("Bcc: evil@x.test", "MAIL FROM:<evil@x.test>", "DATA", "QUIT", "Content-Type: text/html"),
    *('"', "'", "\\", "<", ">", "&", "&lt;", "&#10;", "(", ")", ",", ";", ":", "@", "[", "]", "%"),
    *("<script>", "</a>", "<!--", "]]>", "javascript:", "{{ 1 }}", "{% x %}", "{#", "}}", "*", "_"),
    *("](https://evil.test)", "`", "# ", "--", "--=_", "=", "=3D", "%0d%0a", "#", "?", "/", "../"),
    *(
        "a",
        "Kim",
        "Ms ",
        "Жанна",
        "中文",
        "x" * 80,
        "слово " * 20,
        "1",
        "+",
        "~",
        "^",
        "|",
        "$HOME",
    ),
]


def generated() -> list[str]:
    pick = random.Random(SEED)
    return ["".join(pick.choices(PIECES, k=pick.randint(1, 12))) for _ in range(GENERATED)]


STRINGS = [*json.loads(NAUGHTY.read_text(encoding="ascii")), *generated()]
FEW = 515  # the strings that people collected; the others are generated


def decoded(words: str) -> str:
    """RFC 2047 6.2: blanks between encoded words are none; each word is whole characters."""
    text, blanks, was_encoded = "", "", False
    for piece in re.split(r"([ \t]+)", words):
        if not piece.strip(" \t"):
            blanks += piece
            continue
        found = _WORD.fullmatch(piece)
        if found:
            assert len(piece) <= 75
            kind, inner = found.groups()
            raw = inner.encode()
            raw = base64.b64decode(raw, validate=True) if kind in "bB" else q_decoded(raw)
            text += ("" if was_encoded else blanks) + raw.decode("utf-8", "strict")
        else:
            assert not re.search(r"=\?[^?]+\?[bq]\?", piece, re.IGNORECASE), piece
            text += blanks + piece
        blanks, was_encoded = "", bool(found)
    return text


def q_decoded(raw: bytes) -> bytes:
    assert re.fullmatch(rb"(?:[!-<>@-~]|=[0-9A-F]{2})*", raw)
    return quopri.decodestring(raw, header=True)


def headers_of(data: bytes) -> dict[str, str]:
    """The header block, read strictly: names, order and lines as RFC 5322 2.2 has them."""
    block, _, _ = data.partition(b"\r\n\r\n")
    assert re.fullmatch(rb"(?:[\t -~]|\r\n)*", block)
    found: dict[str, str] = {}
    for line in re.split(rb"\r\n(?![ \t])", block):
        assert re.fullmatch(rb"[!-9;-~]+:(?: [!-~]|\r\n).*", line, re.DOTALL), line
        name, _, value = line.decode("ascii").partition(":")
        assert name not in found
        assert all(each.strip() for each in value.split("\r\n")[1:])
        found[name] = value.replace("\r\n", "").strip(" \t")
    return found


def mailbox_of(value: str) -> tuple[str, str]:
    """The one display name and address of a header."""
    if "<" not in value:
        return "", value
    found = re.fullmatch(r"(.*?)[ \t]+<([^<>\"\s]+)>", value)
    assert found, value
    phrase, address = found.groups()
    quoted = re.fullmatch(r'"((?:[^"\\]|\\.)*)"', phrase)
    if quoted:
        return re.sub(r"\\(.)", r"\1", quoted[1]), address
    if not _WORD.match(phrase):
        assert _ATOMS.fullmatch(phrase), phrase
    return decoded(phrase), address


class Page(HTMLParser):
    """The elements and the text of a page."""

    def __init__(self, html: str) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: list[str] = []
        self.links: list[str] = []
        self.text = ""
        self.feed(html)
        self.close()

    def handle_starttag(self, tag, attrs):
        if tag != "br":
            self.tags.append(" ".join([tag, *(name for name, _ in attrs)]))
            self.links += [value for name, value in attrs if name == "href"]
        else:
            self.text += "\n"

    def handle_data(self, data):
        self.text += data

    def handle_comment(self, data):
        self.tags.append(f"<!--{data}-->")

    def handle_decl(self, decl):
        assert decl.lower() == "doctype html"


def plain(text: str) -> str:
    """A value as a letter has it: empty cells have a stand-in, line ends are plain."""
    return text.replace("\r\n", "\n").replace("\r", "\n") if text.strip() else "x"


@pytest.fixture(scope="module")
def merger():
    return merger_of(BODY, SUBJECT)


@pytest.fixture(scope="module")
def harmless(merger):
    message = merger.merge(person_of(), 1, NOW, full=True)
    return Page(parts_of(message.data)[2]).tags, list(headers_of(message.data))


def merged_or_refused(merger, person) -> bytes | None:
    try:
        return merger.merge(person, 1, NOW, full=False).data
    except MergeRefused as refusal:
        problem = refusal.problem
    assert (problem.file, problem.line) == ("recipients.csv", 7)
    assert problem.hint
    return None


FIELDS = ("name", "salutation", "title", "page")


@pytest.mark.parametrize(
    "strings", [STRINGS[:FEW], pytest.param(STRINGS[FEW:], marks=pytest.mark.slow)],
    ids=["few", "many"],
)  # fmt: skip
@pytest.mark.parametrize("field", [*FIELDS, "all"])
def test_a_hostile_field_is_read_back_as_it_is_or_its_row_is_refused(
    field, strings, merger, harmless
):
    tags, names = harmless
    assert names[: len(HEADERS)] == HEADERS or set(HEADERS) <= set(names)
    refused = 0
    for text in strings:
        cells = dict.fromkeys(FIELDS if field == "all" else (field,), text)
        person = person_of(**cells)
        data = merged_or_refused(merger, person)
        if data is None:
            refused += 1
            continue
        assert b"\0" not in data
        assert not re.search(rb"\r(?!\n)|(?<!\r)\n", data)
        assert not re.search(rb"(?:^|\r\n)\.(?:\r\n|$)", data)
        assert max(map(len, data.split(b"\r\n"))) <= 78
        headers = headers_of(data)
        assert list(headers) == names
        assert mailbox_of(headers["To"]) == (cells.get("name", "Vladimir Kim"), "kim@kaz.example")
        title = plain(cells.get("title", ""))
        assert decoded(headers["Subject"]) == f"{title}: a letter"
        _, letter, html = parts_of(data)
        page = Page(html)
        assert page.tags == tags
        salutation = plain(cells.get("salutation", ""))
        assert letter.startswith(f"Dear {salutation},\n")
        assert f"Dear {salutation}," in page.text
        [link] = [one for one in page.links if "example.org" in one]
        query = link.removeprefix("https://example.org/?q=")
        assert re.fullmatch(r"[!-~]*", query)
        assert unquote(query) == plain(cells.get("page", ""))
        assert f"<{link}>" in letter
    assert len(STRINGS) == 515 + GENERATED
    assert 0 < refused < len(strings) * 0.9


@pytest.mark.parametrize("text", ["a\rb", "a\nb", "a\r\nBcc: evil@x.test", "\x00", "a\u2028b"])
def test_a_line_end_in_a_header_is_refused(text, merger):
    for field in ("name", "title"):
        with pytest.raises(MergeRefused):
            merger.merge(person_of(**{field: text}), 1, NOW, full=False)


def test_the_strict_reader_finds_what_it_should():
    assert decoded("=?utf-8?q?a_b?= =?utf-8?b?Yw==?= d") == "a bc d"
    assert mailbox_of('"a \\"b\\" <c>" <d@e.test>') == ('a "b" <c>', "d@e.test")
    with pytest.raises(AssertionError):
        headers_of(b"To: a\r\nBcc: b\r\nTo: c\r\n\r\n")
    with pytest.raises(AssertionError):
        headers_of(b"To: a\nBcc: b\r\n\r\n")
    with pytest.raises(AssertionError):
        mailbox_of("a <b@c.test> <d@e.test>")
