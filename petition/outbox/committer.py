"""One thread that writes for a run, and makes whatever has gathered durable in one commit.

While a commit is on its way to the disk, the steps of all connections gather; the next commit
takes them together (natural group commit). A step's future is resolved only when its commit has
returned: what was promised is on the disk.
"""

import asyncio
import queue
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar, cast

from petition.outbox.database import Database

Answer = TypeVar("Answer")
Step = Callable[[Database], object]
Rows = Callable[[Database, Sequence[Any]], Sequence[object]]

# How long a database that another process holds is waited for, beyond SQLite's own patience.
BUSY_SECONDS = 600.0
_BUSY_PAUSE = 0.05


async def on_thread(call: Callable[..., Answer], *arguments: object) -> Answer:
    """Run what may wait for a database on a thread, and return when it has ended.

    A connection is used by one thread at a time. Whoever is cancelled meanwhile waits all the same,
    and only then lets others have it.

    Args:
        call: What is run.
        arguments: What it is given.
    """
    running = asyncio.ensure_future(asyncio.to_thread(call, *arguments))
    cancelled: asyncio.CancelledError | None = None
    while not running.done():
        try:
            await asyncio.wait({running})
        except asyncio.CancelledError as fault:
            cancelled = fault
    if cancelled:
        running.exception()  # nobody is left to be told
        raise cancelled
    return running.result()


@dataclass(slots=True)
class _Gathered:
    """What is to go into one commit: steps, and rows for what takes many at once."""

    steps: list[tuple[Step, "asyncio.Future[Any]"]]
    rows: dict[Rows, list[tuple[Any, "asyncio.Future[Any]"]]]

    def __bool__(self) -> bool:
        return bool(self.steps or self.rows)


class Committer:
    """Runs steps in transactions on a thread of its own.

    Steps are taken in the order in which they came, after the rows that came with them. The
    database belongs to the thread until `close` has returned.

    What gathers is handed to the thread at the end of a turn of the event loop, when every
    connection that has something to say has said it, and not again before its commit is back:
    the fewer the commits, the less each letter costs.

    Args:
        database: The connection that the thread writes through.
        rows: What takes many rows at once, in the order in which it is to be run.
        is_shared: Whether others write at the same time, each rows of its own.
        loop: The event loop; None: the running one.

    Attributes:
        lost: The rows that could not be made durable, each with what was to take it.
    """

    def __init__(
        self,
        database: Database,
        rows: Sequence[Rows] = (),
        *,
        is_shared: bool = False,
        loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        self._database = database
        self._begin = database.shared_transaction if is_shared else database.transaction
        self._loop = loop or asyncio.get_running_loop()
        self._kinds = tuple(rows)
        self._gathered = _Gathered([], {})
        self._is_handing_over = False  # at the end of this turn of the loop
        self._is_committing = False
        self._closing = False
        self.lost: list[tuple[Rows, Any]] = []
        self._handed_over: queue.SimpleQueue[_Gathered | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._work, name="committer", daemon=True)
        self._thread.start()

    async def commit(self, step: Callable[[Database], Answer]) -> Answer:
        """Run a step and wait until it is durable.

        Args:
            step: Is called on the committer's thread, inside a transaction with other steps; it
                may be called again where that transaction could not be made durable.

        Returns:
            What the step returned.

        Raises:
            LogUnusable: The step could not be made durable, and was not taken.
        """
        self._check_open()
        future: asyncio.Future[Any] = self._loop.create_future()
        self._gathered.steps.append((step, future))
        self._hand_over_soon()
        # Shielded: a connection that is cancelled while it waits must not leave the outcome of a
        # commit unknown to itself alone; the step is taken all the same.
        return cast("Answer", await asyncio.shield(future))

    def add(self, rows: Rows, row: object) -> "asyncio.Future[Any]":
        """Add a row to what is run once for all rows that have gathered.

        Args:
            rows: One of those the committer was made with.
            row: What it is given.

        Returns:
            Its answer for this row, when it is durable; or LogUnusable, and it was not taken.
        """
        self._check_open()
        future: asyncio.Future[Any] = self._loop.create_future()
        self._gathered.rows.setdefault(rows, []).append((row, future))
        self._hand_over_soon()
        return future

    async def close(self) -> None:
        """Take the steps that are left, then give the database back."""
        if not self._closing:
            self._closing = True
            self._handed_over.put(self._gathered)
            self._handed_over.put(None)
        await on_thread(self._thread.join)

    def _check_open(self) -> None:
        if self._closing:
            raise RuntimeError("the committer is closed")

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
            self._gathered = _Gathered([], {})

    def _tell(self, told: "list[_Told]") -> None:
        """Resolve what a commit was awaited for, and hand over what gathered meanwhile."""
        self._is_committing = False
        for futures, answers, fault in told:
            for place, future in enumerate(futures):
                if future.done():  # cancelled
                    continue
                if fault is None:
                    future.set_result(answers[place])
                else:
                    future.set_exception(fault)
                    # Nobody may be left to see it: its connection can have been cancelled.
                    future.exception()
        if self._gathered:
            self._hand_over_soon()

    # ---- on the thread

    def _work(self) -> None:
        while (gathered := self._handed_over.get()) is not None:
            runs = self._runs_of(gathered)
            try:
                answers = self._in_one_commit(runs)
            except Exception:  # noqa: BLE001 (each of them is told of its own fault)
                told = [self._alone(*one) for one in self._one_by_one(gathered)]
            else:
                told = [([future for _, futures in runs for future in futures], answers, None)]
            self._loop.call_soon_threadsafe(self._tell, told)

    def _runs_of(self, gathered: _Gathered) -> "list[_Run]":
        runs: list[_Run] = []
        for rows in self._kinds:
            if found := gathered.rows.get(rows):
                values = [row for row, _ in found]
                runs.append((_for_all(rows, values), [future for _, future in found]))
        for step, future in gathered.steps:
            runs.append((_for_one(step), [future]))
        return runs

    def _one_by_one(self, gathered: _Gathered) -> "list[tuple[_Run, tuple[Rows, Any] | None]]":
        """The same in the same order, each row on its own and with what was to take it."""
        rows: list[tuple[_Run, tuple[Rows, Any] | None]] = [
            ((_for_all(kind, [row]), [future]), (kind, row))
            for kind in self._kinds
            for row, future in gathered.rows.get(kind, [])
        ]
        return rows + [((_for_one(step), [future]), None) for step, future in gathered.steps]

    def _in_one_commit(self, runs: "list[_Run]") -> list[object]:
        patience = time.monotonic() + BUSY_SECONDS
        while True:
            try:
                with self._begin():
                    return [answer for step, _ in runs for answer in step(self._database)]
            except Exception as fault:
                if not self._database.is_busy(fault) or time.monotonic() > patience:
                    raise
                time.sleep(_BUSY_PAUSE)

    def _alone(self, run: "_Run", row: tuple[Rows, Any] | None) -> "_Told":
        """After a commit that failed: the fault of one step or row is no other's."""
        _, futures = run
        try:
            return futures, self._in_one_commit([run]), None
        except BaseException as fault:  # noqa: BLE001 (it is raised again where it is awaited)
            if row:
                self.lost.append(row)
            return futures, [], fault


# What is run in a transaction, and whom its answers are for.
_Run = tuple[Callable[[Database], Sequence[object]], list["asyncio.Future[Any]"]]
# Whom to tell, their answers, and what went wrong in place of them.
_Told = tuple[list["asyncio.Future[Any]"], Sequence[object], BaseException | None]


def _for_all(rows: Rows, values: list[Any]) -> Callable[[Database], Sequence[object]]:
    return lambda database: rows(database, values)


def _for_one(step: Step) -> Callable[[Database], Sequence[object]]:
    return lambda database: (step(database),)
