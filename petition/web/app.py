"""The unsubscribe endpoint (RFC 8058) as an ASGI application, and its server.

GET shows a page with one button, so that programs that follow every link unsubscribe nobody. POST
is the click, of a mail program or of that button. It is answered at once, without a cookie and
without a redirect (RFC 8058 3.1, 3.2), and in the same way however often it is repeated.

Mail providers that click for a reader seldom try again. So a click that cannot be recorded within
some seconds is written to a file beside the log and synced before it is answered. It is counted
when the log can be written to again, by this program or by the next `send`.

The pages have no script, no picture, and nothing from another site. Their colours have a contrast
of at least 7 to 1 (WCAG 2.2, 1.4.6), light and dark; the button is larger than 44 by 44 px (2.5.5).
"""

import asyncio
import base64
import hashlib
import re
import signal
import socket
import time
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from html import escape
from itertools import chain
from pathlib import Path
from typing import Generic, TypeVar
from urllib.parse import parse_qsl

import uvicorn
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import HTMLResponse, PlainTextResponse, Response
from starlette.routing import Route
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.server import HANDLED_SIGNALS

from petition import system
from petition.campaign.text_file import packaged, packaged_toml
from petition.errors import LogUnusable, UsageError
from petition.outbox.inbound import copy_with, count_noted, is_token, leave_all, note, waits
from petition.outbox.log import Log
from petition.outbox.manual import is_suppressed
from petition.outbox.models import Copy

# By language: the heading and the text of each page, and the label of its button.
WORDS = packaged_toml("web/words.toml")
STYLE = packaged("web/page.css")
_PAGE = packaged("web/page.html")

_DIGEST = base64.b64encode(hashlib.sha256(STYLE.encode()).digest()).decode("ascii")

# Nothing is loaded from anywhere; the page's own style is allowed by its hash (CSP 3).
HEADERS = {
    "Content-Security-Policy": (
        f"default-src 'none'; style-src 'sha256-{_DIGEST}'; form-action 'self';"
        " base-uri 'none'; frame-ancestors 'none'"
    ),
    "Cache-Control": "no-store",
    "Referrer-Policy": "no-referrer",  # the address of the page is its token
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "X-Robots-Tag": "noindex, nofollow",
}

# RFC 8058 3.2: what the one click of a mail program sends, and our button too.
FIELD, VALUE = "List-Unsubscribe", "One-Click"

_BODY_LIMIT = 4_096  # bytes; the click has 26, as multipart/form-data some 200
_BODY_SECONDS = 10.0
_HEADER_LIMIT = 16_384  # bytes of all headers
_MOST_FILES = 16_384
_BACKLOG = 2048  # connections that the system holds until they are accepted
_REQUEST_SECONDS = 10.0  # in which all headers of a request must arrive
# Connections whose request, with its body, is not complete. Beyond that, each new one replaces the
# oldest, if it had time enough to send something.
_MOST_ASKING = 256
_GRACE_SECONDS = 1.0
_WAIT_SECONDS = 3.0  # that a person waits for the log
_AGAIN_SECONDS = 2.0  # before a log that could not be written to is tried again
_MOST_CLICKS = 500  # clicks in one commit

_TOKEN = re.compile(r"[\W_]*([0-9a-f]{32})[\W_]*", re.IGNORECASE | re.ASCII)
_FORM_PART = re.compile(
    rf'^content-disposition:[^\n]*;\s*name="?{FIELD}"?[ \t]*(?:;[^\n]*)?\r?\n'
    rf"(?:[!-9;-~]+:[^\n]*\n)*\r?\n{VALUE}\r?$",
    re.IGNORECASE | re.MULTILINE,
)

T = TypeVar("T")


class Endpoint:
    """Answers requests.

    `languages` are the campaign's, for readers whose own is not known; `note` is called with
    what was done, which identifies nobody.
    """

    def __init__(
        self,
        clicks: "Clicks",
        pages: "Pages",
        languages: Sequence[str],
        note: Callable[[str], None],
    ) -> None:
        self._clicks = clicks
        self._pages = pages
        self._languages = languages
        self._note = note

    def application(self, root_path: str = "") -> Starlette:
        """The application; also under `root_path`, if a reverse proxy passes whole paths."""
        places = dict.fromkeys((f"{root_path}/u/{{token:path}}", "/u/{token:path}"))
        application = Starlette(
            routes=[Route(place, self._answer, methods=["GET", "POST"]) for place in places],
            exception_handlers={HTTPException: _refusal},
            lifespan=self._lifespan,
        )
        # A redirect for a slash too many would lead to whatever host the request names.
        application.router.redirect_slashes = False
        return application

    @asynccontextmanager
    async def _lifespan(self, _: Starlette) -> AsyncIterator[None]:
        self._clicks.catch_up()
        yield

    async def _answer(self, request: Request) -> Response:
        is_click = request.method == "POST"
        if sum(map(len, chain.from_iterable(request.headers.raw))) > _HEADER_LIMIT:
            return _plain("The headers are too large.", 431)
        if is_click and (refusal := await _refused_body(request)):
            self._note(f"{request.method} {refusal.status_code}")
            return refusal
        # Programs take a bracket or the full stop behind an address for a part of it.
        around = _TOKEN.fullmatch(request.path_params["token"])
        token = around[1] if around else ""
        status, page, copy, what = await self._found(token, is_click=is_click)
        self._note(f"{request.method} {status}: {what}")
        known = [copy.language] if copy and copy.language else []
        accepted = request.headers.get("accept-language", "")
        language = language_for(accepted, [*known, *self._languages])
        more = {"Content-Language": language, "Vary": "Accept-Language"}
        if status == 503:
            more["Retry-After"] = "120"
        return HTMLResponse(self._pages.html(page, language), status, {**HEADERS, **more})

    async def _found(self, token: str, *, is_click: bool) -> tuple[int, str, Copy | None, str]:
        """The status, the page, the copy that the token belongs to, and what was done."""
        copy, has_left = None, False
        try:
            if is_click and is_token(token):
                copy = await self._clicks.count(token)
            elif is_token(token):
                copy, has_left = await self._clicks.find(token)
        except LogLate:
            if is_click:
                return 202, "noted", None, "noted for later"
            return 200, "ask", None, "asked, while the log is away"
        except OSError as fault:
            return 503, "later", None, f"not recorded, and not noted either: {fault.strerror}"
        if copy is None:
            return 404, "unknown", None, "unknown link"
        if is_click:
            return 200, "done", copy, f"unsubscribed, {copy.letter}"
        return 200, "done" if has_left else "ask", copy, f"asked, {copy.letter}"


async def _refused_body(request: Request) -> Response | None:
    """The response to a POST that is not a click, or None; reads the body, up to its limit."""
    body = b""
    try:
        async with asyncio.timeout(_BODY_SECONDS):
            async for piece in request.stream():
                body += piece
                if len(body) > _BODY_LIMIT:
                    return _plain("The body is too large.", 413)
    except TimeoutError:
        return _plain("The body did not arrive.", 408)
    except ClientDisconnect:
        return _plain("", 400)
    if not _is_click(body, request.headers.get("content-type", "")):
        return _plain(f"The body must be {FIELD}={VALUE} (RFC 8058).", 400)
    return None


def _is_click(body: bytes, kind: str) -> bool:
    text = body.decode("utf-8", "replace")
    if kind.lower().startswith("multipart/form-data"):
        return bool(_FORM_PART.search(text))
    return (FIELD, VALUE) in parse_qsl(text.strip())


async def _refusal(request: Request, fault: Exception) -> Response:  # noqa: ARG001
    status = fault.status_code if isinstance(fault, HTTPException) else 500
    answer = _plain({404: "Not found.", 405: "Not allowed."}.get(status, ""), status)
    if isinstance(fault, HTTPException):
        answer.headers.update(fault.headers or {})  # Allow, of a 405 (RFC 9110 15.5.6)
    return answer


def _plain(text: str, status: int) -> Response:
    return PlainTextResponse(text, status, HEADERS)


class LogLate(Exception):
    """The log does not answer for now. If it was a click, that is noted in the file."""


class Clicks:
    """Looks tokens up and counts clicks, on one event loop; two threads wait for the disk.

    Only its own thread uses the log; `reopen` opens it again, since the server of its database
    may have been restarted. Clicks that have to wait are noted in the file.
    """

    def __init__(self, log: Log, reopen: Callable[[], Log], file: Path) -> None:
        self._log = log
        self._reopen = reopen
        self._file = file
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="log")
        self._pen = ThreadPoolExecutor(1, thread_name_prefix="noted")
        self._counting = _Batches(
            self._thread, lambda some: self._ask(lambda log: leave_all(log, some))
        )
        self._noting = _Batches(self._pen, partial(note, file))
        self._catching_up: asyncio.Task[None] | None = None

    async def find(self, token: str) -> tuple[Copy | None, bool]:
        """The copy that a token was made for, if any, and whether its reader has left; LogLate."""
        if self._counting.is_stuck:
            raise LogLate
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(_WAIT_SECONDS):
                look = partial(_copy_and_whether_left, token=token)
                return await loop.run_in_executor(self._thread, self._ask, look)
        except (TimeoutError, LogUnusable) as fault:
            raise LogLate from fault

    async def count(self, token: str) -> Copy | None:
        """Unsubscribe the address that a token was made for; returns its copy.

        LogLate: the click is noted and will be counted. OSError: it could not be noted either.
        """
        fault: Exception | None = None
        if not self._counting.is_stuck:
            try:
                async with asyncio.timeout(_WAIT_SECONDS):
                    return await self._counting.add(token)
            except (TimeoutError, LogUnusable) as found:
                fault = found
        await self._noting.add(token)
        self.catch_up()
        raise LogLate from fault

    def close(self) -> bool:
        """Count what still waits, if possible, and close the log; whether clicks are left over."""
        self._thread.shutdown()
        self._pen.shutdown()
        if waits(self._file):
            with suppress(LogUnusable, OSError):
                self._ask(partial(count_noted, file=self._file))
        with suppress(LogUnusable):
            self._log.close()
        return waits(self._file)

    def catch_up(self) -> None:
        """Count what was noted, by an earlier run too, as soon as the log can be written to."""
        if self._catching_up is None or self._catching_up.done():
            self._catching_up = asyncio.create_task(self._catch_up())

    async def _catch_up(self) -> None:
        loop = asyncio.get_running_loop()
        while waits(self._file):
            await asyncio.sleep(_AGAIN_SECONDS)
            with suppress(LogUnusable, OSError):
                count = partial(count_noted, file=self._file)
                await loop.run_in_executor(self._thread, self._ask, count)

    def _ask(self, question: Callable[[Log], T]) -> T:
        try:
            return question(self._log)
        except LogUnusable as fault:
            if self._log.database.is_busy(fault):
                raise
            log = self._reopen()
        with suppress(LogUnusable):
            self._log.close()
        self._log = log
        return question(log)


def _copy_and_whether_left(log: Log, token: str) -> tuple[Copy | None, bool]:
    copy = copy_with(log, token)
    return copy, bool(copy and is_suppressed(log, copy.mailbox))


class _Batches(Generic[T]):
    """Hands over to a thread all at once what gathers while it is at work."""

    def __init__(self, thread: Executor, work: Callable[[Sequence[str]], Sequence[T]]) -> None:
        self._thread = thread
        self._work = work
        self._gathered: list[tuple[str, asyncio.Future[T]]] = []
        self._working: asyncio.Task[None] | None = None
        self._begun = 0.0  # when the current work was handed over; 0: there is none

    @property
    def is_stuck(self) -> bool:
        """Whether the current work takes longer than anybody waits."""
        return bool(self._begun) and time.monotonic() - self._begun > _WAIT_SECONDS

    async def add(self, token: str) -> T:
        """What the work returns for a token, or raises."""
        answer: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        self._gathered.append((token, answer))
        if self._working is None or self._working.done():
            self._working = asyncio.create_task(self._hand_over())
        return await answer

    async def _hand_over(self) -> None:
        loop = asyncio.get_running_loop()
        while self._gathered:
            some, self._gathered = self._gathered[:_MOST_CLICKS], self._gathered[_MOST_CLICKS:]
            some = [(token, answer) for token, answer in some if not answer.done()]
            if not some:
                continue
            self._begun = time.monotonic()
            try:
                tokens = [token for token, _ in some]
                answers = await loop.run_in_executor(self._thread, self._work, tokens)
            except Exception as fault:  # noqa: BLE001 (raised again to those who await it)
                for _, answer in some:
                    if not answer.done():
                        answer.set_exception(fault)
            else:
                for (_, answer), given in zip(some, answers, strict=True):
                    if not answer.done():
                        answer.set_result(given)
            finally:
                self._begun = 0.0


WITH_BUTTON = ("ask", "later")


@dataclass(frozen=True, slots=True)
class Pages:
    """The pages of one campaign."""

    sender: str  # the sender's name, as readers know it
    address: str  # where answers go

    def html(self, name: str, language: str) -> str:
        """A page by its name in words.toml."""
        words = WORDS[language]
        heading, address = escape(words[name]["heading"]), escape(self.address)
        filled = escape(words[name]["text"]).format(
            sender=f"<bdi>{escape(self.sender)}</bdi>",
            address=f'<a href="mailto:{address}">{address}</a>',
        )
        # The form is sent to where the page came from.
        form = (
            f'<form method="post"><input type="hidden" name="{FIELD}" value="{VALUE}">'
            f"<button>{escape(words['button'])}</button></form>"
        )
        return _PAGE.format(
            language=language,
            heading=heading,
            style=STYLE,
            text=filled,
            form=form if name in WITH_BUTTON else "",
        )


# A language range with its weight; whatever follows its first hyphen makes no difference here.
_RANGE = re.compile(r"\s*([a-zA-Z]{1,8})(?:-[\w-]{1,35})?\s*(?:;\s*q=([01](?:\.\d{0,3})?)\s*)?")
_MOST_RANGES = 20


def language_for(accepted: str, others: Iterable[str]) -> str:
    """The language of a page: what the browser accepts (RFC 9110 12.5.4), else the others'."""
    wanted = []
    for at, text in enumerate(accepted[:1_000].split(",")[:_MOST_RANGES]):
        if found := _RANGE.fullmatch(text):
            weight = float(found[2] or 1)
            if weight > 0:
                wanted.append((-weight, at, found[1].lower()))
    tags = [tag for _, _, tag in sorted(wanted)]
    tags += [other.lower().partition("-")[0] for other in others]
    return next((tag for tag in tags if tag in WORDS), "en")


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
        h11_max_incomplete_event_size=_HEADER_LIMIT,
    )
    Server(config).run(sockets=[sock])
