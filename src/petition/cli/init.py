"""petition init: a campaign that works at once."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from collections.abc import Iterator
    from importlib.resources.abc import Traversable


def init(
    folder: Annotated[
        Path | None,
        typer.Argument(metavar="DIR", help="Where; it is made if it is not there."),
    ] = None,
) -> None:
    """Begin a campaign: a small one that works at once, to be changed."""
    from importlib.resources import files

    from petition.cli import console
    from petition.errors import UsageError

    target = folder or Path()
    starter = dict(_files(files("petition") / "starter"))
    if there := [name for name in starter if _exists(target / name)]:
        raise UsageError(
            f"{', '.join(there)} would be overwritten in {target.absolute()}",
            "Name another folder; nothing was done",
        )
    for name, file in starter.items():
        path = target / name
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("xb") as stream:
            stream.write(file.read_bytes())
    console.say(f"A campaign begins in {target.absolute()}:")
    for name in starter:
        console.say(f"  {name}")
    console.say("Next:")
    if folder:
        console.say(f"  cd {folder}")
    console.say("  petition preview open-letter   one letter, as it would arrive")
    console.say("  petition send open-letter      a rehearsal: nobody receives anything")


def _files(folder: "Traversable", prefix: str = "") -> "Iterator[tuple[str, Traversable]]":
    for entry in sorted(folder.iterdir(), key=lambda entry: entry.name):
        if entry.is_dir():
            yield from _files(entry, f"{prefix}{entry.name}/")
        else:
            yield prefix + entry.name, entry


def _exists(path: Path) -> bool:
    return path.exists() or path.is_symlink()
