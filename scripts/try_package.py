"""Install a wheel or an sdist into an environment with nothing else in it, and send a rehearsal.

Usage: `python scripts/try_package.py dist/petition-*.whl`; runs on every system, with any Python.
"""

import os
import subprocess
import sys
import tempfile
import venv
from pathlib import Path

CONSTRAINTS = Path(__file__).parents[1] / "constraints.txt"
PROGRAMS = "Scripts" if os.name == "nt" else "bin"


def try_package(package: Path, folder: Path) -> None:
    """Raise CalledProcessError or SystemExit unless the package sends its first campaign."""
    venv.create(folder / "venv", with_pip=True)
    programs = folder / "venv" / PROGRAMS
    # The constraints are for what an sdist is built with, too.
    environment = {
        **os.environ,
        "PIP_CONSTRAINT": str(CONSTRAINTS),
        "PIP_DISABLE_PIP_VERSION_CHECK": "1",
        "XDG_STATE_HOME": str(folder / "state"),
    }
    for name in ("PETITION_SMTP_HOST", "PETITION_DATABASE"):
        environment.pop(name, None)

    def run(*command: str, cwd: Path = folder) -> None:
        program, *arguments = command
        subprocess.run([programs / program, *arguments], cwd=cwd, env=environment, check=True)

    campaign = folder / "campaign"
    run("python", "-m", "pip", "install", "--quiet", str(package.resolve()))
    run("petition", "--version")
    run("petition", "init", str(campaign))
    run("petition", "check", cwd=campaign)
    run("petition", "send", "open-letter", cwd=campaign)
    run("petition", "status", "open-letter", cwd=campaign)
    letters = list((campaign / "outbox" / "new").iterdir())
    if len(letters) != 3:
        sys.exit(f"{package.name} sent {len(letters)} letters, not 3.")


if __name__ == "__main__":
    for name in sys.argv[1:] or sys.exit(__doc__):
        with tempfile.TemporaryDirectory() as folder:
            try_package(Path(name), Path(folder))
        print(f"{name} works.")
