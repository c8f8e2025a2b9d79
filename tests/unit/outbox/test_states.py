import pytest

from petition.outbox.states import ARROWS, State, arrow


def test_every_state_can_be_reached_and_only_bounced_is_an_end():
    reached = {end for _, end in ARROWS}
    left = {start for start, _ in ARROWS}
    assert reached == set(State)
    assert set(State) - left == {State.BOUNCED}


def test_a_sent_copy_never_waits_again():
    """P1: what was accepted is never sent again by itself, nor by any arrow at all."""
    reachable, frontier = set(), {State.SENT}
    while frontier:
        reachable |= frontier
        frontier = {end for start, end in ARROWS if start in frontier} - reachable
    assert reachable == {State.SENT, State.BOUNCED}


def test_uncertain_is_left_by_a_person_a_proof_or_the_owners_late_reply_alone():
    ends = {end: crash for (start, end), crash in ARROWS.items() if start is State.UNCERTAIN}
    assert set(ends) == set(State) - {State.SENDING, State.UNCERTAIN, State.SKIPPED}
    movers = ("person", "proven", "owner's own late reply")
    assert all(any(mover in crash for mover in movers) for crash in ends.values())


def test_an_arrow_that_is_not_in_the_table_is_refused():
    with pytest.raises(ValueError, match="no arrow leads from sent to queued"):
        arrow(State.SENT, State.QUEUED)
