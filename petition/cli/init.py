"""petition init: a campaign that works at once."""

from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from importlib.resources.abc import Traversable

_SETTINGS = "petition.toml"
_MAIL_SERVER = "# The mail server."  # where the starter's last part begins
_LOOK = "petition preview open-letter   one letter, as it would arrive"
_AFTER_TAKEOVER = (
    "petition check                 what is still to be mended",
    "petition preview letter        one letter, as it would arrive",
    "petition send letter --dry-run all letters, without a connection",
)


def init(
    folder: Annotated[
        Path | None,
        typer.Argument(metavar="DIR", help="Where; it is made if it is not there."),
    ] = None,
    provider: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Send through it: gmail, microsoft365, postfix, ..."),
    ] = None,
    mailmerge: Annotated[
        Path | None,
        typer.Option(
            "--from-mailmerge",
            metavar="OLD",
            help="Take over the mailmerge campaign in the folder OLD.",
            show_default=False,
        ),
    ] = None,
) -> None:
    """Begin a campaign: a small one that works at once, to be changed."""
    from petition.errors import UsageError

    target = folder or Path()
    if mailmerge and provider is not None:
        raise UsageError(
            "--from-mailmerge brings the mail server of the old campaign along",
            "Leave --provider out; nothing was done",
        )
    if mailmerge:
        _take_over(mailmerge, target)
        _say_next(folder, *_AFTER_TAKEOVER)
    else:
        _begin(folder, provider)


def _begin(folder: Path | None, provider: str | None) -> None:
    from importlib.resources import files

    from petition.cli import console
    from petition.cli.provider import find_provider

    target = folder or Path()
    starter = {name: file.read_bytes() for name, file in _files(files("petition") / "starter")}
    chosen = find_provider(provider) if provider is not None else None
    if chosen:
        kept, mark, _ = starter[_SETTINGS].decode().partition(_MAIL_SERVER)
        if not mark:
            raise AssertionError(_MAIL_SERVER)
        starter[_SETTINGS] = (kept + chosen.as_settings()).encode()
    _write(target, starter)
    if chosen:
        _trust(target)
    console.say(f"A campaign begins in {target.absolute()}:")
    for name in starter:
        console.say(f"  {name}")
    if chosen is None:
        _say_next(
            folder, _LOOK, "petition send open-letter      a rehearsal: nobody receives anything"
        )
        return
    _say_next(
        folder, _LOOK, "petition check                 what is to be mended before it can be sent"
    )
    console.say(f"Letters will go through {chosen.title}. Fill in, in petition.toml:")
    for one in ("[sender] from and reply_to: your own addresses", *chosen.fill_in):
        console.say(f"  {one}")
    if "username" in chosen.smtp and "auth" not in chosen.smtp:
        console.say(
            "The password goes into PETITION_SMTP_PASSWORD, or a password_command prints it."
        )
    console.say("Take [smtp] out, and it is a rehearsal.")


def _trust(target: Path) -> None:
    """What the person has just named needs no further word."""
    from petition.campaign.folder import read_settings
    from petition.trust import confirm, requests
    from petition.user_state import UserStateUnusable

    if settings := read_settings(target).settings:
        with suppress(UserStateUnusable):  # it is asked for then
            confirm(requests(settings, {}, target), target)


def _say_next(folder: Path | None, *commands: str) -> None:
    from shlex import quote

    from petition.cli import console

    console.say("Next:")
    for command in (f"cd {quote(str(folder))}",) * bool(folder) + commands:
        console.say(f"  {command}")


def _take_over(old: Path, target: Path) -> None:
    from petition.cli import console
    from petition.mailmerge import files_of, read_mailmerge

    campaign = read_mailmerge(old)
    made, notes = files_of(campaign, old.resolve().name or "mailmerge")
    _write(target, {name: text.encode() for name, text in made.items()})
    letters = console.count(len(campaign.rows), "letter")
    console.say(f"Taken over from {old} into {target.absolute()}, {letters}:")
    for name in made:
        console.say(f"  {name}")
    for note in notes:
        console.say(note)


def _write(target: Path, made: "Mapping[str, bytes]") -> None:
    """Write new files.

    Raises:
        UsageError: Something of their names is there; nothing was written.
    """
    from petition.errors import UsageError

    if there := [name for name in made if _exists(target / name)]:
        raise UsageError(
            f"{', '.join(there)} would be overwritten in {target.absolute()}",
            "Name another folder; nothing was done",
        )
    for name, data in made.items():
        path = target / name
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("xb") as stream:
            stream.write(data)


def _files(folder: "Traversable", prefix: str = "") -> "Iterator[tuple[str, Traversable]]":
    for entry in sorted(folder.iterdir(), key=lambda entry: entry.name):
        if entry.is_dir():
            yield from _files(entry, f"{prefix}{entry.name}/")
        else:
            yield prefix + entry.name, entry


def _exists(path: Path) -> bool:
    return path.exists() or path.is_symlink()
