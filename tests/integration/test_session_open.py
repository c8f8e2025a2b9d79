"""Opening a session: TLS, login, and what an organiser is told when it does not come about."""

import asyncio
import base64
import os
import shutil
import socket
import ssl

import pytest

from petition.credentials import Secret
from petition.delivery.reply import Outcome, Stage
from petition.delivery.session import Session
from petition.delivery.trouble import OpeningTrouble
from petition.errors import ExitStatus
from tests.servers.authority import Authority
from tests.servers.recorder import Recorder
from tests.servers.scripted import (
    EXTRA,
    GARBAGE,
    HALF,
    HALF_THEN_GONE,
    HANG_UP,
    SILENT,
    Act,
    Phase,
    ScriptedServer,
    answer,
    closing,
)
from tests.servers.visitor import Permit, address, letter, until, visit

PASSWORD = "canary-Kanari-2015"
SECRET = Secret(PASSWORD)

needs_openssl = [
    pytest.mark.component("openssl"),
    pytest.mark.skipif(
        shutil.which("openssl") is None and os.environ.get("CI") != "true",
        reason="needs the openssl program",
    ),
]


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    return Authority(tmp_path_factory.mktemp("authority"))


def trouble_of(server, **settings):
    """What opening a session to this server raises."""

    async def scenario():
        async with server as running:
            with pytest.raises(OpeningTrouble) as caught:
                await visit(running, letter(), **settings)
            assert running.conversations == [] or not running.letters
            return caught.value

    return asyncio.run(scenario())


# ---- TLS


@pytest.mark.usefixtures("authority")
class TestEncryption:
    pytestmark = needs_openssl

    @pytest.mark.parametrize("security", ["tls", "starttls"])
    def test_a_letter_goes_over_a_verified_connection(self, authority, security):
        async def scenario():
            async with Recorder(**{security: authority.server()}, pipelining=True) as server:
                trust = authority.trust()
                done = await visit(server, letter(), letter(), security=security, tls_context=trust)
                return server, done

        server, done = asyncio.run(scenario())
        assert [each.verdict.outcome for each in done] == [Outcome.SENT] * 2
        assert {each.tls for each in done} == {"TLSv1.3"}
        assert server.verbs.count("EHLO") == (2 if security == "starttls" else 1)
        assert server.verbs[-1] == "QUIT"

    @pytest.mark.parametrize("security", ["tls", "starttls"])
    def test_a_stranger_s_certificate_is_refused_before_the_password(self, authority, security):
        server = ScriptedServer(**{security: authority.server()})
        trouble = trouble_of(server, security=security, username="kim", secret=SECRET)
        assert "certificate" in trouble.what
        assert "not trusted" in trouble.what
        assert not trouble.is_passing
        assert b"AUTH" not in b"".join(each.raw for each in server.conversations)

    @pytest.mark.parametrize("security", ["tls", "starttls"])
    def test_a_certificate_for_another_name_is_refused(self, authority, security):
        server = ScriptedServer(**{security: authority.server("DNS:other.test")})
        trouble = trouble_of(server, security=security, tls_context=authority.trust())
        assert "certificate" in trouble.what
        assert "127.0.0.1" in trouble.what

    def test_without_starttls_there_is_no_plain_text(self):
        server = ScriptedServer(extensions=["AUTH PLAIN"])
        trouble = trouble_of(server, security="starttls", username="kim", secret=SECRET)
        assert trouble.stage is Stage.STARTTLS
        assert "does not offer STARTTLS" in trouble.what
        assert server.verbs == ["EHLO"]

    def test_what_is_said_before_tls_is_forgotten(self, authority):
        """RFC 3207 4.2; a reply slipped in before TLS must not count after it (CVE-2011-0411)."""
        slipped_in = Act(extra=b"250-scripted.test\r\n250 AUTH PLAIN\r\n")
        server = ScriptedServer(
            {Phase.STARTTLS: slipped_in}, extensions=["HELP"], starttls=authority.server()
        )
        trouble = trouble_of(
            server,
            security="starttls",
            username="kim",
            secret=SECRET,
            tls_context=authority.trust(),
        )
        assert trouble.stage is Stage.AUTH
        assert "offers no login" in trouble.what

    def test_tls_to_a_port_without_it_names_the_setting(self):
        trouble = trouble_of(ScriptedServer(), security="tls")
        assert "does not speak TLS" in trouble.what
        assert "starttls" in trouble.mend

    def test_certificates_are_verified_without_being_asked(self, authority):
        """The default trusts the system's authorities, to which this one does not belong."""
        trouble = trouble_of(ScriptedServer(tls=authority.server()), security="tls")
        assert "not trusted" in trouble.what

    @pytest.mark.parametrize("act", [HANG_UP, SILENT, answer("454 4.7.0 Not now")])
    def test_a_broken_starttls(self, authority, act):
        server = ScriptedServer({Phase.STARTTLS: act}, starttls=authority.server())
        trouble = trouble_of(
            server, security="starttls", timeout=0.4, tls_context=authority.trust()
        )
        assert trouble.stage is Stage.STARTTLS
        assert trouble.is_passing


# ---- greeting, EHLO, login: faults

FAULTS = {
    "4xx": (answer("451 4.3.0 Later"), True),
    "5xx": (answer("554 5.7.1 Go away"), False),
    "421": (closing(), True),
    "hang up": (HANG_UP, True),
    "silence": (SILENT, True),
    "garbage": (GARBAGE, True),
    "half": (HALF, True),
    "half then gone": (HALF_THEN_GONE, True),
    "odd 2xx": (answer("299 Hm"), True),
}


@pytest.mark.parametrize("phase", [Phase.GREETING, Phase.EHLO, Phase.AUTH])
@pytest.mark.parametrize(("act", "is_passing"), FAULTS.values(), ids=FAULTS)
def test_a_fault_before_the_first_letter(phase, act, is_passing):
    server = ScriptedServer({phase: act}, extensions=["AUTH PLAIN"])
    trouble = trouble_of(server, username="kim", secret=SECRET, timeout=0.4)
    assert trouble.exit_status == ExitStatus.SERVER
    assert trouble.stage == phase.value
    assert trouble.is_passing == is_passing
    assert trouble.mend
    if trouble.reply:
        assert str(trouble.reply) in trouble.what
    assert not any(character < " " for character in str(trouble))


def test_a_second_greeting_is_no_reply_to_ehlo():
    twice = Act(extra=b"220 scripted.test again\r\n")
    trouble = trouble_of(ScriptedServer({Phase.GREETING: twice}))
    assert trouble.stage is Stage.EHLO
    assert "nothing had asked for" in trouble.what


@pytest.mark.parametrize("phase", [Phase.GREETING, Phase.EHLO, Phase.AUTH])
def test_unasked_lines_before_the_first_letter_are_no_reply_to_it(phase):
    script = {phase: EXTRA, Phase.MAIL: answer("550 5.7.1 No")}

    async def scenario():
        async with ScriptedServer(script, extensions=["AUTH PLAIN"]) as server:
            try:
                [done] = await visit(server, letter(), username="kim", secret=SECRET)
            except OpeningTrouble:
                return None
            return done.verdict

    verdict = asyncio.run(scenario())
    assert verdict is None or (verdict.outcome, verdict.stage) == (Outcome.FAILED, Stage.MAIL)


# ---- the way there


def test_nothing_listens():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]

    class Nobody:
        pass

    Nobody.port = port
    for host in ("127.0.0.1", "localhost"):
        with pytest.raises(OpeningTrouble, match="connection was refused") as caught:
            asyncio.run(visit(Nobody, letter(), host=host))
        assert caught.value.is_passing
        assert f"{host}:{port}" in caught.value.what


@pytest.mark.parametrize("host", ["no-such-host.invalid", "a..b", "x" * 70 + ".test"])
def test_a_name_that_nobody_has(host):
    class Nobody:
        port = 25

    with pytest.raises(OpeningTrouble, match=r"is not known|is no host name"):
        asyncio.run(visit(Nobody, letter(), host=host))


# ---- login


@pytest.mark.parametrize("secret", [SECRET, Secret("naïve пароль")])
def test_a_login_that_is_right(secret):
    async def scenario():
        async with Recorder(passwords={"kim": secret.text}) as server:
            [done] = await visit(server, letter(), username="kim", secret=secret)
            return server, done

    server, done = asyncio.run(scenario())
    assert done.verdict.outcome is Outcome.SENT
    assert server.logins == [("PLAIN", "kim", secret.text)]


def test_a_wrong_password_is_tried_once_and_told_without_it():
    async def scenario():
        async with Recorder(passwords={"kim": "another"}) as server:
            with pytest.raises(OpeningTrouble) as caught:
                await visit(server, letter(), username="kim", secret=SECRET)
            return server, caught.value

    server, trouble = asyncio.run(scenario())
    assert len(server.logins) == 1
    assert trouble.stage is Stage.AUTH
    assert trouble.reply.code == 535
    assert not trouble.is_passing
    assert "login of kim" in trouble.what
    assert "app password" in trouble.mend


def test_a_server_that_quotes_the_password_is_not_quoted():
    plain = base64.b64encode(b"\0kim\0" + PASSWORD.encode()).decode()
    act = answer(f"535 5.7.8 You said {plain} and that means {PASSWORD}")
    trouble = trouble_of(
        ScriptedServer({Phase.AUTH: act}, extensions=["AUTH PLAIN"]),
        username="kim",
        secret=SECRET,
    )
    assert trouble.reply.text == "You said *** and that means ***"
    for shown in (str(trouble), repr(trouble), repr(trouble.reply)):
        assert PASSWORD not in shown
        assert plain not in shown


def test_another_mechanism_is_tried_only_where_one_is_unknown():
    script = {Phase.AUTH: [answer("504 5.5.4 Unknown"), answer("535 5.7.8 Wrong")]}
    server = ScriptedServer(script, extensions=["AUTH CRAM-MD5 LOGIN PLAIN"])
    trouble = trouble_of(server, username="kim", secret=SECRET)
    assert trouble.reply.code == 535
    assert [command.split()[1] for command in server.commands[1:]] == [b"PLAIN", b"LOGIN"]


@pytest.mark.parametrize(
    ("extensions", "settings", "what"),
    [
        (["HELP"], {}, "offers no login"),
        (["AUTH NTLM GSSAPI"], {}, "only GSSAPI, NTLM"),
        (["AUTH PLAIN"], {"auth": "xoauth2"}, "only PLAIN"),
        (["AUTH PLAIN"], {"secret": None}, "no password for kim"),
    ],
)
def test_a_login_that_cannot_be_made(extensions, settings, what):
    server = ScriptedServer(extensions=extensions)
    trouble = trouble_of(server, **{"username": "kim", "secret": SECRET, **settings})
    assert what in trouble.what
    assert not trouble.is_passing
    assert server.verbs == ["EHLO"]


def test_a_token_is_sent_as_xoauth2():
    async def scenario():
        async with ScriptedServer(extensions=["AUTH PLAIN XOAUTH2"]) as server:
            settings = {"username": "kim", "secret": SECRET, "auth": "xoauth2"}
            [done] = await visit(server, letter(), **settings)
            return server, done

    server, done = asyncio.run(scenario())
    assert done.verdict.outcome is Outcome.SENT
    _, mechanism, blob = server.commands[1].split()
    assert mechanism == b"XOAUTH2"
    expected = f"user=kim\x01auth=Bearer {PASSWORD}\x01\x01"
    assert base64.b64decode(blob).decode() == expected


def test_a_refused_token_is_told_by_the_last_reply():
    script = {Phase.AUTH: answer("334 eyJzdGF0dXMiOiI0MDEifQ==")}

    async def scenario():
        async with ScriptedServer(script, extensions=["AUTH XOAUTH2"]) as server:
            with pytest.raises(OpeningTrouble) as caught:
                await visit(server, letter(), username="kim", secret=SECRET, auth="xoauth2")
            return server, caught.value

    server, trouble = asyncio.run(scenario())
    assert trouble.stage is Stage.AUTH
    assert trouble.reply.code == 500  # what the scripted server says to the empty line
    assert server.commands[-1] == b""


# ---- names and endings


def test_the_name_for_ehlo_can_be_given():
    async def scenario():
        async with ScriptedServer() as server:
            session = await Session.open(address(server), hello_name="campaign.test")
            await session.close()
            return server.commands

    assert asyncio.run(scenario()) == [b"EHLO campaign.test", b"QUIT"]


@pytest.mark.parametrize("act", [HANG_UP, SILENT, GARBAGE, answer("500 What"), EXTRA])
def test_close_never_raises(act):
    async def scenario():
        async with ScriptedServer({Phase.QUIT: act}) as server:
            session = await Session.open(address(server, timeout=0.3))
            await session.transact(letter(), Permit())
            await session.close()
            assert not session.is_open
            return server.verbs

    assert asyncio.run(scenario())[-1] == "QUIT"


def test_an_opening_that_is_cancelled_leaves_nothing_open():
    async def scenario():
        async with ScriptedServer({Phase.EHLO: SILENT}) as server:
            task = asyncio.create_task(Session.open(address(server)))
            await until(lambda: "EHLO" in server.verbs)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task

    asyncio.run(scenario())


def test_the_default_trust_verifies_names_and_certificates():
    from petition.delivery.session import _system_trust

    assert _system_trust().verify_mode is ssl.CERT_REQUIRED
    assert _system_trust().check_hostname
