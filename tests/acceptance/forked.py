"""The real program many times over: each command is a fork of a process that has it loaded.

A hundred commands then take seconds. Nothing else differs: each has its own arguments, folder,
environment and streams, and ends as a process does.
"""

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.acceptance.small import Answer, SmallCampaign

_SERVER = """
import json, os, pkgutil, sys
import petition
for found in pkgutil.walk_packages(petition.__path__, "petition."):
    if not found.name.endswith("__main__") and ".serve" not in found.name:
        try:
            __import__(found.name)
        except ImportError:
            pass
import rich.console, rich.table, rich.text, rich.padding
from petition.cli.main import run
for line in sys.stdin:
    asked = json.loads(line)
    child = os.fork()
    if not child:
        os.chdir(asked["folder"])
        os.environ.clear()
        os.environ.update(asked["environment"])
        for number, name in ((0, os.devnull), (1, asked["out"]), (2, asked["err"])):
            flags = os.O_RDONLY if number == 0 else os.O_WRONLY | os.O_CREAT | os.O_TRUNC
            os.dup2(os.open(name, flags), number)
        sys.argv = ["petition", *asked["arguments"]]
        run()
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
"""


class Forks:
    """Runs petition in forks of one process."""

    def __init__(self, process: "subprocess.Popen[str]", folder: Path) -> None:
        self._process = process
        self._out, self._err = folder / "out", folder / "err"

    def petition(self, campaign: SmallCampaign, *arguments: str) -> Answer:
        """Run petition in a campaign, and wait for it."""
        asked = {
            "folder": str(campaign.root),
            "environment": campaign.environment,
            "arguments": arguments,
            "out": str(self._out),
            "err": str(self._err),
        }
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(asked) + "\n")
        self._process.stdin.flush()
        status = int(self._process.stdout.readline())
        texts = (path.read_bytes().decode(errors="replace") for path in (self._out, self._err))
        return Answer(status, *texts)


@contextmanager
def forks(folder: Path) -> Iterator[Forks]:
    """What runs petition in forks, until the block is left.

    Args:
        folder: Where what they say is kept meanwhile.
    """
    with subprocess.Popen(
        [sys.executable, "-c", _SERVER],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        yield Forks(process, folder)
        assert process.stdin is not None
        process.stdin.close()
