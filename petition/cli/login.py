"""petition login: a login at a mail provider, in a web browser (OAuth 2.0)."""

import os
import secrets
import sys
import time
import webbrowser
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from getpass import getpass
from html import escape
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from queue import Empty, SimpleQueue
from socketserver import TCPServer
from threading import Thread
from typing import Annotated
from urllib.parse import parse_qsl, urlsplit

import typer

from petition import system
from petition.cli import output
from petition.cli.workspace import Workspace
from petition.credentials import drop_secrets
from petition.errors import ServerTrouble, UsageError
from petition.inbox.imap import Imap
from petition.oauth import (
    CLIENT_SECRET,
    Account,
    Authorization,
    DeviceAuthorization,
    Tokens,
    Use,
    drop_login,
    keep_login,
    kept_client_secret,
)
from petition.smtp.login import secret_of
from petition.smtp.session import Session, run_loop
from petition.trust import Section

_MINUTES = 10  # for a person to log in
_REQUEST_SECONDS = 10  # for a browser to send its request
_TICK_SECONDS = 0.2  # in which Ctrl-C is noticed, on Windows too
_PAGE = """\
<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>petition</title></head>
<body><p>{text}</p></body></html>
"""


_SECTIONS = {"smtp": Section.SERVER, "inbox": Section.INBOX}


def login(
    context: typer.Context,
    to: Annotated[
        Use | None,
        typer.Argument(
            metavar="smtp|inbox",
            help="Only to the server of this table (default: both).",
            show_default=False,
        ),
    ] = None,
    device: Annotated[
        bool, typer.Option("--device", help="Log in on another device, with a code.")
    ] = False,
    port: Annotated[
        int,
        typer.Option(
            "--port", min=0, max=65535, metavar="N", help="Wait for the browser on port N; 0: any."
        ),
    ] = 0,
    forget: Annotated[bool, typer.Option("--forget", help="Forget the login instead.")] = False,
) -> None:
    """Log in to a mail server in a web browser, without a password."""
    if device and port:
        raise UsageError("--device and --port cannot be combined", "Choose one of them")
    with Workspace.open(context) as place:
        accounts = _accounts(place, to)
        if forget:
            for account in accounts:
                there = drop_login(account)
                what = "Forgot the login" if there else "There was no login"
                output.say(f"{what} of {account.username} at {account.host}.")
            return
        place.allow(*(_SECTIONS[account.use] for account in accounts))
        client_secret = _client_secret(accounts)
        for account in accounts:
            with output.interruptible("nobody was logged in"):
                tokens = _obtain(account, client_secret, port, on_device=device)
            kept = keep_login(account, tokens, client_secret)
            output.say(f"The login is kept in {kept}.")
            _try(place, account)


def _accounts(place: Workspace, to: Use | None) -> list[Account]:
    server = place.server
    found = [server.account if server else None, place.settings.inbox_account]
    accounts = [one for one in found if one and to in {None, one.use}]
    if not accounts:
        where = f"[{to}] does not say" if to else "neither [smtp] nor [inbox] says"
        hint = "Write it there, and the provider into [oauth]: petition help login.md says how"
        raise UsageError(f'{where} auth = "oauth"', hint)
    if not accounts[0].client.client_id.strip("0-"):
        what = "client_id in [oauth] is still the one that petition init wrote"
        hint = "Write your organisation's own there: petition help login.md says how to get one"
        raise UsageError(what, hint)
    return accounts


def _client_secret(accounts: list[Account]) -> str | None:
    """The client secret: from the environment, an earlier login, or the person at the terminal."""
    kept = filter(None, map(kept_client_secret, accounts))
    found = os.environ.get(CLIENT_SECRET) or next(kept, None)
    client = accounts[0].client  # there is one [oauth]
    if found or not client.needs_secret:
        return found
    if not output.can_ask():
        what = f"{client.title} wants the client secret that belongs to client_id"
        raise UsageError(what, f"Set {CLIENT_SECRET}, or log in at a terminal")
    with output.interruptible("nobody was logged in"):
        return getpass(f"Client secret that {client.title} shows beside the client id: ").strip()


def _obtain(account: Account, client_secret: str | None, port: int, *, on_device: bool) -> Tokens:
    client = account.client
    if client.device_url and (on_device or not (port or _has_browser())):
        return _on_device(account, client_secret)
    if on_device:
        what = f"{client.title} gives devices no access to mail, or [oauth] has no device_url"
        raise UsageError(what, "Log in without --device, on a machine with a browser")
    with _listener(port) as listener:
        authorization = Authorization.begin(account, listener.server_port)
        listener.state = authorization.state
        opens = _has_browser()
        told = " in the browser that opens now. If none does, open" if opens else ": open"
        here = f"{told} this address on this machine:"
        output.say(f"Log in at {client.title} as {account.username}{here}")
        output.say_whole(authorization.url)
        if not (opens or port):
            output.say("If its browser cannot be used, see --port in petition help login.md.")
        sys.stdout.flush()
        if opens:
            drop_secrets()  # the browser gets our environment
            webbrowser.open(authorization.url)
        return authorization.redeem(listener.wait(), client_secret)


def _on_device(account: Account, client_secret: str | None) -> Tokens:
    authorization = DeviceAuthorization.begin(account, client_secret)
    output.say(f"On any device, log in at {account.client.title} as {account.username}:")
    output.say_whole(authorization.url)
    output.say(f"and type this code: {output.clean(authorization.user_code)}", "bold")
    output.say("Waiting for that. Confirm nothing that you did not begin yourself.")
    sys.stdout.flush()
    return authorization.wait(client_secret, time.sleep, time.monotonic)


def _has_browser() -> bool:
    """Whether a browser that opens here is one that the person sees."""
    has_screen = os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")
    if os.environ.get("BROWSER") or has_screen:
        return True
    return system.IS_DESKTOP and not os.environ.get("SSH_CONNECTION")


def _try(place: Workspace, account: Account) -> None:
    """Show the mail server a token; ServerTrouble if it does not take it."""
    if account.use == "inbox":
        assert place.settings.inbox is not None  # noqa: S101 (it has the account)
        with Imap(place.settings.inbox, account) as box:
            name = box.name
    else:
        name = run_loop(_visit(place))
    output.say(f"{name} accepts the login of {account.username}.", "bold")


async def _visit(place: Workspace) -> str:
    server = place.server
    assert server is not None  # noqa: S101 (it has the account)
    domain = place.settings.sender.from_.domain
    session = await Session.open(server, secret_of(server), hello_name=domain)
    await session.close()
    return server.name


# ---- what the browser comes back to


class _Listener(ThreadingHTTPServer):
    """Waits on this machine for the browser, which brings a code (RFC 8252 7.3).

    In threads: a browser opens connections that it does not use at first.
    """

    daemon_threads = True
    allow_reuse_address = False  # True would let others take the port on Windows: see server_bind

    def __init__(self, port: int) -> None:
        self.state = ""
        self.answers: SimpleQueue[Mapping[str, str]] = SimpleQueue()
        super().__init__(("127.0.0.1", port), _Handler)

    def server_bind(self) -> None:
        """Bind without asking DNS for the name of this machine, as HTTPServer would."""
        system.keep_port(self.socket)
        TCPServer.server_bind(self)
        self.server_name, self.server_port = self.server_address[0], self.server_address[1]  # type: ignore[assignment]

    def handle_error(self, request: object, client_address: object) -> None:
        """Say nothing of a browser that hangs up."""

    def wait(self) -> Mapping[str, str]:
        """What the browser brought; ServerTrouble if nothing comes for long."""
        until = time.monotonic() + 60 * _MINUTES
        while time.monotonic() < until:
            with suppress(Empty):
                return self.answers.get(timeout=_TICK_SECONDS)
        what = f"nobody logged in within {_MINUTES} minutes"
        raise ServerTrouble(what, "Run the command again when you are ready")


class _Handler(BaseHTTPRequestHandler):
    """Takes the answer that belongs to the login under way, and no other."""

    server: _Listener
    timeout = _REQUEST_SECONDS
    server_version, sys_version = "petition", ""

    def do_GET(self) -> None:
        """A page that says how it went; the first answer with the right state counts."""
        parts = urlsplit(self.path)
        answer = dict(parse_qsl(parts.query, max_num_fields=50)) if parts.path in {"", "/"} else {}
        given = answer.get("state", "").encode("utf-8", "replace")
        if not ({"code", "error"} & answer.keys()):
            self._say(HTTPStatus.NOT_FOUND, "There is nothing here.")
        elif not secrets.compare_digest(given, self.server.state.encode()):
            self._say(HTTPStatus.BAD_REQUEST, "This does not belong to the login under way.")
        else:
            word = "declined" if "error" in answer else "received"
            text = f"The login was {word}. You can close this page and go back to the terminal."
            self._say(HTTPStatus.OK, text)
            self.server.answers.put(answer)

    def _say(self, status: HTTPStatus, text: str) -> None:
        page = _PAGE.format(text=escape(text)).encode()
        self.send_response(status)
        for name, value in {
            "Content-Type": "text/html; charset=utf-8",
            "Content-Length": str(len(page)),
            "Cache-Control": "no-store",
            "Referrer-Policy": "no-referrer",
            "Content-Security-Policy": "default-src 'none'",
        }.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(page)

    def log_message(self, *_: object) -> None:
        """Nothing: the address has the code in it."""


@contextmanager
def _listener(port: int) -> Iterator[_Listener]:
    try:
        server = _Listener(port)
    except OSError as fault:
        what = f"port {port} of this machine cannot be used: {fault.strerror or fault}"
        raise UsageError(what, "Name another one with --port, or leave it out") from None
    thread = Thread(target=server.serve_forever, args=(_TICK_SECONDS,), daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
