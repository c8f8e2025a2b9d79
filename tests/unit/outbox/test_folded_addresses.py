"""Two spellings of an address are one person, whatever the log is asked."""

from collections.abc import Callable

import pytest

from petition.address import folded
from petition.identity import Identity, Signer
from petition.outbox import manual
from petition.outbox.enqueue import Action, ListedRow, Listing
from petition.outbox.erasure import erase
from petition.outbox.log import Log
from petition.outbox.manual import Forgotten
from petition.outbox.states import Mode, State
from petition.outbox.unsubscribe import copy_of_token
from tests.unit.outbox.conftest import frozen, listed, stage
from tests.unit.outbox.hand import bring_to, make_due

Queue = Callable[..., Listing]


def spelt(mailbox: str, **more: str) -> ListedRow:
    return listed("ann")[0]._replace(mailbox=mailbox, **more)


def beside(log: Log, *rows: ListedRow) -> Listing:
    listing = Listing(log, "open")
    stage(listing, rows)
    return listing


def message_id(log: Log) -> str:
    """The Message-ID that the next attempt of the only copy gets."""
    [copy] = log.copies("open")
    identity = Identity("campaign", "open", copy.revision, copy.spelling)
    return Signer(log.key).message_id(identity, "x.example")


@pytest.mark.parametrize(
    ("state", "action"),
    [
        (State.SENT, Action.HAS_IT),
        (State.BOUNCED, Action.HAS_IT),
        (State.UNCERTAIN, Action.UNCERTAIN),
        (State.FAILED, Action.FAILED),
        (State.DEFERRED, Action.DEFERRED),
    ],
)
def test_who_has_it_has_it_under_every_spelling(
    log: Log, queue: Queue, state: State, action: Action
):
    queue("ann")
    bring_to(log, "ann", State.SENT if state is State.BOUNCED else state)
    if state is State.BOUNCED:
        log.database._connection.execute("UPDATE copy SET state = 'bounced'")
    comparison = beside(log, spelt("Ann@X.example")).compare(1, Mode.CONTINUE)
    assert comparison.actions == {action: 1}
    assert comparison.gone == 0


def test_who_was_withdrawn_stays_withdrawn_under_every_spelling(log: Log, queue: Queue):
    queue("ann")
    manual.withdraw(log, "open", ["ANN@x.example"])
    comparison = beside(log, spelt("Ann@x.example")).compare(1, Mode.CONTINUE)
    assert comparison.actions == {Action.WITHDRAWN: 1}


@pytest.mark.parametrize("other", ["stra\u00dfe@x.example", "STRASSE@x.example"])
def test_who_opted_out_is_left_out_under_every_spelling(log: Log, other: str):
    manual.suppress(log, ["strasse@x.example"])
    comparison = beside(log, spelt(other)).compare(1, Mode.CONTINUE)
    assert comparison.actions == {Action.OPTED_OUT: 1}


def test_a_copy_that_was_never_attempted_goes_to_the_address_as_it_is_written_now(
    log: Log, queue: Queue
):
    queue("ann")
    before = message_id(log)
    [row] = beside(log, spelt("Ann@x.example")).to_send()
    assert (row.mailbox, row.queued_as) == ("Ann@x.example", "")
    listing = beside(log, spelt("Ann@x.example"))
    comparison = listing.compare(1, Mode.CONTINUE)
    assert comparison.actions == {Action.REFRESHED: 1}
    [row] = listing.to_send()
    assert (row.mailbox, row.queued_as) == ("Ann@x.example", "ann@x.example")
    listing.carry_out(comparison, "campaign", None)
    [copy] = log.copies("open")
    assert (copy.mailbox, copy.spelling, copy.folded) == (
        "Ann@x.example",
        "ann@x.example",
        "ann@x.example",
    )
    assert message_id(log) == before  # P4
    bring_to(log, "ann", State.SENT)
    # Back again in the first spelling, it is its own.
    assert beside(log, spelt("ann@x.example")).compare(1, Mode.CONTINUE).actions == {
        Action.HAS_IT: 1
    }


def test_the_links_of_a_copy_work_whatever_it_is_called_now(log: Log, queue: Queue):
    queue("ann")
    identity = Identity("campaign", "open", 1, "ann@x.example")
    listing = beside(log, spelt("Ann@x.example"))
    listing.carry_out(listing.compare(1, Mode.CONTINUE), "campaign", None)
    token = Signer(log.key).unsubscribe_token(identity)
    log.database._connection.execute(f"UPDATE copy SET unsubscribe = '{token[:16]}'")
    copy = copy_of_token(log, token)
    assert copy is not None
    assert copy.mailbox == "Ann@x.example"


def test_a_copy_that_was_attempted_goes_as_it_was_queued(log: Log, queue: Queue):
    queue("ann")
    bring_to(log, "ann", State.DEFERRED)
    make_due(log)
    listing = beside(log, spelt("Ann@x.example"))
    comparison = listing.compare(1, Mode.CONTINUE)
    assert comparison.actions == {Action.WAITING: 1}
    assert comparison.as_queued == 1
    [row] = listing.to_send()
    assert row.mailbox == "ann@x.example"


def test_rows_that_are_left_out_beside_another_are_there_once(log: Log):
    rows = [
        spelt("ann@x.example"),
        spelt("Ann@x.example (duplicate)", excluded="duplicate", address="Ann@x.example"),
        spelt("ann@x.example (duplicate 2)", excluded="duplicate", address="ann@x.example"),
        spelt("ann@x.example (invalid)", excluded="invalid", address="ann@x.example"),
    ]
    for mode, revision, action in (
        (Mode.CONTINUE, 1, Action.NEW),
        (Mode.CONTINUE, 1, Action.WAITING),
        (Mode.REVISE, 2, Action.REPLACED),
    ):
        listing = beside(log, *rows)
        comparison = listing.compare(revision, mode)
        assert comparison.actions == {action: 1, Action.EXCLUDED: 3}
        freeze = None if log.frozen("open", revision) else frozen(revision)
        listing.carry_out(comparison, "campaign", freeze)
    assert log.counts("open").by_state == {State.QUEUED: 1, State.SKIPPED: 3}
    assert [copy.mailbox for copy in log.copies("open", State.QUEUED)] == ["ann@x.example"]


def test_who_was_forgotten_does_not_come_back_in_another_spelling(log: Log, queue: Queue):
    queue("ann")
    with log.owned():
        erase(log, "ANN@x.example", [], [])
    assert "Ann@X.example" in Forgotten(log)
    comparison = beside(log, spelt("aNn@x.example")).compare(1, Mode.CONTINUE)
    assert comparison.actions == {Action.EXCLUDED: 1}
    assert "ann" not in str(log.database.all("copies", {"letter": "open"})[0]["mailbox"])


def test_who_was_forgotten_under_the_key_of_schema_8_stays_so(log: Log):
    box = "Stra\u00dfe@x.example"
    stand_in = Signer(log.key).stand_in(box.lower())
    values = {"folded": stand_in, "mailbox": stand_in, "reason": "forgotten", "now": log.now}
    log.database.run("suppress", values)
    assert box in Forgotten(log)
    assert folded(box) != box.lower()
    comparison = beside(log, spelt(box)).compare(1, Mode.CONTINUE)
    assert comparison.actions == {Action.EXCLUDED: 1}
