"""Opening a session: TLS, login, and what an organiser is told when it does not come about."""

import asyncio
import base64
import os
import shutil
import socket
import ssl

import pytest

from petition.credentials import Secret
from petition.errors import ExitStatus, ServerTrouble
from petition.sending.rate_limit import Pace
from petition.sending.route import Route
from petition.smtp.login import OpeningTrouble
from petition.smtp.replies import Loss, Outcome, Stage
from petition.smtp.session import Session
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
        assert 'security = "none"' in trouble.hint
        assert server.verbs == ["EHLO"]

    @pytest.mark.parametrize(
        "slipped_in",
        [
            b"250-scripted.test\r\n250 AUTH PLAIN\r\n",
            b"250 AUTH PLAIN",
            b"\r\n",
            b"220 2.0.0 Ready\r\n",
            b"\x16",
        ],
    )
    def test_what_is_slipped_in_before_tls_is_refused(self, authority, slipped_in):
        """Plain text behind the reply to STARTTLS must not count after it (CVE-2011-0411)."""
        server = ScriptedServer(
            {Phase.STARTTLS: Act(extra=slipped_in)},
            extensions=["AUTH PLAIN"],
            starttls=authority.server(),
        )
        trouble = trouble_of(
            server,
            security="starttls",
            username="kim",
            secret=SECRET,
            tls_context=authority.trust(),
        )
        assert trouble.stage is Stage.STARTTLS
        assert "between STARTTLS and TLS" in trouble.what
        assert not trouble.is_passing
        assert server.verbs == ["EHLO", "STARTTLS"]

    def test_what_was_offered_before_tls_does_not_count_after_it(self, authority):
        """RFC 3207 4.2."""
        twice = Act(b"250-scripted.test\r\n250-STARTTLS\r\n250 AUTH PLAIN\r\n")
        server = ScriptedServer(
            {Phase.EHLO: twice}, extensions=["HELP"], starttls=authority.server()
        )
        settings = {"security": "starttls", "tls_context": authority.trust()}
        trouble = trouble_of(server, username="kim", secret=SECRET, **settings)
        assert "offers no login" in trouble.what
        assert server.verbs == ["EHLO", "STARTTLS", "EHLO"]

    def test_tls_to_a_port_without_it_names_the_setting(self):
        trouble = trouble_of(ScriptedServer(), security="tls")
        assert "does not speak TLS" in trouble.what
        assert "starttls" in trouble.hint

    def test_certificates_are_verified_without_being_asked(self, authority):
        """The default trusts the system's authorities, to which this one does not belong."""
        trouble = trouble_of(ScriptedServer(tls=authority.server()), security="tls")
        assert "not trusted" in trouble.what

    @pytest.mark.parametrize("act", [HANG_UP, SILENT, answer("454 4.7.0 Not now")])
    def test_a_broken_starttls(self, authority, act):
        server = ScriptedServer({Phase.STARTTLS: act}, starttls=authority.server())
        trouble = trouble_of(server, security="starttls", timeout=2, tls_context=authority.trust())
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
    trouble = trouble_of(server, username="kim", secret=SECRET, timeout=2)
    assert trouble.exit_status == ExitStatus.SERVER
    assert trouble.stage == phase.value
    assert trouble.is_passing == is_passing
    assert trouble.hint
    if trouble.reply:
        assert str(trouble.reply) in trouble.what
    assert not any(character < " " for character in str(trouble))


def test_a_second_greeting_is_no_reply_to_ehlo():
    twice = Act(extra=b"220 scripted.test again\r\n")
    trouble = trouble_of(ScriptedServer({Phase.GREETING: twice}))
    assert trouble.stage is Stage.EHLO
    assert Loss.OUT_OF_STEP in trouble.what


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

    with pytest.raises(OpeningTrouble, match=r"unknown|not a host name"):
        asyncio.run(visit(Nobody, letter(), host=host))


# ---- login


@pytest.mark.parametrize(
    "secret",
    [SECRET, Secret("naïve пароль"), Secret("a:b:c = d"), Secret(" \u00a0"), Secret("long" * 170)],
)
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
    assert "app password" in trouble.hint


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


def test_not_even_a_piece_of_the_password_is_quoted():
    plain = base64.b64encode(b"\0kim\0" + PASSWORD.encode()).decode()
    act = answer(f"535 5.7.8 AUTH PLAIN {plain[:20]}... was refused, {PASSWORD[:13]} too")
    trouble = trouble_of(
        ScriptedServer({Phase.AUTH: act}, extensions=["AUTH PLAIN"]),
        username="kim",
        secret=SECRET,
    )
    assert trouble.reply.text == "AUTH PLAIN ***... was refused, *** too"


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


class Tokens:
    """What a token_command prints, one after the other; the last one again and again."""

    def __init__(self, *texts):
        self.texts = texts
        self.asked = 0

    def __call__(self):
        self.asked += 1
        text = self.texts[min(self.asked, len(self.texts)) - 1]
        if isinstance(text, Exception):
            raise text
        return text, None


RUN_OUT = answer("334 eyJzdGF0dXMiOiI0MDEifQ==")  # the empty line behind it is answered with 500


def with_token(script, secret):
    """Visit a server that takes tokens; what it heard, and the trouble there was."""

    async def scenario():
        async with ScriptedServer(script, extensions=["AUTH XOAUTH2"]) as server:
            try:
                await visit(server, letter(), username="kim", secret=secret, auth="xoauth2")
            except OpeningTrouble as trouble:
                return server, trouble
            return server, None

    return asyncio.run(scenario())


def tokens_in(server):
    blobs = [line.split()[2] for line in server.commands if line.startswith(b"AUTH")]
    return [base64.b64decode(blob).split(b"Bearer ")[1].strip(b"\x01").decode() for blob in blobs]


def test_a_refused_token_is_told_by_the_last_reply():
    server, trouble = with_token({Phase.AUTH: RUN_OUT}, SECRET)
    assert trouble.stage is Stage.AUTH
    assert trouble.reply.code == 500
    assert server.commands[-1] == b""
    assert "PETITION_SMTP_TOKEN" in trouble.hint


def test_an_expired_token_is_renewed():
    ask = Tokens("fresh")
    server, trouble = with_token({Phase.AUTH: RUN_OUT}, Secret("stale", ask))
    assert trouble is None
    assert tokens_in(server) == ["stale", "fresh"]
    assert ask.asked == 1
    assert server.accepted


def test_a_token_that_is_refused_twice_is_not_asked_for_again():
    ask = Tokens("fresh", "fresher")
    server, trouble = with_token({Phase.AUTH: [RUN_OUT, RUN_OUT]}, Secret("stale", ask))
    assert trouble.reply.code == 500
    assert tokens_in(server) == ["stale", "fresh"]


def test_the_same_token_again_is_not_tried_again():
    server, trouble = with_token({Phase.AUTH: RUN_OUT}, Secret("stale", Tokens("stale")))
    assert trouble.reply.code == 500
    assert tokens_in(server) == ["stale"]


def test_a_token_command_that_fails_later_is_told():
    fault = ServerTrouble("token_command ended with status 1", "Run it by hand")
    _, trouble = with_token({Phase.AUTH: RUN_OUT}, Secret("stale", Tokens(fault)))
    assert (trouble.what, trouble.hint) == (fault.what, fault.hint)
    assert not trouble.is_passing


def test_a_token_that_is_about_to_end_is_asked_for_first():
    server, trouble = with_token({}, Secret("stale", Tokens("fresh"), lifetime=30))
    assert trouble is None
    assert tokens_in(server) == ["fresh"]


def test_a_passing_refusal_of_a_token_asks_for_no_other():
    ask = Tokens("fresh")
    _, trouble = with_token({Phase.AUTH: answer("454 4.7.0 Later")}, Secret("stale", ask))
    assert trouble.is_passing
    assert ask.asked == 0


def test_a_long_initial_response_has_a_line_of_its_own():
    """RFC 4954 4: the command line may not grow beyond 512 octets."""
    token = "t" * 3000
    script = {Phase.AUTH: answer("334 ")}
    server, trouble = with_token(script, Secret(token))
    blob = base64.b64encode(f"user=kim\x01auth=Bearer {token}\x01\x01".encode())
    assert server.commands[1:3] == [b"AUTH XOAUTH2", blob]
    assert trouble.reply.code == 500  # the scripted server knows no such command


@pytest.mark.parametrize("challenge", ["334 $$$", "334 \u00e9"])
def test_a_challenge_that_is_none(challenge):
    trouble = trouble_of(
        ScriptedServer({Phase.AUTH: answer(challenge)}, extensions=["AUTH CRAM-MD5"]),
        username="kim",
        secret=SECRET,
    )
    assert trouble.stage is Stage.AUTH
    assert Loss.GARBLED in trouble.what


def test_login_is_said_in_turn():
    async def scenario():
        async with Recorder(passwords={"kim": PASSWORD}, mechanisms=("LOGIN",)) as server:
            await visit(server, letter(), username="kim", secret=SECRET)
            return server

    assert asyncio.run(scenario()).logins == [("LOGIN", "kim", PASSWORD)]


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
            session = await Session.open(address(server, timeout=server.reply_seconds))
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


@pytest.mark.parametrize("turns", range(12))
def test_the_end_is_heard_in_the_very_moment_in_which_the_connection_stands(turns):
    """Python 3.11 loses what it is told when what it waits for has just come true."""

    async def scenario():
        async with ScriptedServer({Phase.GREETING: SILENT}) as server:
            stopped = asyncio.Event()
            route = Route(address(server, timeout=60.0), None, Pace.of(None, "UTC"))
            opening = asyncio.create_task(route.open_unless(stopped))
            for _ in range(turns):
                await asyncio.sleep(0)
            stopped.set()
            async with asyncio.timeout(10):  # its patience with the greeting is longer
                assert await opening is None

    asyncio.run(scenario())


def test_the_default_trust_verifies_names_and_certificates():
    from petition.smtp.session import _system_trust

    assert _system_trust().verify_mode is ssl.CERT_REQUIRED
    assert _system_trust().check_hostname
