"""The headers of an email (RFC 5322, 2047, 6532), and those of bulk mail (RFC 2369, 8058).

`EmailMessage` of Python 3.11 decodes what only looks encoded, so that a cell can add a header
(CVE-2024-6923), and loses the quotes of a long display name (gh-80222).
"""

import hashlib
import re
from binascii import b2a_base64
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from email.utils import format_datetime
from urllib.parse import quote

from petition.address import CONTROL, Mailbox
from petition.identity import chance_unsubscribe_token
from petition.merge.document import Frozen
from petition.template.fields import CellRefused

LINE_LENGTH = 76
TEXT_LIMIT = 900  # characters of a subject or display name

_WORD_LENGTH = 75  # RFC 2047 2: of an encoded word
_AROUND = len("=?utf-8?B??=")

# Text that reads back as it stands: single spaces between words that are not encoded words.
_PLAIN = re.compile(r"[!-~]{1,60}(?: [!-~]{1,60})*")
# RFC 5322 3.2.3: words that need no quotes.
_ATOMS = re.compile(r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+(?: [A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+)*")


def check_text(text: str, where: str) -> str:
    """A text that can stand in a header."""
    # The first test is quick, and nearly every text passes it.
    if not text.isprintable() and (unseen := CONTROL.search(text)):
        code = f"U+{ord(unseen.group()):04X}"
        raise CellRefused(f"{where} contains the control character {code}", "Type the text again")
    if len(text) > TEXT_LIMIT:
        what = f"{where} is longer than {TEXT_LIMIT} characters"
        raise CellRefused(what, "Make it shorter")
    return text


def check_name(name: str) -> str:
    """A display name that can stand in a header."""
    if name != name.strip(" "):
        raise CellRefused("the name begins or ends with a space", "Delete the spaces")
    return check_text(name, "the name")


def subject_header(subject: str) -> str:
    """The header Subject, folded."""
    if _PLAIN.fullmatch(subject) and "=?" not in subject:
        if len(subject) <= LINE_LENGTH - len("Subject: "):
            return f"Subject: {subject}\r\n"
        return _folded("Subject:", subject.split(" "))
    return _folded("Subject:", list(_encoded(subject, len("Subject: "))))


def mailbox_header(name: str, mailboxes: Sequence[Mailbox]) -> str:
    """A header of mailboxes: From, To, Cc, Reply-To."""
    words = _mailbox_words(mailboxes[0], len(name) + 2)
    for mailbox in mailboxes[1:]:
        words[-1] += ","
        words += _mailbox_words(mailbox, len(name) + 2)
    return _folded(f"{name}:", words)


def date_header(date: datetime) -> str:
    """The header Date."""
    return f"Date: {format_datetime(date.replace(microsecond=0))}\r\n"


def thread_headers(thread: Sequence[str]) -> str:
    """In-Reply-To and References (RFC 5322 3.6.4) of a reply; "" for the first of a thread."""
    if not thread:
        return ""
    return f"In-Reply-To: {thread[-1]}\r\n{_folded('References:', thread)}"


def _mailbox_words(mailbox: Mailbox, column: int) -> list[str]:
    if not mailbox.display_name:
        return [mailbox.addr_spec]
    return [*_phrase(mailbox.display_name, column), f"<{mailbox.addr_spec}>"]


def _phrase(name: str, column: int) -> list[str]:
    room = LINE_LENGTH - column
    if len(name) <= room and name.isascii() and "=?" not in name:
        if _ATOMS.fullmatch(name):
            return [name]
        escaped = name.replace("\\", "\\\\").replace('"', '\\"')
        if len(escaped) + 2 <= room:
            return [f'"{escaped}"']
    return list(_encoded(name, column))


def _encoded(text: str, column: int) -> Iterator[str]:
    """A text as encoded words of whole characters, and where possible of whole words."""
    # Some programs (Python too) show a blank between two encoded words, against RFC 2047 6.2: it
    # should not stand in the middle of a name.
    rest, room = text.encode(), _bytes_in(LINE_LENGTH - column)
    while len(rest) > room:
        end = room
        while rest[end] & 0xC0 == 0x80:  # inside a character (RFC 3629 3)
            end -= 1
        blank = rest.rfind(b" ", 1, end)
        end = blank + 1 if blank > 0 else end
        yield _encoded_word(rest[:end])
        rest, room = rest[end:], _bytes_in(LINE_LENGTH - 1)
    yield _encoded_word(rest)


def _bytes_in(length: int) -> int:
    """How many bytes an encoded word of a length can carry."""
    return (min(length, _WORD_LENGTH) - _AROUND) // 4 * 3


def _encoded_word(word: bytes) -> str:
    return f"=?utf-8?B?{b2a_base64(word, newline=False).decode('ascii')}?="


def _folded(start: str, words: Sequence[str]) -> str:
    line = " ".join((start, *words))
    if len(line) <= LINE_LENGTH:
        return f"{line}\r\n"
    lines = []
    line = start
    for word in words:
        if len(line) + 1 + len(word) > LINE_LENGTH and line != start:
            lines.append(line)
            line = ""
        line += f" {word}"
    return "\r\n".join([*lines, line]) + "\r\n"


# The headers of a bulk letter, in their order; DKIM signs each of them. RFC 2369, 8058, 2919;
# Feedback-ID is for Google's complaint reports. None of them says anything about the recipient.
BULK_HEADERS = ("List-Unsubscribe", "List-Unsubscribe-Post", "List-ID", "Feedback-ID", "Precedence")

_SENDER_ID = slice(0, 15)  # Google: 5 to 15 characters, the same in all of a sender's letters
_OF_AN_ADDRESS = "@!$*-._~'+="  # RFC 6068 2: what needs no escape in a mailto link


class Mailing:
    """The headers of one bulk letter (`for_all`: those of all copies), and its unsubscribe links.

    `url` is the unsubscribe page, `mailto` the address, with or without `{token}`; either may
    be None.
    """

    def __init__(self, url: str | None, mailto: str | None, for_all: Mapping[str, str]) -> None:
        self._url = url.rstrip("/") if url else None
        self._mailto = mailto
        self._for_all = for_all
        # All tokens have the same length, so that the lines are folded alike.
        token = chance_unsubscribe_token()
        words = self._words(token)
        self.names = tuple(words)
        self._headers = "".join(_folded(f"{name}:", words[name]) for name in words).split(token)

    @classmethod
    def of(cls, frozen: Frozen) -> "Mailing | None":
        """That of a frozen letter; None if it is a personal one, or names no way to unsubscribe."""
        ways = frozen.document["unsubscribe"]
        if not frozen.is_bulk or not any(ways.values()):
            return None
        campaign, domain = _ascii(frozen.campaign_id), frozen.sender.domain
        sender = re.sub("[^a-z0-9]", "", domain)[_SENDER_ID].ljust(5, "0")
        for_all = {
            "List-ID": f"<{campaign}.{domain}>",
            "Feedback-ID": f"{_ascii(frozen.letter)}:{campaign}:bulk:{sender}",
            "Precedence": "bulk",
        }
        return cls(ways.get("url"), ways.get("mailto"), for_all)

    def link(self, token: str) -> str:
        """A person's own unsubscribe link."""
        return f"{self._url}/u/{token}" if self._url else self._mail_link(token)

    def headers(self, token: str) -> str:
        """The headers of a copy, each with its line end."""
        return token.join(self._headers)

    def values(self, token: str) -> dict[str, str]:
        """The headers of a copy, unfolded."""
        return {name: " ".join(words) for name, words in self._words(token).items()}

    def _words(self, token: str) -> dict[str, list[str]]:
        """The headers of a copy by name, each in words between which it can be folded."""
        page = [self.link(token)] if self._url else []
        mail = [self._mail_link(token)] if self._mailto else []
        ways = [f"<{way}>" for way in (*page, *mail)]
        words = {"List-Unsubscribe": [f"{way}," for way in ways[:-1]] + ways[-1:]}
        if self._url:
            words["List-Unsubscribe-Post"] = ["List-Unsubscribe=One-Click"]
        return words | {name: [text] for name, text in self._for_all.items()}

    def _mail_link(self, token: str) -> str:
        """A mail that is matched by its address, or else by its subject."""
        to = self._mailto or ""
        subject = "unsubscribe" if "{token}" in to else f"unsubscribe%20{token}"
        address = quote(to.replace("{token}", token), safe=_OF_AN_ADDRESS)
        return f"mailto:{address}?subject={subject}"


def _ascii(name: str) -> str:
    """A name as it can stand in a List-ID (RFC 2919 2: dot-atom-text) and a Feedback-ID."""
    if re.fullmatch(r"[A-Za-z0-9_-]+(?:\.[A-Za-z0-9_-]+)*", name):
        return name
    return hashlib.sha256(name.encode()).hexdigest()[:12]
