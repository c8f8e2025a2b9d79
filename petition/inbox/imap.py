"""Reads an IMAP mailbox and changes nothing in it: EXAMINE, BODY.PEEK (RFC 9051 6.3.3, 6.4.5).

The only module that imports imap-tools. Certificates are always verified; without TLS only a server
on this machine is read.
"""

import imaplib
import os
import re
import socket
import ssl
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from itertools import pairwise, takewhile
from typing import Any, Self
from urllib.parse import unquote, urlsplit

from imap_tools import BaseMailBox
from imap_tools.errors import ImapToolsError, MailboxTaggedResponseError

from petition import mail_parser
from petition.campaign.server import is_loopback
from petition.campaign.settings import Inbox
from petition.credentials import Secret, SecretSource, find_password, find_token
from petition.errors import ServerTrouble
from petition.inbox.mailboxes import Fetched
from petition.oauth import (
    CHALLENGE_ANSWERS,
    Account,
    find_login,
    oauthbearer,
    told_refusal,
    xoauth2,
)
from petition.smtp.login import certificate_hint

_SECONDS = 60  # until a server begins to reply
_GOODBYE_SECONDS = 5  # until it replies to LOGOUT
_COMMAND_SECONDS = 120  # for the whole reply to a command; fetching mails may take longer:
_BYTES_A_SECOND = 8 * 2**10
_REPLY_BYTES = 8 * 2**20  # of a reply without the mails in it: 800,000 UIDs
_LARGEST_UID = 2**32 - 1  # RFC 9051 2.3.1.1
# Not the 29 minutes of RFC 2177: what the server says as IDLE begins can stay in a buffer, unseen.
_IDLE_SECONDS = 30
_POLL_SECONDS = 60
_SIZES_AT_ONCE = 500
_BYTES_AT_ONCE = 4 * 2**20
_GONE = re.compile(r"\[EXPUNGEISSUED\]", re.IGNORECASE)  # RFC 9051 7.1
_UNSHOWN = re.compile(r"[^ -~]")
_UID = re.compile(rb"UID (\d{1,10})(?!\d)")
_SIZE = re.compile(rb"RFC822\.SIZE (\d{1,15})(?!\d)")
# What imaplib raises on a malformed reply, which is the server's fault too.
_MALFORMED = (ValueError, TypeError, LookupError, AttributeError)


class _Client(imaplib.IMAP4):
    """imaplib's client with limits: it would read, and wait for, all that a server announces."""

    expected = 0  # bytes of mails in the reply to the next command
    patience = _COMMAND_SECONDS

    def __init__(self, host: str, port: int, context: ssl.SSLContext | None) -> None:
        self._context = context  # None: without TLS at first
        super().__init__(host, port, _SECONDS)

    def _begin(self) -> None:
        expected, self.expected = self.expected, 0
        self.is_exceeded = False
        self._left = 2 * expected + _REPLY_BYTES + (mail_parser.BYTES if expected else 0)
        self._until = time.monotonic() + self.patience + expected / _BYTES_A_SECOND

    def open(self, host: str = "", port: int = 143, timeout: float | None = None) -> None:
        """Connect."""
        self._line = bytearray()  # what has arrived of a line, while IDLE is polled
        self._begin()
        super().open(host, port, timeout)
        self._read_from(self.sock)
        if self._context:
            self._encrypt(self._context)

    def start_tls(self, context: ssl.SSLContext) -> None:
        """Begin TLS; nothing that was said before it counts (RFC 9051 11.1)."""
        status, _ = self._simple_command("STARTTLS")
        if status != "OK":
            raise self.error
        self.sock.settimeout(0)
        with suppress(BlockingIOError):
            self._waiting()
            what = f"{self.host}:{self.port}, or somebody on the way to it, sent text between"
            hint = "Nothing was sent, not even the password. Try another network"
            raise ServerTrouble(f"{what} STARTTLS and TLS", f"{hint}, and tell the provider")
        self.sock.settimeout(_SECONDS)
        self._encrypt(context)
        self.untagged_responses.clear()
        self._get_capabilities()

    def _encrypt(self, context: ssl.SSLContext) -> None:
        self._read_from(context.wrap_socket(self.sock, server_hostname=self.host))

    def _read_from(self, sock: socket.socket) -> None:
        self.sock = sock
        self._stream = sock.makefile("rb")

    def shutdown(self) -> None:
        """Close the connection."""
        self._stream.close()
        super().shutdown()

    def read(self, size: int) -> bytes:
        """So many bytes of the reply."""
        self._spend(size)
        data = bytearray()
        while len(data) < size:
            piece = self._waiting()[: size - len(data)]
            if not piece:
                raise self.abort("the server closed the connection")
            data += self._stream.read(len(piece))
        return bytes(data)

    def readline(self) -> bytes:
        """A line of the reply."""
        while not self._line.endswith(b"\n"):
            piece = self._waiting()
            end = piece.find(b"\n") + 1 or len(piece)
            if not end:
                break
            self._spend(end)
            self._line += self._stream.read(end)
        line, self._line = bytes(self._line), bytearray()
        return line

    def _waiting(self) -> bytes:
        """What has arrived and was not read; waits for it as long as the command may take."""
        left = self._until - time.monotonic()
        try:
            if left <= 0:
                raise TimeoutError  # noqa: TRY301 (as if the socket had raised it)
            if may_wait := bool(self.sock.gettimeout()):  # not while IDLE is polled
                self.sock.settimeout(min(_SECONDS, left))
            piece = self._stream.peek(1)
        except TimeoutError:
            raise self._exceeded("[TIMEOUT] the reply takes too long") from None
        if not (piece or may_wait):
            raise BlockingIOError  # as TLS does; without TLS it looks like the end
        return piece

    def _spend(self, size: int) -> None:
        self._left -= size
        if self._left < 0:
            raise self._exceeded("[TOOBIG] the server sends more than it was asked for")

    def _exceeded(self, what: str) -> imaplib.IMAP4.abort:
        self.is_exceeded = True  # imaplib replaces our exception by one of its own
        return self.abort(what)

    def _command(self, name: str, *arguments: str) -> bytes:
        self._begin()
        tag: bytes = super()._command(name, *arguments)  # type: ignore[misc]
        return tag


class _Box(BaseMailBox):
    """imap-tools' mailbox over our client."""

    def __init__(self, client: _Client) -> None:
        self._ours = client
        super().__init__()

    def _get_mailbox_client(self) -> imaplib.IMAP4:
        return self._ours


class IdleRefused(ServerTrouble):
    """The server offers IDLE but does not follow RFC 2177."""


class Imap:
    """An open IMAP mailbox; ServerTrouble if it is refused.

    `imaps://user@host:port/FOLDER` begins with TLS (RFC 8314), `imap://...` with STARTTLS, which
    only a server on this machine may do without. `account` is whose token the server gets.
    """

    def __init__(
        self, settings: Inbox, account: Account | None = None, *, may_idle: bool = True
    ) -> None:
        self._is_idle = self._is_broken_off = False
        self._may_idle = may_idle
        parts = urlsplit(settings.url)
        is_tls = parts.scheme == "imaps"
        self._host, self._port = settings.host, parts.port or (993 if is_tls else 143)
        self._user = settings.username
        self._folder = unquote(parts.path.strip("/")) or "INBOX"
        place = f"{parts.username}@{parts.netloc.rpartition('@')[2]}/{self._folder}"
        self.name = f"{parts.scheme}://{place}"
        secret = secret_of(settings, account)
        with self._explained("cannot be reached"):
            context = ssl.create_default_context()  # verifies certificates and names
            self._client = _Client(self._host, self._port, context if is_tls else None)
        self._box = _Box(self._client)
        try:
            if not is_tls:
                self._encrypt(context)
            again = "Run petition login inbox" if settings.auth == "oauth" else ""
            with self._explained("refuses the login", again):
                self._log_in(secret, settings.auth)
            with self._explained(f'has no folder "{self._folder}" to read'):
                self._box.folder.set(self._folder, readonly=True)
            self.validity = self._validity()
        except BaseException:
            self.close()
            raise

    def mails(self, after: int, since: str | None, again: Iterable[str] = ()) -> Iterator[Fetched]:
        """The mails that came after one (its UID), oldest first; ServerTrouble if they do not come.

        `since` is a day as IMAP writes it (`28-Sep-2015`); `again` are the places of earlier mails
        that are wanted once more, if they still exist.
        """
        with self._explained("does not send its mails"):
            earlier = (place.partition(":") for place in again)
            uids = [int(uid) for of, _, uid in earlier if of == str(self.validity)]
            uids = sorted({*uids, *self._uids(after, since)})
            for start in range(0, len(uids), _SIZES_AT_ONCE):
                sizes = self._sizes(uids[start : start + _SIZES_AT_ONCE])
                for chunk in _chunks(sizes):
                    yield from self._fetch(chunk, sizes)

    def count(self, after: int, since: str | None) -> int:
        """How many mails came after one; arguments as for `mails`."""
        with self._explained("does not send its mails"):
            return len(self._uids(after, since))

    def wait(self) -> None:
        """Wait until something may have arrived: with IDLE, else for a minute."""
        with self._explained("closed the connection"):
            if self._may_idle and "IDLE" in self._client.capabilities:
                self._idle()
            else:
                time.sleep(_POLL_SECONDS)
                self._client.noop()

    def close(self) -> None:
        """Log out, or just close the connection in the middle of a command such as IDLE."""
        with suppress(imaplib.IMAP4.error, OSError):
            if not (self._is_idle or self._is_broken_off):
                self._client.patience = _GOODBYE_SECONDS
                self._client.logout()
        with suppress(OSError):
            self._client.shutdown()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        # An interrupted command leaves half a reply, after which LOGOUT could wait for long.
        self._is_broken_off = kind is not None
        self.close()

    def _encrypt(self, context: ssl.SSLContext) -> None:
        """STARTTLS, unless the server is on this machine and takes a password without."""
        offered = self._client.capabilities
        if is_loopback(self._host) and "LOGINDISABLED" not in offered:
            return
        if "STARTTLS" not in offered:
            what = f"{self._host}:{self._port} does not offer STARTTLS, so nothing was sent to it"
            hint = "If the provider has a port for TLS, mostly 993, write imaps:// in [inbox] url"
            raise ServerTrouble(what, hint)
        with self._explained("refuses STARTTLS"):  # as does imaplib, after PREAUTH
            self._client.start_tls(context)

    def _log_in(self, secret: Secret, auth: str) -> None:
        if auth != "password":
            if secret.is_ending:
                secret.renew(secret.text)
            tried = secret.text
            try:
                self._show_token(tried, auth)
            except imaplib.IMAP4.error:  # it has expired, as far as the server is concerned
                if not secret.renew(tried):
                    raise
                self._show_token(secret.text, auth)
        elif secret.text.isascii() and self._user.isascii():
            self._box.login(self._user, secret.text, initial_folder=None)
        else:
            self._box.login_utf8(self._user, secret.text, initial_folder=None)

    def _show_token(self, token: str, auth: str) -> None:
        """Log in by XOAUTH2; with auth "oauth" by OAUTHBEARER if the server offers only that."""
        bearer = oauthbearer(self._user, self._host, self._port, token)
        name, said = "XOAUTH2", xoauth2(self._user, token)
        offered = self._client.capabilities
        if auth == "oauth" and "AUTH=OAUTHBEARER" in offered and "AUTH=XOAUTH2" not in offered:
            name, said = "OAUTHBEARER", bearer
        answers, reasons = iter([said]), [""]

        def answer(challenge: bytes) -> bytes:
            reasons.append(told_refusal(challenge))
            return next(answers, CHALLENGE_ANSWERS[name])

        try:
            self._client.authenticate(name, answer)
        except imaplib.IMAP4.abort:
            raise
        except imaplib.IMAP4.error as fault:
            if reason := reasons[-1].replace(token, "***"):
                raise self._client.error(f"[TOKEN] {reason}{_said(fault)}") from None
            raise

    def _idle(self) -> None:
        self._is_idle = True  # if a person interrupts it, do not wait for its end
        try:
            self._box.idle.start()  # type: ignore[no-untyped-call]
            self._box.idle.poll(timeout=_IDLE_SECONDS)
            self._box.idle.stop()  # type: ignore[no-untyped-call]
        except MailboxTaggedResponseError:
            what = f"{self._host}:{self._port} offers IDLE, but refuses it"
            raise IdleRefused(what, "Start again") from None
        self._is_idle = False

    def _validity(self) -> int:
        with self._explained("does not say how its mails are numbered"):
            _, found = self._client.response("UIDVALIDITY")
            first = found[0] if found else None
            return _number(first) if isinstance(first, bytes) else 0

    def _uids(self, after: int, since: str | None) -> list[int]:
        # "n:*" names the last mail even if it is older (RFC 9051 6.4.8).
        criteria = f"UID {after + 1}:*" + (f" SINCE {since}" if since else "")
        uids = (_number(uid.encode()) for uid in self._box.uids(criteria, charset=None))
        return sorted({uid for uid in uids if uid > after})

    def _sizes(self, uids: list[int]) -> dict[int, int]:
        sizes = dict.fromkeys(uids, 0)
        answer, _ = self._command(uids, "(UID RFC822.SIZE)")
        if answer is None:  # one is refused: its size stays unknown
            each = (self._command([uid], "(UID RFC822.SIZE)")[0] for uid in uids)
            answer = [line for lines in each for line in lines or ()]
        for line in answer:
            text = line[0] if isinstance(line, tuple) else line
            uid, size = _UID.search(text or b""), _SIZE.search(text or b"")
            if uid and size and int(uid[1]) in sizes:
                sizes[int(uid[1])] = int(size[1])
        return sizes

    def _fetch(self, uids: list[int], sizes: dict[int, int]) -> Iterator[Fetched]:
        large = [uid for uid in uids if sizes[uid] > mail_parser.BYTES]
        for uid in large:
            aside = f"it is larger than {mail_parser.BYTES >> 20} MB"
            yield Fetched(f"{self.validity}:{uid}", b"", uid, aside)
        wanted = [uid for uid in uids if uid not in large]
        if not wanted:
            return
        client = self._client
        client.expected = sum(sizes[uid] for uid in wanted) or 1
        try:
            answer, said = self._command(wanted, "(UID BODY.PEEK[])")
        except imaplib.IMAP4.abort:
            # Whole mails count, up to the first that is missing: the next run starts after them.
            found = self._fetched(client.untagged_responses.get("FETCH", []), wanted)
            whole = [found[uid] for uid in takewhile(found.__contains__, wanted)]
            yield from whole
            if not whole and client.is_exceeded:  # the first is to blame: it is not asked for again
                aside = "the server sends too much for it, or too slowly"
                yield Fetched(f"{self.validity}:{wanted[0]}", b"", wanted[0], aside)
            elif not whole:  # which one it is, if it is a mail and not the network
                raise ServerTrouble(
                    f"{self._host}:{self._port} breaks off before the end of mail {wanted[0]} of"
                    f' "{self._folder}"',
                    "Try again later; if it happens again, move that mail out of the folder",
                ) from None
            raise
        if answer is None and len(wanted) > 1:  # one of them is to blame
            for uid in wanted:
                yield from self._fetch([uid], sizes)
        elif answer is None and not _GONE.search(said):
            # It may still be there, and would never be read if we went on after it.
            why = _UNSHOWN.sub("?", said)[:200] or "it does not say why"
            raise ServerTrouble(
                f'{self._host}:{self._port} refuses mail {wanted[0]} of "{self._folder}": {why}',
                "Try again later, or move that mail out of the folder; those before it are read",
            )
        else:
            found = self._fetched(answer or [], wanted)
            yield from (found[uid] for uid in wanted if uid in found)

    def _fetched(self, answer: list[Any], wanted: list[int]) -> dict[int, Fetched]:
        """The mails in an answer, without those that another program has deleted meanwhile."""
        found: dict[int, Fetched] = {}
        for line, after in pairwise([*answer, b""]):
            if isinstance(line, tuple):
                rest = after if isinstance(after, bytes) else b""
                named = _UID.search(line[0]) or _UID.search(rest)
                uid = int(named[1]) if named and rest.endswith(b")") else 0  # else it is cut off
                if uid in wanted and uid not in found:  # nothing else, and nothing twice
                    found[uid] = Fetched(f"{self.validity}:{uid}", bytes(line[1]), uid)
        return found

    def _command(self, uids: list[int], parts: str) -> tuple[list[Any] | None, str]:
        """What the server answers, or None and why it refuses."""
        status, answer = self._client.uid("FETCH", ",".join(map(str, uids)), parts)
        if status == "OK":
            return list(answer), ""
        said = b" ".join(line for line in answer if isinstance(line, bytes))
        return None, said.decode("ascii", "replace")

    @contextmanager
    def _explained(self, what: str, otherwise: str = "") -> Iterator[None]:
        try:
            yield
        except ssl.SSLError as fault:
            reason = getattr(fault, "verify_message", "") or fault.reason or "TLS failed"
            hint = f"{certificate_hint(fault)}; the host is in [inbox] url"
            if fault.reason == "WRONG_VERSION_NUMBER" and self.name.startswith("imaps:"):
                hint = "It may not begin with TLS: write imap:// in [inbox] url"
            what = f"is not trusted: {reason}"
            raise ServerTrouble(f"{self._host}:{self._port} {what}", hint) from None
        except (imaplib.IMAP4.error, ImapToolsError, *_MALFORMED, OSError, EOFError) as fault:
            said = _said(fault)
            hint = otherwise or "Check [inbox] in petition.toml and the network, then try again"
            raise ServerTrouble(f"{self._host}:{self._port} {what}{said}", hint) from None


def secret_of(settings: Inbox, account: Account | None) -> Secret:
    """The secret of the inbox's login."""
    source = SecretSource.of_login("inbox", settings.auth)
    hint = f"Set {source.variable} or {source.setting}"
    if account:
        found, hint = find_login(account, source, os.environ), f"Run {account.command}"
    elif source.kind == "token":
        found = find_token(source, settings.token_command)
    else:
        found = find_password(source, settings.password_command, settings.host, settings.username)
    if found is None:
        what = "login" if settings.auth == "oauth" else source.kind
        raise ServerTrouble(f"there is no {what} for {settings.username} at {settings.host}", hint)
    return found


def _said(fault: Exception) -> str:
    """What went wrong, in one line that never contains the login or its password."""
    if isinstance(fault, OSError):
        return f": {fault.strerror or fault}"
    found = re.search(r"\[[A-Z]{3,30}\] [^'\"\\]{1,200}", str(fault))
    return f": {found[0].strip()}" if found else ""


def _number(text: bytes) -> int:
    """A UID or UIDVALIDITY; 0: it is malformed."""
    number = int(text) if text.isdigit() and len(text) <= len(str(_LARGEST_UID)) else 0
    return number if number <= _LARGEST_UID else 0


def _chunks(sizes: dict[int, int]) -> Iterator[list[int]]:
    """UIDs in portions that fit in memory."""
    chunk: list[int] = []
    weight = 0
    for uid, size in sizes.items():
        if chunk and weight + size > _BYTES_AT_ONCE:
            yield chunk
            chunk, weight = [], 0
        chunk.append(uid)
        weight += size
    if chunk:
        yield chunk
