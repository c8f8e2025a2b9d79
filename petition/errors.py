"""What can go wrong, in one tree; each error has the exit status that it ends the program with.

PetitionError                 our own error: what happened, how to fix it
├── CampaignError             problems in the files of a campaign, all at once (1)
├── AddressRefused            a text is not a mail address (1)
├── MergeRefused              one copy cannot be built or does not read back as written (1)
│   └── MergeHindered         a file or library is missing on this machine (1)
├── UsageError                a wrong call, or one that was not confirmed: nothing was done (2)
│   ├── ConditionRefused      a condition cannot be parsed or evaluated: nothing was done (2)
│   ├── LogBusy               another process owns the log: nothing was done (2)
│   └── LogChanged            the log is no longer what was shown: nothing was done (2)
├── LogUnusable               the log cannot be read or written (1)
│   ├── LogAway               its server does not answer, or refuses the login (1)
│   ├── LogForked             letters went out from another copy of it since (1)
│   └── LogDamaged            it holds what petition never wrote (1)
└── ServerTrouble             the server cannot be reached or refuses the login (4)

A refusal by a server is not an exception but a `smtp.replies.Verdict`; an exception means that
we could not do our part.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import IntEnum, StrEnum
from typing import Self


class ExitStatus(IntEnum):
    """How a command ends: the highest of those that apply (docs/json.md)."""

    DONE = 0  # all done; there may have been warnings
    PROBLEMS = 1  # problems were found, or some letters failed
    NOTHING_DONE = 2  # wrong usage, declined, unconfirmed, or another hash
    LEFT = 3  # letters are left: deferred, uncertain, or a cap was reached
    SERVER = 4  # the server could not be reached or refused the login
    INTERRUPTED = 130  # Ctrl-C; everything is recorded


class Level(StrEnum):
    """How serious a problem is."""

    ERROR = "error"  # nothing is sent until it is fixed
    WARNING = "warning"  # worth a look; it stops nothing
    NOTE = "note"  # how something was understood; nothing is wrong


@dataclass(frozen=True, slots=True, order=True)
class Problem:
    """One thing that is wrong in a campaign, or that a person should know about it.

    `what` and `hint` (what to do) are sentences without their full stop. `mark` is the part of
    the line that is shown: a text in it ("": all of it), or the number of the cell from 0.
    """

    file: str  # relative to the campaign folder
    line: int | None  # counted from 1; None for the whole file
    what: str
    hint: str
    level: Level = Level.ERROR
    mark: str | int | None = field(default=None, compare=False)
    count: int = field(default=1, compare=False)  # how many problems it counts for
    gathers: bool = field(default=False, compare=False)  # one line is enough for all such rows
    rows: tuple[int, ...] = field(default=(), compare=False)  # lines of the list: all it concerns

    def __str__(self) -> str:
        return f"{self.place}: {sentence(self.what)} {sentence(self.hint)}"

    @property
    def place(self) -> str:
        """FILE:LINE, or only FILE."""
        return self.file if self.line is None else f"{self.file}:{self.line}"

    @property
    def is_error(self) -> bool:
        """Whether it stops a letter from being sent."""
        return self.level is Level.ERROR


class Problems(list[Problem]):
    """Problems, of which a limited number is kept for each file; the last one counts the rest."""

    LIMIT = 1_000  # of one file and level

    def __init__(self) -> None:
        super().__init__()
        self._told: dict[tuple[str, Level], int] = {}
        self._rest: dict[tuple[str, Level], int] = {}  # the index of the problem that counts them

    def append(self, problem: Problem) -> None:
        """Add a problem."""
        key = problem.file, problem.level
        self._told[key] = told = self._told.get(key, 0) + 1
        if told <= self.LIMIT:
            super().append(problem)
            return
        at = self._rest.setdefault(key, len(self))
        line = self[at].line if at < len(self) else problem.line
        more = told - self.LIMIT
        what = f"{more:,} more {'problem' if more == 1 else 'problems'} from here on"
        hint = "Fix the ones above first"
        self[at : at + 1] = [Problem(problem.file, line, what, hint, problem.level, count=more)]

    def __iadd__(self, problems: Iterable[Problem]) -> Self:  # type: ignore[misc,override]
        for problem in problems:
            self.append(problem)
        return self


def listed(first: Iterable[object], total: int) -> str:
    """The first of some things, and how many more there are: `a, b and 7 more`."""
    shown = [str(one) for one in first]
    more = total - len(shown)
    return ", ".join(shown) + (f" and {more:,} more" if more > 0 else "")


def sentence(text: str) -> str:
    """A sentence with its full stop or question mark."""
    if text.startswith("Did you mean ") and "?" not in text:
        return f"{text}?"
    # A command at the end, as in "Next: petition check", is to be copied as it is.
    is_ended = re.search(r'[.?!]["”]?\Z', text) or re.search(r": petition [^.;,]*\Z", text)
    return text if is_ended else f"{text}."


class PetitionError(Exception):
    """Our own error: what happened and what to do next, each a sentence without its full stop."""

    exit_status = ExitStatus.PROBLEMS

    def __init__(self, what: str, hint: str = "") -> None:
        super().__init__(what)
        self.what = what
        self.hint = hint

    def __str__(self) -> str:
        return " ".join(sentence(part) for part in (self.what, self.hint) if part)


class CampaignError(PetitionError):
    """The campaign's files hold problems that stop the command."""

    def __init__(self, problems: list[Problem]) -> None:
        number = sum(problem.count for problem in problems)
        count = "1 problem" if number == 1 else f"{number:,} problems"
        super().__init__(f"{count} in the campaign", "Fix what is wrong and try again")
        self.problems = problems


class AddressRefused(PetitionError):
    """A text is not the address of a mailbox."""


class MergeRefused(PetitionError):
    """One copy cannot be built, or would not be read back as intended."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem.what, problem.hint)
        self.problem = problem

    def __str__(self) -> str:
        return str(self.problem)


class MergeHindered(MergeRefused):
    """One copy cannot be built now: a file of its row or a library is missing.

    The letter and the row are fine, and the copy can be built once it is there.
    """


class UsageError(PetitionError):
    """The call cannot be carried out as it stands, and nothing was done."""

    exit_status = ExitStatus.NOTHING_DONE


class ConditionRefused(UsageError):
    """A condition (`text`, in one line) is wrong at the index `at`."""

    def __init__(self, what: str, hint: str, text: str, at: int) -> None:
        super().__init__(what, hint)
        self.text = text
        self.at = at

    def __str__(self) -> str:
        return f"{self.what}\n    {self.text}\n    {' ' * self.at}^\n{sentence(self.hint)}"


class LogBusy(UsageError):
    """Another process is sending from this log."""


class LogChanged(UsageError):
    """The log is no longer what was shown; nothing was done."""


class LogUnusable(PetitionError):
    """The log cannot be opened, read or written."""


class LogAway(LogUnusable):
    """The log's server does not answer, or refuses the login."""


class LogForked(LogUnusable):
    """Letters were sent or queued from another copy of the log since this one was last used."""

    def __init__(self, where: str) -> None:
        super().__init__(
            f"{where} is no longer the newest copy of this log: letters were sent or queued from"
            " another one in the meantime",
            "This command sent no letter. Use the other copy, and delete this one",
        )


class LogDamaged(LogUnusable):
    """The log holds what petition never wrote: a disk or another program changed it."""

    def __init__(self, what: str) -> None:
        # A new log would know of nobody that the letter went to.
        super().__init__(
            what,
            "Keep it, replace it by a copy from before the damage, and do not start a new log:"
            " everybody would get the letter again. Your mail server knows what was sent since"
            " that copy",
        )


class ServerTrouble(PetitionError):
    """The server cannot be reached, has a wrong certificate, or refuses the login.

    With `is_passing` the same may work some minutes later.
    """

    exit_status = ExitStatus.SERVER

    def __init__(self, what: str, hint: str = "", *, is_passing: bool = False) -> None:
        super().__init__(what, hint)
        self.is_passing = is_passing
