"""Where the program begins: a shell that asks for completions is answered without the commands."""

import sys
from typing import NoReturn

REQUEST = "__complete"  # what the scripts for the shells call, with the shell and the words


def run() -> NoReturn:
    """Run the program and end with its exit status."""
    if sys.argv[1:2] == [REQUEST]:
        from petition.cli.completion import answer  # noqa: PLC0415 (at Tab alone)

        sys.exit(answer(*sys.argv[2:]))
    try:
        from petition.cli.main import run  # noqa: PLC0415 (takes longer than a completion)

        run()
    except KeyboardInterrupt:  # not in a command, which says what it has recorded
        from petition.errors import ExitStatus  # noqa: PLC0415 (nobody types Ctrl-C in a completion)

        sys.exit(ExitStatus.INTERRUPTED)
