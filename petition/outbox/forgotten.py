"""Those whom the log was told to forget: known again by a salted hash of their address alone."""

from functools import cached_property

from petition.address import folded
from petition.identity import Signer
from petition.outbox.log import Log
from petition.outbox.states import Reason


class Forgotten:
    """Whom a log has forgotten, as it was when this was made.

    Args:
        log: The log; its key is the salt.
    """

    def __init__(self, log: Log) -> None:
        self._log = log
        self._days: dict[str, str] = dict(map(tuple, log.database.all("forgotten")))

    def __contains__(self, mailbox: str) -> bool:
        # Nobody, as a rule: then a list of a million costs nothing.
        return bool(self._days) and self.key(mailbox) in self._days

    def __len__(self) -> int:
        return len(self._days)

    def day(self, mailbox: str) -> str | None:
        """When somebody was forgotten, as the log has it; None: never."""
        return self._days.get(self.key(mailbox)) if self._days else None

    def stand_in(self, mailbox: str) -> str:
        """What stands in place of an address as it is written."""
        return self._signer.stand_in(mailbox)

    def key(self, mailbox: str) -> str:
        """What stands in place of an address, however it is spelt."""
        key = self._signer.stand_in(folded(mailbox))
        if key not in self._days and not mailbox.isascii():
            before = self._signer.stand_in(mailbox.lower())  # the key of schema 8
            return before if before in self._days else key
        return key

    def add(self, mailbox: str) -> str:
        """Never write there again, and keep no address for that; within a transaction.

        Returns:
            What stands in its place.
        """
        key = self.key(mailbox)
        values = {"folded": key, "mailbox": key, "reason": Reason.FORGOTTEN, "now": self._log.now}
        self._log.database.run("erase_suppression", {"folded": folded(mailbox)})
        self._log.database.run("suppress", values)
        self._days.setdefault(key, self._log.now)
        return key

    @cached_property
    def _signer(self) -> Signer:
        return Signer(self._log.key)
