"""One thread that writes for a run, and makes whatever has gathered durable in one commit.

While a commit is on its way to the disk, the steps of all connections gather; the next commit
takes them together (natural group commit). A step's future is resolved only when its commit has
returned: what was promised is on the disk.
"""

import asyncio
import threading
from collections.abc import Callable
from typing import TypeVar, cast

from petition.outbox.database import Database

Answer = TypeVar("Answer")
Step = Callable[[Database], object]


class Committer:
    """Runs steps in transactions, in the order they came, on a thread of its own.

    The database belongs to the thread until `close` has returned. To be made inside a running
    event loop.

    Args:
        database: The connection that the thread writes through.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._loop = asyncio.get_running_loop()
        self._gathered: list[tuple[Step, asyncio.Future[object]]] = []
        self._wake = threading.Condition()
        self._closing = False
        self._thread = threading.Thread(target=self._work, name="committer", daemon=True)
        self._thread.start()

    async def commit(self, step: Callable[[Database], Answer]) -> Answer:
        """Run a step and wait until it is durable.

        Args:
            step: Is called on the committer's thread, inside a transaction with other steps.

        Returns:
            What the step returned.

        Raises:
            LogUnusable: The transaction could not be made durable; none of its steps was taken.
        """
        future: asyncio.Future[object] = self._loop.create_future()
        future.add_done_callback(_look)
        with self._wake:
            if self._closing:
                raise RuntimeError("the committer is closed")
            self._gathered.append((step, future))
            self._wake.notify()
        # Shielded: a connection that is cancelled while it waits must not leave the outcome of a
        # commit unknown to itself alone; the step is taken all the same.
        return cast("Answer", await asyncio.shield(future))

    async def close(self) -> None:
        """Take the steps that are left, then give the database back."""
        with self._wake:
            self._closing = True
            self._wake.notify()
        await asyncio.to_thread(self._thread.join)

    def _work(self) -> None:
        while steps := self._gather():
            answers: list[object] = []
            try:
                with self._database.transaction():
                    answers = [step(self._database) for step, _ in steps]
            except BaseException as fault:  # noqa: BLE001 (it is raised again where it is awaited)
                self._tell(steps, answers, fault)
            else:
                self._tell(steps, answers, None)

    def _gather(self) -> list[tuple[Step, asyncio.Future[object]]]:
        with self._wake:
            while not self._gathered and not self._closing:
                self._wake.wait()
            steps, self._gathered = self._gathered, []
            return steps

    def _tell(
        self,
        steps: list[tuple[Step, asyncio.Future[object]]],
        answers: list[object],
        fault: BaseException | None,
    ) -> None:
        def settle() -> None:
            for place, (_, future) in enumerate(steps):
                if future.cancelled():
                    continue
                if fault is None:
                    future.set_result(answers[place])
                else:
                    future.set_exception(fault)

        self._loop.call_soon_threadsafe(settle)


def _look(future: asyncio.Future[object]) -> None:
    """Look at a fault that nobody may be left to see: its connection can have been cancelled."""
    if not future.cancelled():
        future.exception()
