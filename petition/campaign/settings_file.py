"""petition.toml as a file: read once, and read on where one of its values is wrong."""

from pathlib import Path
from typing import Any, Self

from petition.campaign.faults import Faults, KeyPath
from petition.campaign.names import quoted
from petition.campaign.reading_on import Model, StandIns, read_on
from petition.campaign.source import read_text
from petition.campaign.toml_lines import TomlLines, TomlRefused, parse_toml
from petition.errors import Problem

_LIMIT = 50_000  # characters; the longest petition.toml that makes sense is a tenth of it
_SECRETS = {"password", "passwd", "secret", "token"}


class SettingsFile:
    """A document of TOML that knows its lines.

    Args:
        file: The file's name.
        text: Its text.

    Raises:
        TomlRefused: The text is no TOML.
    """

    def __init__(self, file: str, text: str) -> None:
        self._file = file
        self._document = parse_toml(text)
        self._lines = TomlLines(text)

    @classmethod
    def read(cls, path: Path, problems: list[Problem]) -> Self | None:
        """The document of a file, or None and a problem where it cannot be read."""
        text = read_text(path.parent, path.name, problems)
        if text is not None and len(text) > _LIMIT:
            what = f"is longer than {_LIMIT:,} characters"
            problems.append(Problem(path.name, None, what, "Keep to the settings of a campaign"))
            return None
        try:
            return None if text is None else cls(path.name, text)
        except TomlRefused as why:
            what = f"this is not TOML: {why.reason}"
            mend = "Correct it; texts stand in quotes"
            problems.append(Problem(path.name, why.line, what, mend, mark=""))
        return None

    @property
    def lines(self) -> TomlLines:
        """Where its tables and keys stand."""
        return self._lines

    def settings(self, model: type[Model], stand_ins: StandIns) -> tuple[Model, list[Problem]]:
        """The settings, made in spite of their faults, and the faults.

        Args:
            model: What to make.
            stand_ins: Values for required keys, by their path.
        """
        problems: list[Problem] = []
        self._take_secrets(self._document, (), problems)
        faults = Faults(model, self._file, self._lines.line_of, _place)
        settings, found = read_on(model, self._document, faults, stand_ins)
        return settings, problems + found

    def _take_secrets(
        self, table: dict[str, Any], path: tuple[str, ...], problems: list[Problem]
    ) -> None:
        for key, value in list(table.items()):
            if isinstance(value, dict):
                self._take_secrets(value, (*path, key), problems)
            elif key.lower() in _SECRETS:
                what = f"{quoted(key)}{_place(path)} is a secret, and this file is no place for one"
                line = self._lines.line_of((*path, key))
                problems.append(Problem(self._file, line, what, _mend_secret(path, key), mark=key))
                del table[key]


def _place(table: KeyPath) -> str:
    return f" in [{'.'.join(map(str, table))}]" if table else ""


def _mend_secret(path: tuple[str, ...], key: str) -> str:
    table = ".".join(path) or "smtp"
    command = "token_command" if key.lower() == "token" else "password_command"
    mend = f"Take it out, change it, and name a {command} in [{table}] that prints it"
    if (table, command) == ("smtp", "password_command"):
        mend += ", or set the environment variable PETITION_SMTP_PASSWORD"
    return mend
