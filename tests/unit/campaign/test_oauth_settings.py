"""[oauth], and what [smtp] and [inbox] need of it."""

from pathlib import Path

import pytest

from petition.campaign.server import ServerMisnamed, find_server
from petition.campaign.settings import LoadedSettings, load_settings

BASE = '[campaign]\ntitle = "x"\n[sender]\nfrom = "A <a@b.org>"\n'
SMTP = '[smtp]\nhost = "smtp.gmail.com"\nusername = "a@b.org"\nauth = "oauth"\n'
GOOGLE = '[oauth]\nprovider = "google"\nclient_id = "x"\n'
OTHER = (
    '[oauth]\nclient_id = "x"\nauthorize_url = "https://o.test/a"\ntoken_url = "https://o.test/t"\n'
    'scope = "mail"\n'
)


@pytest.fixture
def load(tmp_path: Path):
    def load(text: str) -> LoadedSettings:
        path = tmp_path / "petition.toml"
        path.write_text(BASE + text)
        return load_settings(path)

    return load


def test_a_known_provider_needs_a_client_id_alone(load):
    loaded = load(SMTP + GOOGLE)
    assert loaded.problems == []
    server = find_server(loaded.settings.smtp, {}, loaded.settings.client)
    assert server.account.client.token_url == "https://oauth2.googleapis.com/token"
    assert (server.account.username, server.account.host) == ("a@b.org", "smtp.gmail.com")
    assert server.account.client.device_url is None


@pytest.mark.parametrize(("line", "place"), [("", "common"), ('tenant = "b.org"\n', "b.org")])
def test_microsoft_has_addresses_for_each_tenant(load, line: str, place: str):
    toml = SMTP.replace("smtp.gmail.com", "smtp.office365.com")
    toml += GOOGLE.replace("google", "microsoft") + line
    client = load(toml).settings.client
    urls = (client.authorize_url, client.token_url, client.device_url)
    assert all(url.startswith(f"https://login.microsoftonline.com/{place}/") for url in urls)
    assert "SMTP.Send" in client.scopes["smtp"]
    assert "IMAP" not in client.scopes["smtp"]


def test_the_tokens_of_a_known_provider_go_nowhere_else_by_whatever_addresses(load):
    own = OTHER.replace("https://o.test/t", "https://OAUTH2.googleapis.com:443/token")
    assert load(SMTP + own).problems == []
    (problem,) = load(SMTP.replace("smtp.gmail.com", "m.o.test") + own).problems
    assert "m.o.test" in problem.what


@pytest.mark.parametrize(
    "toml",
    [
        SMTP.replace("gmail", "gm\N{CYRILLIC SMALL LETTER A}il") + GOOGLE,
        SMTP.replace("gmail", "gm\N{CYRILLIC SMALL LETTER A}il").replace('auth = "oauth"', ""),
        '[inbox]\nurl = "imaps://me@im\N{CYRILLIC SMALL LETTER A}p.gmail.com/INBOX"\n',
        SMTP + OTHER.replace("o.test/a", "\N{CYRILLIC SMALL LETTER O}.test/a"),
    ],
)
def test_a_server_that_looks_like_another_is_refused_with_its_name_in_ascii(load, toml: str):
    assert any("xn--" in problem.hint for problem in load(toml).problems)


def test_an_inbox_has_an_account_of_its_own(load):
    toml = '[inbox]\nurl = "imaps://me%40b.org@imap.gmail.com/INBOX"\nauth = "oauth"\n' + GOOGLE
    account = load(toml).settings.inbox_account
    assert (account.use, account.host, account.username) == ("inbox", "imap.gmail.com", "me@b.org")


def test_the_account_is_that_of_the_server_that_is_used(load):
    settings = load(SMTP.replace("smtp.gmail.com", "m.o.test") + OTHER).settings
    environ = {"PETITION_SMTP_HOST": "n.o.test", "PETITION_SMTP_USERNAME": "b@b.org"}
    account = find_server(settings.smtp, environ, settings.client).account
    assert (account.host, account.username) == ("n.o.test", "b@b.org")


@pytest.mark.parametrize(
    ("text", "line", "what"),
    [
        (SMTP, 5, 'auth = "oauth" needs a table [oauth]'),
        (SMTP.replace("gmail.com", "gmail.com.evil.test") + GOOGLE, 5, "no mail server of Google"),
        (SMTP.replace("smtp.gmail", "smtpgmail") + GOOGLE, 5, "no mail server of Google"),
        (SMTP + GOOGLE.replace("google", "microsoft"), 5, "no mail server of Microsoft"),
        ('[inbox]\nurl = "maildir:x"\nauth = "oauth"\n' + GOOGLE, 5, "mailbox on a server"),
        (
            '[inbox]\nurl = "imaps://a@mail.test/INBOX"\nauth = "oauth"\n' + GOOGLE,
            5,
            "no mail server of Google",
        ),
        (GOOGLE.replace("google", "yahoo"), 6, '"yahoo" is not "google" or "microsoft"'),
        ('[oauth]\nprovider = "google"\n', 5, '"client_id" is missing'),
        ('[oauth]\nclient_id = "x"\n', 5, "neither provider nor authorize_url"),
        (GOOGLE + 'token_url = "https://o.test/t"\n', 5, "are for others"),
        (GOOGLE + 'tenant = "b.org"\n', 5, "tenant is for Microsoft alone"),
        (GOOGLE + 'client_secret = "canary"\n', 8, '"client_secret" in [oauth] is a secret'),
        (GOOGLE + 'refresh_token = "canary"\n', 8, '"refresh_token" in [oauth] is a secret'),
        (OTHER.replace("https://o.test/t", "http://o.test/t"), 8, "begins with https://"),
        (OTHER.replace("https://o.test/t", "https://me@o.test/t"), 8, "no user name"),
        (OTHER.replace("https://o.test/t", "https://o.test/t#x"), 8, "no user name or #"),
        (OTHER.replace("https://o.test/t", "file:///etc/passwd"), 8, "not a web address"),
        (
            GOOGLE.replace("google", "microsoft") + 'tenant = "../x"\n',
            8,
            '"../x" is not a tenant',
        ),
    ],
)
def test_what_is_wrong_is_told_with_its_line(load, text: str, line: int, what: str):
    loaded = load(text)
    problems = [one for one in loaded.problems if what in one.what]
    assert [one.line for one in problems] == [line], loaded.problems
    assert loaded.has_errors
    assert "canary" not in str(loaded.problems)


@pytest.mark.parametrize(
    ("right", "wrong"),
    [
        ("provider =", "providr ="),
        ("client_id =", "client_ids ="),
        ('"google"', '"gogle"'),
        ("[oauth]", "[oauth]\ncolour = 1"),
    ],
)
def test_of_one_wrong_key_nothing_else_is_told(load, right: str, wrong: str):
    inbox = '[inbox]\nurl = "imaps://me%40b.org@imap.gmail.com/INBOX"\nauth = "oauth"\n'
    loaded = load(SMTP + inbox + GOOGLE.replace(right, wrong))
    assert len(loaded.problems) == 1, loaded.problems


def test_a_login_without_a_username_is_refused(load):
    settings = load(SMTP.replace('username = "a@b.org"\n', "") + GOOGLE).settings
    with pytest.raises(ServerMisnamed, match="there is no username") as refusal:
        find_server(settings.smtp, {}, settings.client)
    assert refusal.value.key == "auth"
