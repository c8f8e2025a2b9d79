"""Places where a log does not keep its promises: folders that are copied behind its back.

A program that synchronises a folder copies a database while it is written; a network file system
may neither lock nor flush it (https://www.sqlite.org/howtocorrupt.html, 1.1 and 2.1).
"""

from collections.abc import Iterator
from pathlib import Path, PurePath

from petition.errors import Level, Problem

MOUNTS = Path("/proc/mounts")

_NETWORK = {"afs", "cifs", "davfs", "fuse.davfs2", "fuse.rclone", "fuse.sshfs", "nfs", "nfs4"}
_NETWORK |= {"afpfs", "ceph", "fuse.glusterfs", "fuse.google-drive-ocamlfuse", "fuse.gvfsd-fuse"}
_NETWORK |= {"fuse.onedriver", "fuse.s3fs", "smb3", "smbfs"}
# The name of a folder, or how it begins, and whose it is.
_FOLDERS = {
    "dropbox": "Dropbox",
    "onedrive": "OneDrive",
    "google drive": "Google Drive",
    "googledrive": "Google Drive",
    "my drive": "Google Drive",
    "icloud drive": "iCloud",
    "iclouddrive": "iCloud",
    "mobile documents": "iCloud",
    "com~apple~clouddocs": "iCloud",
    "cloudstorage": "macOS for a cloud",  # ~/Library/CloudStorage holds all of them
    "megasync": "MEGA",
    "nextcloud": "Nextcloud",
    "pclouddrive": "pCloud",
    "proton drive": "Proton Drive",
    "seafile": "Seafile",
    "yandex.disk": "Yandex Disk",
    "owncloud": "ownCloud",
}
_MARKERS = {
    ".dropbox": "Dropbox",
    ".dropbox.cache": "Dropbox",
    ".stfolder": "Syncthing",
    ".stignore": "Syncthing",
    ".owncloudsync.log": "Nextcloud",
    ".nextcloudsync.log": "Nextcloud",
}


def warnings(folder: Path) -> list[Problem]:
    """What is doubtful about the place where a log is kept.

    Args:
        folder: The log's folder.
    """
    return [
        Problem(
            str(folder),
            None,
            f"{why}, and a log there can lose what it wrote",
            "Keep the campaign in a folder of this machine alone, or name one in [log] database",
            Level.WARNING,
        )
        for why in _doubts(folder.resolve())
    ]


def _doubts(folder: Path) -> Iterator[str]:
    if owner := _synced_by(folder):
        yield f"the folder is synchronised by {owner}"
    if kind := _network_kind(folder):
        yield f"the folder lies on a network file system ({kind})"


def _synced_by(folder: Path) -> str | None:
    for place in (folder, *folder.parents):
        if owner := _owner_of_name(place.name.lower()):
            return owner
        for marker, owner in _MARKERS.items():
            if _exists(place / marker):
                return owner
        if _has_sync_log(place):
            return "Nextcloud"
    return None


def _owner_of_name(name: str) -> str | None:
    for beginning, owner in _FOLDERS.items():
        # "OneDrive - Example Ltd", "Dropbox (Personal)", but no "dropbox-client".
        if name == beginning or name.startswith((f"{beginning} -", f"{beginning} (")):
            return owner
    return None


def _has_sync_log(folder: Path) -> bool:
    """Whether Nextcloud or ownCloud keeps its journal there: `.sync_5f3a9c.db`."""
    try:
        return any(folder.glob(".sync_*.db"))
    except OSError:
        return False


def _exists(path: Path) -> bool:
    try:
        return path.exists()
    except OSError:
        return False


def _network_kind(folder: Path) -> str | None:
    """The kind of the file system that a folder lies on, if other machines write to it too."""
    try:
        lines = MOUNTS.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:  # no Linux
        return None
    best, kind = -1, ""
    for line in lines:
        fields = line.split(" ")
        if len(fields) < 3:
            continue
        place = PurePath(_unescaped(fields[1]))
        # The last one of two mounts on one place is the one that is seen.
        if folder.is_relative_to(place) and len(place.parts) >= best:
            best, kind = len(place.parts), fields[2]
    return kind if kind in _NETWORK else None


def _unescaped(place: str) -> str:
    for code, char in (("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")):
        place = place.replace(code, char)
    return place
