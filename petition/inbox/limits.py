"""How much of a mail is read, and for how long: what is beyond is set aside, with its reason."""

import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

BYTES = 25 * 2**20  # of a whole mail
HEADER_BYTES = 256 * 2**10  # of the headers of a mail or of one of its parts
DEPTH = 50  # parts within parts
PARTS = 1_000
SECONDS = 1.5  # with what comes before and after it, no mail takes two seconds
TEXT_BYTES = 256 * 2**10  # of a text part: what a person or a mail server says stands at its top


class SetAside(BaseException):
    """A mail is beyond a limit and is not looked at any further.

    It comes out of the middle of anything, and no `except Exception` of a library may keep it.

    Args:
        reason: Which limit, in words.
    """

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


@contextmanager
def time_limit(seconds: float = SECONDS) -> Iterator[None]:
    """Let the block go on for so long and no longer.

    A timer of the kernel interrupts it wherever it is, within a regular expression too, so that no
    loop has to watch a clock. Timers belong to the main thread; in another one there is no limit.

    Args:
        seconds: How long, as a clock on the wall counts.

    Raises:
        SetAside: The time is over.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def stop(number: int, frame: FrameType | None) -> None:  # noqa: ARG001 (a handler's arguments)
        raise SetAside(f"it takes longer than {round(seconds + 0.5)} s to read")

    begun = time.monotonic()
    handler = signal.signal(signal.SIGALRM, stop)
    left, interval = signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, handler)
        if left:  # somebody else's alarm, which goes on
            passed = time.monotonic() - begun
            signal.setitimer(signal.ITIMER_REAL, max(left - passed, 0.001), interval)
