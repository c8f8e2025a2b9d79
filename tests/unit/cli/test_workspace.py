import subprocess
import sys
from pathlib import Path

import pytest

from petition.cli.workspace import Workspace
from petition.errors import CampaignError, LogUnusable, UsageError

SETTINGS = '[campaign]\ntitle = "T"\n[sender]\nfrom = "a@x.example"\n'


@pytest.fixture
def place(tmp_path: Path) -> Workspace:
    (tmp_path / "petition.toml").write_text(SETTINGS, encoding="utf-8")
    return Workspace(tmp_path)


@pytest.fixture(autouse=True)
def _no_environment(monkeypatch):
    for name in ("PETITION_SMTP_HOST", "PETITION_DATABASE"):
        monkeypatch.delenv(name, raising=False)


def test_without_a_server_it_is_a_rehearsal_with_a_log_of_its_own(place: Workspace):
    assert place.is_rehearsal
    assert place.log_file == place.root / "rehearsal.db"


def test_a_server_has_the_real_log(place: Workspace, monkeypatch):
    monkeypatch.setenv("PETITION_SMTP_HOST", "mail.somewhere.net")
    assert not place.is_rehearsal
    assert place.log_file == place.root / "petition.db"


def test_looking_makes_no_log(place: Workspace):
    assert place.log_if_any is None
    with pytest.raises(UsageError, match="nothing has been sent yet"):
        _ = place.existing_log
    assert not place.log_file.exists()


def test_the_log_is_made_by_whoever_writes_to_it(place: Workspace):
    with pytest.raises(LogUnusable, match="there is no log"):
        _ = place.log
    assert not place.log_file.exists()
    writing = Workspace(place.root, writes=True)
    log = writing.log
    assert writing.log_if_any is log
    assert writing.existing_log is log
    log.close()


def test_a_log_that_is_open_keeps_its_locks_when_it_is_asked_for_again(place: Workspace):
    writing = Workspace(place.root, writes=True)
    with writing.log as log:
        assert log.key
        assert writing.log_if_any is log
        writing.say_which()
        other = (
            "import sqlite3, sys; database = sqlite3.connect(sys.argv[1]);"
            " database.execute('SELECT * FROM meta').fetchall(); database.close()"
        )
        wal = place.root / "rehearsal.db-wal"
        kept = wal.stat().st_ino
        subprocess.run([sys.executable, "-c", other, str(place.log_file)], check=True)
        # Whoever believes to be the last one deletes it, and what is written there is lost.
        assert wal.stat().st_ino == kept


def test_a_wrong_petition_toml_is_refused_for_its_log_could_be_another(place: Workspace):
    (place.root / "petition.toml").write_text(SETTINGS + "[log]\ndatabas = 'x'\n", encoding="utf-8")
    with pytest.raises(CampaignError) as caught:
        _ = place.url
    assert caught.value.problems[0].line == 6


def test_check_reads_on(place: Workspace):
    (place.root / "petition.toml").write_text(SETTINGS + "[log]\ndatabas = 'x'\n", encoding="utf-8")
    assert Workspace(place.root, reads_on=True).is_rehearsal


def test_no_campaign_at_all(tmp_path: Path):
    with pytest.raises(CampaignError) as caught:
        _ = Workspace(tmp_path).settings
    assert "petition init" in caught.value.problems[0].hint


def test_people_are_told_that_nobody_received_anything(place: Workspace, capsys):
    place.say_which()
    said = capsys.readouterr().out
    assert "rehearsal.db" in said
    assert "nobody received anything" in said
