"""One letter after another to a good server: what goes over the wire, and what is kept off it."""

import asyncio

import pytest

from petition.smtp.replies import Outcome, Scope, Stage
from petition.smtp.session import Session
from tests.servers.recorder import Recorder
from tests.servers.scripted import Act, Phase, ScriptedServer, Then, answer
from tests.servers.visitor import DATA, Permit, address, allow, letter, until, visit


@pytest.fixture(params=[True, False], ids=["pipelined", "one by one"])
def pipelining(request):
    return request.param


def test_letters_share_a_connection_and_arrive_byte_for_byte(pipelining):
    async def scenario():
        async with Recorder(pipelining=pipelining) as server:
            return server, await visit(server, letter(), letter(to="lee@kaz.test"))

    server, done = asyncio.run(scenario())
    assert [each.verdict.outcome for each in done] == [Outcome.SENT, Outcome.SENT]
    assert [each.rcpt_to for each in server.letters] == [("kim@kaz.test",), ("lee@kaz.test",)]
    assert {each.data for each in server.letters} == {DATA}
    assert server.commands == [
        "EHLO [127.0.0.1]",
        f"MAIL a@b.test SIZE={len(DATA)}",
        "RCPT kim@kaz.test",
        "DATA",
        f"MAIL a@b.test SIZE={len(DATA)}",
        "RCPT lee@kaz.test",
        "DATA",
        "QUIT",
    ]


def test_a_transaction_tells_the_server_and_its_reply():
    async def scenario():
        async with Recorder() as server:
            [done] = await visit(server, letter())
            return server, done

    server, done = asyncio.run(scenario())
    assert done.server == f"127.0.0.1:{server.port}"
    assert done.tls == ""
    assert done.milliseconds >= 0
    assert done.verdict.stage is Stage.DOT
    reply = done.verdict.reply
    assert (reply.code, reply.enhanced, reply.text) == (250, "2.0.0", "Ok: queued as 1")


def test_pipelined_commands_go_in_one_write_and_others_wait_for_each_reply():
    script = {Phase.MAIL: Act(b"451 4.3.0 Later\r\n", Then.STAY_SILENT)}

    async def heard(extensions):
        async with ScriptedServer(script, extensions=extensions) as server:
            await visit(server, letter(), timeout=server.reply_seconds)
            return server.conversations[0].raw

    mail, rcpt = b"MAIL FROM:<a@b.test>\r\n", b"RCPT TO:<kim@kaz.test>\r\n"
    assert asyncio.run(heard(["PIPELINING"])).endswith(mail + rcpt + b"DATA\r\n")
    # Only RSET may follow a refusal.
    assert asyncio.run(heard(["8BITMIME"])).endswith(mail + b"RSET\r\n")


def test_leading_dots_are_stuffed_on_the_wire_alone(pipelining):
    data = b".begins with a dot\r\n..\r\nmiddle .\r\n.\r\n.end\r\n"

    async def scenario():
        extensions = ["PIPELINING"] if pipelining else []
        async with ScriptedServer(extensions=extensions) as server:
            await visit(server, letter(data=data), letter())
            return server.letters

    first, second = asyncio.run(scenario())
    assert first.wire == b"..begins with a dot\r\n...\r\nmiddle .\r\n..\r\n..end\r\n"
    assert first.data == data
    assert second.data == DATA


@pytest.mark.parametrize("size", [65_535, 65_536, 65_537, 131_072, 1_000_000])
def test_a_letter_of_any_size_arrives_whole(size):
    data = b"a" * (size % 64) + b"\r\n" + (b"y" * 62 + b"\r\n") * (size // 64)

    async def scenario():
        async with ScriptedServer() as server:
            [done] = await visit(server, letter(data=data))
            return server.letters[0].data, done.verdict.outcome

    assert asyncio.run(scenario()) == (data, Outcome.SENT)


def test_an_address_in_utf8_is_announced():
    async def scenario():
        async with Recorder() as server:
            [done] = await visit(server, letter(to="ұлы@kaz.test", smtputf8=True))
            return server, done

    server, done = asyncio.run(scenario())
    assert done.verdict.outcome is Outcome.SENT
    assert server.letters[0].rcpt_to == ("ұлы@kaz.test",)
    assert server.letters[0].mail_options == (f"SIZE={len(DATA)}", "BODY=8BITMIME", "SMTPUTF8")


@pytest.mark.parametrize(
    ("email", "extensions", "scope", "reason"),
    [
        (letter(to="ұлы@kaz.test", smtputf8=True), ["8BITMIME"], Scope.RECIPIENT, "SMTPUTF8"),
        (letter(to="ұлы@kaz.test"), ["SMTPUTF8"], Scope.RECIPIENT, "SMTPUTF8"),
        (letter(data=b"\xd2\xb1\r\n"), [], Scope.MESSAGE, "8BITMIME"),
        (letter(), ["SIZE 10"], Scope.MESSAGE, "accepts 10"),
        (letter(data=b"bare\nline\r\n"), [], Scope.MESSAGE, "CRLF"),
        (letter(data=b"bare\rline\r\n"), [], Scope.MESSAGE, "CRLF"),
        (letter(data=b"smuggled\n.\r\nMAIL FROM:<x@y.test>\r\n"), [], Scope.MESSAGE, "CRLF"),
        (letter(data=b"no end"), [], Scope.MESSAGE, "CRLF"),
        (letter(data=b""), [], Scope.MESSAGE, "CRLF"),
        (letter(to="a@b.test>\r\nRCPT TO:<c@d.test"), [], Scope.RECIPIENT, "no address may"),
        (letter(to="a@b.test> NOTIFY=NEVER"), [], Scope.RECIPIENT, "no address may"),
        (letter("a\x00@b.test"), [], Scope.RECIPIENT, "no address may"),
        (letter(mail_from="a b@c.test"), [], Scope.RECIPIENT, "no address may"),
        (letter(to=""), [], Scope.RECIPIENT, "no address may"),
    ],
)
def test_what_cannot_be_written_never_reaches_the_wire(email, extensions, scope, reason):
    permit = Permit()

    async def scenario():
        async with ScriptedServer(extensions=extensions) as server:
            done = await visit(server, email, letter(), permit=permit)
            return server, done

    server, (refused, fine) = asyncio.run(scenario())
    assert refused.verdict.outcome is Outcome.FAILED
    assert refused.verdict.scope is scope
    assert refused.verdict.reply is None
    assert reason in refused.verdict.reason
    # The connection is as good as before.
    if "SIZE 10" not in extensions:
        assert fine.verdict.outcome is Outcome.SENT
        assert permit.asked == 1
    assert server.verbs.count("MAIL") == len(server.letters)


@pytest.mark.parametrize(
    ("announced", "parameter"), [("SIZE", True), ("SIZE 0", True), ("", False)]
)
def test_size_is_told_where_it_is_understood(announced, parameter):
    async def scenario():
        async with ScriptedServer(extensions=["HELP", announced or "VRFY"]) as server:
            await visit(server, letter())
            return server.commands

    assert any(b" SIZE=" in command for command in asyncio.run(scenario())) is parameter


def test_the_empty_return_path_is_possible():
    async def scenario():
        async with ScriptedServer() as server:
            await visit(server, letter(mail_from=""))
            return server.commands

    assert f"MAIL FROM:<> SIZE={len(DATA)}".encode() in asyncio.run(scenario())


def test_nothing_of_a_letter_is_written_before_its_permit(pipelining):
    async def scenario():
        extensions = ["PIPELINING"] if pipelining else []
        async with ScriptedServer(extensions=extensions) as server:
            session = await Session.open(address(server))

            async def permit():
                # Bytes arrive in order: what was written before this line is in front of it.
                session._transport.write(b"here\r\n")
                await until(lambda: server.conversations[0].raw.endswith(b"here\r\n"))
                return False

            done = await session.transact(letter(), permit)
            await session.close()
            return bytes(server.conversations[0].raw), done.verdict.outcome

    heard, outcome = asyncio.run(scenario())
    assert heard.partition(b"here\r\n")[0].endswith(b"\r\nDATA\r\n")
    assert outcome is Outcome.RELEASED


@pytest.mark.parametrize("answer_of_permit", [False, OSError("disk full")])
def test_without_a_permit_nothing_of_the_letter_goes(answer_of_permit, pipelining):
    async def scenario():
        extensions = ["PIPELINING"] if pipelining else []
        async with ScriptedServer(extensions=extensions) as server:
            session = await Session.open(address(server))
            done = await session.transact(letter(), Permit(answer_of_permit))
            is_open = session.is_open
            await session.close()
            return server.conversations[0], done, is_open

    heard, done, is_open = asyncio.run(scenario())
    assert done.verdict.outcome is Outcome.RELEASED
    assert done.verdict.scope is Scope.RECIPIENT
    assert done.fault is (answer_of_permit or None)
    assert not is_open
    assert heard.letters == []
    assert heard.raw.endswith(b"DATA\r\n")


def test_a_cancelled_letter_is_never_finished():
    async def scenario():
        asked = asyncio.Event()

        async def permit():
            asked.set()
            await asyncio.Event().wait()
            return True

        async with ScriptedServer() as server:
            session = await Session.open(address(server))
            task = asyncio.create_task(session.transact(letter(), permit))
            await asked.wait()
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            assert task.cancelled()
            assert not session.is_open
            await session.close()
            return server.conversations[0]

    heard = asyncio.run(scenario())
    assert heard.letters == []
    assert heard.raw.endswith(b"DATA\r\n")


def test_a_refused_copy_does_not_stop_the_letter(pipelining):
    email = letter("fine@kaz.test", "refused@kaz.test", to="kim@kaz.test")

    async def scenario():
        async with Recorder(pipelining=pipelining) as server:
            [done] = await visit(server, email)
            return server, done

    server, done = asyncio.run(scenario())
    assert done.verdict.outcome is Outcome.SENT
    assert server.letters[0].rcpt_to == ("kim@kaz.test", "fine@kaz.test")
    [(who, reply)] = done.also_refused
    assert (who, reply.enhanced) == ("refused@kaz.test", "5.1.1")


def test_where_to_is_refused_no_copy_goes(pipelining):
    email = letter("copy@kaz.test", to="refused@kaz.test")

    async def scenario():
        async with Recorder(pipelining=pipelining) as server:
            done = await visit(server, email, letter())
            return server, done

    server, (refused, sent) = asyncio.run(scenario())
    assert refused.verdict.outcome is Outcome.FAILED
    assert refused.verdict.scope is Scope.RECIPIENT
    assert refused.verdict.reply.enhanced == "5.1.1"
    assert sent.verdict.outcome is Outcome.SENT
    assert [each.rcpt_to for each in server.letters] == [("kim@kaz.test",)]
    assert server.verbs.count("RSET") == 1
    assert server.verbs.count("DATA") == 1


def test_354_without_a_recipient_is_ended_by_a_lone_dot():
    script = {
        Phase.RCPT: answer("550 5.1.1 Nobody"),
        Phase.DATA: answer("354 Go on"),
        Phase.DOT: answer("554 5.5.1 No valid recipients"),
    }

    async def scenario():
        async with ScriptedServer(script) as server:
            done = await visit(server, letter(), letter(to="lee@kaz.test"))
            return server, done

    server, (refused, sent) = asyncio.run(scenario())
    assert (refused.verdict.outcome, refused.verdict.stage) == (Outcome.FAILED, Stage.RCPT)
    assert sent.verdict.outcome is Outcome.SENT
    first, second = server.letters
    assert (first.wire, first.rcpt_to) == (b"", [])
    assert (second.data, second.rcpt_to) == (DATA, [b"lee@kaz.test"])
    assert len(server.conversations) == 1


def test_354_after_a_refused_sender_closes_the_connection():
    script = {
        Phase.MAIL: answer("550 5.7.1 Not you"),
        Phase.RCPT: answer("250 2.1.5 Fine"),
        Phase.DATA: answer("354 Go on"),
    }

    async def scenario():
        async with ScriptedServer(script) as server:
            [done] = await visit(server, letter())
            return server, done

    server, done = asyncio.run(scenario())
    assert (done.verdict.outcome, done.verdict.stage) == (Outcome.FAILED, Stage.MAIL)
    assert server.letters == []


@pytest.mark.parametrize("code", [200, 250, 251, 252, 259])
def test_any_2xx_after_the_dot_is_sent(code):
    async def scenario():
        async with ScriptedServer({Phase.DOT: answer(f"{code} ok")}) as server:
            return await visit(server, letter(), letter())

    assert {each.verdict.outcome for each in asyncio.run(scenario())} == {Outcome.SENT}


def test_a_closed_session_says_so_and_sends_nothing():
    async def scenario():
        async with ScriptedServer() as server:
            session = await Session.open(address(server))
            await session.close()
            await session.close()
            done = await session.transact(letter(), allow)
            return server, session, done

    server, session, done = asyncio.run(scenario())
    assert not session.is_open
    assert done.verdict.outcome is Outcome.RELEASED
    assert server.verbs == ["EHLO", "QUIT"]
