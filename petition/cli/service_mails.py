"""Sends service messages where no letters are sent: before a `send`, for `serve` and `inbox`."""

import asyncio
import uuid
from collections.abc import Callable
from pathlib import Path

from petition.campaign.server import Server
from petition.campaign.settings import Settings
from petition.cli import run_delivery
from petition.cli.run_delivery import Secrets
from petition.outbox import service
from petition.outbox.log import Log
from petition.outbox.states import State
from petition.planning.prepare import Prepared
from petition.sending.background import another_connection
from petition.sending.retry import RetrySchedule
from petition.sending.route import Route
from petition.sending.service import ServiceResult, keep_sending, send_waiting
from petition.smtp.session import run_loop


def deliver_service(prepared: Prepared, secrets: Secrets, *, owns_log: bool) -> list[ServiceResult]:
    """Send the service messages that wait before a `send`; returns what became of each.

    `owns_log` says that this process owns the log.
    """
    sent: list[ServiceResult] = []
    owner = uuid.uuid4().hex if owns_log else None

    async def send() -> None:
        async with run_delivery.reachable(prepared.server, prepared.campaign.root) as server:
            route = run_delivery.route_of(prepared, server, secrets)
            await send_waiting(prepared.log, route, sent.append, owner=owner)

    run_loop(send())
    return sent


class ServiceRun:
    """Has service messages sent where no letters are sent; `tell` gets what became of each.

    The person must have confirmed what the folder asks for (`Workspace.allow`).
    """

    def __init__(
        self,
        url: str,
        settings: Settings,
        server: Server | None,
        root: Path,
        tell: Callable[[ServiceResult], None] = lambda _: None,
    ) -> None:
        """Gets the secrets; ServerTrouble or UsageError if that is not possible."""
        self._url = url
        self._settings = settings
        self._server = server
        self._root = root
        self._tell = tell
        self._secrets = run_delivery.secrets_of(server, settings.dkim, root)

    def send_now(self) -> None:
        """Send what waits, unless another process does that; ServerTrouble if that fails."""
        with Log(self._url) as log:
            if service.waits(log):
                run_loop(self._send_now(log))

    async def _send_now(self, log: Log) -> None:
        async with run_delivery.reachable(self._server, self._root) as server:
            route = self._route(server)
            while await send_waiting(log, route, self._tell) not in {None, State.QUEUED}:
                pass

    async def keep_sending(self, stopped: asyncio.Event, note: Callable[[str], None]) -> None:
        """Send what comes until `stopped`; `note` gets what prevents it, once."""
        async with (
            run_delivery.reachable(self._server, self._root) as server,
            another_connection(self._url) as log,
        ):
            await keep_sending(log, self._route(server), stopped, note, self._tell)

    def _route(self, server: Server) -> Route:
        return Route(
            server=server,
            secret=self._secrets.login,
            signer=self._secrets.signer,
            pace=run_delivery.pace_by(self._settings, self._server),
            retry=RetrySchedule.of(self._settings.pace),
            hello_name=self._settings.sender.from_.domain,
        )
