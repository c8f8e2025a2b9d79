"""The unsubscribe endpoint (RFC 8058).

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
import re
from collections.abc import AsyncIterator, Callable, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from functools import partial
from html import escape
from pathlib import Path
from typing import Generic, TypeVar
from urllib.parse import parse_qsl

from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

from petition.campaign.text_file import packaged, packaged_toml
from petition.errors import LogUnusable
from petition.outbox.log import Log
from petition.outbox.manual import is_suppressed
from petition.outbox.models import Copy
from petition.outbox.unsubscribe import (
    copy_of_token,
    count_clicks,
    has_clicks,
    is_token,
    note_clicks,
    unsubscribe_all,
)
from petition.web.log_thread import WAIT_SECONDS, LogLate, LogThread
from petition.web.responses import (
    AWAY_SECONDS,
    Handler,
    body_of,
    has_large_headers,
    headers_for,
    language_for,
    plain,
    refused_headers,
    token_in,
)

# By language: the heading and the text of each page, and the label of its button.
WORDS = packaged_toml("web/words.toml")
STYLE = packaged("web/page.css")
_PAGE = packaged("web/page.html")
HEADERS = headers_for(STYLE)

# RFC 8058 3.2: what the one click of a mail program sends, and our button too.
FIELD, VALUE = "List-Unsubscribe", "One-Click"

_BODY_LIMIT = 4_096  # bytes; the click has 26, as multipart/form-data some 200
_AGAIN_SECONDS = 2.0  # before a log that could not be written to is tried again
_MOST_CLICKS = 500  # clicks in one commit

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

    @property
    def places(self) -> dict[str, Handler]:
        """What answers where."""
        return {"/u/{token:path}": self._answer}

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """What goes on beside the requests."""
        self._clicks.catch_up()
        yield

    async def _answer(self, request: Request) -> Response:
        is_click = request.method == "POST"
        if has_large_headers(request):
            return refused_headers()
        if is_click and (refusal := await _refused_body(request)):
            self._note(f"{request.method} {refusal.status_code}")
            return refusal
        token = token_in(request.path_params["token"])
        status, page, copy, what = await self._found(token, is_click=is_click)
        self._note(f"{request.method} {status}: {what}")
        known = [copy.language] if copy and copy.language else []
        accepted = request.headers.get("accept-language", "")
        language = language_for(accepted, [*known, *self._languages], WORDS)
        more = {"Content-Language": language, "Vary": "Accept-Language"}
        if status == 503:
            more["Retry-After"] = AWAY_SECONDS
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
    body = await body_of(request, _BODY_LIMIT)
    if isinstance(body, Response):
        return body
    if not _is_click(body, request.headers.get("content-type", "")):
        return plain(f"The body must be {FIELD}={VALUE} (RFC 8058).", 400)
    return None


def _is_click(body: bytes, kind: str) -> bool:
    text = body.decode("utf-8", "replace")
    if kind.lower().startswith("multipart/form-data"):
        return bool(_FORM_PART.search(text))
    return (FIELD, VALUE) in parse_qsl(text.strip())


class Clicks:
    """Looks tokens up and counts clicks, on one event loop.

    Clicks that have to wait are noted in the file, by a thread for that alone.
    """

    def __init__(self, log: LogThread, file: Path) -> None:
        self._log = log
        self._file = file
        self._note_thread = ThreadPoolExecutor(1, thread_name_prefix="noted")
        self._counting = _Batches(
            log.executor, lambda some: log.answer(lambda found: unsubscribe_all(found, some))
        )
        self._noting = _Batches(self._note_thread, partial(note_clicks, file))
        self._catching_up: asyncio.Task[None] | None = None

    async def find(self, token: str) -> tuple[Copy | None, bool]:
        """The copy that a token was made for, if any, and whether its reader has left; LogLate."""
        return await self._log.ask(partial(_copy_and_whether_left, token=token))

    async def count(self, token: str) -> Copy | None:
        """Unsubscribe the address that a token was made for; returns its copy.

        LogLate: the click is noted and will be counted. OSError: it could not be noted either.
        """
        fault: Exception | None = None
        if not self._log.is_stuck:
            try:
                async with asyncio.timeout(WAIT_SECONDS):
                    return await self._counting.add(token)
            except (TimeoutError, LogUnusable) as found:
                fault = found
        await self._noting.add(token)
        self.catch_up()
        raise LogLate from fault

    def close(self) -> bool:
        """Count what still waits, if possible, and close the log; whether clicks are left over."""
        self._log.close()
        self._note_thread.shutdown()
        if has_clicks(self._file):
            with suppress(LogUnusable, OSError):
                self._log.answer(partial(count_clicks, file=self._file))
        self._log.close_log()
        return has_clicks(self._file)

    def catch_up(self) -> None:
        """Count what was noted, by an earlier run too, as soon as the log can be written to."""
        if self._catching_up is None or self._catching_up.done():
            self._catching_up = asyncio.create_task(self._catch_up())

    async def _catch_up(self) -> None:
        loop = asyncio.get_running_loop()
        while has_clicks(self._file):
            await asyncio.sleep(_AGAIN_SECONDS)
            with suppress(LogUnusable, OSError):
                count = partial(count_clicks, file=self._file)
                await loop.run_in_executor(self._log.executor, self._log.answer, count)


def _copy_and_whether_left(log: Log, token: str) -> tuple[Copy | None, bool]:
    copy = copy_of_token(log, token)
    return copy, bool(copy and is_suppressed(log, copy.mailbox))


class _Batches(Generic[T]):
    """Gathers what comes while a thread is busy, and hands it over in one batch."""

    def __init__(self, thread: Executor, work: Callable[[Sequence[str]], Sequence[T]]) -> None:
        self._thread = thread
        self._work = work
        self._gathered: list[tuple[str, asyncio.Future[T]]] = []
        self._working: asyncio.Task[None] | None = None

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
