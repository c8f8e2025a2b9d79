"""The mail providers of providers.toml, as a part of petition.toml."""

import json
import re
from dataclasses import dataclass
from datetime import date
from difflib import get_close_matches
from typing import Any

from petition.errors import UsageError


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
    import tomllib
    from importlib.resources import files

    text = (files("petition") / "providers.toml").read_text(encoding="utf-8")
    return {name: _provider(name, table) for name, table in tomllib.loads(text).items()}


def find_provider(text: str) -> Provider:
    """The provider of a name.

    Args:
        text: The name, in any case, or another one that it goes by.

    Raises:
        UsageError: Nobody is called so; the nearest name is told.
    """
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
    mend = f"Known are {', '.join(known)}; of any other server [smtp] can be written by hand"
    raise UsageError(what, mend)


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
