"""SMTP in bytes (RFC 5321 4.1, 4.2): the commands of a letter and its lines out, replies in.

This is the last check before the wire: an address that could end a command early, or a bare CR or
LF in a letter (SMTP smuggling, CVE-2023-51764), stops here. A letter that was checked when it was
assembled (`Email.is_whole`) is not checked again.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

from petition.merge.message import Email
from petition.smtp.replies import Reply, Scope, Stage, Verdict, unsendable

# No quoted local part with these is ever written (RFC 5321 4.1.2 advises against them too).
_UNSAFE = re.compile(r"[\x00-\x20\x7f<>\ud800-\udfff]")


@dataclass(frozen=True, slots=True)
class Offers:
    """The service extensions that the server offers (RFC 5321 2.2)."""

    pipelining: bool = False  # RFC 2920
    eight_bit: bool = False  # BODY=8BITMIME (RFC 6152)
    smtputf8: bool = False  # RFC 6531
    size: int | None = None  # bytes, 0 for no limit, None without SIZE (RFC 1870)


def obstacle(email: Email, offers: Offers) -> Verdict | None:
    """Why this letter cannot go to this server, or None."""
    envelope = email.envelope
    addresses = "".join((envelope.mail_from, *envelope.rcpt_to))
    if _UNSAFE.search(addresses) or not all(envelope.rcpt_to):
        reason = "an address is empty, or has a character that no address may have"
        return unsendable(Scope.RECIPIENT, reason)
    if not (envelope.smtputf8 or addresses.isascii()):
        return unsendable(Scope.RECIPIENT, "an address needs SMTPUTF8, which the envelope lacks")
    if envelope.smtputf8 and not offers.smtputf8:
        return unsendable(
            Scope.RECIPIENT, "the server does not offer SMTPUTF8, which the address needs"
        )
    return _obstacle_in_data(email, offers)


def _obstacle_in_data(email: Email, offers: Offers) -> Verdict | None:
    data = email.data
    if not email.is_whole and _has_bare_ends(data):
        return unsendable(Scope.MESSAGE, "the letter has a line that does not end in CRLF")
    if offers.size and len(data) > offers.size:
        reason = f"the letter has {len(data)} bytes and the server accepts {offers.size}"
        return unsendable(Scope.MESSAGE, reason)
    if not (offers.eight_bit or data.isascii()):
        return unsendable(
            Scope.MESSAGE, "the server does not offer 8BITMIME, which the letter needs"
        )
    return None


def _has_bare_ends(data: bytes) -> bool:
    without_ends = b"".join(data.split(b"\r\n"))
    return not data.endswith(b"\r\n") or b"\r" in without_ends or b"\n" in without_ends


class Group(NamedTuple):
    """Commands that go in one write (RFC 2920 3.1), and the stage at which each is answered."""

    stages: tuple[Stage, ...]
    commands: bytes


_IN_ONE = (Stage.MAIL, Stage.RCPT, Stage.DATA)
_DATA = b"DATA\r\n"


def groups_of(email: Email, offers: Offers) -> list[Group]:
    """The commands of a letter up to DATA."""
    mail = _mail_command(email, offers)
    to, *copies = [b"RCPT TO:<%b>\r\n" % one.encode() for one in email.envelope.rcpt_to]
    if offers.pipelining and not copies:
        return [Group(_IN_ONE, mail + to + _DATA)]
    rcpts = [Group((Stage.RCPT,), one) for one in (to, *copies)]
    groups = [Group((Stage.MAIL,), mail), *rcpts]
    if offers.pipelining:
        # DATA must wait: if To is refused and a copy is not, only the letter or the end of the
        # connection could follow the 354.
        stages = tuple(group.stages[0] for group in groups)
        groups = [Group(stages, b"".join(group.commands for group in groups))]
    return [*groups, Group((Stage.DATA,), _DATA)]


def _mail_command(email: Email, offers: Offers) -> bytes:
    command = f"MAIL FROM:<{email.envelope.mail_from}>"
    if offers.size is not None:
        command += f" SIZE={len(email.data)}"
    if offers.eight_bit and (email.envelope.smtputf8 or not email.data.isascii()):
        command += " BODY=8BITMIME"
    if email.envelope.smtputf8:
        command += " SMTPUTF8"
    return command.encode() + b"\r\n"


def stuffed(email: Email) -> bytes:
    """A letter as it stands on the wire: a dot before each leading dot (RFC 5321 4.5.2)."""
    data = email.data
    if email.is_whole:
        return data
    if b"\r\n." in data:
        data = data.replace(b"\r\n.", b"\r\n..")
    return b"." + data if data.startswith(b".") else data


MAX_LINE = 64 * 1024  # bytes; RFC 5321 4.5.3.1.5 asks for 512
MAX_REPLY = 1024 * 1024  # bytes, over all lines of one reply

# RFC 5321 4.2: a code, then a hyphen on every line but the last; the text may be absent.
_USUAL = re.compile(rb"([1-5][0-9]{2}) ([ -~]{1,500})\r")
_LINE = re.compile(rb"([1-5][0-9]{2})(?:([ -])(.*))?", re.DOTALL)


class NotAReplyError(Exception):
    """The server sent something that is not an SMTP reply."""


class ReplyParser:
    """Cuts what a server sends into replies (RFC 5321 4.2.1)."""

    def __init__(self) -> None:
        self._rest = b""
        self._lines: list[bytes] = []
        self._size = 0
        self._code: bytes | None = None

    @property
    def is_midway(self) -> bool:
        """Whether a reply has begun and not ended."""
        return bool(self._rest) or self._code is not None

    def feed(self, data: bytes) -> Iterator[Reply]:
        """The replies that are complete with this data, however it is cut; LF may end a line.

        NotAReplyError if it is none, too long, or its lines have different codes. The replies
        before it count.
        """
        *lines, self._rest = (self._rest + data).split(b"\n")
        for line in lines:
            reply = _whole_reply(line) if self._code is None else None
            if reply := reply or self._take(line.removesuffix(b"\r")):
                yield reply
        if len(self._rest) > MAX_LINE:
            raise NotAReplyError

    def _take(self, line: bytes) -> Reply | None:
        found = _LINE.fullmatch(line)
        self._size += len(line)
        if found is None or len(line) > MAX_LINE or self._size > MAX_REPLY:
            raise NotAReplyError
        code, mark, text = found.groups()
        if self._code not in {None, code}:
            raise NotAReplyError
        self._lines.append(text or b"")
        if mark == b"-":
            self._code = code
            return None
        reply = Reply.of(int(code), self._lines)
        self._lines, self._size, self._code = [], 0, None
        return reply


@lru_cache(maxsize=256)
def _whole_reply(line: bytes) -> Reply | None:
    """A usual reply of one line, or None; most replies of a server are the same."""
    found = _USUAL.fullmatch(line)
    return Reply.of(int(found[1]), [found[2]]) if found else None
