"""A worker: sends the copies of one job after the other, as a `send` of one machine does.

It knows nothing of jobs' queues: it is told which copies a job is for, and answers when the job has
to be taken up again.
"""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING, Self

from petition.campaign.server import Server
from petition.credentials import Secret
from petition.errors import LogDamaged, PetitionError, ServerTrouble
from petition.identity import Signer
from petition.merge.document import Frozen
from petition.merge.fill import captured_in
from petition.merge.message import Merger
from petition.merge.pdf import layout
from petition.outbox.log import Log
from petition.outbox.models import Copy
from petition.outbox.run import on_thread
from petition.outbox.worker_store import kept, refuse_jobs, take_turn
from petition.outbox.workers import SharedRun, choose, is_owed_a_job, left_of_job, recover_dead
from petition.sending.dispatch import Dispatch, KeptFiles, LetterUnusable, Signature
from petition.sending.prefetch import Route
from petition.sending.rate_limit import Clock, SharedPace
from petition.sending.results import CopyResult, RunResult, Slowed
from petition.sending.retry import RetrySchedule
from petition.sending.sender import Mailer, first_of
from petition.smtp.dkim import DkimSigner, KeyRefused, public_record

if TYPE_CHECKING:
    from petition.outbox.run import CopyOutcome

AGAIN_SECONDS = 30.0  # until a job is looked at again of which another worker has copies in hand
FIRST_REST_SECONDS = 1.0
_LARGEST = 2**63 - 1  # of PostgreSQL's bigint: one larger would look like a lost connection
REST_SECONDS = 60.0  # the longest rest of a worker whose server does not answer


@dataclass(frozen=True, slots=True)
class Requeue:
    """A job that has to be taken up again.

    Args:
        at: When.
        letters: How many of its copies wait.
    """

    at: datetime
    letters: int


@dataclass(frozen=True, slots=True)
class Task:
    """What a job is for.

    Args:
        letter: The letter's name.
        revision: Its revision.
        copies: The ids of the copies.
    """

    letter: str
    revision: int
    copies: tuple[int, ...]

    @classmethod
    def of(cls, arguments: Mapping[str, object]) -> Self:
        """The task of a job.

        Args:
            arguments: Its arguments, as they stand in the database.

        Raises:
            LetterUnusable: This petition does not know them.
        """
        match dict(arguments):
            case {"letter": str(letter), "revision": int(revision), "copies": list(copies), **rest}:
                if not rest and all(map(_is_number, (revision, *copies))):
                    return cls(letter, revision, tuple(copies))
        raise LetterUnusable(
            "a job was queued by another version of petition", "Use one version for all workers"
        )


@dataclass(slots=True)
class _Compiled:
    """A letter that is ready to be merged, for job after job."""

    document: str
    merger: Merger
    files: KeptFiles
    sender_domain: str
    merged: int = 0


@dataclass(frozen=True, slots=True)
class Equipment:
    """What a worker brings along; nothing of it stands in the log.

    Args:
        server: Its mail server.
        secret: The password for that.
        dkim_key: What it signs letters with that are to be signed.
        waits: Whether to try again when the server does not answer; else that is the end.
    """

    server: Server
    secret: Secret | None = None
    dkim_key: Secret | None = None
    waits: bool = True


class Worker:
    """Sends letters for a worker.

    Args:
        log: The log, of which this worker is a member.
        side: Another connection to it.
        owner: As whom it has copies in hand.
        own: What it brings along.
        tell: Is called with what became of each copy.
        note: Is called when letters begin to go more slowly.
    """

    def __init__(
        self,
        log: Log,
        side: Log,
        owner: str,
        own: Equipment,
        tell: Callable[[CopyResult], None],
        note: Callable[[Slowed], None],
    ) -> None:
        self._log = log
        self._side = side
        self._owner = owner
        self._own = own
        self._tell = tell
        self._note = note
        self._aside = asyncio.Lock()  # of what uses the other connection
        self._mailer: Mailer | None = None
        self._in_hand: tuple[str, Dispatch] | None = None  # of the mailer: which letter, and how
        self._stopped = asyncio.Event()
        self._paced: tuple[Dispatch, SharedPace] | None = None
        self._compiled: _Compiled | None = None
        self._rest = FIRST_REST_SECONDS
        self._dot_goes_alone = False
        self.fault: PetitionError | None = None  # why this worker cannot go on
        self.late: list[CopyOutcome] = []  # replies that could not be written down

    def stop(self) -> None:
        """Begin no further letter; those in flight are finished."""
        self._stopped.set()
        if self._mailer:
            self._mailer.stop()

    @property
    def owner(self) -> str:
        """As whom it has copies in hand."""
        return self._owner

    def later(self, seconds: float) -> datetime:
        """The time in so many seconds, by the clock of the database."""
        return self._log.clock() + timedelta(seconds=seconds)

    async def tidy(self) -> list[str]:
        """Give the copies of other workers that died their true state.

        Returns:
            Who was found dead.
        """
        async with self._aside:
            return await on_thread(self._tidied)

    async def heed(self) -> None:
        """Let go of a job whose letter is to be sent in another way since; it is taken up again."""
        if self._in_hand is None:
            return
        letter, dispatch = in_hand = self._in_hand
        async with self._aside:
            now = await on_thread(_dispatch_of, self._side, letter)
        if now != dispatch and self._mailer and self._in_hand is in_hand:
            self._mailer.stop()

    async def is_owed_a_job(self) -> bool:
        """Whether a worker that died has a job in hand still, as the engine sees it."""
        await self.tidy()
        async with self._aside:
            return await on_thread(is_owed_a_job, self._side, self._owner)

    async def refuse_jobs(self) -> list[int]:
        """Let jobs fail that no worker can be given.

        Returns:
            Their numbers.
        """
        async with self._aside:
            return await on_thread(refuse_jobs, self._side.database)

    def _tidied(self) -> list[str]:
        return recover_dead(self._side, self._owner, is_idle=False)

    async def give_back(self) -> None:
        """Give what a job that broke off has left in hand its true state."""
        await on_thread(partial(recover_dead, self._log, self._owner, is_idle=True))

    def _chosen(self, task: Task) -> int:
        """How many copies of a job are left."""
        choose(self._log, task.copies)
        return left_of_job(self._log)[0]

    async def send(self, task: Task) -> Requeue | None:
        """Send the copies of a job that wait and that nobody else has.

        Args:
            task: What the job is for.

        Returns:
            When the job has to be taken up again; None: it is done.

        Raises:
            LetterUnusable: The letter cannot be sent as it stands in the log.
            LogUnusable: The log cannot be written any more, and this worker owns nothing.
        """
        if self._stopped.is_set() or self.fault:
            return Requeue(self._log.clock(), len(task.copies))
        if not await on_thread(self._chosen, task):
            return None
        ending = await self._deliver(task)
        if ending.log_fault:
            raise ending.log_fault
        await self.give_back()
        at = await self._when(ending)
        left, due_at = await on_thread(left_of_job, self._log)
        if not left:
            return None
        return Requeue(at or due_at or self.later(AGAIN_SECONDS), left)

    async def _deliver(self, task: Task) -> RunResult:
        letter = task.letter
        compiled = await on_thread(self._letter, letter, task.revision)
        dispatch = await on_thread(Dispatch.of, self._log, letter)
        try:
            signer = self._signer(letter, dispatch.signature)
        except KeyRefused as fault:
            self.fault = fault
            return RunResult()
        if dispatch.stays_here and not self._own.server.is_loopback:
            self.fault = ServerTrouble(
                f'"{letter}" was queued for a server on the machine itself, and'
                f" {self._own.server.name} is none",
                f"Queue it again with that server: petition send {letter} --workers",
            )
            return RunResult()
        route = Route(
            server=self._own.server,
            secret=self._own.secret,
            pace=self._pace(dispatch),
            retry=RetrySchedule.of(dispatch.pace),
            keep_bytes=dispatch.keep_bytes,
            hello_name=compiled.sender_domain,
            signer=signer,
            dot_goes_alone=self._dot_goes_alone,
        )
        loop = asyncio.get_running_loop()
        run = await on_thread(SharedRun, self._log, letter, self._owner, route.pace.cap, loop)
        self._in_hand = letter, dispatch
        self._mailer = mailer = Mailer(
            run,
            compiled.merger,
            route,
            self._tell,
            self._log.clock,
            self._note,
            merged=compiled.merged,
            provide=partial(self._provide, compiled.files),
        )
        try:
            if self._stopped.is_set():
                self._mailer.stop()
            return await mailer.deliver(len(task.copies))
        finally:
            compiled.merged = mailer.merged
            self._dot_goes_alone = route.dot_goes_alone
            self._mailer = self._in_hand = None
            await run.close()
            self.late += run.late

    def _letter(self, letter: str, revision: int) -> _Compiled:
        """A letter, compiled when it is another one than that of the job before."""
        found = self._log.frozen(letter, revision)
        again = f"Queue it again: petition send {letter} --workers"
        if found is None:
            raise LetterUnusable(f'{self._log.where} has no "{letter}" of this revision', again)
        if self._compiled and self._compiled.document == found.document:
            return self._compiled
        try:
            frozen = Frozen.from_json(found.document)
            layouts = [one["layout"] for one in frozen.attachments if "layout" in one]
        except (LogDamaged, TypeError, KeyError, AttributeError) as fault:
            what = f'"{letter}" in {self._log.where} is no letter that this petition can read'
            raise LetterUnusable(what, again) from fault
        if any(one != layout() for one in layouts):  # it is a program: nobody else's is run
            what = f'"{letter}" has the page of another version of petition for its PDF'
            raise LetterUnusable(what, "Use one version for send and for the workers")
        if keyword := captured_in(frozen):
            what = f'"{letter}" has "{keyword}", which older versions of petition allowed'
            hint = f"Take it out of the letter, then: petition send {letter} --revise --workers"
            raise LetterUnusable(what, hint)
        kept_files = KeptFiles()
        merger = Merger(frozen, Signer(self._log.key), kept_files)
        self._compiled = _Compiled(found.document, merger, kept_files, frozen.sender.domain)
        return self._compiled

    def _signer(self, letter: str, signature: Signature | None) -> DkimSigner | None:
        """What signs a letter that is to be signed."""
        if signature is None:
            return None
        whose = f"{signature.domain} (DKIM, selector {signature.selector})"
        hint = "Set PETITION_DKIM_KEY to it, or name its file: petition worker --dkim-key FILE"
        key = self._own.dkim_key
        if key is None:
            what = f'"{letter}" is to be signed by {whose}, and this worker has no key'
            raise KeyRefused(what, hint)
        if public_record(key) != signature.public:
            raise KeyRefused(f"the key of this worker is not that of {whose}", hint)
        return DkimSigner(signature.domain, signature.selector, key)

    def _pace(self, dispatch: Dispatch) -> SharedPace:
        """The same for job after job: what a provider has asked for holds for the next one."""
        if self._paced is None:
            clock = Clock(self._log.clock)
            self._paced = dispatch, SharedPace(dispatch.pace, dispatch.zone, self._take, clock)
        elif self._paced[0] != dispatch:
            self._paced = dispatch, self._paced[1]
            self._paced[1].keep_to(dispatch.pace, dispatch.zone)
        self._paced[1].try_paused_again()
        return self._paced[1]

    async def _provide(self, files: KeptFiles, copy: Copy) -> None:
        """Have the files of a copy at hand before it is merged: merging asks no database."""
        for path, sha256 in files.missing(copy.fields):
            async with self._aside:
                data = await on_thread(kept, self._side.database, sha256)
            if data is not None:
                files.take(path, sha256, data)

    async def _take(self, name: str, interval: float) -> float:
        async with self._aside:
            return await on_thread(take_turn, self._side.database, name, interval)

    async def _when(self, ending: RunResult) -> datetime | None:
        """When a job that ended so is taken up again; None: when its copies are due."""
        if ending.stopped:
            # A moment ago by any clock, or --once would find that it is not due.
            return self.later(-1.0)
        if ending.refused or ending.unknown:
            said = ending.refused or ending.unknown
            self.fault = PetitionError(
                f"several letters in a row were refused: {said}", "Look at the letter and the list"
            )
        elif ending.is_hindered:
            self.fault = ending.hindrance
        elif ending.trouble and not ending.trouble.is_passing:
            self.fault = ending.trouble
        elif ending.trouble or ending.broken:
            await self._rest_from(ending.trouble or _breaks_off(ending))
            return self._log.clock()
        else:
            self._rest = FIRST_REST_SECONDS
        if self.fault:
            return self._log.clock()
        return ending.closed or ending.capped or self._end_of_pause()

    async def _rest_from(self, trouble: ServerTrouble) -> None:
        """Let the server get its breath, and say so when it begins."""
        if not self._own.waits:
            self.fault = trouble
            return
        if self._rest == FIRST_REST_SECONDS:
            self._note(Slowed("", str(trouble), self._rest))
        await first_of(self._rest, self._stopped)
        self._rest = min(2 * self._rest, REST_SECONDS)

    def _end_of_pause(self) -> datetime | None:
        """When a provider is tried again that wants no letters; None: there is none."""
        seconds = self._paced[1].pause_left if self._paced else None
        return None if seconds is None else self.later(seconds)


def _dispatch_of(log: Log, letter: str) -> Dispatch | None:
    """How a letter is sent, or None where that cannot be read any more."""
    try:
        return Dispatch.of(log, letter)
    except LetterUnusable:
        return None


def _is_number(value: object) -> bool:
    """Whether it is a whole number that the database can compare with its own."""
    return type(value) is int and 0 < value <= _LARGEST


def _breaks_off(ending: RunResult) -> ServerTrouble:
    what = f"the server kept breaking off: {ending.broken}"
    return ServerTrouble(what, "Ask its keeper, and run this again later")
