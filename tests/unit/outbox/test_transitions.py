"""Moving copies: every transition is in the table, and the log stays sound."""

import re
from collections import Counter
from collections.abc import Callable
from datetime import timedelta

import pytest

from petition.errors import LogChanged
from petition.outbox import manual, models
from petition.outbox.database import texts
from petition.outbox.enqueue import Action, Listing
from petition.outbox.log import Log, utc_now
from petition.outbox.states import GIVE_UP, TRANSITIONS, Mode, State
from tests.unit.outbox.conftest import frozen, listed, stage
from tests.unit.outbox.hand import bring_to, make_due

BY_LATER_ROOMS = {(State.SENT, State.BOUNCED), (State.UNCERTAIN, State.BOUNCED)}
BY_A_LATE_REPLY = {(State.UNCERTAIN, State.DEFERRED), (State.UNCERTAIN, State.FAILED)}
BY_TAKING_BACK = {(State.DEFERRED, State.QUEUED)}  # test_run.py

LONGEST = timedelta(hours=4)  # between two attempts


def taken(log: Log) -> set[tuple[State | None, State]]:
    return {(event.from_state, event.to_state) for event in log.events()}


def test_every_arrow_of_the_table_is_taken_and_no_other(log: Log, queue: Callable[..., Listing]):
    names = ("ann", "bob", "cy", "dee", "eve", "flo", "gus", "hal")
    manual.suppress(log, ["hal@x.example"])
    queue(*names)
    ends = (State.SENT, State.UNCERTAIN, State.UNCERTAIN, State.FAILED)
    for name, end in zip(names, ends, strict=False):
        bring_to(log, name, end)
        queue(*names)
    for name in ("eve", "flo", "gus"):
        bring_to(log, name, State.DEFERRED)
    make_due(log)
    queue(*names)
    bring_to(log, "eve", State.DEFERRED)
    manual.resolve(log, ["bob@x.example"], None, sent=True)
    manual.resolve(log, ["cy@x.example"], None, sent=False)
    manual.retry(log, "open", None)
    manual.withdraw(log, "open", ["flo@x.example"])
    queue(*names[:-2])  # gus is gone
    manual.unsuppress(log, ["hal@x.example"])
    queue(*names)
    bring_to(log, "hal", State.QUEUED)
    bring_to(log, "gus", State.DEFERRED)
    manual.suppress(log, ["gus@x.example"])
    later = utc_now() + GIVE_UP + timedelta(hours=1)
    with Log(log.url, clock=lambda: later) as after_five_days:
        after_five_days.look_at_deferred(GIVE_UP, LONGEST)
    queue(*names, revision=2, mode=Mode.AGAIN)
    assert {pair for pair in taken(log) if pair[0]} == set(
        TRANSITIONS
    ) - BY_LATER_ROOMS - BY_A_LATE_REPLY - BY_TAKING_BACK
    assert {end for start, end in taken(log) if start is None} == {State.QUEUED, State.SKIPPED}
    assert_events_lead_to_the_states(log)


def assert_events_lead_to_the_states(log: Log) -> None:
    """Each copy's events are a chain from nothing to the state that it is in."""
    rows = log.database._connection.execute(
        "SELECT copy.id, copy.state, from_state, to_state FROM copy JOIN event"
        " ON event.copy = copy.id ORDER BY event.id"
    ).fetchall()
    at: dict[int, str | None] = {}
    for row in rows:
        assert row["from_state"] == at.get(row["id"]), dict(row)
        at[row["id"]] = row["to_state"]
    assert at == {row["id"]: row["state"] for row in rows}


def test_no_query_writes_a_state_behind_the_tables_back():
    """Only these queries set a copy's state by name; the steps above check their transitions."""
    sets = re.compile(r"\bUPDATE copy SET\s+state\s*=\s*'", re.IGNORECASE)
    found = [name for name, text in texts() if sets.search(text)]
    assert found == [
        "mark",
        "adopt",
        "queue_again",
        "to_9_duplicates",
        "to_10_copies",
        "to_11_queued",
        "to_11_stopped",
    ]
    changes = re.compile(r"UPDATE copy SET[^;]*?\bstate\b\s*(?:=|,)", re.IGNORECASE)
    heads = {name: text.split("WHERE")[0] for name, text in texts()}
    writers = {name for name, text in heads.items() if changes.search(text)}
    writers -= {name for name in writers if name.startswith("to_")}  # these write events themselves
    assert writers == {"mark", "record", "move", "adopt", "bounce", "queue_again"}


def test_an_arrow_that_is_not_in_the_table_is_not_taken(log: Log, queue: Callable[..., Listing]):
    queue("ann")
    bring_to(log, "ann", State.SENT)
    log.database._connection.execute("INSERT INTO moving SELECT id, state, 'queued', '' FROM copy")
    with pytest.raises(ValueError, match="from sent to queued"):
        models.move(log.database, log.now)
    assert [copy.state for copy in log.copies("open")] == [State.SENT]


def test_a_letter_that_is_deferred_for_five_days_fails_with_an_event(
    log: Log, queue: Callable[..., Listing]
):
    queue("ann", "bob")
    bring_to(log, "ann", State.DEFERRED)
    now = utc_now()
    for days, state in ((4, State.DEFERRED), (6, State.FAILED)):
        with Log(log.url, clock=lambda days=days: now + timedelta(days=days)) as later:
            later.look_at_deferred(GIVE_UP, LONGEST)
        assert {copy.row_id: copy.state for copy in log.copies("open")}["ann"] is state
    last = list(log.events("ann@x.example"))[-1]
    assert (last.from_state, last.to_state, last.reason) == (
        State.DEFERRED,
        State.FAILED,
        "deferred for too long",
    )


def test_a_person_starts_the_five_days_anew(log: Log, queue: Callable[..., Listing]):
    queue("ann")
    bring_to(log, "ann", State.DEFERRED)
    first = next(log.copies("open")).waiting_since
    assert first is not None
    later = utc_now() + timedelta(days=6)
    log.clock = lambda: later
    log.look_at_deferred(GIVE_UP, LONGEST)
    manual.retry(log, "open", None)
    assert next(log.copies("open")).waiting_since is None
    queue("ann")
    bring_to(log, "ann", State.DEFERRED)
    log.look_at_deferred(GIVE_UP, LONGEST)
    copy = next(log.copies("open"))
    assert copy.state is State.DEFERRED
    assert copy.waiting_since >= later - timedelta(seconds=1)
    make_due(log)
    bring_to(log, "ann", State.DEFERRED)
    assert next(log.copies("open")).waiting_since == copy.waiting_since


@pytest.mark.parametrize("how", ["withdraw", "suppress", "queued", "resolve"])
def test_what_was_confirmed_is_not_done_to_a_log_that_has_changed(
    log: Log, queue: Callable[..., Listing], how: str
):
    queue("ann", "bob", "cy")
    bring_to(log, "cy", State.UNCERTAIN)
    listing = Listing(log, "open")
    stage(listing, listed("ann", "bob", "cy", "dee"))
    comparison = listing.compare(1, Mode.CONTINUE)
    before = Counter(event.to_state for event in log.events())
    with Log(log.url) as beside:
        if how == "withdraw":
            manual.withdraw(beside, "open", ["ann@x.example"])
        elif how == "suppress":
            manual.suppress(beside, ["dee@x.example"])
        elif how == "resolve":
            manual.resolve(beside, None, None, sent=False)
        else:
            other = Listing(beside, "open")
            stage(other, listed("ann", "bob", "cy", "dee"))
            other.carry_out(other.compare(1, Mode.CONTINUE), "campaign", None)
        changed = Counter(event.to_state for event in log.events())
    with pytest.raises(LogChanged):
        listing.carry_out(comparison, "campaign", None)
    assert Counter(event.to_state for event in log.events()) == changed
    assert (changed == before) == (how == "suppress")
    again = listing.compare(1, Mode.CONTINUE)
    listing.carry_out(again, "campaign", None)


def test_what_comes_due_between_the_question_and_the_answer_is_no_change(
    log: Log, queue: Callable[..., Listing]
):
    queue("ann", "bob")
    bring_to(log, "ann", State.DEFERRED)
    listing = Listing(log, "open")
    stage(listing, listed("ann", "bob"))
    comparison = listing.compare(1, Mode.CONTINUE)
    assert comparison[Action.DEFERRED] == 1
    due = next(log.copies("open")).due_at
    log.clock = lambda: due + timedelta(minutes=1)
    listing.carry_out(comparison, "campaign", None)
    bring_to(log, "ann", State.SENT)
    assert {copy.row_id: copy.state for copy in log.copies("open")}["ann"] is State.SENT


def test_an_opt_out_holds_however_the_address_is_capitalised(log: Log):
    listing = Listing(log, "open")
    stage(listing, listed("ann", "cy"))
    listing.carry_out(listing.compare(1, Mode.CONTINUE), "campaign", frozen())
    taken = manual.suppress(log, ["Ann@x.example"])
    assert [one.mailbox for one in taken.moved] == ["ann@x.example"]
    assert listing.compare(1, Mode.CONTINUE).actions == {
        Action.OPTED_OUT: 1,
        Action.WAITING: 1,
    }
    assert len(list(log.events("aNN@x.example"))) == 2
    assert manual.unsuppress(log, ["aNN@x.example"]) == ["Ann@x.example"]
    assert manual.suppressions(log) == []
    assert [one.mailbox for one in manual.withdraw(log, "open", ["CY@x.example"]).moved] == [
        "cy@x.example"
    ]


def test_whoever_opted_out_is_not_queued_by_retry_or_resolve(
    log: Log, queue: Callable[..., Listing]
):
    queue("ann", "bob")
    bring_to(log, "ann", State.FAILED)
    queue("ann", "bob")
    bring_to(log, "bob", State.UNCERTAIN)
    manual.suppress(log, ["ann@x.example", "bob@x.example"])
    assert manual.retry(log, "open", None) == []
    assert manual.retry(log, "open", ["ann@x.example"]) == []
    [bob] = manual.resolve(log, None, None, sent=False)
    assert bob.end is State.SKIPPED
    assert {copy.state for copy in log.copies("open")} == {State.FAILED, State.SKIPPED}


@pytest.mark.sqlite
def test_many_copies_are_withdrawn_at_once_and_each_has_its_event(log: Log):
    names = [f"p{number}" for number in range(3000)]
    listing = Listing(log, "open")
    stage(listing, listed(*names))
    listing.carry_out(listing.compare(1, Mode.CONTINUE), "campaign", frozen())
    statements: list[str] = []
    log.database._connection.set_trace_callback(statements.append)
    assert len(manual.withdraw(log, "open", None).moved) == 3000
    log.database._connection.set_trace_callback(None)
    assert len(statements) < 20
    assert log.counts("open").by_state == {State.SKIPPED: 3000}
    assert sum(event.reason == "withdrawn" for event in log.events()) == 3000
