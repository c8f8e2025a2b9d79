"""The reference of all commands, made from the program."""

from typing import Any

from petition.cli.main import COMMANDS, load


def as_markdown() -> str:
    """A section for each command, with its arguments and options."""
    return "\n\n".join(_section(name) for name in COMMANDS)


def _section(name: str) -> str:
    command: Any = load(name)
    context = command.make_context(name, [], resilient_parsing=True)
    context.info_name = f"petition {name}"
    usage = " ".join(["petition", name, *command.collect_usage_pieces(context)])
    parts = [f"## `petition {name}`", command.help, f"```text\n{usage}\n```"]
    for heading, kind in (("argument", "argument"), ("option", "option")):
        if found := command.help_rows(context, kind):
            rows = [f"| {_cell(word)} | {_text(text)} |" for word, text in found]
            parts.append("\n".join([f"| {heading} | meaning |", "|---|---|", *rows]))
    if command.epilog:
        parts.append(f"```text\n{command.epilog.strip()}\n```")
    return "\n\n".join(parts)


def _cell(word: str) -> str:
    return f"`{word}`".replace("|", "\\|")


def _text(text: str) -> str:
    """A help text in which nothing is Markdown."""
    for character in "\\`*_{}<[]|":
        text = text.replace(character, f"\\{character}")
    return text
