"""Which logs this account has sent from: what no log can tell of itself.

A log can be emptied, deleted or replaced by an older copy, and a write-ahead log can be lost. So
each log has a number, its epoch, that only grows. It stands in the log (`meta`) and, by the log's
id, in `logs.json` in the user's state folder; there too stands which log a campaign folder, or the
address of a PostgreSQL database, had last. The log is written first, so that its epoch is lower
than the one kept here only where the log itself went back:

    moment                        log       logs.json     a crash behind it leaves
    copies are queued             epoch + 1               log ahead: nothing was sent, no doubt
                                            epoch         the same in both
    before a run's first dot      epoch + 1               log ahead: no dot went out
                                            epoch, begun  a run that has begun
    marks, dots, replies                                  a run that has begun
    the run ends                  epoch + 1               log ahead: the next command ends the run
                                            epoch, ""     the same in both

Nothing is written for a single commit. What a run wrote after its first dot may be in the file of
the log already or in its `-wal` alone, and the epoch would be the same where only the `-wal` is
lost. But a run that was killed leaves its `-wal`: where a run has begun, has not ended, and there
is none, what it wrote last is lost (`LOST`). The next command that opens the log ends a dead run.

A log from which nothing was ever attempted can be lost or restored without harm: nobody has the
letter. A rehearsal's log is not kept here.
"""

import hashlib
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from petition.database_url import POSTGRESQL, PostgresAddress
from petition.errors import LogUnusable, PetitionError
from petition.outbox.database import where
from petition.user_state import UserStateUnusable, changed_state, read_state, state_folder

if TYPE_CHECKING:
    from petition.outbox.log import Log

FILE = "logs.json"
BEGUN, LOST = "begun", "lost"  # of a log's last run; "": it has ended
_BRING_BACK = (
    "Everybody who has a letter could get it again: bring that log back, or name it in [log]"
    " database"
)


@dataclass(frozen=True, slots=True)
class Known:
    """What this account knows of a log.

    Args:
        epoch: The highest epoch that it was seen with.
        attempted: Whether a letter ever went out from it.
        run: How its last run stands: "", `BEGUN` or `LOST`.
    """

    epoch: int = 0
    attempted: bool = False
    run: str = ""


@dataclass(frozen=True, slots=True)
class Doubt:
    """Why a log may not be the one that knows who has a letter already.

    Args:
        what: What is wrong, a sentence without its full stop.
        hint: What to do about it, the same.
        is_new_here: Nothing speaks against it but that this account has never sent from it.
    """

    what: str
    hint: str
    is_new_here: bool = False


def id_of(key: bytes) -> str:
    """The id of a log, from its key, which it does not tell."""
    return hashlib.sha256(b"petition log\0" + key).hexdigest()[:32]


def known_logs() -> dict[str, Known]:
    """What this account knows, by the ids of the logs.

    Raises:
        UserStateUnusable: The file cannot be read.
    """
    return _logs(read_state(FILE))


class Memory:
    """What this account knows of a log that is open; to be made before its database is opened.

    Args:
        log: The log.
        rehearses: Nobody receives what is sent from it, and nothing is kept of it.

    Attributes:
        folder: The campaign folder that the log is used in; None: in none.
        is_running: A run of this process has begun, and has not ended.
    """

    def __init__(self, log: "Log", *, rehearses: bool) -> None:
        self._log = log
        self.folder: Path | None = None
        self._rehearses = rehearses
        self._before: dict[str, Known] = {}
        self.is_running = False
        self._has_lost = False
        with suppress(UserStateUnusable):  # whoever only looks needs none of it
            self._before = {} if rehearses else known_logs()

    @property
    def known(self) -> Known | None:
        """What is known now; None: nothing.

        Raises:
            UserStateUnusable: It cannot be read.
        """
        return None if self._rehearses else known_logs().get(self._log.id or "")

    @property
    def run(self) -> str:
        """How its last run stands, as far as it can be read."""
        with suppress(UserStateUnusable):
            return known.run if (known := self.known) else ""
        return ""

    def advance(self) -> int:
        """Raise the log's epoch, within a transaction, above what is known of it.

        Returns:
            The epoch that it has when the transaction is committed.
        """
        known = self.known
        self._log.database.run("advance", {"floor": known.epoch if known else 0})
        return self._log.epoch

    def keep(self, epoch: int, *, run: str | None = None, attempted: bool = False) -> None:
        """Keep an epoch that the log has, durably.

        Args:
            epoch: It; it is durable in the log.
            run: How its last run stands; None: as before.
            attempted: Whether a letter went out from it, or is about to.

        Raises:
            UserStateUnusable: The file cannot be read or written.
        """
        own = self._log.id
        if self._rehearses or not own:
            return
        with changed_state(FILE) as state:
            old = _logs(state).get(own, Known())
            if run is None or self._log.database.takes_workers:  # many run at once
                run = old.run
            state.setdefault("logs", {})[own] = {
                "epoch": max(old.epoch, epoch),
                "attempted": old.attempted or attempted,
                "run": run,
            }
            _texts(state, "places")
            places = dict.fromkeys(_places(self._log.url, self.folder), own)
            state.setdefault("places", {}).update(places)

    def accept(self) -> None:
        """A person said that this is the right log: from now on it is the one that is known.

        Raises:
            LogUnusable: It could not be written.
            UserStateUnusable: The file could not be read or written.
        """
        _ = self._log.key  # which a new log has not made yet
        known = self.known
        has_lost = known is not None and known.run == LOST
        self._advance_and_keep(run="" if has_lost else None, attempted=self._log.has_attempts)

    def begin_run(self, epoch: int) -> None:
        """A run is about to write its first final dot.

        Args:
            epoch: What `advance` said; it is durable in the log.
        """
        self.keep(epoch, run=BEGUN, attempted=True)
        self.is_running = True

    def end_run(self) -> None:
        """The run has ended, if one had begun; if that cannot be kept, the next command does it."""
        if self.is_running:
            self.is_running = False
            self._end()

    def finds_dead_run(self) -> bool:
        """Whether a run seems never to have ended; to be asked as soon as the log is open.

        Its `-wal` must have been there when the log was opened, if it had not ended.
        """
        log = self._log
        found = self._before.get(log.id or "")
        if log.database.read_only or not found or found.run != BEGUN:
            return False
        self._has_lost = not log.database.found_changes and log.epoch <= found.epoch
        return True

    def end_dead_run(self) -> None:
        """End the run of a process that died; the caller owns the log."""
        with suppress(PetitionError):  # the next command does it
            known = self.known
            if self.is_running or not known or known.run != BEGUN:
                return
            if self._has_lost or self._log.epoch < known.epoch:
                self.keep(known.epoch, run=LOST)
            else:
                self._end()

    def _end(self) -> None:
        with suppress(PetitionError):
            try:
                self._advance_and_keep(run="")
            except LogUnusable:  # the disk is full; SQLite may take the `-wal` in all the same
                self.keep(0, run="")

    def _advance_and_keep(self, *, run: str | None, attempted: bool = False) -> None:
        with self._log.database.transaction():
            epoch = self.advance()
        self.keep(epoch, run=run, attempted=attempted)


def doubt_of(log: "Log | None", url: str, folder: Path | None) -> Doubt | None:
    """Why letters should not go out from a log before a person has said that it is the right one.

    Args:
        log: The log; None: there is none.
        url: Its address.
        folder: The campaign folder; None: there is none.

    Raises:
        UserStateUnusable: What this account knows cannot be read.
        LogUnusable: The log cannot be read.
    """
    state = read_state(FILE)  # before the log, which is ahead where a run goes on meanwhile
    logs, places = _logs(state), _texts(state, "places")
    here = {places[place] for place in _places(url, folder) if place in places}
    expected = {one for one in here if logs.get(one, Known()).attempted}
    own, name = log.id if log else None, where(url)
    known = logs.get(own) if own else None
    was_used = known is not None and known.attempted
    if (expected or was_used) and not (log and log.letters()):
        is_empty = f"the log in {name} is empty" if log else f"there is no log in {name}"
        return Doubt(f"{is_empty}, and letters went out from one before", _BRING_BACK)
    if log and known and was_used and (log.epoch < known.epoch or known.run == LOST):
        return Doubt(
            f"the log in {name} is older than the one that letters went out from: it was restored"
            " from a copy, or lost its last changes",
            "Whoever got a letter since could get it again: bring the newest log back, or take"
            " these people out with petition withdraw",
        )
    if expected - {own}:
        return Doubt(
            f"the log in {name} is not the one that letters went out from before", _BRING_BACK
        )
    if log and known is None and log.has_attempts:
        return Doubt(
            f"the log in {name} is new here: it was made on another machine or by another account",
            "Make sure that it is the newest, and that nobody sends from another copy of it",
            is_new_here=True,
        )
    return None


def _places(url: str, folder: Path | None) -> Iterator[str]:
    """Under which names it is kept which log was used last."""
    if folder:
        yield str(folder.resolve())
    if url.startswith(POSTGRESQL):
        yield _without_password(url)


def _without_password(url: str) -> str:
    """The address of a database and of a schema in it, whatever the login and the password are."""
    address = PostgresAddress.parse(url)
    options = sorted(
        f"{one}={value}" for one, value in address.options.items() if "pass" not in one
    )
    return f"{address.name}?{'&'.join(options)}"


def _logs(state: Mapping[str, Any]) -> dict[str, Known]:
    try:
        return {
            one: Known(int(about["epoch"]), bool(about["attempted"]), str(about["run"]))
            for one, about in state.get("logs", {}).items()
        }
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise _damaged() from error


def _texts(state: Mapping[str, Any], name: str) -> dict[str, str]:
    found = state.get(name, {})
    if not isinstance(found, dict) or not all(isinstance(one, str) for one in found.values()):
        raise _damaged()
    return found


def _damaged() -> UserStateUnusable:
    return UserStateUnusable(
        f"{state_folder() / FILE} is damaged", "Restore it from a backup or delete it"
    )
