"""Reads a finished email back, before it may be sent.

`check_block` looks at the header block alone and costs a few microseconds; `read_back` parses the
whole email as another program would, and costs milliseconds. A test shows that what the one lets
through the other does too.
"""

import email
import email.policy
import hashlib
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from email.header import decode_header, make_header
from email.message import Message
from email.utils import getaddresses
from functools import lru_cache

from petition.address import Mailbox
from petition.campaign.names import quoted
from petition.merge.part import PartMeant
from petition.merge.refusals import CellRefused

# The older parser takes a message apart three times as fast as the newer one, which reads each
# header that it meets; it reads those that are compared.
_READER = email.policy.default.header_fetch_parse

_MEND = "Correct the row, and tell the authors of petition which text it was"


@dataclass(frozen=True, slots=True)
class Meant:
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
    pictures: tuple[PartMeant, ...] = ()
    attached: tuple[PartMeant, ...] = ()


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
            raise CellRefused("the headers would not be read back as they were meant", _MEND)


def read_back(data: bytes, meant: Meant) -> None:
    """Parse an email and compare it with what it was meant to say.

    Args:
        data: The email.
        meant: What it was meant to say.

    Raises:
        CellRefused: It says something else.
    """
    message = email.message_from_string(data.decode())
    if different := _difference(message, meant):
        raise CellRefused(f"{different} would not be read back as it was meant", _MEND)


def _difference(message: Message, meant: Meant) -> str | None:
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


def _kinds(meant: Meant) -> Iterator[str]:
    """The types of an email's parts, each before those in it."""
    if meant.attached:
        yield "multipart/mixed"
    yield from ("multipart/alternative", "text/plain")
    if meant.pictures:
        yield "multipart/related"
    yield "text/html"
    yield from (part.content_type for part in (*meant.pictures, *meant.attached))


def _different_file(message: Message, meant: Meant) -> str | None:
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
