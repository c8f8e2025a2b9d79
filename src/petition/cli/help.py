"""The help of a command: what Typer writes, without the Python types of the arguments."""

from contextlib import AbstractContextManager
from typing import Protocol

import typer
from typer.core import TyperCommand


class Formatter(Protocol):
    """What Typer hands to a command to write its help with."""

    def section(self, name: str) -> AbstractContextManager[None]:
        """A heading with what is written under it."""
        ...

    def write_dl(self, rows: list[tuple[str, str]]) -> None:
        """Two columns."""
        ...


class Command(TyperCommand):
    """A command whose help names an argument by what it is, not by its type."""

    def collect_usage_pieces(self, ctx: typer.Context) -> list[str]:  # type: ignore[override]
        """What the line of usage shows behind the command: LETTER, not {letter}."""
        pieces = super().collect_usage_pieces(ctx)
        return [piece[1:-1].upper() if piece.startswith("{") else piece for piece in pieces]

    def format_options(self, ctx: typer.Context, formatter: Formatter) -> None:  # type: ignore[override]
        """Write the arguments and the options."""
        sections: dict[str, list[tuple[str, str]]] = {"Arguments": [], "Options": []}
        for param in self.get_params(ctx):
            record = param.get_help_record(ctx)
            if record is None:
                continue
            name, text = record
            if param.param_type_name == "argument":
                name = name.partition(" <")[0]
                text = text.removesuffix("  [required]")
                sections["Arguments"].append((name, text))
            else:
                sections["Options"].append((name, text))
        for heading, records in sections.items():
            if records:
                with formatter.section(heading):
                    formatter.write_dl(records)
