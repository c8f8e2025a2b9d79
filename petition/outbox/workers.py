"""Workers that share a log: who is alive, what each may send, and how far the work is.

A worker holds two advisory locks of its connection: one that it shares with all other workers, and
that keeps a local `send` out; and one of its own. Both end with the connection, through which it
also writes: a worker that lost them cannot mark a copy. A worker that gets the own lock of another
has proved that the other is dead, and the copies that it had marked become uncertain.

A worker reads ahead in blocks of ids, each with a lock of its own, so that no two prepare the same
letter. Marks are allowed under the daily cap one worker at a time.

The log also keeps what a worker needs of the campaign folder: the settings that a letter is sent
with, and the files of single rows.

Jobs are in tables of the job engine, beside ours; at most one job of a letter waits. Turns of the
shared rate are given by the server's clock and returned as a delay, so that the clocks of the
machines need not agree.
"""

import os
import re
import socket
import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, cast

from petition.errors import LogDamaged, LogUnusable
from petition.outbox.database import Database, Values, moment, stamp
from petition.outbox.log import Cap, Log, utc_now
from petition.outbox.models import (
    TASK,
    Copy,
    copies_of,
    fields_of,
    moved,
    queue_job,
    skip_stopped,
    workers_are_made,
)
from petition.outbox.run import CopyMark, CopyOutcome, Run
from petition.outbox.states import DONE, State

if TYPE_CHECKING:
    import asyncio

_LONGEST_WAIT = timedelta(days=31)  # of a copy between two attempts, whatever [pace] says

_MADE = re.compile(r"CREATE (?:OR REPLACE )?(?:FUNCTION|TABLE|TYPE) (\w+)")

ALL = ""  # the bucket that every letter takes a turn from


def make_tables(database: Database, engine: str) -> None:
    """Make the tables of workers and of the job engine where missing, or raise LogUnusable."""
    if not database.takes_workers:
        raise LogUnusable(
            f"{database.where} is a file on one machine",
            "Workers need PostgreSQL: petition migrate postgresql://host/name",
        )
    if not workers_are_made(database):
        with database.transaction():
            if not workers_are_made(database):
                database.install(engine)
                database.run("make_workers")
    there = {row[0] for row in database.all("engine_names")}
    if missing := sorted(set(_MADE.findall(engine)) - there):
        raise LogUnusable(
            f"the jobs in {database.where} were made by another version of Procrastinate"
            f" ({missing[0]} is missing)",
            "Use that version, or stop all workers and apply the migrations of this one",
        )


def join(log: Log) -> bool:
    """Become a sender of a log while its connection lives; False if a `send` owns it."""
    has_joined = bool(log.database.value("join_senders"))
    if has_joined:
        log.refuse_closed()
    return has_joined


def process_name() -> str:
    """What people know this process by beside others that send."""
    return f"{socket.gethostname()}:{os.getpid()}"


def keep_servers_time(log: Log) -> None:
    """Go by the clock of the log's server: those of the workers may differ."""
    ahead = timedelta(seconds=log.database.value("server_time") - utc_now().timestamp())
    log.clock = lambda: utc_now() + ahead


@contextmanager
def membership(log: Log, name: str) -> Iterator[str]:
    """Be a worker while the block runs, after `join`; yields the owner name of its copies."""
    owner = uuid.uuid4().hex
    database = log.database
    database.one("live", {"owner": owner})
    with database.shared_transaction():
        database.run("began", {"owner": owner, "name": name, "now": log.now})
    try:
        yield owner
    finally:
        log.memory.end_run()
        with suppress(LogUnusable):  # else they are freed with the connection
            recover_dead(log, owner, is_idle=True)
            with database.shared_transaction():
                database.run("ended", {"owner": owner, "now": log.now})
            database.one("end_living", {"owner": owner})
            database.one("leave_senders")


@contextmanager
def companion(url: str) -> Iterator[Log]:
    """A second connection of a worker, beside its commits; LogUnusable if a `send` owns the log."""
    with Log(url) as log:
        keep_servers_time(log)
        if not join(log):
            raise LogUnusable(
                f"another petition command is sending from {log.where}",
                "Wait until it has finished",
            )
        yield log


def recover_dead(log: Log, owner: str, *, is_idle: bool) -> list[str]:
    """Give copies of dead workers, and of an idle caller, their true state; returns the owners."""
    if not _dead(log, owner, is_idle=is_idle):
        return []
    with log.database.transaction():
        dead = _dead(log, owner, is_idle=is_idle)
        log.adopt("pick_orphans_of", "adopt_service_of", {"owners": dead})
        for one in dead:
            if one != owner:
                log.database.run("ended", {"owner": one, "now": log.now})
    return dead


def _dead(log: Log, owner: str, *, is_idle: bool) -> list[str]:
    database = log.database
    marking = {row[0] for row in database.all("owners_of_marked")}
    others = marking | {row[0] for row in database.all("living_workers")}
    dead = [one for one in sorted(others - {owner}) if database.value("is_dead", {"owner": one})]
    return dead + ([owner] if is_idle and owner in marking else [])


def queue_missing_jobs(log: Log) -> bool:
    """Queue a job for each letter that can go and has none: that of a dead worker is lost."""
    log.database.run("drop_lost_jobs", {"task": TASK})
    values = {"now": log.now, "horizon": stamp(log.clock() + _LONGEST_WAIT)}
    if not log.database.all("letters_without_job", values):
        return False
    with log.database.transaction():
        for row in log.database.all("letters_without_job", values):
            queue_job(log.database, row["letter"])
    return True


def has_job_due(database: Database) -> bool:
    """Whether a job waits that could be done now."""
    return database.one("has_job_due", {"task": TASK}) is not None


def revision_due(log: Log, letter: str) -> int | None:
    """The revision of a letter that is to be sent now; None: nothing is due."""
    row = log.database.one("revision_due", {"letter": letter, "now": log.now})
    return row[0] if row else None


def left_of(log: Log, letter: str) -> tuple[int, datetime | None]:
    """How many copies of a letter wait, and when the first is due; None: now."""
    row = log.database.one("left_of_letter", {"letter": letter, "now": log.now})
    if row is None or row["due_now"] or row["due_at"] is None:
        return row["waiting"] if row else 0, None
    return row["waiting"], moment(row["due_at"])


def keep_settings(database: Database, letter: str, settings: str, now: str) -> None:
    """Keep what workers must know to send a letter, as JSON; the last call counts."""
    database.run("set_dispatch", {"letter": letter, "settings": settings, "now": now})


def settings_of(database: Database, letter: str) -> str | None:
    """What was kept for a letter; None: it was never queued for workers."""
    row = database.one("dispatch", {"letter": letter}) if workers_are_made(database) else None
    return str(row[0]) if row else None


def last_letter(database: Database) -> str:
    """The letter whose settings were kept last; "": none."""
    return str(database.value("last_dispatch") or "")


def waiting_unchosen(database: Database, letter: str) -> int:
    """How many listed copies of a letter wait without having been chosen: workers send them too."""
    return int(database.value("waiting_unchosen", {"letter": letter}))


def texts_of_waiting(database: Database, letter: str, field: str) -> Iterator[str]:
    """A field of the copies of a letter that wait, where they have it."""
    for row in database.all("fields_of_waiting", {"letter": letter}):
        if text := fields_of(row[0]).get(field):
            yield text


def shorten_turns(database: Database, intervals: Mapping[str, float]) -> None:
    """Let the next turn of each bucket come within its interval, in seconds; in a transaction."""
    for name, interval in intervals.items():
        database.run("pull_turn_in", {"name": name, "interval": interval})


def take_turn(database: Database, name: str, interval: float) -> float:
    """The seconds until the next turn of a bucket, a domain or ALL; `interval` is in seconds.

    The connection must be one that no run commits through: a turn must not wait.
    """
    return max(0.0, float(database.value("take_turn", {"name": name, "interval": interval})))


def is_kept(database: Database, sha256: str) -> bool:
    """Whether the log has a file."""
    return database.one("has_enclosure", {"sha256": sha256}) is not None


def keep(database: Database, sha256: str, data: bytes) -> None:
    """Keep a file, inside a transaction."""
    database.run("keep_enclosure", {"sha256": sha256, "data": data})


def kept(database: Database, sha256: str) -> bytes | None:
    """A file from the log; None: it is not there."""
    data = database.value("enclosure", {"sha256": sha256})
    return None if data is None else bytes(data)


BLOCK = 256  # ids: what 32 connections read ahead


class SharedRun(Run):
    """Sends one revision of a letter beside other runs.

    It takes blocks of ids that no other run has, each by a lock of its connection. That only keeps
    two workers from preparing the same letter: what may go, the mark decides.

    It may be made on another thread than the loop's. The owner is a worker, which holds the
    lock of `membership`; `cap` gives the recipients that a login may have in 24 hours, by the
    days before this one, and is None where there is no cap. `damage` is what is wrong with a row
    that was left out.
    """

    def __init__(
        self,
        log: Log,
        letter: str,
        revision: int,
        owner: str,
        cap: Cap | None,
        loop: "asyncio.AbstractEventLoop",
    ) -> None:
        super().__init__(log, letter, owner=owner, is_shared=True, loop=loop)
        self._which: dict[str, object] = {"letter": letter, "revision": revision, "size": BLOCK}
        self._cap = cap
        self._blocks: set[int] = set()  # that this worker has
        self._found: list[int] = []  # by the last look
        self._damaged: list[int] = []
        self.damage: LogDamaged | None = None

    def _read(self, limit: int, values: Values, database: Database) -> list[Copy]:
        """The same, but for rows that cannot be read: the others go."""
        known = cast("list[int]", values["known"])
        while True:
            try:
                return super()._read(limit, {**values, "known": known + self._damaged}, database)
            except LogDamaged as fault:
                self.damage = fault
                if len(self._found) == 1:
                    self._damaged += self._found
                limit = 1  # until it is known which row it is

    def _ready(self, database: Database, limit: int, values: Values) -> list[Copy]:
        """Those in the blocks of this worker, or in the first one that no other worker has."""
        values = {**values, **self._which, "limit": limit}
        for block in sorted(self._blocks):
            if copies := self._ready_in(database, block, values):
                return copies
        known = cast("list[int]", values["known"])
        self._leave_blocks(database, self._blocks - {copy // BLOCK for copy in known})
        passed = set(self._blocks)
        while blocks := [
            row["block"]
            for row in database.all("blocks_ready", {**values, "others": sorted(passed)})
        ]:
            for block in blocks:
                passed.add(block)
                if database.value("take_block", {**self._which, "block": block}):
                    self._blocks.add(block)
                    # Read once more: its last owner may have sent some of them.
                    if copies := self._ready_in(database, block, values):
                        return copies
        return []

    def _ready_in(self, database: Database, block: int, values: Values) -> list[Copy]:
        rows = database.all("ready_in_block", {**values, "first": block * BLOCK})
        self._found = [row["id"] for row in rows]
        return copies_of(rows)

    def _leave_blocks(self, database: Database, blocks: set[int]) -> None:
        for block in blocks:
            database.one("leave_block", {**self._which, "block": block})
        self._blocks -= blocks

    async def close(self) -> None:
        """The same; other workers may have the rest of its blocks."""
        with suppress(LogUnusable, RuntimeError):  # they end with the connection; closed before
            await self._committer.commit(
                lambda database: self._leave_blocks(database, self._blocks)
            )
        await super().close()

    def _needs_more(self, rows: Sequence[CopyMark | CopyOutcome]) -> bool:
        return self._cap is not None or super()._needs_more(rows)

    def _within_cap(self, database: Database, marks: Sequence[CopyMark]) -> Sequence[CopyMark]:
        """One worker at a time counts its letters."""
        if self._cap is None or not marks:
            return marks
        login = marks[0].login
        database.one("lock_cap", {"login": login})
        most = self._cap(self._log.days_before(login))
        if most is None:
            return marks
        room = most - self._log.spent(login)[0]
        for number, mark in enumerate(marks):
            room -= mark.recipients
            if room < 0:
                return marks[:number]
        return marks

    def _work_done(self, outcomes: Sequence[CopyOutcome]) -> Values | None:
        states = [outcome.state for outcome in outcomes]
        counts: dict[str, object] = {state.value: states.count(state) for state in DONE}
        return counts | {"owner": self.owner} if any(counts.values()) else None

    def _skip_missed(self, database: Database, missed: Sequence[int]) -> None:
        """The same for all that nobody else is skipping at this moment."""
        del missed
        with database.joined(self._transaction):
            self._drop_unwanted(database)

    def _count_taken_back(self, database: Database) -> None:
        starts = [one.start for one in moved(database).values()]
        counts: dict[str, object] = {state.value: -starts.count(state) for state in DONE}
        database.run("count_work", counts | {"owner": self.owner})

    def _drop_unwanted(self, database: Database) -> None:
        """The same in this revision alone."""
        found = [row["id"] for row in database.all("unwanted_shared", {"letter": self.letter})]
        if found:
            skip_stopped(database, found, self._log.now)

    def _waiting(self, database: Database, *, limit: int) -> int:
        values = self._which | {"now": self._log.now}
        return min(limit, int(database.value("waiting_shared", values)))


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
    commits: int | None = None  # of the database so far, those of others too; None: in a file


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
    return replace(
        stats,
        workers=workers,
        waiting=jobs["waiting"],
        doing=jobs["doing"],
        lag=lag,
        commits=jobs["commits"],
    )
