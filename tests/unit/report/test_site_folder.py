"""What `petition publish` leaves alone in a folder, and what it replaces."""

import json
from datetime import date
from pathlib import Path

import pytest

from petition.errors import UsageError
from petition.report.site_folder import LIST, SiteChanges, SiteFolder

MONDAY, TUESDAY = date(2026, 11, 30), date(2026, 12, 1)


def write(folder: Path, page: str, today: date = MONDAY, **files: bytes) -> SiteChanges:
    """A site with a page that says when it was made, and other files."""
    target = SiteFolder(folder, "water", is_rehearsal=False)
    return target.write(files, lambda day: {"index.html": f"{page} {day}".encode()}, today)


def test_a_page_that_says_nothing_new_keeps_the_day_on_which_it_was_made(tmp_path):
    site = tmp_path / "site"
    assert write(site, "one", feed=b"1").written == ["feed", "index.html"]
    assert write(site, "one", TUESDAY, feed=b"1").unchanged == 2
    assert (site / "index.html").read_text() == "one 2026-11-30"
    assert write(site, "two", TUESDAY, feed=b"1").written == ["index.html"]
    assert (site / "index.html").read_text() == "two 2026-12-01"


def test_a_file_that_was_changed_by_hand_is_made_anew(tmp_path):
    site = tmp_path / "site"
    write(site, "one")
    (site / "index.html").write_text("edited")
    assert write(site, "one", TUESDAY).written == ["index.html"]
    assert (site / "index.html").read_text() == "one 2026-11-30"


def test_an_interrupted_write_is_finished(tmp_path):
    site = tmp_path / "site"
    write(site, "one", old=b"1")
    target = SiteFolder(site, "water", is_rehearsal=False)
    target._write = _fail
    with pytest.raises(RuntimeError):
        target.write({"new": b"2"}, lambda day: {}, MONDAY)
    assert (site / "old").exists()
    done = write(site, "one", new=b"2")
    assert done.written == ["new"]
    assert done.removed == ["old"]


def _fail(*_: object) -> None:
    raise RuntimeError


@pytest.mark.parametrize(
    "path",
    ["../victim", "/victim", "a/../../victim", "..", "a/b/c", ".git", "a/.git", "a\\b", "C:victim"],
)
def test_a_list_from_a_stranger_removes_nothing_elsewhere(tmp_path, path):
    victim, site = tmp_path / "victim", tmp_path / "site"
    victim.write_text("mine")
    write(site, "one")
    known = json.loads((site / LIST).read_text())
    known["files"][path] = known["files"]["index.html"]
    (site / LIST).write_text(json.dumps(known))
    with pytest.raises(UsageError):
        write(site, "two")
    assert victim.read_text() == "mine"


@pytest.mark.parametrize("text", ["", "[]", "null", "{}", '{"format": 1}', "[" * 100_000, "\xff"])
def test_a_folder_with_another_list_is_not_ours(tmp_path, text):
    (tmp_path / LIST).write_text(text, encoding="latin-1")
    with pytest.raises(UsageError):
        SiteFolder(tmp_path, "water", is_rehearsal=False)


def test_the_site_of_another_campaign_stays(tmp_path):
    write(tmp_path, "one")
    with pytest.raises(UsageError):
        SiteFolder(tmp_path, "air", is_rehearsal=False)


def test_a_link_in_place_of_a_folder_is_not_followed(tmp_path):
    site, mine = tmp_path / "site", tmp_path / "mine"
    target = SiteFolder(site, "water", is_rehearsal=False)
    target.write({"ru/index.html": b"1"}, lambda day: {}, MONDAY)
    (site / "ru" / "index.html").unlink()
    (site / "ru").rmdir()
    mine.mkdir()
    (mine / "index.html").write_bytes(b"1")
    (site / "ru").symlink_to(mine)
    target = SiteFolder(site, "water", is_rehearsal=False)
    assert target.write({}, lambda day: {}, MONDAY).kept == ["ru/index.html"]
    assert (mine / "index.html").exists()


def test_drafts_of_a_killed_command_are_removed_and_other_hidden_files_stay(tmp_path):
    site = tmp_path / "site"
    site.mkdir()
    (site / f".{LIST}.ab_12xyz").write_text("{")
    write(site, "one")
    (site / ".index.html.0a1b2c3d").write_text("half a page")
    (site / ".index.html.by-hand").write_text("mine")
    write(site, "one")
    hidden = {path.name for path in site.iterdir() if path.name.startswith(".")}
    assert hidden == {LIST, ".index.html.by-hand"}
