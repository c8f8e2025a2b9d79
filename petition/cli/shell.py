"""petition help and petition completion: what a person, or a shell, asks about the commands."""

from enum import StrEnum
from importlib.resources import files
from typing import Annotated, Any

import typer

from petition.cli.commands import GROUPS

_ALL = "all"
_INSTALL = """\
At Tab a shell completes commands, options, letters, addresses, ids and more. To have that in every
new shell, run this in it once:

bash        echo 'eval "$(petition completion bash)"' >>~/.bashrc
zsh         echo 'eval "$(petition completion zsh)"' >>~/.zshrc
fish        petition completion fish >~/.config/fish/completions/petition.fish
PowerShell  Add-Content $PROFILE 'petition completion powershell | Out-String | Invoke-Expression'
"""


class Shell(StrEnum):
    """A shell that completes words by a script of ours, and the ending of the script's name."""

    BASH = "bash"
    ZSH = "zsh"
    FISH = "fish"
    POWERSHELL = "powershell"


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


def completion(
    shell: Annotated[
        Shell | None,
        typer.Argument(
            metavar="SHELL",
            help=f"Write the script for it: {', '.join(Shell)}. Without it, how to install one.",
            show_default=False,
        ),
    ] = None,
) -> None:
    """Have Tab complete commands, letters and people in your shell."""
    if shell is None:
        typer.echo(_INSTALL, nl=False)
        return
    ending = "ps1" if shell is Shell.POWERSHELL else shell
    script = files("petition.cli").joinpath(f"complete.{ending}").read_text(encoding="utf-8")
    typer.echo(script, nl=False)
