"""A part of an email that is a file: its headers and its bytes in base64 (RFC 2045, 2183, 2231)."""

import hashlib
import re
from base64 import b64encode
from dataclasses import dataclass
from functools import cache
from mimetypes import MimeTypes
from unicodedata import normalize
from urllib.parse import quote

_LINE = 76  # RFC 2045 6.8
_PARAMETER_LINE = 70

# A name that every reader takes as it stands between two quotes.
_PLAIN_NAME = re.compile(r"[A-Za-z0-9!#$&+.^_`{}~@,()-]+(?: [A-Za-z0-9!#$&+.^_`{}~@,()-]+)*")
_NO_PLAIN_CHAR = re.compile(r"[^A-Za-z0-9.-]+")

_UNKNOWN = "application/octet-stream"
# What Python's own table lacks. The system's table is not asked: a copy would have other bytes on
# another machine.
_MORE_TYPES = {
    ".docx": "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
    ".xlsx": "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
    ".pptx": "application/vnd.openxmlformats-officedocument.presentationml.presentation",
    ".odt": "application/vnd.oasis.opendocument.text",
    ".ods": "application/vnd.oasis.opendocument.spreadsheet",
    ".odp": "application/vnd.oasis.opendocument.presentation",
    ".epub": "application/epub+zip",
    ".ics": "text/calendar",
    ".md": "text/markdown",
    ".rtf": "application/rtf",
    ".webp": "image/webp",
}
_COMPRESSED = {"gzip": "application/gzip", "bzip2": "application/x-bzip2", "xz": "application/x-xz"}

_PICTURES = ((b"\x89PNG\r\n\x1a\n", "png"), (b"\xff\xd8\xff", "jpeg"), (b"GIF8", "gif"))


@dataclass(frozen=True, slots=True)
class PartMeant:
    """What a part was meant to be: its type, its name or Content-ID, the hash of its content."""

    content_type: str
    filename: str | None
    content_id: str | None
    sha256: str


@dataclass(frozen=True, slots=True)
class Part:
    """A finished part.

    Args:
        head: Its headers, each with its line end.
        body: Its content as it stands in the email; it ends with a line end.
        meant: What it is to be read back as.
    """

    head: bytes
    body: bytes
    meant: PartMeant

    def stand_in(self) -> "Part":
        """The same part with hardly any content, for a structure that is parsed again and again."""
        meant = self.meant
        empty = PartMeant(meant.content_type, meant.filename, meant.content_id, _hash(b"0"))
        return Part(self.head, b"MA==\r\n", empty)


def attachment_of(name: str, data: bytes, content_type: str = "") -> Part:
    """A file as an attachment.

    Args:
        name: The file's name; no control characters in it. Blanks around it, which readers drop,
            are left out.
        data: Its bytes.
        content_type: Its MIME type with its parameters; empty: that of its name.
    """
    name = name.strip() or "attachment"
    whole_type = content_type or type_of(name, data)
    head = _type_header(whole_type, name)
    head += "Content-Transfer-Encoding: base64\r\n"
    head += _header("Content-Disposition: attachment", _filename(name))
    meant = PartMeant(whole_type.partition(";")[0], name, None, _hash(data))
    return Part(head.encode("ascii"), _base64(data), meant)


def picture_of(content_id: str, content_type: str, data: bytes) -> Part:
    """A picture that the HTML shows.

    Args:
        content_id: What the HTML calls it, without angle brackets (RFC 2392).
        content_type: Its MIME type.
        data: Its bytes.
    """
    head = (
        f"Content-Type: {content_type}\r\nContent-Transfer-Encoding: base64\r\n"
        f"Content-ID: <{content_id}>\r\nContent-Disposition: inline\r\n"
    )
    meant = PartMeant(content_type, None, f"<{content_id}>", _hash(data))
    return Part(head.encode("ascii"), _base64(data), meant)


def content_id(sha256: str) -> str:
    """What a picture is called in an email (RFC 2392): the same in every copy of every letter."""
    return f"{sha256[:32]}@picture.invalid"


def picture_type(data: bytes) -> str | None:
    """The MIME type of a picture by its content; None: it is none that every mail program shows."""
    kind = next((kind for magic, kind in _PICTURES if data.startswith(magic)), None)
    return f"image/{kind}" if kind else None


def type_of(name: str, data: bytes) -> str:
    """The MIME type of a file with its parameters."""
    guessed, encoding = _types().guess_type(f"x{_extension(name)}")
    if encoding:
        return _COMPRESSED.get(encoding, _UNKNOWN)
    # RFC 2046 5.2.1: base64 is not for a message, and an archive of messages is not ours to open.
    if not guessed or guessed.startswith(("message/", "multipart/")):
        return _UNKNOWN
    is_text = guessed.startswith("text/") and _is_utf8(data)
    return f"{guessed}; charset=utf-8" if is_text else guessed


def plain_name(name: str) -> str:
    """A name in ASCII for readers that know no other: the extension stays."""
    extension = _extension(name)
    stem = normalize("NFKD", name.removesuffix(extension)).encode("ascii", "ignore").decode()
    stem = _NO_PLAIN_CHAR.sub("-", stem).strip("-.")
    return (stem or "attachment") + _NO_PLAIN_CHAR.sub("-", extension)


def _extension(name: str) -> str:
    found = re.search(r"(?:\.tar)?\.[A-Za-z0-9]{1,8}\Z", name)
    return found.group() if found and found.start() else ""


def _type_header(content_type: str, name: str) -> str:
    # Old readers look for the name here and cannot read RFC 2231.
    fallback = name if _PLAIN_NAME.fullmatch(name) else plain_name(name)
    kind, *parameters = content_type.split("; ")
    return _header(f"Content-Type: {kind}", [*parameters, f'name="{fallback}"'])


def _filename(name: str) -> list[str]:
    """The parameter `filename`, by RFC 2231 where it must be."""
    if _PLAIN_NAME.fullmatch(name) and len(name) <= _PARAMETER_LINE - len('filename=""'):
        return [f'filename="{name}"']
    encoded = "utf-8''" + quote(name, safe="")
    room = _PARAMETER_LINE - len("filename*00*=")
    if len(encoded) <= room:
        return [f"filename*={encoded}"]
    pieces = re.findall(rf"(?:%..|[^%]){{1,{room // 3}}}", encoded)
    return [f"filename*{number}*={piece}" for number, piece in enumerate(pieces)]


def _header(start: str, parameters: list[str]) -> str:
    return ";\r\n ".join([start, *parameters]) + "\r\n"


def _base64(data: bytes) -> bytes:
    encoded = b64encode(data)
    lines = (encoded[at : at + _LINE] for at in range(0, len(encoded), _LINE))
    return b"\r\n".join(lines) + b"\r\n"


def _hash(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _is_utf8(data: bytes) -> bool:
    try:
        data.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return b"\0" not in data


@cache
def _types() -> MimeTypes:
    types = MimeTypes()
    for extension, kind in _MORE_TYPES.items():
        types.add_type(kind, extension)
    return types
