"""An SMTP server that counts: which Message-ID it took for whom, how often.

It runs on a thread of its own, offers PIPELINING, and can take its time before it answers the dot,
which is when a crash of the client hurts most. For some recipients it can refuse a letter, or hang
up on its dot.
"""

import asyncio
import base64
import re
import threading
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

from tests import PATIENCE

_MESSAGE_ID = re.compile(rb"^Message-ID:\s*(<[^>]+>)", re.MULTILINE | re.IGNORECASE)


@dataclass
class CountingServer:
    """What a running server took.

    Args:
        pause: How long it thinks before and after it takes a letter, in seconds.
        answers: What it answers to RCPT, by the recipient's local part; "" hangs up on the dot.
        most: After so many letters it says 421 to the next one on a connection; 0: never.
        patience: After so many seconds without a line it hangs up; None: never.
        hold_after: So many letters it takes, and holds back its replies to the dots of others
            until this is raised; None: it holds nothing back.
        sleep: How it waits.
        now: What it notes the time of each MAIL by, in seconds.
        login: What it answers to AUTH, `{line}` for what it was told; "": it offers none.
        mechanisms: The logins that it offers.
        judge: Why it refuses what XOAUTH2 or OAUTHBEARER says, in JSON; "": it does not.
        challenged: What it was answered when it had sent such a reason.
    """

    pause: float = 0.0
    answers: Mapping[str, str] = field(default_factory=dict)
    most: int = 0
    login: str = ""
    patience: float | None = None
    hold_after: int | None = None
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    now: Callable[[], float] = time.monotonic
    port: int = 0
    accepted: Counter[str] = field(default_factory=Counter)  # by recipient
    message_ids: dict[str, set[str]] = field(default_factory=dict)  # by recipient
    last: dict[str, bytes] = field(default_factory=dict)  # the last letter, by recipient
    commands: Counter[str] = field(default_factory=Counter)
    begun: list[float] = field(default_factory=list)  # when each MAIL came in
    logins: list[str] = field(default_factory=list)
    mechanisms: str = "PLAIN XOAUTH2"
    judge: Callable[[bytes], str] | None = None
    challenged: list[bytes] = field(default_factory=list)
    open: int = 0  # connections

    async def converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection."""
        self.open += 1
        try:
            with suppress(
                ConnectionError, TimeoutError, asyncio.IncompleteReadError, asyncio.CancelledError
            ):
                await self._converse(reader, writer)
        finally:
            self.open -= 1
        writer.close()

    def wait_for(self, letters: int) -> None:
        """Until it has taken so many letters."""
        deadline = time.monotonic() + PATIENCE
        while self.accepted.total() < letters:
            assert time.monotonic() < deadline
            time.sleep(0.002)

    def wait_until_alone(self) -> None:
        """Until it has read all that clients wrote before they died."""
        deadline = time.monotonic() + PATIENCE
        while self.open:
            assert time.monotonic() < deadline
            time.sleep(0.001)

    async def _converse(  # noqa: C901, PLR0912 (the verbs of a whole conversation)
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        recipients: list[str] = []
        letters = 0
        writer.write(b"220 counting.test ESMTP\r\n")
        while line := await self._next_line(reader, writer):
            verb, _, rest = line.decode().strip().partition(" ")
            self.commands[verb.upper()] += 1
            match verb.upper():
                case "EHLO":
                    writer.write(b"250-counting.test\r\n250-PIPELINING\r\n250-8BITMIME\r\n")
                    offer = f"250-AUTH {self.mechanisms}\r\n" if self.login or self.judge else ""
                    writer.write(offer.encode())
                    writer.write(b"250-ENHANCEDSTATUSCODES\r\n250 SMTPUTF8\r\n")
                case "MAIL" if self.most and letters >= self.most:
                    writer.write(b"421 4.7.0 Too many letters on this connection\r\n")
                    return
                case "AUTH" if self.judge:
                    await self._log_in(rest, reader, writer)
                case "AUTH":
                    self.logins.append(rest)
                    writer.write(f"{self.login.format(line=rest)}\r\n".encode())
                case "MAIL":
                    recipients = []
                    self.begun.append(self.now())
                    writer.write(b"250 2.1.0 Ok\r\n")
                case "RCPT":
                    recipient = rest[rest.index("<") + 1 : rest.index(">")]
                    if refusal := self._answer(recipient):
                        writer.write(f"{refusal}\r\n".encode())
                        continue
                    recipients.append(recipient)
                    writer.write(b"250 2.1.5 Ok\r\n")
                case "DATA" if not recipients:
                    writer.write(b"503 5.5.1 Nobody to send it to\r\n")
                case "DATA":
                    writer.write(b"354 go on\r\n")
                    await self._take(reader, recipients)
                    letters += 1
                    if self._answer(recipients[0]) == "":
                        return
                    writer.write(b"250 2.0.0 Ok: queued\r\n")
                case "QUIT":
                    writer.write(b"221 2.0.0 Bye\r\n")
                    return
                case _:
                    writer.write(b"250 2.0.0 Ok\r\n")

    async def _log_in(
        self, said: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        assert self.judge is not None
        self.logins.append(said)
        _, _, response = said.partition(" ")
        if not response:  # it was too long for the line
            writer.write(b"334 \r\n")
            response = (await reader.readline()).decode().strip()
        if reason := self.judge(base64.b64decode(response)):
            writer.write(b"334 " + base64.b64encode(reason.encode()) + b"\r\n")
            self.challenged.append((await reader.readline()).strip())
            writer.write(b"535 5.7.8 Not accepted\r\n")
            return
        writer.write(b"235 2.7.0 Welcome\r\n")

    async def _next_line(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bytes:
        try:
            return await asyncio.wait_for(reader.readline(), self.patience)
        except TimeoutError:
            writer.write(b"421 4.4.2 Nothing was said for too long\r\n")
            return b""

    def _answer(self, recipient: str) -> str | None:
        return self.answers.get(recipient.partition("@")[0])

    def _holds(self) -> bool:
        return self.hold_after is not None and self.accepted.total() >= self.hold_after

    async def _take(self, reader: asyncio.StreamReader, recipients: list[str]) -> None:
        data = b""
        while not (data.endswith(b"\r\n.\r\n") or data == b".\r\n"):
            data += await asyncio.wait_for(reader.readuntil(b"\r\n"), self.patience)
        await self.sleep(self.pause)
        while self._holds():  # noqa: ASYNC110 (another thread ends it)
            await asyncio.sleep(0.005)
        found = _MESSAGE_ID.search(data)
        for recipient in recipients:
            self.accepted[recipient] += 1
            known = self.message_ids.setdefault(recipient, set())
            known.add(found[1].decode() if found else "")
            self.last[recipient] = data.removesuffix(b".\r\n").replace(b"\r\n..", b"\r\n.")
        await self.sleep(self.pause)


@contextmanager
def counting_server(
    pause: float = 0.0,
    answers: Mapping[str, str] | None = None,
    login: str = "",
    hold_after: int | None = None,
) -> Iterator[CountingServer]:
    """Run a server on loopback until the block is left."""
    counting = CountingServer(pause, answers or {}, login=login, hold_after=hold_after)
    loop = asyncio.new_event_loop()
    server = loop.run_until_complete(asyncio.start_server(counting.converse, "127.0.0.1", 0))
    counting.port = server.sockets[0].getsockname()[1]
    thread = threading.Thread(target=loop.run_forever, name="counting server")
    thread.start()
    try:
        yield counting
    finally:
        asyncio.run_coroutine_threadsafe(_close(server), loop).result(PATIENCE)
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


@dataclass
class Gate:
    """Holds a server's replies to final dots back; for its `sleep`."""

    arrived: threading.Event = field(default_factory=threading.Event)
    opened: threading.Event = field(default_factory=threading.Event)

    async def wait(self, _: float) -> None:
        self.arrived.set()
        await asyncio.to_thread(self.opened.wait)


async def _close(server: asyncio.Server) -> None:
    server.close()
    others = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
    for task in others:
        task.cancel()
    await asyncio.gather(*others, return_exceptions=True)
    await asyncio.sleep(0)
