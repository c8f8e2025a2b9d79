import asyncio
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest

from petition.errors import LogUnusable
from petition.outbox import manual
from petition.outbox.enqueue import Listing
from petition.outbox.erasure import erase
from petition.outbox.log import Log
from petition.outbox.models import Copy
from petition.outbox.run import Run
from petition.outbox.states import Mode, Reason, State
from tests.unit.outbox.conftest import frozen, listed, stage
from tests.unit.outbox.hand import bring_to, make_due, mark, outcome_of, record


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
        [copy] = await run.fetch(5)
        assert copy.state is State.QUEUED
        assert await mark(run, copy)
        await record(
            run, outcome_of(copy, State.SENT, reply_code=250, enhanced_code="2.0.0", reply="queued")
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


def test_of_two_runs_that_read_the_same_copy_one_marks_it(log: Log, queue: Callable[..., Listing]):
    names = [f"p{number}" for number in range(40)]
    queue(*names)

    async def main() -> tuple[list[Copy], list[list[bool]]]:
        runs = [Run(log, "open"), Run(beside, "open")]
        read = [await run.fetch(100) for run in runs]
        assert read[0] == read[1]
        marks = [
            [mark(run, copy) for copy in copies] for run, copies in zip(runs, read, strict=True)
        ]
        marked = [await asyncio.gather(*some) for some in marks]
        for run in runs:
            await run.close()
        return marked

    with Log(log.url) as beside:
        # Whom the second run sends to is its own choice, of which it keeps a table.
        listing = Listing(beside, "open")
        stage(listing, listed(*names))
        listing.carry_out(listing.compare(1, Mode.CONTINUE), "campaign", None)
        ours, theirs = asyncio.run(main())
    assert [one + other for one, other in zip(ours, theirs, strict=True)] == [1] * 40
    assert sum(event.to_state is State.SENDING for event in log.events()) == 40


CHANGES = (
    "state = 'deferred'",
    "state = 'sending', owner = 'another run'",
    "fields = '{}', updated_at = '2026-03-01T12:00:00.001Z'",
)


@pytest.mark.parametrize("change", CHANGES)
def test_a_copy_that_changed_since_it_was_read_is_not_marked(
    log: Log, queue: Callable[..., Listing], change: str
):
    queue("ann")

    async def steps(run: Run):
        [copy] = await run.fetch(1)
        log.database._connection.execute(f"UPDATE copy SET {change}")
        assert not await mark(run, copy)
        await record(run, outcome_of(copy, State.QUEUED))

    run_steps(log, steps)
    assert [event.to_state for event in log.events()] == ["queued"]
    [copy] = log.copies("open")
    assert copy.data is None


@pytest.mark.parametrize("end", [State.DEFERRED, State.FAILED, State.QUEUED])
def test_what_is_refused_before_its_mark_is_one_commit(
    log: Log, queue: Callable[..., Listing], end: State
):
    queue("ann")

    async def steps(run: Run):
        [copy] = await run.fetch(1)
        await record(run, outcome_of(copy, end, reply_code=451, reply="Later"))

    run_steps(log, steps)
    queued, begun, ended = log.events()
    assert (begun.from_state, begun.to_state) == (State.QUEUED, State.SENDING)
    assert (ended.from_state, ended.to_state, ended.reply) == (State.SENDING, end, "Later")
    assert begun.at == ended.at > queued.at


def test_reading_ahead_writes_nothing(log: Log, queue: Callable[..., Listing]):
    queue("ann", "bob")
    before = list(log.copies())

    async def steps(run: Run):
        assert await run.fetch(5) == before
        assert [copy.row_id for copy in await run.fetch(5, past=before[0].id)] == ["bob"]
        assert [copy.row_id for copy in await run.fetch(5, known=[before[0].id])] == ["bob"]

    run_steps(log, steps)
    assert list(log.copies()) == before
    assert [event.to_state for event in log.events()] == ["queued", "queued"]


def test_one_who_opts_out_at_the_last_moment_gets_no_letter(
    log: Log, queue: Callable[..., Listing]
):
    queue("ann")

    async def steps(run: Run):
        [copy] = await run.fetch(1)
        taken = await asyncio.to_thread(manual.suppress, beside, ["ANN@x.example"])
        assert [one.row_id for one in taken.moved] == ["ann"]
        assert not await mark(run, copy)
        await record(run, outcome_of(copy, State.QUEUED))

    with Log(log.url) as beside:
        run_steps(log, steps)
    [copy] = log.copies("open")
    assert (copy.state, copy.reason) == (State.SKIPPED, "opted out")


def test_what_a_dead_run_marked_is_uncertain_and_nothing_else(
    log: Log, queue: Callable[..., Listing]
):
    queue("ann", "bob", "cy")

    async def dies(run: Run):
        ann, bob, _ = await run.fetch(3)
        await mark(run, ann)
        await mark(run, bob)
        await record(run, outcome_of(bob, State.SENT))

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
            for copy in await run.fetch(2):
                if copy.row_id == "bob":
                    outcome = outcome_of(copy, State.DEFERRED)
                    soon = now + timedelta(minutes=5)
                    await record(run, type(outcome)(copy, State.DEFERRED, True, due_at=soon))
            assert [copy.row_id for copy in await run.fetch(2)] == ["ann"]

        run_steps(log, defer)
        now += timedelta(minutes=6)
        log.recover()

        async def later(run: Run):
            return [copy.row_id for copy in await run.fetch(2)]

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
        [copy] = await run.fetch(1)
        with pytest.raises(ValueError, match="no transition"):
            await record(run, outcome_of(copy, State.BOUNCED))

    run_steps(log, steps)


@pytest.mark.sqlite
def test_a_commit_that_fails_reaches_everyone_who_waits_for_it(
    log: Log, queue: Callable[..., Listing]
):
    queue("ann", "bob")

    async def steps(run: Run):
        ann, bob = await run.fetch(2)
        log.database._connection.execute("PRAGMA query_only = ON")
        answers = await asyncio.gather(mark(run, ann), mark(run, bob), return_exceptions=True)
        log.database._connection.execute("PRAGMA query_only = OFF")
        assert [type(answer) for answer in answers] == [LogUnusable] * 2

    run_steps(log, steps)
    assert {copy.state for copy in log.copies()} == {State.QUEUED}


def test_a_person_may_withdraw_while_a_run_is_under_way(log: Log, queue: Callable[..., Listing]):
    queue("ann", "bob")
    with Log(log.url) as beside:

        async def steps(run: Run):
            [ann] = await run.fetch(1)
            taken = await asyncio.to_thread(manual.withdraw, beside, "open", None)
            assert [copy.row_id for copy in taken.moved] == ["ann", "bob"]
            assert not await mark(run, ann)
            assert await run.fetch(5) == []

        run_steps(log, steps)


@pytest.mark.parametrize("end", [State.QUEUED, State.DEFERRED])
def test_what_is_withdrawn_in_the_hand_of_a_run_is_not_sent_again(
    log: Log, queue: Callable[..., Listing], end: State
):
    queue("ann", "bob")
    with Log(log.url) as beside:

        async def steps(run: Run):
            ann, bob = await run.fetch(2)
            assert await mark(run, bob)
            taken = await asyncio.to_thread(manual.withdraw, beside, "open", None)
            assert [[one.row_id for one in some] for some in (taken.moved, taken.too_late)] == [
                ["ann"],
                ["bob"],
            ]
            assert not await mark(run, ann)
            await record(run, outcome_of(ann, State.QUEUED))
            await record(run, outcome_of(bob, end))

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
            [ann] = await run.fetch(1)
            assert await mark(run, ann)
            await asyncio.to_thread(manual.withdraw, beside, "open", ["ann@x.example"])
            await record(run, outcome_of(ann, State.SENT))

        run_steps(log, steps)
    assert [copy.state for copy in log.copies("open")] == [State.SENT]


def test_what_was_withdrawn_in_the_hand_of_a_run_that_died_is_skipped(
    log: Log, queue: Callable[..., Listing]
):
    queue("ann", "bob")

    async def dies(run: Run):
        _, bob = await run.fetch(2)
        await mark(run, bob)

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
        [ann] = await run.fetch(1)
        assert await mark(run, ann)  # the later word counts

    run_steps(log, goes)


def test_many_marks_and_results_of_one_commit_each_have_their_own(
    log: Log, queue: Callable[..., Listing]
):
    queue(*(f"p{number}" for number in range(200)))
    replies = ["it's; -- :now ?1 %s\\", "юникод ✉", "", None]

    async def steps(run: Run):
        copies = await run.fetch(200)
        log.database._connection.execute(f"UPDATE copy SET newest = 0 WHERE id = {copies[7].id}")
        marked = await asyncio.gather(*(mark(run, copy) for copy in copies))
        assert [place for place, may_go in enumerate(marked) if not may_go] == [7]
        outcomes = (
            outcome_of(copy, State.SENT, reply=replies[copy.id % 4], milliseconds=copy.id)
            for copy in copies
        )
        await asyncio.gather(*(record(run, outcome) for outcome in outcomes))
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


STATEMENTS = {
    False: ["BEGIN IMMEDIATE", *["UPDATE copy"] * 2, "INSERT INTO event", "INSERT INTO attempt"],
    True: ["SELECT pg_advisory", "WITH recorded"],  # one pipeline, and so one transaction
}


def test_marks_and_results_of_a_commit_take_a_few_statements(
    log: Log, queue: Callable[..., Listing], monkeypatch: pytest.MonkeyPatch
):
    queue(*(f"p{number}" for number in range(40)))
    connection, seen = log.database._connection, []

    async def steps(run: Run):
        copies = await run.fetch(40)
        await asyncio.gather(*(mark(run, copy) for copy in copies[:20]))
        if log.database.takes_workers:
            execute = connection.execute

            def trace(text: bytes, *values: object) -> object:
                seen.append(text.decode())
                return execute(text, *values)

            monkeypatch.setattr(connection, "execute", trace)
        else:
            connection.set_trace_callback(seen.append)
        sent = [record(run, outcome_of(copy, State.SENT)) for copy in copies[:20]]
        assert all(await asyncio.gather(*(mark(run, copy) for copy in copies[20:])))
        await asyncio.gather(*sent)

    run_steps(log, steps)
    wanted = STATEMENTS[log.database.takes_workers]
    assert len(seen) >= len(wanted)
    assert all(text.startswith(begin) for text, begin in zip(seen, wanted, strict=False)), seen
    commits = [text for text in seen if text == "COMMIT"]
    assert len(commits) == (0 if log.database.takes_workers else 1)
    assert log.counts("open").by_state == {State.SENT: 20, State.SENDING: 20}


def test_a_result_that_is_told_twice_is_one_arrow(log: Log, queue: Callable[..., Listing]):
    queue("ann")

    async def steps(run: Run):
        [copy] = await run.fetch(1)
        assert await mark(run, copy)
        sent = record(run, outcome_of(copy, State.SENT))
        await asyncio.gather(sent, record(run, outcome_of(copy, State.QUEUED)))

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
        for copy in await run.fetch(5):
            await mark(run, copy)
            await record(run, outcome_of(copy, State.DEFERRED))
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
        ann, ben, cem = await run.fetch(3)
        await record(run, outcome_of(ann, State.DEFERRED, reply_code=451, reply="Later"))
        await record(run, outcome_of(ben, State.FAILED, reply_code=550, reply="No"))
        assert await mark(run, cem)
        await record(run, outcome_of(cem, State.SENT))
        assert await run.take_back([ann, ben, cem], "it was us") == {ann.id, ben.id}
        assert await run.take_back([ann, ben], "it was us") == set()
        assert [copy.row_id for copy in await run.fetch(3)] == ["ann", "ben"]

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
        copies = await run.fetch(1)
        await record(run, outcome_of(copies[0], State.FAILED))
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
        copies = await run.fetch(1)
        await record(run, outcome_of(copies[0], State.FAILED))
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
        copies = await run.fetch(1)
        await record(run, outcome_of(copies[0], State.FAILED))
        await run.suppress(["ann@x.example"], Reason.OPTED_OUT)
        await run.take_back(copies, "it was us")

    run_steps(log, steps)
    [ann] = log.copies("open")
    assert (ann.state, ann.reason) == (State.SKIPPED, Reason.OPTED_OUT)
