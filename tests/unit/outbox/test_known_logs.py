from pathlib import Path

import pytest

from petition.database_url import without_ambient_secrets
from petition.outbox.known_logs import BEGUN, KnownLog, _without_password

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
