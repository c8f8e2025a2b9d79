"""TOML: what a text says, the line of each key, and how some keys are changed in it.

A change leaves all else as a person wrote it.
"""

import json
import re
import tomllib
from collections.abc import Iterator, Mapping
from copy import deepcopy
from typing import Any

from petition.campaign.names import curly_hint
from petition.errors import PetitionError, UsageError

TomlPath = tuple[str | int, ...]
Changes = Mapping[str, Mapping[str, object]]  # values by table and key; None removes the key

# Texts and comments, in which line breaks and brackets do not count; then those that do.
_TOKEN = re.compile(
    r'''"""(?:\\.|[^\\])*?"{3,5}|\'\'\'.*?\'{3,5}|"(?:\\.|[^"\\\n])*"|'[^'\n]*'|\#[^\n]*'''
    r"""|(?P<open>[\[{])|(?P<close>[\]}])|(?P<end>\n)""",
    re.DOTALL,
)

# tomllib's memory grows with the square of a dotted key's length: a small file could take it all.
_LONG_KEY = re.compile(
    r"""(?<![\w-])(?:(?:[\w-]+|"[^"\n]*"|'[^'\n]*')[ \t]*\.[ \t]*){20}""", re.ASCII
)

_HINTS = {  # by what tomllib says
    "twice": "Keep one of the two, with the lines of both",
    "overwrite": "The key is there twice: keep one of the two",
    "illegal character '\\n'": "Write a quotation mark where the text ends",
    "unterminated": "Write quotation marks where the text ends",
    'expected "\'"': "A text that begins with ' has no closing one, here or above",
    "hex value": 'In a path write "/" in place of "\\"',
    "'\\'": 'In a path write "/" in place of "\\"',
    "": "Fix the syntax; strings need quotes",
}


class TomlRefused(PetitionError):
    """A text is not TOML: where reading failed, if that is known, and why."""

    def __init__(self, line: int | None, reason: str, hint: str | None = None) -> None:
        hint = hint or next(hint for said, hint in _HINTS.items() if said in reason)
        super().__init__(f"this is not TOML: {reason}", hint)
        self.line = line


class TomlLines:
    """The line of each table and key of a TOML text."""

    def __init__(self, text: str = "") -> None:
        self._lines: dict[TomlPath, int] = {}
        table: TomlPath = ()
        for line, statement in _statements(text):
            paths = list(_paths(parse_toml(statement)))
            if statement.startswith("["):
                table = paths[-1]
            else:
                paths = [table + path for path in paths]
            for path in paths:
                self._lines.setdefault(path, line)

    def line_of(self, path: TomlPath) -> int | None:
        """The line of a key or table such as `("smtp", "port")`, or else of the table around it."""
        for length in range(len(path), 0, -1):
            if line := self._lines.get(path[:length]):
                return line
        return None


def parse_toml(text: str) -> dict[str, Any]:
    """The document of a TOML text."""
    if long_key := _LONG_KEY.search(text):
        raise TomlRefused(text.count("\n", 0, long_key.start()) + 1, "a key has too many parts")
    try:
        return tomllib.loads(text)
    except RecursionError:
        raise TomlRefused(None, "it is nested too deeply") from None
    except ValueError as why:  # its own error, and an integer with too many digits
        raise _refusal(text, str(why)) from None


def _refusal(text: str, message: str) -> TomlRefused:
    place = r"(.*) \(at (?:line (\d+), column (\d+)|end of document)\)"
    found = re.fullmatch(place, message, re.DOTALL)
    if not found:
        return TomlRefused(None, message)
    line = int(found[2]) if found[2] else text.rstrip("\n").count("\n") + 1
    # A table or key is shown as TOML has it, not as tomllib's tuple.
    keys = re.compile(r"\('([^()]*)',?\)")
    reason = keys.sub(lambda shown: "[{}]".format(shown[1].replace("', '", ".")), found[1])
    shown = text.split("\n")[line - 1]
    hint = curly_hint(shown, shown[int(found[3] or 0) - 1 :][:1])
    return TomlRefused(line, reason[:1].lower() + reason[1:], hint)


def _statements(text: str) -> Iterator[tuple[int, str]]:
    """Each table header and each assignment, with the line that it begins in."""
    start, line, depth = 0, 1, 0
    text += "\n"
    for token in _TOKEN.finditer(text):
        depth += (token["open"] is not None) - (token["close"] is not None)
        if token["end"] is None or depth > 0:
            continue
        statement = text[start : token.end()].strip()
        if statement and not statement.startswith("#"):
            yield line, statement
        line += text.count("\n", start, token.end())
        start = token.end()


def _paths(document: dict[str, Any]) -> Iterator[TomlPath]:
    for key, value in document.items():
        yield (key,)
        if isinstance(value, dict):
            for inner in _paths(value):
                yield (key, *inner)


def edited(text: str, changes: Changes) -> str:
    """A text with other values in some tables; its lines end with LF.

    Keys that are new stand below the others of their table. UsageError if a key is written so that
    this cannot be done line by line, as in an inline table.
    """
    lines: list[str | None] = list(text.split("\n"))
    left = {name: dict(keys) for name, keys in changes.items()}
    ends: dict[str, int] = {}  # the last line of each table
    table: TomlPath = ()
    for line, statement in _statements(text):
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
    if not _says(made, with_changes(parse_toml(text), changes)):
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
    comments = (one.start() for one in _TOKEN.finditer(rest) if one.group().startswith("#"))
    at = next(comments, len(rest))
    old = rest[:at].strip()
    begin = rest.find(old)
    return f"{before}={rest[:begin]}{toml_value(value)}{rest[begin + len(old) :]}"


def _assignments(keys: Mapping[str, object]) -> list[str]:
    return [f"{key} = {toml_value(value)}" for key, value in keys.items() if value is not None]


def toml_value(value: object) -> str:
    """A value as TOML has it."""
    return json.dumps(value, ensure_ascii=False)  # a JSON string is a TOML string, too


def _says(text: str, document: dict[str, Any]) -> bool:
    try:
        return parse_toml(text) == document
    except TomlRefused:
        return False


def with_changes(document: dict[str, Any], changes: Changes) -> dict[str, Any]:
    """A document with the changes, as another one."""
    whole = deepcopy(document)
    for name, keys in changes.items():
        table = whole.setdefault(name, {})
        for key, value in keys.items():
            if value is None:
                table.pop(key, None)
            else:
                table[key] = value
    return whole
