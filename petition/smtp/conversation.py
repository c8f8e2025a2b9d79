"""Letters over one connection after the login: MAIL, RCPT, DATA, the message, its final dot.

The main rule: the final dot is written only after the supplier has permitted it, and from then on
only a reply tells whether the letter was accepted.

With PIPELINING the commands of the next letter may go in the same write as the dot (RFC 2920 3.1),
so that a letter costs one round trip. They commit to nothing: the permit of the next letter decides
whether it goes. Some servers refuse commands that come with a dot, as a protection against SMTP
smuggling; then the same commands are sent again in a separate write. Others discard what follows
the dot in the same read and never reply (Courier 1.0.16); then the letter goes on another
connection. Either way the supplier is told (`refused_ahead`), and is to name no letter as
`following` any more.

aiosmtplib waits for one reply at a time and cannot tell a connection that was lost before the final
dot from one lost after it. So a `Conversation` takes over the transport after the login.

Nothing here waits. Bytes, a loss, a timer and the supplier's answer move a conversation on as far
as it goes:

    REST --> COMMANDS --> PERMIT --> BODY --> DOT --> REST, or the next letter's COMMANDS
                 |   <-- sent again, if they were refused because they came with a dot
               RESET --> REST, or the next letter's COMMANDS
"""

import asyncio
import time
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import NamedTuple, Protocol

from petition.campaign.server import Server
from petition.merge.message import Email
from petition.smtp.replies import Loss, Reply, Stage, Verdict, judge, judge_dot, lost, withheld
from petition.smtp.syntax import (
    Group,
    NotAReplyError,
    Offers,
    ReplyParser,
    groups_of,
    obstacle,
    stuffed,
)

CHUNK = 64 * 1024  # bytes of a letter that are written at once
MAX_UNREAD = 1000  # replies; a letter has at most a dozen

# A timer this late means that the program was suspended: the event loop knows that the time is up
# and has not yet read what arrived meanwhile.
LATE_SECONDS = 0.5
LOOK_SECONDS = 0.1  # enough to read it


class Transaction(NamedTuple):
    """What became of one letter, for the log."""

    verdict: Verdict  # on To
    server: str  # "host:port"
    tls: str  # the version of TLS, "" without
    milliseconds: int  # from the first command to the verdict, including the permit
    also_refused: tuple[tuple[str, Reply], ...] = ()  # the copies (cc, bcc) that were refused
    fault: BaseException | None = None  # what the permit raised; the letter was not sent
    # What came of commands that went with the last dot, if the server does not accept them there.
    refused_ahead: str = ""


class Supplier(Protocol):
    """Whoever has letters for a conversation. It is called on the event loop, and does not wait."""

    def permit(self) -> None:
        """The server waits for the letter: make its mark durable, then call `may_go`."""

    def following(self) -> Email | None:
        """The letter whose commands may go with the present one's dot: it must be sent next."""

    def ended(self, done: Transaction) -> Email | None:
        """What became of the letter; returns the next one, or None: the conversation rests."""


class At(Enum):
    """Where a conversation is."""

    REST = auto()  # no letter; the commands of the next one may be on their way
    COMMANDS = auto()  # a group of commands is not answered whole
    PERMIT = auto()  # the server said 354, and the supplier is asked
    BODY = auto()  # the letter is being written
    DOT = auto()  # its final dot was written
    RESET = auto()  # it was refused; RSET, or the lone dot in its place, is not answered


# Their members by names of our own: looked up in an enum, each takes ten times as long.
_REST, _COMMANDS, _PERMIT, _BODY, _DOT, _RESET = At
_MAIL, _RCPT, _DATA = Stage.MAIL, Stage.RCPT, Stage.DATA


@dataclass(slots=True, eq=False)
class _Letter:
    """A letter under way, and what the server has said to its commands."""

    email: Email
    groups: Iterator[Group]  # of commands that are not written yet
    begun: float = field(default_factory=time.monotonic)
    is_ahead: bool = False  # the first group went with the dot before
    refused_ahead: str = ""
    stage: Stage = _MAIL
    later: Iterator[Stage] = field(init=False)  # those of its group after this one
    recipients: int = 0  # that were answered
    accepted: int = 0
    also_refused: list[tuple[str, Reply]] = field(default_factory=list)
    refusal: Verdict | None = None
    is_data_open: bool = False  # after 354 and before the reply to the dot
    left: bytes | memoryview = b""  # to write
    fault: BaseException | None = None


class Conversation(asyncio.Protocol):
    """Hands letters over to a server, one at a time.

    `tls` is the version of TLS, or ""; a reply to a dot is waited for `dot_seconds`, to anything
    else the server's timeout. `letters` counts the final dots that were answered, with whatever
    reply; `was_dismissed` says that the server sent 421 between two letters.
    """

    def __init__(
        self,
        transport: asyncio.Transport,
        server: Server,
        offers: Offers,
        tls: str,
        dot_seconds: float,
    ) -> None:
        self.offers = offers
        self._tls = tls
        self.letters = 0
        self.was_dismissed = False
        self._transport = transport
        self._server = server.name
        self._seconds = server.timeout
        self._dot_seconds = dot_seconds
        self._loop = asyncio.get_running_loop()
        self._at = _REST
        self._supplier: Supplier
        self._letter: _Letter
        self._announced: _Letter | None = None  # the next one
        self._parser = ReplyParser()
        self._replies: deque[Reply] = deque()  # that came and were not used
        self._loss: Loss | None = None  # how the connection ended
        self._is_paused = False  # the server takes no more bytes for now
        self._deadline = 0.0
        self._timer: asyncio.TimerHandle | None = None
        self._gone = self._loop.create_future()
        transport.set_protocol(self)
        if transport.is_closing():  # lost before; there will be no other callback
            self.connection_lost(None)

    # ---- for the supplier

    @property
    def is_open(self) -> bool:
        """Whether a letter can be tried: the server has neither hung up nor said that it will."""
        return self._loss is None and (self._announced is not None or not self._has_spoken)

    @property
    def is_idle(self) -> bool:
        """Whether it is open, and no letter and no command is under way."""
        return self.is_open and self._at is _REST and self._announced is None

    def begin(self, email: Email, supplier: Supplier) -> None:
        """Send a letter, and those that the supplier has after it; only to be called at rest.

        ValueError if the commands of another letter are on their way. `ended` may be called before
        this returns.
        """
        self._supplier = supplier
        if verdict := self._begin(email):
            self._end(verdict)
        self._go_on()

    def may_go(self, answer: bool | None, fault: BaseException | None = None) -> None:
        """Answer a permit: with False, or a fault of ours, the letter does not go."""
        if self._at is not _PERMIT:
            return  # it was closed meanwhile
        letter = self._letter
        if fault:
            letter.fault = fault
            self._end(withheld("the letter could not be recorded, so it was not sent"))
        elif not answer:
            self._end(withheld("the letter was held back"))
        else:
            data = stuffed(letter.email)
            letter.left = memoryview(data) if len(data) > CHUNK else data
            letter.stage = Stage.BODY
            self._at = _BODY
        self._go_on()

    def abort(self) -> None:
        """Close the connection at once; of a letter under way no more is sent or told."""
        self._at = _REST
        self._announced = None
        self._fail(Loss.DROPPED)
        self._transport.abort()

    async def wait_gone(self, seconds: float) -> None:
        """Wait until the transport has closed."""
        await asyncio.wait([self._gone], timeout=seconds)

    # ---- for the event loop

    def data_received(self, data: bytes) -> None:
        """Use what the server sent."""
        if self._loss:
            return
        try:
            self._replies.extend(self._parser.feed(data))
        except NotAReplyError:
            self._fail(Loss.GARBLED)
        if len(self._replies) > MAX_UNREAD:
            self._fail(Loss.GARBLED)
        if self._replies or self._loss:  # else it goes on waiting, no longer than before
            self._go_on()

    def eof_received(self) -> bool:
        """Take the server's end of the connection."""
        self._fail(Loss.DROPPED)
        self._go_on()
        return False

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 (any end is an end)
        """Take the end of the connection."""
        self._fail(Loss.DROPPED)
        self._go_on()
        if self._timer:
            self._timer.cancel()
        if not self._gone.done():
            self._gone.set_result(None)

    def pause_writing(self) -> None:
        """Note that the server is too slow."""
        self._is_paused = True

    def resume_writing(self) -> None:
        """Note that it has caught up."""
        self._is_paused = False
        if self._at is _BODY:
            self._go_on()

    def _go_on(self) -> None:
        """Use what has come, as far as it goes: replies first, also those from before a loss."""
        while True:
            if self._at is _REST or self._at is _PERMIT:
                return  # nothing is waited for: what comes is used later
            if self._at is _BODY:
                if not self._write_on():
                    break
            elif self._replies:
                self._use(self._replies.popleft())
            elif self._loss:
                self._lose(self._loss)
            else:
                break
        seconds = self._dot_seconds if self._at is _DOT else self._seconds
        self._deadline = self._loop.time() + seconds
        if self._timer is None or self._timer.when() > self._deadline:
            self._look_at(self._deadline)

    def _use(self, reply: Reply) -> None:
        if self._at is _COMMANDS:
            self._use_for_command(reply)
        elif self._at is _RESET:
            self._use_for_reset(reply)
        else:
            self.letters += 1
            self._letter.is_data_open = False
            self._end(judge_dot(reply))

    def _lose(self, loss: Loss) -> None:
        """End the letter, as no reply can come any more."""
        letter = self._letter
        if self._at is _RESET:
            self._stand_by_refusal()
            return
        if self._at is _COMMANDS:
            # What was read before the loss counts, unless commands that went with a dot were not
            # all answered: the server may have read only a part of them.
            if letter.is_ahead and loss is Loss.SILENT:
                letter.refused_ahead = str(loss)
            elif letter.refusal and loss is not Loss.GARBLED:
                misstep = self._misstep()
                if misstep is None:
                    self._stand_by_refusal()
                    return
                loss = misstep
        self._end(lost(letter.stage, loss))

    # ---- the commands of a letter

    def _begin(self, email: Email) -> Verdict | None:
        """Send its commands, if they are not on their way; or the verdict, if it cannot go."""
        if letter := self._announced:
            if letter.email is not email:
                self.abort()
                raise ValueError("another letter was announced to the server")
            self._announced, self._letter = None, letter
            letter.begun = time.monotonic()
            self._at = _COMMANDS
            return None
        letter = self._letter = _Letter(email, iter(()))
        verdict = obstacle(email, self.offers) or self._unasked(Stage.MAIL)
        if verdict is None:
            letter.groups = iter(groups_of(email, self.offers))
            self._write_group()
        return verdict

    def _write_group(self) -> None:
        self._at = _COMMANDS
        self._write(_next_group(self._letter))

    def _use_for_command(self, reply: Reply) -> None:
        """Of a group all replies are used, also those after a refusal."""
        letter = self._letter
        verdict = judge(letter.stage, reply)
        is_rcpt = letter.stage is _RCPT
        if verdict is None:
            letter.accepted += is_rcpt
            letter.is_data_open = letter.stage is _DATA
        elif is_rcpt and letter.recipients and not verdict.ends_connection:
            # The state follows To.
            letter.also_refused.append((letter.email.envelope.rcpt_to[letter.recipients], reply))
        elif not verdict.is_refusal:
            self._end(verdict)  # replies and commands are out of step: no refusal can be trusted
            return
        elif letter.refusal is None:
            letter.refusal = verdict
            if verdict.ends_connection:
                self._end(verdict)
                return
        letter.recipients += is_rcpt
        if stage := next(letter.later, None):
            letter.stage = stage
        else:
            self._finish_group()

    def _finish_group(self) -> None:
        letter = self._letter
        if loss := self._misstep():
            self._end(lost(letter.stage, loss))
        elif letter.refusal:
            self._reset()
        elif letter.stage is not _DATA:
            self._write_group()
        else:
            self._at = _PERMIT
            self._supplier.permit()

    def _reset(self) -> None:
        """Make the connection ready for the next letter after a refusal."""
        letter = self._letter
        if self._loss or (letter.is_data_open and letter.accepted):
            self._stand_by_refusal()
            return
        # RFC 2920 3.1: 354 although nobody was accepted; a lone dot ends it.
        self._write(b".\r\n" if letter.is_data_open else b"RSET\r\n")
        self._at = _RESET

    def _use_for_reset(self, reply: Reply) -> None:
        if self._letter.is_data_open:
            self._letter.is_data_open = False
        elif not 200 <= reply.code <= 299:
            self.abort()
        self._stand_by_refusal()

    def _stand_by_refusal(self) -> None:
        """End the letter with its refusal, unless that may be about commands with a dot."""
        letter = self._letter
        refusal = letter.refusal
        assert refusal is not None  # noqa: S101 (what leads here)
        if not (letter.is_ahead and refusal.may_be_about_pipelining):
            self._end(refusal)
        elif loss := self._misstep() or self._loss:
            self._end(lost(letter.stage, loss))
        elif letter.is_data_open:
            self._end(lost(letter.stage, Loss.OUT_OF_STEP))
        else:
            # Haraka 3.3.4 (GHSA-rp4q-8m6x-c43c): sent again alone, they may be accepted.
            groups, said = iter(groups_of(letter.email, self.offers)), str(refusal.reply)
            self._letter = _Letter(letter.email, groups, letter.begun, refused_ahead=said)
            self._write_group()

    # ---- the letter

    def _write_on(self) -> bool:
        """Write the letter on, with its dot if it is the rest; False: the server is too slow.

        Until the dot is written the server cannot have accepted the letter.
        """
        letter = self._letter
        if verdict := self._unasked(Stage.BODY):
            self._end(verdict)
        elif self._is_paused:
            return False
        elif len(letter.left) > CHUNK:
            self._write(letter.left[:CHUNK])
            letter.left = letter.left[CHUNK:]
        else:
            # A connection lost from here on is uncertain.
            ahead = self._announce()
            self._at, letter.stage = _DOT, Stage.DOT
            self._write(b"".join((letter.left, b".\r\n", ahead)))
        return True

    def _announce(self) -> bytes:
        """The commands of the next letter that may go with the dot of the present one."""
        if self._letter.refused_ahead or not self.offers.pipelining:
            return b""
        email = self._supplier.following()
        if email is None or obstacle(email, self.offers):
            return b""
        groups = iter(groups_of(email, self.offers))
        self._announced = _Letter(email, groups, is_ahead=True)
        return _next_group(self._announced)

    def _end(self, verdict: Verdict) -> None:
        """Tell what became of the letter, and begin the next one if there is one."""
        ended: Verdict | None = verdict
        while ended:
            letter = self._letter
            unread = self._replies[0] if self._replies else None
            last = ended.reply if ended.stage is _MAIL else unread
            self.was_dismissed |= last is not None and last.code == 421
            self._at = _REST
            if ended.ends_connection or letter.is_data_open or not self.is_open:
                self.abort()
            done = Transaction(
                verdict=ended,
                server=self._server,
                tls=self._tls,
                milliseconds=round((time.monotonic() - letter.begun) * 1000),
                also_refused=tuple(letter.also_refused),
                fault=letter.fault,
                refused_ahead=letter.refused_ahead,
            )
            email = self._supplier.ended(done)
            ended = self._begin(email) if email else None

    # ---- the connection

    @property
    def _has_spoken(self) -> bool:
        """Whether the server has sent anything that was not used."""
        return bool(self._replies) or self._parser.is_midway

    def _unasked(self, stage: Stage) -> Verdict | None:
        """What the server said or did between two letters, or before the end of one."""
        # Between two of them nothing but a 421 may come (RFC 5321 3.8).
        if self._replies and (stage is Stage.BODY or self._replies[0].code == 421):
            return judge(stage, self._replies[0])
        loss = self._misstep() or self._loss
        return lost(stage, loss) if loss else None

    def _misstep(self) -> Loss | None:
        """What the server sent if nothing was to come, or if it was no reply."""
        if self._has_spoken:
            self._fail(Loss.OUT_OF_STEP)
            return Loss.OUT_OF_STEP
        return Loss.GARBLED if self._loss is Loss.GARBLED else None

    def _write(self, data: bytes | memoryview) -> None:
        self._transport.write(data)

    def _look_at(self, moment: float) -> None:
        """Set the timer for silence: one for many waits costs less than one for each."""
        if self._timer:
            self._timer.cancel()
        self._timer = self._loop.call_at(moment, self._note_silence)

    def _note_silence(self) -> None:
        timer, self._timer = self._timer, None
        if self._at is _REST or self._at is _PERMIT:
            return
        now = self._loop.time()
        if now < self._deadline:
            self._look_at(self._deadline)
        elif timer and now - timer.when() > LATE_SECONDS:
            self._look_at(now + LOOK_SECONDS)
        else:
            self._fail(Loss.SILENT)
            self._go_on()

    def _fail(self, loss: Loss) -> None:
        self._loss = self._loss or loss


def _next_group(letter: _Letter) -> bytes:
    """The next commands of a letter, for one write; their replies come next."""
    group = next(letter.groups)
    letter.later = iter(group.stages)
    letter.stage = next(letter.later)
    return group.commands
