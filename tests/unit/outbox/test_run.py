import asyncio
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest

from petition.errors import LogUnusable
from petition.outbox import manual
from petition.outbox.enqueue import Listing
from petition.outbox.erasure import erase
from petition.outbox.log import Log
from petition.outbox.run import Run
from petition.outbox.states import Mode, Reason, State
from tests.unit.outbox.conftest import frozen, listed, stage
from tests.unit.outbox.hand import bring_to, intent_of, make_due, outcome_of


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


def test_two_runs_never_claim_the_same_copy(log: Log):
    names = [f"p{number}" for number in range(200)]
    with Log(log.url) as beside:
        for one in (log, beside):
            listing = Listing(one, "open")
            stage(listing, listed(*names))
            freeze = None if one.newest("open") else frozen()
            listing.carry_out(listing.compare(1, Mode.CONTINUE), "campaign", freeze)

        async def all_of(run: Run) -> list[str]:
            taken: list[str] = []
            while copies := await run.claim(3):
                taken += [copy.row_id for copy in copies]
            return taken

        async def main() -> list[list[str]]:
            runs = [Run(log, "open"), Run(beside, "open")]
            begun = [[copy.row_id for copy in await run.claim(3)] for run in runs]
            taken = await asyncio.gather(*map(all_of, runs))
            for run in runs:
                await run.close()
            return begun + taken

        taken = asyncio.run(main())
    assert [len(some) for some in taken[:2]] == [3, 3]
    assert sorted(name for some in taken for name in some) == sorted(names)


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
        taken = await asyncio.to_thread(manual.suppress, beside, ["ANN@x.example"])
        assert [one.row_id for one in taken.stopped] == ["ann"]
        assert not await run.intend(intent_of(copy))
        await run.record(outcome_of(copy, State.QUEUED))

    with Log(log.url) as beside:
        run_steps(log, steps)
    [copy] = log.copies("open")
    assert (copy.state, copy.reason) == (State.SKIPPED, "opted out")


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
        listing = Listing(log, "open")
        stage(listing, listed("ann", "bob"))
        listing.carry_out(listing.compare(1, "continue"), "campaign", frozen())

        async def defer(run: Run):
            for copy in await run.claim(2):
                if copy.row_id == "bob":
                    outcome = outcome_of(copy, State.DEFERRED)
                    soon = now + timedelta(minutes=5)
                    await run.record(type(outcome)(copy.id, State.DEFERRED, True, due_at=soon))
                else:
                    await run.record(outcome_of(copy, State.QUEUED))
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
        assert (await run.ask(lambda log: log.spent("login")))[0] == 1
        assert (await run.ask(lambda log: log.spent("another")))[0] == 0

    run_steps(log, steps)


def test_an_outcome_that_no_arrow_leads_to_is_a_fault_of_ours(
    log: Log, queue: Callable[..., Listing]
):
    queue("ann")

    async def steps(run: Run):
        [copy] = await run.claim(1)
        with pytest.raises(ValueError, match="no transition"):
            await run.record(outcome_of(copy, State.BOUNCED))

    run_steps(log, steps)


@pytest.mark.sqlite
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
            taken = await asyncio.to_thread(manual.withdraw, beside, "open", None)
            assert [copy.row_id for copy in taken.moved] == ["bob"]
            assert await run.claim(5) == []

        run_steps(log, steps)


@pytest.mark.parametrize("end", [State.QUEUED, State.DEFERRED])
def test_what_is_withdrawn_while_a_run_has_it_in_hand_gets_no_dot(
    log: Log, queue: Callable[..., Listing], end: State
):
    queue("ann", "bob")
    with Log(log.url) as beside:

        async def steps(run: Run):
            ann, bob = await run.claim(2)
            assert await run.intend(intent_of(bob))
            taken = await asyncio.to_thread(manual.withdraw, beside, "open", None)
            assert [[one.row_id for one in some] for some in (taken.stopped, taken.too_late)] == [
                ["ann"],
                ["bob"],
            ]
            assert not await run.intend(intent_of(ann))
            await run.record(outcome_of(ann, State.QUEUED))
            await run.record(outcome_of(bob, end))

        run_steps(log, steps)
    assert {(copy.state, copy.reason) for copy in log.copies("open")} == {
        (State.SKIPPED, "withdrawn")
    }
    steps_of_bob = [(event.from_state, event.to_state) for event in log.events("bob@x.example")]
    assert steps_of_bob[-2:] == [(State.SENDING, end), (end, State.SKIPPED)]


def test_what_was_taken_while_it_was_withdrawn_is_sent(log: Log, queue: Callable[..., Listing]):
    queue("ann")
    with Log(log.url) as beside:

        async def steps(run: Run):
            [ann] = await run.claim(1)
            assert await run.intend(intent_of(ann))
            await asyncio.to_thread(manual.withdraw, beside, "open", ["ann@x.example"])
            await run.record(outcome_of(ann, State.SENT))

        run_steps(log, steps)
    assert [copy.state for copy in log.copies("open")] == [State.SENT]


def test_what_was_withdrawn_in_the_hand_of_a_run_that_died_is_suppressed(
    log: Log, queue: Callable[..., Listing]
):
    queue("ann", "bob")

    async def dies(run: Run):
        _, bob = await run.claim(2)
        await run.intend(intent_of(bob))

    run_steps(log, dies)
    manual.withdraw(log, "open", None)
    log.tidy()
    states = {copy.row_id: (copy.state, copy.reason) for copy in log.copies("open")}
    assert states["ann"] == (State.SKIPPED, "withdrawn")
    assert states["bob"][0] is State.UNCERTAIN
    manual.retry(log, "open", ["ann@x.example"])
    assert next(log.copies("open")).state is State.QUEUED
    queue("ann", "bob")

    async def goes(run: Run):
        [ann] = await run.claim(1)
        assert await run.intend(intent_of(ann))  # the later word counts

    run_steps(log, goes)


def test_many_marks_and_results_of_one_commit_each_have_their_own(
    log: Log, queue: Callable[..., Listing]
):
    queue(*(f"p{number}" for number in range(200)))
    replies = ["it's; -- :now ?1 %s\\", "юникод ✉", "", None]

    async def steps(run: Run):
        copies = await run.claim(200)
        log.database._connection.execute(f"UPDATE copy SET owner = 'x' WHERE id = {copies[7].id}")
        marked = await asyncio.gather(*(run.intend(intent_of(copy)) for copy in copies))
        assert [place for place, may_go in enumerate(marked) if not may_go] == [7]
        outcomes = (
            outcome_of(copy, State.SENT, reply=replies[copy.id % 4], milliseconds=copy.id)
            for copy in copies
        )
        await asyncio.gather(*map(run.record, outcomes))
        return {copy.id: copy for copy in copies}

    copies = run_steps(log, steps)
    last = [event for event in log.events() if event.to_state is State.SENT]
    assert len(last) == 199
    for copy in log.copies("open"):
        if copy.row_id != "p7":
            assert (copy.state, copy.message_id) == (State.SENT, f"<{copy.id}@x>")
            assert copy.reply == replies[copy.id % 4]
    by_mailbox = {copy.mailbox: number for number, copy in copies.items()}
    assert all(event.milliseconds == by_mailbox[event.mailbox] for event in last)


def test_a_result_that_is_told_twice_is_one_arrow(log: Log, queue: Callable[..., Listing]):
    queue("ann")

    async def steps(run: Run):
        [copy] = await run.claim(1)
        assert await run.intend(intent_of(copy))
        sent = run.record(outcome_of(copy, State.SENT))
        await asyncio.gather(sent, run.record(outcome_of(copy, State.QUEUED)))

    run_steps(log, steps)
    assert [event.to_state for event in log.events()] == ["queued", "sending", "sent"]


def test_a_letter_without_a_row_is_counted_where_there_is_room(log: Log):
    assert [log.count_attempt("ann", 2, lambda _: 5) for _ in range(3)] == [True, True, False]
    assert log.count_attempt("ann", 1, lambda _: 5)
    assert log.spent("ann")[0] == 5
    assert log.count_attempt("ann", 9)


def test_what_is_due_next_is_asked_for_without_some_domains(
    log: Log, queue: Callable[..., Listing]
):
    queue("ann", "bob")

    async def steps(run: Run):
        for copy in await run.claim(5):
            await run.intend(intent_of(copy))
            await run.record(outcome_of(copy, State.DEFERRED))
        [domain] = {copy.domain for copy in log.copies("open")}
        return [await run.next_due(full) for full in ([], ["other.test"], [domain])]

    due, also_due, none = run_steps(log, steps)
    assert due == also_due
    assert due is not None
    assert none is None


def test_an_attempt_that_was_none_is_taken_back_with_what_it_changed(
    log: Log, queue: Callable[..., Listing]
):
    queue("ann", "ben", "cem")

    async def steps(run: Run):
        ann, ben, cem = await run.claim(3)
        await run.record(outcome_of(ann, State.DEFERRED, reply_code=451, reply="Later"))
        await run.record(outcome_of(ben, State.FAILED, reply_code=550, reply="No"))
        await run.record(outcome_of(cem, State.SENT))
        assert await run.take_back([ann, ben, cem], "it was us") == {ann.id, ben.id}
        assert await run.take_back([ann, ben], "it was us") == set()
        assert [copy.row_id for copy in await run.claim(3)] == ["ann", "ben"]

    run_steps(log, steps)
    ann, ben, cem = log.copies("open")
    assert [copy.attempts for copy in (ann, ben, cem)] == [0, 0, 1]
    assert {copy.waiting_since for copy in (ann, ben)} == {None}
    taken = [event for event in log.events() if event.reason == "it was us"]
    assert [(event.from_state, event.to_state) for event in taken] == [
        (State.DEFERRED, State.QUEUED),
        (State.FAILED, State.QUEUED),
    ]


def test_only_the_last_attempt_is_taken_back(log: Log, queue: Callable[..., Listing]):
    queue("ann")
    bring_to(log, "ann", State.DEFERRED)
    [before] = log.copies("open")
    make_due(log)

    async def steps(run: Run):
        copies = await run.claim(1)
        await run.record(outcome_of(copies[0], State.FAILED))
        await run.take_back(copies, "it was us")

    run_steps(log, steps)
    [after] = log.copies("open")
    assert (after.state, after.attempts) == (State.QUEUED, 1)
    assert after.waiting_since == before.waiting_since


def retried_and_failed_again(log: Log) -> State:
    manual.retry(log, "open", ["ann@x.example"])
    listing = Listing(log, "open")
    stage(listing, listed("ann"))
    listing.carry_out(listing.compare(1, Mode.CONTINUE), "campaign", None)
    bring_to(log, "ann", State.FAILED)  # in the hand of another run
    return State.FAILED


def retried(log: Log) -> State:
    manual.retry(log, "open", ["ann@x.example"])
    return State.QUEUED


def forgotten(log: Log) -> State:
    erase(log, "ann@x.example", [], [])
    return State.FAILED


def revised(log: Log) -> State:
    listing = Listing(log, "open")
    stage(listing, listed("ann"))
    listing.carry_out(listing.compare(2, Mode.REVISE), "campaign", frozen(2, mode=Mode.REVISE))
    return State.QUEUED


@pytest.mark.parametrize("meanwhile", [retried_and_failed_again, retried, forgotten, revised])
def test_what_anybody_touched_meanwhile_is_not_taken_back(
    log: Log, queue: Callable[..., Listing], meanwhile: Callable[[Log], State]
):
    queue("ann")

    async def main() -> None:
        run = Run(log, "open")
        copies = await run.claim(1)
        await run.record(outcome_of(copies[0], State.FAILED))
        with Log(log.url) as beside:
            state = await asyncio.to_thread(meanwhile, beside)
            number = len(list(beside.events()))
            assert await run.take_back(copies, "it was us") == set()
            assert [copy.state for copy in beside.copies("open")] == [state]
            assert len(list(beside.events())) == number
        await run.close()

    asyncio.run(main())


def test_who_is_suppressed_meanwhile_is_skipped(log: Log, queue: Callable[..., Listing]):
    queue("ann")

    async def steps(run: Run):
        copies = await run.claim(1)
        await run.record(outcome_of(copies[0], State.FAILED))
        await run.suppress(["ann@x.example"], Reason.OPTED_OUT)
        await run.take_back(copies, "it was us")

    run_steps(log, steps)
    [ann] = log.copies("open")
    assert (ann.state, ann.reason) == (State.SKIPPED, Reason.OPTED_OUT)
