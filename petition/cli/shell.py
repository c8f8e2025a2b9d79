"""petition help and petition completion: what a person, or a shell, asks about the program."""

import re
import sys
from enum import StrEnum
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Annotated, Any

import typer

import petition
from petition.campaign.names import nearest_hint
from petition.cli.commands import GROUPS
from petition.errors import UsageError

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
        typer.Argument(
            metavar="COMMAND",
            help="A command's name, a page of the documentation such as login.md, or all.",
            show_default=False,
        ),
    ] = None,
) -> None:
    """Show the help of a command, or a page of the documentation."""
    root = context.find_root()
    program: Any = root.command
    if command is None:
        typer.echo(root.get_help())
    elif command == _ALL:
        typer.echo(_all_commands())
    elif command.endswith(".md"):
        _show_page(_page(command))
    elif not any(command in group for group in GROUPS.values()) and f"{command}.md" in _pages():
        _show_page(_page(f"{command}.md"))
    else:
        name, found, _ = program.resolve_command(root, [command])
        found.make_context(name, ["--help"], parent=root)


def _show_page(text: str) -> None:
    if sys.stdout.isatty():
        from petition.cli import output  # noqa: PLC0415 (it takes longer to load than all else here)

        output.markdown(text)
    else:
        typer.echo(text, nl=False)


def _page(name: str) -> str:
    """A page of the documentation, without what only the tests read in it."""
    pages = _pages()
    if name not in pages:
        every = f"The pages are {', '.join(sorted(pages))}"
        raise UsageError(f'there is no page "{name}"', nearest_hint(name, pages, every))
    text = pages[name].read_text(encoding="utf-8")
    return re.sub(r"^<!--.*?-->\n", "", text, flags=re.MULTILINE | re.DOTALL)


def _pages() -> dict[str, Traversable]:
    folder: Traversable = files("petition") / "docs"  # in a clone it is beside the package
    if not folder.is_dir():
        folder = Path(petition.__file__).parents[1] / "docs"
    return {each.name: each for each in folder.iterdir() if each.name.endswith(".md")}


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
