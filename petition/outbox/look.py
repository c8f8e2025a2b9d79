"""How a log stands at one moment, for whoever watches it: states, workers, jobs, deferrals."""

import time
from collections.abc import Mapping
from dataclasses import dataclass, field

from petition.outbox.jobs import workers_are_made
from petition.outbox.log import Log
from petition.outbox.states import State

DONE = (State.SENT, State.DEFERRED, State.FAILED, State.UNCERTAIN)


@dataclass(frozen=True, slots=True)
class AtWork:
    """A worker, and what it has done since it began."""

    owner: str
    name: str
    done: Mapping[State, int]


@dataclass(frozen=True, slots=True)
class Look:
    """How a log stood.

    Args:
        seconds: When it was looked at, by a clock that nobody sets.
        at: The same as the log keeps it.
        counts: How many copies were in each state, of one letter or of all.
        deferred: How many waited, by the domain that put them off.
        workers: Who was at work.
        waiting: How many jobs waited.
        doing: How many were being done.
        lag: For how many seconds the first job that could be done had waited.
    """

    seconds: float
    at: str
    counts: Mapping[State, int]
    deferred: Mapping[str, int]
    workers: tuple[AtWork, ...] = field(default=())
    waiting: int = 0
    doing: int = 0
    lag: float = 0.0


def look(log: Log, letter: str | None) -> Look:
    """Look at a log.

    Args:
        log: The log.
        letter: At one letter; None: at all. Workers and jobs are those of all letters.
    """
    with log.database.transaction(temporary=True):  # as of one moment
        return _looked(log, letter)


def _looked(log: Log, letter: str | None) -> Look:
    counts: dict[State, int] = {}
    for name in [letter] if letter else log.letters():
        for state, number in log.counts(name).by_state.items():
            counts[state] = counts.get(state, 0) + number
    rows = log.database.all("deferred_domains", {"letter": letter})
    deferred = {row["domain"]: row["number"] for row in rows}
    seconds, at = time.monotonic(), log.now
    if not workers_are_made(log.database):
        return Look(seconds, at, counts, deferred)
    workers = tuple(
        AtWork(row["owner"], row["name"], {state: row[str(state)] for state in DONE})
        for row in log.database.all("workers_now")
    )
    jobs = log.database.one("jobs_now")
    assert jobs is not None  # noqa: S101 (counts have one row)
    return Look(
        seconds,
        at,
        counts,
        deferred,
        workers,
        jobs["waiting"],
        jobs["doing"],
        max(0.0, float(jobs["lag"])),
    )
