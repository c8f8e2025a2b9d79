"""petition inbox logs in to a real Dovecot: with a token (XOAUTH2), or any password."""

import http.server
import json
import os
import sys
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.acceptance.returning import Returns
from tests.acceptance.small import SmallCampaign
from tests.servers.imap_server import USER, Dovecot, running_dovecot

pytestmark = pytest.mark.component("dovecot", "root")

FRESH = "ya29.a0ARW5m7" + 200 * "x"
PASSWORD = "дұрыс-ат"
LOGINS = """\
auth_mechanisms = plain xoauth2
auth_failure_delay = 0
passdb {{
  driver = oauth2
  mechanisms = xoauth2
  args = {oauth2}
}}
passdb {{
  driver = static
  mechanisms = plain
  args = password={password}
}}
"""


class TokenEndpoint(http.server.BaseHTTPRequestHandler):
    """Says of a token whose it is, as Dovecot asks."""

    def do_GET(self) -> None:
        is_good = self.path.rpartition("=")[2] == FRESH
        body = json.dumps({"email": USER} if is_good else {"error": "invalid_token"}).encode()
        self.send_response(200 if is_good else 401)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture(scope="module")
def server() -> Iterator[Dovecot]:
    endpoint = http.server.ThreadingHTTPServer(("127.0.0.1", 0), TokenEndpoint)
    thread = threading.Thread(target=endpoint.serve_forever)
    thread.start()
    # Not a folder of pytest's: those are closed to the account that Dovecot asks under.
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        oauth2 = Path(folder) / "oauth2.conf"
        url = f"http://127.0.0.1:{endpoint.server_address[1]}/?access_token="
        oauth2.write_text(f"tokeninfo_url = {url}\nusername_attribute = email\n")
        with running_dovecot(LOGINS.format(oauth2=oauth2, password=PASSWORD)) as dovecot:
            yield dovecot
    endpoint.shutdown()
    endpoint.server_close()
    thread.join()


@pytest.fixture
def returns(campaign: SmallCampaign, server: Dovecot) -> Returns:
    returns = Returns(campaign)
    campaign.change("petition.toml", "maildir:answers", server.url)
    campaign.env |= {"SSL_CERT_FILE": str(server.authority)}
    campaign.trust()
    server.deliver("1.a", returns.reply("p1", f"Number {os.urandom(4).hex()}.").encode())
    return returns


def settle(returns: Returns, *lines: str) -> SmallCampaign:
    """Put lines under [inbox]."""
    toml = (returns.campaign.root / "petition.toml").read_text()
    returns.campaign.write("petition.toml", toml + "\n".join(lines) + "\n")
    return returns.campaign.trust()


def test_a_token_of_the_environment_opens_the_mailbox(returns: Returns):
    campaign = settle(returns, 'auth = "xoauth2"')
    campaign.env["PETITION_INBOX_TOKEN"] = FRESH
    assert "Number" in campaign.petition("inbox", status=0).out


def test_an_expired_token_is_renewed(returns: Returns):
    root = returns.campaign.root
    printer = (
        "import pathlib\n"
        "asked = pathlib.Path(__file__).with_name('asked')\n"
        "asked.write_text(asked.read_text() + 'x' if asked.exists() else 'x')\n"
        f"print('stale' if asked.read_text() == 'x' else {FRESH!r})\n"
    )
    (root / "printer.py").write_text(printer)
    command = f'token_command = "{sys.executable} printer.py"'
    campaign = settle(returns, 'auth = "xoauth2"', command)
    assert "Number" in campaign.petition("inbox", status=0).out
    assert (root / "asked").read_text() == "xx"


def test_a_token_that_is_refused_twice_stops_it_and_is_not_shown(returns: Returns):
    campaign = settle(returns, 'auth = "xoauth2"', "token_command = \"echo 'stale token'\"")
    answer = campaign.petition("inbox", status=4)
    assert "refuses the login" in answer.err
    assert "stale" not in answer.err


def test_without_a_token_it_says_where_to_put_it(returns: Returns):
    campaign = settle(returns, 'auth = "xoauth2"')
    told = " ".join(campaign.petition("inbox", status=4).err.split())
    assert "there is no token for answers@campaign.example" in told
    assert "Set PETITION_INBOX_TOKEN or [inbox] token_command" in told


def test_a_password_may_have_letters_beyond_ascii(returns: Returns):
    returns.campaign.env["PETITION_INBOX_PASSWORD"] = PASSWORD
    assert "Number" in returns.campaign.petition("inbox", status=0).out
