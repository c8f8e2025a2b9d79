import asyncio
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest

from petition.errors import LogUnusable
from petition.outbox import person
from petition.outbox.listing import Listing
from petition.outbox.log import Log
from petition.outbox.run import Run
from petition.outbox.states import State
from tests.unit.outbox.hand import bring_to, intent_of, outcome_of


def run_steps(log: Log, steps):
    async def main():
        run = Run(log, "open")
        try:
            return await steps(run)
        finally:
            await run.close()

    return asyncio.run(main())


def test_a_copy_goes_from_queued_over_sending_to_sent(log: Log, queue: Callable[..., Listing]):
    queue("ann")

    async def steps(run: Run):
        [copy] = await run.claim(5)
        assert copy.state is State.SENDING
        assert await run.intend(intent_of(copy))
        await run.record(
            outcome_of(copy, State.SENT, reply_code=250, enhanced_code="2.0.0", reply="queued")
        )

    run_steps(log, steps)
    [copy] = log.copies("open")
    assert (copy.state, copy.attempts, copy.data, copy.reply) == (
        State.SENT,
        1,
        b"bytes",
        "queued",
    )
    assert [event.to_state for event in log.events()] == ["queued", "sending", "sent"]


def test_two_runs_never_claim_the_same_copy(log: Log, queue: Callable[..., Listing]):
    queue("ann", "bob", "cy")

    async def steps(run: Run):
        first = await run.claim(2)
        second = await run.claim(2)
        assert [copy.row_id for copy in first + second] == ["ann", "bob", "cy"]

    run_steps(log, steps)


def test_no_mark_no_dot_where_the_row_is_no_longer_ours(log: Log, queue: Callable[..., Listing]):
    queue("ann")

    async def steps(run: Run):
        [copy] = await run.claim(1)
        log.database._connection.execute("UPDATE copy SET owner = 'another run'")
        assert not await run.intend(intent_of(copy))

    run_steps(log, steps)


def test_one_who_opts_out_at_the_last_moment_gets_no_letter(
    log: Log, queue: Callable[..., Listing]
):
    queue("ann")

    async def steps(run: Run):
        [copy] = await run.claim(1)
        await run._committer.commit(
            lambda database: database.run(
                "suppress", {"mailbox": "ann@x.example", "reason": "opted out", "now": ""}
            )
        )
        assert not await run.intend(intent_of(copy))
        await run.record(outcome_of(copy, State.QUEUED))
        await run.drop_opted_out()

    run_steps(log, steps)
    [copy] = log.copies("open")
    assert (copy.state, copy.reason) == (State.SUPPRESSED, "opted out")


def test_what_a_dead_run_had_in_hand_is_queued_or_uncertain_by_its_mark(
    log: Log, queue: Callable[..., Listing]
):
    queue("ann", "bob", "cy")

    async def dies(run: Run):
        ann, bob, _ = await run.claim(3)
        await run.intend(intent_of(ann))
        await run.intend(intent_of(bob))
        await run.record(outcome_of(bob, State.SENT))

    run_steps(log, dies)
    with log.owned():
        assert {copy.row_id: copy.state for copy in log.copies()} == {
            "ann": State.UNCERTAIN,
            "bob": State.SENT,
            "cy": State.QUEUED,
        }
    assert sum(event.to_state is State.UNCERTAIN for event in log.events()) == 1


def test_a_deferred_copy_is_claimed_when_it_is_due_and_before_the_queued_ones(tmp_path):
    now = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
    with Log(f"sqlite:///{tmp_path}/petition.db", clock=lambda: now) as log:
        from tests.unit.outbox.conftest import frozen, listed

        listing = Listing(log, "open")
        listing.stage(listed("ann", "bob"))
        listing.carry_out(listing.compare(1, "continue"), "campaign", frozen())

        async def defer(run: Run):
            for copy in await run.claim(2):
                if copy.row_id == "bob":
                    outcome = outcome_of(copy, State.DEFERRED)
                    soon = now + timedelta(minutes=5)
                    await run.record(type(outcome)(copy.id, State.DEFERRED, True, due_at=soon))
                else:
                    await run.record(outcome_of(copy, State.QUEUED))
            assert await run.next_due() == now + timedelta(minutes=5)
            assert [copy.row_id for copy in await run.claim(2)] == ["ann"]

        run_steps(log, defer)
        now += timedelta(minutes=6)
        log.recover()

        async def later(run: Run):
            return [copy.row_id for copy in await run.claim(2)]

        assert run_steps(log, later) == ["bob", "ann"]


def test_the_daily_cap_counts_every_intent_of_one_login(log: Log, queue: Callable[..., Listing]):
    queue("ann", "bob")
    bring_to(log, "ann", State.UNCERTAIN)

    async def steps(run: Run):
        assert (await run.spent("login"))[0] == 1
        assert (await run.spent("another"))[0] == 0

    run_steps(log, steps)


def test_an_outcome_that_no_arrow_leads_to_is_a_fault_of_ours(
    log: Log, queue: Callable[..., Listing]
):
    queue("ann")

    async def steps(run: Run):
        [copy] = await run.claim(1)
        with pytest.raises(ValueError, match="no arrow"):
            await run.record(outcome_of(copy, State.BOUNCED))

    run_steps(log, steps)


def test_a_commit_that_fails_reaches_everyone_who_waits_for_it(
    log: Log, queue: Callable[..., Listing]
):
    queue("ann", "bob")

    async def steps(run: Run):
        ann, bob = await run.claim(2)
        log.database._connection.execute("PRAGMA query_only = ON")
        answers = await asyncio.gather(
            run.intend(intent_of(ann)), run.intend(intent_of(bob)), return_exceptions=True
        )
        log.database._connection.execute("PRAGMA query_only = OFF")
        assert [type(answer) for answer in answers] == [LogUnusable] * 2

    run_steps(log, steps)
    assert {copy.state for copy in log.copies()} == {State.SENDING}


def test_a_person_may_withdraw_while_a_run_is_under_way(log: Log, queue: Callable[..., Listing]):
    queue("ann", "bob")
    with Log(log.url) as beside:

        async def steps(run: Run):
            await run.claim(1)
            moved = await asyncio.to_thread(person.withdraw, beside, "open", None)
            assert [copy.row_id for copy in moved] == ["bob"]
            assert await run.claim(5) == []

        run_steps(log, steps)
