"""`petition login`, and letters sent with what it obtained, against a real authorization server.

The test plays the browser: it opens the address that petition gave to one, and follows the
redirects by HTTP.
"""

import json
import re
import socket
import stat
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import HTTPSHandler, build_opener

import pytest

from petition.user_state import state_folder
from tests import PATIENCE
from tests.acceptance.person import USER, Person
from tests.acceptance.small import SETTINGS, SmallCampaign
from tests.servers.authority import Authority
from tests.servers.counting import CountingServer, counting_server
from tests.servers.oauth_server import (
    CLIENT,
    SCOPE,
    OAuthServer,
    judge_of,
    redirect_of,
    running_oauth_server,
    with_fields,
)


@pytest.fixture
def provider(authority: Authority) -> Iterator[OAuthServer]:
    with running_oauth_server(authority) as server:
        yield server


@pytest.fixture
def mail(provider: OAuthServer) -> Iterator[CountingServer]:
    with counting_server() as server:
        server.judge = judge_of(provider, USER)
        yield server


@pytest.fixture
def person(
    tmp_path: Path, authority: Authority, provider: OAuthServer, mail: CountingServer
) -> Person:
    return Person(tmp_path / "campaign", authority, mail.port, provider.settings())


def words(text: str) -> str:
    return " ".join(text.split())


def test_a_login_in_the_browser_is_kept_and_sends_letters(
    person: Person, provider: OAuthServer, mail: CountingServer
):
    assert "nobody has logged in" in words(person.campaign.petition("check").out)
    out = person.log_in()
    assert f"127.0.0.1:{mail.port} accepts the login of {USER}" in words(out)
    asked = next(fields for path, fields in provider.asked if path == "/authorize")
    assert asked["code_challenge_method"] == "S256"
    assert (asked["scope"], asked["login_hint"]) == (SCOPE, USER)
    kept = state_folder() / "logins.json"
    assert stat.S_IMODE(kept.stat().st_mode) == 0o600
    assert provider.given[-1].refresh in kept.read_text()

    assert "nobody has logged in" not in words(person.campaign.petition("check").out)
    assert "accepts the login" in words(person.campaign.petition("check", "--online").out)
    person.campaign.petition("send", "open-letter", "--yes", status=0)
    assert mail.accepted.total() == 6


def test_an_expired_token_is_renewed_in_the_middle_of_a_run(
    person: Person, provider: OAuthServer, mail: CountingServer
):
    person.log_in()
    mail.most = 2  # then the server wants a new connection

    def judge(said: bytes) -> str:
        answer = judge_of(provider, USER)(said)
        provider.expire()  # what was good for this connection is not for the next
        return answer

    mail.judge = judge
    renewals = len(provider.token_requests)
    person.campaign.petition("send", "open-letter", "--yes", status=0)
    assert mail.accepted.total() == 6
    assert set(mail.accepted.values()) == {1}
    assert mail.challenged == [b"", b""]  # XOAUTH2 answers a reason with an empty line
    assert len(provider.token_requests) >= renewals + 3
    assert len({one.refresh for one in provider.given}) == len(provider.given)  # each used once


def test_a_token_that_ends_soon_is_renewed_before_it_is_used(
    person: Person, provider: OAuthServer, mail: CountingServer
):
    person.log_in()
    provider.lifetime = 30
    mail.most = 3
    person.campaign.petition("send", "open-letter", "--yes", status=0)
    assert mail.challenged == []


@pytest.mark.parametrize("when", ["before", "meanwhile"])
def test_a_revoked_login_is_one_sentence(
    person: Person, provider: OAuthServer, mail: CountingServer, when: str
):
    person.log_in()
    if when == "before":
        provider.revoke()
    else:
        mail.most = 2
        judge = judge_of(provider, USER)

        def judge_once(said: bytes) -> str:
            answer = judge(said)
            provider.revoke()
            return answer

        mail.judge = judge_once
    answer = person.campaign.petition("send", "open-letter", "--yes", status=4)
    said = words(answer.out + answer.err)
    assert f"the login of {USER} at 127.0.0.1 has expired or was revoked" in said
    assert "petition login smtp" in said
    assert mail.accepted.total() == (0 if when == "before" else 2)
    if when == "before":
        assert person.campaign.states() == {}  # it stopped before it queued anything
        online = person.campaign.petition("check", "--online", status=4)
        assert "petition login smtp" in words(online.out)
    provider.decides = "allow"
    mail.judge = judge_of(provider, USER)
    person.log_in()
    person.campaign.petition("send", "open-letter", "--yes", status=0)
    assert mail.accepted.total() == 6
    assert set(mail.accepted.values()) == {1}


def test_without_a_login_nothing_is_sent(person: Person, mail: CountingServer):
    answer = person.campaign.petition("send", "open-letter", "--yes", status=4)
    assert "petition login smtp" in words(answer.err)
    assert not mail.logins


def test_another_account_in_the_browser_is_told(
    person: Person, provider: OAuthServer, mail: CountingServer
):
    run, url = person.begin()
    assert person.visit(with_fields(url, login_hint="somebody@else.example"))[0] == 200
    _, err = run.communicate(timeout=PATIENCE)
    assert run.returncode == 4
    said = words(err)
    assert "refuses the login" in said
    assert "token status 400, needed scope https://mail.test/send" in said
    assert "log in as the username" in said


# ---- what can go wrong in the browser


def test_a_wrong_state_ends_nothing_and_is_not_redeemed(person: Person, provider: OAuthServer):
    run, url = person.begin()
    back = person.look_ahead(url)
    status, _ = person.visit(with_fields(back, state="guessed"))
    assert status == 400
    assert person.visit(with_fields(back, state=""))[0] == 400
    assert person.visit(back.partition("?")[0] + "/favicon.ico")[0] == 404
    assert not provider.token_requests
    assert run.poll() is None
    assert person.visit(back)[0] == 200
    run.communicate(timeout=PATIENCE)
    assert run.returncode == 0


def test_a_stolen_code_is_worth_nothing(person: Person, provider: OAuthServer):
    """Of PKCE: who saw the redirect has no verifier."""
    run, url = person.begin()
    back = redirect_of(person.look_ahead(url))
    opener = build_opener(HTTPSHandler(context=person.authority.trust()))
    stolen = {
        "grant_type": "authorization_code",
        "client_id": CLIENT,
        "code": back["code"],
        "redirect_uri": redirect_of(url)["redirect_uri"],
    }
    for verifier in ({}, {"code_verifier": "x" * 43}):
        fields = "&".join(f"{name}={value}" for name, value in (stolen | verifier).items())
        with pytest.raises(HTTPError) as refusal:
            opener.open(f"{provider.url}/token", fields.encode(), PATIENCE)
        with refusal.value:
            assert re.search("verifier|challenge", refusal.value.read().decode())
    assert not provider.given
    run.kill()
    run.communicate()


def test_a_code_that_somebody_else_has_used_is_told(person: Person, provider: OAuthServer):
    run, url = person.begin()
    back = person.look_ahead(url)
    provider.codes[redirect_of(back)["code"]].is_over = True
    person.visit(back)
    _, err = run.communicate(timeout=PATIENCE)
    assert run.returncode == 4
    assert "invalid_grant" in err
    assert not (state_folder() / "logins.json").exists()


def test_a_person_who_declines_is_told_so(person: Person, provider: OAuthServer):
    provider.decides = "deny"
    run, url = person.begin()
    person.visit(url)
    _, err = run.communicate(timeout=PATIENCE)
    assert run.returncode == 4
    assert "the login was declined" in words(err)
    assert not provider.token_requests


def test_a_provider_that_gives_no_refresh_token_is_told(person: Person, provider: OAuthServer):
    provider.gives_refresh = False
    run, url = person.begin()
    person.visit(url)
    _, err = run.communicate(timeout=PATIENCE)
    assert run.returncode == 4
    assert "gave no refresh token" in words(err)


def test_a_port_that_is_taken_is_told(person: Person):
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = str(other.getsockname()[1])
        answer = person.campaign.petition("login", "--port", port, status=2)
        assert f"port {port} of this machine cannot be used" in words(answer.err)


def test_the_browser_comes_back_to_the_port_that_was_named(person: Person):
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    run, url = person.begin("--port", str(port))
    assert redirect_of(url)["redirect_uri"] == f"http://127.0.0.1:{port}"
    assert person.visit(url)[0] == 200
    run.communicate(timeout=PATIENCE)
    assert run.returncode == 0


def test_two_logins_at_once(
    person: Person,
    tmp_path: Path,
    authority: Authority,
    provider: OAuthServer,
    mail: CountingServer,
):
    other = Person(tmp_path / "other", authority, mail.port, provider.settings())
    runs = [(one, *one.begin()) for one in (person, other)]
    for one, _, url in reversed(runs):
        assert one.visit(url)[0] == 200
    for _, run, _ in runs:
        out, err = run.communicate(timeout=PATIENCE)
        assert run.returncode == 0, (out, err)
    for one, _, _ in runs:
        one.campaign.petition("send", "open-letter", "--yes", status=0)
    json.loads((state_folder() / "logins.json").read_text())


def test_ctrl_c_while_waiting_logs_nobody_in(person: Person):
    child = person.campaign.on_terminal("login")
    child.expect_exact("code_challenge")
    child.interrupt()
    status, said = child.end()
    assert status == 130
    assert "Nobody was logged in." in said
    assert not (state_folder() / "logins.json").exists()


def test_the_address_can_be_copied_from_a_terminal(person: Person, provider: OAuthServer):
    child = person.campaign.on_terminal("login")
    child.expect(r"https://\S+")
    assert {"state", "code_challenge", "redirect_uri"} <= redirect_of(child.after).keys()
    assert person.visit(child.after)[0] == 200
    status, _ = child.end()
    assert status == 0


# ---- a device


def test_a_login_on_another_device(person: Person, provider: OAuthServer):
    run = person.campaign.begin("login", "--device", out=subprocess.PIPE)
    assert run.stdout is not None
    shown = ""
    while not (code := re.search(r"\b[A-Z]{4}-[A-Z]{4}\b", shown)):
        line = run.stdout.readline()
        assert line, run.communicate()
        shown += line
    assert f"{provider.url}/activate" in shown
    while len(provider.token_requests) < 2:  # it asks, and is told that nobody has confirmed it
        assert run.poll() is None
        time.sleep(0.01)
    provider.confirm(code[0], USER)
    out, err = run.communicate(timeout=PATIENCE)
    assert run.returncode == 0, (out, err)
    assert "accepts the login" in out


def test_where_there_is_no_browser_a_device_is_used(person: Person, provider: OAuthServer):
    for name in ("BROWSER", "DISPLAY", "WAYLAND_DISPLAY"):
        person.campaign.env[name] = ""
    run = person.campaign.begin("login", out=subprocess.PIPE)
    while not provider.devices:
        assert run.poll() is None
        time.sleep(0.01)
    [device] = provider.devices.values()
    provider.confirm(device["user_code"], USER, allows=False)
    _, err = run.communicate(timeout=PATIENCE)
    assert run.returncode == 4
    assert "the login was declined" in words(err)


def test_a_provider_without_devices_says_so(
    tmp_path: Path, authority: Authority, provider: OAuthServer, mail: CountingServer
):
    person = Person(tmp_path / "one", authority, mail.port, provider.settings(device=False))
    answer = person.campaign.petition("login", "--device", status=2)
    assert "Log in without --device" in words(answer.err)


# ---- a folder of somebody else


def test_nothing_is_opened_and_no_token_goes_before_it_is_confirmed(
    person: Person, provider: OAuthServer, mail: CountingServer
):
    person.log_in()
    asked, logins = len(provider.asked), len(mail.logins)
    person.campaign.petition("trust", "--revoke", status=0)
    for command in (["login"], ["login", "--device"], ["send", "open-letter", "--yes"]):
        answer = person.campaign.petition(*command, status=2)
        assert "[oauth] token_url" in words(answer.err)
    person.campaign.petition("check", "open-letter")
    assert "not confirmed yet" in words(person.campaign.petition("check").out)
    assert (len(provider.asked), len(mail.logins)) == (asked, logins)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('host = "127.0.0.1"', 'host = "localhost"'),
        (f'username = "{USER}"', 'username = "other@campaign.example"'),
        (f'client_id = "{CLIENT}"', 'client_id = "another"'),
        ('/token"', '/token?of=somebody"'),
    ],
)
def test_a_login_is_for_one_server_user_client_and_token_address(
    person: Person, provider: OAuthServer, mail: CountingServer, old: str, new: str
):
    """Even when the person has confirmed the folder."""
    person.log_in()
    asked, logins = len(provider.asked), len(mail.logins)
    person.campaign.change("petition.toml", old, new)
    answer = person.campaign.petition("send", "open-letter", "--yes", status=2)
    assert "not confirmed" in words(answer.err)
    person.campaign.trust()
    answer = person.campaign.petition("send", "open-letter", "--yes", status=4)
    assert "petition login smtp" in words(answer.err)
    assert (len(provider.asked), len(mail.logins)) == (asked, logins)


def test_a_known_provider_logs_in_to_its_own_servers_only(person: Person):
    toml = (person.campaign.root / "petition.toml").read_text().partition("[oauth]")[0]
    toml += '[oauth]\nprovider = "google"\nclient_id = "x"\n'
    person.campaign.write("petition.toml", toml)
    answer = person.campaign.petition("check", status=1)
    assert "127.0.0.1 is no mail server of Google" in words(answer.out)
    person.campaign.write("petition.toml", toml.replace("127.0.0.1", "smtp.gmail.com"))
    person.campaign.env |= {"PETITION_SMTP_HOST": "localhost", "PETITION_SMTP_TOKEN": "given"}
    person.campaign.trust()
    answer = person.campaign.petition("send", "open-letter", "--yes", status=4)
    assert "localhost is no mail server of Google" in words(answer.err)


# ---- other states of the world


def test_a_provider_that_is_away_is_not_a_lost_login(
    person: Person, provider: OAuthServer, mail: CountingServer
):
    person.log_in()
    provider.failures = 1
    answer = person.campaign.petition("send", "open-letter", "--yes", status=4)
    assert "status 503" in words(answer.err)
    assert "revoked" not in answer.err
    person.campaign.petition("send", "open-letter", "--yes", status=0)
    assert mail.accepted.total() == 6


def test_a_provider_that_fails_in_the_middle_of_a_run_is_asked_again(
    person: Person, provider: OAuthServer, mail: CountingServer
):
    person.log_in()
    mail.most = 3
    judge = judge_of(provider, USER)

    def judge_once(said: bytes) -> str:
        answer = judge(said)
        if not answer and not mail.accepted.total():
            provider.expire()
            provider.failures = 1
        return answer

    mail.judge = judge_once
    person.campaign.petition("send", "open-letter", "--yes", status=0)
    assert provider.failures == 0
    assert mail.accepted.total() == 6


def test_a_certificate_that_is_not_trusted_is_told(person: Person):
    del person.campaign.env["SSL_CERT_FILE"]
    answer = person.campaign.petition("login", "--device", status=4)
    assert "certificate of localhost" in words(answer.err)
    assert "SSL_CERT_FILE" in answer.err


def test_forgetting_a_login(person: Person, mail: CountingServer):
    person.log_in()
    person.campaign.petition("login", "--forget", status=0)
    assert "refresh_token" not in (state_folder() / "logins.json").read_text()
    person.campaign.petition("send", "open-letter", "--yes", status=4)
    assert "There was no login" in person.campaign.petition("login", "--forget", status=0).out


def test_a_client_secret_is_asked_for_once_and_kept_with_the_login(
    person: Person, provider: OAuthServer, mail: CountingServer
):
    provider.secret = "not-so-secret"
    person.campaign.env["PETITION_OAUTH_SECRET"] = provider.secret
    person.log_in()
    del person.campaign.env["PETITION_OAUTH_SECRET"]
    person.campaign.petition("send", "open-letter", "--yes", status=0)
    assert provider.token_requests[-1]["client_secret"] == provider.secret


@pytest.mark.parametrize("mechanism", ["XOAUTH2", "OAUTHBEARER"])
def test_the_mechanism_that_the_server_offers_is_used(
    person: Person, mail: CountingServer, provider: OAuthServer, mechanism: str
):
    mail.mechanisms = f"PLAIN {mechanism}"
    person.log_in()
    assert all(line.startswith(mechanism) for line in mail.logins)
    provider.expire()
    mail.judge = lambda _: '{"status": "invalid_token"}'
    answer = person.campaign.petition("send", "open-letter", "--yes", status=4)
    assert "token status invalid_token" in words(answer.err)
    assert set(mail.challenged) == {b"" if mechanism == "XOAUTH2" else b"AQ=="}


def test_a_keyring_keeps_the_login(
    person: Person, tmp_path: Path, provider: OAuthServer, mail: CountingServer
):
    pytest.importorskip("keyring")
    (tmp_path / "kept_keys.py").write_text(
        "import json, pathlib\n"
        "from keyring.backend import KeyringBackend\n"
        "path = pathlib.Path(__file__).with_name('keys.json')\n"
        "class Kept(KeyringBackend):\n"
        "    priority = 9\n"
        "    def get_password(self, service, username):\n"
        "        keys = json.loads(path.read_text()) if path.exists() else {}\n"
        "        return keys.get(f'{service} {username}')\n"
        "    def set_password(self, service, username, password):\n"
        "        keys = json.loads(path.read_text()) if path.exists() else {}\n"
        "        path.write_text(json.dumps(keys | {f'{service} {username}': password}))\n"
        "    def delete_password(self, service, username):\n"
        "        keys = json.loads(path.read_text())\n"
        "        del keys[f'{service} {username}']\n"
        "        path.write_text(json.dumps(keys))\n"
    )
    env = {"PYTHONPATH": str(tmp_path), "PYTHON_KEYRING_BACKEND": "kept_keys.Kept"}
    person.campaign.env |= env
    assert "The login is kept in the keyring." in person.log_in()
    person.campaign.petition("send", "open-letter", "--yes", status=0)
    assert mail.accepted.total() == 6
    kept = (tmp_path / "keys.json").read_text()
    assert provider.given[-1].refresh in kept  # the one after the last renewal
    for path in (state_folder() / "logins.json", *state_folder().iterdir()):
        assert not any(one.refresh in path.read_text() for one in provider.given)
    person.campaign.petition("login", "--forget", status=0)
    assert json.loads((tmp_path / "keys.json").read_text()) == {}


def test_google_wants_the_client_secret_too_and_is_asked_for_lasting_access(tmp_path: Path):
    campaign = SmallCampaign.at(tmp_path)
    campaign.write(
        "petition.toml",
        f'{SETTINGS}[smtp]\nhost = "smtp.gmail.com"\nusername = "{USER}"\nauth = "oauth"\n'
        '[oauth]\nprovider = "google"\nclient_id = "x.apps.googleusercontent.com"\n',
    )
    campaign.env["BROWSER"] = "true"
    campaign.trust()
    answer = campaign.petition("login", status=2)
    assert "PETITION_OAUTH_SECRET" in answer.err
    child = campaign.on_terminal("login")
    child.expect_exact("Client secret that Google shows beside the client id: ")
    child.sendline("canary")
    child.expect(r"https://accounts\.google\.com/\S+")
    asked = redirect_of(child.after)
    assert (asked["access_type"], asked["prompt"]) == ("offline", "consent")
    assert asked["scope"] == "https://mail.google.com/"
    assert asked["redirect_uri"].startswith("http://127.0.0.1:")
    child.interrupt()
    status, said = child.end()
    assert status == 130
    assert "canary" not in said


def test_the_client_id_that_init_writes_is_not_tried(tmp_path: Path):
    place = SmallCampaign(tmp_path)
    place.petition("init", "--provider", "microsoft365", status=0)
    answer = place.petition("login", "--device", status=2)
    assert "client_id in [oauth] is still the one that petition init wrote" in words(answer.err)


def test_nothing_names_a_login_in_a_folder_without_one(tmp_path: Path):
    answer = SmallCampaign.at(tmp_path).petition("login", status=2)
    assert 'neither [smtp] nor [inbox] says auth = "oauth"' in words(answer.err)
    assert not (state_folder() / "logins.json").exists()
