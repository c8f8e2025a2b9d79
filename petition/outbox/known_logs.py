"""What this account knows of the logs that it sent from, and a log cannot know of itself.

A log can be emptied, deleted or replaced by an older copy, and a write-ahead log can be lost. So
each log has a number that only grows, its epoch. It is in the log (`meta`) and, by the log's id, in
`logs.json` in the user's state folder, which also says which log a campaign folder, or the address
of a PostgreSQL database, used last. The log is written first, so its epoch is lower than the one in
`logs.json` only if the log itself went back:

    moment                        log       logs.json     a crash after it leaves
    copies are queued             epoch + 1               log ahead: nothing was sent, no doubt
                                            epoch         the same in both
    before a run's first dot      epoch + 1               log ahead: no dot went out
                                            epoch, begun  a run that has begun
    marks, dots, replies                                  a run that has begun
    the run ends                  epoch + 1               log ahead: the next command ends the run
                                            epoch, ""     the same in both

With SQLite, `logs.json` is locked from before the log is written until after it, and a log that is
behind is refused (`LogForked`): of two copies both can have been found right before either began.
Only `accept` lifts a log over what is known of it. The file that a run began in is kept too: a copy
of its log does not end it.

Nothing is written for a single commit. What a run wrote after its first dot may be in its `-wal`
alone, and the epoch does not change where only that is lost. But a run that was killed leaves its
`-wal`: if there is none, or it is damaged or ends too early (sqlite.py), changes are lost (`LOST`).
The next command that opens the log ends a dead run.

A log from which nothing was ever attempted can be lost or restored without harm: nobody has the
letter. Logs of rehearsals are not kept here.

Other people and machines are told by a file of the campaign folder (sent_file.py): the right log
knows each letter that it names. What a person has confirmed in spite of it is kept here, by line.
"""

import hashlib
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, nullcontext, suppress
from datetime import date
from pathlib import Path
from typing import Any, NamedTuple

from petition.database_url import POSTGRESQL, PostgresAddress
from petition.errors import LogForked, LogUnusable, PetitionError
from petition.outbox.database import Database, file_of, intact, meta, where
from petition.outbox.sent_file import FILE as SENT_FILE
from petition.outbox.sent_file import Sent, add_sent, read_sent
from petition.user_state import UserStateUnusable, changed_state, read_state, state_folder

FILE = "logs.json"
BEGUN, LOST = "begun", "lost"  # states of a log's last run; "": it has ended
_MOST = 2**62  # a database counts to 2^63
_BRING_BACK = (
    "Everybody who has a letter could get it again: restore that log, or name it in [log] database"
)


class KnownLog(NamedTuple):
    """What this account knows of a log."""

    epoch: int = 0  # the highest that it was seen with
    attempted: bool = False  # a letter went out from it
    copies: int = 0  # that it held: none is ever deleted
    run: str = ""  # the state of its last run: "", `BEGUN` or `LOST`
    at: str = ""  # the file that the last run began in; empty for a database server
    confirmed: frozenset[str] = frozenset()  # lines of sent.toml that do not stop it

    def runs_elsewhere(self, url: str) -> bool:
        """Whether a run has begun, and not ended, in another copy of the log."""
        if self.run != BEGUN or self.at in {"", _file(url)}:
            return False
        try:
            there = Path(self.at).stat()
        except OSError:  # it is gone, or its folder cannot be read
            return False
        here = file_of(url)
        # It can be the same file where a disk is mounted twice, or knows no capitals.
        return not (here and here.exists() and os.path.samestat(there, here.stat()))

    def has_begun_at(self, url: str) -> bool:
        """Whether a run has begun in this copy, and not ended."""
        return self.run == BEGUN and not self.runs_elsewhere(url)


class Doubt(NamedTuple):
    """Why a log may not be the one that knows who has a letter already."""

    what: str
    hint: str
    is_new_here: bool = False  # nothing is wrong but that this account never sent from it


def id_of(database: Database) -> str | None:
    """The id of a log, a hash of its key; None: it has no key yet."""
    if (key := meta(database, "key")) is None:
        return None
    with intact():
        return hashlib.sha256(b"petition log\0" + bytes.fromhex(key)).hexdigest()[:32]


def epoch_of(database: Database) -> int:
    """A number that grows with each letter that is queued and with each run."""
    with intact():
        return int(meta(database, "epoch") or 0)


def _copies(database: Database) -> int:
    return int(database.value("count_copies"))


def _has_attempts(database: Database) -> bool:
    return database.one("has_attempts") is not None


def known_logs() -> dict[str, KnownLog]:
    """What this account knows, by the ids of the logs."""
    return _logs(read_state(FILE))


class Memory:
    """What this account knows of an open log; `before` it was opened, None for a rehearsal."""

    def __init__(
        self, database: Database, url: str, folder: Path | None, before: dict[str, KnownLog] | None
    ) -> None:
        self._database = database
        self._url = url
        self._folder = folder
        self._rehearses = before is None
        self._before = before or {}
        self.is_running = False  # a run of this process has begun, and has not ended
        self._has_lost = False
        self._known_id = ""
        self.has_noted = False  # something new in the campaign folder's sent.toml

    @property
    def _id(self) -> str:
        """Read once: later the connection may be another thread's, or gone."""
        self._known_id = self._known_id or id_of(self._database) or ""
        return self._known_id

    @property
    def known(self) -> KnownLog | None:
        """What is known now, if anything; UserStateUnusable if it cannot be read."""
        return None if self._rehearses else known_logs().get(self._id)

    @property
    def run(self) -> str:
        """The state of its last run, as far as it can be read."""
        with suppress(UserStateUnusable, LogUnusable):
            return known.run if (known := self.known) else ""
        return ""

    @contextmanager
    def step(
        self,
        *,
        run: str | None = None,
        attempted: bool = False,
        accepts: bool = False,
        confirms: Iterable[str] = (),
    ) -> Iterator[Callable[[], None]]:
        """Around a transaction that raises the log's epoch, which is kept here once it is durable.

        With SQLite no other process of this account can take such a step at the same time:
        of two copies of a log the first goes on, and the other one is behind it.
        """
        database, epoch, copies = self._database, None, 0
        state: dict[str, Any] | None = None
        with ExitStack() as held:

            def advance() -> None:
                nonlocal attempted, copies, epoch, state
                known = KnownLog()
                if not self._rehearses:
                    # Workers wait for each other in the database, and hold no file besides.
                    if state is None and not database.takes_workers:
                        state = held.enter_context(changed_state(FILE))
                    now = read_state(FILE) if state is None else state
                    known = _logs(now).get(self._id, known)
                database.run("advance", {"floor": known.epoch if accepts else 0})
                epoch = epoch_of(database)
                if not accepts and (known.epoch >= epoch or known.runs_elsewhere(self._url)):
                    raise LogForked(database.where)
                copies = _copies(database)
                if accepts:
                    attempted = _has_attempts(database)

            yield advance
            if epoch is None or self._rehearses or not self._id:
                return
            if state is None:
                state = held.enter_context(changed_state(FILE))
            seen = KnownLog(epoch, attempted, copies, confirmed=frozenset(confirms))
            self._put(state, seen, run, accepts=accepts)

    def _put(
        self, state: dict[str, Any], seen: KnownLog, run: str | None, *, accepts: bool = False
    ) -> None:
        own = self._id
        old = _logs(state).get(own, KnownLog())
        is_of_another = old.runs_elsewhere(self._url) and not accepts
        if run is None or is_of_another or self._database.takes_workers:  # many run at once
            run = old.run
        state.setdefault("logs", {})[own] = {
            "epoch": max(old.epoch, seen.epoch),
            "attempted": seen.attempted or (old.attempted and not accepts),
            "copies": seen.copies if accepts else max(old.copies, seen.copies),
            "run": run,
            "at": _file(self._url) if seen.attempted else old.at,
            "confirmed": sorted(old.confirmed | seen.confirmed),
        }
        _texts(state, "places")
        places = dict.fromkeys(_places(self._url, self._folder), own)
        state.setdefault("places", {}).update(places)

    def accept(self) -> None:
        """A person said that this is the right log: from now on it is the known one."""
        known = self.known or KnownLog()
        is_over = known.run == LOST or known.runs_elsewhere(self._url)
        lines = read_sent(self._folder) if self._folder else []
        strange = [one.key for one in unknown_to(self._database, lines)]
        self._advance_and_keep(run="" if is_over else None, accepts=True, confirms=strange)

    def outdate_copies(self) -> None:
        """Raise the epoch, so that copies made before are older ones; LogForked if this is one."""
        self._advance_and_keep(run=None)

    @contextmanager
    def beginning(
        self, campaign: str, letter: str, revision: int, day: date
    ) -> Iterator[Callable[[], None]]:
        """The `step` before a run's first final dot; after it the run has begun."""
        with self.step(run=BEGUN, attempted=True) as advance:
            yield advance
            if not self._rehearses:
                self._note(Sent(campaign, letter, revision, self._id, day))
        self.is_running = True

    def hand_out(self, campaign: str, letter: str, revision: int, day: date) -> None:
        """Note that others may send a letter as soon as it is queued, in that transaction."""
        if self._rehearses:
            return
        sent = Sent(campaign, letter, revision, self._id, day)
        # If the transaction fails, the log does not know the letter, and is right all the same.
        with changed_state(FILE) as state:
            self._put(state, KnownLog(confirmed=frozenset([sent.key])), None)
        self._note(sent)

    def _note(self, sent: Sent) -> None:
        if not self._folder:
            return
        # With SQLite the step holds that file; the line of another process must not be lost.
        many = self._database.takes_workers
        with changed_state(FILE) if many else nullcontext():
            self.has_noted = add_sent(self._folder, sent) or self.has_noted

    def end_run(self) -> None:
        """End the run, if one has begun; if that cannot be kept, the next command does it."""
        if self.is_running:
            self.is_running = False
            self._end()

    def finds_dead_run(self) -> bool:
        """Whether a run seems never to have ended; to be asked as soon as the log is open."""
        database, found = self._database, self._before.get(self._id)
        if database.read_only or not found or not found.has_begun_at(self._url):
            return False
        is_lost = not database.found_changes or database.drops_changes()
        self._has_lost = is_lost and epoch_of(database) <= found.epoch
        return True

    def end_dead_run(self) -> None:
        """End the run of a process that died; the caller owns the log."""
        with suppress(PetitionError):  # the next command does it
            known = self.known
            if self.is_running or not known or not known.has_begun_at(self._url):
                return
            if self._has_lost or epoch_of(self._database) < known.epoch:
                self._keep_run(LOST)
            else:
                self._end()

    def _end(self) -> None:
        with suppress(PetitionError):
            try:
                self._advance_and_keep(run="")
            except LogForked:
                raise  # what is kept is of the other copy
            except LogUnusable:  # the disk is full; SQLite may take the `-wal` in all the same
                self._keep_run("")

    def _keep_run(self, run: str) -> None:
        if not self._rehearses and self._id:
            with changed_state(FILE) as state:
                self._put(state, KnownLog(), run)

    def _advance_and_keep(
        self, *, run: str | None, accepts: bool = False, confirms: Iterable[str] = ()
    ) -> None:
        step = self.step(run=run, accepts=accepts, confirms=confirms)
        with step as advance, self._database.transaction():
            advance()


def unknown_to(log: Database | None, lines: Iterable[Sent]) -> list[Sent]:
    """What went out, as sent.toml says, and a log does not know."""
    if log is None:
        return list(lines)
    own = id_of(log)
    frozen = {tuple(row) for row in log.all("frozen_revisions")}
    return [one for one in lines if one.log != own or (one.letter, one.revision) not in frozen]


def doubt_of(log: Database | None, url: str, folder: Path | None) -> Doubt | None:
    """Why a person has to confirm that this is the right log before letters go out from it.

    CampaignError if the folder's sent.toml cannot be read.
    """
    state = read_state(FILE)  # before the log, which is ahead where a run is going on
    logs, places = _logs(state), _texts(state, "places")
    here = {places[place] for place in _places(url, folder) if place in places}
    expected = {one for one in here if logs.get(one, KnownLog()).attempted}
    own, name = id_of(log) if log else None, where(url)
    known = logs.get(own) if own else None
    was_used = known is not None and known.attempted
    copies = _copies(log) if log and (expected or was_used) else 0
    if (expected or was_used) and not copies:
        is_empty = f"the log in {name} is empty" if log else f"there is no log in {name}"
        return Doubt(f"{is_empty}, and letters went out from one before", _BRING_BACK)
    is_behind = known and (
        known.run == LOST or copies < known.copies or (log and epoch_of(log) < known.epoch)
    )
    if log and was_used and is_behind:
        return Doubt(
            f"the log in {name} is older than the one that letters went out from: it was restored"
            " from a copy, or lost copies or its last changes",
            "Everybody who got a letter since could get it again: restore the newest log, or take"
            " these people out with petition withdraw",
        )
    if known and known.runs_elsewhere(url):
        return Doubt(
            f"a run has begun in another copy of this log, {known.at}, and has not ended",
            "Everybody who gets a letter from that copy could get it again: use or delete that one",
        )
    if expected - {own}:
        return Doubt(
            f"the log in {name} is not the one that letters went out from before", _BRING_BACK
        )
    return _doubt_by_others(log, name, folder, known)


def _doubt_by_others(
    log: Database | None, name: str, folder: Path | None, known: KnownLog | None
) -> Doubt | None:
    """Why letters may have gone out that neither this log nor this account knows."""
    lines = read_sent(folder) if folder else []  # before the log, as above
    confirmed = known.confirmed if known else frozenset()
    if unknown := [one for one in unknown_to(log, lines) if one.key not in confirmed]:
        first, more = unknown[0], len(unknown) - 1
        at = f"{SENT_FILE}:{first.line}" + (f", and {more:,} more" if more else "")
        what = f'"{first.letter}" went out on {first.day} from a log that is not here ({at})'
        if log and first.log == id_of(log):
            what = (
                f'the log in {name} is an older copy: it does not know "{first.letter}", revision'
                f" {first.revision}, which went out from it on {first.day} ({at})"
            )
        hint = (
            "Everybody who has that letter could get it again: get the newest copy of that log from"
            " whoever sent it, or share one log in PostgreSQL (petition migrate)"
        )
        return Doubt(what, hint)
    if log and known is None and _has_attempts(log):
        return Doubt(
            f"the log in {name} is new here: it was made on another machine or by another account",
            "Make sure that it is the newest copy, and that nobody sends from another one",
            is_new_here=True,
        )
    return None


def _file(url: str) -> str:
    """The file of a log, by its real path; empty for a database server."""
    file = file_of(url)
    return str(file.resolve()) if file else ""


def _places(url: str, folder: Path | None) -> Iterator[str]:
    if folder:
        yield str(folder.resolve())
    if url.startswith(POSTGRESQL):
        yield _without_password(url)


def _without_password(url: str) -> str:
    """The address of a database and its schema, without login and password."""
    address = PostgresAddress.parse(url)
    options = sorted(
        f"{one}={value}"
        for one, value in address.options.items()
        if value and one in {"host", "port", "options"}  # the others name the same database
    )
    return f"{address.name}?{'&'.join(options)}"


def _logs(state: Mapping[str, Any]) -> dict[str, KnownLog]:
    try:
        return {
            one: KnownLog(
                _number(kept["epoch"]),
                bool(kept["attempted"]),
                _number(kept.get("copies", 0)),
                str(kept["run"]),
                str(kept.get("at", "")),
                frozenset(map(str, kept.get("confirmed", ()))),
            )
            for one, kept in state.get("logs", {}).items()
        }
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise _damaged() from error


def _number(value: object) -> int:
    if type(value) is not int or not 0 <= value <= _MOST:
        raise ValueError(value)
    return value


def _texts(state: Mapping[str, Any], name: str) -> dict[str, str]:
    found = state.get(name, {})
    if not isinstance(found, dict) or not all(isinstance(one, str) for one in found.values()):
        raise _damaged()
    return found


def _damaged() -> UserStateUnusable:
    return UserStateUnusable(
        f"{state_folder() / FILE} is damaged", "Restore it from a backup or delete it"
    )
