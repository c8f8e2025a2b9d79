"""Runs the endpoint until it is told to end. The only door to uvicorn."""

import asyncio
import contextlib
import resource
import signal
import socket
from collections.abc import Callable, Iterator
from importlib.util import find_spec

from petition.errors import UsageError

WANTS_SERVE = 'pip install "petition[serve]"'

_HEADER_LIMIT = 16_384  # bytes of a request line and headers that are not yet whole
_MOST_FILES = 16_384
_BACKLOG = 2048  # connections that the system holds until they are accepted
_REQUEST_SECONDS = 10.0  # in which the headers of a request must be whole
# Connections without a whole request. Beyond, the oldest of them is dropped for each new one, if it
# had time enough to speak.
_MOST_ASKING = 256
_GRACE_SECONDS = 1.0


def require_serve() -> None:
    """Refuse to begin where what is needed is not installed.

    Raises:
        UsageError: `petition[serve]` is missing.
    """
    if find_spec("starlette") is None or find_spec("uvicorn") is None:
        raise UsageError("serving needs a part that is not installed", WANTS_SERVE)


def listen(host: str, port: int) -> socket.socket:
    """A socket that will be served on.

    Args:
        host: The address to listen at.
        port: The port; 0: one that is free.

    Raises:
        UsageError: It cannot be had.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    _allow_many_files()
    sock = socket.socket(family)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        sock.bind((host, port))
        sock.listen(_BACKLOG)  # from now on whoever calls waits, and is not turned away
    except (OSError, UnicodeError) as fault:
        sock.close()
        why = getattr(fault, "strerror", None) or "that is no address"
        mend = "Choose another one with --port or --host"
        raise UsageError(f"nothing can listen at {host}, port {port}: {why}", mend) from None
    return sock


def _allow_many_files() -> None:
    """Each connection is an open file, of which many systems allow 1,024 unless they are asked."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = _MOST_FILES if hard == resource.RLIM_INFINITY else min(hard, _MOST_FILES)
    if soft != resource.RLIM_INFINITY and soft < most:
        with contextlib.suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))


def run(application: Callable[..., object], sock: socket.socket) -> None:
    """Serve until SIGINT or SIGTERM; requests that were begun are answered.

    Args:
        application: The ASGI application.
        sock: Where.
    """
    import uvicorn  # noqa: PLC0415 (an extra)
    from uvicorn.protocols.http.h11_impl import H11Protocol  # noqa: PLC0415

    asking: dict[H11Protocol, float] = {}  # since when; the oldest is the first

    class Protocol(H11Protocol):
        """A connection that must ask soon, and makes room for others where it does not.

        uvicorn has no time limit for headers, and answers 503 where there are too many connections,
        those among them that say nothing. Each connection is for one request.
        """

        _deadline: asyncio.TimerHandle | None = None

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
                self._note_asked()

        def connection_lost(self, exc: Exception | None) -> None:
            super().connection_lost(exc)
            self._note_asked()

        def _note_asked(self) -> None:
            asking.pop(self, None)
            if self._deadline:
                self._deadline.cancel()

    class Server(uvicorn.Server):
        """A server that a signal ends, and not the program with it."""

        @contextlib.contextmanager
        def capture_signals(self) -> Iterator[None]:
            kept = {
                number: signal.signal(number, self.handle_exit)
                for number in (signal.SIGINT, signal.SIGTERM)
            }
            try:
                yield
            finally:
                for number, handler in kept.items():
                    signal.signal(number, handler)

    config = uvicorn.Config(
        application,
        http=Protocol,
        loop="asyncio",
        ws="none",
        lifespan="off",
        log_level="error",
        access_log=False,  # its lines would hold tokens and addresses
        proxy_headers=False,  # X-Forwarded-* is whatever somebody writes
        server_header=False,
        headers=[("Connection", "close")],
        backlog=_BACKLOG,
        timeout_graceful_shutdown=10,
        h11_max_incomplete_event_size=_HEADER_LIMIT,
    )
    Server(config).run(sockets=[sock])
