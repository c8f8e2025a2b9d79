"""What workers need to send a letter: its settings and the files of single rows.

It names no command, no file and no server: those are each worker's own.

A worker opens no file: what a copy carries is found by the hash that stands in its row.
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
from petition.campaign.settings import Dkim, PaceSettings, Rate
from petition.errors import PetitionError
from petition.merge.attachments import LETTER_PDF, PROMISED, File, Files, promised_files
from petition.merge.document import Frozen
from petition.merge.template.fields import CellRefused, FileRefused
from petition.outbox.database import Database
from petition.outbox.log import Log
from petition.outbox.worker_store import (
    ALL,
    is_kept,
    keep,
    keep_settings,
    keep_to,
    last_letter,
    settings_of,
    texts_of_waiting,
)

_UNITS = {1: "s", 60: "min", 3600: "h"}


class LetterUnusable(PetitionError):
    """A letter of the log that workers cannot send, as it stands there."""


@dataclass(frozen=True, slots=True)
class Signature:
    """Whose DKIM signature a letter gets; the key is each worker's own.

    Args:
        domain: The domain that answers for it.
        selector: The key's name in DNS.
        public: What is published of the key there, by which a worker knows that it has it.
    """

    domain: str
    selector: str
    public: str

    @classmethod
    def of(cls, values: Mapping[str, Any]) -> Self:
        """What was written down.

        Raises:
            ValueError: It cannot stand in a header.
            KeyError: A part of it is missing.
        """
        known = Dkim(domain=values["domain"], selector=values["selector"])
        return cls(known.domain, known.selector, str(values["public"]))


@dataclass(frozen=True, slots=True)
class Dispatch:
    """How a letter is sent, whoever sends it.

    Args:
        pace: [pace] of petition.toml.
        timezone: The name of the campaign's time zone.
        keep_bytes: Whether the log keeps the bytes of every copy.
        stays_here: It was checked for a server on the same machine, where reserved domains may be
            written to, and goes to no other kind.
        signature: Who signs it; None: nobody does, or the servers do.
    """

    pace: PaceSettings
    timezone: str
    keep_bytes: bool
    stays_here: bool
    signature: Signature | None = None

    def keep(self, log: Log, letter: str) -> None:
        """Write it down for the workers, inside a transaction; what was said last counts."""
        text = json.dumps(
            {
                "pace": _as_text(self.pace),
                "timezone": self.timezone,
                "keep_bytes": self.keep_bytes,
                "stays_here": self.stays_here,
                "signature": asdict(self.signature) if self.signature else None,
            },
            sort_keys=True,
        )
        known = settings_of(log.database, letter)
        if text == known:
            return
        keep_to(log.database, self._intervals_to_keep_to(log, letter, is_new=known is None))
        keep_settings(log.database, letter, text, log.now)

    def _intervals_to_keep_to(self, log: Log, letter: str, *, is_new: bool) -> dict[str, float]:
        """The intervals of buckets whose next turn is not waited for any more.

        Workers let go of a letter that is to be sent in another way, and of the turns that it had.
        Turns of another letter are still waited for: a new one comes before them only where it is
        faster than what was said last.
        """
        try:
            before = Dispatch.of(log, last_letter(log.database) if is_new else letter)
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
        """What was written down for a letter.

        Raises:
            LetterUnusable: Nothing, or what this petition cannot read.
        """
        try:
            values: dict[str, Any] = json.loads(settings_of(log.database, letter) or "")
            pace, signature = PaceSettings.model_validate(values["pace"]), values.get("signature")
            known = {"pace": pace, "signature": Signature.of(signature) if signature else None}
            found = cls(**{**values, **known})
            _ = found.zone
        except (ValueError, TypeError, KeyError, OSError, RecursionError) as fault:
            raise LetterUnusable(
                f'{log.where} does not say how "{letter}" is to be sent',
                f"Queue it again: petition send {letter} --workers",
            ) from fault
        return found

    @property
    def zone(self) -> ZoneInfo:
        """The campaign's time zone."""
        return ZoneInfo(self.timezone)


def _intervals(pace: PaceSettings) -> dict[str, float]:
    """How far the turns of each bucket lie apart, in seconds."""
    rates = {name.lower(): rate for name, rate in pace.per_domain.items()}
    rates |= {ALL: pace.rate} if pace.rate else {}
    return {name: rate.interval for name, rate in rates.items()}


def _as_text(pace: PaceSettings) -> Mapping[str, object]:
    """The table as petition.toml could have it."""
    values: dict[str, object] = {
        "rate": _rate(pace.rate) if pace.rate else None,
        "per_day": pace.per_day,
        "warm_up": list(pace.warm_up) if pace.warm_up else None,
        "per_domain": {name: _rate(rate) for name, rate in pace.per_domain.items()},
        "between": str(pace.between) if pace.between else None,
        "retry": [_span(wait) for wait in pace.retry] if pace.retry else None,
        "give_up": _span(pace.give_up) if pace.give_up else None,
    }
    return {name: value for name, value in values.items() if value is not None}


def _rate(rate: Rate) -> str:
    return f"{rate.count}/{_UNITS[rate.seconds]}"


def _span(span: timedelta) -> str:
    return f"{round(span.total_seconds())} s"


def keep_own_files(database: Database, frozen: Frozen, files: Files) -> None:
    """Keep the files of the rows that were chosen and wait, in the transaction that queued them.

    One that has changed since is left out: its copy will be refused, as it would be here. So is the
    letter itself as a PDF, which the worker sets.

    Args:
        database: The log's.
        frozen: The letter.
        files: Reads them.

    Raises:
        PetitionError: One cannot be read: workers would refuse its copy for good.
    """
    if not any("template" in one for one in frozen.attachments):
        return
    for promise in texts_of_waiting(database, PROMISED):
        for path, sha256 in promised_files(promise).items():
            if is_kept(database, sha256):
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
                keep(database, sha256, file.data)


class KeptFiles(Files):
    """The files of a worker: those that stand in the log, and no path is opened.

    Whoever merges a copy gives in what is `missing` before: merging waits for nothing.
    """

    def __init__(self) -> None:
        super().__init__(Path())

    def missing(self, fields: Mapping[str, str]) -> list[tuple[str, str]]:
        """The files of a row that are not at hand, each by its path and its SHA-256."""
        promised = promised_files(fields.get(PROMISED, "")).items()
        return [(path, sha) for path, sha in promised if self.kept(_key(path, sha)) is None]

    def take(self, path: str, sha256: str, data: bytes) -> None:
        """Have a file of a row at hand; it is kept as long as there is room."""
        self.keep(_key(path, sha256), File(path, data))

    def has(self, path: str) -> bool:  # noqa: ARG002 (whatever it is)
        """There is none."""
        return False

    def read(self, path: str) -> File:
        """Refuse it.

        Raises:
            CellRefused: Always.
        """
        raise self._missing(path)

    def read_own(self, path: str, promised: str | None) -> File:
        """A row's own file, by the hash that the row has.

        Args:
            path: Its path, which is its name alone here.
            promised: The files of the row as the log keeps them.

        Raises:
            CellRefused: It is not in the log.
        """
        sha256 = promised_files(promised or "").get(path)
        if sha256 is None:
            raise self._missing(path)
        if file := self.kept(_key(path, sha256)):
            return file
        raise self._missing(path)

    def _missing(self, path: str) -> CellRefused:
        return CellRefused(
            f"{quoted(path)} is not in the log as it was when the letter was queued",
            "Put it in place, then petition retry, and petition send without --workers",
        )


def _key(path: str, sha256: str) -> str:
    return f"{sha256}  {path}"
