"""One thread that writes for a run, and makes whatever has gathered durable in one commit.

While a commit is on its way to the disk, the steps of all connections gather; the next commit
takes them together (natural group commit). A step's future is resolved only when its commit has
returned: what was promised is on the disk.
"""

import asyncio
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar, cast

from petition.outbox.database import Database, is_busy

Answer = TypeVar("Answer")
Step = Callable[[Database], object]
Rows = Callable[[Database, Sequence[Any]], Sequence[object]]

# How long a database that another process holds is waited for, beyond SQLite's own patience.
BUSY_SECONDS = 600.0
_BUSY_PAUSE = 0.05


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
    database belongs to the thread until `close` has returned. To be made inside a running event
    loop.

    Args:
        database: The connection that the thread writes through.
        rows: What takes many rows at once, in the order in which it is to be run.
    """

    def __init__(self, database: Database, rows: Sequence[Rows] = ()) -> None:
        self._database = database
        self._loop = asyncio.get_running_loop()
        self._kinds = tuple(rows)
        self._gathered = _Gathered([], {})
        self._wake = threading.Condition()
        self._closing = False
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
        future = self._future()
        with self._wake:
            self._check_open()
            self._gathered.steps.append((step, future))
            self._wake.notify()
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
        future = self._future()
        with self._wake:
            self._check_open()
            self._gathered.rows.setdefault(rows, []).append((row, future))
            self._wake.notify()
        return future

    async def close(self) -> None:
        """Take the steps that are left, then give the database back."""
        with self._wake:
            self._closing = True
            self._wake.notify()
        await asyncio.to_thread(self._thread.join)

    def _future(self) -> "asyncio.Future[Any]":
        future: asyncio.Future[Any] = self._loop.create_future()
        future.add_done_callback(_look)
        return future

    def _check_open(self) -> None:
        if self._closing:
            raise RuntimeError("the committer is closed")

    def _work(self) -> None:
        while gathered := self._gather():
            runs = self._runs_of(gathered)
            try:
                answers = self._in_one_commit(runs)
            except Exception:  # noqa: BLE001 (each of them is told of its own fault)
                for run in runs:
                    self._alone(run)
            else:
                self._tell([future for _, futures in runs for future in futures], answers)

    def _gather(self) -> _Gathered:
        with self._wake:
            while not self._gathered and not self._closing:
                self._wake.wait()
            gathered, self._gathered = self._gathered, _Gathered([], {})
            return gathered

    def _runs_of(self, gathered: _Gathered) -> "list[_Run]":
        runs: list[_Run] = []
        for rows in self._kinds:
            if found := gathered.rows.get(rows):
                values = [row for row, _ in found]
                runs.append((_for_all(rows, values), [future for _, future in found]))
        for step, future in gathered.steps:
            runs.append((_for_one(step), [future]))
        return runs

    def _in_one_commit(self, runs: "list[_Run]") -> list[object]:
        patience = time.monotonic() + BUSY_SECONDS
        while True:
            try:
                with self._database.transaction():
                    return [answer for step, _ in runs for answer in step(self._database)]
            except Exception as fault:
                if not is_busy(fault) or time.monotonic() > patience:
                    raise
                time.sleep(_BUSY_PAUSE)

    def _alone(self, run: "_Run") -> None:
        """After a commit that failed: one step's fault is no other's."""
        _, futures = run
        try:
            answers = self._in_one_commit([run])
        except BaseException as fault:  # noqa: BLE001 (it is raised again where it is awaited)
            self._tell(futures, [], fault)
        else:
            self._tell(futures, answers)

    def _tell(
        self,
        futures: "list[asyncio.Future[Any]]",
        answers: Sequence[object],
        fault: BaseException | None = None,
    ) -> None:
        def settle() -> None:
            for place, future in enumerate(futures):
                if future.done():  # cancelled
                    continue
                if fault is None:
                    future.set_result(answers[place])
                else:
                    future.set_exception(fault)

        self._loop.call_soon_threadsafe(settle)


# What is run in a transaction, and whom its answers are for.
_Run = tuple[Callable[[Database], Sequence[object]], list["asyncio.Future[Any]"]]


def _for_all(rows: Rows, values: list[Any]) -> Callable[[Database], Sequence[object]]:
    return lambda database: rows(database, values)


def _for_one(step: Step) -> Callable[[Database], Sequence[object]]:
    return lambda database: (step(database),)


def _look(future: "asyncio.Future[Any]") -> None:
    """Look at a fault that nobody may be left to see: its connection can have been cancelled."""
    if not future.cancelled():
        future.exception()
