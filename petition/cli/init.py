"""petition init: a campaign that works at once."""

import json
import re
import tomllib
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import date
from difflib import get_close_matches
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path
from shlex import quote
from typing import Annotated, Any

import typer

from petition.campaign.folder import read_settings
from petition.cli import output
from petition.errors import UsageError
from petition.mailmerge import files_of, read_mailmerge
from petition.trust import confirm, requests
from petition.user_state import UserStateUnusable


@dataclass(frozen=True, slots=True)
class Provider:
    """A mail provider and what is known of it.

    Args:
        name: What it is called in `--provider`.
        title: What people call it.
        other_names: By which it is understood as well.
        smtp: The keys of [smtp], in their order.
        pace: The keys of [pace]; empty where no number is known.
        notes: Comments on the pace.
        fill_in: What a person has to fill in, each "what: with what".
        source: Where the limits are told of.
        checked: When they were looked up.
    """

    name: str
    title: str
    other_names: tuple[str, ...]
    smtp: dict[str, str | int]
    pace: dict[str, str | int]
    notes: tuple[str, ...]
    fill_in: tuple[str, ...]
    source: str
    checked: date

    def as_settings(self) -> str:
        """The end of a petition.toml: [smtp] and [pace], with comments."""
        lines = [f"# {self.title}. A password never stands here: see docs/providers.md."]
        lines += [f"# Fill in {one}." for one in self.fill_in]
        lines += ["[smtp]", *_keys(self.smtp), ""]
        lines += [f"# {note}" for note in self.notes]
        lines += [f"# As of {self.checked}: {self.source}", "[pace]", *_keys(self.pace)]
        return "\n".join(lines) + "\n"


def providers() -> dict[str, Provider]:
    """All providers, by name."""
    text = (files("petition") / "providers.toml").read_text(encoding="utf-8")
    return {name: _provider(name, table) for name, table in tomllib.loads(text).items()}


def find_provider(text: str) -> Provider:
    """The provider of a name."""
    known = providers()
    names = {other: each for each in known.values() for other in (each.name, *each.other_names)}
    names = {name.replace("-", ""): each for name, each in names.items()}
    asked = re.sub(r"[\s_-]", "", text.lower())
    if asked in names:
        return names[asked]
    near = get_close_matches(asked, names, n=1)
    what = f'there is no provider "{text}"'
    if near:
        what = f"{what}; the nearest is {names[near[0]].name}"
    hint = f"Known are {', '.join(known)}; of any other server [smtp] can be written by hand"
    raise UsageError(what, hint)


_SMTP = ("host", "port", "security", "username", "auth", "token_command", "connections")
_PACE = ("rate", "per_day")


def _provider(name: str, table: dict[str, Any]) -> Provider:
    return Provider(
        name=name,
        title=table["title"],
        other_names=tuple(table["other_names"]),
        smtp={key: table[key] for key in _SMTP if key in table},
        pace={key: table[key] for key in _PACE if key in table},
        notes=tuple(table["notes"]),
        fill_in=tuple(table["fill_in"]),
        source=table["source"],
        checked=table["checked"],
    )


def _keys(table: dict[str, str | int]) -> list[str]:
    # A JSON string of ASCII is a TOML string, too.
    return [f"{key} = {json.dumps(value)}" for key, value in table.items()]


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
    output.say(f"A campaign begins in {target.absolute()}:")
    for name in starter:
        output.say(f"  {name}")
    if chosen is None:
        _say_next(
            folder, _LOOK, "petition send open-letter      a rehearsal: nobody receives anything"
        )
        return
    _say_next(
        folder, _LOOK, "petition check                 what is to be mended before it can be sent"
    )
    output.say(f"Letters will go through {chosen.title}. Fill in, in petition.toml:")
    for one in ("[sender] from and reply_to: your own addresses", *chosen.fill_in):
        output.say(f"  {one}")
    if "username" in chosen.smtp and "auth" not in chosen.smtp:
        output.say(
            "The password goes into PETITION_SMTP_PASSWORD, or a password_command prints it."
        )
    output.say("Take [smtp] out, and it is a rehearsal.")


def _trust(target: Path) -> None:
    """What the person has just named needs no further word."""
    if settings := read_settings(target).settings:
        with suppress(UserStateUnusable):  # it is asked for then
            confirm(requests(settings, {}, target), target)


def _say_next(folder: Path | None, *commands: str) -> None:
    output.say("Next:")
    for command in (f"cd {quote(str(folder))}",) * bool(folder) + commands:
        output.say(f"  {command}")


def _take_over(old: Path, target: Path) -> None:
    campaign = read_mailmerge(old)
    made, notes = files_of(campaign, old.resolve().name or "mailmerge")
    _write(target, {name: text.encode() for name, text in made.items()})
    letters = output.count(len(campaign.rows), "letter")
    output.say(f"Taken over from {old} into {target.absolute()}, {letters}:")
    for name in made:
        output.say(f"  {name}")
    for note in notes:
        output.say(note)


def _write(target: Path, made: Mapping[str, bytes]) -> None:
    """Write new files."""
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


def _files(folder: Traversable, prefix: str = "") -> Iterator[tuple[str, Traversable]]:
    for entry in sorted(folder.iterdir(), key=lambda entry: entry.name):
        if entry.is_dir():
            yield from _files(entry, f"{prefix}{entry.name}/")
        else:
            yield prefix + entry.name, entry


def _exists(path: Path) -> bool:
    return path.exists() or path.is_symlink()
