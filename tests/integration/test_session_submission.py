"""Logging in to a real submission server: Postfix with TLS, Dovecot behind it."""

import asyncio
import ssl
from types import SimpleNamespace

import pytest

from petition.credentials import Secret
from petition.smtp.login import OpeningTrouble
from petition.smtp.replies import Outcome, Stage
from tests.servers.authority import Authority
from tests.servers.submission import running_submission
from tests.servers.visitor import letter, visit

pytestmark = pytest.mark.component("postfix", "dovecot", "openssl", "root")

PASSWORDS = {
    "kim": "canary-Kanari-2015",
    "letters@campaign.example": "пароль с пробелом",
    "colon": "a:b:{PLAIN}c",
    "long": "long" * 300,
    "blank": " x ",
}


@pytest.fixture(scope="module", params=["plain", "login", "cram-md5", "plain login cram-md5"])
def server(request, authority):
    with running_submission(authority.sign(), PASSWORDS, request.param) as running:
        yield running


def sent(port, **settings):
    settings = {"host": "localhost", "username": "kim", "secret": Secret(PASSWORDS["kim"])} | (
        settings
    )
    return asyncio.run(visit(SimpleNamespace(port=port), letter(), timeout=30.0, **settings))


def refused(port, **settings):
    with pytest.raises(OpeningTrouble) as caught:
        sent(port, **settings)
    return caught.value


@pytest.mark.parametrize("security", ["starttls", "tls"])
@pytest.mark.parametrize("username", PASSWORDS)
def test_a_login_that_is_right(server, authority, security, username):
    secret = Secret(PASSWORDS[username])
    [done] = sent(
        getattr(server, security),
        security=security,
        username=username,
        secret=secret,
        tls_context=authority.trust(),
    )
    assert done.verdict.outcome is Outcome.SENT
    assert done.tls == "TLSv1.3"
    server.postfix.wait_until_logged(f"sasl_username={username}")


@pytest.mark.parametrize("security", ["starttls", "tls"])
def test_a_wrong_password(server, authority, security):
    trouble = refused(
        getattr(server, security),
        security=security,
        secret=Secret("wrong"),
        tls_context=authority.trust(),
    )
    assert trouble.stage is Stage.AUTH
    assert (trouble.reply.code, trouble.reply.enhanced) == (535, "5.7.8")
    assert "app password" in trouble.hint
    assert not trouble.is_passing


def test_without_encryption_there_is_no_login(server):
    """Postfix offers none before TLS (smtpd_tls_auth_only)."""
    assert "offers no login" in refused(server.starttls, security="none").what


@pytest.fixture(scope="module", params=["expired", "other name", "other authority"])
def doubtful(request, authority, tmp_path_factory):
    """A server whose certificate is no good, its client's trust, and what is said of it."""
    signed = {
        "expired": lambda: authority.sign(days=-1),
        "other name": lambda: authority.sign("DNS:mail.other.example"),
        "other authority": authority.sign,
    }[request.param]()
    said = {
        "expired": "certificate has expired",
        "other name": "mismatch, certificate is not valid for 'localhost'",
        "other authority": "unable to get local issuer certificate",
    }[request.param]
    stranger = Authority(tmp_path_factory.mktemp("stranger"))
    trusted = stranger if request.param == "other authority" else authority
    with running_submission(signed, PASSWORDS) as running:
        yield running, trusted.trust(), said


@pytest.mark.parametrize("security", ["starttls", "tls"])
def test_a_doubtful_certificate_is_refused_before_the_password(doubtful, security):
    server, trust, said = doubtful
    trouble = refused(getattr(server, security), security=security, tls_context=trust)
    assert said.lower() in trouble.what.lower()
    assert not trouble.is_passing
    assert "password" in trouble.hint
    assert ("SSL_CERT_FILE" in trouble.hint) is ("local issuer" in said)
    assert "sasl" not in server.postfix.log


@pytest.mark.parametrize("security", ["starttls", "tls"])
def test_the_same_is_refused_where_only_the_system_is_trusted(doubtful, security):
    server, _, _ = doubtful
    trouble = refused(getattr(server, security), security=security)
    assert "not trusted" in trouble.what


def test_an_old_version_of_tls_is_refused(server, authority):
    old = authority.trust()
    with pytest.warns(DeprecationWarning, match="TLSv1"):
        old.minimum_version = old.maximum_version = ssl.TLSVersion.TLSv1
    trouble = refused(server.starttls, security="starttls", tls_context=old)
    assert "does not speak TLS as expected" in trouble.what
