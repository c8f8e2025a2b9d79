import os
from pathlib import Path

import pytest

from petition.campaign.folder import read_settings
from petition.campaign.server import find_server
from petition.campaign.settings import Settings
from petition.inbox import imap
from petition.smtp.dkim import load_key
from petition.smtp.login import secret_of
from petition.trust import confirm, requests, revoke, unconfirmed

BASE = '[campaign]\ntitle = "T"\n[sender]\nfrom = "a@x.example"\n'
SMTP = '[smtp]\nhost = "mail.x.example"\nusername = "me"\npassword_command = "show it"\n'
INBOX = '[inbox]\nurl = "imaps://me@mail.x.example/INBOX"\npassword_command = "show it"\n'
TOKENS = 'auth = "xoauth2"\ntoken_command = "show token"\n'
OAUTH = (
    '[oauth]\nclient_id = "c"\nauthorize_url = "https://a.x.example/"\n'
    'token_url = "https://t.x.example/"\ndevice_url = "https://d.x.example/"\nscope = "mail"\n'
)
GOOGLE = '[oauth]\nprovider = "google"\nclient_id = "c"\n'
BY_LOGIN = 'username = "me"\nauth = "oauth"\n'
DKIM = '[dkim]\ndomain = "x.example"\nselector = "s"\nkey_command = "show key"\n'


def asked(root: Path, text: str, **environ: str) -> list[str]:
    root.mkdir(exist_ok=True)
    (root / "petition.toml").write_text(BASE + text)
    settings = read_settings(root).settings
    assert settings is not None
    return [one.key for one in requests(settings, environ, root)]


@pytest.mark.parametrize(
    ("text", "environ", "keys"),
    [
        ("", {}, []),
        (SMTP, {}, ["[smtp] host", "[smtp] password_command"]),
        (SMTP, {"PETITION_SMTP_PASSWORD": "x"}, ["[smtp] host"]),
        (SMTP, {"PETITION_SMTP_HOST": "own.example"}, ["[smtp] password_command"]),
        (SMTP + TOKENS, {}, ["[smtp] host", "[smtp] token_command"]),
        (SMTP + TOKENS, {"PETITION_SMTP_TOKEN": "x"}, ["[smtp] host"]),
        (SMTP.replace('username = "me"\n', ""), {}, ["[smtp] host"]),
        ('[smtp]\nhost = "localhost"\nsecurity = "none"\n', {}, []),
        ('[smtp]\nhost = "127.0.0.1"\nusername = "me"\n', {}, ["[smtp] host"]),
        (INBOX, {}, ["[inbox] url", "[inbox] password_command"]),
        (INBOX + TOKENS, {"PETITION_INBOX_TOKEN": "x"}, ["[inbox] url"]),
        (
            '[smtp]\nhost = "x.example"\n' + BY_LOGIN + OAUTH,
            {},
            ["[smtp] host", "[oauth] token_url"],
        ),
        (
            '[smtp]\nhost = "x.example"\n' + BY_LOGIN + OAUTH,
            {"PETITION_SMTP_HOST": "own.example", "PETITION_SMTP_TOKEN": "x"},
            ["[oauth] token_url"],
        ),
        (
            INBOX.replace("mail.x.example", "imap.gmail.com") + 'auth = "oauth"\n' + GOOGLE,
            {},
            ["[inbox] url", "[oauth] provider"],
        ),
        (SMTP + OAUTH, {}, ["[smtp] host", "[smtp] password_command"]),
        ('[inbox]\nurl = "maildir:answers"\n', {}, []),
        ('[inbox]\nurl = "mbox:/var/mail/kim"\n', {}, ["[inbox] url"]),
        ('[inbox]\nurl = "maildir:../Mail"\n', {}, ["[inbox] url"]),
        (DKIM, {}, ["[dkim] key_command"]),
        (DKIM, {"PETITION_DKIM_KEY": "x"}, []),
        ('[log]\ndatabase = "sqlite:///logs/own.db"\n', {}, []),
        ('[log]\ndatabase = "sqlite:///../other.db"\n', {}, ["[log] database"]),
        ('[log]\ndatabase = "sqlite:////tmp/other.db"\n', {}, ["[log] database"]),
        ('[log]\ndatabase = "postgresql:///letters"\n', {}, ["[log] database"]),
        ('[log]\ndatabase = "postgresql:///x"\n', {"PETITION_DATABASE": "sqlite:///a.db"}, []),
    ],
)
def test_what_is_asked_for(tmp_path: Path, text: str, environ: dict[str, str], keys: list[str]):
    assert asked(tmp_path, text, **environ) == keys


@pytest.mark.parametrize("inner", ["answers", "answers/new", "answers/cur"])
def test_an_inbox_that_leads_out_by_a_link_is_asked_for(tmp_path: Path, inner: str):
    (tmp_path / "mail").mkdir()
    place = tmp_path / "campaign" / inner
    place.parent.mkdir(parents=True)
    place.symlink_to(tmp_path / "mail")
    assert asked(tmp_path / "campaign", '[inbox]\nurl = "maildir:answers"\n') == ["[inbox] url"]


def test_what_is_confirmed_is_of_one_folder_and_one_value(tmp_path: Path):
    # A folder may have a name that is not UTF-8.
    here, there = tmp_path / os.fsdecode(b"campaign-\xff"), tmp_path / "other"
    for root in (here, there):
        asked(root, SMTP)
    settings = read_settings(here).settings
    assert settings is not None
    wanted = requests(settings, {}, here)
    assert unconfirmed(wanted, here) == wanted
    confirm(wanted, here)
    assert unconfirmed(wanted, here) == []
    assert unconfirmed(wanted, there) == wanted
    asked(here, SMTP.replace("show it", "show all"))
    changed = read_settings(here).settings
    assert changed is not None
    new = unconfirmed(requests(changed, {}, here), here)
    assert [one.key for one in new] == ["[smtp] password_command"]


def now_asked(root: Path, text: str) -> list[str]:
    """The keys that are asked for anew; confirms all of it."""
    asked(root, text)
    settings = read_settings(root).settings
    assert settings is not None
    wanted = requests(settings, {}, root)
    new = unconfirmed(wanted, root)
    confirm(wanted, root)
    return [one.key for one in new]


@pytest.mark.parametrize(
    ("before", "after", "keys"),
    [
        (SMTP.replace('username = "me"\n', ""), SMTP, ["[smtp] host", "[smtp] password_command"]),
        (SMTP, SMTP.replace('"me"', '"you"'), ["[smtp] host"]),
        (SMTP, SMTP + 'port = 587\nsecurity = "tls"\n', ["[smtp] host"]),
        (SMTP, SMTP + 'auth = "xoauth2"\n', ["[smtp] host"]),
        (INBOX, INBOX + 'auth = "xoauth2"\n', ["[inbox] url"]),
        (INBOX, INBOX.replace("//me@", "//you@"), ["[inbox] url"]),
    ],
)
def test_another_login_is_asked_for_again(tmp_path: Path, before: str, after: str, keys: list[str]):
    now_asked(tmp_path, before)
    assert now_asked(tmp_path, before) == []
    assert now_asked(tmp_path, after) == keys


def test_a_link_that_a_command_names_is_confirmed_with_where_it_leads(tmp_path: Path):
    root = tmp_path / "campaign"
    (root / "bin").mkdir(parents=True)
    for name in ("good.sh", "other.sh"):
        (tmp_path / name).write_text("echo secret\n")
    link = root / "bin" / "link.sh"
    link.symlink_to("../../good.sh")
    text = SMTP.replace("show it", "sh bin/link.sh")
    now_asked(root, text)
    assert now_asked(root, text) == []
    link.unlink()
    link.symlink_to("../../other.sh")
    assert now_asked(root, text) == ["[smtp] password_command"]
    (tmp_path / "other.sh").write_text("touch was-here\n")
    assert now_asked(root, text) == ["[smtp] password_command"]


def test_a_long_word_hides_no_script_behind_it(tmp_path: Path):
    text = SMTP.replace("show it", f"env X={'x' * 300} sh pw.sh")
    tmp_path.joinpath("pw.sh").write_text("echo secret\n")
    now_asked(tmp_path, text)
    tmp_path.joinpath("pw.sh").write_text("touch was-here\n")
    assert now_asked(tmp_path, text) == ["[smtp] password_command"]


def read_secrets(settings: Settings, root: Path) -> None:
    """Read each secret that the settings name, as `send` and `inbox` do."""
    if server := find_server(settings.smtp, os.environ):
        secret_of(server)
    if settings.dkim:
        load_key(settings.dkim, root)
    if settings.inbox:
        imap.secret_of(settings.inbox, settings.inbox_account)


@pytest.mark.parametrize("given", ["", " ", "x"])
@pytest.mark.parametrize(
    ("text", "variable"),
    [
        (SMTP, "PETITION_SMTP_PASSWORD"),
        (SMTP + TOKENS, "PETITION_SMTP_TOKEN"),
        (INBOX, "PETITION_INBOX_PASSWORD"),
        (INBOX + TOKENS, "PETITION_INBOX_TOKEN"),
        (DKIM, "PETITION_DKIM_KEY"),
    ],
)
def test_a_command_that_would_run_is_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, variable: str, given: str
):
    ran = tmp_path / "ran"
    script = tmp_path / "show"
    script.write_text(f"#!/bin/sh\ntouch '{ran}'\necho secret\n")
    script.chmod(0o700)
    text = text.replace("show it", str(script)).replace("show token", str(script))
    keys = asked(tmp_path / "c", text.replace("show key", str(script)), **{variable: given})
    monkeypatch.setenv(variable, given)
    settings = read_settings(tmp_path / "c").settings
    assert settings is not None
    read_secrets(settings, tmp_path / "c")
    assert any("command" in key for key in keys) == ran.exists()
    assert ran.exists() == (not given)


def test_what_was_confirmed_can_be_taken_back(tmp_path: Path):
    here, there = tmp_path / "here", tmp_path / "there"
    for root in (here, there):
        now_asked(root, SMTP)
    revoke(here)
    revoke(here)
    assert now_asked(there, SMTP) == []
    assert now_asked(here, SMTP) == ["[smtp] host", "[smtp] password_command"]


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("a.x.example", "evil.example"),
        ("t.x.example", "evil.example"),
        ("d.x.example", "evil.example"),
        ('client_id = "c"', 'client_id = "d"'),
        ('scope = "mail"', 'scope = "mail contacts"'),
    ],
)
def test_where_one_would_log_in_is_shown_and_asked_for_anew(tmp_path: Path, old: str, new: str):
    text = '[smtp]\nhost = "x.example"\n' + BY_LOGIN + OAUTH
    now_asked(tmp_path, text)
    assert now_asked(tmp_path, text) == []
    settings = read_settings(tmp_path).settings
    assert settings is not None
    effect = requests(settings, {}, tmp_path)[-1].effect
    assert all(host in effect for host in ("a.x.example", "t.x.example", "d.x.example"))
    assert now_asked(tmp_path, text.replace(old, new)) == ["[oauth] token_url"]
