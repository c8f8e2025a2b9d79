"""What one rendering of a template may cost.

A letter is the organiser's, the values in it are anybody's; neither may take the machine down.
"""

import time
from collections.abc import Sized
from typing import TypeVar

from petition.merge.refusals import ValueRefused

OUTPUT_LIMIT = 1_000_000  # characters of one part of a letter
TEXT_LIMIT = 100_000  # characters of a text, or elements of a list, that an expression makes
NUMBER_LIMIT = 4_000  # bits of a number
RANGE_LIMIT = 10_000  # numbers of a range
STEPS = 100_000  # rounds of all loops and calls together, and one for each 64 characters made
SECONDS = 5.0

Made = TypeVar("Made", bound=Sized)


class Budget:
    """Counts what a rendering costs."""

    def __init__(self) -> None:
        self.start()

    def start(self) -> None:
        """Begin to count anew."""
        self._steps = STEPS
        self._until = time.monotonic() + SECONDS

    def spend(self, steps: int) -> None:
        """Pay for work.

        Raises:
            ValueRefused: The template does too much.
        """
        self._steps -= steps
        if self._steps < 0 or time.monotonic() > self._until:
            raise ValueRefused("the template does too much work", "Make its loops shorter")

    def charge(self, made: Made) -> Made:
        """Pay for a text or list that was made, and give it back.

        Raises:
            ValueRefused: It is too long, or the template does too much.
        """
        check_length(len(made))
        self.spend(len(made) // 64)
        return made


def check_length(length: int) -> None:
    """Refuse a text or list before it is made.

    Raises:
        ValueRefused: It would be too long.
    """
    if length > TEXT_LIMIT:
        what = f"an expression makes a text or list longer than {TEXT_LIMIT:,}"
        raise ValueRefused(what, "Make it shorter")


def check_bits(bits: int) -> None:
    """Refuse a number before it is made.

    Raises:
        ValueRefused: It would be too large.
    """
    if bits > NUMBER_LIMIT:
        raise ValueRefused("an expression makes a number that is too large", "Make it smaller")
