"""`petition send` through a real submission server: its login, its TLS, and who stands between."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from tests.acceptance.small import SETTINGS, SmallCampaign
from tests.servers.authority import Authority
from tests.servers.submission import running_submission

pytestmark = pytest.mark.component("postfix", "dovecot", "openssl", "root")

PASSWORD = "canary-Кенар 2015"
SMTP = """
[smtp]
host = "localhost"
port = {port}
security = "{security}"
username = "kim"
"""


def through(folder: Path, authority: Authority, port: int, security: str) -> SmallCampaign:
    campaign = SmallCampaign.at(folder, people=2)
    campaign.write("petition.toml", SETTINGS + SMTP.format(port=port, security=security))
    campaign.env["SSL_CERT_FILE"] = str(authority.certificate)  # OpenSSL's own way to trust one
    campaign.env["PETITION_SMTP_PASSWORD"] = PASSWORD
    return campaign.trust()


def test_the_password_is_asked_for_on_a_terminal(tmp_path: Path, authority: Authority):
    with running_submission(authority.sign(), {"kim": "canary"}, "plain") as server:
        campaign = through(tmp_path / "asked", authority, server.tls, "tls")
        del campaign.env["PETITION_SMTP_PASSWORD"]
        child = campaign.on_terminal("send", "open-letter", "--yes")
        child.expect_exact("Password of kim at localhost")
        child.expect_exact(": ")
        child.sendline("canary")
        status, said = child.end()
        assert status == 0
        assert "canary" not in said
        assert set(campaign.states().values()) == {"sent"}


def test_ctrl_c_at_the_password_sends_nothing(tmp_path: Path, authority: Authority):
    campaign = through(tmp_path / "asked", authority, 1, "tls")
    del campaign.env["PETITION_SMTP_PASSWORD"]
    child = campaign.on_terminal("send", "open-letter", "--yes")
    child.expect_exact("Password of kim at localhost")
    child.expect_exact(": ")
    child.interrupt()
    status, said = child.end()
    assert status == 130
    assert "\nNothing was sent." in said
    assert campaign.states() == {}


@pytest.mark.parametrize("mechanism", ["plain", "login", "cram-md5"])
def test_each_mechanism_and_a_wrong_password(tmp_path: Path, authority: Authority, mechanism: str):
    with running_submission(authority.sign(), {"kim": PASSWORD}, mechanism) as server:
        for security, port in (("starttls", server.starttls), ("tls", server.tls)):
            campaign = through(tmp_path / security, authority, port, security)
            campaign.petition("send", "open-letter", "--yes", status=0)
            rows = campaign.petition("status", "--state", "sent", "--json").json["copies"]
            assert len(rows) == 2
            assert all("queued as" in row["reply"] for row in rows)
        server.postfix.wait_until_logged(f"sasl_method={mechanism.upper()}, sasl_username=kim")

        campaign = through(tmp_path / "wrong", authority, server.starttls, "starttls")
        campaign.env["PETITION_SMTP_PASSWORD"] = "wrong"
        answer = campaign.petition("send", "open-letter", "--yes", status=4)
        said = " ".join(answer.err.split())
        assert "refuses the login" in said
        assert "535 5.7.8" in said
        assert "app password" in said
        assert campaign.petition("status", "open-letter", "--json").json["queued"] == 2
        campaign.env["PETITION_SMTP_PASSWORD"] = PASSWORD
        campaign.petition("send", "open-letter", "--yes", status=0)


def test_a_certificate_that_nobody_trusts_gets_no_password(tmp_path: Path, authority: Authority):
    with running_submission(authority.sign(), {"kim": PASSWORD}) as server:
        for security, port in (("starttls", server.starttls), ("tls", server.tls)):
            campaign = through(tmp_path / security, authority, port, security)
            del campaign.env["SSL_CERT_FILE"]
            answer = campaign.petition("send", "open-letter", "--yes", status=4)
            assert "not trusted" in " ".join(answer.err.split())
            assert "SSL_CERT_FILE" in answer.err
            assert set(campaign.states().values()) == {"queued"}
        assert "sasl_username" not in server.postfix.log


@contextmanager
def stranger(port: int, heard: bytearray) -> Iterator[int]:
    """Somebody between us and a server, who takes STARTTLS out of what it offers and listens.

    Args:
        port: The server's.
        heard: What the client says is put here.
    """
    listener = socket.create_server(("127.0.0.1", 0))

    def meet() -> None:
        with suppress(OSError):
            while True:
                client, _ = listener.accept()
                server = socket.create_connection(("127.0.0.1", port))
                for source, target in ((client, server), (server, client)):
                    threading.Thread(target=pass_on, args=(source, target)).start()

    def pass_on(source: socket.socket, target: socket.socket) -> None:
        with suppress(OSError), source, target:
            while data := source.recv(65536):
                if source.getpeername()[1] == port:
                    data = data.replace(b"250-STARTTLS\r\n", b"")
                else:
                    heard.extend(data)
                target.sendall(data)
            target.shutdown(socket.SHUT_WR)

    meeting = threading.Thread(target=meet)
    meeting.start()
    try:
        yield listener.getsockname()[1]
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        meeting.join()


def test_who_takes_starttls_away_hears_no_password_and_no_letter(
    tmp_path: Path, authority: Authority
):
    heard = bytearray()
    with (
        running_submission(authority.sign(), {"kim": PASSWORD}) as server,
        stranger(server.starttls, heard) as port,
    ):
        campaign = through(tmp_path, authority, port, "starttls")
        answer = campaign.petition("send", "open-letter", "--yes", status=4)
        assert "STARTTLS" in answer.err
        assert set(campaign.states().values()) == {"queued"}
    assert heard.startswith(b"EHLO ")
    assert b"AUTH" not in heard
    assert b"MAIL" not in heard
