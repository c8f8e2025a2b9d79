"""Group commit: what all connections have to write gathers, and one thread commits it together.

While a commit is on its way to the disk the next one gathers. Each row and step gets its answer
only when its commit has returned: what was promised is on the disk.
"""

import asyncio
import queue
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Any, NamedTuple, TypeVar, cast

from petition.outbox.database import Database

T = TypeVar("T")
Step = Callable[[Database], object]
Told = Callable[[Any, BaseException | None], None]  # gets the answer, or None and an error
_Answered = tuple[Told, object, BaseException | None]
# Commits rows and then steps in one transaction, and returns the answers of all, in order.
Commit = Callable[[Sequence[Any], Sequence[Step]], Sequence[object]]

# How long to wait for a database that another process holds, beyond SQLite's own patience.
BUSY_SECONDS = 600.0
_BUSY_PAUSE = 0.05


async def on_thread(call: Callable[..., T], *arguments: object) -> T:
    """Run on a thread what may wait for a database; a caller that is cancelled waits as well."""
    running = asyncio.ensure_future(asyncio.to_thread(call, *arguments))
    cancelled: asyncio.CancelledError | None = None
    while not running.done():
        try:
            await asyncio.wait({running})
        except asyncio.CancelledError as fault:
            cancelled = fault
    if cancelled:
        running.exception()  # retrieved, or asyncio would log it
        raise cancelled
    return running.result()


class _Gathered(NamedTuple):
    """What goes into one commit, each with whom to tell."""

    rows: list[tuple[Any, Told]]
    steps: list[tuple[Step, Told]]


class Committer:
    """Commits rows and steps on a thread of its own, by `commit_all`.

    The database belongs to that thread until `close` has returned. What gathers is handed to
    the thread at the end of a turn of the event loop, and not again before its commit is back:
    the fewer commits, the less each letter costs. If a commit fails, each row and step is tried
    alone. `lost` are the rows that could not be made durable.
    """

    def __init__(
        self,
        database: Database,
        commit_all: Commit,
        *,
        loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        self._database = database
        self._commit_all = commit_all
        self._loop = loop or asyncio.get_running_loop()
        self._gathered = _Gathered([], [])
        self._is_handing_over = False  # at the end of this turn of the loop
        self._is_committing = False
        self._closing = False
        self.lost: list[Any] = []
        self._handed_over: queue.SimpleQueue[_Gathered | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._work, name="committer", daemon=True)
        self._thread.start()

    async def commit(self, step: Callable[[Database], T]) -> T:
        """Run a step and wait until it is durable."""
        self._refuse_closed()
        future: asyncio.Future[Any] = self._loop.create_future()
        self._gathered.steps.append((step, partial(resolve, future)))
        self._hand_over_soon()
        # Shielded: a caller that is cancelled must not cancel the future of a commit that happens
        # all the same.
        return cast("T", await asyncio.shield(future))

    def add(self, row: object, told: Told) -> None:
        """Add a row; `told` is called on the event loop when it is durable, or cannot be."""
        self._refuse_closed()
        self._gathered.rows.append((row, told))
        self._hand_over_soon()

    async def close(self) -> None:
        """Commit what is left, then give the database back."""
        if not self._closing:
            self._closing = True
            self._handed_over.put(self._gathered)
            self._handed_over.put(None)
        await on_thread(self._thread.join)

    # ---- on the event loop

    def _refuse_closed(self) -> None:
        if self._closing:
            raise RuntimeError("the committer is closed")

    def _hand_over_soon(self) -> None:
        if not (self._is_handing_over or self._is_committing):
            self._is_handing_over = True
            self._loop.call_soon(self._hand_over)

    def _hand_over(self) -> None:
        self._is_handing_over = False
        if any(self._gathered) and not self._closing:
            self._is_committing = True
            self._handed_over.put(self._gathered)
            self._gathered = _Gathered([], [])

    def _tell(self, answered: Iterable[_Answered]) -> None:
        self._is_committing = False
        for told, answer, fault in answered:
            told(answer, fault)
        if any(self._gathered):
            self._hand_over_soon()

    # ---- on the thread

    def _work(self) -> None:
        while (gathered := self._handed_over.get()) is not None:
            try:
                answered = self._in_one_commit(gathered)
            except Exception:  # noqa: BLE001 (each caller gets the error of its own row)
                alone = [_Gathered([row], []) for row in gathered.rows]
                alone += [_Gathered([], [step]) for step in gathered.steps]
                answered = list(map(self._alone, alone))
            self._loop.call_soon_threadsafe(self._tell, answered)

    def _in_one_commit(self, gathered: _Gathered) -> list[_Answered]:
        patience = time.monotonic() + BUSY_SECONDS
        rows = [row for row, _ in gathered.rows]
        steps = [step for step, _ in gathered.steps]
        while True:
            try:
                answers = self._commit_all(rows, steps)
            except Exception as fault:
                if not self._database.is_busy(fault) or time.monotonic() > patience:
                    raise
                time.sleep(_BUSY_PAUSE)
            else:
                tolds = [told for _, told in gathered.rows] + [told for _, told in gathered.steps]
                return [(told, answer, None) for told, answer in zip(tolds, answers, strict=True)]

    def _alone(self, one: _Gathered) -> _Answered:
        """An error of one row is not an error of the others in the commit that failed."""
        try:
            [answered] = self._in_one_commit(one)
        except BaseException as fault:  # noqa: BLE001 (it is raised again where it is awaited)
            self.lost += [row for row, _ in one.rows]
            told = (one.rows[0] if one.rows else one.steps[0])[1]
            return told, None, fault
        return answered


def resolve(future: "asyncio.Future[Any]", answer: object, fault: BaseException | None) -> None:
    """Pass an answer on to who waits for it; one who was cancelled does not."""
    if future.done():
        return
    if fault is None:
        future.set_result(answer)
    else:
        future.set_exception(fault)
        future.exception()  # retrieved: its caller may have been cancelled
