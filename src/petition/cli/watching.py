"""Shows a letter again whenever a file of its campaign changes. The only door to watchfiles."""

from collections.abc import Callable
from pathlib import Path

from watchfiles import Change, DefaultFilter, watch

from petition.cli import console
from petition.cli.deliver import OUTBOX
from petition.errors import CampaignError, PetitionError

_OURS = (".db", ".db-wal", ".db-shm", ".db-journal", ".lock")  # what petition itself writes
_TOGETHER = 200  # milliseconds in which several changes count as one
_PATIENCE = 200  # milliseconds after which the wait begins anew


class _Sources(DefaultFilter):
    """The files of a campaign that a person writes.

    Args:
        root: The campaign folder.
    """

    def __init__(self, root: Path) -> None:
        super().__init__()
        self._outbox = str(root / OUTBOX)

    def __call__(self, change: Change, path: str) -> bool:
        """Whether a change of this file is one of a letter."""
        return (
            not path.endswith(_OURS)
            and not path.startswith(self._outbox)
            and (super().__call__(change, path))
        )


def show_again(root: Path, show: Callable[[], None]) -> None:
    """Show something now and after every change, until Ctrl-C.

    Args:
        root: The campaign folder.
        show: Shows it; what is wrong with the files is told, and the watch goes on.
    """
    # Begun before the first look: what is changed while a letter is shown is not missed.
    changes = watch(
        root,
        watch_filter=_Sources(root),
        debounce=_TOGETHER,
        rust_timeout=_PATIENCE,
        yield_on_timeout=True,
        raise_interrupt=True,
    )
    try:
        next(changes)
        _shown(show)
        for changed in changes:
            if changed:
                console.clear()
                _shown(show)
    except KeyboardInterrupt:
        console.say_error("")


def _shown(show: Callable[[], None]) -> None:
    try:
        show()
    except CampaignError as error:
        console.problems(error.problems)
    except PetitionError as error:
        console.say(f"petition: {error}")
    console.say("Watching the files of the campaign. Ctrl-C ends it.", "dim")
