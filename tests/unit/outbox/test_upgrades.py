"""An older log is upgraded, whole or not at all; a newer one is left alone."""

import stat
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from petition.errors import LogBusy, LogUnusable
from petition.outbox import person, upgrades
from petition.outbox.database import Database
from petition.outbox.log import Log
from tests.privileges import bound_by_permissions
from tests.servers.postgres import Postgres
from tests.unit.outbox.kept import ask, keep

SCHEMA = "SELECT value FROM meta WHERE name = 'schema'"
NOTE = "SELECT value FROM meta WHERE name = 'note'"
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
            person.suppress(log, ["ann@water.test"])


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
