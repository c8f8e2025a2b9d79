"""The form to sign with, and the page that each signatory gets the link to.

Anybody can send the form, with anybody's address. So it is answered in the same way whoever has
signed, and nothing counts before a button was pressed on the page that the mail leads to: programs
that follow links press none. Programs that fill in forms are met without a riddle for people: by a
field that nobody sees, a stamp that says when the form was fetched, and limits (limits.py). Each of
them shows the form again, with what was typed and what to do, as a browser may cause it as well.
"""

import asyncio
import math
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import NamedTuple
from urllib.parse import parse_qsl

from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

from petition import signing
from petition.identity import Signer
from petition.merge import frozen_signatures
from petition.outbox import signatures
from petition.outbox.log import Log
from petition.outbox.signatures import SignatureEntry, SignatureRecord, SignatureStatus
from petition.sending.sender import first_of
from petition.signing import SigningDesk, SignRefused
from petition.web.limits import FormLimits, Proxies
from petition.web.live import Live
from petition.web.log_thread import LogLate, LogThread
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
from petition.web.sign_pages import (
    DO,
    STAMP,
    STYLE,
    TEXTS,
    TICKS,
    TRAP,
    WORDS,
    LetterToSign,
    SignPages,
    Typed,
)

_BY_FORM, _BY_LINK = "form", "link"
_FORM_TYPE = "application/x-www-form-urlencoded"

_BODY_LIMIT = 32_768  # bytes: five texts of 120 letters take less than 8 KB
_MOST_FIELDS = 20
_SHOWN_AGAIN = 1_000  # characters of what was typed
_LEAST_SECONDS = 3  # nobody has filled in the form before
_MOST_SECONDS = 24 * 3_600  # for which a form can be sent
_EXPIRY_SECONDS = 3_600.0  # between two looks for entries that nobody confirmed
_ANSWER_SECONDS = 0.5  # at the least: an address that is new takes longer to write than a known one

_HEADERS = headers_for(STYLE, "img-src data:; ")

Beside = Callable[[asyncio.Event], Awaitable[None]]


class Signing:
    """Answers `/sign` and the links of signatories.

    `note` is called with what was done, which identifies nobody. `beside` are run while the server
    runs, until the event.
    """

    def __init__(
        self,
        live: Live[LetterToSign],
        log: LogThread,
        signer: Signer,
        proxies: Proxies,
        note: Callable[[str], None],
        beside: Sequence[Beside] = (),
        limits: FormLimits | None = None,
    ) -> None:
        self._live = live
        self._log = log
        self._signer = signer
        self._proxies = proxies
        self._note = note
        self._beside = beside
        self._limits = limits or FormLimits()
        self._has_warned = False

    @property
    def places(self) -> Mapping[str, Handler]:
        """What answers where."""
        return {"/sign": self._answer, "/sign/{token:path}": self._answer}

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """What goes on beside the requests: mails are sent, old entries are deleted."""
        stopped = asyncio.Event()
        tasks = [asyncio.ensure_future(one(stopped)) for one in (self._expire, *self._beside)]
        try:
            yield
        finally:
            stopped.set()
            await asyncio.gather(*tasks)

    async def _expire(self, stopped: asyncio.Event) -> None:
        while not stopped.is_set():
            try:
                number = await self._log.ask(signatures.expire)
            except LogLate:
                number = 0
            if number:
                self._note(f"deleted {number:,} that nobody has confirmed")
            await first_of(_EXPIRY_SECONDS, stopped)

    # ---- requests

    async def _answer(self, request: Request) -> Response:
        if has_large_headers(request):
            return refused_headers()
        is_own = "token" in request.path_params
        pages = self._pages(request)
        cells: dict[str, str] = {}
        if request.method == "POST":
            found = await self._cells(request, pages, depth=int(is_own))
            if isinstance(found, Response):
                self._note(f"POST {found.status_code}")
                return found
            cells = found
        if is_own:
            return await self._own(request, pages, cells)
        if request.method == "POST":
            return await self._sign(request, pages, cells)
        return _page(pages.form(self._stamp()), pages.language)

    def _pages(self, request: Request, known: str = "") -> SignPages:
        """In the language that is chosen, else that of the signature, else the browser's."""
        shown = self._live.now()
        wanted = request.query_params.get("language", "")
        accepted = request.headers.get("accept-language", "")
        others = shown.desk.settings.campaign.languages
        first = wanted if wanted in WORDS else known
        language = first if first in WORDS else language_for(accepted, others, WORDS)
        return shown.pages(language)

    async def _cells(
        self, request: Request, pages: SignPages, depth: int
    ) -> dict[str, str] | Response:
        """What a form says; or the answer to what is none."""
        if not request.headers.get("content-type", "").startswith(_FORM_TYPE):
            return plain("The body must be a form.", 400)
        # The page of somebody else cannot have its visitors sign.
        if request.headers.get("sec-fetch-site", "same-origin") not in {"same-origin", "none"}:
            return plain("The form must be sent from its own page.", 400)
        body = await body_of(request, _BODY_LIMIT)
        if isinstance(body, Response):
            if body.status_code == 413:
                return _page(pages.plain("large", depth), pages.language, 413)
            return body
        try:
            text = body.decode("ascii")
            pairs = parse_qsl(text, keep_blank_values=True, max_num_fields=_MOST_FIELDS)
        except ValueError:
            return plain("The body must be a form.", 400)
        return dict(reversed(pairs))  # of two with one name the first

    def _stamp(self) -> str:
        return self._signer.stamp(int(time.time()))

    # ---- the form

    async def _sign(self, request: Request, pages: SignPages, cells: dict[str, str]) -> Response:
        entry, faults = _read(cells)
        try:
            mailbox = signing.mailbox_of(cells.get("email", ""))
        except SignRefused as why:
            faults = {"email": why.why} | faults
        status, notice, seconds = 422, self._haste(cells), 0.0
        if not notice and entry and not faults:
            self._warn(request)
            if seconds := self._limits.wait(self._proxies.client(request)):
                status, notice = 429, "busy"
        if not notice and entry and not faults:
            desk, wording = self._desk, self._desk.wording(pages.language)
            answers_at = time.monotonic() + _ANSWER_SECONDS
            try:
                await self._log.write(
                    lambda log: replace(desk, log=log).sign(
                        mailbox.addr_spec, entry, wording, _BY_FORM
                    )
                )
            except LogLate:
                status, notice = 503, "later"
            else:
                await asyncio.sleep(answers_at - time.monotonic())
                self._note("POST 200: the form")
                return _page(pages.sent(mailbox.readable), pages.language)
        minutes = max(1, math.ceil(seconds / 60))
        self._note(f"POST {status}: the form again, {notice or 'with faults'}")
        typed = Typed(_shortened(cells), faults, notice, minutes)
        # Who was too quick need not wait once more; a page that was too old gets a new stamp.
        stamp = cells.get(STAMP, "") if notice in {"early", "busy", "later"} else self._stamp()
        again = str(math.ceil(seconds)) if seconds else AWAY_SECONDS
        more = {"Retry-After": again} if status in {429, 503} else {}
        return _page(pages.form(stamp, typed), pages.language, status, more)

    def _haste(self, cells: Mapping[str, str]) -> str:
        """What is wrong with how the form was sent, as `faults` in the words has it; or ""."""
        if cells.get(TRAP):
            return "trapped"
        made = self._signer.moment_of(cells.get(STAMP, ""))
        age = time.time() - made if made is not None else math.inf
        if age > _MOST_SECONDS:
            return "stale"
        return "early" if age < _LEAST_SECONDS else ""

    def _warn(self, request: Request) -> None:
        """Tell whoever runs it that a web server in front is not believed, once."""
        if self._proxies or self._has_warned or "x-forwarded-for" not in request.headers:
            return
        self._has_warned = True
        peer = request.client.host if request.client else "it"
        self._note(
            f"requests come through {peer}, and all count as one network: if that is your web"
            f" server, add --proxy {peer}"
        )

    # ---- the page of a signature

    async def _own(self, request: Request, pages: SignPages, cells: dict[str, str]) -> Response:
        token = token_in(request.path_params["token"])
        is_click, method = request.method == "POST", request.method
        found: _Found | None = None
        try:
            if token:
                found = await self._log.ask(lambda log: _find(log, token))
            if found is None:
                self._note(f"{method} 404: unknown link")
                return _page(pages.plain("unknown", 1), pages.language, 404)
            pages, typed, done = self._pages(request, found.signature.language), None, ""
            if is_click:
                found, typed, done = await self._do(found, pages, cells)
        except LogLate:
            self._note(f"{method} 503: the log is away")
            more = {"Retry-After": AWAY_SECONDS}
            return _page(pages.plain("later", 1), pages.language, 503, more)
        status = 422 if typed else 200
        self._note(f"{method} {status}: a signature{f', {done}' if done else ''}")
        signature = found.signature
        if signature.status is SignatureStatus.WITHDRAWN:
            text = pages.withdrawn(found.gone)
        elif signature.status is SignatureStatus.UNCONFIRMED:
            text = pages.ask(signature, typed)
        else:
            text = pages.yours(signature, found.gone, done=done, typed=typed)
        return _page(text, pages.language, status)

    async def _do(
        self, found: "_Found", pages: SignPages, cells: dict[str, str]
    ) -> tuple["_Found", Typed | None, str]:
        """Do what a button says, if the signature is as its page was; what it is then."""
        before, what = found.signature, cells.get(DO)
        if what == "withdraw" and before.status is SignatureStatus.CONFIRMED:
            desk = self._desk
            found = await self._log.write(lambda log: _withdraw(replace(desk, log=log), before))
            return found, None, ""
        of = {"confirm": SignatureStatus.UNCONFIRMED, "change": SignatureStatus.CONFIRMED}
        if of.get(what or "") is not before.status:
            return found, None, ""
        entry, faults = _read(cells)
        if entry is None:
            return found, Typed(_shortened(cells), faults), ""
        desk, wording = self._desk, self._desk.wording(pages.language)

        def carry_out(log: Log) -> _Found:
            own = replace(desk, log=log)
            if what == "change":
                own.change(before, entry, wording, _BY_LINK)
            else:
                signatures.store_change(log, before, entry, wording, _BY_LINK)
                own.confirm(before, _BY_LINK)
            return _of(log, signatures.one(log, before.id))

        return await self._log.write(carry_out), None, "changed" if what == "change" else "done"

    @property
    def _desk(self) -> SigningDesk:
        return self._live.now().desk


class _Found(NamedTuple):
    """A signature, and where its name has gone."""

    signature: SignatureRecord
    gone: Sequence[frozen_signatures.Gone]


def _find(log: Log, token: str) -> _Found | None:
    signature = signatures.find(log, token)
    return _of(log, signature) if signature else None


def _of(log: Log, signature: SignatureRecord) -> _Found:
    return _Found(signature, frozen_signatures.gone_with(log, signature))


def _withdraw(desk: SigningDesk, signature: SignatureRecord) -> _Found:
    gone = desk.withdraw(signature, _BY_LINK) or []
    return _Found(signatures.one(desk.log, signature.id), gone)


def _read(cells: Mapping[str, str]) -> tuple[SignatureEntry | None, dict[str, str]]:
    """The signature that a form describes; or None, and all that is wrong with it, by field."""
    given, faults = dict(cells), dict[str, str]()
    while True:
        try:
            entry = signing.entry_of(given)
        except SignRefused as why:
            faults[why.field] = why.why
            given[why.field] = "x"  # to find what else is wrong
        else:
            return (None if faults else entry), faults


def _shortened(cells: Mapping[str, str]) -> dict[str, str]:
    """What was typed, as the form shows it again."""
    kept = {name: cells.get(name, "")[:_SHOWN_AGAIN] for name in ("email", *TEXTS)}
    return kept | {name: cells.get(name, "") for name in TICKS}


def _page(
    text: str, language: str, status: int = 200, more: Mapping[str, str] | None = None
) -> Response:
    said = {"Content-Language": language, "Vary": "Accept-Language"}
    return HTMLResponse(text, status, {**_HEADERS, **said, **(more or {})})
