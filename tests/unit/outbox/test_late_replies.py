"""Replies that came when the log could not be written: their owner says them when it can."""

import asyncio
from collections.abc import Callable

import pytest

from petition.errors import LogUnusable
from petition.outbox import manual
from petition.outbox.enqueue import Listing
from petition.outbox.erasure import erase
from petition.outbox.log import Log
from petition.outbox.run import CopyOutcome, Run, record_late
from petition.outbox.states import Mode, State
from petition.outbox.workers import keep_settings
from petition.sending.job_queue import make_tables
from tests.servers.postgres import Postgres
from tests.unit.outbox.conftest import NOW, frozen, listed, stage
from tests.unit.outbox.hand import mark, outcome_of, record
from tests.unit.outbox.test_transitions import assert_events_lead_to_the_states

SAID = {
    State.SENT: {"reply_code": 250, "enhanced_code": "2.0.0", "reply": "queued as 7"},
    State.DEFERRED: {"reply_code": 451, "enhanced_code": "4.3.0", "reply": "try later"},
    State.FAILED: {"reply_code": 554, "enhanced_code": "5.6.0", "reply": "no"},
}


def marked_by_one_that_died(log: Log, *, says: State) -> tuple[str, list[CopyOutcome]]:
    """A run marks every copy and hears of each, and is given up before it has written that down."""

    async def steps() -> tuple[str, list[CopyOutcome]]:
        run = Run(log, "open")
        copies = await run.fetch(10)
        for copy in copies:
            assert await mark(run, copy)
        await run.close()
        return run.owner, [outcome_of(copy, says, **SAID[says]) for copy in copies]

    return asyncio.run(steps())


@pytest.mark.parametrize("is_given_up", [True, False], ids=["uncertain", "sending"])
@pytest.mark.parametrize("says", list(SAID))
def test_the_owners_late_reply_decides_over_its_copy(
    log: Log, queue: Callable[..., Listing], says: State, is_given_up: bool
):
    queue("ann")
    owner, outcomes = marked_by_one_that_died(log, says=says)
    if is_given_up:
        log.tidy()
        assert [copy.state for copy in log.copies("open")] == [State.UNCERTAIN]
    record_late(log, owner, outcomes)
    [copy] = log.copies("open")
    assert (copy.state, copy.attempts, copy.reply) == (says, 1, SAID[says]["reply"])
    assert copy.due_at == outcomes[0].due_at
    assert copy.reason == ""
    assert [event.to_state for event in log.events()].count(says) == 1
    assert_events_lead_to_the_states(log)


def test_a_late_reply_is_written_down_once(log: Log, queue: Callable[..., Listing]):
    queue("ann")
    owner, outcomes = marked_by_one_that_died(log, says=State.SENT)
    log.tidy()
    record_late(log, owner, outcomes)
    before = list(log.events())
    record_late(log, owner, outcomes)
    assert list(log.events()) == before


def test_nobody_but_the_owner_can_say_it(log: Log, queue: Callable[..., Listing]):
    queue("ann")
    _, outcomes = marked_by_one_that_died(log, says=State.SENT)
    log.tidy()
    record_late(log, "somebody else", outcomes)
    assert [copy.state for copy in log.copies("open")] == [State.UNCERTAIN]


@pytest.mark.parametrize("sent", [True, False])
def test_what_a_person_said_meanwhile_stands(log: Log, queue: Callable[..., Listing], sent: bool):
    queue("ann")
    owner, outcomes = marked_by_one_that_died(log, says=State.FAILED)
    log.tidy()
    manual.resolve(log, ["ann@x.example"], None, sent=sent)
    record_late(log, owner, outcomes)
    [copy] = log.copies("open")
    assert copy.state is (State.SENT if sent else State.QUEUED)


def test_a_copy_that_somebody_else_has_sent_since_is_theirs(
    log: Log, queue: Callable[..., Listing]
):
    queue("ann")
    owner, outcomes = marked_by_one_that_died(log, says=State.SENT)
    log.tidy()
    manual.resolve(log, ["ann@x.example"], None, sent=False)
    marked_by_one_that_died(log, says=State.SENT)
    log.tidy()
    record_late(log, owner, outcomes)
    assert [copy.state for copy in log.copies("open")] == [State.UNCERTAIN]


def test_a_late_deferral_of_somebody_who_left_is_suppressed(
    log: Log, queue: Callable[..., Listing]
):
    queue("ann")
    owner, outcomes = marked_by_one_that_died(log, says=State.DEFERRED)
    log.tidy()
    manual.suppress(log, ["ann@x.example"])
    record_late(log, owner, outcomes)
    assert [copy.state for copy in log.copies("open")] == [State.SKIPPED]
    assert_events_lead_to_the_states(log)


def test_a_late_deferral_of_a_copy_that_was_replaced_is_suppressed(
    log: Log, queue: Callable[..., Listing]
):
    queue("ann")
    owner, outcomes = marked_by_one_that_died(log, says=State.DEFERRED)
    log.tidy()
    queue("ann", revision=2, mode=Mode.AGAIN)
    record_late(log, owner, outcomes)
    states = {copy.revision: copy.state for copy in log.copies_to("open", "ann@x.example")}
    assert states == {1: State.SKIPPED, 2: State.QUEUED}
    assert_events_lead_to_the_states(log)


def test_somebody_who_was_forgotten_stays_so(log: Log, queue: Callable[..., Listing]):
    queue("ann")
    owner, outcomes = marked_by_one_that_died(log, says=State.FAILED)
    log.tidy()
    erase(log, "ann@x.example", ["Ann"], [])
    before = list(log.copies("open"))
    record_late(log, owner, outcomes)
    assert list(log.copies("open")) == before


def test_a_late_deferral_waits_in_a_job(postgres: Postgres):
    with Log(postgres.new_log()) as log:
        make_tables(log)
        listing = Listing(log, "open")
        stage(listing, listed("ann"))
        listing.carry_out(listing.compare(1, Mode.CONTINUE), "campaign", frozen())
        with log.database.transaction():
            keep_settings(log.database, "open", "{}", log.now)
        owner, outcomes = marked_by_one_that_died(log, says=State.DEFERRED)
        log.tidy()
        assert jobs_of(log) == []
        record_late(log, owner, outcomes)
        assert jobs_of(log) == ["open"]


def jobs_of(log: Log) -> list[str]:
    rows = log.database._connection.execute(
        "SELECT args ->> 'letter' FROM procrastinate_jobs WHERE status = 'todo'"
    )
    return [row[0] for row in rows]


def test_only_a_servers_reply_to_a_letter_can_come_late(log: Log):
    uncertain = CopyOutcome(1, State.UNCERTAIN, True, "the connection was lost", letter_date=NOW)
    with pytest.raises(ValueError, match="from uncertain to uncertain"):
        record_late(log, "an owner", [uncertain])


@pytest.mark.sqlite
def test_a_run_keeps_the_replies_that_it_could_not_write(log: Log, queue: Callable[..., Listing]):
    queue("ann", "bob", "cy")

    async def steps() -> tuple[Run, list[CopyOutcome]]:
        run = Run(log, "open")
        ann, bob, cy = await run.fetch(3)
        for copy in (ann, bob, cy):
            assert await mark(run, copy)
        await record(run, outcome_of(ann, State.SENT, **SAID[State.SENT]))
        log.database._connection.execute("PRAGMA query_only = ON")
        told = [
            record(run, outcome_of(bob, State.FAILED, **SAID[State.FAILED])),
            record(run, outcome_of(cy, State.UNCERTAIN)),
        ]
        for one in told:
            with pytest.raises(LogUnusable):
                await one
        await run.close()
        return run, run.late

    run, late = asyncio.run(steps())
    assert [outcome.state for outcome in late] == [State.FAILED]
    log.database._connection.execute("PRAGMA query_only = OFF")
    log.tidy()
    record_late(log, run.owner, late)
    states = {copy.row_id: copy.state for copy in log.copies("open")}
    assert states == {"ann": State.SENT, "bob": State.FAILED, "cy": State.UNCERTAIN}
