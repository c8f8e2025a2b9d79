"""What a server says around STARTTLS, where a stranger may still add to it."""

import asyncio
from typing import cast

from petition.delivery.wire import ReplyParser, WireError


class Overheard(asyncio.Protocol):
    """Stands before a transport's protocol and remembers what came in, until TLS takes its place.

    A server says nothing between its reply to STARTTLS and TLS. What stands there is another's,
    slipped in to be taken for part of what follows (CVE-2011-0411).

    Args:
        transport: A connected transport without TLS.
    """

    def __init__(self, transport: asyncio.Transport) -> None:
        self._protocol = cast("asyncio.Protocol", transport.get_protocol())
        self._said = b""
        transport.set_protocol(self)

    @property
    def is_one_reply(self) -> bool:
        """Whether one reply came in and nothing else."""
        parser = ReplyParser()
        try:
            replies = list(parser.feed(self._said))
        except WireError:
            return False
        return len(replies) == 1 and not parser.is_midway

    def data_received(self, data: bytes) -> None:
        """Remember and pass on."""
        self._said += data
        self._protocol.data_received(data)

    def eof_received(self) -> bool | None:
        """Pass on."""
        return self._protocol.eof_received()

    def connection_lost(self, exc: Exception | None) -> None:
        """Pass on."""
        self._protocol.connection_lost(exc)

    def pause_writing(self) -> None:
        """Pass on."""
        self._protocol.pause_writing()

    def resume_writing(self) -> None:
        """Pass on."""
        self._protocol.resume_writing()
