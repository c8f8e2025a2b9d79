"""One mail transaction (RFC 5321 3.3): MAIL, RCPT, DATA, the message, its final dot.

This is the last check before the wire: an address that could end a command early, or a bare CR or
LF in a letter (SMTP smuggling, CVE-2023-51764), stops here. A letter that was checked when it was
assembled (`Email.is_whole`) is not checked again.

The main rule: the final dot is written only after the caller has permitted it, and from then on
only a reply tells whether the letter was accepted.

With PIPELINING the commands of the next letter may go in the same write as the dot (RFC 2920 3.1),
so that a letter costs one round trip. They commit to nothing: the permit of the next letter decides
whether it goes. Some servers refuse commands that come with a dot, as a protection against SMTP
smuggling; then the same commands are sent again in a separate write. Others discard what follows
the dot in the same read and never reply (Courier 1.0.16); then the letter goes on another
connection. Either way the caller is told (`refused_ahead`), and offers no next letter any more.

aiosmtplib waits for one reply at a time and cannot tell a connection that was lost before the final
dot from one lost after it. So `Wire` takes over the transport after the login. It knows replies and
losses; the rest of this module decides what they mean.
"""

import asyncio
import re
from collections import deque
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

from petition.merge.message import Email
from petition.smtp.replies import (
    Loss,
    Reply,
    Scope,
    Stage,
    Verdict,
    judge,
    judge_dot,
    lost,
    unsendable,
    withheld,
)

CHUNK = 64 * 1024  # bytes of a letter that are written at once

# No quoted local part with these is ever written (RFC 5321 4.1.2 advises against them too).
_UNSAFE = re.compile(r"[\x00-\x20\x7f<>\ud800-\udfff]")

Permit = Callable[[], Awaitable[bool]]
Following = Callable[[], Email | None]


@dataclass(frozen=True, slots=True)
class Offers:
    """The service extensions that the server offers (RFC 5321 2.2)."""

    pipelining: bool = False  # RFC 2920
    eight_bit: bool = False  # BODY=8BITMIME (RFC 6152)
    smtputf8: bool = False  # RFC 6531
    size: int | None = None  # bytes, 0 for no limit, None without SIZE (RFC 1870)


class _Step(NamedTuple):
    """A command; `copy_to` is the address if a refusal ends only that copy."""

    stage: Stage
    command: bytes
    copy_to: str = ""


_DATA = _Step(Stage.DATA, b"DATA\r\n")


class Announcement:
    """The commands of one letter that go out before the server has answered any of them."""

    def __init__(self, email: Email, offers: Offers) -> None:
        to, *copies = email.envelope.rcpt_to
        self.email = email
        self.steps = [
            _Step(Stage.MAIL, mail_command(email, offers)),
            _Step(Stage.RCPT, rcpt_command(to)),
        ]
        self.steps += [_Step(Stage.RCPT, rcpt_command(copy), copy_to=copy) for copy in copies]
        # With copies DATA must wait: if To is refused and a copy is not, only the letter or the end
        # of the connection could follow the 354.
        self.has_data = offers.pipelining and not copies
        if self.has_data:
            self.steps.append(_DATA)

    @property
    def commands(self) -> bytes:
        """All of them, for one write."""
        return b"".join([step.command for step in self.steps])


class MailTransaction:
    """Sends one letter over a connection after EHLO and login, and finds the verdict on it.

    `announced` has the letter's commands if they went with the dot of the letter before; `next`
    those of the next letter, if they went with this one's dot. The other results are those of a
    `Transaction`.
    """

    def __init__(
        self,
        wire: "Wire",
        offers: Offers,
        email: Email,
        *,
        seconds: float,
        dot_seconds: float,
        announced: Announcement | None = None,
    ) -> None:
        self.also_refused: list[tuple[str, Reply]] = []
        self.fault: Exception | None = None
        self.next: Announcement | None = None
        self.refused_ahead = ""
        self._wire = wire
        self._offers = offers
        self._email = email
        self._seconds = seconds
        self._dot_seconds = dot_seconds
        self._announced = announced
        self._stage = Stage.MAIL
        self._accepted = 0
        self._is_data_open = False

    async def run(self, permit: Permit, following: Following | None = None) -> Verdict:
        """The whole transaction; arguments as in `Session.transact`.

        Afterwards the wire is idle, or the next letter is announced on it, or it is closed.
        """
        verdict = None if self._announced else obstacle(self._email, self._offers)
        verdict = verdict or await self._converse(permit, following)
        if verdict.ends_connection or not self._is_at_rest:
            self._wire.abort()
        return verdict

    @property
    def _is_at_rest(self) -> bool:
        if self._is_data_open or self._wire.loss:
            return False
        return self.next is not None or not self._wire.has_spoken

    async def _converse(self, permit: Permit, following: Following | None) -> Verdict:
        try:
            return (
                self._farewell()
                or await self._announce()
                or await self._ask(permit)
                or await self._hand_over(following)
            )
        except WireError as error:
            return lost(self._stage, error.loss)

    def _farewell(self) -> Verdict | None:
        """Between two letters nothing but a 421 may come (RFC 5321 3.8)."""
        if self._announced:
            return None
        reply = self._wire.unread
        if reply is not None and reply.code == 421:
            return judge(Stage.MAIL, reply)
        self._wire.check_usable()
        return None

    async def _announce(self) -> Verdict | None:
        """MAIL, RCPT and DATA; None when the server is ready for the letter."""
        if self._announced:
            try:
                refusal = await self._give(self._announced, is_written=True)
            except WireError as error:
                if error.loss is Loss.SILENT:
                    self.refused_ahead = str(error.loss)
                raise
            if refusal is None or not refusal.may_be_about_pipelining:
                return refusal
            # Haraka 3.3.4 (GHSA-rp4q-8m6x-c43c): sent again alone, they may be accepted.
            self._wire.check_usable()
            self.refused_ahead = str(refusal.reply)
            self.also_refused.clear()
            self._accepted = 0
        return await self._give(Announcement(self._email, self._offers))

    async def _give(self, group: Announcement, *, is_written: bool = False) -> Verdict | None:
        """Send the commands of the letter; after a refusal, reset the transaction."""
        refusal = await self._exchange(group.steps, is_written=is_written)
        if refusal is None and not group.has_data:
            refusal = await self._exchange([_DATA])
        if refusal and not refusal.ends_connection:
            await self._come_to_rest()
        return refusal

    async def _exchange(self, steps: list[_Step], *, is_written: bool = False) -> Verdict | None:
        """Send commands and read their replies; the first refusal, or None."""
        if self._offers.pipelining:
            refusal = await self._in_one_write(steps, is_written=is_written)
        else:
            refusal = await self._one_by_one(steps)
        if not (refusal and refusal.ends_connection):
            self._wire.check_in_step()
        return refusal

    async def _one_by_one(self, steps: list[_Step]) -> Verdict | None:
        for step in steps:
            self._wire.check_in_step()
            self._wire.write(step.command)
            if refusal := await self._reply_to(step):
                return refusal
        return None

    async def _in_one_write(self, steps: list[_Step], *, is_written: bool) -> Verdict | None:
        """A group (RFC 2920 3.1): all replies are read, also those after a refusal."""
        if not is_written:
            self._wire.write(b"".join([step.command for step in steps]))
        refusal: Verdict | None = None
        for step in steps:
            try:
                found = await self._reply_to(step)
            except WireError as error:
                # What was read before the loss counts, unless commands that went with a dot were
                # not all answered: the server may have read only a part of them.
                is_part = is_written and error.loss is Loss.SILENT
                if refusal is None or error.loss is Loss.GARBLED or is_part:
                    raise
                break
            if found and not found.is_refusal:
                return found  # replies and commands are out of step: no refusal can be trusted
            refusal = refusal or found
            if refusal and refusal.ends_connection:
                break
        return refusal

    async def _reply_to(self, step: _Step) -> Verdict | None:
        self._stage = step.stage
        reply = await self._wire.read(self._seconds)
        verdict = judge(step.stage, reply)
        if verdict is None:
            self._accepted += step.stage is Stage.RCPT
            self._is_data_open |= step.stage is Stage.DATA
        elif step.copy_to and not verdict.ends_connection:
            self.also_refused.append((step.copy_to, reply))
            return None  # the state follows To
        return verdict

    async def _come_to_rest(self) -> None:
        """Make the connection ready for the next letter after a refusal, or close it."""
        try:
            self._wire.check_usable()
            if not self._is_data_open:
                await self._reset()
            elif not self._accepted:
                # RFC 2920 3.1: 354 although nobody was accepted; a lone dot ends it.
                self._wire.write(b".\r\n")
                await self._wire.read(self._seconds)
                self._is_data_open = False
        except WireError:
            self._wire.abort()

    async def _reset(self) -> None:
        self._wire.write(b"RSET\r\n")
        reply = await self._wire.read(self._seconds)
        if not 200 <= reply.code <= 299:
            self._wire.abort()

    async def _ask(self, permit: Permit) -> Verdict | None:
        try:
            may_go = await permit()
        except Exception as fault:  # noqa: BLE001 (the dot must not go, whatever it is)
            self.fault = fault
            return withheld("the letter could not be recorded, so it was not sent")
        return None if may_go else withheld("the letter was held back")

    async def _hand_over(self, following: Following | None) -> Verdict:
        """The letter and its dot. Until the dot is written the server cannot have accepted it."""
        self._stage = Stage.BODY
        data = stuffed(self._email)
        last = 0
        if len(data) > CHUNK:
            last = (len(data) - 1) // CHUNK * CHUNK
            if verdict := await self._hand_over_chunks(memoryview(data)[:last]):
                return verdict
        # No await between this check and the dot: a connection lost from here on is uncertain.
        if verdict := self._interruption():
            return verdict
        self.next = self._next_of(following)
        ahead = self.next.commands if self.next else b""
        self._stage = Stage.DOT
        self._wire.write(b"".join((data[last:], b".\r\n", ahead)))
        reply = await self._wire.read(self._dot_seconds)
        self._is_data_open = False
        return judge_dot(reply)

    async def _hand_over_chunks(self, data: memoryview) -> Verdict | None:
        for start in range(0, len(data), CHUNK):
            self._wire.write(data[start : start + CHUNK])
            await self._wire.drain(self._seconds)
            if verdict := self._interruption():
                return verdict
        return None

    def _next_of(self, following: Following | None) -> Announcement | None:
        if following is None or self.refused_ahead or not self._offers.pipelining:
            return None
        email = following()
        if email is None or obstacle(email, self._offers):
            return None
        return Announcement(email, self._offers)  # `run` does not look for an obstacle again

    def _interruption(self) -> Verdict | None:
        """What the server said or did before the end of the letter."""
        if reply := self._wire.unread:
            return judge(Stage.BODY, reply)
        self._wire.check_usable()
        return None


def obstacle(email: Email, offers: Offers) -> Verdict | None:
    """Why this letter cannot go to this server, or None."""
    envelope = email.envelope
    addresses = (envelope.mail_from, *envelope.rcpt_to)
    if any(map(_UNSAFE.search, addresses)) or not all(envelope.rcpt_to):
        reason = "an address is empty, or has a character that no address may have"
        return unsendable(Scope.RECIPIENT, reason)
    if not (envelope.smtputf8 or all(map(str.isascii, addresses))):
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


def mail_command(email: Email, offers: Offers) -> bytes:
    """The MAIL command of a letter, with the parameters that the server understands."""
    command = f"MAIL FROM:<{email.envelope.mail_from}>"
    if offers.size is not None:
        command += f" SIZE={len(email.data)}"
    if offers.eight_bit and (email.envelope.smtputf8 or not email.data.isascii()):
        command += " BODY=8BITMIME"
    if email.envelope.smtputf8:
        command += " SMTPUTF8"
    return command.encode() + b"\r\n"


def rcpt_command(address: str) -> bytes:
    """The RCPT command of one recipient."""
    return f"RCPT TO:<{address}>\r\n".encode()


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


@lru_cache(maxsize=256)
def _whole_reply(line: bytes) -> Reply | None:
    """A usual reply of one line, or None; most replies of a server are the same."""
    found = _USUAL.fullmatch(line)
    return Reply.of(int(found[1]), [found[2]]) if found else None
