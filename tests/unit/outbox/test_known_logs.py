from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import date
from pathlib import Path
from unittest.mock import Mock

import pytest

from petition.database_url import without_ambient_secrets
from petition.outbox.known_logs import BEGUN, KnownLog, Memory, _without_password, doubt_of
from petition.outbox.log import Log
from petition.outbox.sent_file import Sent, read_sent

ADDRESS = "postgresql://ann:secret@db.example:5432/letters"


@pytest.mark.parametrize(
    "other",
    [
        without_ambient_secrets(ADDRESS),
        ADDRESS + "?sslmode=verify-full&connect_timeout=3",
        ADDRESS.replace("ann:secret@", "bea@"),
    ],
)
def test_one_database_is_known_by_one_name(other: str):
    assert _without_password(other) == _without_password(ADDRESS)
    assert "secret" not in _without_password(other)


def test_another_schema_is_another_log():
    assert _without_password(ADDRESS + "?options=-csearch_path=b") != _without_password(ADDRESS)


def test_a_run_in_a_folder_that_cannot_be_read_stops_nobody(monkeypatch: pytest.MonkeyPatch):
    def denied(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    known = KnownLog(run=BEGUN, at="/elsewhere/petition.db")
    monkeypatch.setattr(Path, "stat", denied)
    assert not known.runs_elsewhere("sqlite:////here/petition.db")


def test_a_run_is_not_elsewhere_where_its_file_has_another_path(tmp_path: Path):
    first, second = tmp_path / "petition.db", tmp_path / "Petition.db"
    first.write_bytes(b"")
    known = KnownLog(run=BEGUN, at=str(first))
    assert known.runs_elsewhere(f"sqlite:///{second}")
    second.hardlink_to(first)  # as a disk without capitals, or one that is mounted twice, shows it
    assert not known.runs_elsewhere(f"sqlite:///{second}")


def test_letters_that_go_out_of_one_folder_at_once_are_all_noted(tmp_path: Path):
    many = Mock(takes_workers=True)

    def note(number: int) -> None:
        log = Memory(many, "postgresql:///letters", tmp_path, {})
        log._note(Sent("c", f"letter-{number}", 1, f"{number:032x}", date(2026, 1, 1)))

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(note, range(40)))
    assert len(read_sent(tmp_path)) == 40


def test_a_letter_that_was_not_queued_for_others_after_all_raises_no_doubt(
    log_url: str, tmp_path: Path
):
    folder = tmp_path / "campaign"
    folder.mkdir()
    with Log(log_url, folder=folder) as log:
        assert log.key
        with suppress(LookupError), log.writing():
            log.memory.hand_out("water", "open", 1, date(2026, 11, 30))
            raise LookupError
        assert [one.letter for one in read_sent(folder)] == ["open"]
        assert doubt_of(log.database, log_url, folder) is None
    elsewhere = f"sqlite:///{tmp_path}/another.db"
    with Log(elsewhere) as another:
        assert another.key
        doubt = doubt_of(another.database, elsewhere, folder)
        assert doubt is not None
        assert "sent.toml:4" in doubt.what
