"""OAuth 2.0 logins: who gives the tokens, how they are asked for, and where they are kept.

`petition login` obtains a refresh token once, in a browser; every run makes access tokens of it. A
login belongs to one account at one mail server: it is found only under the address that gave the
token, the client, the user name and the server's host, so that no other folder can have the token
sent elsewhere. oauthlib writes and reads the messages of the protocol (RFC 6749, 7636, 8628); this
is the only module that imports it. The HTTP is the standard library's: POST to https, certificates
verified, no redirects.
"""

import json
import re
import secrets
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING, Any, Literal, NamedTuple
from urllib.parse import urlsplit

from petition.credentials import (
    Secret,
    SecretSource,
    drop_from_keyring,
    in_keyring,
    keep_in_keyring,
)
from petition.errors import ServerTrouble
from petition.user_state import UserStateUnusable, changed_state, read_state, state_folder

if TYPE_CHECKING:
    from oauthlib.oauth2 import WebApplicationClient

CLIENT_SECRET = "PETITION_OAUTH_SECRET"  # noqa: S105 (the name of a variable)
KEYRING_SERVICE = "petition login"
SECONDS = 30  # for an answer
_YEAR = 366 * 86_400
_DEVICE_SECONDS = 1_800.0  # for a person to confirm on another device, at most
_INTERVAL = 5.0  # between two questions whether they have; and more each time (RFC 8628 3.5)
_ANSWER_LIMIT = 262_144  # bytes
_DETAIL_LIMIT = 300  # characters
_FILE = "logins.json"
_SPENT = {"invalid_grant", "interaction_required", "login_required", "consent_required"}

Use = Literal["smtp", "inbox"]


@dataclass(frozen=True, slots=True)
class OAuthClient:
    """The organisation's own client at an authorization server."""

    client_id: str
    title: str  # of the provider, or the host of its token address
    authorize_url: str
    token_url: str
    device_url: str | None  # None: it gives no tokens for mail to devices
    scopes: Mapping[Use, str]
    hosts: tuple[str, ...] = ()  # the ends of names that its tokens may go to; (): any
    redirect_host: str = "127.0.0.1"  # how it wants this machine to be called
    extra: Mapping[str, str] = field(default_factory=dict)  # parameters of the request in a browser
    needs_secret: bool = False  # though it is none, in a program that people install
    is_granular: bool = False  # people may leave out a part of what was asked for

    @classmethod
    def of_provider(cls, name: str, client_id: str, tenant: str) -> "OAuthClient":
        """A client at a known provider; the tenant is an organisation's place at Microsoft."""
        known = PROVIDERS[name]
        names = ("authorize_url", "token_url", "device_url")
        urls = {name: getattr(known, name) for name in names if getattr(known, name)}
        there = {name: url.replace("{tenant}", tenant) for name, url in urls.items()}
        return replace(known, client_id=client_id, **there)

    def may_log_in_to(self, host: str) -> bool:
        """Whether a mail server may be given its tokens."""
        name = host.lower()
        ours = (name == end or name.endswith(f".{end}") for end in self.hosts)
        return not self.hosts or any(ours)


_MICROSOFT = "https://login.microsoftonline.com/{tenant}/oauth2/v2.0"

# As the providers' own pages say; docs/login.md has the sources.
PROVIDERS: Mapping[str, OAuthClient] = {
    "google": OAuthClient(
        "",
        "Google",
        "https://accounts.google.com/o/oauth2/v2/auth",
        "https://oauth2.googleapis.com/token",
        None,
        dict.fromkeys(("smtp", "inbox"), "https://mail.google.com/"),
        ("gmail.com", "googlemail.com"),
        # Without the question there is no refresh token from the second login on.
        extra={"access_type": "offline", "prompt": "consent"},
        needs_secret=True,
        is_granular=True,
    ),
    "microsoft": OAuthClient(
        "",
        "Microsoft",
        f"{_MICROSOFT}/authorize",
        f"{_MICROSOFT}/token",
        f"{_MICROSOFT}/devicecode",
        {
            "smtp": "https://outlook.office.com/SMTP.Send offline_access",
            "inbox": "https://outlook.office.com/IMAP.AccessAsUser.All offline_access",
        },
        ("office365.com", "outlook.com"),
        redirect_host="localhost",
    ),
}


def hosts_for(token_url: str) -> tuple[str, ...]:
    """Where the tokens of a known provider may go, also if a folder writes its addresses itself."""
    host = urlsplit(token_url).hostname
    known = (one for one in PROVIDERS.values() if urlsplit(one.token_url).hostname == host)
    return next((one.hosts for one in known), ())


class Account(NamedTuple):
    """Whose login it is, and for which mail server."""

    client: OAuthClient
    use: Use
    host: str
    username: str

    @property
    def name(self) -> str:
        """What its login is kept under, here and in the keyring."""
        given_by = (self.client.token_url, self.client.client_id)
        parts = (self.use, *given_by, self.host.lower(), self.username)
        return json.dumps(parts, ensure_ascii=False)

    @property
    def command(self) -> str:
        """What obtains its login."""
        return f"petition login {self.use}"


def misdirected(client: OAuthClient, host: str) -> ServerTrouble:
    """The error for a server that must not get a provider's tokens."""
    what = f"{host} is no mail server of {client.title}, whose tokens go to nobody else"
    return ServerTrouble(what, "Correct host or url, or provider in [oauth]")


class LoginLost(ServerTrouble):
    """The login has expired or was revoked: a person must log in again."""


class TokenRefused(ServerTrouble):
    """The authorization server refuses a request; `error` is its code (RFC 6749 5.2)."""

    def __init__(self, error: str, said: str, what: str, hint: str) -> None:
        super().__init__(what, hint)
        self.error = error
        self.said = said


# ---- what is kept


def has_login(account: Account) -> bool:
    """Whether there is a login; no connection is opened. ServerTrouble if that is not known."""
    with _explained():
        return account.name in read_state(_FILE)


def find_login(account: Account, source: SecretSource, environ: Mapping[str, str]) -> Secret | None:
    """An access token of a login, which renews itself; None if nobody has logged in.

    A token in the environment is taken instead, and is not renewed. ServerTrouble if the
    authorization server cannot be reached or refuses; LoginLost if the login does not count any
    more.
    """
    if not account.client.may_log_in_to(account.host):
        raise misdirected(account.client, account.host)
    if text := source.given(environ):
        return Secret(text)
    if not has_login(account):
        return None
    given = environ.get(CLIENT_SECRET) or None
    ask = partial(_renewed, account, given)
    token, lifetime = ask()
    return Secret(token, ask, lifetime)


def keep_login(account: Account, tokens: "Tokens", client_secret: str | None) -> str:
    """Keep a login, instead of any earlier one; returns where, in words.

    In the keyring if there is one, else in a file that only this account can read.
    """
    with _explained(), changed_state(_FILE) as logins:
        return _keep(account, logins, {"refresh_token": tokens.refresh, "secret": client_secret})


def kept_client_secret(account: Account) -> str | None:
    """The client secret that an earlier login was kept with."""
    with suppress(ServerTrouble, UserStateUnusable):
        return _kept(account, read_state(_FILE)).get("secret")
    return None


def drop_login(account: Account) -> bool:
    """Forget a login; whether there was one."""
    with _explained(), changed_state(_FILE) as logins:
        drop_from_keyring(KEYRING_SERVICE, account.name)
        return logins.pop(account.name, None) is not None


def _renewed(account: Account, given_secret: str | None) -> tuple[str, float | None]:
    """A new access token, with its lifetime in seconds if that is known."""
    # Under the lock of the file: a refresh token may be good for one use, and the next one must be
    # kept before another process asks.
    with _explained(), changed_state(_FILE) as logins:
        kept = _kept(account, logins)
        secret = given_secret or kept.get("secret")
        body = _oauthlib(account.client).prepare_refresh_body(
            refresh_token=kept["refresh_token"],
            client_id=account.client.client_id,
            **_secret(secret),
        )
        try:
            tokens = _tokens(account, body, [kept["refresh_token"], secret])
        except TokenRefused as refusal:
            if refusal.error not in _SPENT:
                raise
            what = f"the login of {account.username} at {account.host} has expired or was revoked"
            raise LoginLost(f"{what} ({refusal.said})", _again(account)) from None
        if tokens.refresh and tokens.refresh != kept["refresh_token"]:
            _keep(account, logins, {**kept, "refresh_token": tokens.refresh})
    return tokens.access, tokens.lifetime


def _keep(account: Account, logins: dict[str, Any], kept: dict[str, str | None]) -> str:
    text = json.dumps({name: secret for name, secret in kept.items() if secret})
    if keep_in_keyring(KEYRING_SERVICE, account.name, text):
        logins[account.name] = {"in": "keyring"}
        return "the keyring"
    drop_from_keyring(KEYRING_SERVICE, account.name)  # of an earlier login
    logins[account.name] = {"in": "file", "kept": text}
    return f"{state_folder() / _FILE}, which only your account can read"


def _kept(account: Account, logins: dict[str, Any]) -> dict[str, str]:
    entry = logins.get(account.name)
    text: object = None
    if isinstance(entry, dict):
        in_file = entry.get("in") == "file"
        text = entry.get("kept") if in_file else _in_keyring(account)
    try:
        kept = json.loads(text) if isinstance(text, str) else None
    except ValueError:
        kept = None
    if not isinstance(kept, dict) or not isinstance(kept.get("refresh_token"), str):
        what = f"the login of {account.username} at {account.host} is not where it was kept"
        raise LoginLost(what, _again(account))
    return kept


def _in_keyring(account: Account) -> str | None:
    return in_keyring(KEYRING_SERVICE, account.name, f"or run {account.command} again")


def _again(account: Account) -> str:
    return f"Run {account.command} to log in again"


@contextmanager
def _explained() -> Iterator[None]:
    try:
        yield
    except UserStateUnusable as fault:
        raise ServerTrouble(fault.what, fault.hint) from None


# ---- what is asked


@dataclass(frozen=True, slots=True, repr=False)
class Tokens:
    """What an authorization server has given."""

    access: str
    refresh: str | None
    lifetime: float | None  # of the access token, in seconds


@dataclass(frozen=True, slots=True, repr=False)
class Authorization:
    """One login in a browser (RFC 8252), from the address to open to the tokens."""

    account: Account
    redirect_uri: str
    state: str
    verifier: str  # of PKCE: a stolen code is worth nothing without it

    @classmethod
    def begin(cls, account: Account, port: int) -> "Authorization":
        """A new one, whose browser comes back to this port of this machine."""
        verifier = _oauthlib(account.client).create_code_verifier(64)
        redirect = f"http://{account.client.redirect_host}:{port}"
        return cls(account, redirect, secrets.token_urlsafe(32), verifier)

    @property
    def url(self) -> str:
        """The address to open in the browser."""
        client = _oauthlib(self.account.client)
        return str(
            client.prepare_request_uri(
                self.account.client.authorize_url,
                redirect_uri=self.redirect_uri,
                scope=self.account.client.scopes[self.account.use],
                state=self.state,
                code_challenge=client.create_code_challenge(self.verifier, "S256"),
                code_challenge_method="S256",
                login_hint=self.account.username,
                **self.account.client.extra,
            )
        )

    def redeem(self, answer: Mapping[str, str], client_secret: str | None) -> Tokens:
        """The tokens for what the browser brought back, whose state was compared before.

        ServerTrouble if the person declined, or the server does not give what is needed.
        """
        client = self.account.client
        if error := answer.get("error"):
            raise _refused(client, error, answer.get("error_description", ""), [])
        code = answer.get("code", "")
        body = _oauthlib(client).prepare_request_body(
            code=code,
            redirect_uri=self.redirect_uri,
            code_verifier=self.verifier,
            **_secret(client_secret),
        )
        return _lasting(self.account, _tokens(self.account, body, [code, client_secret]))


@dataclass(frozen=True, slots=True, repr=False)
class DeviceAuthorization:
    """One login on another device (RFC 8628)."""

    account: Account
    url: str  # to be opened on any device
    user_code: str  # to be typed there
    device_code: str
    seconds: float  # that it is good for
    interval: float  # between two questions, in seconds

    @classmethod
    def begin(cls, account: Account, client_secret: str | None) -> "DeviceAuthorization":
        """A new one; ServerTrouble if the server does not give it."""
        client = account.client
        if client.device_url is None:
            raise ValueError(f"{client.title} has no address for devices")
        from urllib.parse import urlencode  # noqa: PLC0415 (a run does not need it)

        fields = {"client_id": client.client_id, "scope": client.scopes[account.use]}
        body = urlencode(fields | _secret(client_secret))
        answer = _post(client, client.device_url, body, [client_secret])
        # Some wrote verification_url before there was a standard.
        url = answer.get("verification_uri") or answer.get("verification_url")
        codes = answer.get("device_code"), answer.get("user_code")
        texts = [one for one in (url, *codes) if isinstance(one, str) and one]
        if len(texts) != 3:
            raise _unreadable(client)
        seconds = _bounded(answer.get("expires_in"), _DEVICE_SECONDS, _DEVICE_SECONDS)
        interval = _bounded(answer.get("interval"), _INTERVAL, _DEVICE_SECONDS)
        return cls(account, texts[0], texts[2], texts[1], seconds, interval)

    def wait(
        self, client_secret: str | None, pause: Callable[[float], object], now: Callable[[], float]
    ) -> Tokens:
        """Ask until the person has confirmed it; ServerTrouble if they decline or take too long."""
        client, until, interval = self.account.client, now() + self.seconds, self.interval
        from oauthlib.oauth2 import DeviceClient  # noqa: PLC0415 (takes 50 ms to load)

        body = DeviceClient(client.client_id).prepare_request_body(
            self.device_code, include_client_id=True, **_secret(client_secret)
        )
        while True:
            pause(interval)
            if now() > until:
                raise _refused(client, "expired_token", "", [])
            try:
                tokens = _tokens(self.account, body, [self.device_code, client_secret])
            except TokenRefused as refusal:
                if refusal.error == "slow_down":
                    interval += _INTERVAL
                elif refusal.error != "authorization_pending":
                    raise
            except ServerTrouble as trouble:
                if not trouble.is_passing:
                    raise
                interval *= 2  # RFC 8628 3.5
            else:
                return _lasting(self.account, tokens)


def _secret(client_secret: str | None) -> dict[str, Any]:
    return {"client_secret": client_secret} if client_secret else {}


def _oauthlib(client: OAuthClient) -> "WebApplicationClient":
    from oauthlib.oauth2 import WebApplicationClient  # noqa: PLC0415 (takes 50 ms to load)

    return WebApplicationClient(client.client_id)


def _tokens(account: Account, body: str, hidden: list[str | None]) -> Tokens:
    """The tokens that a request to the token endpoint gives."""
    from oauthlib.oauth2 import OAuth2Error  # noqa: PLC0415 (takes 50 ms to load)

    client = account.client
    answer = _post(client, client.token_url, body, hidden)
    try:
        parsed = _oauthlib(client).parse_request_body_response(json.dumps(answer))
    except (OAuth2Error, ValueError, TypeError, AttributeError, OverflowError):
        raise _unreadable(client) from None
    access, refresh = parsed["access_token"], parsed.get("refresh_token")
    is_bearer = str(parsed.get("token_type", "Bearer")).lower() == "bearer"
    if not isinstance(access, str) or not access.strip() or not is_bearer:
        raise _unreadable(client)
    granted = str(answer.get("scope", "")).split()
    wanted = client.scopes[account.use].split() if client.is_granular and granted else []
    if missing := [one for one in wanted if one not in granted]:
        what = f"{client.title} was not allowed to give what is needed: {' '.join(missing)}"
        hint = f"Run {account.command} again, and tick the access to the mail"
        raise ServerTrouble(what, hint)
    says_when = "expires_in" in parsed
    lifetime = _bounded(parsed["expires_in"], 0, _YEAR) if says_when else None
    return Tokens(access, refresh if isinstance(refresh, str) else None, lifetime)


def _bounded(value: object, default: float, most: float) -> float:
    """So many seconds, of a server that may say anything; the default if it says no number."""
    if not isinstance(value, int | float):
        return default
    return float(max(0, min(most, value)))  # in this order, in which NaN is the most


def _lasting(account: Account, tokens: Tokens) -> Tokens:
    if not tokens.refresh:
        what = f"{account.client.title} gave no refresh token, so the login would end in an hour"
        hint = "Add what the provider asks for to scope in [oauth], mostly offline_access"
        raise ServerTrouble(what, hint)
    return tokens


def _post(client: OAuthClient, url: str, body: str, hidden: list[str | None]) -> dict[str, Any]:
    """The JSON object that a request is answered with; TokenRefused if that is an error."""
    status, said = _exchange(url, body)
    try:
        found = json.loads(said)
        json.dumps(found, ensure_ascii=False).encode()  # half a surrogate pair is no text
    except (ValueError, RecursionError):
        found = None
    if status >= 500 or status == 429:
        what = f"{urlsplit(url).netloc}, which gives the tokens, answered with status {status}"
        raise ServerTrouble(what, "Try again later", is_passing=True)
    if not isinstance(found, dict):
        raise _unreadable(client, f" (status {status})")
    if "error" in found or status >= 400:
        error, detail = found.get("error"), found.get("error_description")
        code = error if isinstance(error, str) else f"status {status}"
        raise _refused(client, code, detail if isinstance(detail, str) else "", hidden)
    return found


def _exchange(url: str, body: str) -> tuple[int, bytes]:
    """Post a form; the status and the body of the answer, whatever they are."""
    # Here: they take 60 ms to load.
    import ssl  # noqa: PLC0415
    from http.client import HTTPException  # noqa: PLC0415
    from urllib import error, request  # noqa: PLC0415

    class NoRedirect(request.HTTPRedirectHandler):
        def redirect_request(self, *_: object) -> None:
            """Follow none: what is posted is for this address alone."""

    https = request.HTTPSHandler(context=ssl.create_default_context())
    opener = request.build_opener(NoRedirect, https)
    kind = "application/x-www-form-urlencoded"
    headers = {"Content-Type": kind, "Accept": "application/json", "User-Agent": "petition"}
    asked = request.Request(url, body.encode(), headers)  # noqa: S310 (settings allow https alone)
    host = urlsplit(url).netloc
    try:
        try:
            with opener.open(asked, timeout=SECONDS) as response:
                return response.status, response.read(_ANSWER_LIMIT)
        except error.HTTPError as answer:
            with answer:
                return answer.code, answer.read(_ANSWER_LIMIT)
    except (OSError, HTTPException, ValueError) as fault:
        reason = getattr(fault, "reason", fault)
        if isinstance(reason, ssl.SSLCertVerificationError):
            what = f"the certificate of {host} is not trusted: {reason.verify_message.rstrip('.')}"
            hint = "If you trust its issuer, set SSL_CERT_FILE to a PEM file with its certificate"
            raise ServerTrouble(what, hint) from None
        what = f"{host}, which gives the tokens, cannot be reached ({type(reason).__name__})"
        raise ServerTrouble(what, "Check the network, then try again", is_passing=True) from None


_HINTS = {
    "access_denied": "Log in again, and allow it; an administrator may have to allow it first",
    "expired_token": "Log in again, and confirm it within the time that the page gives you",
    "invalid_client": "Check client_id in [oauth]. If the provider gave it a secret, and that has"
    " changed, run petition login --forget, and log in again",
    "unauthorized_client": "Check client_id in [oauth], and what its registration allows",
    "invalid_scope": "Check scope in [oauth], and what the client's registration allows",
}


def _refused(
    client: OAuthClient, error: str, detail: str, hidden: list[str | None]
) -> TokenRefused:
    said = f"{error}: {detail}" if detail else error
    for secret in filter(None, hidden):
        said = said.replace(secret, "***")
    said = _plain(re.split(r"[\r\n]", said)[0]).rstrip(". ")
    hint = _HINTS.get(error, "See what it says; petition help login.md explains how to set it up")
    what = f"{client.title} refuses it: {said}"
    if error == "access_denied":
        what = f"the login was declined at {client.title} ({said})"
    elif error == "expired_token":
        what = "nobody confirmed the login in time"
    return TokenRefused(error, said, what, hint)


def _unreadable(client: OAuthClient, more: str = "") -> ServerTrouble:
    what = f"{client.title} answered with something that is no OAuth answer{more}"
    return ServerTrouble(what, "Check the addresses in [oauth]")


# ---- how a mail server is shown a token

# What a client answers when a server sends the reason of a refusal as a challenge: nothing
# (XOAUTH2), or a byte 1 (RFC 7628 3.2.3).
CHALLENGE_ANSWERS = {"XOAUTH2": b"", "OAUTHBEARER": b"\x01"}


def xoauth2(username: str, token: str) -> bytes:
    """What XOAUTH2 sends."""
    return f"user={username}\x01auth=Bearer {token}\x01\x01".encode()


def oauthbearer(username: str, host: str, port: int, token: str) -> bytes:
    """What OAUTHBEARER sends (RFC 7628 3.1)."""
    name = username.replace("=", "=3D").replace(",", "=2C")  # a saslname of RFC 5801
    fields = (f"n,a={name},", f"host={host}", f"port={port}", f"auth=Bearer {token}", "", "")
    return "\x01".join(fields).encode()


def told_refusal(challenge: bytes) -> str:
    """The JSON in which a mail server says why it refuses a token, in words; "" if it is none."""
    try:
        found = json.loads(challenge)
    except (ValueError, RecursionError):
        return ""
    if not isinstance(found, dict):
        return ""
    named = {"status": "token status", "scope": "needed scope"}
    parts = [f"{name} {found[key]}" for key, name in named.items() if _is_short(found.get(key))]
    return _plain(", ".join(parts))


def _is_short(value: object) -> bool:
    return isinstance(value, str | int) and 0 < len(str(value)) <= 200


def _plain(text: str) -> str:
    """A text of a server, without what a terminal or a log could take for something else."""
    return " ".join(re.sub(r"[^\w!-~]", " ", text).split())[:_DETAIL_LIMIT]
