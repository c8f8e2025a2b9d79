"""What workers need to send a letter: its settings and the files of single rows.

It names no command, no path and no server: those belong to each worker. A worker opens no file of a
campaign: it finds the attachments of a row in the log, by their hash.
"""

import json
import operator
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any, Self
from zoneinfo import ZoneInfo

from petition.campaign.names import quoted
from petition.campaign.pace import PaceSettings
from petition.campaign.settings import Dkim
from petition.errors import PetitionError
from petition.merge.attachments import LETTER_PDF, OWN_FILES, File, Files, hashes_in
from petition.merge.document import Frozen
from petition.outbox import workers
from petition.outbox.database import Database
from petition.outbox.log import Log
from petition.template.fields import CellRefused, FileRefused


class LetterUnusable(PetitionError):
    """A letter of the log that this worker cannot send."""


@dataclass(frozen=True, slots=True)
class Signature:
    """Whose DKIM signature a letter gets; each worker has the key itself."""

    domain: str  # the signing domain
    selector: str  # the key's name in DNS
    public: str  # the published record, by which a worker knows that it has the right key

    @classmethod
    def of(cls, values: Mapping[str, Any]) -> Self:
        """From JSON; ValueError or KeyError where it makes no sense."""
        known = Dkim(domain=values["domain"], selector=values["selector"])
        return cls(known.domain, known.selector, str(values["public"]))


@dataclass(frozen=True, slots=True)
class Dispatch:
    """How a letter is sent, by whichever worker.

    `stays_here`: it was checked for a server on the same machine, where reserved domains are
    allowed, and may go through no other.
    """

    pace: PaceSettings  # [pace] of petition.toml
    timezone: str  # the name of the campaign's time zone
    keep_bytes: bool  # whether the log keeps the bytes of every copy
    stays_here: bool
    signature: Signature | None = None  # to add; None: petition does not sign the letter

    def keep(self, log: Log, letter: str) -> None:
        """Write it to the log, inside a transaction; the last call counts."""
        pace = {name: value for name, value in self.pace if value is not None}
        text = json.dumps(asdict(self) | {"pace": pace}, default=_as_text, sort_keys=True)
        known = workers.settings_of(log.database, letter)
        if text == known:
            return
        shorter = self._shorter_intervals(log, letter, is_new=known is None)
        workers.shorten_turns(log.database, shorter)
        workers.keep_settings(log.database, letter, text, log.now)

    def _shorter_intervals(self, log: Log, letter: str, *, is_new: bool) -> dict[str, float]:
        """The intervals of buckets whose next turn was given by a pace that holds no more."""
        # Workers put down a letter whose settings change, and the turns that they took for it.
        # Turns of other letters are still waited for: a new letter comes before them only where its
        # pace is faster than that of the last one.
        try:
            before = Dispatch.of(log, workers.last_letter(log.database) if is_new else letter)
        except LetterUnusable:
            return {}
        known = _intervals(before.pace)
        comes_first = operator.lt if is_new else operator.le
        return {
            name: interval
            for name, interval in _intervals(self.pace).items()
            if comes_first(interval, known.get(name, 0.0))
        }

    @classmethod
    def of(cls, log: Log, letter: str) -> Self:
        """Read it from the log; LetterUnusable where that is not possible."""
        try:
            values: dict[str, Any] = json.loads(workers.settings_of(log.database, letter) or "")
            pace, signature = PaceSettings.model_validate(values["pace"]), values.get("signature")
            known = {"pace": pace, "signature": Signature.of(signature) if signature else None}
            found = cls(**{**values, **known})
            _ = found.zone
        except (ValueError, TypeError, KeyError, OSError, RecursionError) as fault:
            raise LetterUnusable(
                f'{log.where} does not say how to send "{letter}"',
                f"Queue it again: petition send {letter} --workers",
            ) from fault
        return found

    @property
    def zone(self) -> ZoneInfo:
        """That of the campaign."""
        return ZoneInfo(self.timezone)


def _intervals(pace: PaceSettings) -> dict[str, float]:
    rates = {name.lower(): rate for name, rate in pace.per_domain.items()}
    rates |= {workers.ALL: pace.rate} if pace.rate else {}
    return {name: rate.interval for name, rate in rates.items()}


def _as_text(value: object) -> str:
    """A value of [pace] as petition.toml has it, where JSON has no such type."""
    return f"{round(value.total_seconds())} s" if isinstance(value, timedelta) else str(value)


def keep_own_files(database: Database, letter: str, frozen: Frozen, files: Files) -> None:
    """Keep the files of single rows in the log, in the transaction that queued the rows.

    One that has changed since is left out: its copy will be refused, as it would be here. So is
    the letter itself as a PDF, which the worker makes. PetitionError if one cannot be read:
    workers would refuse its copy for good.
    """
    if not any("template" in one for one in frozen.attachments):
        return
    for listed in workers.texts_of_waiting(database, letter, OWN_FILES):
        for path, sha256 in hashes_in(listed).items():
            if workers.is_kept(database, sha256):
                continue
            try:
                file = files.read(path)
            except FileRefused as refusal:
                if path == LETTER_PDF:
                    continue
                what = f"nothing was queued: the attachment {refusal.what}"
                raise PetitionError(what, refusal.hint) from None
            except CellRefused:
                continue
            if file.sha256 == sha256:
                workers.keep(database, sha256, file.data)


class KeptFiles(Files):
    """The files of a worker, from the log; what is `missing` for a copy is given in before."""

    def __init__(self) -> None:
        super().__init__(Path())

    def missing(self, fields: Mapping[str, str]) -> list[tuple[str, str]]:
        """The files of a row that are not in memory: path and SHA-256."""
        queued = hashes_in(fields.get(OWN_FILES, "")).items()
        return [(path, sha) for path, sha in queued if self.kept(_key(path, sha)) is None]

    def take(self, path: str, sha256: str, data: bytes) -> None:
        """Hold a file of a row as long as there is space."""
        self.keep(_key(path, sha256), File(path, data))

    def has(self, path: str) -> bool:  # noqa: ARG002
        """Never: no path is opened."""
        return False

    def read(self, path: str) -> File:
        """Always refused."""
        raise self._missing(path)

    def read_own(self, path: str, queued: str | None) -> File:
        """A row's own file, by the hash that the row has (`queued`)."""
        sha256 = hashes_in(queued or "").get(path)
        if sha256 and (file := self.kept(_key(path, sha256))):
            return file
        raise self._missing(path)

    def _missing(self, path: str) -> CellRefused:
        return CellRefused(
            f"{quoted(path)} is not in the log as it was when the letter was queued",
            "Put it in place, then petition retry, and petition send without --workers",
        )


def _key(path: str, sha256: str) -> str:
    return f"{sha256}  {path}"
