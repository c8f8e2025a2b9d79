"""A campaign whose server wants a login at a provider, and whoever sits before the browser."""

import subprocess
import time
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import HTTPRedirectHandler, HTTPSHandler, build_opener

import pytest

from tests import PATIENCE
from tests.acceptance.small import SETTINGS, Popen, SmallCampaign
from tests.servers.authority import Authority

USER = "letters@campaign.example"
SMTP = """
[smtp]
host = "127.0.0.1"
port = {port}
security = "none"
username = "{user}"
auth = "oauth"
connections = 1
"""


class Person:
    """The campaign, and the person.

    Args:
        folder: Of the campaign.
        authority: Whom both trust.
        port: Of the mail server.
        oauth: The table [oauth].
    """

    def __init__(self, folder: Path, authority: Authority, port: int, oauth: str) -> None:
        self.campaign = SmallCampaign.at(folder, people=6)
        self.campaign.write("petition.toml", SETTINGS + SMTP.format(port=port, user=USER) + oauth)
        self.authority = authority
        self._opened = folder.parent / f"{folder.name}.opened"
        script = folder.parent / f"{folder.name}.browser"
        script.write_text(f'#!/bin/sh\nenv >"{self._opened}.env"\necho "$1" >"{self._opened}"\n')
        script.chmod(0o700)
        self.campaign.env |= {
            "SSL_CERT_FILE": str(authority.certificate),
            "BROWSER": f"{script} %s",
            "PYTHON_KEYRING_BACKEND": "keyring.backends.fail.Keyring",
        }
        self.campaign.trust()

    def begin(self, *arguments: str) -> tuple[Popen, str]:
        """Start the login; and the address that the browser is given."""
        self._opened.unlink(missing_ok=True)
        run = self.campaign.begin("login", *arguments, out=subprocess.PIPE)
        until = time.monotonic() + PATIENCE
        while not (self._opened.exists() and self._opened.read_text().endswith("\n")):
            assert time.monotonic() < until
            if run.poll() is not None:
                raise AssertionError(run.communicate())
            time.sleep(0.01)
        return run, self._opened.read_text().strip()

    def visit(self, url: str) -> tuple[int, str]:
        """Open an address and follow it to the end, as a browser does."""
        opener = build_opener(HTTPSHandler(context=self.authority.trust()))
        try:
            with opener.open(url, timeout=PATIENCE) as page:
                return page.status, page.read().decode()
        except HTTPError as error:
            with error:
                return error.code, error.read().decode()

    def look_ahead(self, url: str) -> str:
        """Where the provider sends the browser; not followed."""

        class Stay(HTTPRedirectHandler):
            def redirect_request(self, *_: object) -> None:
                pass

        opener = build_opener(Stay, HTTPSHandler(context=self.authority.trust()))
        with pytest.raises(HTTPError) as answer, opener.open(url, timeout=PATIENCE):
            pass
        with answer.value:
            return answer.value.headers["Location"]

    def log_in(self) -> str:
        """All of it."""
        run, url = self.begin()
        status, page = self.visit(url)
        assert status == 200, page
        out, err = run.communicate(timeout=PATIENCE)
        assert run.returncode == 0, (out, err)
        return out

    @property
    def browser_environment(self) -> str:
        return Path(f"{self._opened}.env").read_text()
