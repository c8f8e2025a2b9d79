"""What a copy has beside its words, as finished parts."""

from dataclasses import dataclass

from petition.merge.part import Part


@dataclass(frozen=True, slots=True)
class Carried:
    """The parts of a copy beside its words.

    Args:
        pictures: Those that its HTML shows.
        attached: Those that stand behind it.
        shared: How many of the attached ones are the same in every copy; they come first.
    """

    pictures: tuple[Part, ...] = ()
    attached: tuple[Part, ...] = ()
    shared: int = 0

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the attached files."""
        return tuple(part.meant.filename or "" for part in self.attached)
