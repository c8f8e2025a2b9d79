"""One SMTP connection: commands go out, replies come in, in order.

aiosmtplib waits for one reply at a time and cannot tell a connection that was lost before the final
dot from one lost after it. So this protocol takes over the transport after the login. It knows
replies and losses; the caller decides what they mean.
"""

import asyncio
import re
from collections import deque
from collections.abc import Callable, Iterator
from functools import lru_cache

from petition.smtp.replies import Loss, Reply

MAX_LINE = 64 * 1024  # bytes; RFC 5321 4.5.3.1.5 asks for 512
MAX_REPLY = 1024 * 1024  # bytes, over all lines of one reply
MAX_UNREAD = 1000  # replies; a letter has at most a dozen

# A timer this late means that the program was suspended: the event loop knows that the time is up
# and has not yet read what arrived meanwhile.
LATE_SECONDS = 0.5
LOOK_SECONDS = 0.1  # enough to read it

# RFC 5321 4.2: a code, then a hyphen on every line but the last; the text may be absent.
_USUAL = re.compile(rb"([1-5][0-9]{2}) ([ -~]{1,500})\r")
_LINE = re.compile(rb"([1-5][0-9]{2})(?:([ -])(.*))?", re.DOTALL)


class WireError(Exception):
    """No reply can come any more: the connection is unusable."""

    def __init__(self, loss: Loss) -> None:
        super().__init__(loss)
        self.loss = loss


@lru_cache(maxsize=256)
def _whole_reply(line: bytes) -> Reply | None:
    """A usual reply of one line, or None; most replies of a server are the same."""
    found = _USUAL.fullmatch(line)
    return Reply.of(int(found[1]), [found[2]]) if found else None


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

        WireError if it is not a reply, too long, or its lines have different codes. The
        replies before it count.
        """
        *lines, self._rest = (self._rest + data).split(b"\n")
        for line in lines:
            reply = _whole_reply(line) if self._code is None else None
            if reply := reply or self._take(line.removesuffix(b"\r")):
                yield reply
        if len(self._rest) > MAX_LINE:
            raise WireError(Loss.GARBLED)

    def _take(self, line: bytes) -> Reply | None:
        found = _LINE.fullmatch(line)
        self._size += len(line)
        if found is None or len(line) > MAX_LINE or self._size > MAX_REPLY:
            raise WireError(Loss.GARBLED)
        code, mark, text = found.groups()
        if self._code not in {None, code}:
            raise WireError(Loss.GARBLED)
        self._lines.append(text or b"")
        if mark == b"-":
            self._code = code
            return None
        reply = Reply.of(int(code), self._lines)
        self._lines, self._size, self._code = [], 0, None
        return reply


class Wire(asyncio.Protocol):
    """Commands out, replies in. Only one task at a time may read from it."""

    def __init__(self, transport: asyncio.Transport) -> None:
        self._transport = transport
        self._loop = asyncio.get_running_loop()
        self._parser = ReplyParser()
        self._replies: deque[Reply] = deque()
        self._loss: Loss | None = None
        self._waiting: asyncio.Future[None] | None = None
        self._is_paused = False
        self._deadline = 0.0
        self._timer: asyncio.TimerHandle | None = None
        self._gone = self._loop.create_future()
        transport.set_protocol(self)
        if transport.is_closing():  # lost before; there will be no other callback
            self.connection_lost(None)

    @property
    def loss(self) -> Loss | None:
        """How the connection ended, or None."""
        return self._loss

    @property
    def unread(self) -> Reply | None:
        """The next reply if it has arrived; it stays unread."""
        return self._replies[0] if self._replies else None

    @property
    def has_spoken(self) -> bool:
        """Whether the server has sent anything that is unread."""
        return bool(self._replies) or self._parser.is_midway

    def write(self, data: bytes | memoryview) -> None:
        """Send bytes; the replies show whether they arrived."""
        self._transport.write(data)

    async def read(self, seconds: float) -> Reply:
        """The next reply; raises WireError if it does not come in time."""
        if not self._replies:
            await self._until(self._has_replies, seconds)
        return self._replies.popleft()

    def _has_replies(self) -> bool:
        return bool(self._replies)

    async def drain(self, seconds: float) -> None:
        """Wait until more may be written, or a reply has come."""
        await self._until(lambda: not self._is_paused or bool(self._replies), seconds)
        if self._loss:
            raise WireError(self._loss)

    def check_in_step(self) -> None:
        """Make sure that there is no unexpected reply. A lost connection is in step."""
        if self.has_spoken:
            self._fail(Loss.OUT_OF_STEP)
            raise WireError(Loss.OUT_OF_STEP)
        if self._loss is Loss.GARBLED:
            raise WireError(self._loss)

    def check_usable(self) -> None:
        """Make sure that the connection is open and in step."""
        self.check_in_step()
        if self._loss:
            raise WireError(self._loss)

    def abort(self) -> None:
        """Close the connection at once; what is not sent yet will not be sent."""
        self._fail(Loss.DROPPED)
        self._transport.abort()

    async def wait_gone(self, seconds: float) -> None:
        """Wait until the transport has closed."""
        await asyncio.wait([self._gone], timeout=seconds)

    def data_received(self, data: bytes) -> None:
        """Take what the server sent; called by the event loop."""
        if self._loss:
            return
        try:
            self._replies.extend(self._parser.feed(data))
        except WireError as error:
            self._fail(error.loss)
        if len(self._replies) > MAX_UNREAD:
            self._fail(Loss.GARBLED)
        self._wake()

    def eof_received(self) -> bool:
        """Take the server's end of the connection; called by the event loop."""
        self._fail(Loss.DROPPED)
        return False

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 (any end is an end)
        """Take the end of the connection; called by the event loop."""
        self._fail(Loss.DROPPED)
        if not self._gone.done():
            self._gone.set_result(None)

    def pause_writing(self) -> None:
        """Note that the server is too slow; called by the event loop."""
        self._is_paused = True

    def resume_writing(self) -> None:
        """Note that it has caught up; called by the event loop."""
        self._is_paused = False
        self._wake()

    async def _until(self, is_met: Callable[[], bool], seconds: float) -> None:
        """Wait for a condition; replies from before a loss still count."""
        deadline = self._loop.time() + seconds
        while not is_met():
            if self._loss:
                raise WireError(self._loss)
            await self._wait(deadline)

    async def _wait(self, deadline: float) -> None:
        self._waiting = self._loop.create_future()
        self._deadline = deadline
        if self._timer is None or self._timer.when() > deadline:
            self._look_at(deadline)
        try:
            await self._waiting
        finally:
            self._waiting = None

    def _look_at(self, moment: float) -> None:
        """Set the timer for silence: one for many waits costs less than one for each."""
        self._stop_timer()
        self._timer = self._loop.call_at(moment, self._note_silence)

    def _note_silence(self) -> None:
        timer, self._timer = self._timer, None
        if self._waiting is None:
            return
        now = self._loop.time()
        if now < self._deadline:
            self._look_at(self._deadline)
        elif timer and now - timer.when() > LATE_SECONDS:
            self._look_at(now + LOOK_SECONDS)
        else:
            self._fail(Loss.SILENT)

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _fail(self, loss: Loss) -> None:
        self._loss = self._loss or loss
        self._stop_timer()
        self._wake()

    def _wake(self) -> None:
        if self._waiting and not self._waiting.done():
            self._waiting.set_result(None)
