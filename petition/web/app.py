"""The unsubscribe endpoint (RFC 8058) as an ASGI application, and its server.

GET shows a page with one button: programs that follow every link unsubscribe nobody. POST is the
click, of a mail program or of that button: it answers at once, without a cookie and without a
redirect (RFC 8058 3.1, 3.2), and the same however often it comes.
"""

import asyncio
import contextlib
import resource
import signal
import socket
from collections.abc import Callable, Iterator, Sequence
from importlib.util import find_spec
from itertools import chain
from urllib.parse import parse_qsl

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import HTMLResponse, PlainTextResponse, Response
from starlette.routing import Route

from petition.errors import UsageError
from petition.outbox.inbound import is_token
from petition.outbox.models import Copy
from petition.web.clicks import Clicks, LogLate
from petition.web.pages import FIELD, HEADERS, VALUE, Pages, language_for

BODY_LIMIT = 4_096  # bytes; the click has 26, as a form of several parts some 200
BODY_SECONDS = 10.0
HEADER_LIMIT = 16_384  # bytes of all headers


class Endpoint:
    """Answers requests.

    Args:
        clicks: Finds and counts them in the log.
        pages: The campaign's pages.
        languages: The campaign's, for readers whose own language is not known.
        note: Is told what was done, without a word of whom.
    """

    def __init__(
        self,
        clicks: Clicks,
        pages: Pages,
        languages: Sequence[str],
        note: Callable[[str], None],
    ) -> None:
        self._clicks = clicks
        self._pages = pages
        self._languages = languages
        self._note = note

    def application(self, root_path: str = "") -> Starlette:
        """The application.

        Args:
            root_path: What stands before /u/TOKEN where a reverse proxy passes whole paths on; the
                path without it is answered too.
        """
        places = dict.fromkeys((f"{root_path}/u/{{token}}", "/u/{token}"))
        routes = [Route(place, self._answer, methods=["GET", "POST"]) for place in places]
        application = Starlette(routes=routes, exception_handlers={HTTPException: _refusal})
        # Its answer to a slash too many would lead wherever the request says that its host is.
        application.router.redirect_slashes = False
        return application

    async def _answer(self, request: Request) -> Response:
        click = request.method == "POST"
        if sum(map(len, chain.from_iterable(request.headers.raw))) > HEADER_LIMIT:
            return _plain("The headers are too large.", 431)
        if click and (refusal := await _refused_body(request)):
            self._note(f"{request.method} {refusal.status_code}")
            return refusal
        return self._page(request, *await self._found(request.path_params["token"], click=click))

    async def _found(
        self, token: str, *, click: bool
    ) -> tuple[int, Callable[[str], str], Copy | None, str]:
        """The status, the page, whose token it is, and what was done."""
        ask = self._clicks.count if click else self._clicks.find
        try:
            copy = await ask(token) if is_token(token) else None
        except LogLate:
            if click:
                return 202, self._pages.noted, None, "noted for later"
            return 200, self._pages.asking, None, "asked, while the log is away"
        except OSError as fault:
            return 503, self._pages.later, None, f"it cannot be noted either: {fault.strerror}"
        if copy is None:
            return 404, self._pages.unknown, None, "unknown link"
        if click:
            return 200, self._pages.done, copy, f"unsubscribed, {copy.letter}"
        return 200, self._pages.asking, copy, f"asked, {copy.letter}"

    def _page(
        self,
        request: Request,
        status: int,
        page: Callable[[str], str],
        copy: Copy | None,
        what: str,
    ) -> Response:
        known = [copy.language] if copy and copy.language else []
        accepted = request.headers.get("accept-language", "")
        language = language_for(accepted, [*known, *self._languages])
        self._note(f"{request.method} {status}: {what}")
        more = {"Content-Language": language, "Vary": "Accept-Language"}
        if status == 503:
            more["Retry-After"] = "120"
        return HTMLResponse(page(language), status, {**HEADERS, **more})


async def _refused_body(request: Request) -> Response | None:
    """Why a POST is no click, or None; its body is read to its end and never further."""
    body = b""
    try:
        async with asyncio.timeout(BODY_SECONDS):
            async for piece in request.stream():
                body += piece
                if len(body) > BODY_LIMIT:
                    return _plain("The body is too large.", 413)
    except TimeoutError:
        return _plain("The body did not come.", 408)
    except ClientDisconnect:
        return _plain("", 400)
    if not _is_click(body, request.headers.get("content-type", "")):
        return _plain(f"The body must be {FIELD}={VALUE} (RFC 8058).", 400)
    return None


def _is_click(body: bytes, kind: str) -> bool:
    text = body.decode("utf-8", "replace")
    if kind.lower().startswith("multipart/form-data"):
        head, _, rest = text.partition("\r\n\r\n")
        return f'name="{FIELD.lower()}"' in head.lower() and rest.partition("\r\n")[0] == VALUE
    return (FIELD, VALUE) in parse_qsl(text.strip())


async def _refusal(request: Request, fault: Exception) -> Response:  # noqa: ARG001
    status = fault.status_code if isinstance(fault, HTTPException) else 500
    answer = _plain({404: "Not found.", 405: "Not allowed."}.get(status, ""), status)
    if isinstance(fault, HTTPException):
        answer.headers.update(fault.headers or {})  # Allow, of a 405 (RFC 9110 15.5.6)
    return answer


def _plain(text: str, status: int) -> Response:
    return PlainTextResponse(text, status, HEADERS)


WANTS_SERVE = 'pip install "petition[serve]"'

_HEADER_LIMIT = 16_384  # bytes of a request line and headers that are not yet whole
_MOST_FILES = 16_384
_BACKLOG = 2048  # connections that the system holds until they are accepted
_REQUEST_SECONDS = 10.0  # in which the headers of a request must be whole
# Connections without a whole request, its body too. Beyond, the oldest of them is dropped for each
# new one, if it had time enough to speak.
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
        hint = "Choose another one with --port or --host"
        raise UsageError(f"nothing can listen at {host}, port {port}: {why}", hint) from None
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
