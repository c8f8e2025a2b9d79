"""The files that single rows have: into the log when the letter is queued, and out of it again.

A worker opens no file: what a copy carries is found by the hash that stands in its row.
"""

from collections.abc import Mapping
from pathlib import Path

from petition.campaign.names import quoted
from petition.errors import PetitionError
from petition.merge.attachments import LETTER_PDF, PROMISED, File, Files, promised_files
from petition.merge.document import Frozen
from petition.merge.template.fields import CellRefused, FileRefused
from petition.outbox.database import Database
from petition.outbox.job_queue import is_kept, keep, texts_of_waiting


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
                raise PetitionError(what, refusal.mend) from None
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
        """The files of a row that are not at hand, each by its path and its SHA-256.

        Args:
            fields: The fields of the row as the log keeps them.
        """
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
