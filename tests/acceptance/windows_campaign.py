"""A small campaign, and petition run on it by Windows' Python, under Wine."""

import subprocess
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests import PATIENCE
from tests.acceptance.small import Answer, SmallCampaign
from tests.servers.windows import Windows, there

ON_WINDOWS = Path(__file__).with_name("on_windows.py")


@dataclass
class WindowsCampaign(SmallCampaign):
    """A campaign folder that petition is run in under Wine.

    Args:
        windows: Where.
    """

    windows: Windows = field(kw_only=True)

    @property
    def environment(self) -> dict[str, str]:
        own = {"PYTHONWARNINGS": "error", "COLUMNS": "80"}
        return self.windows.environment | own | self.env

    def petition(
        self, *arguments: str, status: int | None = None, timeout: float = PATIENCE
    ) -> Answer:
        """Run petition there and wait for it."""
        command = (self.windows.python, "-m", "petition", *arguments)
        answer = Answer(*self.windows.run(*command, cwd=self.root, environment=self.environment))
        assert "Traceback" not in answer.err, answer.err
        if status is not None:
            assert answer.status == status, (answer.out, answer.err)
        return answer

    def begin(
        self, *arguments: str, program: tuple[str, ...] = ("-m", "petition"), **_: Any
    ) -> "Running":
        """Start petition there and do not wait for it."""
        return Running(
            ["wine", self.windows.python, there(ON_WINDOWS), *program, *arguments],
            cwd=self.root,
            env=self.environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )


class Running(subprocess.Popen[str]):
    """petition under Wine, started by `on_windows.py`, which is told what to do to it."""

    KILLED = 9

    def kill(self) -> None:
        """End it as TerminateProcess does: nothing of it runs any more."""
        self._tell("kill")

    def interrupt(self) -> None:
        """Press Ctrl-C on its console."""
        self._tell("interrupt")

    def _tell(self, what: str) -> None:
        assert self.stdin
        self.stdin.write(f"{what}\n")
        self.stdin.flush()
