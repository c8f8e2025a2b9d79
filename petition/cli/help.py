"""A command as Typer makes it, with a help that names no Python types, and its form of errors."""

from contextlib import AbstractContextManager
from typing import Protocol

import typer
from typer.core import TyperCommand

AS_JSON = "petition.as_json"  # in a context's `meta`: the command was called with --json


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

    def invoke(self, ctx: typer.Context) -> object:  # type: ignore[override]
        """Run it; whoever tells of its errors knows then whether a script reads them."""
        ctx.meta[AS_JSON] = bool(ctx.params.get("as_json"))
        return super().invoke(ctx)

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
