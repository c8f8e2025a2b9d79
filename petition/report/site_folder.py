"""The folder that a site is written to: what is there, and what becomes of it.

A file in the folder lists all files that were made, with their hashes. What is not on that list is
somebody else's: it is neither replaced nor removed. Only what differs is written, so that a program
that copies the folder to a web space copies only that.
"""

import hashlib
import json
import re
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Any

from petition.errors import PetitionError, UsageError, listed
from petition.whole_file import drafts_of, replace_whole

LIST = ".petition-site.json"
_FORMAT = 1
_LIST_LIMIT = 4_000_000  # bytes
# What a list may name: nothing that leads out of the folder, and no hidden file.
_PATH = re.compile(r"(?:[^\s./\\:][^/\\:\x00-\x1f]{0,200}/)?[^\s./\\:][^/\\:\x00-\x1f]{0,200}")
_READABLE, _OPEN_FOLDER = 0o644, 0o755


@dataclass(frozen=True, slots=True)
class MadeFile:
    """A file that was made: its hash, and the day that it names as that of its making."""

    sha256: str
    made_on: date


@dataclass(slots=True)
class SiteChanges:
    """What became of the files of a site."""

    written: list[str] = field(default_factory=list)
    unchanged: int = 0
    removed: list[str] = field(default_factory=list)
    kept: list[str] = field(default_factory=list)  # no longer a part of it, but changed by hand


class SiteFolder:
    """A folder for the site of one campaign.

    UsageError if it is not empty and no site of this campaign, or if the site of a rehearsal would
    replace one that is real.
    """

    def __init__(self, path: Path, campaign_id: str, *, is_rehearsal: bool) -> None:
        self.path = path
        self._origin = {"campaign": campaign_id, "rehearsal": is_rehearsal}
        self._made: dict[str, MadeFile] = {}
        if path.is_symlink():
            raise UsageError(f"{path} is a symbolic link", "Name the folder itself")
        if path.exists() and not path.is_dir():
            raise UsageError(f"{path} is not a folder", "Name a new or an empty folder")
        # A command that was killed before it had written the list has left no more than its draft.
        if path.exists() and set(path.iterdir()) - set(drafts_of(path / LIST)):
            self._read_list()

    def _read_list(self) -> None:
        hint = "Name a new or an empty folder; nothing was done"
        try:
            data = _content(self.path / LIST, _LIST_LIMIT) or b""
            found: dict[str, Any] = json.loads(data.decode("utf-8"))
            origin = {name: found[name] for name in self._origin}
            known = found["format"] == _FORMAT
            self._made = {path: _made_of(path, one) for path, one in found["files"].items()}
        except (OSError, ValueError, TypeError, LookupError, AttributeError, RecursionError):
            what = f"{self.path} is not empty, and petition publish has not made it"
            raise UsageError(what, hint) from None
        if not known:
            raise UsageError(f"{self.path} was made by another version of petition", hint)
        if origin["campaign"] != self._origin["campaign"]:
            raise UsageError(f"{self.path} has the site of another campaign", hint)
        if self._origin["rehearsal"] and not origin["rehearsal"]:
            what = f"{self.path} has the real site, which a rehearsal does not replace"
            raise UsageError(what, hint)

    def write(
        self,
        files: Mapping[str, bytes],
        pages: Callable[[date], Mapping[str, bytes]],
        today: date,
    ) -> SiteChanges:
        """Write what differs and remove what is no longer there.

        Args:
            files: By path, those that do not say when they were made.
            pages: The others, as they are if they were made on a day.
            today: The day for pages that differ from what is there.
        """
        new: dict[str, bytes] = {**files, **pages(today)}
        made = {path: MadeFile(_hash(data), today) for path, data in new.items()}
        # What says nothing else than before keeps the day on which that was made.
        days = {one.made_on for path, one in self._made.items() if path in new} - {today}
        for day in days:
            for path, data in {**files, **pages(day)}.items():
                if (before := self._made.get(path)) and before == MadeFile(_hash(data), day):
                    new[path], made[path] = data, before
        self._refuse_others(new)
        self._begin({**self._made, **made})
        self._remove_drafts({LIST, *self._made, *made})
        outcome = SiteChanges()
        for path, data in sorted(new.items()):
            if _content(self.path / path) == data:
                outcome.unchanged += 1
            else:
                self._write(path, data)
                outcome.written.append(path)
        for path in sorted(self._made.keys() - new.keys()):
            self._remove(path, outcome)
        self._write_list(made)
        self._made = made
        return outcome

    def _refuse_others(self, new: Mapping[str, bytes]) -> None:
        """Stop if anything is in the way that this command has not made."""
        others = []
        for path in new:
            if not _PATH.fullmatch(path):
                what = f"{path.rpartition('/')[2]} cannot be the name of a file on the web"
                raise UsageError(what, "Rename it; nothing was done")
            place = self.path / path
            folder = place.parent
            if folder != self.path and (folder.is_symlink() or folder.is_file()):
                others.append(folder.name)
            elif (
                place.is_symlink() or place.is_dir() or (place.exists() and path not in self._made)
            ):
                others.append(path)
        if others:
            names = listed(list(dict.fromkeys(others))[:3], len(set(others)))
            what = f"{names} in {self.path} was not made by petition publish"
            raise UsageError(what, "Move it away, or name another folder; nothing was done")

    def _begin(self, made: Mapping[str, MadeFile]) -> None:
        """Before anything is written, list all that may be there if this is interrupted."""
        try:
            if not self.path.exists():
                self.path.mkdir(parents=True)
                self.path.chmod(_OPEN_FOLDER)
            self._write_list(made)
        except OSError as why:
            raise PetitionError(f"{self.path} cannot be written: {why.strerror}") from None

    def _write(self, path: str, data: bytes) -> None:
        place = self.path / path
        try:
            if not place.parent.exists():
                place.parent.mkdir()
                place.parent.chmod(_OPEN_FOLDER)
            replace_whole(place, data, _READABLE)
        except OSError as why:
            raise PetitionError(f"{place} cannot be written: {why.strerror}") from None

    def _remove(self, path: str, outcome: SiteChanges) -> None:
        """Remove a file that was made and is as it was made; one changed by hand stays."""
        place = self.path / path
        if place.is_symlink() or place.parent.is_symlink():
            outcome.kept.append(path)
            return
        data = _content(place)
        if data is None:
            return
        if _hash(data) != self._made[path].sha256:
            outcome.kept.append(path)
            return
        with suppress(OSError):
            place.unlink()
            outcome.removed.append(path)
            if place.parent != self.path:
                place.parent.rmdir()  # only an empty folder

    def _remove_drafts(self, paths: Iterable[str]) -> None:
        """Remove what a command that was killed has left beside the files that it was writing."""
        for path in paths:
            place = self.path / path
            if place.parent.is_symlink() or not place.parent.is_dir():
                continue
            for draft in drafts_of(place):
                with suppress(OSError):
                    draft.unlink()

    def _write_list(self, made: Mapping[str, MadeFile]) -> None:
        files = {
            path: {"sha256": one.sha256, "made_on": one.made_on.isoformat()}
            for path, one in sorted(made.items())
        }
        whole = {"format": _FORMAT, **self._origin, "files": files}
        text = json.dumps(whole, ensure_ascii=False, indent=1) + "\n"
        if _content(self.path / LIST) != text.encode():
            replace_whole(self.path / LIST, text.encode(), _READABLE)


def _made_of(path: str, one: Any) -> MadeFile:  # noqa: ANN401 (JSON)
    if not _PATH.fullmatch(path):
        raise ValueError(path)
    return MadeFile(str(one["sha256"]), date.fromisoformat(one["made_on"]))


def _content(place: Path, limit: int | None = None) -> bytes | None:
    """The bytes of an ordinary file of at most `limit` bytes; None: there is none."""
    try:
        if place.is_symlink() or not place.is_file():
            return None
        return None if limit and place.stat().st_size > limit else place.read_bytes()
    except OSError:
        return None


def _hash(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
