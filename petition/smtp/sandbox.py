"""An SMTP server on this machine that writes mail to a Maildir and delivers none."""

import asyncio
import logging
import os
import secrets
import stat
import time
import weakref
from itertools import count
from pathlib import Path
from typing import Self

from aiosmtpd.smtp import SMTP, Envelope
from aiosmtpd.smtp import Session as Visit

from petition import system
from petition.errors import PetitionError
from petition.smtp.replies import NOBODY

_FOLDERS = ("tmp", "new", "cur")


class Maildir:
    """A Maildir (https://cr.yp.to/proto/maildir.html) for its owner alone, or PetitionError."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._numbers = count(1)
        for folder in (path, *(path / name for name in _FOLDERS)):
            _make(folder)

    def keep(self, data: bytes) -> str:
        """Write a letter to the disk as it is, or nothing of it (OSError); its name in `new`."""
        moment = time.time_ns() // 1000
        unique = f"M{moment % 10**6}P{os.getpid()}Q{next(self._numbers)}R{secrets.token_hex(4)}"
        name = f"{moment // 10**6}.{unique}.sandbox.eml"
        draft = self.path / "tmp" / name
        try:
            _write(draft, data)
            draft.rename(self.path / "new" / name)
        except OSError:
            draft.unlink(missing_ok=True)
            raise
        return name


def _make(folder: Path) -> None:
    try:
        folder.mkdir(mode=0o700, exist_ok=True)
        kind = folder.lstat().st_mode
    except OSError as fault:
        raise PetitionError(
            f"cannot make the folder {folder}: {fault.strerror}", "Check its path and permissions"
        ) from None
    # A link could lead the letters to where others can read them.
    if not stat.S_ISDIR(kind):
        raise PetitionError(f"{folder} is a link or a file, not a folder", "Remove it")


def _write(file: Path, data: bytes) -> None:
    descriptor = system.open_file(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL)
    with os.fdopen(descriptor, "wb") as stream:
        stream.write(data)
        stream.flush()
        os.fsync(descriptor)


HOST = "127.0.0.1"
SIZE_LIMIT = 50 * 1024 * 1024  # bytes of one letter
HOST_NAME = "sandbox.invalid"  # RFC 2606: a name that nobody has
_CLOSING_ROUNDS = 100


class Sandbox:
    """The server, while it is entered, in the running event loop.

    Every letter becomes a file in a Maildir, with exactly the bytes that came. The port is on
    the loopback address; 0 is any free one, which it has when entered. `kept` counts the
    letters.
    """

    def __init__(self, maildir: Path, port: int = 0) -> None:
        self._maildir = Maildir(maildir)
        self.port = port
        self.kept = 0
        self._listener: asyncio.Server | None = None
        self._visits: weakref.WeakSet[SMTP] = weakref.WeakSet()

    async def __aenter__(self) -> Self:
        # aiosmtpd logs connections, which would confuse people who send letters.
        logging.getLogger("mail.log").disabled = True
        loop = asyncio.get_running_loop()
        try:
            self._listener = await loop.create_server(self._receive, HOST, self.port)
        except OSError as fault:
            raise PetitionError(
                f"cannot open port {self.port}: {fault.strerror}", "Choose another port"
            ) from None
        self.port = self._listener.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *error: object) -> None:
        if self._listener is None:
            return
        self._listener.close()
        for visit in self._visits:
            if isinstance(visit.transport, asyncio.Transport):
                visit.transport.abort()
        for _ in range(_CLOSING_ROUNDS):  # until the loop has closed each connection
            if not any(visit.transport for visit in self._visits):
                break
            await asyncio.sleep(0)
        await self._listener.wait_closed()

    def _receive(self) -> SMTP:
        visit = SMTP(
            self,
            data_size_limit=SIZE_LIMIT,
            enable_SMTPUTF8=True,
            hostname=HOST_NAME,
            ident="keeps mail and delivers none",
            loop=asyncio.get_running_loop(),
        )
        self._visits.add(visit)
        return visit

    async def handle_DATA(  # noqa: N802 (the name that aiosmtpd looks for)
        self,
        server: SMTP,  # noqa: ARG002
        session: Visit,  # noqa: ARG002
        envelope: Envelope,
    ) -> str:
        """Keep a letter, and return the reply to its final dot."""
        try:
            name = await asyncio.to_thread(self._maildir.keep, envelope.original_content or b"")
        except OSError as fault:
            return f"452 4.3.1 The letter could not be kept: {fault.strerror}"
        self.kept += 1
        return f"250 2.0.0 Kept as {name}; {NOBODY}"
