"""Reads mail from a Maildir or an mbox file, and records the mails of any source in the log."""

import os
import re
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import replace
from itertools import islice, pairwise
from pathlib import Path
from typing import BinaryIO, NamedTuple

from petition import mail_parser, system
from petition.errors import ServerTrouble, UsageError
from petition.inbox import Finding, Kind, pattern
from petition.inbox.bounce import returned
from petition.inbox.classify import classify, feedback_report, set_aside
from petition.inbox.own_words import own_words
from petition.mail_parser import (
    MailPart,
    SetAside,
    all_addresses,
    first_address,
    read_mail,
    tokens_in,
)
from petition.outbox.approvals import above_mark
from petition.outbox.inbound import Incoming, Received, Recorded, failed_on

# What separates the mails of an mbox: a blank line, "From somebody day time year", then a header.
# Programs that do not write `>From` leave such lines of a text as they are.
_BEGINS = rb"From \S{1,320} [^\n]{0,80}\d{2}:\d{2}[^\n]{0,80}\r?\n"
_HEADER = rb"[!-9;-~]{1,80}:"
_NEXT = re.compile(rb"\r?\n(?=\r?\n" + _BEGINS + _HEADER + rb")")
_SEPARATOR = re.compile(_BEGINS + _HEADER)
# The flags in the name of a Maildir's file, which change. Windows allows no colon there: programs
# take a semicolon (mbsync) or an exclamation mark (Python's mailbox).
_FLAGS = re.compile(r":.*|[;!]2,[A-Za-z]*$", re.DOTALL)


class Fetched(NamedTuple):
    """A mail of a source."""

    place: str  # what the source calls it
    data: bytes  # of one that is too large, just enough to show that
    uid: int = 0  # of IMAP
    aside: str = ""  # why its bytes were not even fetched


class MaildirSource:
    """A Maildir (https://cr.yp.to/proto/maildir.html), whose files stay where they are."""

    def __init__(self, path: Path) -> None:
        self.name = f"maildir:{_shown(path)}"
        self._path = path
        if not all((path / name).is_dir() for name in ("cur", "new")):
            hint = 'Name a folder with "cur" and "new" in it'
            raise UsageError(f"{path} is not a Maildir", hint)

    def count(self, known: set[str]) -> int:
        """How many new mails it has: those whose names are not known."""
        return len(self._files(known))

    def mails(self, known: set[str]) -> Iterator[Fetched]:
        """Its new mails, by the time of their delivery."""
        for path, place in self._files(known):
            data = None
            # A mail that its program has moved is read the next time. Links are not followed.
            with suppress(OSError), os.fdopen(system.open_file(path, os.O_RDONLY), "rb") as file:
                data = file.read(mail_parser.BYTES + 1)
            if data is not None:
                yield Fetched(place, data)

    def _files(self, known: set[str]) -> list[tuple[Path, str]]:
        files = [path for name in ("new", "cur") for path in (self._path / name).iterdir()]
        named = [(path, _FLAGS.sub("", _shown(path.name))) for path in files]
        named.sort(key=lambda one: one[0].name)
        return [one for one in named if one[1] not in known and not one[0].name.startswith(".")]


class Mbox:
    """An mbox file (RFC 4155), read from its beginning to its end."""

    def __init__(self, path: Path) -> None:
        self.name = f"mbox:{_shown(path)}"
        self._path = path
        if not path.is_file():
            raise UsageError(f"{path} is not a file", "Name an mbox file in [inbox] url")

    def count(self, known: set[str]) -> int:  # noqa: ARG002 (as below)
        """0: only reading all of it would tell."""
        return 0

    def mails(self, known: set[str]) -> Iterator[Fetched]:  # noqa: ARG002 (they have no names)
        """All mails in it."""
        number = 0
        mail = bytearray()  # a list of lines would take ten times the memory
        is_blank = is_first = True
        with self._path.open("rb") as file:
            for line, following in pairwise(_lines(file)):
                if is_blank and _SEPARATOR.match(line + following):
                    if not is_first:
                        yield Fetched(str(number), _mail(mail))
                        number, mail = number + 1, bytearray()
                elif len(mail) <= mail_parser.BYTES:
                    mail += line[1:] if line.startswith(b">From ") else line
                is_blank, is_first = not line.strip(), False
        if not is_first:
            yield Fetched(str(number), _mail(mail))


def _lines(file: BinaryIO) -> Iterator[bytes]:
    while line := file.readline(1_000_000):  # a line may have no end
        yield line
    yield b""


def _shown(path: Path | str) -> str:
    """A name as the log can keep it; bytes that are not UTF-8 are escaped."""
    return os.fsencode(path).decode("utf-8", "backslashreplace")


def mails_in(data: bytes) -> int:
    """How many mails an mbox file holds; 1 if it is not an mbox file."""
    return 1 + len(_NEXT.findall(data)) if data.startswith(b"From ") else 1


def first_mail(data: bytes) -> bytes:
    """The first mail of an mbox file; all of any other file."""
    found = _NEXT.search(data) if data.startswith(b"From ") else None
    return data[: found.start()] if found else data


def _mail(mail: bytearray) -> bytes:
    """A mail without the blank line that mbox adds to it."""
    data = bytes(mail)
    for end in (b"\r\n", b"\n"):
        if data == end or data.endswith(b"\n" + end):
            return data[: -len(end)]
    return data


BATCH = 200  # mails recorded in one commit, since each waits for the disk
_BATCH_BYTES = 16 * 2**20  # or fewer, if they are large
_ENVELOPE = ("delivered-to", "x-original-to", "envelope-to", "x-envelope-to", "x-delivered-to")
_ID = re.compile(r"<[^<>\s]{1,200}@[^<>\s]{1,200}>")
_ID_IN_TEXT = re.compile(rf"^[> ]*Message-I[Dd]:\s*({_ID.pattern})", re.MULTILINE)
_IDS = 100
# The subject of a bulk letter's unsubscribe link (merge/headers.py), which gateways and mail
# programs change on the way. No other 32 hex digits prove a token.
_LEAVE_TOKEN = re.compile(r"(?<![0-9a-f])[0-9a-f]{32}(?![0-9a-f])", re.ASCII | re.IGNORECASE)
_LEAVES = re.compile(rf"\s*unsubscribe[\s+]*({_LEAVE_TOKEN.pattern})\s*", re.ASCII | re.IGNORECASE)
_CODES = 10
_OF_LISTS = ("list-id", "list-post", "mailing-list", "x-mailing-list")
_WORDS_LENGTH = 20_000
_REFUSES, _HEDGES = pattern("refuses"), pattern("hedges")
_REFUSAL_LENGTH = 2_000  # characters in which a no is looked for
_OF_PERSONS = frozenset({Kind.ANSWER, Kind.UNSUBSCRIBE, Kind.AUTO_REPLY})


def read_into(
    incoming: Incoming,
    mails: Iterable[Fetched],
    source: str,
    validity: int | None = None,
    told: Callable[[], None] = lambda: None,
) -> Iterator[list[Recorded]]:
    """Record the mails of a source, in batches; yields what those of each have changed.

    An interruption loses no batch. `validity` is the UIDVALIDITY of an IMAP mailbox, whose position
    is recorded too; `told` is called for every mail.
    """
    for waiting in incoming.waiting():
        again = received(Fetched(waiting.place, waiting.data), waiting.source)
        yield [incoming.settle(waiting, again)]
    batch: list[Received] = []
    known = incoming.position(source)
    begun = last = known[1] if known and known[0] == validity else 0
    weight = 0
    trouble: ServerTrouble | None = None

    def record() -> list[Recorded]:
        return incoming.record(batch, source, None if validity is None else (validity, last))

    try:
        for fetched in mails:
            last = max(last, fetched.uid)
            told()
            if incoming.knows(_unread(fetched, source)):
                continue  # before it is parsed, which takes time
            batch.append(received(fetched, source))
            weight += len(fetched.data)
            if len(batch) >= BATCH or weight >= _BATCH_BYTES:
                yield record()
                batch, weight = [], 0
    except ServerTrouble as fault:
        trouble = fault  # what came before it is recorded first
    if batch or last > begun:
        yield record()
    if trouble:
        raise trouble


def received(fetched: Fetched, source: str) -> Received:
    """A mail with all that is known of it."""
    unread = _unread(fetched, source)
    if fetched.aside:
        return replace(unread, **set_aside(fetched.aside)._asdict())
    try:
        mail = read_mail(fetched.data)
        found = classify(mail)
        own = _ID.search(mail.headers.get("message-id"))
        subject = mail.headers.text("subject")
        words = own_words(mail)[:_WORDS_LENGTH] if found.kind in _OF_PERSONS else ""
        return replace(
            unread,
            message_id=own[0] if own else "",
            sender=first_address(mail.headers.text("from")),
            subject=subject[:1_000],
            words=words,
            tokens=(*_tokens(mail, found)[:_IDS], *_leave_tokens(subject, words)),
            message_ids=tuple(_message_ids(mail, found)),
            display_name=_display_name(mail),
            sent_to=tuple(all_addresses(", ".join(mail.headers.all(*_ENVELOPE, "to", "cc")[:50]))),
            is_to_many=_is_to_many(mail),
            codes=tuple(_codes(mail, subject)),
            refuses=_finds(_REFUSES, words),
            hedges=_finds(_HEDGES, words),
            **found._asdict(),
        )
    except SetAside as reason:
        return replace(unread, **set_aside(str(reason))._asdict())
    except Exception as fault:  # noqa: BLE001 (one mail must not stop all later ones)
        return failed_on(unread, fault)


def _display_name(mail: MailPart) -> str:
    """The name before the sender's address, or ""."""
    text = mail.headers.text("from")
    name = text.rpartition("<")[0] if "<" in text else ""
    return re.sub(r"\\(.)", r"\1", name.strip().strip('"')).strip()


def _is_to_many(mail: MailPart) -> bool:
    """Whether a list has sent a mail, or it says that it goes to many (RFC 2919, RFC 3834 2)."""
    headers = mail.headers
    is_bulk = headers.get("precedence").strip().lower() in {"bulk", "junk", "list"}
    return is_bulk or any(name in headers for name in _OF_LISTS)


def _codes(mail: MailPart, subject: str) -> Iterator[str]:
    """What could be tokens in a mail's subject and texts, those of mails within it included."""
    texts = mail.texts("text/plain", "text/html", returned=True)
    found = (one.lower() for text in (subject, *texts) for one in _LEAVE_TOKEN.findall(text))
    return islice(dict.fromkeys(islice(found, _IDS)), _CODES)


def _finds(sought: re.Pattern[str], words: str) -> bool:
    """Whether something is in a person's own words, above what they quote without marks."""
    own = above_mark(words[:_REFUSAL_LENGTH])
    return sought.search(own.replace("’", "'")) is not None


def _unread(fetched: Fetched, source: str) -> Received:
    # Without its bytes, what the source calls a mail tells it from others.
    data = f"{source} {fetched.place}".encode() if fetched.aside else fetched.data
    return Received(data, source, fetched.place)


def _tokens(mail: MailPart, found: Finding) -> list[str]:
    fields = mail.headers.all(*_ENVELOPE, "to", "cc")[:50]
    if found.kind == Kind.COMPLAINT:
        # It goes to an address without a token, and tells the return path of the letter.
        fields += [headers.get("return-path") for headers in returned(mail)]
        report = feedback_report(mail)
        fields += [report.get("original-mail-from")] if report else []
    return tokens_in([address for text in fields for address in all_addresses(text)])


def _leave_tokens(subject: str, words: str) -> list[str]:
    """The tokens of a mail that a link to leave has made; quoted letters have them too."""
    found = _LEAVE_TOKEN.findall(subject[:500].replace("%20", " "))
    return found[:_IDS] or (
        [one[1]] if (one := _LEAVES.fullmatch(words[:200].replace("%20", " "))) else []
    )


def _message_ids(mail: MailPart, found: Finding) -> list[str]:
    """The Message-IDs that a mail brings back or answers, the most likely first."""
    ids: list[str] = []
    if found.kind not in {Kind.ANSWER, Kind.UNSUBSCRIBE}:
        for headers in returned(mail):
            ids += _ID.findall(headers.get("message-id")[:1_000])
        for text in mail.texts("text/plain"):
            ids += _ID_IN_TEXT.findall(text)
    # Some mails have a field twice that is allowed once, and either can name the letter.
    for field in mail.headers.all("in-reply-to", "original-message-id", "x-original-message-id"):
        ids += _ID.findall(field[:5_000])
    # The last reference is the mail that is answered (RFC 5322 3.6.4).
    for field in mail.headers.all("references")[:5]:
        ids += reversed(_ID.findall(field[:50_000]))
    return list(dict.fromkeys(ids))[:_IDS]
