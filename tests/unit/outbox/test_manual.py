from collections.abc import Callable

from petition.outbox import manual
from petition.outbox.enqueue import Listing
from petition.outbox.log import Log
from petition.outbox.states import Mode, Reason, State
from tests.unit.outbox.hand import bring_to, leave_marked


def state_of(log: Log, name: str) -> State:
    return log.copies_to("open", f"{name}@x.example")[-1].state


def test_resolve_moves_uncertain_copies_by_a_persons_word(log: Log, queue: Callable[..., Listing]):
    queue("ann", "bob")
    bring_to(log, "ann", State.UNCERTAIN)
    bring_to(log, "bob", State.UNCERTAIN)
    assert len(manual.resolve(log, ["ann@x.example"], None, sent=True)) == 1
    assert (state_of(log, "ann"), state_of(log, "bob")) == (State.SENT, State.UNCERTAIN)
    assert len(manual.resolve(log, None, "open", sent=False)) == 1
    assert state_of(log, "bob") is State.QUEUED
    assert "resolved by hand" in [event.reason for event in log.events()]


def test_an_old_revision_that_is_resolved_as_not_sent_is_not_sent_any_more(
    log: Log, queue: Callable[..., Listing]
):
    queue("ann")
    bring_to(log, "ann", State.UNCERTAIN)
    queue("ann", revision=2, mode=Mode.AGAIN)
    manual.resolve(log, None, None, sent=False)
    first, second = log.copies_to("open", "ann@x.example")
    assert (first.state, second.state) == (State.SKIPPED, State.QUEUED)


def test_what_was_withdrawn_while_it_was_sent_is_not_queued_by_saying_that_it_did_not_arrive(
    log: Log, queue: Callable[..., Listing]
):
    queue("ann", "bob")
    for name in ("ann", "bob"):
        leave_marked(log, name)
    assert len(manual.withdraw(log, "open", ["ann@x.example"]).too_late) == 1
    with log.owned():
        assert state_of(log, "ann") is State.UNCERTAIN
    assert [one.end for one in manual.resolve(log, None, None, sent=False)] == [
        State.SKIPPED,
        State.QUEUED,
    ]
    assert (state_of(log, "ann"), state_of(log, "bob")) == (State.SKIPPED, State.QUEUED)
    assert len(manual.retry(log, "open", ["ann@x.example"])) == 1
    assert state_of(log, "ann") is State.QUEUED


def test_retry_queues_what_failed_and_starts_its_attempts_anew(
    log: Log, queue: Callable[..., Listing]
):
    queue("ann", "bob")
    bring_to(log, "ann", State.FAILED)
    assert [copy.row_id for copy in manual.retry(log, "open", None)] == ["ann"]
    [copy] = log.copies_to("open", "ann@x.example")
    assert (copy.state, copy.attempts) == (State.QUEUED, 0)


def test_withdraw_suppresses_what_waits_and_a_named_retry_takes_it_back(
    log: Log, queue: Callable[..., Listing]
):
    queue("ann", "bob")
    assert len(manual.withdraw(log, "open", None).moved) == 2
    queue("ann", "bob")
    assert state_of(log, "ann") is State.SKIPPED
    assert manual.retry(log, "open", None) == []
    assert len(manual.retry(log, "open", ["ann@x.example"])) == 1
    assert (state_of(log, "ann"), state_of(log, "bob")) == (State.QUEUED, State.SKIPPED)


def test_suppress_reaches_every_letter_that_waits(log: Log, queue: Callable[..., Listing]):
    queue("ann", "bob")
    assert [copy.row_id for copy in manual.suppress(log, ["ann@x.example"]).moved] == ["ann"]
    assert [entry.mailbox for entry in manual.suppressions(log)] == ["ann@x.example"]
    assert manual.unsuppress(log, ["ann@x.example", "bob@x.example"]) == ["ann@x.example"]


def test_who_is_in_the_log_and_whose_mailbox_does_not_exist(
    log: Log, queue: Callable[..., Listing]
):
    queue("ann", "bob", "cy")
    bring_to(log, "ann", State.FAILED)
    bring_to(log, "bob", State.FAILED)
    manual.suppress_for(log, {Reason.NO_MAILBOX: ["Ann@x.example", "cy@x.example"]})
    manual.suppress(log, ["bob@x.example"])
    assert log.without_mailbox("open", State.FAILED) == {"ann@x.example"}
    assert log.without_mailbox("open", State.BOUNCED) == set()
    assert list(log.people("open")) == list(log.people())
    assert next(log.people()) == ("ann@x.example", "Ann", "ann")
    assert list(log.people("another")) == []
