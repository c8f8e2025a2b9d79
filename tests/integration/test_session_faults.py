"""Every fault at every stage of a letter: the verdict, the connection, and what the server kept."""

import asyncio
from contextlib import suppress

import pytest

from petition.campaign.server import Server
from petition.smtp.replies import Outcome, Scope, Stage
from petition.smtp.session import Session
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
    Then,
    answer,
    closing,
)
from tests.servers.visitor import LARGE, Permit, address, letter, until, visit

DEFERRED, FAILED, RELEASED, UNCERTAIN, SENT = (
    Outcome.DEFERRED,
    Outcome.FAILED,
    Outcome.RELEASED,
    Outcome.UNCERTAIN,
    Outcome.SENT,
)
RECIPIENT, MESSAGE, SERVER = Scope.RECIPIENT, Scope.MESSAGE, Scope.SERVER

LATER = answer("451 4.3.0 Try later")
NEVER = answer("550 5.7.1 No")
QUIET = {"hang up": HANG_UP, "silence": SILENT, "garbage": GARBAGE, "half": HALF,
         "half then gone": HALF_THEN_GONE}  # fmt: skip
ODD = {
    "3xx": answer("354 What"),
    "1xx": answer("150 Wait"),
    "2xx for 354": answer("250 Ok"),
    "6xx": answer("650 What"),
    "codes differ": Act(b"250-one\r\n550 other\r\n", Then.STAY_SILENT),
    "line too long": Act(b"250 " + b"x" * 70_000 + b"\r\n", Then.STAY_SILENT),
    "line without end": Act(b"250 " + b"x" * 70_000, Then.STAY_SILENT),
    "reply too long": Act((b"250-" + b"x" * 1000 + b"\r\n") * 1100, Then.STAY_SILENT),
}

# (fault) -> act, outcome, scope, whether the connection is used again
MAIL = {
    "4xx": (LATER, DEFERRED, MESSAGE, True),
    "5xx": (NEVER, FAILED, MESSAGE, True),
    "421": (closing(), RELEASED, SERVER, False),
    "login wanted": (answer("530 5.7.0 Authentication required"), RELEASED, SERVER, False),
    "daily limit": (answer("550 5.4.5 Daily limit exceeded"), RELEASED, SERVER, False),
    "extra lines": (EXTRA, RELEASED, SERVER, False),
    "refusal and hang up": (Act(NEVER.say, Then.HANG_UP), FAILED, MESSAGE, False),
    "refusal and extra lines": (
        Act(NEVER.say, extra=b"250 unasked\r\n"),
        RELEASED,
        SERVER,
        False,
    ),
    **{name: (act, RELEASED, SERVER, False) for name, act in (QUIET | ODD).items()},
}
del MAIL["2xx for 354"]
RCPT = MAIL | {
    "4xx": (LATER, DEFERRED, RECIPIENT, True),
    "5xx": (NEVER, FAILED, RECIPIENT, True),
    "refusal and hang up": (Act(NEVER.say, Then.HANG_UP), FAILED, RECIPIENT, False),
}
DATA = MAIL | {"2xx for 354": (answer("250 Ok"), RELEASED, SERVER, False)}
del DATA["3xx"]
DOT = {
    "4xx": (LATER, DEFERRED, MESSAGE, True),
    "5xx": (NEVER, FAILED, MESSAGE, True),
    "421": (closing(), DEFERRED, SERVER, False),
    "daily limit": (answer("550 5.4.5 Daily limit exceeded"), RELEASED, SERVER, False),
    "extra lines": (EXTRA, SENT, RECIPIENT, False),
    "taken, then garbage": (Act(extra=b"\xff\x00\r\n"), SENT, RECIPIENT, False),
    "taken, then half a line": (Act(extra=b"25"), SENT, RECIPIENT, False),
    "251": (answer("251 Will forward"), SENT, RECIPIENT, True),
    **{name: (act, UNCERTAIN, SERVER, False) for name, act in (QUIET | ODD).items()},
}
del DOT["2xx for 354"]
BODY = {
    "4xx": (LATER, DEFERRED, MESSAGE, False),
    "5xx": (NEVER, FAILED, MESSAGE, False),
    "421": (closing(), RELEASED, SERVER, False),
    "extra lines": (answer("250 2.0.0 nobody asked"), RELEASED, SERVER, False),
    **{name: (act, RELEASED, SERVER, False) for name, act in QUIET.items()},
}


def _cells(phase, faults):
    for name, (act, *expected) in faults.items():
        yield pytest.param(phase, act, *expected, id=f"{phase}-{name}")


async def _meet(phase, act, *, pipelining, email=None):
    """Two letters to a server that fails at the first; the second shows whether it still talks."""
    extensions = ["PIPELINING"] if pipelining else ["HELP"]
    permit = Permit()
    async with ScriptedServer({phase: act}, extensions=extensions) as server:
        session = await Session.open(address(server, timeout=2), dot_timeout=2)
        done = await session.transact(email or letter(), permit)
        is_open = session.is_open
        asked = permit.asked
        if is_open:
            after = await session.transact(letter(to="next@kaz.test"), permit)
            assert after.verdict.outcome is SENT
        await session.close()
    return server, done.verdict, is_open, asked


@pytest.mark.parametrize("pipelining", [True, False], ids=["pipelined", "one by one"])
@pytest.mark.parametrize(
    ("phase", "act", "outcome", "scope", "goes_on"),
    [*_cells(Phase.MAIL, MAIL), *_cells(Phase.RCPT, RCPT), *_cells(Phase.DATA, DATA)],
)
def test_before_the_letter(phase, act, outcome, scope, goes_on, pipelining):
    server, verdict, is_open, asked = asyncio.run(_meet(phase, act, pipelining=pipelining))
    assert (verdict.outcome, verdict.scope, is_open) == (outcome, scope, goes_on), str(verdict)
    assert asked == 0
    # An ended connection took nothing, and one that goes on took only the next letter.
    assert [each.rcpt_to for each in server.accepted] == ([[b"next@kaz.test"]] if goes_on else [])


@pytest.mark.parametrize("pipelining", [True, False], ids=["pipelined", "one by one"])
@pytest.mark.parametrize(("phase", "act", "outcome", "scope", "goes_on"), [*_cells(Phase.DOT, DOT)])
def test_after_the_dot(phase, act, outcome, scope, goes_on, pipelining):
    server, verdict, is_open, asked = asyncio.run(_meet(phase, act, pipelining=pipelining))
    assert (verdict.outcome, verdict.scope, is_open) == (outcome, scope, goes_on), str(verdict)
    assert verdict.stage is Stage.DOT
    assert asked == 1
    assert server.letters[0].rcpt_to == [b"kim@kaz.test"]
    if outcome is SENT:
        assert server.letters[0].was_accepted


@pytest.mark.parametrize(
    ("phase", "act", "outcome", "scope", "goes_on"), [*_cells(Phase.BODY, BODY)]
)
def test_in_the_middle_of_a_large_letter(phase, act, outcome, scope, goes_on):
    server, verdict, is_open, asked = asyncio.run(
        _meet(phase, act, pipelining=True, email=letter(data=LARGE))
    )
    assert (verdict.outcome, verdict.scope, is_open) == (outcome, scope, goes_on), str(verdict)
    assert verdict.stage is Stage.BODY
    assert asked == 1
    assert server.letters == []


def test_a_server_that_takes_a_letter_and_leaves_has_taken_it():
    async def scenario():
        async with ScriptedServer({Phase.DOT: Act(then=Then.HANG_UP)}) as server:
            return await visit(server, letter(), letter())

    taken, after = asyncio.run(scenario())
    assert taken.verdict.outcome is SENT
    assert (after.verdict.outcome, after.verdict.stage) == (RELEASED, Stage.MAIL)


def test_the_reply_of_a_broken_server_is_kept_in_the_verdict():
    _, verdict, _, _ = asyncio.run(_meet(Phase.DOT, answer("354 What"), pipelining=True))
    assert verdict.reply.code == 354
    assert str(verdict).endswith("354 What")


def test_what_was_refused_before_a_group_broke_off_stays_refused():
    script = {Phase.RCPT: NEVER, Phase.DATA: HANG_UP}

    async def scenario():
        async with ScriptedServer(script) as server:
            return await visit(server, letter())

    [done] = asyncio.run(scenario())
    assert (done.verdict.outcome, done.verdict.stage) == (FAILED, Stage.RCPT)


def test_421_after_a_refusal_in_a_group_leaves_the_refusal():
    script = {Phase.RCPT: NEVER, Phase.DATA: closing("421 4.7.0 Too many errors")}

    async def scenario():
        async with ScriptedServer(script) as server:
            return await visit(server, letter())

    [done] = asyncio.run(scenario())
    assert (done.verdict.outcome, done.verdict.scope) == (FAILED, RECIPIENT)


def test_trouble_of_the_server_at_a_copy_releases_the_letter():
    script = {Phase.RCPT: [Act(), closing()]}

    async def scenario():
        async with ScriptedServer(script) as server:
            return server, await visit(server, letter("copy@kaz.test"))

    server, [done] = asyncio.run(scenario())
    assert (done.verdict.outcome, done.verdict.scope) == (RELEASED, SERVER)
    assert server.letters == []


@pytest.mark.parametrize("reset", [NEVER, HANG_UP, SILENT, GARBAGE, EXTRA])
def test_a_failed_reset_costs_the_connection_and_not_the_verdict(reset):
    script = {Phase.RCPT: NEVER, Phase.RSET: reset}

    async def scenario():
        async with ScriptedServer(script) as server:
            session = await Session.open(address(server, timeout=2))
            done = await session.transact(letter(), Permit())
            is_open = session.is_open
            await session.close()
            return done.verdict.outcome, is_open

    assert asyncio.run(scenario()) == (FAILED, False)


@pytest.mark.parametrize(
    ("farewell", "code"),
    [
        (closing("421 4.4.2 Idle for too long"), 421),
        (answer("250 unasked"), None),
        (HANG_UP, None),
    ],
)
def test_a_server_that_leaves_between_letters_has_refused_none(farewell, code):
    async def scenario():
        async with ScriptedServer({Phase.RSET: farewell}) as server:
            session = await Session.open(address(server))
            refused = await session.transact(letter(to="<>"), Permit())
            assert refused.verdict.outcome is FAILED
            assert session.is_open
            # What RSET is answered with here stands for what a server says while nothing is asked.
            session._transport.write(b"RSET\r\n")
            await until(lambda: not session.is_open)
            return await session.transact(letter(), Permit()), server

    done, server = asyncio.run(scenario())
    assert (done.verdict.outcome, done.verdict.scope) == (RELEASED, SERVER)
    assert (done.verdict.reply.code if done.verdict.reply else None) == code
    assert server.letters == []


def test_a_server_that_sends_byte_by_byte_is_not_waited_for_any_longer():
    """Else one connection could be kept for ever: a line may have 64 KB."""
    is_over = asyncio.Event()

    async def drip(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"220 drip\r\n")
        await reader.readline()
        writer.write(b"250 drip\r\n")
        await reader.readline()
        writer.write(b"250-")
        with suppress(ConnectionError):
            while not writer.is_closing():
                writer.write(b"x")
                await writer.drain()
                await asyncio.sleep(0.05)
        writer.transport.abort()
        is_over.set()

    async def scenario():
        async with await asyncio.start_server(drip, "127.0.0.1", 0) as listening:
            port = listening.sockets[0].getsockname()[1]
            server = Server("127.0.0.1", port, security="none", timeout=1)
            session = await Session.open(server)
            done = await session.transact(letter(), Permit())
            await session.close()
            await is_over.wait()
            return done.verdict

    verdict = asyncio.run(scenario())
    assert (verdict.outcome, verdict.scope) == (RELEASED, SERVER)
