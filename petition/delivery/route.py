"""Which way the letters of a run go."""

import asyncio
import ssl
from dataclasses import dataclass, field
from datetime import datetime

from petition.campaign.server import Server
from petition.credentials import Secret
from petition.delivery.pace import Pace
from petition.delivery.retry import RetrySchedule
from petition.delivery.session import NAMELESS, Session
from petition.delivery.sign import DkimSigner
from petition.merge.message import Email

_UNHEARD_SECONDS = 0.5


@dataclass(slots=True)
class Route:
    """Which way the letters go.

    Args:
        server: The server.
        secret: Its password or token.
        pace: How fast.
        retry: When a deferred letter is due.
        keep_bytes: Whether the log keeps the bytes of every copy.
        hello_name: What to call ourselves in EHLO; a relay may want the sender's domain.
        tls_context: Whom to trust, where it is not the system's own list.
        dot_seconds: How long to wait for the reply to the final dot; None: as RFC 5321 asks.
        signer: Signs the letters on their way out; None: nobody does.
        pause: The first rest after trouble with the server, in seconds; those after it are
            multiples of it (patience.py).
        dot_goes_alone: Whether the server refuses commands that come with a final dot; learnt.
    """

    server: Server
    secret: Secret | None
    pace: Pace
    retry: RetrySchedule = field(default_factory=RetrySchedule)
    keep_bytes: bool = True
    hello_name: str = NAMELESS
    tls_context: ssl.SSLContext | None = None
    dot_seconds: float | None = None
    signer: DkimSigner | None = None
    pause: float = 1.0
    dot_goes_alone: bool = False

    @property
    def login(self) -> str:
        """What a daily cap is counted under."""
        return f"{self.server.username or ''}@{self.server.host}"

    def outgoing(self, email: Email, at: datetime) -> Email:
        """What goes over the wire for a letter: itself, or itself signed.

        Args:
            email: The letter as the log has it.
            at: The time.
        """
        return self.signer.email(email, at.timestamp()) if self.signer else email

    async def open(self) -> Session:
        """A new connection.

        Raises:
            OpeningTrouble: It did not come about.
        """
        return await Session.open(
            self.server,
            self.secret,
            hello_name=self.hello_name,
            tls_context=self.tls_context,
            dot_timeout=self.dot_seconds,
        )

    async def open_unless(self, stopped: asyncio.Event) -> Session | None:
        """The same; None where the end comes first, for no letter waits for an answer yet.

        Args:
            stopped: The end.

        Raises:
            OpeningTrouble: It did not come about.
        """
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
            # To be cancelled in the very moment in which the connection stands can go unheard.
            while not opening.done():
                opening.cancel()
                await asyncio.wait({opening}, timeout=_UNHEARD_SECONDS)
            [left] = await asyncio.gather(opening, return_exceptions=True)
            # It may have come about in the very moment in which nobody wanted it any more.
            if isinstance(left, Session) and left is not opened:
                await left.close()
