"""Where in a TOML file a table or a key stands: tomllib tells values, but no places."""

import re
import tomllib
from collections.abc import Iterator
from typing import Any

Path = tuple[str | int, ...]

# What a line break or a bracket in it does not count for, then what does.
_TOKEN = re.compile(
    r'''"""(?:\\.|[^\\])*?"{3,5}|\'\'\'.*?\'{3,5}|"(?:\\.|[^"\\\n])*"|'[^'\n]*'|\#[^\n]*'''
    r"""|(?P<open>[\[{])|(?P<close>[\]}])|(?P<end>\n)""",
    re.DOTALL,
)

# tomllib needs memory in the square of a dotted key's length: a small file could take all of it.
_LONG_KEY = re.compile(
    r"""(?<![\w-])(?:(?:[\w-]+|"[^"\n]*"|'[^'\n]*')[ \t]*\.[ \t]*){20}""", re.ASCII
)


class TomlRefused(Exception):
    """A text is not TOML.

    Args:
        line: Where reading failed, from 1; None where that is not known.
        reason: Why, as a part of a sentence.
    """

    def __init__(self, line: int | None, reason: str) -> None:
        super().__init__(reason)
        self.line = line
        self.reason = reason


def parse_toml(text: str) -> dict[str, Any]:
    """The document of a TOML text.

    Args:
        text: Any text.

    Raises:
        TomlRefused: It is no TOML, or too deep.
    """
    if long_key := _LONG_KEY.search(text):
        raise TomlRefused(text.count("\n", 0, long_key.start()) + 1, "a key has too many parts")
    try:
        return tomllib.loads(text)
    except RecursionError:
        raise TomlRefused(None, "it is nested too deep") from None
    except ValueError as why:  # its own error, and an integer with too many digits
        raise _refusal(text, str(why)) from None


class TomlLines:
    """The line of each table and key of a TOML text.

    Args:
        text: A text that tomllib reads.
    """

    def __init__(self, text: str = "") -> None:
        self._lines: dict[Path, int] = {}
        table: Path = ()
        for line, statement in _statements(text):
            document = parse_toml(statement)
            if statement.startswith("["):
                table = _only_path(document)
                self._note(table, line)
            else:
                for path in _paths(document):
                    self._note(table + path, line)

    def line_of(self, path: Path) -> int | None:
        """The line of a key or table; where it has none, that of the table around it.

        Args:
            path: The keys from the outermost table inwards: `("smtp", "port")`.
        """
        for length in range(len(path), 0, -1):
            if line := self._lines.get(path[:length]):
                return line
        return None

    def _note(self, path: Path, line: int) -> None:
        for length in range(1, len(path) + 1):
            self._lines.setdefault(path[:length], line)


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


def _only_path(header: dict[str, Any]) -> Path:
    path: list[str] = []
    inner: Any = header
    while inner:
        if isinstance(inner, list):  # [[name]]
            inner = inner[0]
            continue
        key, inner = next(iter(inner.items()))
        path.append(key)
    return tuple(path)


def _paths(document: dict[str, Any]) -> Iterator[Path]:
    for key, value in document.items():
        yield (key,)
        if isinstance(value, dict):
            for inner in _paths(value):
                yield (key, *inner)


def _refusal(text: str, message: str) -> TomlRefused:
    place = r"(.*) \(at (?:line (\d+), column \d+|end of document)\)"
    found = re.fullmatch(place, message, re.DOTALL)
    if not found:
        return TomlRefused(None, message)
    line = int(found[2]) if found[2] else text.rstrip("\n").count("\n") + 1
    reason = re.sub(r"\(('[^()]*',?)\)", _header, found[1])
    return TomlRefused(line, reason[:1].lower() + reason[1:])


def _header(found: re.Match[str]) -> str:
    """A table or key as TOML has it, where tomllib shows a tuple of Python."""
    keys = ".".join(re.findall("'([^']*)'", found[1]))
    return f"[{keys}]"
