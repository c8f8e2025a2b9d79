"""petition init, trust and migrate: a campaign folder, what it asks for, and where its log is."""

import os
from collections.abc import Iterator, Mapping
from contextlib import suppress
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path
from shlex import quote
from typing import Annotated

import typer

from petition.campaign.folder import SETTINGS_FILE, read_settings
from petition.campaign.server import database_of
from petition.cli import output
from petition.cli.provider import MAIL_SERVER, find_provider, say_password
from petition.cli.workspace import Json, ThisLog, Workspace, confirm_requests, show_requests
from petition.database_url import AddressUnreadable, check_log_address, without_ambient_secrets
from petition.errors import LogForked, UsageError
from petition.outbox.database import file_of, where
from petition.outbox.log import MOVED
from petition.outbox.transfer import take_back, transfer
from petition.trust import confirm, requests, revoke, unconfirmed
from petition.user_state import UserStateUnusable

_LOOK = "petition preview open-letter   one letter, as it would arrive"
_AFTER_TAKEOVER = (
    "petition check                 what is still to be fixed",
    "petition preview letter        one letter, as it would arrive",
    "petition send letter --dry-run what would be sent, without a connection",
)


def init(
    folder: Annotated[
        Path | None,
        typer.Argument(metavar="DIR", help="Its folder; made if it does not exist."),
    ] = None,
    provider: Annotated[
        str | None,
        typer.Option(metavar="PROVIDER", help="Send through it: gmail, microsoft365, postfix, ..."),
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
    draft: Annotated[
        tuple[Path, Path] | None,
        typer.Option(
            "--from-eml",
            metavar="DRAFT LIST",
            help="Convert a draft of Thunderbird's Mail Merge and its list.",
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
    if draft and (mailmerge or provider is not None):
        other = "--from-mailmerge" if mailmerge else "--provider"
        hint = "Omit one of them; petition provider names the mail server later. Nothing was done"
        raise UsageError(f"--from-eml cannot be combined with {other}", hint)
    if draft:
        _take_over_draft(*draft, target)
        _say_next(folder, *_AFTER_TAKEOVER)
        return
    if mailmerge:
        _take_over(mailmerge, target)
        _say_next(folder, *_AFTER_TAKEOVER)
        return
    starter = {name: file.read_bytes() for name, file in _files(files("petition") / "starter")}
    chosen = find_provider(provider) if provider is not None else None
    if chosen:
        kept, mark, _ = starter[SETTINGS_FILE].decode().partition(MAIL_SERVER)
        if not mark:
            raise AssertionError(MAIL_SERVER)
        starter[SETTINGS_FILE] = (kept + chosen.as_settings(chosen.tables())).encode()
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
    for one in ("[sender] from and reply_to: your own addresses", *chosen.to_fill_in):
        output.say(f"  {one}")
    say_password(chosen)
    output.say("Without [smtp], petition send is a rehearsal.")


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


def _take_over_draft(draft: Path, people: Path, target: Path) -> None:
    from petition.thunderbird import files_of_draft  # noqa: PLC0415 (as above)

    made, notes = files_of_draft(draft, people)
    _write(target, made, f"Converted {draft} to a campaign in {target.absolute()}:")
    for note in notes:
        output.say(note)


def _write(target: Path, made: Mapping[str, bytes], heading: str) -> None:
    """Write new files, and list them; a .gitignore that is there already stays as it is."""
    if not (target / ".gitignore").exists():
        made = {".gitignore": (files("petition") / "gitignore.txt").read_bytes(), **made}
    paths = {name: target / name for name in made}
    if there := [name for name, path in paths.items() if path.exists() or path.is_symlink()]:
        raise UsageError(
            f"{', '.join(there)} would be overwritten in {target.absolute()}",
            "Name another folder; nothing was done",
        )
    real = target.resolve()
    if away := [
        name for name, path in paths.items() if not path.parent.resolve().is_relative_to(real)
    ]:
        raise UsageError(
            f"{', '.join(away)} would be written outside {target.absolute()}, by a link in it",
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


def trust(
    context: typer.Context,
    yes: Annotated[
        bool, typer.Option("-y", "--yes", help="Confirm everything without asking.")
    ] = False,
    take_back: Annotated[
        bool, typer.Option("--revoke", help="Take back what you have confirmed for this folder.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Confirm the commands and servers that a folder asks for."""
    if yes and take_back:
        raise UsageError("--yes and --revoke cannot be combined", "Choose one of them")
    with Workspace.open(context) as place:
        if take_back:
            revoke(place.root)  # first, so that it works where petition.toml has errors
        asked = requests(place.settings, os.environ, place.root)
        new = unconfirmed(asked, place.root)
        if yes:
            confirm(new, place.root)
        if as_json:
            entries = [
                {
                    "key": one.key,
                    "value": one.value,
                    "effect": one.effect,
                    "part": one.part.value,
                    "confirmed": yes or one not in new,
                }
                for one in asked
            ]
            output.json(place.origin | {"requests": entries})
            return
        if not asked:
            output.say("This folder asks for nothing that you have to confirm.")
            return
        output.say(f"{place.root.resolve()} asks for:")
        show_requests(asked, new)
        if not new:
            output.say("You have confirmed all of it.")
        elif take_back:
            output.say("None of it is confirmed any more.")
        else:
            if not yes:
                confirm_requests(new, place.root)
            output.say("Confirmed. If anything changes, you will be asked again.")


def migrate(
    context: typer.Context,
    database: Annotated[
        str,
        typer.Argument(
            metavar="DATABASE", help="sqlite:///PATH or postgresql://..., with no log in it yet."
        ),
    ],
    this_log: ThisLog = False,
    as_json: Json = False,
) -> None:
    """Move the log to another database, whole or not at all."""
    try:
        check_log_address(database)
    except AddressUnreadable as refusal:
        raise UsageError(refusal.what, refusal.hint) from None
    with Workspace.open(context, writes=True) as place:
        if place.is_rehearsal:
            raise UsageError(
                "the log of a rehearsal cannot be moved",
                "Name a mail server in [smtp] or PETITION_SMTP_HOST to move the log of real sends",
            )
        environ, log = {"PETITION_DATABASE": database}, place.log_to_move
        url = database_of(place.settings, environ, place.root, place.server)
        if _is_same(place.url, url):
            if not take_back(log):
                hint = "Name another database; nothing was done"
                raise UsageError(f"the log is in {log.where} already", hint)
            if as_json:
                output.json(place.origin | {"from": log.where, "to": log.where, "rows": {}})
            else:
                output.say(f"Undone: the log stays in {log.where}.")
            return
        if log.closure is None or log.closure[0] != MOVED:  # else it was confirmed before
            place.vouch(this_log=this_log)
        rows = transfer(log, url)
        with suppress(UserStateUnusable, LogForked):  # send says so
            if log.memory.known:
                place.open_log(url).memory.outdate_copies()
    if as_json:
        output.json(place.origin | {"from": log.where, "to": where(url), "rows": rows})
        return
    copies = output.count(rows["copy"], "copy", "copies")
    events = output.count(rows["event"], "event")
    output.say(f"Moved {copies} with {events} from {log.where} to {where(url)}.")
    output.say("Next: name it in [log] database, or set PETITION_DATABASE to it.")


def _is_same(one: str, other: str) -> bool:
    """Whether two addresses are those of one log, as far as can be seen."""
    file, other_file = file_of(one), file_of(other)
    if file and other_file:
        return file.resolve() == other_file.resolve()
    return one in {other, without_ambient_secrets(other)}
