"""Why a value cannot be merged; `loaded` makes a problem with file and line of it."""

from petition.errors import PetitionError


class ValueRefused(PetitionError):
    """A letter asks for what cannot be printed: the letter's line is to blame.

    It has what is wrong and how to mend it, each a sentence without its full stop.
    """


class CellRefused(ValueRefused):
    """A value cannot be printed where it stands: the row that it comes from is to blame."""
