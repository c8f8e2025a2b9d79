"""Where mail is read from (Maildir, mbox), and its way into the log."""

import os
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from stat import S_ISREG
from typing import NamedTuple

from petition.errors import ServerTrouble, UsageError
from petition.inbox import message
from petition.inbox.bounce import returned
from petition.inbox.classify import feedback_report, set_aside, sort
from petition.inbox.message import (
    MailPart,
    SetAside,
    all_addresses,
    first_address,
    read_mail,
    tokens_in,
)
from petition.inbox.own_words import own_words
from petition.inbox.patterns import Finding, Kind
from petition.outbox.inbound import Incoming, Received, Recorded, failed_on

# The line before each mail of an mbox: a blank one, then "From somebody day time year".
_NEXT = re.compile(
    rb"\r?\n(?=\r?\nFrom \S{1,320} [^\n]{0,80}\d{2}:\d{2}[^\n]{0,80}\r?\n[!-9;-~]{1,80}:)"
)

# Neither through a link nor waiting for a pipe; Windows has neither flag, nor such files.
_TO_READ = (
    os.O_RDONLY
    | getattr(os, "O_BINARY", 0)
    | getattr(os, "O_NOFOLLOW", 0)
    | getattr(os, "O_NONBLOCK", 0)
)


class Fetched(NamedTuple):
    """A mail of a source.

    Args:
        place: What the source calls it.
        data: Its bytes; where it is larger than is read, only so much that this shows.
        uid: Its UID, where the source is IMAP.
        aside: Why its bytes were not even fetched, or an empty text.
    """

    place: str
    data: bytes
    uid: int = 0
    aside: str = ""


class MaildirSource:
    """A Maildir (https://cr.yp.to/proto/maildir.html), whose files stay where they are.

    Args:
        path: Its folder, with `cur` and `new`.

    Raises:
        UsageError: It is no Maildir.
    """

    def __init__(self, path: Path) -> None:
        self.name = f"maildir:{_shown(path)}"
        self._path = path
        if not all((path / name).is_dir() for name in ("cur", "new")):
            raise UsageError(
                f"{path} is no Maildir", 'Name a folder that has "cur" and "new" in it'
            )

    def count(self, known: set[str]) -> int:
        """How many mails in it are not known."""
        return len(self._files(known))

    def mails(self, known: set[str]) -> Iterator[Fetched]:
        """The mails in it that are not known, by the time of their delivery."""
        for path, place in self._files(known):
            try:
                data = _content(path)
            except OSError:  # the mail program has moved it (it is read the next time), or a link
                continue
            if data is not None:
                yield Fetched(place, data)

    def _files(self, known: set[str]) -> list[tuple[Path, str]]:
        files = [path for name in ("new", "cur") for path in (self._path / name).iterdir()]
        # Behind the colon stand the flags, which change.
        named = [(path, _shown(path.name).partition(":")[0]) for path in sorted(files, key=_name)]
        return [
            (path, place)
            for path, place in named
            if place not in known and not path.name.startswith(".")
        ]


class Mbox:
    """An mbox file (RFC 4155), read from its beginning to its end.

    Args:
        path: The file.

    Raises:
        UsageError: It cannot be read.
    """

    def __init__(self, path: Path) -> None:
        self.name = f"mbox:{_shown(path)}"
        self._path = path
        if not path.is_file():
            raise UsageError(f"{path} is no file", "Name an mbox file in [inbox] url")

    def count(self, known: set[str]) -> int:  # noqa: ARG002 (as below)
        """0: only reading it to its end would tell."""
        return 0

    def mails(self, known: set[str]) -> Iterator[Fetched]:  # noqa: ARG002 (they have no names)
        """All mails in it."""
        number = 0
        mail = bytearray()  # no list of lines, which takes ten times the memory
        is_blank = is_first = True
        with self._path.open("rb") as file:
            for line in _lines(file):
                if is_blank and line.startswith(b"From "):
                    if not is_first:
                        yield Fetched(str(number), _mail(mail))
                        number, mail = number + 1, bytearray()
                elif len(mail) <= message.BYTES:
                    mail += line[1:] if line.startswith(b">From ") else line
                is_blank, is_first = not line.strip(), False
        if not is_first:
            yield Fetched(str(number), _mail(mail))


def _name(path: Path) -> str:
    return path.name


def _shown(path: Path | str) -> str:
    """A name as the log can keep it; one that is not UTF-8 has its bytes in numbers."""
    return os.fsencode(path).decode("utf-8", "backslashreplace")


def mails_in(data: bytes) -> int:
    """How many mails an mbox file holds; 1 of what is none.

    Args:
        data: The file, or its beginning.
    """
    return 1 + len(_NEXT.findall(data)) if data.startswith(b"From ") else 1


def first_mail(data: bytes) -> bytes:
    """The first mail of an mbox file; what is none stays as it is.

    Args:
        data: The file.
    """
    found = _NEXT.search(data) if data.startswith(b"From ") else None
    return data[: found.start()] if found else data


def _content(path: Path) -> bytes | None:
    """So much of a file as is read; None: it is a folder, or a pipe or a device without an end."""
    handle = os.open(path, _TO_READ)
    if not S_ISREG(os.fstat(handle).st_mode):
        os.close(handle)
        return None
    with os.fdopen(handle, "rb") as file:
        return file.read(message.BYTES + 1)


def _lines(file: "object") -> Iterator[bytes]:
    """Lines of at most a megabyte, so that a line without an end does no harm."""
    while line := file.readline(1_000_000):  # type: ignore[attr-defined]
        yield line


def _mail(mail: bytearray) -> bytes:
    """A mail without the blank line that mbox puts behind it."""
    data = bytes(mail)
    for end in (b"\r\n", b"\n"):
        if data == end or data.endswith(b"\n" + end):
            return data[: -len(end)]
    return data


BATCH = 200  # mails that are written down together, for each time costs a wait for the disk
_BATCH_BYTES = 16 * 2**20  # or fewer, where they are large
_ENVELOPE = ("delivered-to", "x-original-to", "envelope-to", "x-envelope-to", "x-delivered-to")
_ID = re.compile(r"<[^<>\s]{1,200}@[^<>\s]{1,200}>")
_ID_IN_TEXT = re.compile(rf"^[> ]*Message-I[Dd]:\s*({_ID.pattern})", re.MULTILINE)
_IDS = 100
# What a bulk letter's link writes, where the address for leaving has no token (merge/headers.py).
_LEAVES = re.compile(r"^unsubscribe ([0-9a-f]{32})$", re.ASCII)
_WORDS_LENGTH = 20_000


def read_into(
    incoming: Incoming,
    mails: Iterable[Fetched],
    source: str,
    validity: int | None = None,
    told: Callable[[], None] = lambda: None,
) -> Iterator[list[Recorded]]:
    """Write down the mails of a source; what was written stays when it is interrupted.

    Args:
        incoming: Writes them down.
        mails: The mails, in their order.
        source: The source's name.
        validity: The UIDVALIDITY of a mailbox of IMAP, whose position is kept.
        told: Called for every mail, to show progress.

    Yields:
        What each new mail has changed, as many together as were written down together.
    """
    for waiting in incoming.waiting():
        again = received(Fetched(waiting.place, waiting.data), waiting.source)
        yield [incoming.settle(waiting, again)]
    batch: list[Received] = []
    known = incoming.position(source)
    begun = last = known[1] if known and known[0] == validity else 0
    weight = 0
    trouble: ServerTrouble | None = None
    try:
        for fetched in mails:
            last = max(last, fetched.uid)
            told()
            if incoming.knows(_without_reading(fetched, source)):
                continue  # to take it apart is what takes time
            batch.append(received(fetched, source))
            weight += len(fetched.data)
            if len(batch) >= BATCH or weight >= _BATCH_BYTES:
                yield incoming.record(batch, source, _position(validity, last))
                batch, weight = [], 0
    except ServerTrouble as fault:
        trouble = fault  # what came before it counts
    if batch or last > begun:
        yield incoming.record(batch, source, _position(validity, last))
    if trouble:
        raise trouble


def _position(validity: int | None, last: int) -> tuple[int, int] | None:
    return None if validity is None else (validity, last)


def received(fetched: Fetched, source: str) -> Received:
    """A mail with all that is known of it."""
    if fetched.aside:
        reason = set_aside(fetched.aside).reason
        return replace(_without_reading(fetched, source), reason=reason)
    try:
        mail = read_mail(fetched.data)
        return _received(fetched, source, mail, sort(mail))
    except SetAside as aside:
        reason = set_aside(aside.reason).reason
        return replace(_without_reading(fetched, source), reason=reason)
    except Exception as fault:  # noqa: BLE001 (one mail must not stop all later ones)
        return failed_on(_without_reading(fetched, source), fault)


def _without_reading(fetched: Fetched, source: str) -> Received:
    # Where its own bytes are not there, what the source calls it tells it from others.
    data = f"{source} {fetched.place}".encode() if fetched.aside else fetched.data
    return Received(data, source, fetched.place)


def _received(fetched: Fetched, source: str, mail: MailPart, found: Finding) -> Received:
    headers = mail.headers
    own = _ID.search(headers.get("message-id"))
    words = own_words(mail) if found.kind in _OF_PERSONS else ""
    return Received(
        fetched.data,
        source,
        fetched.place,
        message_id=own[0] if own else "",
        sender=first_address(headers.text("from")),
        subject=headers.text("subject")[:1_000],
        kind=found.kind,
        recipient=found.recipient,
        status=found.status,
        permanent=found.permanent,
        reason=found.reason,
        words=words[:_WORDS_LENGTH],
        is_notice=found.is_notice,
        tokens=(*_tokens(mail, found)[:_IDS], *_LEAVES.findall(headers.text("subject")[:100])),
        message_ids=tuple(_message_ids(mail, found)),
    )


def _tokens(mail: MailPart, found: Finding) -> list[str]:
    return tokens_in([*_addressees(mail), *_return_paths(mail, found)])


def _addressees(mail: MailPart) -> list[str]:
    fields = mail.headers.all(*_ENVELOPE, "to", "cc")
    return [address for text in fields[:50] for address in all_addresses(text)]


def _return_paths(mail: MailPart, found: Finding) -> list[str]:
    """Where the letter came from, as a complaint tells: it goes to an address without a token."""
    if found.kind != Kind.COMPLAINT:
        return []
    fields = [headers.get("return-path") for headers in returned(mail)]
    if report := feedback_report(mail):
        fields.append(report.get("original-mail-from"))
    return [address for text in fields for address in all_addresses(text)]


def _message_ids(mail: MailPart, found: Finding) -> list[str]:
    """The Message-IDs that a mail brings back or answers, the likeliest first."""
    ids: list[str] = []
    if found.kind not in {Kind.ANSWER, Kind.UNSUBSCRIBE}:
        for headers in returned(mail):
            ids += _ID.findall(headers.get("message-id")[:1_000])
        for text in mail.texts("text/plain"):
            ids += _ID_IN_TEXT.findall(text)
    # A field that may be there once is there twice in some mails, and either can name the letter.
    for field in mail.headers.all("in-reply-to", "original-message-id", "x-original-message-id"):
        ids += _ID.findall(field[:5_000])
    # The last reference is the mail that is answered (RFC 5322 3.6.4).
    for field in mail.headers.all("references")[:5]:
        ids += reversed(_ID.findall(field[:50_000]))
    return list(dict.fromkeys(ids))[:_IDS]


_OF_PERSONS = frozenset({Kind.ANSWER, Kind.UNSUBSCRIBE, Kind.AUTO_REPLY})
