"""Writes what shells complete of the commands: `completions.py petition/cli/completions.json`.

With that file a completion loads no command. `make completions` makes it again; a test compares.
"""

import json
import re
import sys
from pathlib import Path
from typing import Any, get_args

from typer.core import TyperCommand, TyperGroup
from typer.main import get_command

from petition.campaign.text_file import packaged_toml
from petition.cli.commands import COMMANDS
from petition.cli.main import app, load
from petition.cli.preview import As
from petition.cli.shell import Shell
from petition.cli.signatures import SignatureStanding
from petition.oauth import Use
from petition.outbox.answers import RECORDED, Channel
from petition.outbox.states import State

# What stands in place of a metavar: a kind that petition/cli/completion.py finds, or the words.
KINDS: dict[str, str | list[str]] = {
    "LETTER": "letter",
    "WHO": "person",
    "WHO WHO": "person",
    "ADDR": "address",
    "DEMAND": "demand",
    "FILE": "file",
    "DIR": "folder",
    "OLD": "folder",
    "STANDING": list(SignatureStanding),
    "COMMAND": [*COMMANDS, "all"],
    "STATE": list(State),
    "STATUS": list(RECORDED),
    "CHANNEL": list(Channel),
    "FORM": list(As),
    "smtp|inbox": list(get_args(Use)),
    "PROVIDER": list(packaged_toml("providers.toml")),
    "SHELL": list(Shell),
}
NOT_OF_PEOPLE = {"--to-me", "--host"}  # an ADDR of one's own, or of a network


def described(command: TyperCommand | TyperGroup) -> dict[str, Any]:
    """A command's arguments and options, in their order."""
    arguments, options = [], []
    for one in command.params:
        kind = KINDS.get(one.metavar or "", "") if takes_value(one) else None
        if not NOT_OF_PEOPLE.isdisjoint(one.opts):
            kind = ""
        if one.param_type_name == "argument":
            arguments.append({"kind": kind, "repeats": one.nargs == -1})
        else:
            values = one.nargs if takes_value(one) else 0
            options.append({"names": one.opts, "kind": kind, "values": values, "help": one.help})
    options.append({"names": ["-h", "--help"], "kind": None, "values": 0, "help": "Show its help."})
    return {"arguments": arguments, "options": options}


def takes_value(param: object) -> bool:
    """Whether a parameter is more than a switch."""
    return not getattr(param, "is_flag", False)


def table() -> str:
    """The whole file."""
    found = {
        "program": described(get_command(app)),
        "commands": {
            name: {"help": one.summary, **described(load(name))} for name, one in COMMANDS.items()
        },
    }
    text = json.dumps(found, indent=1)
    # A line for each option: what has no braces inside is put on one.
    return re.sub(r"\{[^{}]*\}", lambda one: " ".join(one.group().split()), text) + "\n"


if __name__ == "__main__":
    Path(sys.argv[1]).write_text(table(), encoding="utf-8", newline="\n")
