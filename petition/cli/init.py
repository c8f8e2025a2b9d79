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
from typing import Annotated

import typer

from petition.campaign.folder import read_settings
from petition.cli import output
from petition.errors import UsageError
from petition.trust import confirm, requests
from petition.user_state import UserStateUnusable

_SETTINGS = "petition.toml"
_MAIL_SERVER = "# The mail server."  # where the last part of the starter's petition.toml begins
_LOOK = "petition preview open-letter   one letter, as it would arrive"
_AFTER_TAKEOVER = (
    "petition check                 what is still to be fixed",
    "petition preview letter        one letter, as it would arrive",
    "petition send letter --dry-run what would be sent, without a connection",
)
_GITIGNORE = b"""\
# Names and addresses of people do not belong in a repository: lists, logs and letters.
*.csv
*.ods
*.xlsx
*.db
*.db-*
*.db.*
outbox/
"""
_SMTP = ("host", "port", "security", "username", "auth", "token_command", "connections")
_PACE = ("rate", "per_day")


def init(
    folder: Annotated[
        Path | None,
        typer.Argument(metavar="DIR", help="Its folder; made if it does not exist."),
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
            help="Convert the mailmerge campaign in the folder OLD.",
            show_default=False,
        ),
    ] = None,
) -> None:
    """Start a campaign: a small one that works at once, to be changed."""
    target = folder or Path()
    if mailmerge and provider is not None:
        raise UsageError(
            "--from-mailmerge takes the mail server from the old campaign",
            "Omit --provider; nothing was done",
        )
    if mailmerge:
        _take_over(mailmerge, target)
        _say_next(folder, *_AFTER_TAKEOVER)
        return
    starter = {name: file.read_bytes() for name, file in _files(files("petition") / "starter")}
    chosen = find_provider(provider) if provider is not None else None
    if chosen:
        kept, mark, _ = starter[_SETTINGS].decode().partition(_MAIL_SERVER)
        if not mark:
            raise AssertionError(_MAIL_SERVER)
        starter[_SETTINGS] = (kept + chosen.as_settings()).encode()
    _write(target, starter, f"Created a campaign in {target.absolute()}:")
    if chosen is None:
        _say_next(
            folder, _LOOK, "petition send open-letter      a rehearsal: nobody receives anything"
        )
        return
    settings = read_settings(target).settings
    if settings:
        with suppress(UserStateUnusable):  # then petition asks later
            confirm(requests(settings, {}, target), target)
    _say_next(folder, _LOOK, "petition check                 what to fix before it can be sent")
    output.say(f"Letters will go through {chosen.title}. Edit petition.toml:")
    for one in ("[sender] from and reply_to: your own addresses", *chosen.fill_in):
        output.say(f"  {one}")
    if "username" in chosen.smtp and "auth" not in chosen.smtp:
        output.say("Put the password in PETITION_SMTP_PASSWORD, or set a password_command.")
    output.say("Without [smtp], petition send is a rehearsal.")


@dataclass(frozen=True, slots=True)
class Provider:
    """A mail provider, what its settings are and what is known of its limits."""

    name: str
    title: str
    other_names: tuple[str, ...]
    smtp: dict[str, str | int]
    pace: dict[str, str | int]
    notes: tuple[str, ...]
    fill_in: tuple[str, ...]  # each "what: with what"
    source: str
    checked: date

    def as_settings(self) -> str:
        """The end of a petition.toml: [smtp] and [pace], with comments."""
        lines = [f"# {self.title}. Do not put a password here: see docs/providers.md."]
        lines += [f"# Fill in {one}." for one in self.fill_in]
        lines += ["[smtp]", *_keys(self.smtp), ""]
        lines += [f"# {note}" for note in self.notes]
        lines += [f"# As of {self.checked}: {self.source}", "[pace]", *_keys(self.pace)]
        return "\n".join(lines) + "\n"


def _keys(table: dict[str, str | int]) -> list[str]:
    # A JSON string of ASCII is a TOML string, too.
    return [f"{key} = {json.dumps(value)}" for key, value in table.items()]


def providers() -> dict[str, Provider]:
    """All providers, by name."""
    text = (files("petition") / "providers.toml").read_text(encoding="utf-8")
    return {
        name: Provider(
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
        for name, table in tomllib.loads(text).items()
    }


def find_provider(text: str) -> Provider:
    """The provider of a name."""
    known = providers()
    names = {
        name.replace("-", ""): each
        for each in known.values()
        for name in (each.name, *each.other_names)
    }
    asked = re.sub(r"[\s_-]", "", text.lower())
    if asked in names:
        return names[asked]
    near = get_close_matches(asked, names, n=1)
    meant = f"Did you mean {names[near[0]].name}? " if near else ""
    hint = f"{meant}Known: {', '.join(known)}. For another server, write [smtp] by hand"
    raise UsageError(f'there is no provider "{text}"', hint)


def _take_over(old: Path, target: Path) -> None:
    # Brings Jinja and Markdown, which a new campaign can spare.
    from petition.mailmerge import files_of, read_mailmerge  # noqa: PLC0415

    campaign = read_mailmerge(old)
    made, notes = files_of(campaign, old.resolve().name or "mailmerge")
    letters = output.count(len(campaign.rows), "letter")
    heading = f"Converted {old} to a campaign in {target.absolute()}, {letters}:"
    _write(target, {name: text.encode() for name, text in made.items()}, heading)
    for note in notes:
        output.say(note)


def _write(target: Path, made: Mapping[str, bytes], heading: str) -> None:
    """Write new files, and list them; a .gitignore that is there already stays as it is."""
    if not (target / ".gitignore").exists():
        made = {".gitignore": _GITIGNORE, **made}
    paths = {name: target / name for name in made}
    if there := [name for name, path in paths.items() if path.exists() or path.is_symlink()]:
        raise UsageError(
            f"{', '.join(there)} would be overwritten in {target.absolute()}",
            "Name another folder; nothing was done",
        )
    for name, path in paths.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("xb") as stream:
            stream.write(made[name])
    output.say(heading)
    for name in made:
        output.say(f"  {name}")


def _say_next(folder: Path | None, *commands: str) -> None:
    output.say("Next:")
    for command in (f"cd {quote(str(folder))}",) * bool(folder) + commands:
        output.say(f"  {command}")


def _files(folder: Traversable, prefix: str = "") -> Iterator[tuple[str, Traversable]]:
    for entry in sorted(folder.iterdir(), key=lambda entry: entry.name):
        if entry.is_dir():
            yield from _files(entry, f"{prefix}{entry.name}/")
        else:
            yield prefix + entry.name, entry
