from pathlib import Path

import pytest

from petition.checks import campaign as campaign_checks
from petition.system import posix


@pytest.fixture(autouse=True)
def mounts(tmp_path: Path, monkeypatch) -> Path:
    file = tmp_path / "mounts"
    file.write_text("/dev/sda1 / ext4 rw 0 0\n", encoding="utf-8")
    monkeypatch.setattr(posix, "MOUNTS", file)
    return file


def doubts(folder: Path) -> list[str]:
    folder.mkdir(parents=True, exist_ok=True)
    return [problem.what for problem in campaign_checks.folder_warnings(folder)]


@pytest.mark.parametrize(
    ("folder", "owner"),
    [
        ("Dropbox/campaign", "Dropbox"),
        ("Dropbox (Personal)/a/b", "Dropbox"),
        ("OneDrive - Example Ltd/campaign", "OneDrive"),
        ("Library/Mobile Documents/com~apple~CloudDocs/c", "iCloud"),
        ("Google Drive/campaign", "Google Drive"),
        ("Nextcloud/campaign", "Nextcloud"),
        ("Library/CloudStorage/GoogleDrive-a@b.example/My Drive/c", "Google Drive"),
        ("Library/CloudStorage/OneDrive-Personal/c", "a cloud provider"),
        ("pCloudDrive/c", "pCloud"),
    ],
)
def test_a_folder_named_after_the_program_that_copies_it(tmp_path: Path, folder: str, owner: str):
    (what,) = doubts(tmp_path / folder)
    assert f"synchronised by {owner}" in what


@pytest.mark.parametrize("folder", ["dropbox-client/campaign", "campaign", "My drives/c"])
def test_other_folders_are_fine(tmp_path: Path, folder: str):
    assert doubts(tmp_path / folder) == []


@pytest.mark.parametrize("marker", [".stfolder", ".dropbox", ".sync_journal.db", ".sync_5f3a9c.db"])
def test_a_marker_that_a_program_left_further_up(tmp_path: Path, marker: str):
    (tmp_path / "shared").mkdir()
    (tmp_path / "shared" / marker).touch()
    assert len(doubts(tmp_path / "shared" / "campaign")) == 1


@pytest.mark.parametrize("kind", ["nfs4", "cifs", "smb3", "fuse.sshfs", "fuse.onedriver"])
def test_a_network_file_system(tmp_path: Path, mounts: Path, kind: str):
    share = tmp_path / "a share"
    with mounts.open("a", encoding="utf-8") as file:
        file.write(f"server:/x {str(share).replace(' ', chr(92) + '040')} {kind} rw 0 0\n")
    (what,) = doubts(share / "campaign")
    assert f"shared file system ({kind})" in what
    assert doubts(tmp_path / "elsewhere") == []


def test_the_innermost_mount_counts(tmp_path: Path, mounts: Path):
    with mounts.open("a", encoding="utf-8") as file:
        file.write(f"server:/x {tmp_path} nfs rw 0 0\n/dev/sdb1 {tmp_path}/disk ext4 rw 0 0\n")
    assert doubts(tmp_path / "disk" / "campaign") == []


@pytest.mark.parametrize("kind", ["9p", "virtiofs", "vboxsf", "vmhgfs", "fuse.vmhgfs-fuse"])
def test_a_folder_of_the_machine_around_this_one(tmp_path: Path, mounts: Path, kind: str):
    mounts.write_text(f"share {tmp_path} {kind} rw 0 0\n", encoding="utf-8")
    (what,) = doubts(tmp_path / "campaign")
    assert kind in what


def test_without_a_list_of_mounts_nothing_is_found(tmp_path: Path, mounts: Path):
    mounts.unlink()
    assert doubts(tmp_path / "campaign") == []


def test_it_is_a_warning_with_a_hint(tmp_path: Path):
    (tmp_path / "Dropbox").mkdir()
    (problem,) = campaign_checks.folder_warnings(tmp_path / "Dropbox")
    assert not problem.is_error
    assert "[log] database" in problem.hint
