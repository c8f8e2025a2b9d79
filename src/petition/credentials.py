"""Passwords and tokens: from the environment or from a command, never from a file of the campaign.

A secret is carried as a `Secret`, which shows itself nowhere: not in a repr, a traceback's
locals or a log.
"""

import os
import shlex
import subprocess
from dataclasses import dataclass

from petition.errors import ServerTrouble

COMMAND_SECONDS = 60


@dataclass(frozen=True, slots=True, repr=False)
class Secret:
    """A text that must not be shown.

    Args:
        text: The password or token itself.
    """

    text: str

    def __repr__(self) -> str:
        return "Secret(...)"

    __str__ = __repr__


def find_secret(variable: str, command: str | None) -> Secret | None:
    """The secret of an environment variable, else of a command's first line of output.

    Args:
        variable: The name of the environment variable; it wins.
        command: A command line without shell syntax, such as `pass show campaign/smtp`.

    Returns:
        The secret, or None where neither is given.

    Raises:
        ServerTrouble: The command cannot be run, fails, or prints nothing.
    """
    if text := os.environ.get(variable):
        return Secret(text)
    return run_command(command) if command else None


def run_command(command: str) -> Secret:
    """The first line that a command prints.

    Args:
        command: A command line; it is split as a shell would, and no shell runs it.

    Raises:
        ServerTrouble: It cannot be run, fails, takes over 60 s, or prints nothing.
    """
    try:
        words = shlex.split(command)
        done = subprocess.run(  # noqa: S603 (the organiser's own command, from their own file)
            words, capture_output=True, text=True, timeout=COMMAND_SECONDS, check=False
        )
    except (OSError, ValueError, IndexError, subprocess.TimeoutExpired, UnicodeDecodeError) as why:
        # The exception's own text could quote what the command printed.
        kind = type(why).__name__
        raise ServerTrouble(f"the password command could not be run ({kind})", _MEND) from None
    first_line = done.stdout.split("\n", 1)[0].rstrip("\r")
    if done.returncode != 0 or not first_line:
        raise ServerTrouble(
            f"the password command ended with status {done.returncode} and gave no password",
            _MEND,
        )
    return Secret(first_line)


_MEND = "Run the command by hand and correct password_command in petition.toml"
