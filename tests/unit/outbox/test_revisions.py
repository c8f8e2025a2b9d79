"""Revisions: for whom each is meant, and how one goes on that was cut short or limited."""

from collections.abc import Callable

import pytest

from petition.outbox import manual
from petition.outbox.enqueue import Action, Listing
from petition.outbox.log import Log
from petition.outbox.states import Mode, State
from tests.unit.outbox.conftest import frozen, listed, stage
from tests.unit.outbox.hand import bring_to


@pytest.fixture
def all_sent(log: Log, queue: Callable[..., Listing]) -> Log:
    queue("ann", "bob", "cy")
    for name in ("ann", "bob", "cy"):
        bring_to(log, name, State.SENT)
        queue("ann", "bob", "cy")
    return log


def test_again_with_a_limit_goes_on_with_the_next_people(
    all_sent: Log, queue: Callable[..., Listing]
):
    for name in ("ann", "bob", "cy"):
        queue("ann", "bob", "cy", revision=2, mode=Mode.AGAIN, limit=1)
        assert [copy.row_id for copy in all_sent.copies("open", State.QUEUED)] == [name]
        bring_to(all_sent, name, State.SENT)
    listing = queue("ann", "bob", "cy", revision=2, mode=Mode.AGAIN, limit=1)
    assert listing.compare(2, Mode.AGAIN).actions == {Action.HAS_IT: 3}
    assert all_sent.counts("open").by_state == {State.SENT: 3}


def test_revise_with_a_limit_goes_on_with_those_who_have_not_had_it(
    log: Log, queue: Callable[..., Listing]
):
    queue("ann", "bob", "cy", "dee")
    bring_to(log, "ann", State.SENT)
    queue("ann", "bob", "cy", "dee")
    bring_to(log, "bob", State.FAILED)
    reached = []
    for _ in range(3):
        queue("ann", "bob", "cy", "dee", revision=2, mode=Mode.REVISE, limit=1)
        reached += [copy.row_id for copy in log.copies("open") if copy.revision == 2]
        bring_to(log, reached[-1], State.SENT)
    assert set(reached) == {"bob", "cy", "dee"}
    assert queue("ann", "bob", "cy", "dee", revision=2, mode=Mode.REVISE).compare(
        2, Mode.REVISE
    ).actions == {Action.HAS_IT: 4}


def test_what_failed_in_this_very_revision_is_left_to_a_person(
    all_sent: Log, queue: Callable[..., Listing]
):
    queue("ann", revision=2, mode=Mode.AGAIN)
    bring_to(all_sent, "ann", State.FAILED)
    listing = queue("ann", revision=2, mode=Mode.AGAIN)
    assert listing.compare(2, Mode.AGAIN).actions == {Action.FAILED: 1}


def test_a_new_revision_that_nobody_would_get_is_not_frozen(
    all_sent: Log, queue: Callable[..., Listing]
):
    manual.suppress(all_sent, ["dee@x.example"])
    queue("ann", "bob", "cy", "dee", revision=2, mode=Mode.REVISE)
    assert all_sent.frozen("open", 2) is None
    assert all_sent.counts("open").by_state == {State.SENT: 3}


def test_the_mode_of_a_revision_is_kept_and_can_be_widened(log: Log):
    listing = Listing(log, "open")
    stage(listing, listed("ann", "bob", only=("ann",)))
    comparison = listing.compare(1, Mode.CONTINUE)
    listing.carry_out(comparison, "campaign", frozen(mode=Mode.AGAIN_CHOSEN))
    assert log.newest("open").mode is Mode.AGAIN_CHOSEN
    comparison = listing.compare(1, Mode.AGAIN)
    listing.carry_out(comparison, "campaign", None, widen=Mode.AGAIN)
    assert log.newest("open").mode is Mode.AGAIN


def test_a_copy_of_an_older_revision_is_not_claimed_with_the_text_of_a_newer_one(
    log: Log, queue: Callable[..., Listing]
):
    queue("ann", "bob")
    bring_to(log, "ann", State.FAILED)
    queue("ann", "bob", revision=2, mode=Mode.CONTINUE)
    manual.retry(log, "open", ["ann@x.example"])
    bring_to(log, "bob", State.SENT)
    newest = {copy.row_id: (copy.revision, copy.state) for copy in log.copies("open")}
    assert newest == {"ann": (1, State.QUEUED), "bob": (2, State.SENT)}


def test_a_limit_is_not_used_up_by_what_is_not_due(log: Log, queue: Callable[..., Listing]):
    queue("ann", "bob", "cy")
    bring_to(log, "ann", State.DEFERRED)
    listing = Listing(log, "open")
    stage(listing, listed("ann", "bob", "cy"))
    comparison = listing.compare(1, Mode.CONTINUE, limit=1)
    assert (comparison.to_send, comparison.actions) == (1, {Action.WAITING: 1})
    assert [row.row_id for row in listing.to_send()] == ["bob"]
    everyone = listing.compare(1, Mode.CONTINUE)
    assert everyone.actions == {Action.WAITING: 2, Action.DEFERRED: 1}
    assert everyone.to_send == 2
    assert everyone.due_at is not None


def test_a_limit_that_holds_nobody_back_leaves_the_others_chosen(
    log: Log, queue: Callable[..., Listing]
):
    queue("ann", "bob")
    bring_to(log, "ann", State.DEFERRED)
    bring_to(log, "bob", State.SENT)
    listing = queue("ann", "bob", limit=5)
    assert listing.states() == {State.DEFERRED: 1, State.SENT: 1}


def test_what_is_uncertain_is_told_apart_from_what_was_sent(
    log: Log, queue: Callable[..., Listing]
):
    queue("ann", "bob")
    bring_to(log, "ann", State.UNCERTAIN)
    bring_to(log, "bob", State.SENT)
    listing = queue("ann", "bob")
    assert listing.compare(1, Mode.CONTINUE).actions == {Action.UNCERTAIN: 1, Action.HAS_IT: 1}
