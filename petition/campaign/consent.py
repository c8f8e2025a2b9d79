"""Who has agreed to get letters that go to many: what the columns of a list say of each row."""

from collections.abc import Collection, Mapping

from petition.campaign.answers import answer
from petition.campaign.exports import OPT_INS, STATUSES

UPDATES = "updates"
NO_CONSENT = "no consent"

_SUBSCRIBED = "subscribed"


class Consent:
    """Reads the consent of a list's rows.

    Args:
        columns: The list's columns.
        of_all: Whether everybody has agreed, unless their row says no (`[lists.NAME]`).
    """

    def __init__(self, columns: Collection[str], *, of_all: bool) -> None:
        self._of_all = of_all
        self._answers = [name for name in (UPDATES, *OPT_INS) if name in columns]
        self._statuses = [name for name in STATUSES if name in columns]

    @property
    def can_be_known(self) -> bool:
        """Whether there is anything that could say yes."""
        return bool(self._of_all or self._answers or self._statuses)

    def of(self, cells: Mapping[str, str]) -> bool | None:
        """Whether a row says yes, says no, or says nothing.

        A cell that is filled with anything but a yes counts for more than any yes: "nein" and "no
        thanks" are not known as a no, and consent is not guessed.
        """
        answers = [answer(cells[name]) for name in self._answers if cells[name]]
        if not all(answers):
            return False
        is_subscribed = any(cells[name].strip().lower() == _SUBSCRIBED for name in self._statuses)
        return True if self._of_all or is_subscribed or answers else None


def together(one: bool | None, other: bool | None) -> bool | None:
    """What two rows of one person say: a no in either, else a yes in either."""
    both = (one, other)
    return False if False in both else True if True in both else None
