"""A small campaign in a folder, and the real program run on it."""

import csv
import io
import json
import os
import subprocess
import sys
import termios
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import IO, Any, Self

import pexpect
from pexpect import fdpexpect

from petition.campaign.folder import read_settings
from petition.trust import confirm, requests
from tests import PATIENCE
from tests.forkserver import Forked, fork_server

SETTINGS = """\
[campaign]
title = "Clean water for Leeds"
id = "water"

[sender]
from = "Water Campaign <letter@campaign.example>"
reply_to = "answers@campaign.example"
"""

LETTER = """\
---
to: recipients
subject: "{{ recipient.name }}: one demand"
reply_by: 14 days
---
Dear {{ recipient.name }},

the water of {{ recipient.town or "our town" }} must be **clean** by {{ reply_by }}.

{{ demands }}

{{ signatories }}
"""

DEMANDS = "## Clean the river {#river}\n\nAll of it.\n"
SIGNATORIES = "name,kind,publish\nRiver Friends,organisation,yes\nAnn Reed,individual,yes\n"

# For `before` of `SmallCampaign.begin`: a clock that is `ahead` of the machine's.
SET_CLOCK = """
import datetime, sys
real, ahead = datetime.datetime, datetime.timedelta()
class Clock(real):
    __slots__ = ()
    @classmethod
    def now(cls, tz=None):
        return real.now(tz) + ahead
for module in list(sys.modules.values()):
    if vars(module).get("datetime") is real:
        module.datetime = Clock
"""


# For `before` of `SmallCampaign.begin`: a grace lasts until there is a file "go".
HELD = """
import os, time, types
from petition.cli import send_later
passed = 0.0
def sleep(seconds):
    global passed
    while not os.path.exists("go"):
        time.sleep(0.01)
    passed += seconds
send_later.time = types.SimpleNamespace(time=lambda: time.time() + passed, sleep=sleep)
"""


def days_ahead(days: float) -> str:
    """For `before` of `SmallCampaign.begin`: a machine whose clock is so many days ahead."""
    return f"{SET_CLOCK}\nahead = datetime.timedelta({days})"


@dataclass(frozen=True, slots=True)
class Answer:
    """How the program ended and what it said."""

    status: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


@dataclass
class SmallCampaign:
    """A campaign folder that petition can be run in.

    Args:
        root: The folder.
        env: What the environment says, such as PETITION_SMTP_HOST.
    """

    root: Path
    env: dict[str, str] = field(default_factory=dict)

    @classmethod
    def at(cls, root: Path, people: int = 3, **more: Any) -> Self:
        campaign = cls(root, **more)
        campaign.write("petition.toml", SETTINGS)
        campaign.write("letters/open-letter.md", LETTER)
        campaign.write("letters/demands.md", DEMANDS)
        campaign.write("signatories.csv", SIGNATORIES)
        campaign.list_people(*(f"p{number}" for number in range(1, people + 1)))
        return campaign

    def write(self, name: str, text: str | bytes) -> Path:
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text.encode() if isinstance(text, str) else text)
        return path

    def change(self, name: str, old: str, new: str) -> None:
        text = (self.root / name).read_text(encoding="utf-8")
        assert old in text
        self.write(name, text.replace(old, new))

    def list_people(self, *names: str, **towns: str) -> None:
        """People called by their id, `p1` as p1@x.example and `P1`."""
        with (self.root / "recipients.csv").open("w", newline="", encoding="utf-8") as file:
            rows = csv.writer(file)
            rows.writerow(["id", "email", "name", "town"])
            rows.writerows(
                [name, f"{name}@x.example", name.title(), towns.get(name, "")] for name in names
            )

    def through(self, port: int) -> Self:
        """The same campaign with a server on loopback."""
        server = {"HOST": "127.0.0.1", "PORT": str(port), "SECURITY": "none"}
        environment = {f"PETITION_SMTP_{name}": value for name, value in server.items()}
        return replace(self, env=self.env | environment)

    def trust(self) -> "SmallCampaign":
        """Confirm all that petition.toml asks for now, as `petition trust --yes` does."""
        settings = read_settings(self.root).settings
        assert settings is not None
        confirm(requests(settings, self.env, self.root), self.root)
        return self

    @property
    def environment(self) -> dict[str, str]:
        kept = {name: value for name, value in os.environ.items() if "PETITION" not in name}
        return kept | {"PYTHONWARNINGS": "error", "COLUMNS": "80"} | self.env

    def petition(
        self, *arguments: str, status: int | None = None, timeout: float = PATIENCE
    ) -> Answer:
        """Run petition here and wait for it.

        Args:
            arguments: What stands behind `petition`.
            status: The exit status that is expected; None: any.
            timeout: After how many seconds to give up; nothing is asserted of how fast it goes.
        """
        end, out, err = fork_server(self.environment).run(
            arguments, self.root, self.environment, timeout
        )
        answer = Answer(end, out.decode(), err.decode())
        assert "Traceback" not in answer.err, answer.err
        if status is not None:
            assert answer.status == status, (answer.out, answer.err)
        return answer

    def begin(
        self,
        *arguments: str,
        program: tuple[str, ...] = ("",),
        before: str = "",
        stdin: int = subprocess.DEVNULL,
        out: int | IO[bytes] = subprocess.DEVNULL,
        err: int = subprocess.PIPE,
    ) -> "Popen":
        """Start petition and do not wait for it.

        Args:
            arguments: What stands behind `petition`.
            program: A Python file to run instead, or what stands behind `python`.
            before: Python that runs before petition, such as to change a limit.
            stdin: As of `Popen`, which is true of the others too.
            out: The standard output.
            err: The standard error.
        """
        start, command = subprocess.Popen, [sys.executable, *program, *arguments]
        if len(program) == 1:
            start = partial(Forked, script=program[0], before=before)
            command = list(arguments)
        return start(
            command,
            cwd=self.root,
            env=self.environment,
            stdin=stdin,
            stdout=out,
            stderr=err,
            text=True,
        )

    def on_terminal(
        self, *arguments: str, program: tuple[str, ...] = ("",), before: str = "", **env: str
    ) -> "Terminal":
        """Start petition, or a `program` as in `begin`, on a terminal of 80 by 40."""
        ours, theirs = os.openpty()
        termios.tcsetwinsize(theirs, (40, 80))
        seen = SmallCampaign(self.root, self.env | {"TERM": "xterm-256color", "COLUMNS": ""} | env)
        run = seen.begin(
            *arguments, program=program, before=before, stdin=theirs, out=theirs, err=theirs
        )
        os.close(theirs)
        return Terminal(run, ours)

    def days_off(self, days: int, *arguments: str) -> Answer:
        """Run petition here on a machine whose clock is so many days ahead."""
        with self.begin(*arguments, before=days_ahead(days), out=subprocess.PIPE) as run:
            out, err = run.communicate(timeout=PATIENCE)
        return Answer(run.returncode, out, err)

    def states(self, letter: str = "open-letter") -> dict[str, str]:
        """The state of each copy, by the recipient's id (the part before the @)."""
        rows = csv.DictReader(io.StringIO(self.petition("status", letter, "--csv").out))
        return {row["email"].partition("@")[0]: row["state"] for row in rows}


Popen = subprocess.Popen[str]


class Terminal(fdpexpect.fdspawn):
    """A terminal with a program on it, that reads what it shows and types.

    Args:
        run: The program.
        file: The terminal.
    """

    def __init__(self, run: Popen, file: int) -> None:
        super().__init__(file, encoding="utf-8", timeout=PATIENCE)
        self._run = run

    def interrupt(self) -> None:
        """Type Ctrl-C."""
        self.send("\x03")

    def end(self) -> tuple[int, str]:
        """Wait for the end: its exit status, and what it has said since the last look."""
        self.expect(pexpect.EOF)
        self.close()
        return self._run.wait(PATIENCE), str(self.before).replace("\r\n", "\n")

    def kill(self) -> None:
        """End it, whatever it does."""
        self._run.kill()
        self._run.wait(PATIENCE)
        self.close()


def confirmed(campaign: SmallCampaign, before: str = "") -> Terminal:
    """A `send` that was confirmed, and waits."""
    child = campaign.on_terminal("send", "open-letter", before=before)
    child.expect_exact("[y/N]")
    child.send("y\n")
    child.expect_exact("Nothing is queued")
    return child


@contextmanager
def held(campaign: SmallCampaign) -> Iterator[Terminal]:
    """A `send` that was confirmed, and whose [pace] grace lasts as long as the block."""
    child = confirmed(campaign, before=HELD)
    yield child
    campaign.write("go", "")
