"""What one rendering of a template may cost.

A letter is the organiser's, the values in it are anybody's; neither may take the machine down.
Work is counted and never timed: the same letter is refused on every machine, or on none.
"""

from collections.abc import Sized
from typing import TypeVar

from petition.merge.refusals import ValueRefused

OUTPUT_LIMIT = 1_000_000  # characters of one part of a letter
TEXT_LIMIT = 100_000  # characters of a text, or elements of a list, that an expression makes
NUMBER_LIMIT = 4_000  # bits of a number
RANGE_LIMIT = 10_000  # numbers of a range
STEPS = 200_000  # of about ten microseconds: a round of a loop, a call
STEP_CHARACTERS = 64  # characters that are made or looked through in a step
STEP_ELEMENTS = 8  # elements of lists that are
STEP_NODES = 8  # what a round or a macro has in it, as Jinja takes it apart

Made = TypeVar("Made", bound=Sized)


class Budget:
    """Counts what a rendering costs."""

    def __init__(self) -> None:
        self.start()

    def start(self) -> None:
        """Begin to count anew."""
        self._steps = STEPS

    def spend(self, steps: int) -> None:
        """Pay for work.

        Raises:
            ValueRefused: The template does too much.
        """
        self._steps -= steps
        if self._steps < 0:
            raise ValueRefused("the template does too much work", "Make its loops shorter")

    def charge(self, made: Made) -> Made:
        """Pay for a text or list that was made, and give it back.

        Raises:
            ValueRefused: It is too long, or the template does too much.
        """
        check_length(len(made))
        self.spend(len(made) // STEP_CHARACTERS)
        return made

    def weigh(self, *values: object) -> int:
        """Pay for looking through values, lists within lists too.

        Returns:
            What was paid.

        Raises:
            ValueRefused: The template does too much.
        """
        before = self._steps
        waiting = list(values)
        while waiting:
            value = waiting.pop()
            if isinstance(value, str):
                self.spend(len(value) // STEP_CHARACTERS)
            elif isinstance(value, list | tuple | dict):
                self.spend(1 + len(value) // STEP_ELEMENTS)
                waiting += value.values() if isinstance(value, dict) else value
            elif isinstance(value, range):
                self.spend(len(value) // STEP_ELEMENTS)
        return before - self._steps


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
