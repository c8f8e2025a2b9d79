"""Parses any mail, whatever its bytes (RFC 5322, 2045, 2046): headers, parts, text.

Every limit counts bytes, parts or characters and none counts time, so that the same mail always
gives the same result, on a slow machine too. With these limits a mail made to take long takes a
few seconds of processor time at most.

The standard library's parser raises on some malformed mails, descends by recursion, and copies a
part once for every level of nesting. This one goes over one buffer with a list of the parts still
to parse, so that every limit holds exactly.
"""

import binascii
import re
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cached_property
from html import unescape
from itertools import chain
from string import ascii_letters, digits
from unicodedata import normalize

BYTES = 25 * 2**20  # of a whole mail
HEADER_BYTES = 256 * 2**10  # of the headers of a mail or of one of its parts
ALL_HEADER_BYTES = 2**20  # of all of them together
DEPTH = 50  # parts within parts
PARTS = 1_000
ENCODED_BYTES = 25 * 2**20  # of forwarded mails whose transfer encoding is undone, all together
TEXT_BYTES = 256 * 2**10  # of a text part: what a person or a mail server says stands at its top
TEXT_LENGTH = 64 * 2**10  # characters of it without markup
ALL_TEXT_LENGTH = 200_000  # characters of all text parts together
REPORT_BYTES = 2**20  # of all delivery reports in a mail together
RETURNED_MAILS = 10


class SetAside(Exception):
    """A mail exceeds a limit, which the text names, and is not parsed any further."""


# Only charsets of mail: Python would also take "hex", "zlib", "unicode_escape" and other codecs.
_KNOWN = re.compile(
    r"utf-?(?:8|16|32)(?:[-_]?[lb]e)?|us-ascii|ascii|iso[-_]?8859[-_]?\d{1,2}|latin-?\d|"
    r"windows-?\d{3,4}|cp-?\d{3,4}|koi8-?[rut]|gb2312|gbk|gb18030|hz|big5(?:-?hkscs)?|euc-?(?:jp|kr)|"
    r"ks_c_5601-1987|shift[-_]?jis|s?jis|iso-2022-(?:jp|kr)(?:-\d)?|mac-?(?:roman|cyrillic)|"
    r"ptcp154|kz1048|tis-?620"
)
_WORD = re.compile(r"=\?([^?\s*]{1,60})(?:\*[^?]*)?\?([bBqQ])\?([^?\r\n]*)\?=")
_BETWEEN_WORDS = re.compile(r"(\?=)\s+(?==\?)")
_HEADER_LENGTH = 10_000  # characters that are looked at


def decoded_text(data: bytes, charset: str) -> str:
    """A body as text with LF line ends; every byte decodes to something."""
    return _decoded(data, charset).replace("\r\n", "\n").replace("\r", "\n")


def decoded_header(value: str, length: int | None = _HEADER_LENGTH) -> str:
    """The beginning of a header's value with its encoded words decoded (RFC 2047).

    Malformed words stay as they are; with `length` None all of the value is decoded.
    """
    return _WORD.sub(_word, _BETWEEN_WORDS.sub(r"\1", value[:length]))


def _word(found: re.Match[str]) -> str:
    charset, encoding, text = found.groups()
    raw = text.encode("utf-8", "surrogateescape")
    try:
        if encoding in "bB":
            data = binascii.a2b_base64(raw + b"=" * (-len(raw) % 4))
        else:
            data = binascii.a2b_qp(raw, header=True)
    except binascii.Error:
        return found[0]
    return _decoded(data, charset)


def _decoded(data: bytes, charset: str) -> str:
    name = charset.strip().strip("\"'").lower()
    name = name if _KNOWN.fullmatch(name) else "utf-8"
    # A text that is not valid in its charset, nor UTF-8, is most often in that charset all the
    # same, or in the one of Windows if it names none of use.
    last = "cp1252" if name in {"us-ascii", "ascii", "utf-8"} else name
    for codec, errors in ((name, "strict"), ("utf-8", "strict"), (last, "replace")):
        with suppress(UnicodeError, LookupError):
            return data.decode(codec, errors)
    return data.decode("latin-1")


_DROPPED = re.compile(r"<(?:(script|style|head|title)\b|!--)", re.IGNORECASE)
# Where mail programs begin what they quote. Behind the first group nothing is the sender's own; the
# second announces a quotation in words; a <blockquote> that only indents quotes nothing. One that
# is left open ends with the element that it stands in, as in browsers.
_QUOTE = re.compile(
    r"(<div[^<>]{1,200}(?:yahoo_quoted|divRplyFwdMsg|appendonsend|reply-intro|name=.quote\b"
    r"|border-top:\s?solid #[0-9a-f]{6} 1\.0pt;\s?padding:\s?3\.0pt|__HEADERS__)"
    r"|<span\b[^<>]{1,200}OLK_SRC_BODY_SECTION|<hr\b[^<>]{0,200}(?:divider|stopSpelling|zwchr))"
    r"|(<div[^<>]{1,200}(?:gmail_attr|moz-cite-prefix)[^<>]{0,200}>(?:(?!</div).){0,1000}</div>)"
    r"(?=\s?(?:<[^<>]{1,200}>\s?){0,2}<blockquote)"
    r"|<(blockquote\b[^<>]{0,500})>|<(div|td)\b[^<>]{0,1000}>|</(blockquote|div|td)\b[^<>]{0,20}>",
    re.IGNORECASE,
)
_INDENTS = re.compile(r"border:\s?none", re.IGNORECASE)
_LINE = re.compile(r"<(?:br|/p|/div|/tr|/li|/h[1-6]|/table|hr|/blockquote)\b[^<>]*>", re.IGNORECASE)
_CELL_END = re.compile(r"</t[dh]\b[^<>]{0,20}>", re.IGNORECASE)
_PREFORMATTED = re.compile(r"(</?pre\b[^<>]{0,500}>)", re.IGNORECASE)
_TAG = re.compile(r"<[/!?a-zA-Z][^<>]*>")
_HTML_BLANKS = re.compile(r"[ \t\xa0]+")

QUOTE_MARK = "\ue000"  # a private character: nothing that follows is the sender's own
_BEGIN, _END = "\ue001", "\ue002"  # of a quotation


def text_of_html(markup: str) -> str:
    """The text of HTML, a line for each of its lines; those of a quotation begin with `>`."""
    text = _marked(re.sub("[\ue000-\ue002]", "", _without_dropped(markup)))
    text = unescape(_TAG.sub("", _LINE.sub("\n", _CELL_END.sub(" ", text))))
    lines: list[str] = []
    depth = 0
    for line in text.split("\n"):
        if line.strip() in {_BEGIN, _END}:
            depth += 1 if line.strip() == _BEGIN else -1
            lines.append("")
        else:
            plain = _HTML_BLANKS.sub(" ", line).strip()
            lines.append(f"> {plain}" if depth > 0 and plain else plain)
    return re.sub(r"\n{3,}", "\n\n", "\n".join(lines)).strip()


def _marked(markup: str) -> str:
    """The markup on one line, with marks where quotations begin and end."""
    elements: list[tuple[str, bool]] = []  # that are open, and whether each is a quotation
    counts = Counter[str]()

    def mark(found: re.Match[str]) -> str:
        rest, _announced, quoted, opened, closed = found.groups()
        if rest:
            return f"\n{QUOTE_MARK}\n{rest}"
        if quoted or opened:
            is_quote = bool(quoted) and not _INDENTS.search(quoted)
            elements.append(("blockquote" if quoted else opened.lower(), is_quote))
            counts[elements[-1][0]] += 1
            return f"\n{_BEGIN}\n" if is_quote else "\n" if quoted else found[0]
        if not closed:
            return "\n"
        ends, name = "", closed.lower()
        while counts[name]:
            last, is_quote = elements.pop()
            counts[last] -= 1
            ends += f"\n{_END}\n" if is_quote else ""
            if last == name:
                break
        return f"{ends}{found[0]}"

    pieces = _PREFORMATTED.split(markup)
    for number, tag in enumerate(pieces[1::2], 1):
        if not tag.startswith("</"):
            pieces[2 * number] = pieces[2 * number].replace("\n", "<br>")
    return _QUOTE.sub(mark, re.sub(r"\s+", " ", "".join(pieces)))


def _without_dropped(markup: str) -> str:
    """The markup without what no reader sees; an element that is never closed ends with it."""
    lower = markup.lower()
    kept: list[str] = []
    at = 0
    while found := _DROPPED.search(markup, at):
        kept.append(markup[at : found.start()])
        closing = f"</{found[1].lower()}" if found[1] else "-->"
        end = lower.find(closing, found.end())
        if end < 0:
            return " ".join(kept)
        at = end + len(closing)
        if found[1]:
            at = markup.find(">", at) + 1 or len(markup)
    return " ".join([*kept, markup[at:]])


_ADDRESS = re.compile(r"[\w.!#$%&'*+/=?^`{|}~-]{1,64}@[\w.-]{1,255}")
_TOKEN = re.compile(r"(?<![0-9a-f])([0-9a-f]{24}|[0-9a-f]{32})(?![0-9a-f])")


def first_address(value: str) -> str:
    """The first address of a header, or ""; one in angle brackets is preferred."""
    short = normalize("NFC", value[:4_000])  # `_ADDRESS` takes no combining marks
    if found := re.search(r"<\s*([^<>\s]{1,320}@[^<>\s]{1,255})\s*>", short):
        return found[1].strip("'\"")
    plain = _ADDRESS.search(short)
    return plain[0].strip(".'`") if plain else ""


def all_addresses(value: str) -> list[str]:
    """All addresses of a header."""
    return _ADDRESS.findall(normalize("NFC", value[:20_000]))


def tokens_in(addresses: list[str]) -> list[str]:
    """What could be the token of a return path or of an unsubscribe address, in local parts."""
    local_parts = "\n".join(one.rpartition("@")[0].lower() for one in addresses)
    return list(dict.fromkeys(_TOKEN.findall(local_parts)))


_PARAMETER = re.compile(r';\s*([\w!#$&^.+-]+)(?:\*\d*\*?)?\s*=\s*("(?:[^"\\]|\\.)*"?|[^\s;]*)')
_FIELD = re.compile(rb"^([!-9;-~]+)[ \t]*:[ \t]*")
# What a boundary looks like where the header names none, or another one.
_BOUNDARY = re.compile(rb"(?:^|(?<=\n))(--[!-~][ -~]{0,68}?)[ \t]*\r?\n(?=content-)", re.IGNORECASE)
# Long runs of blanks and empty lines say nothing, and patterns would go over them again and again.
_BLANKS = re.compile(r"[^\S\n]{21,}")
_EMPTY_LINES = re.compile(r"\n(?:[^\S\n]*\n){3,}")
_NO_BASE64 = bytes(set(range(256)) - set((ascii_letters + digits + "+/").encode()))
_HALF = re.compile(rb"[\xc0-\xff][\x80-\xbf]{0,3}\Z")
_MESSAGES = frozenset({"message/rfc822", "message/global", "message/news"})
_HEADERS_ALONE = frozenset(
    {"text/rfc822-headers", "message/global-headers", "message/rfc822-headers"}
)


@dataclass(slots=True)
class Headers:
    """The fields of one header block, in their order, each unfolded; names in lower case."""

    fields: list[tuple[str, str]]

    def get(self, name: str) -> str:
        """The first field of a name, not decoded, or ""."""
        return next((value for known, value in self.fields if known == name), "")

    def all(self, *names: str) -> list[str]:
        """All fields of these names, not decoded."""
        return [value for known, value in self.fields if known in names]

    def text(self, name: str) -> str:
        """The first field of a name, its encoded words decoded (RFC 2047)."""
        return decoded_header(self.get(name))

    def __contains__(self, name: str) -> bool:
        return any(known == name for known, _ in self.fields)


@dataclass(eq=False)
class MailPart:
    """A mail or a part of one."""

    headers: Headers
    data: bytes  # the buffer that it is in
    start: int  # of its body
    end: int
    depth: int = 0
    inside_message: bool = False  # within a mail that was forwarded or returned
    default_type: str = "text/plain"
    header_size: int = 0
    children: list["MailPart"] = field(default_factory=list)

    @cached_property
    def content_type(self) -> str:
        """`type/subtype` in lower case."""
        value = self.headers.get("content-type").partition(";")[0].strip().lower()
        return value if re.fullmatch(r"[\w.+-]+/[\w.+-]+", value) else self.default_type

    @cached_property
    def parameters(self) -> dict[str, str]:
        """The parameters of its Content-Type, names in lower case."""
        value = self.headers.get("content-type")[:2_000]
        found: dict[str, str] = {}
        for name, text in _PARAMETER.findall(value):
            plain = re.sub(r"\\(.)", r"\1", text.strip('"')) if text.startswith('"') else text
            found.setdefault(name.lower(), plain)
        return found

    def beginning(self, size: int) -> bytes:
        """So many bytes of its body, transfer-decoded; malformed ones are left as they are."""
        raw = self.data[self.start : min(self.end, self.start + size)]
        encoding = self.headers.get("content-transfer-encoding").partition(";")[0].strip().lower()
        if encoding == "base64":
            return _from_base64(raw)
        if encoding == "quoted-printable":
            return binascii.a2b_qp(raw)
        return raw

    @cached_property
    def text(self) -> str:
        """Its text with LF line ends; HTML is neither rendered nor fetched."""
        body = self.beginning(TEXT_BYTES)
        if self.end - self.start > TEXT_BYTES:
            # Half a character at its end would make all of it undecodable.
            body = _HALF.sub(b"", body)
        text = decoded_text(body, self.parameters.get("charset", ""))
        if self.content_type == "text/html":
            text = text_of_html(text)
        text = _EMPTY_LINES.sub("\n\n\n", _BLANKS.sub(" " * 20, text))
        return text[:TEXT_LENGTH]

    def texts(self, *types: str, returned: bool = False) -> Iterator[str]:
        """The texts of its parts of these types; with `returned` also of mails within it."""
        left = ALL_TEXT_LENGTH
        for part in self.walk():
            if left <= 0:
                return
            if part.content_type in types and (returned or not part.inside_message):
                yield part.text[:left]
                left -= max(len(part.text), (part.end - part.start) // 16)

    def own(self, content_type: str) -> Iterator["MailPart"]:
        """Its parts of a type that are not part of another mail within it."""
        return (
            part
            for part in self.walk()
            if part.content_type == content_type and not part.inside_message
        )

    def walk(self) -> Iterator["MailPart"]:
        """It and all its parts, in the order of the mail."""
        waiting = [self]
        while waiting:
            part = waiting.pop()
            yield part
            waiting += reversed(part.children)


def read_mail(data: bytes, limit: int = BYTES) -> MailPart:
    """Parse a mail of at most `limit` bytes; SetAside if it exceeds a limit."""
    if len(data) > limit:
        raise SetAside(f"it is larger than {limit >> 20} MB")
    data = _of_lines(data)
    begin = _after_mbox_line(data)
    mail = _part(data, begin, len(data), depth=0, inside=False)
    waiting, count = [mail], 1
    headers, encoded = mail.header_size, 0
    while waiting:
        part = waiting.pop()
        part.children = _children(part)
        count += len(part.children)
        headers += sum(child.header_size for child in part.children)
        encoded += sum(len(one.data) for one in part.children if one.data is not part.data)
        if headers > ALL_HEADER_BYTES:
            raise SetAside(f"its headers are larger than {ALL_HEADER_BYTES >> 20} MB")
        if encoded > ENCODED_BYTES:
            raise SetAside(f"the mails in it are larger than {ENCODED_BYTES >> 20} MB")
        if count > PARTS:
            raise SetAside(f"it has more than {PARTS:,} parts")
        if part.children and part.depth >= DEPTH:
            raise SetAside(f"its parts are nested more than {DEPTH} deep")
        waiting += part.children
    return mail


def read_headers(data: bytes) -> Headers:
    """The fields of a header block that stands alone."""
    return _headers(data, 0, len(data))[0]


def is_returned(part: MailPart) -> bool:
    """Whether a part is a mail, or the headers of one, that came back within another."""
    return part.content_type in _MESSAGES or part.content_type in _HEADERS_ALONE


def returned_headers(part: MailPart) -> Headers:
    """The headers of a mail that lies in another."""
    if part.children:
        return part.children[0].headers
    return read_headers(part.beginning(HEADER_BYTES))


def _children(part: MailPart) -> list[MailPart]:
    if part.content_type.startswith("multipart/"):
        return _split(part)
    if part.content_type in _MESSAGES:
        inner = part.beginning(part.end - part.start)
        if inner is not part.data and len(inner) != part.end - part.start:  # it was encoded
            return [_part(inner, 0, len(inner), depth=part.depth + 1, inside=True)]
        return [_part(part.data, part.start, part.end, depth=part.depth + 1, inside=True)]
    return []


def _split(part: MailPart) -> list[MailPart]:
    boundary = part.parameters.get("boundary", "").rstrip()
    mark = b"--" + boundary.encode("utf-8", "surrogateescape")
    found = _split_at(part, mark) if boundary else []
    near = min(part.end, part.start + TEXT_BYTES)
    if not found and (guessed := _BOUNDARY.search(part.data, part.start, near)):
        found = _split_at(part, guessed[1])
    if found or part.start >= part.end:
        return found
    # No boundary at all: mail programs show the whole as text.
    return [
        MailPart(Headers([]), part.data, part.start, part.end, part.depth + 1, part.inside_message)
    ]


def _split_at(part: MailPart, mark: bytes) -> list[MailPart]:
    default = "message/rfc822" if part.content_type == "multipart/digest" else "text/plain"
    found: list[MailPart] = []
    begin: int | None = None
    never_closed = (part.end, part.end, True)  # then what is there counts
    for start, end, is_last in chain(_boundaries(part, mark), [never_closed]):
        if begin is not None:
            found.append(
                _part(part.data, begin, start, part.depth + 1, part.inside_message, default)
            )
        begin = end
        if len(found) > PARTS:
            raise SetAside(f"it has more than {PARTS:,} parts")
        if is_last:
            break
    return found


def _boundaries(part: MailPart, mark: bytes) -> Iterator[tuple[int, int, bool]]:
    """Where each boundary line begins (at the line end before it), ends, and if it is the last."""
    data, at = part.data, part.start
    while (at := data.find(mark, at, part.end)) >= 0:
        line_end = data.find(b"\n", at, part.end)
        line_end = part.end if line_end < 0 else line_end + 1
        rest = data[at + len(mark) : min(line_end, at + len(mark) + 80)].rstrip()
        if (at == part.start or data[at - 1 : at] == b"\n") and rest in {b"", b"--"}:
            start = at
            if start > part.start:
                start -= 2 if data[at - 2 : at] == b"\r\n" else 1
            yield max(start, part.start), line_end, rest == b"--"
        at = line_end


def _part(
    data: bytes,
    start: int,
    end: int,
    depth: int,
    inside: bool,
    default: str = "text/plain",
) -> MailPart:
    start = min(start, end)
    headers, body = _headers(data, start, end)
    return MailPart(headers, data, body, end, depth, inside, default, body - start)


def _headers(data: bytes, start: int, end: int) -> tuple[Headers, int]:
    """The fields of a block, and where the body begins."""
    fields: list[tuple[str, bytearray]] = []
    at = start
    while at < end:
        stop = data.find(b"\n", at, end)
        stop = end if stop < 0 else stop + 1
        line = data[at:stop].rstrip(b"\r\n")
        if stop - start > HEADER_BYTES:
            raise SetAside(f"its headers are larger than {HEADER_BYTES >> 10} KB")
        if not line.strip(b" \t") and (not line or not fields):
            at = stop
            break
        if line[:1] in {b" ", b"\t"} and fields:
            fields[-1][1].extend(b" " + line.strip())
        elif found := _FIELD.match(line):
            fields.append((found[1].decode("ascii").lower(), bytearray(line[found.end() :])))
        elif fields and not line.startswith(b"From "):
            break  # not a header: the blank line was forgotten, and this is the body
        elif not fields:
            break
        at = stop
    return Headers([(name, decoded_text(bytes(value), "").strip()) for name, value in fields]), at


def _of_lines(data: bytes) -> bytes:
    """The same mail with line ends that we know, if another program saved it without."""
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        data = data.decode("utf-16", "replace").encode("utf-8")
    data = data.removeprefix(b"\xef\xbb\xbf")
    if b"\n" not in data[:HEADER_BYTES] and b"\r" in data[:1_000]:
        return data.replace(b"\r", b"\n")  # as the first Macintosh did
    if b"\r\r\n" in data[:1_000]:
        return data.replace(b"\r\r\n", b"\r\n")
    return data


def _after_mbox_line(data: bytes) -> int:
    begin = len(data) - len(data.lstrip(b"\r\n \t"))
    if data.startswith((b"From ", b">From "), begin):
        return data.find(b"\n", begin) + 1 or len(data)
    return begin


def _from_base64(raw: bytes) -> bytes:
    kept = raw.translate(None, _NO_BASE64)
    whole = len(kept) - (len(kept) % 4 == 1)  # a single letter more holds no byte
    return binascii.a2b_base64(kept[:whole] + b"=" * (-whole % 4))
