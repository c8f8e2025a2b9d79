"""The rows of a list as the log is to have them, and which of them a `send` is for."""

from collections.abc import Iterator

from petition.campaign.people import Choice, Person
from petition.checks.campaign import Examined
from petition.errors import MergeRefused, UsageError
from petition.merge.message import Merger
from petition.merge.template.names import Condition
from petition.outbox.enqueue import ListedRow


class Fits:
    """Whether a condition holds for a person, and whether it did for anybody.

    Args:
        examined: The letter and its list.
        where: The condition, as `--where` has it; None: it holds for everybody.

    Raises:
        ConditionRefused: It is no condition over the columns of the list.
    """

    def __init__(self, examined: Examined, where: str | None) -> None:
        self._condition: Condition | None = None
        if where is not None and examined.people:
            self._condition = Condition(where, examined.people.columns)
        self._has_held = False

    def __call__(self, person: Person) -> bool:
        """Whether it holds for a person."""
        if self._condition is None:
            return True
        holds = self._condition.holds(person)
        self._has_held = self._has_held or holds
        return holds

    def refuse_nobody(self) -> None:
        """After the last person: a condition that held for nobody is a slip.

        Raises:
            UsageError: It held for nobody.
        """
        if self._condition and not self._has_held:
            mend = "Compare it with the list; capitals count"
            raise UsageError(f"nobody on the list fits --where {self._condition}", mend)


def rows_of(
    examined: Examined,
    persons: Iterator[Person],
    merger: Merger | None,
    choice: Choice,
    fits: Fits,
) -> Iterator[ListedRow]:
    """The persons of a list, each as the log is to have it.

    Args:
        examined: The letter and its list; it is told who gets it in another language.
        persons: All of the list.
        merger: Makes the copies; None: the letter cannot be merged, and nothing is queued.
        choice: Whom `--to` names.
        fits: For whom `--where` holds.
    """
    has_own_files = merger is not None and merger.has_own_files
    for person in persons:
        chosen = choice.matches(person) and fits(person)
        if chosen:
            examined.tell_language(merger, person)
        mailbox, fields = person.mailbox, person.fields
        # In their order: a hundred thousand times by name would take a tenth of a second.
        yield ListedRow(
            mailbox.addr_spec,
            mailbox.display_name,
            person.language,
            person.id,
            person.file,
            person.line,
            {**fields, **_own_files(merger, person)} if has_own_files else fields,
            chosen,
            person.excluded,
            person.address,
        )


def _own_files(merger: Merger | None, person: Person) -> dict[str, str]:
    try:
        return merger.own_files(person) if merger else {}
    except MergeRefused:
        return {}  # `examined` has told of it, and nothing is queued
