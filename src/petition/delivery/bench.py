"""A worker's bench: sends the copies of one job after the other, as a `send` of one machine does.

It knows nothing of jobs' queues: it is told which copies a job is for, and answers when the job has
to be taken up again.
"""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from petition.campaign.server import Server
from petition.credentials import Secret
from petition.delivery.dispatch import Dispatch
from petition.delivery.ending import Ending, Slowed, Told
from petition.delivery.line import first_of
from petition.delivery.mailer import Mailer
from petition.delivery.retry import RetrySchedule
from petition.delivery.route import Route
from petition.delivery.shared_pace import SharedPace
from petition.errors import LogUnusable, PetitionError, ServerTrouble
from petition.identity import Signer
from petition.merge.frozen import Frozen
from petition.merge.message import Merger
from petition.merge.nothing import NoFiles
from petition.outbox.bucket import take_turn
from petition.outbox.log import Log
from petition.outbox.members import recover_dead
from petition.outbox.shared import SharedRun, choose, left_of_job

AGAIN_SECONDS = 30.0  # until a job is looked at again of which another worker has copies in hand
REST_SECONDS = 60.0  # the longest rest of a worker whose server does not answer


@dataclass(frozen=True, slots=True)
class Left:
    """A job that has to be taken up again.

    Args:
        at: When.
        letters: How many of its copies wait.
    """

    at: datetime
    letters: int


class Bench:
    """Sends letters for a worker.

    Args:
        log: The log, of which this worker is a member.
        side: Another connection to it.
        owner: As whom it has copies in hand.
        server: Its own server.
        secret: The password for that.
        tell: Is called with what became of each copy.
        note: Is called when letters begin to go more slowly.
    """

    def __init__(
        self,
        log: Log,
        side: Log,
        owner: str,
        server: Server,
        secret: Secret | None,
        tell: Callable[[Told], None],
        note: Callable[[Slowed], None],
    ) -> None:
        self._log = log
        self._side = side
        self._owner = owner
        self._server = server
        self._secret = secret
        self._tell = tell
        self._note = note
        self._mailer: Mailer | None = None
        self._stopped = asyncio.Event()
        self._paced: tuple[Dispatch, SharedPace] | None = None
        self._rest = 1.0
        self.fault: PetitionError | None = None  # why this worker cannot go on

    def stop(self) -> None:
        """Begin no further letter; those in flight are finished."""
        self._stopped.set()
        if self._mailer:
            self._mailer.stop()

    async def tidy(self) -> list[str]:
        """Give the copies of other workers that died their true state.

        Returns:
            Who was found dead.
        """
        return await asyncio.to_thread(recover_dead, self._side, self._owner, is_idle=False)

    async def send(self, letter: str, revision: int, copies: Sequence[int]) -> Left | None:
        """Send the copies of a job that wait and that nobody else has.

        Args:
            letter: The letter's name.
            revision: Its revision.
            copies: The ids of the copies.

        Returns:
            When the job has to be taken up again; None: it is done.

        Raises:
            LogUnusable: The log cannot be written any more, and this worker owns nothing.
        """
        if self._stopped.is_set() or self.fault:
            return Left(self._log.clock(), len(copies))
        choose(self._log, copies)
        if not left_of_job(self._log)[0]:
            return None
        ending = await self._deliver(letter, revision, len(copies))
        if ending.log_fault:
            raise ending.log_fault
        recover_dead(self._log, self._owner, is_idle=True)
        at = await self._when(ending)
        left, due_at = left_of_job(self._log)
        if not left:
            return None
        return Left(at or due_at or self._in(AGAIN_SECONDS), left)

    async def _deliver(self, letter: str, revision: int, letters: int) -> Ending:
        kept = self._log.frozen(letter, revision)
        if kept is None:
            raise LogUnusable(f'{self._log.where} has no letter "{letter}"', "Queue it again")
        dispatch = Dispatch.of(self._log, letter)
        if dispatch.stays_here and not self._server.is_loopback:
            self.fault = ServerTrouble(
                f'"{letter}" was queued for a server on the machine itself, and'
                f" {self._server.name} is none",
                f"Queue it again with that server: petition send {letter} --workers",
            )
            return Ending()
        frozen = Frozen.from_json(kept.document)
        merger = Merger(frozen, Signer(self._log.key), NoFiles())
        route = Route(
            server=self._server,
            secret=self._secret,
            pace=self._pace(dispatch),
            retry=RetrySchedule.of(dispatch.pace),
            keep_bytes=dispatch.keep_bytes,
            hello_name=frozen.sender.domain,
        )
        run = SharedRun(self._log, letter, self._owner, route.pace.cap)
        self._mailer = Mailer(run, merger, route, self._tell, self._log.clock, self._note)
        try:
            if self._stopped.is_set():
                self._mailer.stop()
            return await self._mailer.deliver(letters)
        finally:
            self._mailer = None
            await run.close()

    def _pace(self, dispatch: Dispatch) -> SharedPace:
        """The same for job after job: what a provider has asked for holds for the next one."""
        if self._paced is None or self._paced[0] != dispatch:
            pace = SharedPace(dispatch.pace, ZoneInfo(dispatch.timezone), self._take)
            self._paced = dispatch, pace
        return self._paced[1]

    async def _take(self, name: str, interval: float) -> float:
        return await asyncio.to_thread(take_turn, self._side.database, name, interval)

    async def _when(self, ending: Ending) -> datetime | None:
        """When a job that ended so is taken up again; None: when its copies are due."""
        if ending.stopped:
            return self._log.clock()
        if ending.refused or ending.unknown:
            said = ending.refused or ending.unknown
            self.fault = PetitionError(
                f"several letters in a row were refused: {said}", "Look at the letter and the list"
            )
        elif ending.trouble and not ending.trouble.is_passing:
            self.fault = ending.trouble
        elif ending.trouble or ending.broken:
            await first_of(self._rest, self._stopped)
            self._rest = min(2 * self._rest, REST_SECONDS)
            return self._log.clock()
        else:
            self._rest = 1.0
        if self.fault:
            return self._log.clock()
        return ending.closed or ending.capped

    def _in(self, seconds: float) -> datetime:
        return self._log.clock() + timedelta(seconds=seconds)
