"""How a log stands at one moment, for `status --watch`: copies, workers and jobs."""

import time
from collections.abc import Mapping
from dataclasses import dataclass, replace

from petition.outbox.log import Log
from petition.outbox.states import DONE, State
from petition.outbox.worker_store import workers_are_made


@dataclass(frozen=True, slots=True)
class AtWork:
    """A worker that is alive, and what it has done since it began."""

    owner: str
    name: str
    done: Mapping[State, int]


@dataclass(frozen=True, slots=True)
class Stats:
    """How a log stood."""

    seconds: float  # by a monotonic clock
    at: str  # the same time as the log keeps it
    counts: Mapping[State, int]  # of one letter or of all
    deferred: Mapping[str, int]  # by domain
    workers: tuple[AtWork, ...] = ()  # those alive
    waiting: int = 0  # jobs that no worker has taken yet
    doing: int = 0  # jobs that workers are doing
    lag: float = 0.0  # seconds that a letter ready to send had waited for its first worker


def look(log: Log, letter: str | None) -> Stats:
    """How a log stands; copies are those of one letter, if it is named."""
    with log.database.transaction(temporary=True):  # as of one moment
        counts: dict[State, int] = {}
        for name in [letter] if letter else log.letters():
            for state, number in log.counts(name).by_state.items():
                counts[state] = counts.get(state, 0) + number
        rows = log.database.all("deferred_domains", {"letter": letter})
        deferred = {row["domain"]: row["number"] for row in rows}
        stats = Stats(time.monotonic(), log.now, counts, deferred)
        if not workers_are_made(log.database):
            return stats
        workers = tuple(
            AtWork(row["owner"], row["name"], {state: row[str(state)] for state in DONE})
            for row in log.database.all("workers_now")
        )
        jobs = log.database.one("jobs_now")
    assert jobs is not None  # noqa: S101 (counts have one row)
    lag = max(0.0, float(jobs["lag"]))
    return replace(stats, workers=workers, waiting=jobs["waiting"], doing=jobs["doing"], lag=lag)
