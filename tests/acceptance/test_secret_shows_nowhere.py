"""A canary: a password that was really sent is in nothing that is shown, written or listed."""

import base64
import json
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.acceptance.person import USER, Person
from tests.acceptance.small import SETTINGS, SmallCampaign
from tests.servers.authority import Authority
from tests.servers.counting import CountingServer, counting_server
from tests.servers.oauth_server import judge_of, running_oauth_server

CANARY = "c4n4ry-Кенар-s3cret"
WELCOME = "235 2.7.0 Welcome"
SMTP = """
[smtp]
host = "127.0.0.1"
port = {port}
security = "none"
username = "me"
{login}
"""
# How the password is found, and the line of petition.toml for it.
WAYS = {
    "environment": "",
    "password_command": 'password_command = "cat {folder}/canary"',
    "keyring": "",
    "token": 'auth = "xoauth2"\ntoken_command = "cat {folder}/canary"',
}
FAULT = """
import sys
from petition.sending.merging import CopyMerger
def fail(self, *arguments):
    raise RuntimeError("a fault of the program's own")
CopyMerger.letter = fail
from petition.cli.main import run
sys.argv = ["petition", "send", "open-letter", "--yes"]
run()
"""
KEYRING = """
from keyring.backend import KeyringBackend
class Kept(KeyringBackend):
    priority = 9
    set_password = delete_password = None
    def get_password(self, service, username):
        assert (service, username) == ("petition:127.0.0.1", "me")
        with open({path!r}, encoding="utf-8") as canary:
            return canary.read()
"""


def forms(secret: str = CANARY) -> list[bytes]:
    """A secret as it is, and as base64 at each of the three places that it can begin at."""
    text = secret.encode()
    shifted = (base64.b64encode(b"x" * shift + text)[4:-4] for shift in range(3))
    return [text, secret.encode("unicode_escape"), *shifted]


def campaign_with(folder: Path, way: str, server: CountingServer, secrets: Path):
    campaign = SmallCampaign.at(folder, people=12)
    secrets.mkdir()
    (secrets / "canary").write_text(CANARY, encoding="utf-8")
    login = WAYS[way].format(folder=secrets)
    campaign.write("petition.toml", SETTINGS + SMTP.format(port=server.port, login=login))
    if way == "environment":
        campaign.env["PETITION_SMTP_PASSWORD"] = CANARY
    if way == "keyring":
        pytest.importorskip("keyring")
        (secrets / "kept_keys.py").write_text(KEYRING.format(path=str(secrets / "canary")))
        campaign.env |= {"PYTHONPATH": str(secrets), "PYTHON_KEYRING_BACKEND": "kept_keys.Kept"}
    campaign.env["PETITION_DEBUG"] = "1"
    return campaign.trust()


def is_hidden_in(*texts: str | bytes, secret: str = CANARY) -> bool:
    shown = [text.encode() if isinstance(text, str) else text for text in texts]
    return not any(form in text for form in forms(secret) for text in shown)


def contents(folder: Path) -> list[bytes]:
    return [path.read_bytes() for path in folder.rglob("*") if path.is_file()]


def is_hidden_in_files(folder: Path) -> bool:
    return is_hidden_in(*contents(folder))


def command_lines() -> list[bytes]:
    lines = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            lines.append((process / "cmdline").read_bytes())
        except OSError:
            continue  # it has ended meanwhile
    return lines


@pytest.mark.parametrize("way", WAYS)
def test_a_password_that_was_sent_shows_nowhere(way: str, tmp_path: Path):
    with counting_server(pause=0.05, login=WELCOME) as server:
        folder = tmp_path / "campaign"
        folder.mkdir()
        campaign = campaign_with(folder, way, server, tmp_path / "secrets")
        run = campaign.begin("send", "open-letter", "--yes")
        listed = []
        while run.poll() is None:
            listed += command_lines()
            time.sleep(0.01)
        _, err = run.communicate()
        assert listed or not Path("/proc/self/cmdline").exists()
        assert is_hidden_in(err, *listed)
        assert run.returncode == 0, err
        assert server.accepted.total() == 12
        # Or nothing here would prove anything.
        assert server.logins
        assert all(CANARY.encode() in base64.b64decode(line.split()[1]) for line in server.logins)
        for words in (["status", "open-letter"], ["log"], ["log", "--json"], ["check"]):
            answer = campaign.petition(*words)
            assert is_hidden_in(answer.out, answer.err)
        assert (folder / "petition.db").exists()
        assert is_hidden_in_files(folder)


@pytest.mark.parametrize(
    "reply",
    [
        "535 5.7.8 AUTH {line} is wrong",
        "535-5.7.8 You said\r\n535 5.7.8 {line}",
        f"535 5.7.8 {CANARY} is wrong",
        # The server asks us to try again, and both commands do for half a minute.
        pytest.param("454 4.7.0 {line} not now", marks=pytest.mark.slow),
        "500 5.5.2 {line}",
    ],
)
def test_a_password_that_a_server_quotes_shows_nowhere(reply: str, tmp_path: Path):
    with counting_server(login=reply) as server:
        folder = tmp_path / "campaign"
        folder.mkdir()
        campaign = campaign_with(folder, "environment", server, tmp_path / "secrets")
        answer = campaign.petition("send", "open-letter", "--yes", status=4)
        trial = campaign.petition("send", "open-letter", "--yes", "--to-me", "me@x.example")
        assert len(server.logins) >= 2
        assert "***" in answer.err
        assert is_hidden_in(answer.out, answer.err, trial.out, trial.err)
        assert is_hidden_in_files(folder)


def test_a_traceback_of_a_fault_does_not_show_it(tmp_path: Path):
    with counting_server(login=WELCOME) as server:
        folder = tmp_path / "campaign"
        folder.mkdir()
        campaign = campaign_with(folder, "environment", server, tmp_path / "secrets")
        done = subprocess.run(
            [sys.executable, "-c", FAULT],
            cwd=folder,
            env=campaign.environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            check=False,
        )
        assert b"Traceback" in done.stderr
        assert server.logins
        assert is_hidden_in(done.stdout, done.stderr)
        assert is_hidden_in_files(folder)


def test_a_rehearsal_and_a_dry_run_do_not_show_it(tmp_path: Path):
    with counting_server(login=WELCOME) as server:
        folder = tmp_path / "campaign"
        folder.mkdir()
        campaign = campaign_with(folder, "environment", server, tmp_path / "secrets")
        dry = campaign.petition("send", "open-letter", "--dry-run", status=0)
        campaign.write("petition.toml", SETTINGS)
        sent = campaign.petition("send", "open-letter", status=0)
        assert list((folder / "outbox/new").iterdir())
        assert is_hidden_in(dry.out, dry.err, sent.out, sent.err)
        assert is_hidden_in_files(folder)
        assert not server.logins


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="/proc tells which files are open")
def test_the_password_command_gets_no_file_of_ours(tmp_path: Path):
    """Above all not the lock beside the log: a child that lives on would keep it."""
    with counting_server(login=WELCOME) as server:
        listing = tmp_path / "listing"
        script = tmp_path / "show"
        script.write_text(f"#!/bin/sh\nls -l /proc/$$/fd >{listing}\necho {CANARY}\n")
        script.chmod(0o700)
        campaign = SmallCampaign.at(tmp_path, people=2)
        login = f'password_command = "{script}"'
        campaign.write("petition.toml", SETTINGS + SMTP.format(port=server.port, login=login))
        campaign.trust()
        campaign.petition("send", "open-letter", "--yes", status=0)
        assert str(tmp_path / "petition.db") not in listing.read_text()
        assert "/dev/null" in listing.read_text()
        assert shutil.which("sh")


def test_other_programs_get_no_secret_of_ours(tmp_path: Path):
    """Neither a command that prints another secret nor the browser of a preview."""
    seen = tmp_path / "seen"
    script = tmp_path / "show"
    script.write_text(f"#!/bin/sh\nenv >>{seen}\necho token\n")
    script.chmod(0o700)
    with counting_server(login=WELCOME) as server:
        campaign = SmallCampaign.at(tmp_path / "campaign", people=2)
        login = f'auth = "xoauth2"\ntoken_command = "{script}"'
        campaign.write("petition.toml", SETTINGS + SMTP.format(port=server.port, login=login))
        campaign.trust()
        campaign.env |= {
            "PETITION_SMTP_PASSWORD": CANARY,
            "PETITION_INBOX_PASSWORD": CANARY,
            "PETITION_DKIM_KEY": CANARY,
            "BROWSER": f"{script} %s",
        }
        campaign.petition("send", "open-letter", "--yes", status=0)
        campaign.petition("preview", "open-letter", "--browser", status=0)
    assert sum(line.startswith("PATH=") for line in seen.read_text().splitlines()) == 2
    assert is_hidden_in(seen.read_bytes())


def test_what_a_login_obtains_shows_nowhere(tmp_path: Path, authority: Authority):
    with (
        running_oauth_server(authority, secret="canary-of-the-client") as provider,
        counting_server(pause=0.02) as mail,
    ):
        mail.judge = judge_of(provider, USER)
        person = Person(tmp_path / "campaign", authority, mail.port, provider.settings())
        person.campaign.env |= {"PETITION_OAUTH_SECRET": "canary-of-the-client"}
        person.campaign.env["PETITION_DEBUG"] = "1"
        shown = [person.log_in(), person.browser_environment]
        del person.campaign.env["PETITION_OAUTH_SECRET"]
        mail.most, provider.lifetime = 2, 1  # a new token for each connection
        run = person.campaign.begin("send", "open-letter", "--yes", out=subprocess.PIPE)
        listed = []
        while run.poll() is None:
            listed += command_lines()
            time.sleep(0.01)
        shown += [*run.communicate(), *listed]
        assert run.returncode == 0
        assert mail.accepted.total() == 6
        for command in (["check", "--online"], ["log", "--json"], ["status", "--json"], ["trust"]):
            answer = person.campaign.petition(*command)
            shown += [answer.out, answer.err]
        mail.judge = lambda said: json.dumps({"status": said.decode(), "scope": said.decode()[:99]})
        answer = person.campaign.petition("send", "open-letter", "--again", "--yes", status=4)
        shown += [answer.out, answer.err]
        provider.revoke()
        answer = person.campaign.petition("check", "--online", status=4)
        shown += [answer.out, answer.err, *contents(person.campaign.root)]
        assert len(provider.given) > 5
        for secret in filter(None, provider.secrets):
            assert is_hidden_in(*shown, secret=secret)
