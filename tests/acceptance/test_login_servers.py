"""A login at a provider, and real mail servers that ask it whose tokens they are shown.

Dovecot for IMAP, and Postfix with Dovecot for submission, as providers have them.
"""

import os
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests import PATIENCE
from tests.acceptance.returning import Returns, watching
from tests.acceptance.small import SETTINGS, SmallCampaign
from tests.servers.authority import Authority
from tests.servers.imap_server import USER, Dovecot, running_dovecot
from tests.servers.oauth_server import OAuthServer, running_oauth_server
from tests.servers.submission import running_submission

pytestmark = pytest.mark.component("dovecot", "openssl", "root")

PASSDB = """\
auth_mechanisms = {mechanism}
auth_failure_delay = 0
passdb {{
  driver = oauth2
  mechanisms = xoauth2 oauthbearer
  args = {file}
}}
"""
SMTP = """
[smtp]
host = "localhost"
port = {port}
security = "starttls"
username = "{user}"
auth = "oauth"

"""


@pytest.fixture
def provider(authority: Authority) -> Iterator[OAuthServer]:
    with running_oauth_server(authority) as server:
        yield server


@contextmanager
def asking(provider: OAuthServer) -> Iterator[Path]:
    """The file that tells Dovecot where to ask; not in a folder that is closed to its account."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        file = Path(folder) / "oauth2.conf"
        url = f"http://127.0.0.1:{provider.plain_port}/tokeninfo?access_token="
        file.write_text(f"tokeninfo_url = {url}\nusername_attribute = email\n")
        yield file


def log_in(campaign: SmallCampaign, provider: OAuthServer, table: str) -> str:
    """On another device, which needs no browser."""
    before = len(provider.devices)
    run = campaign.begin("login", table, "--device", out=subprocess.PIPE)
    while len(provider.devices) == before:
        assert run.poll() is None, run.communicate()
        time.sleep(0.01)
    code = [one["user_code"] for one in provider.devices.values()][-1]
    provider.confirm(code, USER)
    out, err = run.communicate(timeout=PATIENCE)
    assert run.returncode == 0, (out, err)
    return out


@pytest.fixture(params=["xoauth2", "oauthbearer"])
def mechanism(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture
def dovecot(provider: OAuthServer, mechanism: str) -> Iterator[Dovecot]:
    with (
        asking(provider) as file,
        running_dovecot(PASSDB.format(file=file, mechanism=mechanism)) as server,
    ):
        yield server


@pytest.fixture
def returns(
    campaign: SmallCampaign, dovecot: Dovecot, provider: OAuthServer, authority: Authority
) -> Returns:
    returns = Returns(campaign)
    campaign.change("petition.toml", "maildir:answers", dovecot.url)
    toml = (campaign.root / "petition.toml").read_text()
    campaign.write("petition.toml", f'{toml}auth = "oauth"\n\n{provider.settings()}')
    both = campaign.root.parent / "authorities.pem"
    both.write_bytes(dovecot.authority.read_bytes() + authority.certificate.read_bytes())
    campaign.env |= {
        "SSL_CERT_FILE": str(both),
        "PYTHON_KEYRING_BACKEND": "keyring.backends.fail.Keyring",
    }
    campaign.trust()
    dovecot.deliver("1.a", returns.reply("p1", f"Number {os.urandom(4).hex()}.").encode())
    return returns


def test_an_inbox_is_read_with_a_login(returns: Returns, provider: OAuthServer):
    campaign = returns.campaign
    assert "petition login inbox" in " ".join(campaign.petition("inbox", status=4).err.split())
    assert f"nobody has logged in as {USER}" in " ".join(campaign.petition("check").out.split())
    said = " ".join(log_in(campaign, provider, "inbox").split())
    assert f"accepts the login of {USER}" in said
    assert "Number" in campaign.petition("inbox", status=0).out


def test_an_inbox_says_why_a_token_is_refused(
    returns: Returns, provider: OAuthServer, dovecot: Dovecot, mechanism: str
):
    campaign = returns.campaign
    log_in(campaign, provider, "inbox")
    asked, whose = len(provider.token_requests), provider.whose
    provider.whose = lambda access: None  # type: ignore[method-assign]
    answer = campaign.petition("inbox", status=4)
    said = " ".join(answer.err.split())
    assert "refuses the login" in said
    # Dovecot sends a reason for OAUTHBEARER and for XOAUTH2 alike.
    assert "token status" in said
    assert "Run petition login inbox" in said
    assert len(provider.token_requests) == asked + 2  # it asked for another token, and once only
    provider.whose = whose  # type: ignore[method-assign]
    assert "Number" in campaign.petition("inbox", status=0).out


def test_a_revoked_login_of_an_inbox_is_one_sentence(returns: Returns, provider: OAuthServer):
    log_in(returns.campaign, provider, "inbox")
    online = returns.campaign.petition("check", "--online")
    assert f"the login of {USER} for the inbox is good" in " ".join(online.out.split())
    provider.revoke()
    online = returns.campaign.petition("check", "--online", status=4)
    assert "Run petition login inbox" in " ".join(online.out.split())
    said = " ".join(returns.campaign.petition("inbox", status=4).err.split())
    assert "has expired or was revoked" in said
    assert "Run petition login inbox" in said


@pytest.mark.component("postfix")
def test_letters_go_through_a_real_submission_server(
    tmp_path: Path, authority: Authority, provider: OAuthServer, mechanism: str
):
    with (
        asking(provider) as file,
        running_submission(authority.sign(), {}, mechanism, oauth2=file) as server,
    ):
        campaign = SmallCampaign.at(tmp_path / "campaign", people=3)
        toml = SETTINGS + SMTP.format(port=server.starttls, user=USER) + provider.settings()
        campaign.write("petition.toml", toml)
        campaign.env |= {
            "SSL_CERT_FILE": str(authority.certificate),
            "PYTHON_KEYRING_BACKEND": "keyring.backends.fail.Keyring",
        }
        campaign.trust()
        log_in(campaign, provider, "smtp")
        campaign.petition("send", "open-letter", "--yes", status=0)
        server.postfix.wait_until_logged(f"sasl_method={mechanism.upper()}, sasl_username={USER}")
        assert set(campaign.states().values()) == {"sent"}

        whose = provider.whose
        provider.whose = lambda access: None  # type: ignore[method-assign]
        answer = campaign.petition("send", "open-letter", "--again", "--yes", status=4)
        said = " ".join(answer.err.split())
        assert "535 5.7.8" in said
        assert "token status" in said
        provider.whose = whose  # type: ignore[method-assign]


@pytest.mark.slow
@pytest.mark.parametrize("mechanism", ["xoauth2"], indirect=True)
def test_a_watch_says_how_to_log_in_again_and_goes_on_after_it(
    returns: Returns, provider: OAuthServer, dovecot: Dovecot
):
    campaign = returns.campaign
    log_in(campaign, provider, "inbox")
    with watching(campaign) as watch:
        assert "Number" in watch.words()
        provider.revoke()
        dovecot.kick()
        while "Run petition login inbox" not in watch.told():
            pass
        log_in(campaign, provider, "inbox")
        dovecot.deliver("2.a", returns.reply("p2", "Later.").encode())
        assert watch.words() == "Later."
        assert watch.interrupt(PATIENCE) == 130
