"""Background tasks of a run, beside its letters: each has a connection to the log of its own."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager, suppress

from petition.errors import LogUnusable
from petition.merge.document import Frozen
from petition.outbox.committer import on_thread
from petition.outbox.log import Log
from petition.outbox.models import FrozenLetter
from petition.sending.sender import first_of

_LOOK_SECONDS = 1.0  # until it is looked again whether a name was taken out of the letter

# Gets the log, and an event that is set when it has to end.
BackgroundTask = Callable[[Log, asyncio.Event], Awaitable[None]]


@asynccontextmanager
async def in_background(url: str, tasks: Iterable[BackgroundTask]) -> AsyncIterator[None]:
    """Run tasks while the block runs, and have them end after it."""
    stopped = asyncio.Event()

    async def run(task: BackgroundTask) -> None:
        with suppress(LogUnusable):  # then the run itself cannot go on either, and says so
            async with another_connection(url) as log:
                await task(log, stopped)

    running = [asyncio.create_task(run(task)) for task in tasks]
    try:
        yield
    finally:
        stopped.set()
        await asyncio.gather(*running)


@asynccontextmanager
async def another_connection(url: str) -> AsyncIterator[Log]:
    """The log over a connection of its own, for other threads."""
    log = await on_thread(Log, url)
    try:
        yield log
    finally:
        await on_thread(log.close)


async def watch_letter(
    letter: str,
    revision: int,
    known: str,
    tell: Callable[[Frozen], Awaitable[None]],
    log: Log,
    stopped: asyncio.Event,
) -> None:
    """Tell of a frozen letter each time that a name was taken out of it; `known` is its hash."""
    while not stopped.is_set():
        with suppress(LogUnusable):  # then the run itself cannot go on either
            now = await on_thread(_frozen_otherwise, log, letter, revision, known)
            if now:
                known = now.hash
                await tell(Frozen.from_json(now.document))
        await first_of(_LOOK_SECONDS, stopped)


def _frozen_otherwise(log: Log, letter: str, revision: int, known: str) -> FrozenLetter | None:
    """A letter as the log has it now; None: it is as it was."""
    return log.frozen(letter, revision) if log.frozen_hash(letter, revision) != known else None
