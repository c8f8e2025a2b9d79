"""Service messages against real servers: each goes once, whatever happens to whoever sends it."""

import asyncio
import email
import functools
from email.policy import default

import pytest

from petition.address import Mailbox
from petition.campaign.pace import PaceSettings
from petition.merge.service_mail import ServiceSender, ServiceText
from petition.outbox import service
from petition.outbox.log import Log
from petition.outbox.service import ServiceKind
from petition.outbox.states import State
from petition.sending.rate_limit import Pace
from petition.sending.route import Route
from petition.sending.service import ServiceResult, keep_sending, may_send, send_waiting
from petition.smtp.login import OpeningTrouble
from tests import PATIENCE
from tests.servers.scripted import HANG_UP, Phase, ScriptedServer, answer
from tests.servers.visitor import address, until

SENDER = ServiceSender(Mailbox("Friends of the Library", "friends@lib.example"), None)


def in_a_loop(test):
    @functools.wraps(test)
    def run(*arguments, **named):
        asyncio.run(test(*arguments, **named))

    return run


@pytest.fixture
def log(tmp_path):
    with Log(f"sqlite:///{tmp_path}/petition.db") as log:
        yield log


def write(log: Log, *names: str, kind: ServiceKind = ServiceKind.CONFIRM) -> None:
    for name in names:
        to = Mailbox("", f"{name}@x.example")
        said = ServiceText("en", "Confirm your signature", f"Dear {name},\n.\nyours\n")
        with log.writing():
            service.add(
                *(log, kind, to.addr_spec, 1, "lib.example"),
                lambda id_: SENDER.mail(to, said, id_, log.clock(), is_reply=True),  # noqa: B023
                campaign="library",
            )


def route(server: ScriptedServer, **pace: object) -> Route:
    kept_to = Pace.of(PaceSettings(**pace), "UTC")
    return Route(address(server, timeout=PATIENCE), None, kept_to, pause=0.001)


async def send(log: Log, server: ScriptedServer, **pace: object) -> list[ServiceResult]:
    told: list[ServiceResult] = []
    await send_waiting(log, route(server, **pace), told.append)
    return told


def states(log: Log) -> dict[State, int]:
    return {state: number for (_, state), number in service.counts(log).items()}


@in_a_loop
async def test_a_mail_goes_once_as_rfc_3834_asks(log):
    write(log, "ann", "bea")
    async with ScriptedServer() as server:
        await send(log, server)
        assert await send(log, server) == []
    first, second = server.accepted
    assert first.mail_from == b""
    assert (first.rcpt_to, second.rcpt_to) == ([b"ann@x.example"], [b"bea@x.example"])
    mail = email.message_from_bytes(first.data, policy=default)
    assert mail["Auto-Submitted"] == "auto-replied"
    assert mail["From"] == "Friends of the Library <friends@lib.example>"
    assert mail.get_content().replace("\r\n", "\n") == "Dear ann,\n.\nyours\n"
    assert states(log) == {State.SENT: 2}


@in_a_loop
async def test_what_the_server_puts_off_waits_and_what_it_refuses_does_not(log):
    write(log, "ann", "bea", "cem")
    replies = [answer("451 4.3.0 Later"), answer("550 5.1.1 Nobody"), answer("250 2.0.0 Taken")]
    async with ScriptedServer({Phase.DOT: replies}) as server:
        told = await send(log, server)
        assert await send(log, server) == []  # not due yet
    assert [one.state for one in told] == [State.DEFERRED, State.FAILED, State.SENT]
    assert states(log) == {State.DEFERRED: 1, State.FAILED: 1, State.SENT: 1}


@in_a_loop
async def test_a_lost_reply_to_the_dot_is_uncertain_and_is_not_sent_again(log):
    write(log, "ann")
    async with ScriptedServer({Phase.DOT: HANG_UP}) as server:
        [told] = await send(log, server)
        assert await send(log, server) == []
    assert told.state is State.UNCERTAIN
    assert states(log) == {State.UNCERTAIN: 1}


@in_a_loop
async def test_a_mark_without_its_owner_is_uncertain(log):
    write(log, "ann", "bea")
    [mail, _] = service.due(log, 5)
    assert service.mark(log, mail, "a dead one", "login", lambda _: None)
    assert not service.mark(log, mail, "another", "login", lambda _: None)
    async with ScriptedServer() as server:
        told = await send(log, server)
    assert [one.mail.mailbox for one in told] == ["bea@x.example"]
    assert states(log) == {State.UNCERTAIN: 1, State.SENT: 1}


@in_a_loop
async def test_they_count_against_the_daily_cap(log):
    write(log, "ann", "bea", "cem")
    async with ScriptedServer() as server:
        await send(log, server, per_day=2)
    assert len(server.accepted) == 2
    assert states(log) == {State.SENT: 2, State.QUEUED: 1}


@in_a_loop
async def test_while_somebody_else_sends_nothing_is_sent_here(log):
    write(log, "ann")
    async with ScriptedServer() as server:
        with Log(log.url) as other, other.owned():
            assert await send(log, server) == []
        assert len(await send(log, server)) == 1


@in_a_loop
async def test_beside_workers_one_more_sends(postgres):
    url = postgres.new_log()
    with Log(url) as log, Log(url) as worker:
        from petition.outbox.workers import join
        from petition.sending.job_queue import make_tables

        make_tables(log)
        assert join(worker)
        write(log, "ann")
        with may_send(log) as owner:
            assert owner is not None
        async with ScriptedServer() as server:
            assert [one.state for one in await send(log, server)] == [State.SENT]


@in_a_loop
async def test_a_server_that_is_away_is_waited_for(log):
    write(log, "ann")
    async with ScriptedServer() as server:
        pass
    with pytest.raises(OpeningTrouble):
        await send(log, server)
    noted: list[str] = []
    stopped = asyncio.Event()
    running = asyncio.create_task(keep_sending(log, route(server), stopped, noted.append))
    await until(lambda: noted)
    stopped.set()
    await running
    assert states(log) == {State.QUEUED: 1}


@in_a_loop
async def test_what_comes_is_sent_until_it_is_stopped(log):
    stopped = asyncio.Event()
    async with ScriptedServer() as server:
        running = asyncio.create_task(keep_sending(log, route(server), stopped, print))
        with Log(log.url) as other:
            write(other, "ann")
            await until(lambda: server.accepted)
            write(other, "bea")
            await until(lambda: len(server.accepted) == 2)
        stopped.set()
        await running
    assert states(log) == {State.SENT: 2}


@in_a_loop
async def test_a_send_can_begin_while_mails_keep_to_a_slow_pace(log):
    write(log, "ann", "bea", "cem")
    stopped = asyncio.Event()

    def begin() -> None:
        with Log(log.url) as other, other.owned():  # LogBusy after some seconds
            pass

    async with ScriptedServer() as server:
        slow = route(server, rate="1/h")
        sending = asyncio.create_task(keep_sending(log, slow, stopped, lambda _: None))
        await until(lambda: len(server.accepted) == 1)
        await asyncio.to_thread(begin)
        stopped.set()
        await sending  # nobody waits for the next turn
    assert len(server.accepted) == 1
