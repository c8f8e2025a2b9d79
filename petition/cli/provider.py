"""petition provider: the settings of a mail provider, for a campaign that exists."""

import re
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import date
from difflib import get_close_matches, unified_diff
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import quote

import typer

from petition.campaign.folder import SETTINGS_FILE, read_settings
from petition.campaign.settings import Settings, judge_settings
from petition.campaign.text_file import find_file, packaged_toml
from petition.campaign.toml import edited, parse_toml, toml_value, with_changes
from petition.cli import output
from petition.cli.workspace import Workspace, Yes
from petition.errors import CampaignError, Problem, UsageError
from petition.trust import confirm, requests
from petition.user_state import UserStateUnusable
from petition.whole_file import replace_whole

MAIL_SERVER = "# The mail server."  # where the last part of the starter's petition.toml begins
_UNDONE = f"{SETTINGS_FILE} was not changed"
_SERVER = ("host", "port", "security")  # of [smtp]: with others it is another server
_OWN = {"username", "client_id", "tenant"}  # a preset has only examples of them
_ADDRESS = "letters@example.org"  # the example of presets whose login is the From address

Tables = dict[str, dict[str, Any]]


@dataclass(frozen=True, slots=True)
class Provider:
    """A mail provider, what its settings are and what is known of its limits."""

    name: str
    title: str
    other_names: list[str]
    notes: list[str]
    fill_in: list[str]  # each "what: with what"
    source: str
    checked: date
    smtp: dict[str, Any]
    oauth: dict[str, Any] = field(default_factory=dict)
    inbox: dict[str, Any] = field(default_factory=dict)  # `host` of its IMAP server, and `auth`
    pace: dict[str, Any] = field(default_factory=dict)

    def tables(self, username: str = "") -> Tables:
        """The tables of petition.toml, with an example in place of a user name that is not given.

        [pace] is there even if nothing is known for it.
        """
        smtp, inbox = dict(self.smtp), dict(self.inbox)
        if username and "username" in smtp:
            smtp["username"] = username
        if inbox:
            user = quote(smtp["username"], safe="")
            inbox = {"url": f"imaps://{user}@{inbox.pop('host')}/INBOX", **inbox}
        found = {"smtp": smtp, "oauth": self.oauth, "inbox": inbox}
        return {name: table for name, table in found.items() if table} | {"pace": self.pace}

    @property
    def to_fill_in(self) -> list[str]:
        """What a person writes in place of the examples."""
        url = ["[inbox] url: the same address, with %40 in place of its @"]
        return self.fill_in + url * bool(self.inbox)

    def as_settings(self, tables: Tables) -> str:
        """Some of its tables as they stand in a petition.toml, with comments."""
        return "\n".join(
            self.header(name)
            + "".join(f"{key} = {toml_value(one)}\n" for key, one in table.items())
            for name, table in tables.items()
        )

    def header(self, table: str) -> str:
        """The header of a table, below its comments."""
        comments = {
            "smtp": [
                f"{self.title}. No password belongs here: see petition help providers.md.",
                *(f"Fill in {one}." for one in self.to_fill_in),
            ],
            "inbox": ["Where answers and bounces arrive, for petition inbox."],
            "pace": [*self.notes, f"As of {self.checked}: {self.source}"],
        }
        return "".join(f"# {one}\n" for one in comments.get(table, [])) + f"[{table}]\n"


@cache
def providers() -> dict[str, Provider]:
    """All providers, by name."""
    return {name: Provider(name, **one) for name, one in packaged_toml("providers.toml").items()}


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


def say_password(chosen: Provider) -> None:
    """Say where the password comes from, if there is one."""
    if chosen.smtp.get("auth") == "oauth":
        output.say("Then log in: petition login.")
    elif "username" in chosen.smtp:
        inbox = " (of the inbox: PETITION_INBOX_PASSWORD)" if chosen.inbox else ""
        output.say(f"Put the password in PETITION_SMTP_PASSWORD{inbox}, or set a password_command.")


def provider(
    context: typer.Context,
    name: Annotated[
        str | None,
        typer.Argument(
            metavar="PROVIDER", help="Its name; without it, list them.", show_default=False
        ),
    ] = None,
    yes: Yes = False,
) -> None:
    """Set up a campaign for a mail provider; without a name, list the providers."""
    if name is None:
        _list()
        return
    chosen = find_provider(name)
    with Workspace.open(context) as place:
        path, raw = _read(place.root)
        ending = "\r\n" if "\r\n" in raw else "\n"
        text = raw.replace("\r\n", "\n")
        made, kept, replaced = _with_provider(text, place.settings, chosen)
        for one in kept:
            output.say(f"Kept: {one}")
        _refuse_invalid(made, chosen)
        if made == text:
            output.say(f"{SETTINGS_FILE} has the settings of {chosen.title} already.")
            return
        lines = text.splitlines(), made.splitlines()
        output.difference(
            unified_diff(*lines, SETTINGS_FILE, f"{SETTINGS_FILE} for {chosen.name}", lineterm="")
        )
        if replaced and yes:
            what = f"{_UNDONE}: it names another server ({', '.join(replaced)})"
            raise UsageError(what, "To replace it, run this in a terminal without --yes")
        if not yes:
            own = " in place of your own server" if replaced else ""
            output.confirm(f"Change {SETTINGS_FILE} to send through {chosen.title}{own}?", _UNDONE)
        replace_whole(path, made.replace("\n", ending).encode(), path.stat().st_mode & 0o777)
        _confirm(place.root, chosen)
    output.say(f"Letters will go through {chosen.title}. Check in {SETTINGS_FILE}:")
    for one in chosen.to_fill_in:
        output.say(f"  {one}")
    say_password(chosen)
    output.say("Next: petition check --online")


def _list() -> None:
    rows = [
        (
            one.name,
            one.title,
            one.smtp["host"],
            one.pace.get("per_day"),
            "yes" if one.inbox else "no",
        )
        for one in providers().values()
    ]
    output.table(["name", "provider", "server", "a day", "inbox"], rows)
    output.say("To set up this campaign for one of them: petition provider NAME")


def _read(root: Path) -> tuple[Path, str]:
    """petition.toml, with its line endings as they are."""
    if read_settings(root).has_errors:  # also if there is none
        raise CampaignError(read_settings(root).problems)
    problems: list[Problem] = []
    path = find_file(root, SETTINGS_FILE, problems)
    if path is None:
        raise CampaignError(problems)
    return path, path.read_bytes().decode("utf-8-sig")


def _with_provider(
    text: str, settings: Settings, chosen: Provider
) -> tuple[str, list[str], list[str]]:
    """The new text; which settings of the person's own it keeps; which of them it replaces.

    Values that another preset has brought are replaced like those that are missing.
    """
    document = parse_toml(text)
    there: Tables = {name: one for name, one in document.items() if isinstance(one, dict)}
    old = _provider_of(there)
    tables = chosen.tables(_username(there, settings, chosen))
    tail = (files("petition") / "starter" / SETTINGS_FILE).read_text(encoding="utf-8")
    kept_text = text.replace(MAIL_SERVER + tail.partition(MAIL_SERVER)[2], "", 1)
    changes: dict[str, dict[str, object]] = {}
    kept, replaced = list[str](), list[str]()
    for name, wanted in tables.items():
        if name in there:
            before = old.tables(there["smtp"].get("username", "")).get(name, {}) if old else {}
            url = there[name].get("url")
            if name == "inbox" and url not in {wanted["url"], before.get("url")}:
                kept.append(f"[inbox] url = {toml_value(url)} (not {toml_value(wanted['url'])})")
                continue  # how to log in there is not the provider's to say
            changes[name] = dict(_changes(name, there[name], wanted, before, kept, replaced))
            if old:
                kept_text = kept_text.replace(old.header(name), chosen.header(name), 1)
    made = edited(kept_text, changes)
    missing = {name: table for name, table in tables.items() if name not in there}
    if missing:
        made = f"{made.rstrip()}\n\n{chosen.as_settings(missing)}"
    if parse_toml(made) != with_changes(document, changes | missing):
        raise AssertionError(SETTINGS_FILE)
    return made, kept, replaced


def _refuse_invalid(text: str, chosen: Provider) -> None:
    """UsageError if settings that are kept do not go with the provider's."""
    problems = judge_settings(text, SETTINGS_FILE).problems
    if wrong := next((one for one in problems if one.is_error), None):
        what = f"{_UNDONE}: what it has does not go with the settings of {chosen.title}"
        raise UsageError(f"{what} ({wrong.what})", wrong.hint)


def _changes(
    name: str,
    there: dict[str, Any],
    wanted: dict[str, Any],
    before: dict[str, Any],
    kept: list[str],
    replaced: list[str],
) -> Iterator[tuple[str, object]]:
    """The keys of a table to set or remove; adds the person's own to `kept` and `replaced`."""
    for key, value in wanted.items():
        if there.get(key) == value:
            continue
        is_own = key in there and there[key] != before.get(key)
        if is_own and name == "smtp" and key in _SERVER:
            replaced.append(f"{key} = {toml_value(there[key])}")
        elif is_own:
            if key not in _OWN:
                kept.append(f"[{name}] {key} = {toml_value(there[key])} (not {toml_value(value)})")
            continue
        yield key, value
    for key, value in before.items():
        if key not in {*wanted, *_OWN} and there.get(key) == value:
            yield key, None


def _provider_of(there: Tables) -> Provider | None:
    """The provider whose server petition.toml names now."""
    host = there.get("smtp", {}).get("host")
    return next((one for one in providers().values() if one.smtp["host"] == host), None)


def _username(there: Tables, settings: Settings, chosen: Provider) -> str:
    """The login: as petition.toml has it, else the sender's address where logins are addresses."""
    if known := there.get("smtp", {}).get("username"):
        return str(known)
    is_address = chosen.smtp.get("username") == _ADDRESS
    return settings.sender.from_.addr_spec if is_address else ""


def _confirm(root: Path, chosen: Provider) -> None:
    """Confirm the provider's servers: the person has just agreed to exactly these."""
    settings = read_settings(root).settings
    if not settings:
        return
    named = {"[smtp] host"}
    # A mailbox that the folder named before and keeps may be anybody's.
    if settings.inbox and settings.inbox.host == chosen.inbox.get("host"):
        named.add("[inbox] url")
    with suppress(UserStateUnusable):  # then petition asks later
        confirm([one for one in requests(settings, {}, root) if one.key in named], root)
