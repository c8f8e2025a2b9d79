#!/usr/bin/env python3
"""What a command of the example campaign takes, from the start of its process to the end.

    python benchmarks/start.py [--against FOLDER] [--rounds 15] [--only COMMAND ...]

Each command runs in a new copy of the example, in turn with that of another checkout where one is
named. Time is the processor's, with the interpreter's own: the median of the rounds. Modules are
all that are imported on the way.
"""

import argparse
import os
import shutil
import statistics
import subprocess
import tempfile
from pathlib import Path

from measure import PETITION, ROOT, checkouts, environment_of, run

FOLDERS, FILES = ("letters", "annex"), ("petition.toml", "*.csv")  # of the example
SEND = ("send", "open-letter", "--yes")  # a rehearsal: to a mail server on this machine
COMMANDS = {
    "help": ("`petition --help`", ("--help",)),
    "tab": ("Tab after `petition send`", ("__complete", "bash", "send", "")),
    "status": ("`petition status`, one letter", ("status",)),
    "check": ("`petition check`, five letters to 71 people", ("check",)),
    "send": ("`petition send`, one letter to 12 people", SEND),
}


def write_example(folder: Path) -> None:
    """A copy of the example campaign."""
    for name in FOLDERS:
        shutil.copytree(ROOT / name, folder / name)
    for file in (file for pattern in FILES for file in ROOT.glob(pattern)):
        shutil.copy(file, folder)


def measure(name: str, checkout: Path, *, modules: bool = False) -> float:
    """Seconds of the processor that a command takes, or how many modules it imports."""
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        write_example(folder)
        environment = environment_of(checkout, folder)
        environment = {key: environment[key] for key in environment if "PETITION_" not in key}
        if name == "status":
            run((*PETITION, *SEND), folder, environment)
        command = (*PETITION, *COMMANDS[name][1])
        if not modules:
            return run(command, folder, environment).processor
        environment |= {"PYTHONPROFILEIMPORTTIME": "1"}
        done = subprocess.run(
            command, cwd=folder, env=environment, capture_output=True, text=True, check=True
        )
        return done.stderr.count("import time: ") - 1  # without the head of the table


def main() -> None:
    """Measure, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--against", type=Path, metavar="FOLDER", help="another checkout")
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--only", nargs="+", choices=COMMANDS, default=list(COMMANDS))
    asked = parser.parse_args()
    print("Load of the machine:", *(f"{load:.1f}" for load in os.getloadavg()), "\n")
    both = checkouts(asked.against)
    print(f"| command |{''.join(f' {who}: processor, ms | modules |' for who in both)}")
    print(f"|---|{'--:|--:|' * len(both)}")
    for name in asked.only:
        modules = {who: measure(name, checkout, modules=True) for who, checkout in both.items()}
        taken = [[measure(name, one) for one in both.values()] for _ in range(asked.rounds)]
        medians = map(statistics.median, zip(*taken, strict=True))
        cells = zip(medians, modules.values(), strict=True)
        shown = (f" {took * 1000:.0f} | {number:.0f} |" for took, number in cells)
        print(f"| {COMMANDS[name][0]} |{''.join(shown)}", flush=True)


if __name__ == "__main__":
    main()
