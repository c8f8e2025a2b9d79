import re
from pathlib import Path

import pytest

import petition
from petition.outbox.database import _FILES, texts
from petition.outbox.states import MAY_HAVE_ARRIVED, TRANSITIONS, WAITING, State, check_transition
from petition.report.page import _GROUPS


def test_every_state_can_be_reached_and_only_bounced_is_an_end():
    reached = {end for _, end in TRANSITIONS}
    left = {start for start, _ in TRANSITIONS}
    assert reached == set(State)
    assert set(State) - left == {State.BOUNCED}


def test_a_sent_copy_never_waits_again():
    """P1: what was accepted is never sent again by itself, nor by any transition at all."""
    reachable, frontier = set(), {State.SENT}
    while frontier:
        reachable |= frontier
        frontier = {end for start, end in TRANSITIONS if start in frontier} - reachable
    assert reachable == {State.SENT, State.BOUNCED}


def test_uncertain_is_left_by_a_person_a_proof_or_the_owners_late_reply_alone():
    ends = {end: crash for (start, end), crash in TRANSITIONS.items() if start is State.UNCERTAIN}
    assert set(ends) == set(State) - {State.SENDING, State.UNCERTAIN, State.SKIPPED}
    movers = ("person", "proven", "owner's own late reply")
    assert all(any(mover in crash for mover in movers) for crash in ends.values())


def test_a_transition_that_is_not_in_the_table_is_refused():
    with pytest.raises(ValueError, match="from sent to queued"):
        check_transition(State.SENT, State.QUEUED)


ROOT = Path(petition.__file__).parent


def table_of_states(text: str) -> set[str]:
    return set(re.findall(r"^\| `(\w+)` \| \w[^|]+ \|", text, re.MULTILINE))


PLACES = {
    "docs/delivery-log.md": table_of_states,
    "petition/report/page.py, _GROUPS": lambda _: {s for group in _GROUPS.values() for s in group},
    "petition/cli/next_step.py": lambda text: {
        State.SENT,  # there is nothing to do
        *(State[name] for name in re.findall(r"\bState\.([A-Z]+)\b", text)),
    },
    "petition/outbox/enqueue.sql, compare": lambda text: set(
        re.findall(r"'(\w+)'", text.partition("-- :name compare\n")[2].partition("-- :name ")[0])
    ).union(WAITING, MAY_HAVE_ARRIVED),
}


@pytest.mark.parametrize("place", PLACES)
def test_a_state_is_known_wherever_all_of_them_are_listed(place: str):
    """Who adds a state has these places to change besides states.py."""
    text = (ROOT.parent / place.partition(",")[0]).read_text(encoding="utf-8")
    assert set(State) <= set(PLACES[place](text))


def test_queries_compare_states_with_states_alone():
    """An upgrade names states as they were when it was written."""
    compared = re.compile(r"\b\w*state(?: = | <> | IN \()((?:'\w+'(?:, )?)+)")
    for name, text in texts((*_FILES, "workers.sql")):
        if not name.startswith("to_"):
            for literals in compared.findall(text):
                assert set(re.findall(r"\w+", literals)) <= set(State), name
