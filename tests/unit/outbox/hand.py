"""Brings a copy to a state by the very steps that a run takes."""

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

from petition.outbox.committer import Told, resolve
from petition.outbox.log import Log
from petition.outbox.models import Copy
from petition.outbox.run import CopyMark, CopyOutcome, Run
from petition.outbox.states import State

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
CHARGED = {State.SENT, State.DEFERRED, State.FAILED, State.UNCERTAIN}


def mark_of(copy: Copy) -> CopyMark:
    return CopyMark(copy, NOW, f"<{copy.id}@x>", b"bytes", True, "login", 1)


def outcome_of(copy: Copy, state: State, **more: object) -> CopyOutcome:
    due = NOW + timedelta(days=9999) if state is State.DEFERRED else None
    return CopyOutcome(copy, state, state in CHARGED, due_at=due, letter_date=NOW, **more)


def mark(run: Run, copy: Copy) -> "asyncio.Future[bool]":
    return told_of(partial(run.mark, mark_of(copy)))


def record(run: Run, outcome: CopyOutcome) -> "asyncio.Future[None]":
    return told_of(partial(run.record, outcome))


def told_of(call: Callable[[Told], None]) -> "asyncio.Future[Any]":
    future = asyncio.get_running_loop().create_future()
    call(partial(resolve, future))
    return future


def bring_to(log: Log, name: str, state: State) -> None:
    """Mark and finish the copy of one person."""

    async def steps() -> None:
        run = Run(log, "open")
        for copy in await run.fetch(1000):
            if copy.row_id == name:
                assert await mark(run, copy)
                await record(run, outcome_of(copy, state))
        await run.close()

    asyncio.run(steps())


def leave_marked(log: Log, name: str) -> None:
    """Mark the copy of one person, as a run that was killed leaves it."""

    async def steps() -> None:
        run = Run(log, "open")
        for copy in await run.fetch(1000):
            if copy.row_id == name:
                assert await mark(run, copy)
        await run.close()

    asyncio.run(steps())


def make_due(log: Log) -> None:
    """Let the time come at which deferred copies are due."""
    log.database._connection.execute(
        "UPDATE copy SET due_at = '2020-01-01T00:00:00.000Z' WHERE state = 'deferred'"
    )
