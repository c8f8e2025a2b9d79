"""petition help: what a person asks about the commands."""

from typing import Annotated, Any

import typer

from petition.cli.commands import GROUPS

_ALL = "all"


def help(  # noqa: A001 (the command's name)
    context: typer.Context,
    command: Annotated[
        str | None,
        typer.Argument(metavar="COMMAND", help="A command's name, or all.", show_default=False),
    ] = None,
) -> None:
    """Show the help of a command, or all commands."""
    root = context.find_root()
    program: Any = root.command
    if command is None:
        typer.echo(root.get_help())
    elif command == _ALL:
        typer.echo(_all_commands())
    else:
        name, found, _ = program.resolve_command(root, [command])
        found.make_context(name, ["--help"], parent=root)


def _all_commands() -> str:
    widest = max(len(name) for group in GROUPS.values() for name in group)
    parts = []
    for heading, group in GROUPS.items():
        rows = (f"  {name:<{widest}}  {one.summary}" for name, one in group.items())
        parts.append("\n".join([f"{heading}:", *rows]))
    return "\n\n".join([*parts, "More about one of them, with examples: petition help COMMAND"])
