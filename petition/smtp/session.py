"""An SMTP session: connect, STARTTLS, log in, send letters.

aiosmtplib opens the connection, does EHLO, STARTTLS and the login; the letters go over our own
`Conversation` on the same transport, which is handed back for QUIT.
"""

import asyncio
import gc
import ssl
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from contextlib import contextmanager, suppress
from functools import cache
from typing import Any, TypeVar, cast

import aiosmtplib

from petition.campaign.server import Server
from petition.credentials import Secret
from petition.errors import ServerTrouble
from petition.merge.message import Email
from petition.smtp import login
from petition.smtp.conversation import Conversation, Transaction
from petition.smtp.login import Say, log_in
from petition.smtp.replies import Loss, Reply, Stage
from petition.smtp.syntax import NotAReplyError, Offers, ReplyParser

DOT_SECONDS = 600.0  # RFC 5321 4.5.3.2.6
QUIT_SECONDS = 5.0
CLOSE_SECONDS = 1.0

# The name in EHLO if there is no better one (RFC 5321 4.1.3): this machine's name stays private.
# Gmail's relay refuses it and wants the sender's domain.
NAMELESS = "[127.0.0.1]"

T = TypeVar("T")


Permit = Callable[[], Awaitable[bool]]
Following = Callable[[], Email | None]


class Session:
    """One open connection. Made by `open`.

    Letters go over its `conversation`, or one at a time by `transact`. `tls` is the version of TLS,
    such as "TLSv1.3", or ""; `offers` the server's extensions.
    """

    def __init__(self, server: Server, smtp: aiosmtplib.SMTP, dot_seconds: float) -> None:
        transport = cast("asyncio.Transport", smtp.transport)
        tls_object = transport.get_extra_info("ssl_object")
        self._server = server
        self._smtp = smtp
        self._transport = transport
        self.tls = tls_object.version() or "" if tls_object else ""
        self.offers = _offers(smtp)
        self.conversation = Conversation(transport, server, self.offers, self.tls, dot_seconds)

    @classmethod
    async def open(
        cls,
        server: Server,
        secret: Secret | None = None,
        *,
        hello_name: str = NAMELESS,
        tls_context: ssl.SSLContext | None = None,
        dot_timeout: float | None = None,
    ) -> "Session":
        """Connect, start TLS as the settings say, and log in; OpeningTrouble leaves nothing open.

        `dot_timeout` is in seconds; by default the server's timeout, but at least 600 (RFC 5321
        4.5.3.2.6).
        """
        context = None
        if server.security != "none":
            context = tls_context or await asyncio.to_thread(_system_trust)
        with _as_trouble(server, Stage.GREETING):
            smtp = aiosmtplib.SMTP(
                hostname=server.host,
                port=server.port,
                timeout=server.timeout,
                local_hostname=hello_name,
                use_tls=server.security == "tls",
                start_tls=False,  # done below, where its failure can be told from others
                tls_context=context,
            )
        try:
            await _introduce(smtp, server)
            await log_in(_saying(smtp, server), smtp.server_auth_methods, server, secret)
        except BaseException:
            await _drop(smtp, server)
            raise
        if dot_timeout is None:
            dot_timeout = max(DOT_SECONDS, server.timeout)
        return cls(server, smtp, dot_timeout)

    @property
    def is_open(self) -> bool:
        """Whether a letter can be tried: the server has neither hung up nor said that it will."""
        return self.conversation.is_open

    async def transact(
        self, email: Email, permit: Permit, following: Following | None = None
    ) -> Transaction:
        """Send one letter. Replies and losses do not raise; they are in the verdict.

        `permit` is awaited before any of the letter is written, and makes its mark durable; with
        False or an exception it does not go. `following` gives, at the last moment, the letter
        whose commands may go with this one's dot: it must be sent next, or the session closed.
        """
        supplier = _Awaiting(following)
        try:
            self.conversation.begin(email, supplier)
            if await supplier.is_asked:
                try:
                    may_go = await permit()
                except Exception as fault:  # noqa: BLE001 (the dot must not go, whatever it is)
                    self.conversation.may_go(False, fault)
                else:
                    self.conversation.may_go(may_go)
            done = await supplier.done
        except BaseException:  # cancelled: nothing more may be written
            self._abandon()
            raise
        if not self.is_open:
            await self.close()
        return done

    async def close(self) -> None:
        """Send QUIT if that is still possible, and close the connection. Never raises."""
        try:
            if self.conversation.is_idle:
                await self._say_quit()
        finally:
            self._abandon()
        await self.conversation.wait_gone(CLOSE_SECONDS)

    async def _say_quit(self) -> None:
        if self._smtp.protocol is None:
            return
        self._transport.set_protocol(self._smtp.protocol)
        try:
            with suppress(aiosmtplib.SMTPException, OSError):
                await self._smtp.quit(timeout=min(self._server.timeout, QUIT_SECONDS))
        finally:
            self._transport.set_protocol(self.conversation)
        self._smtp.close()
        await self.conversation.wait_gone(CLOSE_SECONDS)

    def _abandon(self) -> None:
        self.conversation.abort()
        self._smtp.close()


class _Awaiting:
    """The supplier of one letter, for a caller that waits for what becomes of it."""

    def __init__(self, following: Following | None) -> None:
        loop = asyncio.get_running_loop()
        self.is_asked: asyncio.Future[bool] = loop.create_future()  # False: it ended before
        self.done: asyncio.Future[Transaction] = loop.create_future()
        self._following = following

    def permit(self) -> None:
        """Let the caller decide."""
        _resolve(self.is_asked, True)

    def following(self) -> Email | None:
        """Ask the caller."""
        return self._following() if self._following else None

    def ended(self, done: Transaction) -> None:
        """Tell the caller; the conversation rests."""
        _resolve(self.is_asked, False)
        _resolve(self.done, done)


def _resolve(future: "asyncio.Future[T]", result: T) -> None:
    if not future.done():  # else the caller has just been cancelled
        future.set_result(result)


async def _introduce(smtp: aiosmtplib.SMTP, server: Server) -> None:
    """Connect, EHLO, and if the settings say so STARTTLS and EHLO again (RFC 3207 4.2)."""
    # There is no fallback to HELO, which has no extensions, nor to plain text.
    with _as_trouble(server, Stage.GREETING):
        await smtp.connect()
    with _as_trouble(server, Stage.EHLO):
        await smtp.ehlo()
    if server.security != "starttls":
        return
    if not smtp.supports_extension("starttls"):
        raise login.no_starttls(server)
    overheard = StartTlsGuard(cast("asyncio.Transport", smtp.transport))
    with _as_trouble(server, Stage.STARTTLS):
        await smtp.starttls()
    if not overheard.is_one_reply:
        raise login.slipped_in(server)
    with _as_trouble(server, Stage.EHLO):
        await smtp.ehlo()


class StartTlsGuard(asyncio.Protocol):
    """Records what a transport receives before its protocol gets it, until TLS replaces it.

    A server sends nothing between its reply to STARTTLS and TLS. Anything there was injected by
    somebody else, to be taken for a part of what follows (CVE-2011-0411).
    """

    def __init__(self, transport: asyncio.Transport) -> None:
        self._protocol = cast("asyncio.Protocol", transport.get_protocol())
        self._said = b""
        transport.set_protocol(self)

    @property
    def is_one_reply(self) -> bool:
        """Whether one reply came in and nothing else."""
        parser = ReplyParser()
        try:
            replies = list(parser.feed(self._said))
        except NotAReplyError:
            return False
        return len(replies) == 1 and not parser.is_midway

    def data_received(self, data: bytes) -> None:
        """Record and pass on."""
        self._said += data
        self._protocol.data_received(data)

    def eof_received(self) -> bool | None:
        """Pass on."""
        return self._protocol.eof_received()

    def connection_lost(self, exc: Exception | None) -> None:
        """Pass on."""
        self._protocol.connection_lost(exc)

    def pause_writing(self) -> None:
        """Pass on."""
        self._protocol.pause_writing()

    def resume_writing(self) -> None:
        """Pass on."""
        self._protocol.resume_writing()


def _saying(smtp: aiosmtplib.SMTP, server: Server) -> Say:
    async def say(*words: bytes) -> tuple[int, bytes]:
        with _as_trouble(server, Stage.AUTH):
            response = await smtp.execute_command(*words)
        return response.code, response.message.encode("utf-8", "surrogateescape")

    return say


async def _drop(smtp: aiosmtplib.SMTP, server: Server) -> None:
    transport = cast("asyncio.Transport | None", smtp.transport)
    if transport is not None:
        conversation = Conversation(transport, server, Offers(), "", 0.0)
        conversation.abort()
        smtp.close()
        await conversation.wait_gone(CLOSE_SECONDS)


@contextmanager
def _as_trouble(server: Server, stage: Stage) -> Iterator[None]:
    try:
        yield
    except aiosmtplib.SMTPResponseException as answer:
        raise _answered(server, stage, answer) from None
    except aiosmtplib.SMTPTimeoutError:
        raise login.broken_off(server, stage, Loss.SILENT) from None
    except aiosmtplib.SMTPServerDisconnected:
        raise login.broken_off(server, stage, Loss.DROPPED) from None
    except aiosmtplib.SMTPConnectError as fault:
        cause = fault.__cause__ or fault
        if isinstance(cause, aiosmtplib.SMTPServerDisconnected):
            raise login.broken_off(server, stage, Loss.DROPPED) from None
        raise login.unreachable(server, cause) from None
    except ssl.SSLError as fault:
        raise login.untrusted(server, fault, stage) from None
    except (OSError, ValueError) as fault:
        if stage is Stage.GREETING:
            raise login.unreachable(server, fault) from None
        raise login.broken_off(server, stage, Loss.DROPPED) from None


def _answered(
    server: Server, stage: Stage, answer: aiosmtplib.SMTPResponseException
) -> ServerTrouble:
    if not 400 <= answer.code <= 599:
        loss = Loss.OUT_OF_STEP if 200 <= answer.code <= 399 else Loss.GARBLED
        return login.broken_off(server, stage, loss)
    text = answer.message.encode("utf-8", "surrogateescape")
    return login.refused(server, stage, Reply.of(answer.code, text.split(b"\n")))


def _offers(smtp: aiosmtplib.SMTP) -> Offers:
    size = smtp.esmtp_extensions.get("size")
    if size is not None:
        size = size.strip() if size.strip().isdecimal() else "0"
    return Offers(
        pipelining=smtp.supports_extension("pipelining"),
        eight_bit=smtp.supports_extension("8bitmime"),
        smtputf8=smtp.supports_extension("smtputf8"),
        size=None if size is None else int(size),
    )


@cache
def _system_trust() -> ssl.SSLContext:
    """Certificates and host names are always verified; loading them takes some 20 ms."""
    return ssl.create_default_context()


LoopFactory = Callable[[], asyncio.AbstractEventLoop]


def run_loop(main: Coroutine[Any, Any, T], factory: LoopFactory | None = None) -> T:
    """Run a coroutine in a new event loop; uvloop's saves about a third of the time a letter."""
    # What exists now stays to the end: the garbage collector need not scan it every few letters.
    gc.freeze()
    with asyncio.Runner(loop_factory=factory or _fast_loop()) as runner:
        return runner.run(main)


def _fast_loop() -> LoopFactory | None:
    try:
        import uvloop  # noqa: PLC0415 (an extra, petition[fast])
    except ImportError:
        return None
    factory: LoopFactory = uvloop.new_event_loop
    return factory
