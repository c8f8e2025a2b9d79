"""An older log is upgraded, whole or not at all; a newer one is left alone."""

import asyncio
import signal
import stat
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from petition.errors import LogBusy, LogUnusable
from petition.outbox import manual, upgrades
from petition.outbox.database import Database, tables
from petition.outbox.enqueue import Action, Listing
from petition.outbox.log import Log
from petition.outbox.run import Run
from petition.outbox.states import Mode, State
from tests.privileges import bound_by_permissions
from tests.servers.postgres import Postgres
from tests.unit.outbox.conftest import listed, stage
from tests.unit.outbox.kept import ask, keep

SCHEMA = "SELECT value FROM meta WHERE name = 'schema'"
NOTE = "SELECT value FROM meta WHERE name = 'note'"
STATES = "SELECT mailbox, revision, state, newest, reason FROM copy WHERE letter = 'open-letter'"
EVERYTHING = "SELECT mailbox, state, reason, message_id, token FROM copy ORDER BY id"


@pytest.fixture
def kept(log_url: str) -> str:
    return keep(log_url)


@pytest.fixture
def later(monkeypatch: pytest.MonkeyPatch) -> int:
    """A later version of petition, which knows one schema more."""
    number = upgrades.newest() + 1

    def step(database: Database) -> None:
        database.run("set_meta", {"name": "note", "value": "made"})

    monkeypatch.setitem(upgrades._STEPS, number, step)
    return number


def test_an_older_log_is_upgraded_by_whoever_opens_it_first(kept: str, later: int):
    with Log(kept) as log:
        assert log.database.upgraded is not None
        assert (log.database.upgraded.before, log.database.upgraded.after) == (8, later)
        assert log.letters() == ["news", "open-letter"]
    assert ask(kept, SCHEMA) == [(str(later),)]
    assert ask(kept, NOTE) == [("made",)]
    with Log(kept) as log:
        assert log.database.upgraded is None


def test_two_spellings_of_one_person_become_one_that_counts(kept: str):
    before = dict(ask(kept, "SELECT id, message_id FROM copy"))
    with Log(kept) as log:
        assert log.database.upgraded is not None
    found = {(row[0], row[1]): row[2:] for row in ask(kept, STATES)}
    # Both had it, and both stay so; one of them counts.
    assert found["ann@water.test", 1] == ("sent", 1, "")
    assert found["Ann@water.test", 1] == ("sent", 0, "")
    assert found["strasse@water.test", 1] == ("sent", 1, "")
    assert found["straße@water.test", 1] == ("sent", 0, "")
    # Neither went out; the newer revision counts.
    assert found["later@water.test", 2][:2] == ("deferred", 1)
    assert found["later@water.test", 1][:2] == ("skipped", 0)
    assert found["Later@water.test", 1][:2] == ("skipped", 0)
    assert dict(ask(kept, "SELECT id, message_id FROM copy")) == before


@pytest.mark.parametrize(
    ("further", "behind", "is_kept"),
    [
        ("sent", "queued", False),
        ("sent", "deferred", False),
        ("sent", "uncertain", True),
        ("bounced", "failed", False),
        ("uncertain", "queued", False),
        ("deferred", "queued", False),
    ],
)
def test_the_one_that_got_further_counts(kept: str, further: str, behind: str, is_kept: bool):
    # The one that was queued later is the one that got further.
    ask(kept, f"UPDATE copy SET state = '{further}' WHERE mailbox = 'TWICE@water.test'")
    ask(kept, f"UPDATE copy SET state = '{behind}' WHERE mailbox = 'twice@water.test'")
    with Log(kept) as log:
        [newest] = [copy for copy in log.copies("open-letter") if copy.row_id.lower() == "twice"]
        assert (newest.mailbox, newest.state) == ("TWICE@water.test", further)
        events = [event for event in log.events("twice@water.test") if event.reason == "duplicate"]
    found = {row[0]: row[2:] for row in ask(kept, STATES)}
    if is_kept:
        assert found["twice@water.test"] == (behind, 0, "")
        assert events == []
    else:
        assert found["twice@water.test"] == ("skipped", 0, "duplicate")
        assert [(event.from_state, event.to_state) for event in events] == [(behind, "skipped")]


@pytest.mark.parametrize(("mode", "state"), [("revise", "skipped"), ("again", "deferred")])
def test_who_has_an_earlier_revision_is_not_new_in_another_spelling(
    kept: str, mode: str, state: str
):
    ask(kept, "UPDATE copy SET state = 'sent' WHERE mailbox = 'Later@water.test' AND revision = 1")
    ask(kept, f"UPDATE frozen SET mode = '{mode}' WHERE letter = 'open-letter' AND revision = 2")
    Log(kept).close()
    found = {(row[0], row[1]): row[2:4] for row in ask(kept, STATES)}
    is_duplicate = state == "skipped"
    assert found["later@water.test", 2] == (state, int(not is_duplicate))
    assert found["Later@water.test", 1] == ("sent", int(is_duplicate))


def test_an_upgraded_log_knows_everybody_under_every_spelling(kept: str):
    boxes = ["ANN", "Bob", "CYD", "Strasse", "quit", "Forget"]
    rows = [listed(box)[0]._replace(mailbox=f"{box}@WATER.test") for box in boxes]
    with Log(kept) as log:
        listing = Listing(log, "open-letter")
        stage(listing, rows)
        comparison = listing.compare(2, Mode.CONTINUE)
        assert not comparison.to_send
        assert comparison.actions == {Action.HAS_IT: 6}
        listing = Listing(log, "news")
        stage(
            listing,
            [
                listed("Ann")[0]._replace(mailbox="Ann@water.test"),
                listed("x")[0]._replace(
                    mailbox="ann@water.test (duplicate)",
                    address="ann@water.test",
                    excluded="duplicate",
                ),
            ],
        )
        comparison = listing.compare(1, Mode.CONTINUE)
        assert comparison.actions == {Action.HAS_IT: 1, Action.EXCLUDED: 1}
        listing.carry_out(comparison, "water", None)


def test_what_an_upgraded_log_sends_is_bound(kept: str):
    with Log(kept) as log:
        ask(kept, "UPDATE copy SET due_at = '2020-01-01T00:00:00.000Z' WHERE due_at IS NOT NULL")
        listing = Listing(log, "open-letter")
        stage(listing, [listed("later")[0]._replace(mailbox="LATER@water.test")])
        listing.carry_out(listing.compare(2, Mode.CONTINUE), "water", None)

        async def claim() -> list[str]:
            run = Run(log, "open-letter")
            taken = [copy.mailbox for copy in await run.fetch(10)]
            await run.close()
            return taken

        assert asyncio.run(claim()) == ["later@water.test"]


def test_an_upgraded_log_is_made_as_a_new_one_is(kept: str):
    with Log(kept) as log:  # in a file the whole schema is compared besides
        row = log.database.one("one_copy", {"copy": 1})
    assert row is not None
    assert sorted(row.keys()) == sorted(tables()["copy"])


def test_the_state_of_a_skipped_copy_has_its_new_name_everywhere(kept: str):
    copies = "SELECT id FROM copy WHERE state = '{}' ORDER BY id"
    starts = "SELECT id FROM event WHERE from_state = '{}' ORDER BY id"
    ends = "SELECT id FROM event WHERE to_state = '{}' ORDER BY id"
    ask(kept, "UPDATE event SET from_state = 'suppressed' WHERE id = 31")
    before = {query: set(ask(kept, query.format("suppressed"))) for query in (copies, starts, ends)}
    opted_out = ask(kept, "SELECT folded, reason FROM suppression ORDER BY folded")
    assert all(before.values())
    with Log(kept) as log:
        assert log.counts("news").by_state[State.SKIPPED] > 0
        for query, found in before.items():
            assert ask(kept, query.format("suppressed")) == []
            assert set(ask(kept, query.format("skipped"))) >= found
    assert ask(kept, "SELECT folded, reason FROM suppression ORDER BY folded") == opted_out


def test_a_copy_that_was_in_hand_without_a_mark_waits_or_is_stopped(kept: str):
    waits, marked, stopped = 2, 6, 3  # copies of three people
    for copy, changes in (
        (waits, "intended = 0"),
        (marked, "intended = 1"),
        (stopped, "intended = 0, stopped = 'withdrawn'"),
    ):
        ask(kept, f"UPDATE copy SET state = 'sending', owner = 'x', {changes} WHERE id = {copy}")
    with Log(kept) as log, log.owned():
        found = {copy.id: (copy.state, copy.reason) for copy in log.copies("open-letter")}
    assert found[waits][0] is State.QUEUED
    assert found[marked][0] is State.UNCERTAIN
    assert found[stopped] == (State.SKIPPED, "withdrawn")
    steps = "SELECT from_state, to_state FROM event WHERE copy = {} ORDER BY id DESC LIMIT 2"
    assert ask(kept, steps.format(waits))[0] == ("sending", "queued")
    assert ask(kept, steps.format(marked))[0] == ("sending", "uncertain")
    assert ask(kept, steps.format(stopped)) == [("queued", "skipped"), ("sending", "queued")]


KILLED = """
    import os, signal, sys
    from petition.outbox.log import Log
    from petition.outbox.postgres import PostgresDatabase
    from petition.outbox.sqlite import SqliteDatabase
    left = int(sys.argv[2])
    def killing(method):
        def run(self, name, *values):
            global left
            if name.startswith("to_") or name == "set_schema":
                left -= 1
                if left < 0:
                    os.kill(os.getpid(), signal.SIGKILL)
            return method(self, name, *values)
        return run
    for kind in (SqliteDatabase, PostgresDatabase):
        for name in ("run", "run_rows", "all"):
            setattr(kind, name, killing(getattr(kind, name)))
    Log(sys.argv[1]).close()
"""


@pytest.mark.slow
def test_an_upgrade_that_is_killed_at_any_step_is_whole_or_not_at_all(kept: str):
    before = ask(kept, EVERYTHING)
    for step in range(100):
        call = [sys.executable, "-c", textwrap.dedent(KILLED), kept, str(step)]
        done = subprocess.run(call, check=False)
        if done.returncode == 0:
            break
        assert done.returncode == -signal.SIGKILL
        assert ask(kept, SCHEMA) == [("8",)]
        assert ask(kept, EVERYTHING) == before
    assert step > 10
    assert ask(kept, SCHEMA) == [(str(upgrades.newest()),)]


@pytest.mark.sqlite
def test_a_file_is_copied_before_it_is_upgraded(kept: str, later: int, tmp_path: Path):
    before = ask(kept, EVERYTHING)
    with Log(kept) as log:
        assert log.database.upgraded is not None
        copy = Path(log.database.upgraded.kept or "")
    assert copy == tmp_path / "petition.schema-8.db"
    assert stat.S_IMODE(copy.stat().st_mode) == 0o600
    assert ask(f"sqlite:///{copy}", SCHEMA) == [("8",)]
    assert ask(f"sqlite:///{copy}", EVERYTHING) == before
    # The copy put back in its place is upgraded again, and no earlier copy is lost.
    copy.rename(tmp_path / "petition.db")
    copy.write_text("another")
    with Log(kept) as log:
        assert log.database.upgraded is not None
        assert Path(log.database.upgraded.kept or "") == tmp_path / "petition.schema-8-2.db"
    assert copy.read_text() == "another"


def test_an_upgrade_that_fails_changes_nothing(
    kept: str, later: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    def fail(database: Database) -> None:
        database.run("set_meta", {"name": "note", "value": "half"})
        raise LogUnusable("the disk is full")

    monkeypatch.setitem(upgrades._STEPS, later, fail)
    before = ask(kept, EVERYTHING)
    with pytest.raises(LogUnusable, match="full"):
        Log(kept)
    assert ask(kept, SCHEMA) == [("8",)]
    assert ask(kept, NOTE) == []
    assert ask(kept, EVERYTHING) == before
    assert not list(tmp_path.glob("*schema-8*"))


def test_a_log_that_is_being_sent_from_is_not_upgraded(
    kept: str, later: int, monkeypatch: pytest.MonkeyPatch
):
    with monkeypatch.context() as earlier:
        earlier.delitem(upgrades._STEPS, later)
        sender = Log(kept)
    with sender, sender.owned():
        with pytest.raises(LogBusy):
            Log(kept)
        number = upgrades.schema_of(sender.database)
    assert number < later
    with Log(kept) as log:
        assert log.database.upgraded is not None


def test_a_newer_log_is_left_alone(kept: str):
    ask(kept, "UPDATE meta SET value = '99' WHERE name = 'schema'")
    before = ask(kept, EVERYTHING)
    with pytest.raises(LogUnusable, match="newer version of petition"):
        Log(kept)
    assert ask(kept, EVERYTHING) == before


def test_a_log_that_was_upgraded_while_it_was_open_takes_no_more_words(kept: str):
    with Log(kept) as log:
        ask(kept, "UPDATE meta SET value = '99' WHERE name = 'schema'")
        with pytest.raises(LogUnusable, match="newer version of petition"):
            manual.suppress(log, ["ann@water.test"])


@pytest.mark.sqlite
def test_an_older_log_that_may_only_be_read_says_what_to_do(kept: str, tmp_path: Path):
    for file in (tmp_path, tmp_path / "petition.db"):
        file.chmod(file.stat().st_mode & 0o555)
    program = f"""
        from petition.errors import LogUnusable
        from petition.outbox import upgrades
        from petition.outbox.log import Log
        upgrades._STEPS[99] = lambda database: None
        try:
            Log({kept!r})
        except LogUnusable as fault:
            print(fault)
    """
    done = subprocess.run(
        [*bound_by_permissions(), sys.executable, "-c", textwrap.dedent(program)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert "older version of petition" in done.stdout, done.stderr
    assert "petition send" in done.stdout
    assert ask(kept, SCHEMA) == [("8",)]


def test_an_older_log_of_a_role_that_may_only_read_says_what_to_do(postgres: Postgres, later: int):
    url = keep(postgres.new_log())
    with pytest.raises(LogUnusable, match="older version of petition"):
        Log(f"{url}%20-cdefault_transaction_read_only%3Don")
    assert ask(url, SCHEMA) == [("8",)]
