"""A small campaign, its log, and a run of it against a server of the tests."""

import asyncio
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from petition.campaign.folder import load_campaign
from petition.campaign.pace import PaceSettings
from petition.campaign.server import Server
from petition.outbox.log import Log
from petition.outbox.run import Run
from petition.planning.plan import SendOptions
from petition.planning.prepare import enqueue, prepare
from petition.sending.circuit_breaker import RunResult, Slowed, Wait
from petition.sending.rate_limit import Clock, Pace
from petition.sending.retry import RetrySchedule
from petition.sending.route import Route
from petition.sending.sender import Mailer
from tests import PATIENCE
from tests.acceptance.small import SmallCampaign
from tests.servers.scripted import ScriptedServer

if TYPE_CHECKING:
    from ssl import SSLContext

    from petition.credentials import Secret
    from petition.smtp.dkim import DkimSigner


class Scene:
    """A small campaign, its log, and a run of it.

    Args:
        root: The campaign's folder.
        people: How many there are on its list.
        settings: Those of the server, if they differ from one connection.
    """

    def __init__(self, root: Path, people: int = 3, **settings: object) -> None:
        self.campaign = SmallCampaign.at(root, people)
        self.root = root
        self.settings = {"connections": 1} | settings
        self.pace = PaceSettings()
        self.retry = RetrySchedule()
        self.now = datetime.now(UTC)
        self.secret: Secret | None = None
        self.tls_context: SSLContext | None = None
        self.signer: DkimSigner | None = None
        self.mailer: Mailer | None = None
        self.log: Log | None = None
        self.tell = lambda told: None
        self.notes: list[Slowed] = []
        self.clock = lambda: self.now
        self.pace_clock: Clock | None = None
        self.pause = 0.002  # seconds; what it is multiplied by makes minutes of it in a live run
        self.waits: list[Wait] | None = None  # a list: stay until nothing is left (--wait)

    async def run(self, server: ScriptedServer, dot_seconds: float | None = PATIENCE) -> RunResult:
        timeout = getattr(server, "reply_seconds", PATIENCE)
        settings = {"security": "none", "timeout": timeout} | self.settings
        if dot_seconds is not None:
            dot_seconds = min(dot_seconds, timeout)
        with Log(f"sqlite:///{self.root}/petition.db", clock=self.clock) as log, log.owned():
            self.log = log
            log.look_at_deferred(self.retry.give_up, self.retry.longest)
            where = Server("127.0.0.1", server.port, **settings)
            prepared = prepare(load_campaign(self.root), "open-letter", log, where, SendOptions())
            enqueue(prepared)
            run = Run(log, "open-letter")
            route = Route(
                where,
                self.secret,
                Pace.of(self.pace, "UTC", self.pace_clock),
                signer=self.signer,
                retry=self.retry,
                tls_context=self.tls_context,
                pause=self.pause,
                dot_seconds=dot_seconds,
            )
            self.mailer = Mailer(
                run, prepared.merger, route, self.tell, log.clock, self.notes.append
            )
            try:
                letters = prepared.comparison.to_send
                if self.waits is not None:
                    return await self.mailer.deliver_all(letters, self.waits.append)
                return await self.mailer.deliver(letters)
            finally:
                await run.close()

    def copies(self):
        with Log(f"sqlite:///{self.root}/petition.db") as log:
            return list(log.copies("open-letter"))

    def events(self):
        with Log(f"sqlite:///{self.root}/petition.db") as log:
            return list(log.events())

    def suppressed(self) -> list[str]:
        with Log(f"sqlite:///{self.root}/petition.db") as log:
            return [row[0] for row in log.database.all("suppressions")]

    @property
    def states(self) -> list[str]:
        return [copy.state for copy in self.copies()]


def play(scene: Scene, script, dot_seconds: float | None = PATIENCE, **options):
    """A run against a scripted server: its result, and the server."""

    async def main():
        async with ScriptedServer(script, **options) as server:
            return await scene.run(server, dot_seconds), server

    return asyncio.run(main())
