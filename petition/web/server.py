"""The server: a socket, and limits for connections that would be kept open for ever."""

import asyncio
import signal
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.server import HANDLED_SIGNALS

from petition import system
from petition.errors import UsageError
from petition.web.responses import HEADER_LIMIT

_MOST_FILES = 16_384
_BACKLOG = 2048  # connections that the system holds until they are accepted
_REQUEST_SECONDS = 10.0  # in which all headers of a request must arrive
# Connections whose request, with its body, is not complete. Beyond that, each new one replaces the
# oldest, if it had time enough to send something.
_MOST_ASKING = 256
_GRACE_SECONDS = 1.0


def listen(host: str, port: int) -> socket.socket:
    """A socket that listens; port 0: a free one. UsageError if it cannot be used."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    system.allow_open_files(_MOST_FILES)  # for connections; many systems allow 1,024
    sock = socket.socket(family)
    system.keep_port(sock)
    try:
        sock.bind((host, port))
        sock.listen(_BACKLOG)  # from now on clients wait, and are not refused
    except (OSError, UnicodeError) as fault:
        sock.close()
        why = getattr(fault, "strerror", None) or "it is not an address"
        hint = "Choose another with --port or --host"
        raise UsageError(f"cannot listen at {host}, port {port}: {why}", hint) from None
    return sock


def run(application: Callable[..., object], sock: socket.socket) -> None:
    """Serve until Ctrl-C or another signal, then answer the requests that have begun."""
    asking: dict[H11Protocol, float] = {}  # since when, the oldest first

    class Protocol(H11Protocol):
        """A connection for one request, which must come soon; else it makes room for others.

        uvicorn has no time limit for headers, and if there are too many connections, even idle
        ones, it answers 503.
        """

        _deadline: asyncio.TimerHandle

        def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
            super().connection_made(transport)
            asking[self] = now = self.loop.time()
            self._deadline = self.loop.call_later(_REQUEST_SECONDS, transport.abort)
            oldest, since = next(iter(asking.items()))
            if len(asking) > _MOST_ASKING and now - since > _GRACE_SECONDS:
                asking.pop(oldest)
                oldest.transport.abort()

        def data_received(self, data: bytes) -> None:
            super().data_received(data)
            if self.cycle is not None:
                self._deadline.cancel()  # a body has its own
                if not self.cycle.more_body:
                    asking.pop(self, None)

        def connection_lost(self, exc: Exception | None) -> None:
            super().connection_lost(exc)
            asking.pop(self, None)
            self._deadline.cancel()

    class Server(uvicorn.Server):
        """A server that a signal ends without ending the program."""

        @contextmanager
        def capture_signals(self) -> Iterator[None]:
            kept = [signal.signal(number, self.handle_exit) for number in HANDLED_SIGNALS]
            try:
                yield
            finally:
                for number, handler in zip(HANDLED_SIGNALS, kept, strict=True):
                    signal.signal(number, handler)

    config = uvicorn.Config(
        application,
        http=Protocol,
        loop="asyncio",
        ws="none",
        lifespan="on",
        log_level="error",
        access_log=False,  # its lines would hold tokens and addresses
        proxy_headers=False,  # anybody can send X-Forwarded-*
        server_header=False,
        headers=[("Connection", "close")],
        backlog=_BACKLOG,
        timeout_graceful_shutdown=10,
        h11_max_incomplete_event_size=HEADER_LIMIT,
    )
    Server(config).run(sockets=[sock])
