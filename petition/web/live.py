"""What the pages show, made anew when it has changed, at most once a minute."""

import asyncio
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Generic, TypeVar

from petition.errors import PetitionError

_SECONDS = 60.0

T = TypeVar("T")


class Live(Generic[T]):
    """Something that is made of the campaign's files and the log, on a thread of its own.

    `make` gets what it made before. What it raises at the start is for the caller; later `note` is
    told, and what was made before stays.
    """

    def __init__(self, make: Callable[[T | None], T], note: Callable[[str], None]) -> None:
        self._make = make
        self._note = note
        self._noted = ""
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="live")
        self._now = make(None)
        self._made_at = time.monotonic()
        self._making: asyncio.Future[None] | None = None

    @property
    def latest(self) -> T:
        """What it was when it was made last."""
        return self._now

    def now(self) -> T:
        """What it is now; if that is old, it is made anew for those who ask next."""
        is_idle = self._making is None or self._making.done()
        if is_idle and time.monotonic() - self._made_at > _SECONDS:
            loop = asyncio.get_running_loop()
            self._making = loop.run_in_executor(self._thread, self._make_again)
        return self._now

    def close(self) -> None:
        """Wait for what is being made."""
        self._thread.shutdown()

    def _make_again(self) -> None:
        try:
            self._now = self._make(self._now)
            self._noted = ""
        except PetitionError as why:
            if self._noted != (noted := str(why)):
                self._note(f"The pages stay as they were: {noted}")
            self._noted = noted
        self._made_at = time.monotonic()
