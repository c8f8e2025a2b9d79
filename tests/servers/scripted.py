"""An SMTP server that follows a script: at each phase it can say anything, hang up or stay silent.

It is a real TCP server on the loopback address. It keeps every byte that it was sent, and every
letter whose final dot arrived.
"""

import asyncio
import socket
import ssl
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from enum import Enum, StrEnum

from tests import PATIENCE

AHEAD_SECONDS = 0.05  # in which what was written together with a dot has arrived
BODY_GLANCE = 1000  # bytes of a letter that are read before the script of BODY is followed


class Phase(StrEnum):
    GREETING = "greeting"
    EHLO = "ehlo"
    STARTTLS = "starttls"
    AUTH = "auth"
    MAIL = "mail"
    RCPT = "rcpt"
    DATA = "data"
    BODY = "body"
    DOT = "dot"
    RSET = "rset"
    QUIT = "quit"


class Then(Enum):
    GO_ON = 1
    HANG_UP = 2
    STAY_SILENT = 3


@dataclass(frozen=True)
class Act:
    """What to do at a phase: say something (None: what a good server says), then go on or not."""

    say: bytes | None = None
    then: Then = Then.GO_ON
    extra: bytes = b""  # sent in one write with what is said
    seconds: float = 0.0  # before it is said


def answer(text: str) -> Act:
    return Act(text.encode() + b"\r\n")


def closing(text: str = "421 4.3.2 Closing down") -> Act:
    return Act(text.encode() + b"\r\n", Then.HANG_UP)


HANG_UP = Act(b"", Then.HANG_UP)
SILENT = Act(b"", Then.STAY_SILENT)
GARBAGE = Act(b"\x00\xff\x1b[2J this is no reply\r\n", Then.STAY_SILENT)
HALF = Act(b"250-half a reply\r\n", Then.STAY_SILENT)
HALF_THEN_GONE = Act(b"250-half a reply\r\n", Then.HANG_UP)
EXTRA = Act(extra=b"250 2.0.0 nobody asked\r\n")

Script = Mapping[Phase, Act | Sequence[Act]]


@dataclass
class Letter:
    """A letter whose final dot arrived."""

    mail_from: bytes
    rcpt_to: list[bytes]
    wire: bytes  # as it came, without the final dot
    reply: bytes = b""

    @property
    def data(self) -> bytes:
        lines = self.wire.split(b"\r\n")
        return b"\r\n".join(line[1:] if line.startswith(b".") else line for line in lines)

    @property
    def was_accepted(self) -> bool:
        return (
            self.reply.startswith(b"2") and self.reply.endswith(b"\n") and self.reply[3:4] != b"-"
        )


@dataclass
class Conversation:
    """What one connection brought."""

    raw: bytearray = field(default_factory=bytearray)
    commands: list[bytes] = field(default_factory=list)
    letters: list[Letter] = field(default_factory=list)
    is_encrypted: bool = False
    refused_ahead: list[bytes] = field(default_factory=list)

    @property
    def verbs(self) -> list[str]:
        return [command.split(b" ")[0].decode() for command in self.commands]


class ScriptedServer:
    """The server; acts for a phase are used up in turn, and after them it behaves well."""

    def __init__(
        self,
        script: Script | None = None,
        *,
        extensions: Sequence[str] = ("PIPELINING", "8BITMIME", "SMTPUTF8", "SIZE 50000000"),
        tls: ssl.SSLContext | None = None,
        starttls: ssl.SSLContext | None = None,
        refuses_ahead: bytes = b"",
        ignores_ahead: int = 0,
    ) -> None:
        # The reply to each command that comes together with a final dot, which is then not carried
        # out: what Haraka does since 3.3.4 against SMTP smuggling.
        self.refuses_ahead = refuses_ahead
        self.ignores_ahead = ignores_ahead  # how many of them get no reply at all, as with Courier
        self.conversations: list[Conversation] = []
        self._script = {
            phase: (acts,) if isinstance(acts, Act) else tuple(acts)
            for phase, acts in (script or {}).items()
        }
        self._extensions = [*extensions, *(["STARTTLS"] if starttls else [])]
        self._tls = tls
        self._starttls = starttls
        self._tasks: set[asyncio.Task[None]] = set()
        self._used: Counter[Phase] = Counter()

    async def __aenter__(self):
        listener = socket.create_server(("127.0.0.1", 0))
        # Small, so that a server that does not read soon makes its client wait.
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 16384)
        self._server = await asyncio.start_server(self._serve, sock=listener, ssl=self._tls)
        self.port = listener.getsockname()[1]
        return self

    async def __aexit__(self, *error):
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._server.wait_closed()

    @property
    def letters(self) -> list[Letter]:
        return [letter for each in self.conversations for letter in each.letters]

    @property
    def accepted(self) -> list[Letter]:
        return [letter for letter in self.letters if letter.was_accepted]

    @property
    def verbs(self) -> list[str]:
        return [verb for each in self.conversations for verb in each.verbs]

    @property
    def commands(self) -> list[bytes]:
        return [command for each in self.conversations for command in each.commands]

    @property
    def reply_seconds(self) -> float:
        """How long a client should wait: not long, but only if the script is silent somewhere."""
        acts = [act for acts in self._script.values() for act in acts]
        return 1 if any(act.then is Then.STAY_SILENT for act in acts) else PATIENCE

    def next_act(self, phase: Phase) -> Act:
        acts = self._script.get(phase, ())
        number = self._used[phase]
        self._used[phase] += 1
        return acts[number] if number < len(acts) else Act()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        self._tasks.add(task)
        visit = _Visit(self, reader, writer)
        self.conversations.append(visit.seen)
        try:
            # Cancelled only at the server's end, where Python 3.11 would log it as a fault.
            with suppress(ConnectionError, ssl.SSLError, _HungUp, asyncio.CancelledError):
                await visit.converse()
        finally:
            self._tasks.discard(task)
            writer.transport.abort()


class _HungUp(Exception):
    pass


class _Visit:
    def __init__(self, server, reader, writer):
        self.seen = Conversation(is_encrypted=server._tls is not None)
        self._server = server
        self._reader = reader
        self._writer = writer
        self._mail_from = None
        self._rcpt_to = []

    async def converse(self):
        await self._act(Phase.GREETING, "220 scripted.test ESMTP")
        while line := await self._read_line():
            command = line.rstrip(b"\r\n")
            self.seen.commands.append(command)
            verb = command.split(b" ")[0].upper().decode("ascii", "replace")
            handler = getattr(self, f"_on_{verb.lower()}", None)
            if handler is None:
                await self._say(b"500 5.5.1 Unknown command\r\n")
            else:
                await handler(command)

    async def _on_ehlo(self, command):
        lines = ["scripted.test", *self._server._extensions]
        text = "".join(f"250-{line}\r\n" for line in lines[:-1]) + f"250 {lines[-1]}"
        await self._act(Phase.EHLO, text)

    async def _on_starttls(self, command):
        reply = await self._act(Phase.STARTTLS, "220 2.0.0 Ready")
        if reply.startswith(b"220"):
            await self._writer.start_tls(self._server._starttls)
            self.seen.is_encrypted = True

    async def _on_auth(self, command):
        await self._act(Phase.AUTH, "235 2.7.0 Welcome")

    async def _on_mail(self, command):
        self._forget()
        if (await self._act(Phase.MAIL, "250 2.1.0 Sender ok")).startswith(b"2"):
            self._mail_from = _path(command)

    async def _on_rcpt(self, command):
        good = "503 5.5.1 MAIL first" if self._mail_from is None else "250 2.1.5 Recipient ok"
        reply = await self._act(Phase.RCPT, good)
        if reply.startswith(b"2"):
            self._rcpt_to.append(_path(command))

    async def _on_data(self, command):
        good = "354 Go ahead" if self._rcpt_to else "554 5.5.1 No valid recipients"
        reply = await self._act(Phase.DATA, good)
        if reply.startswith(b"354"):
            await self._take_letter()

    async def _take_letter(self):
        wire = bytearray()
        if Phase.BODY in self._server._script:
            wire += await self._read(BODY_GLANCE)
            act = self._server.next_act(Phase.BODY)
            await self._say((act.say or b"") + act.extra)
            await self._then(act, reads_on=False)
        while not (wire.endswith(b"\r\n.\r\n") or wire == b".\r\n"):
            wire += await self._read_line(or_fail=True)
        letter = Letter(self._mail_from, self._rcpt_to, bytes(wire).removesuffix(b".\r\n"))
        self.seen.letters.append(letter)
        self._forget()
        ahead = await self._commands_ahead() if self._server.refuses_ahead else []
        self.seen.refused_ahead += ahead
        await self._act(Phase.DOT, "250 2.0.0 Ok: queued as 4711", letter)
        replies = max(0, len(ahead) - self._server.ignores_ahead)
        await self._say((self._server.refuses_ahead + b"\r\n") * replies)

    async def _commands_ahead(self):
        """What came together with a final dot; it is not carried out."""
        with suppress(TimeoutError):
            return (await asyncio.wait_for(self._read(65536), AHEAD_SECONDS)).splitlines()
        return []

    async def _on_rset(self, command):
        self._forget()
        await self._act(Phase.RSET, "250 2.0.0 Flushed")

    async def _on_quit(self, command):
        await self._act(Phase.QUIT, "221 2.0.0 Bye")
        raise _HungUp

    def _forget(self):
        self._mail_from = None
        self._rcpt_to = []

    async def _act(self, phase, good, letter=None):
        act = self._server.next_act(phase)
        said = good.encode() + b"\r\n" if act.say is None else act.say
        if letter is not None:
            letter.reply = said
        await asyncio.sleep(act.seconds)
        await self._say(said + act.extra)
        await self._then(act, reads_on=True)
        return said

    async def _then(self, act, *, reads_on):
        if act.then is Then.HANG_UP:
            raise _HungUp
        if act.then is Then.STAY_SILENT:
            while reads_on and await self._read(65536):
                pass
            await asyncio.Event().wait()

    async def _say(self, data):
        if data:
            self._writer.write(data)
            await self._writer.drain()

    async def _read(self, limit):
        data = await self._reader.read(limit)
        self.seen.raw += data
        return data

    async def _read_line(self, *, or_fail=False):
        line = await self._reader.readline()
        self.seen.raw += line
        if or_fail and not line:
            raise _HungUp
        return line


def _path(command: bytes) -> bytes:
    return command.partition(b"<")[2].partition(b">")[0]
