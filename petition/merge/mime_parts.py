"""MIME parts (RFC 2045, 2183, 2231), calendar files, and the read-back of a finished email.

PUBLISH of RFC 5546 3.2.1: it can be put into a calendar and asks for no answer. Times are in UTC,
which every calendar shows in its own zone; nothing in the file depends on when it is made.

`check_block` looks at the header block alone and costs a few microseconds; `read_back` parses the
whole email as another program would, and costs milliseconds. A test shows that what the one lets
through the other does too.
"""

import email
import email.policy
import hashlib
import re
import uuid
from base64 import b64encode
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from email.header import decode_header, make_header
from email.message import Message
from email.utils import getaddresses
from functools import cache, lru_cache
from mimetypes import MimeTypes
from typing import Any
from unicodedata import normalize
from urllib.parse import quote
from zoneinfo import ZoneInfo

from petition.address import Mailbox
from petition.campaign.names import quoted
from petition.merge.document import Frozen
from petition.merge.template.fields import CellRefused

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
class ExpectedPart:
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
    meant: ExpectedPart

    def stand_in(self) -> "Part":
        """The same part with hardly any content, for a structure that is parsed again and again."""
        meant = self.meant
        empty = ExpectedPart(meant.content_type, meant.filename, meant.content_id, _hash(b"0"))
        return Part(self.head, b"MA==\r\n", empty)


def attachment_of(name: str, data: bytes, content_type: str = "") -> Part:
    """A file as an attachment."""
    name = name.strip() or "attachment"
    whole_type = content_type or type_of(name, data)
    head = _type_header(whole_type, name)
    head += "Content-Transfer-Encoding: base64\r\n"
    head += _header("Content-Disposition: attachment", _filename(name))
    meant = ExpectedPart(whole_type.partition(";")[0], name, None, _hash(data))
    return Part(head.encode("ascii"), _base64(data), meant)


def picture_of(content_id: str, content_type: str, data: bytes) -> Part:
    """A picture that the HTML shows."""
    head = (
        f"Content-Type: {content_type}\r\nContent-Transfer-Encoding: base64\r\n"
        f"Content-ID: <{content_id}>\r\nContent-Disposition: inline\r\n"
    )
    meant = ExpectedPart(content_type, None, f"<{content_id}>", _hash(data))
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


@dataclass(frozen=True, slots=True)
class CarriedParts:
    """The parts of a copy beside its words.

    Args:
        pictures: Those that its HTML shows.
        attached: Those that stand behind it.
        shared: How many of the attached ones are the same in every copy; they come first.
    """

    pictures: tuple[Part, ...] = ()
    attached: tuple[Part, ...] = ()
    shared: int = 0

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the attached files."""
        return tuple(part.meant.filename or "" for part in self.attached)


_PRODUCT = "-//petition//open letters//EN"


def calendar_part(frozen: Frozen, revision: int) -> Part | None:
    """The calendar file of a letter's event as a part; None where it has no event."""
    event = frozen.event
    if event is None:
        return None
    method = "CANCEL" if event.get("status") == "cancelled" else "PUBLISH"
    data = write_calendar(frozen, event, revision, method)
    content_type = f"text/calendar; charset=utf-8; method={method}"
    return attachment_of(f"{frozen.event_name}.ics", data, content_type)


def event_uid(campaign_id: str, event: str) -> str:
    """What calendars know the event by: the same in every letter and revision."""
    return str(uuid.uuid5(uuid.NAMESPACE_URL, f"petition:{campaign_id}/{event}"))


def write_calendar(frozen: Frozen, event: Mapping[str, Any], revision: int, method: str) -> bytes:
    """The calendar file."""
    # 155 ms that only a letter with an event pays for.
    from icalendar import Calendar, Event, vText  # noqa: PLC0415

    zone = ZoneInfo(frozen.timezone)
    entry = Event()
    entry.add("UID", event_uid(frozen.campaign_id, frozen.event_name))
    entry.add("DTSTAMP", _midnight(frozen.today))
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
    entry.add("ORGANIZER", _organizer(frozen.sender_reply_to or frozen.sender, frozen.sender))
    calendar = Calendar()
    calendar.add("VERSION", "2.0")
    calendar.add("PRODID", _PRODUCT)
    calendar.add("METHOD", method)
    calendar.add_component(entry)
    return bytes(calendar.to_ical())


def _organizer(answers: Mailbox, sender: Mailbox) -> Any:  # noqa: ANN401 (icalendar's vCalAddress)
    from icalendar import vCalAddress  # noqa: PLC0415

    organizer = vCalAddress(f"mailto:{answers.addr_spec}")
    if sender.display_name:
        organizer.params["CN"] = sender.display_name
    return organizer


def _midnight(day: date) -> datetime:
    return datetime.combine(day, time(), UTC)


def _in_utc(text: str, zone: ZoneInfo) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=zone).astimezone(UTC)


# The older parser takes a message apart three times as fast as the newer one, which reads each
# header that it meets; it reads those that are compared.
_READER = email.policy.default.header_fetch_parse

_HINT = "Correct the row, and tell the authors of petition which text it was"


@dataclass(frozen=True, slots=True)
class Expected:
    """What an email was meant to say.

    Args:
        names: The names of its headers, in order.
        subject: Its subject.
        mailboxes: The mailboxes of each header that holds some.
        pictures: The pictures beside its HTML.
        attached: What stands behind its words.
    """

    names: tuple[str, ...]
    subject: str
    mailboxes: dict[str, tuple[Mailbox, ...]]
    pictures: tuple[ExpectedPart, ...] = ()
    attached: tuple[ExpectedPart, ...] = ()


class BlockCheck:
    """Sees that a header block holds the headers that it should, and nothing else.

    Args:
        names: Their names, in order.
    """

    def __init__(self, names: Sequence[str]) -> None:
        # One line of visible text, then lines that begin with a blank and hold visible text: no
        # bare CR or LF, no control character, no line that could be taken for the block's end.
        text = rb"[ -~\x80-\xff]*[!-~\x80-\xff]"
        value = rb": " + text + rb"(?:\r\n " + text + rb")*\r\n"
        self._pattern = re.compile(b"".join(name.encode() + value for name in names))

    def check(self, block: bytes) -> None:
        """Look at a block.

        Args:
            block: The headers, each with its line end.

        Raises:
            CellRefused: It is not as it should be.
        """
        if not self._pattern.fullmatch(block):
            raise CellRefused("the headers would not be read back as they were meant", _HINT)


def read_back(data: bytes, meant: Expected) -> None:
    """Parse an email and compare it with what it was meant to say."""
    message = email.message_from_string(data.decode())
    if different := _difference(message, meant):
        raise CellRefused(f"{different} would not be read back as it was meant", _HINT)


def _difference(message: Message, meant: Expected) -> str | None:
    if tuple(message.keys()) != meant.names:
        return "the list of headers"
    raw = dict(message.raw_items())
    if _READER("Subject", raw["Subject"]) != meant.subject:
        return "the subject"
    for name, mailboxes in meant.mailboxes.items():
        if _addresses(name, raw[name]) != tuple(mailbox.addr_spec for mailbox in mailboxes):
            return f"an address in {name}"
        if _named(raw[name]) != mailboxes:
            return f"a name in {name}"
    parts = [part.get_content_type() for part in message.walk()]
    if parts != list(_kinds(meant)):
        return "the list of parts"
    return _different_file(message, meant)


def _kinds(meant: Expected) -> Iterator[str]:
    """The types of an email's parts, each before those in it."""
    if meant.attached:
        yield "multipart/mixed"
    yield from ("multipart/alternative", "text/plain")
    if meant.pictures:
        yield "multipart/related"
    yield "text/html"
    yield from (part.content_type for part in (*meant.pictures, *meant.attached))


def _different_file(message: Message, meant: Expected) -> str | None:
    files = (*meant.pictures, *meant.attached)
    leaves = [part for part in message.walk() if not part.is_multipart()][2:]
    for part, file in zip(leaves, files, strict=True):
        name = quoted(file.filename) if file.filename else "an image"
        if part.get_filename() != file.filename or part["Content-ID"] != file.content_id:
            return f"the name of {name}"
        kind = part.get_content_disposition()
        if kind != ("attachment" if file.filename else "inline"):
            return f"the place of {name}"
        content = part.get_payload(decode=True)
        if not isinstance(content, bytes) or hashlib.sha256(content).hexdigest() != file.sha256:
            return f"the content of {name}"
    return None


@lru_cache(maxsize=16)  # most copies have the same From
def _addresses(name: str, header: str) -> tuple[str, ...]:
    return tuple(address.addr_spec for address in _READER(name, header).addresses)


@lru_cache(maxsize=16)
def _named(header: str) -> tuple[Mailbox, ...]:
    """The mailboxes of a header, by the older reader of the standard library.

    The newer one of Python 3.11 keeps the blanks between two encoded words, against RFC 2047 6.2,
    and makes two blanks within one of them one.
    """
    found = getaddresses([header.replace("\r\n", "")])
    return tuple(Mailbox(str(make_header(decode_header(name))), spec) for name, spec in found)
