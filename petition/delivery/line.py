"""One connection of a run, what is under way on it, and how many letters a server takes on one."""

import asyncio
from collections import deque
from dataclasses import dataclass, field

from petition.delivery.copies import Letter
from petition.delivery.ending import Told
from petition.delivery.pace import NO_CAP
from petition.delivery.session import Session


@dataclass(slots=True)
class Line:
    """One connection, and what is under way on it.

    Args:
        session: The connection.
        episode: That in which it was opened (patience.py).
        ahead: The letter after the present one, where it is merged already.
        recorded: What was said of letters and is not yet known to be durable.
    """

    session: Session
    episode: int
    ahead: Letter | None = None
    recorded: deque[tuple["asyncio.Future[None]", Told]] = field(default_factory=deque)


class Dismissals:
    """Learns after how many letters the server ends a connection: what it did twice."""

    def __init__(self) -> None:
        self._seen: set[int] = set()
        self._most = NO_CAP

    def note(self, letters: int) -> None:
        """The server has ended a connection after so many letters."""
        if letters and letters in self._seen:
            self._most = min(self._most, letters)
        self._seen.add(letters)

    def allow(self, letters: int) -> bool:
        """Whether a letter may follow so many on one connection: else it is for us to say goodbye.

        Args:
            letters: How many the connection has had.
        """
        return letters < self._most


async def first_of(seconds: float, *events: asyncio.Event) -> None:
    """Wait so many seconds, or until one of these comes true."""
    waits = [asyncio.ensure_future(event.wait()) for event in events]
    try:
        await asyncio.wait(waits, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for wait in waits:
            wait.cancel()
