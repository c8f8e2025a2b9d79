"""Group commit: what all connections have to write gathers, and one thread commits it together.

While a commit is on its way to the disk the next one gathers. A future is resolved only when its
commit has returned: what was promised is on the disk.
"""

import asyncio
import queue
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any, TypeVar, cast

from petition.outbox.database import Database

T = TypeVar("T")
Rows = Callable[[Database, Sequence[Any]], Sequence[object]]
_Gathered = dict[Rows, list[tuple[Any, "asyncio.Future[Any]"]]]
_Told = tuple["asyncio.Future[Any]", object, BaseException | None]

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


def _take_steps(database: Database, steps: Sequence[Callable[[Database], object]]) -> list[object]:
    return [step(database) for step in steps]


class Committer:
    """Runs steps in transactions on a thread of its own.

    The database belongs to that thread until `close` has returned. What gathers is handed to
    the thread at the end of a turn of the event loop, and not again before its commit is back:
    the fewer commits, the less each letter costs. The kinds run in their order, steps last.
    `lost` are the rows that could not be made durable, each with what was to take it.
    """

    def __init__(
        self,
        database: Database,
        kinds: Sequence[Rows] = (),
        *,
        is_shared: bool = False,
        loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        self._database = database
        self._begin = database.shared_transaction if is_shared else database.transaction
        self._loop = loop or asyncio.get_running_loop()
        self._kinds = (*kinds, _take_steps)
        self._gathered: _Gathered = {}
        self._is_handing_over = False  # at the end of this turn of the loop
        self._is_committing = False
        self._closing = False
        self.lost: list[tuple[Rows, Any]] = []
        self._handed_over: queue.SimpleQueue[_Gathered | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._work, name="committer", daemon=True)
        self._thread.start()

    async def commit(self, step: Callable[[Database], T]) -> T:
        """Run a step and wait until it is durable."""
        # Shielded: a caller that is cancelled must not cancel the future of a commit that happens
        # all the same.
        return cast("T", await asyncio.shield(self.add(_take_steps, step)))

    def add(self, kind: Rows, row: object) -> "asyncio.Future[Any]":
        """Add a row for one of the kinds; its answer comes when it is durable, or an error."""
        if self._closing:
            raise RuntimeError("the committer is closed")
        future: asyncio.Future[Any] = self._loop.create_future()
        self._gathered.setdefault(kind, []).append((row, future))
        self._hand_over_soon()
        return future

    async def close(self) -> None:
        """Commit what is left, then give the database back."""
        if not self._closing:
            self._closing = True
            self._handed_over.put(self._gathered)
            self._handed_over.put(None)
        await on_thread(self._thread.join)

    # ---- on the event loop

    def _hand_over_soon(self) -> None:
        if not (self._is_handing_over or self._is_committing):
            self._is_handing_over = True
            self._loop.call_soon(self._hand_over)

    def _hand_over(self) -> None:
        self._is_handing_over = False
        if self._gathered and not self._closing:
            self._is_committing = True
            self._handed_over.put(self._gathered)
            self._gathered = {}

    def _tell(self, told: Iterable[_Told]) -> None:
        self._is_committing = False
        for future, answer, fault in told:
            if future.done():  # cancelled
                continue
            if fault is None:
                future.set_result(answer)
            else:
                future.set_exception(fault)
                future.exception()  # retrieved: its caller may have been cancelled
        if self._gathered:
            self._hand_over_soon()

    # ---- on the thread

    def _work(self) -> None:
        while (gathered := self._handed_over.get()) is not None:
            try:
                told = self._in_one_commit(gathered)
            except Exception:  # noqa: BLE001 (each caller gets the error of its own row)
                rows = [(kind, row) for kind in self._kinds for row in gathered.get(kind, ())]
                told = [self._alone(kind, *row) for kind, row in rows]
            self._loop.call_soon_threadsafe(self._tell, told)

    def _in_one_commit(self, gathered: _Gathered) -> list[_Told]:
        patience = time.monotonic() + BUSY_SECONDS
        while True:
            told: list[_Told] = []
            try:
                with self._begin():
                    for kind in self._kinds:
                        if taken := gathered.get(kind):
                            answers = kind(self._database, [row for row, _ in taken])
                            futures = (future for _, future in taken)
                            told += [(*one, None) for one in zip(futures, answers, strict=True)]
            except Exception as fault:
                if not self._database.is_busy(fault) or time.monotonic() > patience:
                    raise
                time.sleep(_BUSY_PAUSE)
            else:
                return told

    def _alone(self, kind: Rows, row: Any, future: "asyncio.Future[Any]") -> _Told:  # noqa: ANN401
        """An error of one row is not an error of the others in the commit that failed."""
        try:
            [told] = self._in_one_commit({kind: [(row, future)]})
        except BaseException as fault:  # noqa: BLE001 (it is raised again where it is awaited)
            self.lost.append((kind, row))
            return future, None, fault
        return told
