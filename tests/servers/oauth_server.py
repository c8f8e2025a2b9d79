"""A real authorization server on loopback, of Authlib, for accounts that need no password.

Each refresh token is good for one use.

Its person is whom `login_hint` names, is logged in already, and does what `decides` says. Times are
not waited for: a token has expired once a test says so.
"""

import json
import secrets
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

from authlib.oauth2 import OAuth2Request
from authlib.oauth2.rfc6749 import (
    AuthorizationCodeMixin,
    AuthorizationServer,
    ClientMixin,
    OAuth2Error,
    TokenMixin,
    grants,
)
from authlib.oauth2.rfc6749.requests import BasicOAuth2Payload
from authlib.oauth2.rfc6750 import BearerTokenGenerator
from authlib.oauth2.rfc7636 import CodeChallenge
from authlib.oauth2.rfc8628 import (
    DeviceAuthorizationEndpoint,
    DeviceCodeGrant,
    DeviceCredentialDict,
)

from tests.servers.authority import Authority

CLIENT, SCOPE = "petition-at-water", "https://mail.test/send offline_access"


@dataclass
class Grant(AuthorizationCodeMixin, TokenMixin):
    """What a person has allowed: a code, or the tokens that were given for it."""

    user: str
    scope: str
    redirect_uri: str = ""
    code_challenge: str | None = None
    code_challenge_method: str | None = None
    access: str = ""
    refresh: str = ""
    lifetime: int = 0
    is_over: bool = False  # its access token
    is_spent: bool = False  # its refresh token

    def get_redirect_uri(self) -> str:
        return self.redirect_uri

    def get_scope(self) -> str:
        return self.scope

    def check_client(self, client: "Client") -> bool:
        return client.get_client_id() == CLIENT

    def get_expires_in(self) -> int:
        return self.lifetime


@dataclass
class Client(ClientMixin):
    """petition, which has a secret or, as most programs that people install, none."""

    secret: str | None

    def get_client_id(self) -> str:
        return CLIENT

    def get_default_redirect_uri(self) -> None:
        return None

    def get_allowed_scope(self, scope: str) -> str:
        return scope

    def check_redirect_uri(self, redirect_uri: str) -> bool:
        # Any port of this machine (RFC 8252 7.3), and nothing else.
        parts = urlsplit(redirect_uri)
        return (parts.scheme, parts.hostname) == ("http", "127.0.0.1") and parts.path in {"", "/"}

    def check_client_secret(self, client_secret: str) -> bool:
        return client_secret == self.secret

    def check_endpoint_auth_method(self, method: str, endpoint: str) -> bool:
        return method == ("client_secret_post" if self.secret else "none")

    def check_response_type(self, response_type: str) -> bool:
        return response_type == "code"

    def check_grant_type(self, grant_type: str) -> bool:
        return True


@dataclass
class OAuthServer:
    """The server, and what it was asked.

    Args:
        secret: The client's secret; None: it has none.
        lifetime: Of access tokens, in seconds, as it says.
        decides: What the person does: "allow", "deny", or "wait" for `confirm`.
        gives_refresh: Whether it gives refresh tokens at all.
        slow_downs: How many times more it asks a device to slow down.
        failures: How many requests more it answers with status 503.
        asked: The path and the fields of each request.
    """

    secret: str | None = None
    lifetime: int = 3600
    decides: str = "allow"
    gives_refresh: bool = True
    slow_downs: int = 0
    failures: int = 0
    url: str = ""
    plain_port: int = 0
    asked: list[tuple[str, dict[str, str]]] = field(default_factory=list)
    codes: dict[str, Grant] = field(default_factory=dict)
    given: list[Grant] = field(default_factory=list)
    devices: dict[str, dict[str, Any]] = field(default_factory=dict)

    def settings(self, *, device: bool = True) -> str:
        """Its table in petition.toml."""
        lines = ["[oauth]", f'client_id = "{CLIENT}"', f'scope = "{SCOPE}"']
        lines += [f'authorize_url = "{self.url}/authorize"', f'token_url = "{self.url}/token"']
        lines += [f'device_url = "{self.url}/device"'] if device else []
        return "\n".join(lines) + "\n"

    def whose(self, access: str) -> str | None:
        """Whose access token it is, if it still counts."""
        found = [one for one in self.given if one.access == access and not one.is_over]
        return found[0].user if found else None

    def expire(self) -> None:
        """All access tokens have expired."""
        for one in self.given:
            one.is_over = True

    def revoke(self) -> None:
        """The person has taken everything back, as on a provider's page."""
        for one in self.given:
            one.is_over = one.is_spent = True

    @property
    def token_requests(self) -> list[dict[str, str]]:
        """What the token endpoint was asked."""
        return [fields for path, fields in self.asked if path == "/token"]

    @property
    def secrets(self) -> list[str]:
        """All that it gave and that nobody may see."""
        tokens = [text for one in self.given for text in (one.access, one.refresh)]
        return [*tokens, *self.codes, *self.devices, *filter(None, [self.secret])]

    def confirm(self, user_code: str, user: str, *, allows: bool = True) -> None:
        """The person types the code of a device."""
        [found] = [one for one in self.devices.values() if one["user_code"] == user_code]
        found["decision"] = (user, allows)


class _Request(OAuth2Request):
    def __init__(self, method: str, uri: str, fields: dict[str, str], headers: Any) -> None:
        super().__init__(method, uri, headers=headers)
        self.payload = BasicOAuth2Payload(fields)
        self._fields = fields

    @property
    def args(self) -> dict[str, str]:
        return self._fields

    @property
    def form(self) -> dict[str, str]:
        return self._fields


def _protocol(state: OAuthServer) -> AuthorizationServer:  # noqa: C901 (what Authlib asks for)
    """Authlib's server, over what the tests can see."""

    class Codes(grants.AuthorizationCodeGrant):
        TOKEN_ENDPOINT_AUTH_METHODS = ("none", "client_secret_post")

        def save_authorization_code(self, code: str, request: Any) -> None:
            data = request.payload.data
            state.codes[code] = Grant(
                request.user,
                request.payload.scope,
                request.payload.redirect_uri,
                data.get("code_challenge"),
                data.get("code_challenge_method"),
            )

        def query_authorization_code(self, code: str, client: Client) -> Grant | None:
            found = state.codes.get(code)
            return None if found is None or found.is_over else found

        def delete_authorization_code(self, authorization_code: Grant) -> None:
            authorization_code.is_over = True

        def authenticate_user(self, authorization_code: Grant) -> str:
            return authorization_code.user

    class Renewals(grants.RefreshTokenGrant):
        TOKEN_ENDPOINT_AUTH_METHODS = ("none", "client_secret_post")

        INCLUDE_NEW_REFRESH_TOKEN = True

        def authenticate_refresh_token(self, refresh_token: str) -> Grant | None:
            known = [one for one in state.given if one.refresh == refresh_token]
            return known[0] if known and not known[0].is_spent else None

        def authenticate_user(self, refresh_token: Grant) -> str:
            return refresh_token.user

        def revoke_old_credential(self, refresh_token: Grant) -> None:
            refresh_token.is_spent = True

    class Devices(DeviceAuthorizationEndpoint):
        INTERVAL = 0

        def get_verification_uri(self) -> str:
            return f"{state.url}/activate"

        def save_device_credential(self, client_id: str, scope: str, data: Any) -> None:
            kept = {"client_id": client_id, "scope": scope, "decision": None}
            state.devices[data["device_code"]] = dict(data) | kept

    class DeviceCodes(DeviceCodeGrant):
        TOKEN_ENDPOINT_AUTH_METHODS = ("none", "client_secret_post")

        def query_device_credential(self, device_code: str) -> DeviceCredentialDict | None:
            found = state.devices.get(device_code)
            return DeviceCredentialDict(found) if found else None

        def query_user_grant(self, user_code: str) -> tuple[str, bool] | None:
            found = [one for one in state.devices.values() if one["user_code"] == user_code]
            return found[0]["decision"]

        def should_slow_down(self, credential: DeviceCredentialDict) -> bool:
            state.slow_downs -= 1
            return state.slow_downs >= 0

    class Server(AuthorizationServer):
        def query_client(self, client_id: str) -> Client | None:
            return Client(state.secret) if client_id == CLIENT else None

        def save_token(self, token: dict[str, Any], request: Any) -> None:
            old = request.refresh_token
            kept = token.get("refresh_token") or (old.refresh if old else "")
            tokens = {"access": token["access_token"], "refresh": kept}
            scope = token.get("scope", "")
            state.given.append(Grant(request.user, scope, **tokens, lifetime=state.lifetime))

        def create_oauth2_request(self, request: Any) -> OAuth2Request:
            return request if isinstance(request, OAuth2Request) else _Request(*request)

        def handle_response(self, status: int, body: Any, headers: Any) -> tuple[int, Any, Any]:
            return status, body, headers

        def send_signal(self, name: str, *args: object, **kwargs: object) -> None:
            pass

    server = Server()
    server.register_token_generator(
        "default",
        BearerTokenGenerator(
            lambda **_: f"at-{secrets.token_urlsafe(40)}",
            lambda **_: f"rt-{secrets.token_urlsafe(40)}" if state.gives_refresh else None,
            lambda *_: state.lifetime,
        ),
    )
    server.register_grant(Codes, [CodeChallenge(required=True)])
    server.register_grant(Renewals)
    server.register_grant(DeviceCodes)
    server.register_endpoint(Devices)
    return server


class _Handler(BaseHTTPRequestHandler):
    state: OAuthServer
    protocol: AuthorizationServer
    lock: threading.Lock

    def do_GET(self) -> None:
        parts = urlsplit(self.path)
        fields = dict(parse_qsl(parts.query))
        if parts.path == "/tokeninfo":  # as mail servers ask
            user = self.state.whose(fields.get("access_token", ""))
            self._answer(200 if user else 401, {"email": user} if user else {"error": "invalid"})
        elif parts.path == "/authorize":
            self._authorize(fields)
        else:
            self._answer(404, {})

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        fields = dict(parse_qsl(body.decode()))
        with self.lock:
            self.state.asked.append((self.path, fields))
            if self.state.failures:
                self.state.failures -= 1
                self._answer(503, {})
            elif self.path == "/token":
                self._answer(*self.protocol.create_token_response(self._request(fields)))
            elif self.path == "/device":
                name = DeviceAuthorizationEndpoint.ENDPOINT_NAME
                asked = self._request(fields)
                self._answer(*self.protocol.create_endpoint_response(name, asked))
            else:
                self._answer(404, {})

    def _request(self, fields: dict[str, str]) -> tuple[str, str, dict[str, str], Any]:
        return self.command, self.state.url + self.path, fields, self.headers

    def _authorize(self, fields: dict[str, str]) -> None:
        with self.lock:
            self.state.asked.append(("/authorize", fields))
            request = _Request("GET", self.state.url + self.path, fields, self.headers)
            user = fields.get("login_hint") if self.state.decides == "allow" else None
            request.user = user
            try:
                grant = self.protocol.get_authorization_grant(request)
                answer = self.protocol.create_authorization_response(request, user, grant)
            except OAuth2Error as error:
                answer = 400, dict(error.get_body()), []
            self._answer(*answer)

    def _answer(self, status: int, body: object, headers: Any = ()) -> None:
        given = dict(headers)
        data = b"" if body == "" else json.dumps(body).encode()
        self.send_response(status)
        for name, value in {**given, "Content-Length": str(len(data))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_: object) -> None:
        pass


class Https(ThreadingHTTPServer):
    """With the handshake of each connection on its own thread."""

    context: ssl.SSLContext

    def finish_request(self, request: Any, client_address: Any) -> None:
        with suppress(OSError), self.context.wrap_socket(request, server_side=True) as wrapped:
            super().finish_request(wrapped, client_address)

    def handle_error(self, request: Any, client_address: Any) -> None:
        pass


@contextmanager
def running_oauth_server(authority: Authority, **given: Any) -> Iterator[OAuthServer]:
    """Run one until the block is left; https by a test's authority, tokeninfo by http too.

    Args:
        authority: Who signs its certificate.
        given: As of `OAuthServer`.
    """
    state = OAuthServer(**given)
    shared = {"state": state, "protocol": _protocol(state), "lock": threading.Lock()}
    handler = type("Handler", (_Handler,), shared)
    https = Https(("127.0.0.1", 0), handler)
    https.context = authority.server()
    plain = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    state.url, state.plain_port = f"https://localhost:{https.server_port}", plain.server_port
    threads = [threading.Thread(target=one.serve_forever, args=(0.02,)) for one in (https, plain)]
    for thread in threads:
        thread.start()
    try:
        yield state
    finally:
        for one in (https, plain):
            one.shutdown()
            one.server_close()
        for thread in threads:
            thread.join()


def judge_of(server: OAuthServer, user: str) -> Callable[[bytes], str]:
    """How a mail server judges what XOAUTH2 or OAUTHBEARER says: the reason in JSON, or ""."""

    def judge(said: bytes) -> str:
        text = said.decode()
        token = text.partition("auth=Bearer ")[2].partition("\1")[0]
        named = text.removeprefix("n,a=").removeprefix("user=").partition("\1")[0].rstrip(",")
        if server.whose(token) == named == user:
            return ""
        return json.dumps({"status": "400", "schemes": "Bearer", "scope": "https://mail.test/send"})

    return judge


def redirect_of(answer: str) -> dict[str, str]:
    """The fields of an address that a browser is sent to."""
    return dict(parse_qsl(urlsplit(answer).query))


def with_fields(url: str, **fields: str) -> str:
    """An address with some of its fields replaced."""
    parts = urlsplit(url)
    return parts._replace(query=urlencode(redirect_of(url) | fields)).geturl()
