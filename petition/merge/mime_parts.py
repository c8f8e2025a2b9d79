"""MIME parts (RFC 2045, 2183, 2231) and calendar files.

A calendar file uses PUBLISH (RFC 5546 3.2.1): it can be added to a calendar and asks for no answer.
Its times are in UTC, which every calendar shows in its own zone; its bytes do not depend on when it
is made.
"""

import hashlib
import io
import re
import struct
import uuid
import zlib
from base64 import b64encode
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, time
from functools import cache
from importlib.resources import files
from mimetypes import MimeTypes
from typing import Any, NamedTuple
from unicodedata import normalize
from urllib.parse import quote
from zoneinfo import ZoneInfo

from petition.extras import how_to_install
from petition.merge.document import Frozen
from petition.template.fields import ValueRefused

_LINE = 76  # RFC 2045 6.8
_PARAMETER_LINE = 70

# A name that every parser takes as it stands between two quotes.
_PLAIN_NAME = re.compile(r"[A-Za-z0-9!#$&+.^_`{}~@,()-]+(?: [A-Za-z0-9!#$&+.^_`{}~@,()-]+)*")
_NO_PLAIN_CHAR = re.compile(r"[^A-Za-z0-9.-]+")

_UNKNOWN = "application/octet-stream"
_COMPRESSED = {"gzip": "application/gzip", "bzip2": "application/x-bzip2", "xz": "application/x-xz"}

_PNG, _JPEG, _GIF = b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"GIF8"
_PROFILE_LIMIT = 4_000_000  # bytes of a colour profile, which a PNG holds compressed


class ExpectedPart(NamedTuple):
    """What a part is to be read back as."""

    content_type: str
    filename: str | None
    content_id: str | None
    sha256: str


class MimePart(NamedTuple):
    """A finished part."""

    head: bytes  # its headers, each with its line end
    body: bytes  # its encoded content, with a line end
    meant: ExpectedPart

    def stand_in(self) -> "MimePart":
        """The same part with hardly any content, for a structure that is parsed many times."""
        meant = self.meant
        empty = ExpectedPart(meant.content_type, meant.filename, meant.content_id, _hash(b"0"))
        return MimePart(self.head, b"MA==\r\n", empty)


def attachment_of(name: str, data: bytes, content_type: str = "") -> MimePart:
    """A file as an attachment."""
    name = name.strip() or "attachment"
    whole_type = content_type or type_of(name, data)
    kind, *parameters = whole_type.split("; ")
    # Old mail programs look for the name here and cannot read RFC 2231.
    fallback = name if _PLAIN_NAME.fullmatch(name) else plain_name(name)
    head = _header(f"Content-Type: {kind}", [*parameters, f'name="{fallback}"'])
    head += "Content-Transfer-Encoding: base64\r\n"
    head += _header("Content-Disposition: attachment", _filename(name))
    meant = ExpectedPart(whole_type.partition(";")[0], name, None, _hash(data))
    return MimePart(head.encode("ascii"), _base64(data), meant)


def picture_of(sha256: str, content_type: str, data: bytes) -> MimePart:
    """A picture that the HTML shows."""
    name = f"<{content_id(sha256)}>"
    head = (
        f"Content-Type: {content_type}\r\nContent-Transfer-Encoding: base64\r\n"
        f"Content-ID: {name}\r\nContent-Disposition: inline\r\n"
    )
    meant = ExpectedPart(content_type, None, name, sha256)
    return MimePart(head.encode("ascii"), _base64(data), meant)


def content_id(sha256: str) -> str:
    """The Content-ID of a picture (RFC 2392): the same in every copy of every letter."""
    return f"{sha256[:32]}@picture.invalid"


class Picture(NamedTuple):
    """What is known of a picture without decoding it; its size is as it is shown, in pixels."""

    type: str
    width: int
    height: int


def read_picture(data: bytes) -> Picture | None:
    """A picture that every mail program shows; None for any other file, and for a broken one.

    Whatever decodes it needs memory for each pixel, however few bytes the file has.
    """
    kinds = {_PNG: ("png", _png_size), _JPEG: ("jpeg", _jpeg_size), _GIF: ("gif", _gif_size)}
    for magic, (kind, measure) in kinds.items():
        if data.startswith(magic):
            with suppress(struct.error, IndexError):
                width, height = measure(data)
                return Picture(f"image/{kind}", width, height) if width and height else None
    return None


def _png_size(data: bytes) -> tuple[int, int]:
    width, height = struct.unpack_from(">II", data, 16)
    at = len(_PNG)
    while at + 8 <= len(data):
        length, kind = struct.unpack_from(">I4s", data, at)
        if kind == b"iCCP":
            _, _, packed = data[at + 8 : at + 8 + length].partition(b"\0")
            unpacking = zlib.decompressobj()
            with suppress(zlib.error):
                unpacking.decompress(packed[1:], _PROFILE_LIMIT)
            if unpacking.unconsumed_tail:
                raise ValueRefused("it holds a huge colour profile", "Save it without the profile")
        at += 12 + length
    return width, height


def _jpeg_size(data: bytes) -> tuple[int, int]:
    """The largest size that a frame header names before the first scan (ITU-T T.81 B.2.2)."""
    at, size, is_turned = 2, (0, 0), False
    while data[at] == 0xFF and data[at + 1] != 0xDA:
        marker, length = struct.unpack_from(">xBH", data, at)
        if marker == 0xFF:  # a fill byte
            at += 1
            continue
        if 0xC0 <= marker <= 0xCF and marker not in {0xC4, 0xC8, 0xCC}:
            height, width = struct.unpack_from(">HH", data, at + 5)
            size = max(size, (width, height), key=lambda one: one[0] * one[1])
        elif marker == 0xE1 and data.startswith(b"Exif\0\0", at + 4):
            with suppress(struct.error):
                is_turned = _is_turned(data[at + 10 : at + 2 + length])
        at += 2 + length
    return size[::-1] if is_turned else size


def _is_turned(exif: bytes) -> bool:
    """Whether a picture is shown turned by a quarter, as one of a phone (Exif, tag Orientation)."""
    order = "<" if exif.startswith(b"II") else ">"
    (at,) = struct.unpack_from(f"{order}I", exif, 4)
    (count,) = struct.unpack_from(f"{order}H", exif, at)
    tags = (struct.unpack_from(f"{order}H6xH", exif, at + 2 + 12 * one) for one in range(count))
    return any(tag == 0x0112 and value in range(5, 9) for tag, value in tags)


def _gif_size(data: bytes) -> tuple[int, int]:
    """The size of the screen or of the first frame, whichever is larger (GIF89a 18, 20)."""
    width, height, flags = struct.unpack_from("<HHB", data, 6)
    at = 13 + (3 << (flags & 7) + 1 if flags & 0x80 else 0)
    while data[at] == 0x21:  # an extension, in blocks that begin with their length
        at += 2
        while data[at]:
            at += 1 + data[at]
        at += 1
    frame_width, frame_height = struct.unpack_from("<HH", data, at + 5)
    return max(width, frame_width), max(height, frame_height)


def scaled(data: bytes, width: int) -> bytes:
    """A picture scaled down to a width in pixels, without what a camera adds about place and time.

    ValueRefused if it cannot be read, or Pillow is not installed.
    """
    try:
        from PIL import Image, ImageOps  # noqa: PLC0415 (an extra, and 60 ms)
    except ImportError:
        what = "to scale it down needs Pillow, which is missing"
        raise ValueRefused(what, how_to_install("pictures")) from None
    made = io.BytesIO()
    try:
        with Image.open(io.BytesIO(data), formats=("PNG", "JPEG", "GIF")) as opened:
            if getattr(opened, "is_animated", False):
                raise ValueRefused("it moves, and cannot be scaled", "Save it smaller")
            shown = ImageOps.exif_transpose(opened)
            kind = "JPEG" if opened.format == "JPEG" else "PNG"
            mode = "RGB" if kind == "JPEG" or not shown.has_transparency_data else "RGBA"
            size = (width, max(1, round(shown.height * width / shown.width)))
            small = shown.convert(mode).resize(size, Image.Resampling.LANCZOS)
            profile = opened.info.get("icc_profile") if opened.mode == mode else None
            small.info = {}
            small.save(made, kind, quality=85, optimize=True, icc_profile=profile)
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as why:
        raise ValueRefused(f"it cannot be read ({why})", "Save it again") from None
    return made.getvalue()


def type_of(name: str, data: bytes) -> str:
    """The MIME type of a file with its parameters."""
    guessed, encoding = _types().guess_type(f"x{_extension(name)}")
    if encoding:
        return _COMPRESSED.get(encoding, _UNKNOWN)
    # RFC 2046 5.2.1: a message cannot be in base64, and an archive of messages is not ours to open.
    if not guessed or guessed.startswith(("message/", "multipart/")):
        return _UNKNOWN
    if not guessed.startswith("text/") or b"\0" in data:
        return guessed
    try:
        data.decode("utf-8")
    except UnicodeDecodeError:
        return guessed
    return f"{guessed}; charset=utf-8"


def plain_name(name: str) -> str:
    """A file name in ASCII, with its extension."""
    extension = _extension(name)
    stem = normalize("NFKD", name.removesuffix(extension)).encode("ascii", "ignore").decode()
    stem = _NO_PLAIN_CHAR.sub("-", stem).strip("-.")
    return (stem or "attachment") + _NO_PLAIN_CHAR.sub("-", extension)


def _extension(name: str) -> str:
    found = re.search(r"(?:\.tar)?\.[A-Za-z0-9]{1,8}\Z", name)
    return found.group() if found and found.start() else ""


def _filename(name: str) -> list[str]:
    """The parameter `filename`, by RFC 2231 if it has to be."""
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


@cache
def _types() -> MimeTypes:
    # Not the system's table: it would change the bytes of a copy from one machine to another.
    types = MimeTypes()
    with (files("petition.merge") / "mime.types").open(encoding="utf-8") as more:
        types.readfp(more)
    return types


@dataclass(frozen=True, slots=True)
class CarriedParts:
    """The parts of a copy beside its text and HTML."""

    pictures: tuple[MimePart, ...] = ()
    attached: tuple[MimePart, ...] = ()
    shared: int = 0  # how many of the attached ones are the same in every copy; they come first
    # The fields by which the log knows the files that this copy alone carries.
    own_files: Mapping[str, str] = field(default_factory=dict)

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the attached files."""
        return tuple(part.meant.filename or "" for part in self.attached)


def calendar_part(frozen: Frozen, revision: int) -> MimePart | None:
    """The calendar file of a letter's event, if it has one."""
    event = frozen.event
    if event is None:
        return None
    method = "CANCEL" if event.get("status") == "cancelled" else "PUBLISH"
    data = write_calendar(frozen, event, revision, method)
    content_type = f"text/calendar; charset=utf-8; method={method}"
    return attachment_of(f"{frozen.document['event']}.ics", data, content_type)


def event_uid(campaign_id: str, event: str) -> str:
    """The UID of an event: the same in every letter and revision."""
    return str(uuid.uuid5(uuid.NAMESPACE_URL, f"petition:{campaign_id}/{event}"))


def write_calendar(frozen: Frozen, event: Mapping[str, Any], revision: int, method: str) -> bytes:
    """The calendar file."""
    # 155 ms that only a letter with an event pays for.
    from icalendar import Calendar, Event, vCalAddress, vText  # noqa: PLC0415

    zone = ZoneInfo(frozen.timezone)
    entry = Event()
    entry.add("UID", event_uid(frozen.campaign_id, frozen.document["event"]))
    entry.add("DTSTAMP", datetime.combine(frozen.today, time(), UTC))
    entry.add("SEQUENCE", revision - 1)
    entry.add("SUMMARY", event["title"])
    entry.add("DTSTART", _in_utc(event["starts"], zone))
    if event["ends"]:
        entry.add("DTEND", _in_utc(event["ends"], zone))
    if event["place"]:
        entry.add("LOCATION", event["place"])
    if event["url"]:
        entry.add("URL", event["url"])
    entry.add("STATUS", vText("CANCELLED" if method == "CANCEL" else "CONFIRMED"))
    answers = frozen.sender_reply_to or frozen.sender
    organizer = vCalAddress(f"mailto:{answers.addr_spec}")
    if frozen.sender.display_name:
        organizer.params["CN"] = frozen.sender.display_name
    entry.add("ORGANIZER", organizer)
    calendar = Calendar()
    calendar.add("VERSION", "2.0")
    calendar.add("PRODID", "-//petition//open letters//EN")
    calendar.add("METHOD", method)
    calendar.add_component(entry)
    return bytes(calendar.to_ical())


def _in_utc(text: str, zone: ZoneInfo) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=zone).astimezone(UTC)
