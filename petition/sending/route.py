"""The route of a run: the server, the login and the pace that its letters go by."""

import asyncio
import ssl
from dataclasses import dataclass, field
from datetime import datetime

from petition.campaign.server import Server
from petition.credentials import Secret
from petition.merge.message import Email
from petition.sending.rate_limit import Pace
from petition.sending.retry import RetrySchedule
from petition.smtp.dkim import DkimSigner
from petition.smtp.session import NAMELESS, Session

_CANCEL_SECONDS = 0.5


@dataclass(slots=True)
class Route:
    """Where and how letters go."""

    server: Server
    secret: Secret | None  # the server's password or token
    pace: Pace
    retry: RetrySchedule = field(default_factory=RetrySchedule)
    keep_bytes: bool = True  # whether the log keeps the bytes of every copy
    hello_name: str = NAMELESS  # in EHLO; a relay may want the sender's domain
    tls_context: ssl.SSLContext | None = None  # None: the system's certificates
    dot_seconds: float | None = None  # to wait for the final dot's reply; None: as RFC 5321 asks
    signer: DkimSigner | None = None
    pause: float = 1.0  # after trouble with the server, in seconds; later ones are multiples of it
    dot_goes_alone: bool = False  # the server accepts no commands with a final dot; learnt

    @property
    def login(self) -> str:
        """What a daily cap is counted under."""
        return f"{self.server.username or ''}@{self.server.host}"

    def outgoing(self, email: Email, at: datetime) -> Email:
        """What goes over the wire: the letter, signed if there is a signer."""
        return self.signer.email(email, at.timestamp()) if self.signer else email

    async def open(self) -> Session:
        """A new connection, or OpeningTrouble."""
        return await Session.open(
            self.server,
            self.secret,
            hello_name=self.hello_name,
            tls_context=self.tls_context,
            dot_timeout=self.dot_seconds,
        )

    async def open_unless(self, stopped: asyncio.Event) -> Session | None:
        """The same; None when stopped first: no letter is in flight on it yet."""
        opening = asyncio.ensure_future(self.open())
        stop = asyncio.ensure_future(stopped.wait())
        opened: Session | None = None
        try:
            await asyncio.wait({opening, stop}, return_when=asyncio.FIRST_COMPLETED)
            if opening.done():
                opened = opening.result()
            return opened
        finally:
            stop.cancel()
            # A cancellation at the very moment in which the connection opens can get lost.
            while not opening.done():
                opening.cancel()
                await asyncio.wait({opening}, timeout=_CANCEL_SECONDS)
            [left] = await asyncio.gather(opening, return_exceptions=True)
            if isinstance(left, Session) and left is not opened:
                await left.close()
