"""The whole of a log as rows, one at a time: what evidence and reports are made of."""

from collections.abc import Iterator
from contextlib import AbstractContextManager
from typing import Any

from petition.outbox.log import Log

Rows = Iterator[dict[str, Any]]


class Record:
    """All that a log knows, in its order; the keys of the rows are the log's columns.

    Args:
        log: The log.
    """

    def __init__(self, log: Log) -> None:
        self._database = log.database

    def at_one_moment(self) -> AbstractContextManager[None]:
        """Keep to what the log says now, whatever is written while the block runs."""
        return self._database.transaction(temporary=True)

    @property
    def until(self) -> str:
        """When something last happened; empty where nothing did."""
        row = self._database.one("evidence_until")
        return str(row[0]) if row and row[0] else ""

    def copies(self) -> Rows:
        """Every copy but its bytes; `erased_at`, where these were erased with a person."""
        return map(dict, self._database.each("evidence_copies"))

    def letters(self) -> Rows:
        """The copies whose bytes are kept."""
        return map(dict, self._database.each("evidence_bytes"))

    def events(self) -> Rows:
        """Everything that happened to copies."""
        return map(dict, self._database.each("evidence_events"))

    def answers(self) -> Rows:
        """Everything that was answered."""
        return map(dict, self._database.each("evidence_answers"))

    def mails(self) -> Rows:
        """Every mail that belongs to a copy."""
        return map(dict, self._database.each("evidence_mails"))

    def people(self, letter: str) -> Rows:
        """The newest copy of a letter to each person, in the order of the log."""
        return map(dict, self._database.each("report_people", {"letter": letter}))

    def steps(self) -> Rows:
        """How many copies went from one state to another in each minute."""
        return map(dict, self._database.each("report_steps"))
