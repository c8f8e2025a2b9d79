"""Why a value cannot be merged; `loaded` makes a problem with file and line of it."""

from petition.errors import PetitionError


class ValueRefused(PetitionError):
    """A letter asks for what cannot be printed: the letter's line is to blame.

    Args:
        what: What is wrong, a sentence without its full stop.
        mend: How to mend it, the same.
        mark: What of the letter's line is meant, if that is known.
    """

    def __init__(self, what: str, mend: str = "", mark: str = "") -> None:
        super().__init__(what, mend)
        self.mark = mark


class CellRefused(ValueRefused):
    """A value cannot be printed where it stands: the row that it comes from is to blame."""


class FileRefused(CellRefused):
    """A file of this machine cannot be carried as it is: no value is to blame."""
