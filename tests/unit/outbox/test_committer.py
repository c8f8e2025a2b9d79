"""One thread that writes for a run: who is told what when a commit, or one step of it, fails."""

import asyncio
import sqlite3
import threading
import time
from functools import partial

import pytest

from petition.errors import LogUnusable
from petition.outbox.committer import Committer, on_thread
from petition.outbox.log import Log
from tests import PATIENCE
from tests.unit.outbox.hand import told_of


def run_steps(log: Log, steps, keep=None):
    def commit_all(rows, some):
        with log.database.transaction():
            answers = keep(log.database, rows) if rows else []
            return [*answers, *(step(log.database) for step in some)]

    async def main():
        committer = Committer(log.database, commit_all)
        try:
            return await steps(committer)
        finally:
            await committer.close()

    return asyncio.run(main())


def added(committer: Committer, row: object):
    return told_of(partial(committer.add, row))


def note(name: str):
    return lambda database: database.run("set_meta", {"name": name, "value": "x"})


def kept(log: Log, name: str) -> bool:
    return log.database.one("meta", {"name": name}) is not None


def test_a_step_that_fails_takes_no_other_with_it(log: Log):
    def fails(database):
        note("half")(database)
        raise ValueError("a fault of this step alone")

    async def steps(committer: Committer):
        return await asyncio.gather(
            committer.commit(note("before")),
            committer.commit(fails),
            committer.commit(note("behind")),
            return_exceptions=True,
        )

    before, fault, behind = run_steps(log, steps)
    assert (before, behind) == (1, 1)
    assert isinstance(fault, ValueError)
    assert [kept(log, name) for name in ("before", "half", "behind")] == [True, False, True]


def test_rows_that_gather_are_taken_at_once_and_each_has_its_answer(log: Log):
    calls = []

    def keep(database, names):
        calls.append(list(names))
        return [note(name)(database) for name in names]

    async def steps(committer: Committer):
        return await asyncio.gather(*(added(committer, name) for name in ("a", "b", "a")))

    assert run_steps(log, steps, keep) == [1, 1, 0]
    assert [name for call in calls for name in call] == ["a", "b", "a"]
    assert kept(log, "a")
    assert kept(log, "b")


def test_a_row_that_fails_takes_no_other_with_it(log: Log):
    def keep(database, names):
        kept_now = [note(name)(database) for name in names]
        if "bad" in names:
            raise ValueError("a fault of this row alone")
        return kept_now

    async def steps(committer: Committer):
        rows = (added(committer, name) for name in ("before", "bad", "behind"))
        return await asyncio.gather(*rows, committer.commit(note("step")), return_exceptions=True)

    before, fault, behind, step = run_steps(log, steps, keep)
    assert (before, behind, step) == (1, 1, 1)
    assert isinstance(fault, ValueError)
    assert [kept(log, name) for name in ("before", "bad", "behind")] == [True, False, True]


@pytest.mark.sqlite
def test_a_database_that_another_process_holds_is_waited_for(log: Log):
    log.database._connection.execute("PRAGMA busy_timeout = 10")
    other = sqlite3.connect(log.database.path, isolation_level=None, check_same_thread=False)
    other.execute("BEGIN IMMEDIATE")

    def let_go():
        time.sleep(0.4)  # many times as long as SQLite itself waits
        other.execute("COMMIT")
        other.close()

    releasing = threading.Thread(target=let_go)
    releasing.start()
    try:
        assert run_steps(log, lambda committer: committer.commit(note("late"))) == 1
    finally:
        releasing.join()
    assert kept(log, "late")


@pytest.mark.sqlite
def test_a_log_that_cannot_be_written_is_said_to_each(log: Log):
    log.database._connection.execute("PRAGMA query_only = ON")

    async def steps(committer: Committer):
        return await asyncio.gather(
            *(committer.commit(note(name)) for name in "abc"), return_exceptions=True
        )

    assert [type(answer) for answer in run_steps(log, steps)] == [LogUnusable] * 3


def test_after_its_end_nothing_is_taken(log: Log):
    async def steps(committer: Committer):
        await committer.close()
        with pytest.raises(RuntimeError):
            await committer.commit(note("late"))

    run_steps(log, steps)


def test_a_thread_that_nobody_waits_for_any_more_keeps_its_connection_until_it_has_ended():
    began, may_end, ended = threading.Event(), threading.Event(), threading.Event()

    def query() -> None:
        began.set()
        may_end.wait(PATIENCE)
        ended.set()

    async def steps() -> None:
        waiting = asyncio.ensure_future(on_thread(query))
        await asyncio.to_thread(began.wait, PATIENCE)
        for _ in range(3):
            waiting.cancel()
            await asyncio.sleep(0)
        assert not waiting.done()
        may_end.set()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        assert ended.is_set()

    asyncio.run(steps())
