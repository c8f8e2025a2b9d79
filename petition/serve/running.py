"""Runs the endpoint until it is told to end. The only door to uvicorn."""

import contextlib
import signal
import socket
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from importlib.util import find_spec

from petition.errors import UsageError

WANTS_SERVE = 'pip install "petition[serve]"'

_HEADER_LIMIT = 16_384  # bytes of a request line and headers that are not yet whole
_MOST_AT_ONCE = 256  # connections; those beyond get 503
_IDLE_SECONDS = 5


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
    sock = socket.socket(family)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        sock.bind((host, port))
        sock.listen(_MOST_AT_ONCE)  # from now on whoever calls waits, and is not turned away
    except (OSError, UnicodeError) as fault:
        sock.close()
        why = getattr(fault, "strerror", None) or "that is no address"
        mend = "Choose another one with --port or --host"
        raise UsageError(f"nothing can listen at {host}, port {port}: {why}", mend) from None
    return sock


def one_thread() -> ThreadPoolExecutor:
    """What runs all that waits for the log, one after the other."""
    return ThreadPoolExecutor(max_workers=1, thread_name_prefix="log")


def run(application: Callable[..., object], sock: socket.socket) -> None:
    """Serve until SIGINT or SIGTERM; requests that were begun are answered.

    Args:
        application: The ASGI application.
        sock: Where.
    """
    import uvicorn  # noqa: PLC0415 (an extra)

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
        http="h11",
        loop="asyncio",
        ws="none",
        lifespan="off",
        log_level="error",
        access_log=False,  # its lines would hold tokens and addresses
        proxy_headers=False,  # X-Forwarded-* is whatever somebody writes
        server_header=False,
        limit_concurrency=_MOST_AT_ONCE,
        timeout_keep_alive=_IDLE_SECONDS,
        timeout_graceful_shutdown=10,
        h11_max_incomplete_event_size=_HEADER_LIMIT,
    )
    Server(config).run(sockets=[sock])
