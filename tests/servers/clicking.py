"""Many people who click at once, each on a connection of their own, as mail providers do."""

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit

from petition.identity import Identity, Signer
from petition.outbox.log import Log

PATIENCE = 60.0  # seconds; then the click has had no answer
CLICK = b"List-Unsubscribe=One-Click"


@dataclass(frozen=True, slots=True)
class Clicked:
    """What became of a click: the status (0: no answer) and the seconds that it took."""

    status: int
    seconds: float


def tokens_of(url: str, letter: str) -> dict[str, str]:
    """The tokens of all copies of a letter, by mailbox."""
    with Log(url) as log:
        signer = Signer(log.key)
        return {
            copy.mailbox: signer.unsubscribe_token(
                Identity(log.campaign_id or "", letter, copy.revision, copy.spelling)
            )
            for copy in log.copies(letter)
        }


def click_all(base: str, tokens: Sequence[str], seconds: float = 0.0) -> list[Clicked]:
    """Click on all of them within so many seconds, evenly; nobody tries twice."""

    async def clicks() -> list[Clicked]:
        begun = time.monotonic()

        async def later(number: int, token: str) -> Clicked:
            await asyncio.sleep(begun + seconds * number / len(tokens) - time.monotonic())
            return await click(base, token)

        return await asyncio.gather(*(later(*one) for one in enumerate(tokens)))

    return asyncio.run(clicks())


async def click(base: str, token: str) -> Clicked:
    parts = urlsplit(base)
    begun = time.monotonic()
    head = (
        f"POST {parts.path}/u/{token} HTTP/1.1\r\nHost: {parts.netloc}\r\n"
        f"Content-Type: application/x-www-form-urlencoded\r\nContent-Length: {len(CLICK)}\r\n\r\n"
    )
    status = 0
    try:
        reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
        writer.write(head.encode() + CLICK)
        line = await asyncio.wait_for(reader.readline(), PATIENCE)
        status = int(line.split()[1]) if line else 0
        writer.close()
    except (OSError, TimeoutError):
        pass
    return Clicked(status, time.monotonic() - begun)
