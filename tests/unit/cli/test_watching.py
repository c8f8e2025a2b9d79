"""Which files `preview --watch` looks at."""

from pathlib import Path

import pytest
from watchfiles import Change

from petition.cli.preview import Sources


@pytest.fixture
def sources(tmp_path: Path) -> Sources:
    for folder in ("letters", "annex", "outbox/new", ".venv/lib", ".git"):
        (tmp_path / folder).mkdir(parents=True)
    sources = Sources(tmp_path)
    sources.names |= {"petition.toml", "recipients.csv", "annex/a.pdf", "gone/b.pdf"}
    return sources


def test_the_folders_of_what_a_letter_is_made_of_are_watched(sources: Sources, tmp_path: Path):
    assert sources.folders == {tmp_path, tmp_path / "letters", tmp_path / "annex"}


@pytest.mark.parametrize(
    "name",
    ["petition.toml", "recipients.csv", "letters/new.md", "letters/demands.md", "annex/a.pdf"],
)
def test_a_change_of_it_is_seen(sources: Sources, tmp_path: Path, name: str):
    assert sources(Change.modified, str(tmp_path / name))


@pytest.mark.parametrize(
    "name",
    [
        *("rehearsal.db", "rehearsal.db-wal", "rehearsal.db.lock", "notes.txt", "letters/x.md.swp"),
        *("outbox/new/1", ".git/index", ".venv/lib/a.py", "annex/b.pdf", "petition.toml~"),
    ],
)
def test_a_change_of_another_file_is_not(sources: Sources, tmp_path: Path, name: str):
    assert not sources(Change.modified, str(tmp_path / name))
