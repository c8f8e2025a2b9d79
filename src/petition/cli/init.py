"""petition init: a campaign that works at once."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from collections.abc import Iterator
    from importlib.resources.abc import Traversable

_SETTINGS = "petition.toml"
_MAIL_SERVER = "# The mail server."  # where the starter's last part begins


def init(
    folder: Annotated[
        Path | None,
        typer.Argument(metavar="DIR", help="Where; it is made if it is not there."),
    ] = None,
    provider: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Send through it: gmail, microsoft365, postfix, ..."),
    ] = None,
) -> None:
    """Begin a campaign: a small one that works at once, to be changed."""
    from importlib.resources import files
    from shlex import quote

    from petition.cli import console
    from petition.cli.provider import find_provider
    from petition.errors import UsageError

    target = folder or Path()
    starter = {name: file.read_bytes() for name, file in _files(files("petition") / "starter")}
    chosen = find_provider(provider) if provider is not None else None
    if chosen:
        kept, mark, _ = starter[_SETTINGS].decode().partition(_MAIL_SERVER)
        if not mark:
            raise AssertionError(_MAIL_SERVER)
        starter[_SETTINGS] = (kept + chosen.as_settings()).encode()
    if there := [name for name in starter if _exists(target / name)]:
        raise UsageError(
            f"{', '.join(there)} would be overwritten in {target.absolute()}",
            "Name another folder; nothing was done",
        )
    for name, content in starter.items():
        path = target / name
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("xb") as stream:
            stream.write(content)
    console.say(f"A campaign begins in {target.absolute()}:")
    for name in starter:
        console.say(f"  {name}")
    console.say("Next:")
    if folder:
        console.say(f"  cd {quote(str(folder))}")
    console.say("  petition preview open-letter   one letter, as it would arrive")
    if chosen is None:
        console.say("  petition send open-letter      a rehearsal: nobody receives anything")
        return
    console.say("  petition check                 what is to be mended before it can be sent")
    console.say(f"Letters will go through {chosen.title}. Fill in, in petition.toml:")
    for one in ("[sender] from and reply_to: your own addresses", *chosen.fill_in):
        console.say(f"  {one}")
    if "username" in chosen.smtp and "auth" not in chosen.smtp:
        console.say(
            "The password goes into PETITION_SMTP_PASSWORD, or a password_command prints it."
        )
    console.say("Take [smtp] out, and it is a rehearsal.")


def _files(folder: "Traversable", prefix: str = "") -> "Iterator[tuple[str, Traversable]]":
    for entry in sorted(folder.iterdir(), key=lambda entry: entry.name):
        if entry.is_dir():
            yield from _files(entry, f"{prefix}{entry.name}/")
        else:
            yield prefix + entry.name, entry


def _exists(path: Path) -> bool:
    return path.exists() or path.is_symlink()
