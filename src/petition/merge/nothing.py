"""The files of a worker: none. What a letter carries is frozen with it, in the log."""

from pathlib import Path

from petition.campaign.names import quoted
from petition.merge.files import File, Files
from petition.merge.refusals import CellRefused


class NoFiles(Files):
    """Reads nothing: no path that stands in a database is opened."""

    def __init__(self) -> None:
        super().__init__(Path())

    def has(self, path: str) -> bool:  # noqa: ARG002 (whatever it is)
        """There is none."""
        return False

    def read(self, path: str) -> File:
        """Refuse it.

        Raises:
            CellRefused: Always.
        """
        raise CellRefused(
            f"{quoted(path)} is a file of one row, and a worker opens no files",
            "Send this letter from the machine that has them, without --workers",
        )
