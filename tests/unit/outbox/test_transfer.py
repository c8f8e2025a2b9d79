"""A log that is moved from one database to another is the same log, and there is one of it."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from petition.errors import LogBusy, LogUnusable, UsageError
from petition.outbox import approvals, manual, service, signatures, transfer
from petition.outbox.approvals import Decision
from petition.outbox.database import Database, tables
from petition.outbox.enqueue import Listing
from petition.outbox.inbound import Incoming
from petition.outbox.log import MOVED, Log
from petition.outbox.service import ServiceKind
from petition.outbox.signatures import SignatureEntry, Wording
from petition.outbox.states import State
from tests.servers.postgres import Postgres
from tests.unit.outbox.conftest import frozen, listed, stage
from tests.unit.outbox.hand import bring_to

BEA, FAY = "bea@x.example", "fay@x.example"


@pytest.fixture
def elsewhere(log: Log, tmp_path: Path, postgres: Postgres) -> str:
    """A database of the other kind."""
    is_sqlite = log.url.startswith("sqlite")
    return postgres.new_log() if is_sqlite else f"sqlite:///{tmp_path}/other.db"


@pytest.fixture
def full(log: Log, queue: Callable[..., Listing]) -> Log:
    """A log with something in most tables."""
    queue("ann", "bob", "eve")
    bring_to(log, "ann", State.SENT)
    bring_to(log, "bob", State.DEFERRED)
    manual.suppress(log, ["eve@x.example"])
    with log.writing():
        words = Wording("en", "I sign this letter.")
        one, _ = signatures.submit(log, "open", FAY, SignatureEntry("Fay"), words, "form")
        asked = approvals.ask(
            *(log, "open", 1, "hash", "binding"),
            copies=3,
            through="mx.test",
            needed=1,
            approvers=[BEA],
            author="ann",
        )
        approvals.say(log, asked.id, Decision.REFUSED, approvals.MAIL, approver=BEA, author=BEA)
        about = (ServiceKind.CONFIRM, FAY, one.id, "x.example")
        service.add(log, *about, lambda _: b"Subject: sign", campaign="campaign")
    signatures.confirm(log, one, "link")
    return log


def content_of(log: Log) -> dict[str, list[tuple[object, ...]]]:
    return {
        table: sorted((tuple(row) for row in log.database.all(f"whole_{table}")), key=repr)
        for table in tables()
    }


def test_it_is_the_same_there_and_back_again(full: Log, elsewhere: str):
    before = content_of(full)
    moved = transfer.transfer(full, elsewhere)
    assert moved == {table: len(rows) for table, rows in before.items()}
    assert moved["copy"] == 3
    with Log(elsewhere) as there:
        assert content_of(there) == before
        manual.unsuppress(there, ["eve@x.example"])
        listing = Listing(there, "open")
        stage(listing, listed("ann", "bob", "eve", "fay"))
        listing.carry_out(listing.compare(1, "continue"), "campaign", None)
        assert [copy.id for copy in there.copies("open")] == [1, 2, 3, 4]
        approve_and_withdraw(there)
        changed = content_of(there)
        transfer.transfer(there, full.url)
    with Log(full.url) as again:
        assert content_of(again) == changed


def approve_and_withdraw(log: Log) -> None:
    """Go on there with what has numbers of its own, and prove by the key who is who."""
    [asked] = approvals.asked(log, BEA)
    [signature] = signatures.signatures(log)
    assert signatures.find(log, signatures.token_of(log, signature)) == signature
    with log.writing():
        found = approvals.with_code(log, [approvals.code_of(log, asked, BEA)])
        assert found == (asked, BEA)
        approvals.say(log, asked.id, Decision.APPROVED, approvals.MAIL, approver=BEA, author=BEA)
        signatures.mark_withdrawn(log, signature, "link")
    assert len(signatures.events(log, signature.id)) == 3


def test_what_it_was_moved_from_sends_nothing_more(full: Log, elsewhere: str):
    transfer.transfer(full, elsewhere)
    with pytest.raises(LogUnusable, match="was moved to"):
        Log(full.url)
    with pytest.raises(LogUnusable, match="was moved to"), Log(full.url):
        pass


def test_a_log_of_another_campaign_is_left_alone(full: Log, elsewhere: str):
    with Log(elsewhere) as other:
        assert other.key
        manual.suppress(other, ["somebody@x.example"])
        before = content_of(other)
        with pytest.raises(UsageError, match="another campaign"):
            transfer.transfer(full, elsewhere)
        assert content_of(other) == before
    with Log(full.url) as still:
        assert still.counts("open").total == 3


def test_a_log_in_which_there_is_nothing_is_written_over(full: Log, elsewhere: str):
    with Log(elsewhere) as other:
        assert other.key != full.key  # as a preview makes it
    before = content_of(full)
    transfer.transfer(full, elsewhere)
    with Log(elsewhere) as there:
        assert content_of(there) == before


def test_nothing_is_left_half(full: Log, elsewhere: str, monkeypatch: pytest.MonkeyPatch):
    before = content_of(full)

    def fail(source: object, target: object) -> None:
        replace(source, target)
        raise LogUnusable("the disk is full", "Free some space")

    replace = transfer._replace
    monkeypatch.setattr(transfer, "_replace", fail)
    with pytest.raises(LogUnusable, match="the disk is full"):
        transfer.transfer(full, elsewhere)
    assert content_of(full) == before
    with Log(elsewhere) as there:
        assert there.letters() == []


def test_rows_that_were_lost_on_the_way_are_noticed(
    full: Log, elsewhere: str, monkeypatch: pytest.MonkeyPatch
):
    rows = transfer._rows
    monkeypatch.setattr(
        transfer,
        "_rows",
        lambda source, table: list(rows(source, table))[: 1 if table == "event" else 99],
    )
    with pytest.raises(LogUnusable, match="did not keep every row"):
        transfer.transfer(full, elsewhere)
    monkeypatch.undo()
    transfer.transfer(full, elsewhere)


def test_a_crash_before_the_old_one_was_closed_is_made_good(full: Log, elsewhere: str):
    transfer.transfer(full, elsewhere)
    full.database._connection.execute("DELETE FROM meta WHERE name = 'moved'")
    transfer.transfer(full, elsewhere)
    with pytest.raises(LogUnusable, match="was moved to"):
        Log(full.url)


def test_two_copies_that_went_their_own_ways_are_not_mixed(full: Log, elsewhere: str):
    transfer.transfer(full, elsewhere)
    full.database._connection.execute("DELETE FROM meta WHERE name = 'moved'")
    manual.suppress(full, ["ann@x.example"])
    with pytest.raises(UsageError, match="differs"):
        transfer.transfer(full, elsewhere)


def test_two_copies_with_as_many_rows_are_not_mixed(full: Log, elsewhere: str):
    manual.suppress(full, ["zoe@x.example"])
    transfer.transfer(full, elsewhere)
    full.database._connection.execute("DELETE FROM meta WHERE name IN ('moved', 'move')")
    manual.unsuppress(full, ["zoe@x.example"])
    manual.suppress(full, ["ann@x.example"])
    with Log(elsewhere) as there:
        before = content_of(there)
        assert {table: len(rows) for table, rows in before.items()} == {
            table: len(rows) for table, rows in content_of(full).items()
        }
    with pytest.raises(UsageError, match="differs"):
        transfer.transfer(full, elsewhere)
    with Log(elsewhere) as there:
        assert content_of(there) == before


def test_a_log_is_not_moved_onto_itself_nor_while_it_is_sent_from(full: Log, elsewhere: str):
    with pytest.raises(LogBusy):
        transfer.transfer(full, full.url)
    with Log(full.url) as sending, sending.owned(), pytest.raises(LogBusy):
        transfer.transfer(full, elsewhere)
    assert full.counts("open").total == 3


def test_a_frozen_letter_goes_with_it(full: Log, elsewhere: str):
    transfer.transfer(full, elsewhere)
    with Log(elsewhere) as there:
        found = there.newest("open")
        assert found is not None
        assert found.hash == frozen().hash


def test_who_opened_it_before_writes_no_more_into_it(full: Log, elsewhere: str):
    """A page for leaving and a watched inbox have the log open for weeks."""
    with Log(full.url) as opened:
        transfer.transfer(full, elsewhere)
        with pytest.raises(LogUnusable, match="was moved to"):
            manual.suppress(opened, ["ann@x.example"])
        with pytest.raises(LogUnusable, match="was moved to"):
            Incoming(opened).record([], "maildir:in", (1, 1))


@pytest.fixture
def broken_off(full: Log, elsewhere: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Log]:
    """The log after a move that died when the target was complete and the source did not say so."""

    def die(database: Database, name: str | None, *others: str) -> None:
        if name == MOVED:
            raise KeyboardInterrupt
        note(database, name, *others)

    note = transfer._note
    with monkeypatch.context() as patch:
        patch.setattr(transfer, "_note", die)
        patch.setattr(transfer, "_undo", lambda *_: None)
        with pytest.raises(KeyboardInterrupt):
            transfer.transfer(full, elsewhere)
    with Log(full.url, even_closed=True) as log:
        yield log


def test_a_move_that_was_broken_off_is_finished_by_the_same_command(
    broken_off: Log, elsewhere: str
):
    transfer.transfer(broken_off, elsewhere)
    with Log(elsewhere) as there:
        assert there.counts("open").total == 3


def test_a_move_that_was_undone_may_be_made_later(broken_off: Log, elsewhere: str):
    assert transfer.take_back(broken_off)
    manual.withdraw(broken_off, "open", ["bob@x.example"])
    before = content_of(broken_off)
    transfer.transfer(broken_off, elsewhere)
    with Log(elsewhere) as there:
        assert content_of(there) == before


def forget_the_last_event(log: Log) -> None:
    """As in a copy of the log from before the last letter went out."""
    with log.database.transaction():
        log.database._command("DELETE FROM event WHERE id = (SELECT MAX(id) FROM event)")


def test_what_arrived_is_not_overwritten_by_an_older_log(broken_off: Log, elsewhere: str):
    assert transfer.take_back(broken_off)
    forget_the_last_event(broken_off)
    with Log(elsewhere, even_closed=True) as there:
        before = content_of(there)
    with pytest.raises(UsageError, match="differs"):
        transfer.transfer(broken_off, elsewhere)
    with Log(elsewhere, even_closed=True) as there:
        assert content_of(there) == before
    assert broken_off.closure is None


def test_what_was_moved_away_is_not_overwritten_by_an_older_log(full: Log, elsewhere: str):
    transfer.transfer(full, elsewhere)
    with Log(elsewhere) as there:
        forget_the_last_event(there)
        with pytest.raises(UsageError, match="differs"):
            transfer.transfer(there, full.url)
