"""The protocol and what is kept, against a real authorization server, and against bad ones."""

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pytest

from petition import oauth
from petition.credentials import SecretSource
from petition.errors import ServerTrouble
from petition.oauth import (
    PROVIDERS,
    Account,
    DeviceAuthorization,
    LoginLost,
    OAuthClient,
    Tokens,
    find_login,
    has_login,
    keep_login,
    oauthbearer,
    told_refusal,
    xoauth2,
)
from petition.user_state import state_folder
from tests.servers.authority import Authority
from tests.servers.oauth_server import CLIENT, SCOPE, Https, OAuthServer, running_oauth_server

USER, SOURCE = "letters@campaign.example", SecretSource("smtp", "token")
REFRESH = "rt-canary-refresh-token"


@pytest.fixture(autouse=True)
def _trusted(authority: Authority, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("SSL_CERT_FILE", str(authority.certificate))
    monkeypatch.setenv("PYTHON_KEYRING_BACKEND", "keyring.backends.fail.Keyring")


@pytest.fixture
def provider(authority: Authority) -> Iterator[OAuthServer]:
    with running_oauth_server(authority) as server:
        yield server


def account_at(url: str, host: str = "mail.test") -> Account:
    urls = (f"{url}/authorize", f"{url}/token", f"{url}/device")
    client = OAuthClient(CLIENT, "mail.test", *urls, {"smtp": SCOPE, "inbox": SCOPE})
    return Account(client, "smtp", host, USER)


class Clock:
    """Pauses at once, and notes for how long."""

    def __init__(self, after: Callable[[int], object] = lambda _: None) -> None:
        self.pauses: list[float] = []
        self._after = after

    def pause(self, seconds: float) -> None:
        self.pauses.append(seconds)
        self._after(len(self.pauses))

    def now(self) -> float:
        return sum(self.pauses)


# ---- another device


def begin(provider: OAuthServer) -> DeviceAuthorization:
    return DeviceAuthorization.begin(account_at(provider.url), None)


def test_a_device_waits_longer_each_time_that_it_is_told_to(provider: OAuthServer):
    authorization = begin(provider)
    provider.slow_downs = 2

    def confirm(number: int) -> None:
        if number == 4:
            provider.confirm(authorization.user_code, USER)

    clock = Clock(confirm)
    tokens = authorization.wait(None, clock.pause, clock.now)
    assert clock.pauses == [0, 5, 10, 10]
    assert provider.whose(tokens.access) == USER


def test_a_server_that_is_busy_is_asked_again_less_often(provider: OAuthServer):
    authorization = begin(provider)
    provider.slow_downs, provider.failures = 1, 0

    def fail_once(number: int) -> None:
        provider.failures = int(number == 2)
        if number == 3:
            provider.confirm(authorization.user_code, USER)

    clock = Clock(fail_once)
    authorization.wait(None, clock.pause, clock.now)
    assert clock.pauses == [0, 5, 10]


def test_a_device_does_not_wait_for_ever(provider: OAuthServer):
    authorization = begin(provider)
    clock = Clock()
    provider.slow_downs = 10**6
    with pytest.raises(ServerTrouble, match="nobody confirmed the login in time"):
        authorization.wait(None, clock.pause, clock.now)
    assert clock.now() < 2 * authorization.seconds


@pytest.mark.parametrize(
    ("numbers", "seconds", "interval"),
    [
        ("", 1800, 5),
        (', "expires_in": 600, "interval": 2', 600, 2),
        (', "expires_in": -1, "interval": -1', 0, 0),
        (', "expires_in": 1e999, "interval": 1e999', 1800, 1800),
        (', "expires_in": NaN, "interval": NaN', 1800, 1800),
        (f', "expires_in": {"9" * 4000}, "interval": "soon"', 1800, 5),
        (', "expires_in": null, "interval": []', 1800, 5),
    ],
)
def test_the_numbers_of_a_server_are_bounded(
    authority: Authority, numbers: str, seconds: float, interval: float
):
    body = (
        f'{{"device_code": "d", "user_code": "u", "verification_uri": "https://v.test"{numbers}}}'
    )
    with answering(authority, 200, body.encode()) as (url, _):
        authorization = DeviceAuthorization.begin(account_at(url), None)
    assert (authorization.seconds, authorization.interval) == (seconds, interval)


@pytest.mark.parametrize(
    "body", [b"{}", b'{"device_code": "d", "user_code": 1, "verification_uri": "https://v.test"}']
)
def test_a_code_for_a_device_that_is_none_is_told(authority: Authority, body: bytes):
    with (
        answering(authority, 200, body) as (url, _),
        pytest.raises(ServerTrouble, match="no OAuth"),
    ):
        DeviceAuthorization.begin(account_at(url), None)


# ---- what is kept


def kept(provider: OAuthServer, host: str = "mail.test") -> Account:
    """A login, as if somebody had logged in."""
    account = account_at(provider.url, host)
    authorization = DeviceAuthorization.begin(account, None)
    provider.confirm(authorization.user_code, USER)
    clock = Clock()
    keep_login(account, authorization.wait(None, clock.pause, clock.now), None)
    return account


def test_a_refresh_token_for_one_use_serves_several_at_once(provider: OAuthServer):
    account, faults = kept(provider), list[BaseException]()

    def renew() -> None:
        try:
            assert find_login(account, SOURCE, {}) is not None
        except BaseException as fault:  # noqa: BLE001 (of another thread)
            faults.append(fault)

    threads = [threading.Thread(target=renew) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert faults == []
    assert len(provider.given) == 9


def test_the_connections_of_a_run_renew_once(provider: OAuthServer):
    secret = find_login(kept(provider), SOURCE, {})
    assert secret is not None
    stale, asked = secret.text, len(provider.token_requests)
    threads = [threading.Thread(target=secret.renew, args=(stale,)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(provider.token_requests) == asked + 1
    assert provider.whose(secret.text) == USER
    assert not secret.is_ending


def test_the_environment_wins_and_opens_no_connection(provider: OAuthServer):
    account = kept(provider)
    asked = len(provider.asked)
    secret = find_login(account, SOURCE, {"PETITION_SMTP_TOKEN": "given"})
    assert secret is not None
    assert secret.text == "given"
    assert not secret.renew("given")
    assert len(provider.asked) == asked


def test_nobody_else_is_given_a_login(provider: OAuthServer):
    account = kept(provider)
    assert has_login(account)
    others = [
        account_at(provider.url, "mail.other.test"),
        account_at(provider.url + "/x"),
        Account(account.client, "smtp", account.host, "somebody@campaign.example"),
    ]
    assert not any(map(has_login, others))
    assert [find_login(other, SOURCE, {}) for other in others] == [None, None, None]


@pytest.mark.parametrize("name", PROVIDERS)
def test_the_tokens_of_a_known_provider_stay_with_it(name: str):
    client = OAuthClient.of_provider(name, "id", "common")
    own = {"google": "smtp.gmail.com", "microsoft": "smtp.office365.com"}[name]
    for host in (own, own.upper()):
        assert client.may_log_in_to(host)
    for host in ("evil.example", f"{own}.evil.example", f"evil{own}".replace(".", "", 1), ""):
        assert not client.may_log_in_to(host)
    account = Account(client, "smtp", "evil.example", USER)
    with pytest.raises(ServerTrouble, match="no mail server of"):
        find_login(account, SOURCE, {"PETITION_SMTP_TOKEN": "given"})


@pytest.mark.parametrize(
    "text", ["{", "[]", "null", '{"in": "keyring"}', '{"in": "file"}', '{"in": "file", "kept": 1}']
)
def test_a_damaged_file_is_told(provider: OAuthServer, text: str):
    account, file = kept(provider), state_folder() / "logins.json"
    file.write_text(f"{{{json.dumps(account.name)}: {text}}}" if text[0] == "{" else text)
    with pytest.raises(ServerTrouble) as trouble:
        find_login(account, SOURCE, {})
    assert trouble.value.hint


def test_what_is_kept_shows_no_secret():
    tokens = Tokens("at-canary", REFRESH, 1.0)
    assert "canary" not in repr(tokens)


# ---- authorization servers that are wrong


@contextmanager
def answering(
    authority: Authority, status: int, body: bytes, **headers: str
) -> Iterator[tuple[str, list[bytes]]]:
    """A server that answers everything alike; its URL, and what it was told."""
    told: list[bytes] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            told.append(self.rfile.read(int(self.headers["Content-Length"])))
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    server = Https(("127.0.0.1", 0), Handler)
    server.context = authority.server()
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    try:
        yield f"https://localhost:{server.server_port}", told
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@pytest.mark.parametrize(
    ("status", "body", "said"),
    [
        (200, b"<html>log in to the hotel's network</html>", "no OAuth answer"),
        (200, b"", "no OAuth answer"),
        (200, b"\xff\xfe{}", "no OAuth answer"),
        (200, b"[1]", "no OAuth answer"),
        (200, b"[" * 100_000, "no OAuth answer"),
        (200, b"{}", "no OAuth answer"),
        (200, b'{"access_token": 1}', "no OAuth answer"),
        (200, b'{"access_token": "\\ud800", "refresh_token": "x"}', "no OAuth answer"),
        (200, b'{"access_token": " "}', "no OAuth answer"),
        (200, b'{"access_token": "x", "token_type": "mac"}', "no OAuth answer"),
        (200, b'{"access_token": "x", "expires_in": "soon"}', "no OAuth answer"),
        (200, b'{"access_token": "x", "expires_in": 1e999}', "no OAuth answer"),
        (200, b'{"access_token": "x", "expires_in": NaN}', "no OAuth answer"),
        (200, b'{"access_token": "' + b"x" * 300_000 + b'"}', "no OAuth answer"),
        (404, b"{}", "refuses it: status 404"),
        (400, b'{"error": 1}', "refuses it: status 400"),
        (400, b'{"error": "invalid_client"}', "refuses it: invalid_client"),
        (200, b'{"error": "slow_down"}', "refuses it: slow_down"),
        (
            400,
            b'{"error": "invalid_request", "error_description": "\\u001b[2J%s said\\nmore"}'
            % REFRESH.encode(),
            "refuses it: invalid_request: [2J*** said",
        ),
        (429, b"{}", "answered with status 429"),
        (500, b"", "answered with status 500"),
    ],
)
def test_a_wrong_answer_is_trouble_in_a_sentence(
    authority: Authority, status: int, body: bytes, said: str
):
    with answering(authority, status, body) as (url, told):
        account = account_at(url)
        keep_login(account, Tokens("at", REFRESH, None), None)
        with pytest.raises(ServerTrouble) as trouble:
            find_login(account, SOURCE, {})
        assert told
        assert said in trouble.value.what
        assert REFRESH not in str(trouble.value)
        assert trouble.value.__cause__ is None
        assert trouble.value.is_passing == (status in {429, 500})
        assert has_login(account)


@pytest.mark.parametrize("error", ["invalid_grant", "interaction_required"])
def test_a_lost_login_names_the_command(authority: Authority, error: str):
    with answering(authority, 400, json.dumps({"error": error}).encode()) as (url, _):
        account = account_at(url)
        keep_login(account, Tokens("at", REFRESH, None), None)
        with pytest.raises(LoginLost, match="has expired or was revoked") as lost:
            find_login(account, SOURCE, {})
        assert "petition login smtp" in lost.value.hint


def test_no_redirect_is_followed(authority: Authority, provider: OAuthServer):
    place = {"Location": f"{provider.url}/token"}
    with answering(authority, 307, b"", **place) as (url, told):
        account = account_at(url)
        keep_login(account, Tokens("at", REFRESH, None), None)
        with pytest.raises(ServerTrouble):
            find_login(account, SOURCE, {})
        assert told
        assert not provider.asked


@pytest.mark.parametrize(("said", "is_ending"), [("9" * 4000, False), ("-5", True), ("59", True)])
def test_a_lifetime_may_be_any_number(authority: Authority, said: str, is_ending: bool):
    body = f'{{"access_token": "x", "expires_in": {said}}}'.encode()
    with answering(authority, 200, body) as (url, _):
        account = account_at(url)
        keep_login(account, Tokens("at", REFRESH, None), None)
        secret = find_login(account, SOURCE, {})
        assert secret is not None
        assert secret.is_ending == is_ending


def test_a_token_without_a_lifetime_is_used_until_it_is_refused(authority: Authority):
    with answering(authority, 200, b'{"access_token": "x"}') as (url, _):
        account = account_at(url)
        keep_login(account, Tokens("at", REFRESH, None), "secret")
        secret = find_login(account, SOURCE, {})
        assert secret is not None
        assert (secret.text, secret.is_ending) == ("x", False)


def test_a_server_that_is_not_there_is_a_passing_trouble(provider: OAuthServer, tmp_path: Path):
    account = kept(provider)
    provider_gone = account_at("https://localhost:1")
    keep_login(provider_gone, Tokens("at", REFRESH, None), None)
    with pytest.raises(ServerTrouble, match="cannot be reached") as trouble:
        find_login(provider_gone, SOURCE, {})
    assert trouble.value.is_passing
    assert has_login(account)


def test_a_silent_server_is_not_waited_for(
    authority: Authority, provider: OAuthServer, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(oauth, "SECONDS", 0.2)
    account = kept_at_silence(provider)
    with pytest.raises(ServerTrouble, match="cannot be reached") as trouble:
        find_login(account, SOURCE, {})
    assert trouble.value.is_passing


def kept_at_silence(provider: OAuthServer) -> Account:
    """A login at an address that accepts connections and says nothing: http is not https."""
    account = account_at(f"https://127.0.0.1:{provider.plain_port}")
    keep_login(account, Tokens("at", REFRESH, None), None)
    return account


def test_a_permission_that_was_left_out_is_told(
    authority: Authority, monkeypatch: pytest.MonkeyPatch
):
    """As where Google shows a box for each, and somebody ticks none."""
    body = json.dumps({"access_token": "x", "scope": "openid"}).encode()
    with answering(authority, 200, body) as (url, _):
        known = OAuthClient.of_provider("google", "id", "common")
        client = replace(known, token_url=url, hosts=())
        account = Account(client, "smtp", "mail.test", USER)
        keep_login(account, Tokens("at", REFRESH, None), None)
        with pytest.raises(ServerTrouble, match=r"what is needed: https://mail\.google\.com/"):
            find_login(account, SOURCE, {})


# ---- what a mail server is told, and what it says


def test_the_forms_of_the_mechanisms():
    """The examples of Google's page and of RFC 7628 4.1."""
    assert xoauth2("someuser@example.com", "ya29.vF9dft4") == (
        b"user=someuser@example.com\x01auth=Bearer ya29.vF9dft4\x01\x01"
    )
    assert oauthbearer("user@example.com", "server.example.com", 143, "vF9dft4qmTc2") == (
        b"n,a=user@example.com,\x01host=server.example.com\x01port=143\x01"
        b"auth=Bearer vF9dft4qmTc2\x01\x01"
    )
    assert oauthbearer("a=b,c", "h", 1, "t").startswith(b"n,a=a=3Db=2Cc,\x01")


@pytest.mark.parametrize(
    ("challenge", "told"),
    [
        (b'{"status":"401","schemes":"bearer mac","scope":"https://mail.google.com/"}',
         "token status 401, needed scope https://mail.google.com/"),
        (b'{"status": "invalid_token"}', "token status invalid_token"),
        (b'{"status": 400}', "token status 400"),
        (b'{"status": "\\u001b[2J\\nx"}', "token status [2J x"),
        (b'{"status": ["x"]}', ""),
        (b'{"status": "%s"}' % (b"x" * 300), ""),
        (b"[]", ""),
        (b"not JSON", ""),
        (b"", ""),
        (b"\xff", ""),
        (b"[" * 100_000, ""),
    ],
)  # fmt: skip
def test_the_reason_of_a_refusal_is_told_in_words(challenge: bytes, told: str):
    assert told_refusal(challenge) == told
