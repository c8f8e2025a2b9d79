"""A worker: sends what is due of one letter after the other, as a local `send` does.

It knows nothing of the job engine: it is given a letter, and queues the job for what is left.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial

from petition.campaign.server import Server
from petition.credentials import Secret
from petition.errors import LogDamaged, PetitionError, ServerTrouble
from petition.identity import Signer
from petition.merge.document import Frozen
from petition.merge.fill import captured_in
from petition.merge.message import Merger
from petition.merge.pdf import layout
from petition.outbox import workers
from petition.outbox.committer import on_thread
from petition.outbox.log import Log
from petition.outbox.models import Copy, queue_job
from petition.outbox.run import CopyOutcome
from petition.outbox.states import State
from petition.sending.circuit_breaker import CopyResult, RunResult, Slowed
from petition.sending.dispatch import Dispatch, KeptFiles, LetterUnusable, Signature
from petition.sending.rate_limit import NO_CAP, Clock, SharedPace
from petition.sending.retry import RetrySchedule
from petition.sending.route import Route
from petition.sending.sender import Mailer, first_of
from petition.smtp.dkim import DkimSigner, KeyRefused, public_record

AGAIN_SECONDS = 30.0  # until a letter is looked at again of which nothing could be sent
FIRST_PAUSE_SECONDS = 1.0
LONGEST_PAUSE_SECONDS = 60.0  # of a worker whose server does not answer


@dataclass(slots=True)
class _Compiled:
    document: str
    hash: str
    merger: Merger
    files: KeptFiles
    sender_domain: str
    merged: int = 0


@dataclass(frozen=True, slots=True)
class Equipment:
    """What a worker is configured with; nothing of it is in the log."""

    server: Server
    secret: Secret | None = None
    dkim_key: Secret | None = None  # signs the letters that are to be signed
    waits: bool = True  # for a server that does not answer, instead of ending the worker


class Worker:
    """Sends letters beside other workers; `side` is another connection to the log.

    `tell` is called with what became of each copy, `note` when letters begin to go more slowly.
    Afterwards `fault` is why this worker cannot go on, and `late` has the replies that could
    not be written to the log.
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
        self.owner = owner
        self._own = own
        self._tell_caller = tell
        self._note = note
        self._side_lock = asyncio.Lock()
        self._mailer: Mailer | None = None
        # The mailer's letter, its revision and hash, and how it is sent.
        self._sending: tuple[str, int, str, Dispatch] | None = None
        self._stopped = asyncio.Event()
        self._paced: tuple[Dispatch, SharedPace] | None = None
        self._compiled: _Compiled | None = None
        self._pause_seconds = FIRST_PAUSE_SECONDS
        self._dot_goes_alone = False
        self._finished = 0  # copies that a server or the merge decided about
        self.fault: PetitionError | None = None
        self.late: list[CopyOutcome] = []

    def stop(self) -> None:
        """Begin no further letter; those in flight are finished."""
        self._stopped.set()
        if self._mailer:
            self._mailer.stop()

    async def tidy(self) -> list[str]:
        """Recover the copies of dead workers, whose owners it returns, and queue missing jobs."""
        async with self._side_lock:
            recover = partial(workers.recover_dead, self._side, self.owner, is_idle=False)
            dead = await on_thread(recover)
            await on_thread(workers.queue_missing_jobs, self._side)
            return dead

    async def has_more(self) -> bool:
        """Whether a job could be done now, after a look at the dead and at what has no job."""
        await self.tidy()
        async with self._side_lock:
            return await on_thread(workers.has_job_due, self._side.database)

    async def check_settings(self) -> None:
        """Put a letter down that is to be sent otherwise now; its job follows at once.

        It has other settings, or somebody's name was taken out of it.
        """
        if self._sending is None:
            return
        letter, revision, text, dispatch = sending = self._sending
        async with self._side_lock:
            try:
                now = await on_thread(Dispatch.of, self._side, letter)
            except LetterUnusable:  # the next job says why
                now = None
            text_now = await on_thread(self._side.frozen_hash, letter, revision)
        if (now, text_now) != (dispatch, text) and self._mailer and self._sending is sending:
            self._mailer.stop()

    async def recover(self) -> None:
        """Make uncertain what a run that broke off has marked and not recorded."""
        await on_thread(partial(workers.recover_dead, self._log, self.owner, is_idle=True))

    async def queue_job(self, letter: str, seconds: float) -> None:
        """Have this or another worker look at a letter in so many seconds."""
        await on_thread(self._queue_job, letter, self._later(seconds))

    def _queue_job(self, letter: str, at: datetime) -> None:
        with self._log.database.transaction():
            queue_job(self._log.database, letter, at)

    def _later(self, seconds: float) -> datetime:
        """The time in so many seconds, by the clock of the database."""
        return self._log.clock() + timedelta(seconds=seconds)

    async def send(
        self, letter: str, begun: Callable[[int, int], None]
    ) -> tuple[int, datetime | None]:
        """Send what is due of a letter and what no other worker has, and queue a job for the rest.

        `begun` is called with a revision, and how many copies of it there are to send.
        Returns how many copies wait, and when the letter is looked at again. LetterUnusable if it
        cannot be sent as it stands in the log; LogDamaged if rows of it cannot be read.
        """
        at: datetime | None = None
        finished = -1
        while at is None and self._finished > finished:
            finished = self._finished
            if self._stopped.is_set() or self.fault:
                at = self._later(-1.0)
            elif (revision := await on_thread(workers.revision_due, self._log, letter)) is None:
                break
            else:
                at = await self._send_revision(letter, revision, begun)
        left, due_at = await on_thread(workers.left_of, self._log, letter)
        if not left:
            return 0, None
        at = at or due_at or self._later(AGAIN_SECONDS)
        await on_thread(self._queue_job, letter, at)
        return left, at

    async def _send_revision(
        self, letter: str, revision: int, begun: Callable[[int, int], None]
    ) -> datetime | None:
        """Returns when the letter is looked at again; None: when its copies are due."""
        compiled = await on_thread(self._letter, letter, revision)
        dispatch = await on_thread(Dispatch.of, self._log, letter)
        try:
            signer = self._signer(letter, dispatch.signature)
        except KeyRefused as refusal:
            self.fault = refusal
            return self._later(-1.0)
        if dispatch.stays_here and not self._own.server.is_loopback:
            self.fault = ServerTrouble(
                f'"{letter}" was queued for a server on the machine itself, and'
                f" {self._own.server.name} is not one",
                f"Queue it again with that server: petition send {letter} --workers",
            )
            return self._later(-1.0)
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
        cap = route.pace.cap if route.pace.is_capped else None
        run = await on_thread(workers.SharedRun, self._log, letter, revision, self.owner, cap, loop)
        self._sending = letter, revision, compiled.hash, dispatch
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
                mailer.stop()
            letters = await run.waiting(NO_CAP)
            begun(revision, letters)
            result = await mailer.deliver(letters)
        finally:
            compiled.merged = mailer.merged
            self._dot_goes_alone = route.dot_goes_alone
            self._mailer = self._sending = None
            await run.close()
            self.late += run.late
        if fault := result.log_fault or run.damage:
            raise fault
        await self.recover()
        return await self._when(result)

    def _tell(self, told: CopyResult) -> None:
        self._finished += told.state is not State.QUEUED
        self._tell_caller(told)

    def _letter(self, letter: str, revision: int) -> _Compiled:
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
            what = f'"{letter}" in {self._log.where} is not a letter that this version can read'
            raise LetterUnusable(what, again) from fault
        if any(one != layout() for one in layouts):  # it is a program: only our own is run
            what = f'the PDF of "{letter}" has the layout of another version of petition'
            raise LetterUnusable(what, "Use one version for send and for the workers")
        if keyword := captured_in(frozen):
            what = f'"{letter}" has "{keyword}", which older versions of petition allowed'
            hint = f"Remove it from the letter, then: petition send {letter} --revise --workers"
            raise LetterUnusable(what, hint)
        kept_files = KeptFiles()
        merger = Merger(frozen, Signer(self._log.key), kept_files)
        domain = frozen.sender.domain
        self._compiled = _Compiled(found.document, found.hash, merger, kept_files, domain)
        return self._compiled

    def _signer(self, letter: str, signature: Signature | None) -> DkimSigner | None:
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
        """One for all jobs: what a provider has asked for holds for the next one."""
        if self._paced is None:
            clock = Clock(self._log.clock)
            self._paced = dispatch, SharedPace(dispatch.pace, dispatch.zone, self._take, clock)
        elif self._paced[0] != dispatch:
            self._paced = dispatch, self._paced[1]
            self._paced[1].keep_to(dispatch.pace, dispatch.zone)
        self._paced[1].try_paused_again()
        return self._paced[1]

    async def _provide(self, files: KeptFiles, copy: Copy) -> None:
        """Fetch the files of a copy before it is merged: merging asks no database."""
        for path, sha256 in files.missing(copy.fields):
            async with self._side_lock:
                data = await on_thread(workers.kept, self._side.database, sha256)
            if data is not None:
                files.take(path, sha256, data)

    async def _take(self, name: str, interval: float) -> float:
        async with self._side_lock:
            return await on_thread(workers.take_turn, self._side.database, name, interval)

    async def _when(self, result: RunResult) -> datetime | None:
        """When a letter whose run ended so is looked at again; None: when its copies are due."""
        if result.stopped:
            # In the past by any clock, or --once would find that it is not due.
            return self._later(-1.0)
        if result.refused or result.unknown:
            said = result.refused or result.unknown
            self.fault = PetitionError(
                f"several letters in a row were refused: {said}", "Check the letter and the list"
            )
        elif result.is_hindered:
            self.fault = result.hindrance
        elif result.trouble and not result.trouble.is_passing:
            self.fault = result.trouble
        elif result.trouble:
            await self._pause(result.trouble)
        elif result.broken:
            hint = "Ask its provider, and run this again later"
            await self._pause(ServerTrouble(result.breakdown, hint))
        else:
            self._pause_seconds = FIRST_PAUSE_SECONDS
            left = self._paced[1].pause_left if self._paced else None
            end_of_pause = None if left is None else self._later(left)
            return result.closed or result.capped or end_of_pause
        return self._later(-1.0)

    async def _pause(self, trouble: ServerTrouble) -> None:
        if not self._own.waits:
            self.fault = trouble
            return
        if self._pause_seconds == FIRST_PAUSE_SECONDS:
            self._note(Slowed("", str(trouble), self._pause_seconds))
        await first_of(self._pause_seconds, self._stopped)
        self._pause_seconds = min(2 * self._pause_seconds, LONGEST_PAUSE_SECONDS)
