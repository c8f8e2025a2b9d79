import json
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from petition.errors import LogUnusable
from petition.outbox import manual
from petition.outbox.enqueue import Action, ListedRow, Listing, all_as_json, as_json
from petition.outbox.log import Log
from petition.outbox.states import Mode, State
from tests.unit.outbox.conftest import frozen, listed, stage
from tests.unit.outbox.hand import bring_to, make_due


def states(log: Log) -> dict[str, State]:
    return {copy.row_id: copy.state for copy in log.copies("open")}


def test_the_first_list_is_queued_whole_and_in_order(log: Log, queue: Callable[..., Listing]):
    queue("ann", "bob", "cy")
    assert [copy.row_id for copy in log.copies("open")] == ["ann", "bob", "cy"]
    assert log.counts("open").by_state == {State.QUEUED: 3}
    assert [(event.from_state, event.to_state) for event in log.events()] == [
        (None, State.QUEUED)
    ] * 3


def test_the_same_list_again_adds_nothing(log: Log, queue: Callable[..., Listing]):
    queue("ann", "bob")
    before = list(log.events())
    queue("ann", "bob")
    assert list(log.events()) == before


def test_a_person_added_removed_and_corrected_between_two_runs(
    log: Log, queue: Callable[..., Listing]
):
    queue("ann", "bob", "cy")
    bring_to(log, "ann", State.SENT)
    listing = Listing(log, "open")
    stage(listing, listed("ann", "bob", "dee", town="Leeds"))
    comparison = listing.compare(1, Mode.CONTINUE)
    assert comparison.actions == {Action.HAS_IT: 1, Action.REFRESHED: 1, Action.NEW: 1}
    assert comparison.gone == 1
    listing.carry_out(comparison, "campaign", None)
    assert states(log) == {
        "ann": State.SENT,
        "bob": State.QUEUED,
        "cy": State.SKIPPED,
        "dee": State.QUEUED,
    }
    rows = {copy.row_id: copy for copy in log.copies("open")}
    assert rows["bob"].fields["town"] == "Leeds"
    assert "town" not in rows["ann"].fields
    assert rows["cy"].reason == "removed from the list"


def test_one_who_comes_back_to_the_list_is_queued_again(log: Log, queue: Callable[..., Listing]):
    queue("ann", "bob")
    queue("ann")
    assert states(log)["bob"] is State.SKIPPED
    queue("ann", "bob")
    assert states(log)["bob"] is State.QUEUED
    assert log.counts("open").total == 2


def test_a_row_that_was_attempted_keeps_its_fields(log: Log, queue: Callable[..., Listing]):
    queue("ann")
    bring_to(log, "ann", State.DEFERRED)
    listing = Listing(log, "open")
    stage(listing, listed("ann", town="Leeds"))
    comparison = listing.compare(1, Mode.CONTINUE)
    assert comparison.actions == {Action.DEFERRED: 1}
    make_due(log)
    comparison = listing.compare(1, Mode.CONTINUE)
    assert (comparison.actions, comparison.as_queued) == ({Action.WAITING: 1}, 1)
    assert [row.fields for row in listing.to_send()] == [{"name": "Ann"}]


def test_revise_reaches_those_alone_who_have_not_had_it(log: Log, queue: Callable[..., Listing]):
    queue("ann", "bob", "cy", "dee", "eve", "flo")
    bring_to(log, "ann", State.SENT)
    bring_to(log, "bob", State.UNCERTAIN)
    bring_to(log, "cy", State.FAILED)
    bring_to(log, "dee", State.DEFERRED)
    queue("ann", "bob", "cy", "dee", "eve", "flo", "gus", revision=2, mode=Mode.REVISE)
    newest = {copy.row_id: (copy.state, copy.revision) for copy in log.copies("open")}
    assert newest == {
        "ann": (State.SENT, 1),
        "bob": (State.UNCERTAIN, 1),
        "cy": (State.QUEUED, 2),
        "dee": (State.QUEUED, 2),
        "eve": (State.QUEUED, 2),
        "flo": (State.QUEUED, 2),
        "gus": (State.QUEUED, 2),
    }
    assert log.counts("open").total == 7
    earlier = log.copies_to("open", "dee@x.example")[0]
    assert (earlier.state, earlier.reason) == (
        State.SKIPPED,
        "replaced by a newer revision",
    )


def test_again_reaches_everyone_but_those_who_opted_out(log: Log, queue: Callable[..., Listing]):
    queue("ann", "bob")
    bring_to(log, "ann", State.SENT)
    bring_to(log, "bob", State.SENT)
    manual.suppress(log, ["bob@x.example"])
    queue("ann", "bob", revision=2, mode=Mode.AGAIN)
    assert states(log) == {"ann": State.QUEUED, "bob": State.SENT}


def test_a_limit_chooses_the_first_rows_that_still_want_a_letter(
    log: Log, queue: Callable[..., Listing]
):
    queue("ann", "bob", "cy", limit=1)
    assert states(log) == {"ann": State.QUEUED}
    bring_to(log, "ann", State.SENT)
    queue("ann", "bob", "cy", limit=1)
    assert states(log) == {"ann": State.SENT, "bob": State.QUEUED}


def test_those_who_are_not_chosen_are_neither_queued_nor_removed(
    log: Log, queue: Callable[..., Listing]
):
    queue("ann", "bob")
    listing = Listing(log, "open")
    stage(listing, listed("ann", "bob", "cy", only=("ann",)))
    comparison = listing.compare(1, Mode.CONTINUE)
    assert (comparison.actions, comparison.gone) == ({Action.WAITING: 1}, 0)
    listing.carry_out(comparison, "campaign", None)
    assert states(log) == {"ann": State.QUEUED, "bob": State.QUEUED}
    assert listing.states() == {State.QUEUED: 1}


def test_one_who_opted_out_is_suppressed_from_the_start(log: Log, queue: Callable[..., Listing]):
    manual.suppress(log, ["bob@x.example"])
    queue("ann", "bob")
    rows = {copy.row_id: copy for copy in log.copies("open")}
    assert (rows["bob"].state, rows["bob"].reason) == (State.SKIPPED, "opted out")
    manual.unsuppress(log, ["bob@x.example"])
    queue("ann", "bob")
    assert states(log)["bob"] is State.QUEUED


def test_comparing_writes_nothing_to_the_log(log: Log):
    listing = Listing(log, "open")
    stage(listing, listed("ann"))
    listing.compare(1, Mode.CONTINUE)
    assert (log.letters(), list(log.copies()), log.campaign_id) == ([], [], None)


def test_the_database_itself_refuses_a_second_copy_to_one_mailbox(
    log: Log, queue: Callable[..., Listing]
):
    from petition.errors import LogUnusable

    queue("ann")
    listing = Listing(log, "open")
    stage(listing, listed("ann"))
    listing.compare(1, Mode.CONTINUE)
    log.database._connection.execute("UPDATE listed SET action = 'new'")
    with pytest.raises(LogUnusable, match=r"(?i)unique"), log.database.transaction():
        log.database.run("enqueue", {"letter": "open", "revision": 1, "now": ""})
    assert log.counts("open").total == 1


def test_a_letter_is_frozen_with_its_first_copy_and_the_campaign_is_fixed(
    log: Log, queue: Callable[..., Listing]
):
    queue("ann")
    kept = log.newest("open")
    assert kept is not None
    assert (kept.revision, kept.hash) == (1, frozen().hash)
    assert log.campaign_id == "campaign"
    stage(Listing(log, "open"), [])
    log.database.run("set_meta", {"name": "campaign", "value": "another"})
    assert log.campaign_id == "campaign"


def excluding(names: tuple[str, ...], **reasons: str) -> list[ListedRow]:
    return [row._replace(excluded=reasons.get(row.row_id, "")) for row in listed(*names)]


def carried_out(log: Log, rows: list[ListedRow], *, mode: Mode = Mode.CONTINUE) -> Listing:
    listing = Listing(log, "open")
    stage(listing, rows)
    revision = 1 if mode is Mode.CONTINUE else 2
    is_new = log.frozen("open", revision) is None
    comparison = listing.compare(revision, mode)
    listing.carry_out(comparison, "campaign", frozen(revision) if is_new else None)
    return listing


def test_a_row_that_its_list_excludes_is_suppressed_from_the_start(log: Log):
    rows = excluding(("ann", "bob", "cy", "dee"), bob="deceased", cy="on hold", dee="deceased")
    listing = Listing(log, "open")
    stage(listing, rows)
    comparison = listing.compare(1, Mode.CONTINUE)
    assert comparison.actions == {Action.NEW: 1, Action.EXCLUDED: 3}
    assert dict(comparison.excluded) == {"deceased": 2, "on hold": 1}
    assert comparison.to_send == 1
    assert [row.row_id for row in listing.to_send()] == ["ann"]
    listing.carry_out(comparison, "campaign", frozen())
    reasons = {copy.row_id: (copy.state, copy.reason) for copy in log.copies("open")}
    assert reasons["ann"] == (State.QUEUED, "")
    assert reasons["bob"] == (State.SKIPPED, "deceased")
    assert reasons["cy"] == (State.SKIPPED, "on hold")
    assert [event.reason for event in log.events("cy@x.example")] == ["on hold"]
    before = list(log.events())
    carried_out(log, rows)
    assert list(log.events()) == before


@pytest.mark.parametrize("state", [State.QUEUED, State.DEFERRED])
def test_what_waits_for_a_row_that_came_to_be_excluded_is_suppressed(
    log: Log, queue: Callable[..., Listing], state: State
):
    queue("ann", "bob")
    if state is not State.QUEUED:
        bring_to(log, "bob", state)
    carried_out(log, excluding(("ann", "bob"), bob="unsubscribed"))
    assert states(log) == {"ann": State.QUEUED, "bob": State.SKIPPED}
    last = list(log.events("bob@x.example"))[-1]
    assert (last.from_state, last.to_state, last.reason) == (
        state,
        State.SKIPPED,
        "unsubscribed",
    )


@pytest.mark.parametrize("state", [State.SENT, State.UNCERTAIN, State.FAILED])
@pytest.mark.parametrize("mode", list(Mode))
def test_one_who_came_to_be_excluded_gets_no_further_copy(
    log: Log, queue: Callable[..., Listing], state: State, mode: Mode
):
    queue("ann", "bob")
    bring_to(log, "bob", state)
    listing = carried_out(log, excluding(("ann", "bob"), bob="deceased"), mode=mode)
    assert [copy.state for copy in log.copies_to("open", "bob@x.example")] == [state]
    assert listing.first() is not None
    assert "bob" not in {row.row_id for row in listing.to_send()}


def test_one_who_is_no_longer_excluded_is_queued(log: Log):
    carried_out(log, excluding(("ann",), ann="on hold"))
    carried_out(log, excluding(("ann",)))
    assert states(log) == {"ann": State.QUEUED}


def test_a_persons_own_word_comes_before_that_of_the_list(log: Log):
    manual.suppress(log, ["ann@x.example"])
    listing = carried_out(log, excluding(("ann",), ann="on hold"))
    assert listing.compare(1, Mode.CONTINUE).actions == {Action.OPTED_OUT: 1}
    assert [copy.reason for copy in log.copies("open")] == ["opted out"]


def test_a_trial_copy_is_made_for_nobody_who_is_excluded(log: Log):
    listing = Listing(log, "open")
    stage(listing, excluding(("ann", "bob"), ann="deceased"))
    listing.compare(1, Mode.CONTINUE)
    assert listing.first().row_id == "bob"


@pytest.mark.parametrize("state", [State.QUEUED, State.SENT, State.SKIPPED])
def test_no_mailbox_has_two_copies_in_one_revision(
    log: Log, queue: Callable[..., Listing], state: State
):
    queue("ann")
    (row,) = log.database.all("whole_copy")
    twin = {**dict(zip(row.keys(), row, strict=True)), "id": row["id"] + 1, "state": state}
    with pytest.raises(LogUnusable), log.database.transaction():
        log.database.run_many("put_copy", [list(twin.values())])


@given(st.dictionaries(st.text(), st.text(), max_size=5))
def test_fields_are_kept_as_json_with_sorted_names(fields: dict[str, str]):
    assert as_json(fields) == json.dumps(fields, ensure_ascii=False, sort_keys=True)


SOME = st.text('ab"\\%ж\n', max_size=3)
FIELDS = st.fixed_dictionaries({"name": SOME, "a%s": SOME})


@given(st.lists(FIELDS | st.dictionaries(st.sampled_from(["name", "a%s", "c"]), st.text())))
def test_fields_of_many_rows_are_kept_as_those_of_one(rows: list[dict[str, str]]):
    assert all_as_json(rows) == [*map(as_json, rows)]


def test_rows_are_staged_together_as_they_are_one_by_one(log: Log):
    assert log.key  # it is made in a transaction of its own
    with log.database.transaction():
        manual.Forgotten(log).add("bob@x.example")
    rows = listed("ann", "bob", "Жан", "dora", only=("ann", "bob"))
    left_out = [
        row._replace(mailbox=f"{row.mailbox} (duplicate{more})", address=row.mailbox.upper())
        for row in rows
        for more in ("", " 2")
    ]
    rows = [*rows, *(row._replace(excluded="duplicate", chosen=False) for row in left_out)]
    staged = []
    for size in (1, 3, len(rows)):
        listing = Listing(log, "open")
        with listing.staging() as stage_some:
            for begin in range(0, len(rows), size):
                stage_some(rows[begin : begin + size])
        kept = log.database._connection.execute("SELECT * FROM listed ORDER BY position")
        staged.append([*map(tuple, kept.fetchall())])
    assert len(staged[0]) == len(rows)
    assert staged[0] == staged[1] == staged[2]
