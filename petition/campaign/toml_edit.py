"""Changes some keys of a TOML text, and leaves all else as a person wrote it."""

import json
from collections.abc import Mapping
from copy import deepcopy
from typing import Any

from petition.campaign.settings import TOML_TOKEN, TomlPath, TomlRefused, parse_toml, statements
from petition.errors import UsageError

Changes = Mapping[str, Mapping[str, object]]  # values by table and key; None removes the key


def changed(text: str, changes: Changes) -> str:
    """A text with other values in some tables; its lines end with LF.

    Keys that are new stand below the others of their table. UsageError if a key is written so that
    this cannot be done line by line, as in an inline table.
    """
    lines: list[str | None] = list(text.split("\n"))
    left = {name: dict(keys) for name, keys in changes.items()}
    ends: dict[str, int] = {}  # the last line of each table
    table: TomlPath = ()
    for line, statement in statements(text):
        at, path = line - 1, _path(statement)
        if statement.startswith("["):
            table = path
        elif len(path := table + path) == 2 and path[1] in left.get(str(path[0]), {}):
            new = left[str(path[0])].pop(str(path[1]))
            lines[at] = None if new is None else _assigned(str(lines[at]), new)
        if len(table) == 1:
            ends[str(table[0])] = at + statement.count("\n")
    for name, at in sorted(ends.items(), key=lambda one: one[1], reverse=True):
        lines[at + 1 : at + 1] = _assignments(left.pop(name, {}))
    made = "\n".join(line for line in lines if line is not None)
    for name, keys_left in left.items():
        if added := _assignments(keys_left):
            made = "\n".join([made.rstrip("\n"), "", f"[{name}]", *added, ""])
    if not _says(made, meant(parse_toml(text), changes)):
        keys = ", ".join(f"[{name}] {key}" for name, found in changes.items() for key in found)
        what = "petition cannot change settings that are written like this"
        raise UsageError(what, f"Change them by hand: {keys}")
    return made


def _path(statement: str) -> TomlPath:
    """The keys of one statement: ("smtp", "host") of `smtp.host = 1`."""
    path, inner = list[str | int](), parse_toml(statement)
    while isinstance(inner, dict) and len(inner) == 1:
        ((key, inner),) = inner.items()
        path.append(key)
    return tuple(path)


def _assigned(line: str, value: object) -> str:
    """A line that assigns another value; what is before it and a comment behind it stay."""
    before, _, rest = line.partition("=")
    comments = (one.start() for one in TOML_TOKEN.finditer(rest) if one.group().startswith("#"))
    at = next(comments, len(rest))
    old = rest[:at].strip()
    begin = rest.find(old)
    return f"{before}={rest[:begin]}{as_value(value)}{rest[begin + len(old) :]}"


def _assignments(keys: Mapping[str, object]) -> list[str]:
    return [f"{key} = {as_value(value)}" for key, value in keys.items() if value is not None]


def as_value(value: object) -> str:
    """A value as TOML has it."""
    return json.dumps(value, ensure_ascii=False)  # a JSON string is a TOML string, too


def _says(text: str, document: dict[str, Any]) -> bool:
    try:
        return parse_toml(text) == document
    except TomlRefused:
        return False


def meant(document: dict[str, Any], changes: Changes) -> dict[str, Any]:
    """A document with the changes."""
    whole = deepcopy(document)
    for name, keys in changes.items():
        table = whole.setdefault(name, {})
        for key, value in keys.items():
            if value is None:
                table.pop(key, None)
            else:
                table[key] = value
    return whole
