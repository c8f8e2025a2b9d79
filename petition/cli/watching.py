"""Shows a letter again whenever a file of its campaign changes. The only door to watchfiles."""

from collections.abc import Callable
from pathlib import Path

from watchfiles import Change, watch

from petition.campaign.folder import LETTERS_FOLDER
from petition.cli import console
from petition.errors import CampaignError, PetitionError

_TOGETHER = 200  # milliseconds in which several changes count as one
_PATIENCE = 200  # milliseconds after which the wait begins anew


class Sources:
    """The files that a letter was made of when it was last shown.

    Args:
        root: The campaign folder.
    """

    def __init__(self, root: Path) -> None:
        self._root = root
        self._letters = root / LETTERS_FOLDER
        self.names: set[str] = set()  # relative to the folder

    @property
    def folders(self) -> set[Path]:
        """The folders that they are in, as far as these are there."""
        places = {self._root, self._letters, *((self._root / name).parent for name in self.names)}
        return {place for place in places if place.is_dir()}

    def __call__(self, change: Change, path: str) -> bool:
        """Whether a change of this file is one of a letter; what other programs do is none."""
        del change
        file = Path(path)
        is_letter = file.parent == self._letters and file.suffix == ".md"
        return is_letter or any(file == self._root / name for name in self.names)


def show_again(root: Path, show: Callable[[set[str]], None]) -> None:
    """Show something now and after every change, until Ctrl-C.

    Args:
        root: The campaign folder.
        show: Shows it, and adds the paths of what it read; what is wrong with the files is told,
            and the watch goes on.
    """
    sources = Sources(root.resolve())
    try:
        while True:
            _watch(sources, show)
    except KeyboardInterrupt:
        console.say_error("")


def _watch(sources: Sources, show: Callable[[set[str]], None]) -> None:
    """Show it after every change, and at the beginning, until there are other folders to watch."""
    folders = sources.folders
    changes = watch(
        *folders,
        watch_filter=sources,
        debounce=_TOGETHER,
        rust_timeout=_PATIENCE,
        yield_on_timeout=True,
        raise_interrupt=True,
        recursive=False,  # a folder of programs or of sent letters may lie beside the letters
    )
    next(changes)  # begun before the first look: what is changed meanwhile is not missed
    _shown(show, sources)
    while sources.folders == folders:
        if next(changes):
            console.clear()
            _shown(show, sources)
    console.clear()


def _shown(show: Callable[[set[str]], None], sources: Sources) -> None:
    try:
        show(sources.names)
    except CampaignError as error:
        console.problems(error.problems)
    except PetitionError as error:
        console.say(f"petition: {error}")
    console.say("Watching the files of the campaign. Ctrl-C ends it.", "dim")
