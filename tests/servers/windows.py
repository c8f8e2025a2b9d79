"""The Windows build of CPython under Wine, and petition installed in it from a wheel.

`make windows-python` sets it up. Wine is not Windows: what works there is likely to work on
Windows, no more.
"""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests import PATIENCE

ROOT = Path(__file__).parents[2]
WINDOWS = ROOT / ".venv" / "windows"
IS_THERE = (WINDOWS / "installed").exists()


def there(path: Path) -> str:
    """A path of this machine as programs under Wine know it."""
    return "Z:" + str(path).replace("/", "\\")


@dataclass(frozen=True)
class Windows:
    """A running Wine with a disk C: and a Python of its own.

    Args:
        folder: What holds both.
    """

    folder: Path

    @property
    def python(self) -> Path:
        return self.folder / "python" / "python.exe"

    @property
    def petition(self) -> Path:
        """The program that the wheel brings."""
        return self.folder / "python" / "Scripts" / "petition.exe"

    @property
    def environment(self) -> dict[str, str]:
        """What Wine needs of the environment, and Python's path to the packages."""
        return {
            "PATH": os.environ["PATH"],
            "HOME": os.environ["HOME"],
            "LC_ALL": "C.UTF-8",  # of this, not of the code page, are the names of files here
            "WINEPREFIX": str(self.folder / "prefix"),
            "WINEDEBUG": "-all",
            "PYTHONPATH": there(WINDOWS / "site"),
        }

    def run(
        self,
        program: Path | str,
        *arguments: str,
        cwd: Path,
        environment: Mapping[str, str] | None = None,
    ) -> tuple[int, str, str]:
        """Run a program and wait for it.

        Returns:
            Its exit status, what it wrote, and its errors; both are UTF-8 and have lines that end
            as they do here.
        """
        done = subprocess.run(
            ["wine", program, *arguments],
            cwd=cwd,
            env=environment or self.environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=PATIENCE,
            check=False,
        )
        out, err = (text.decode().replace("\r\n", "\n") for text in (done.stdout, done.stderr))
        return done.returncode, out, err


@contextmanager
def running_windows(folder: Path) -> Iterator[Windows]:
    """Run Wine until the block is left, with petition installed in its Python."""
    windows = Windows(folder)
    for name in ("prefix", "python"):
        shutil.copytree(WINDOWS / name, folder / name, symlinks=True, copy_function=_copy)
    server = subprocess.Popen(
        # It ends by itself when nothing has run for so many seconds, should we end without telling.
        ["wineserver", "--foreground", "--persistent=120"],
        env=windows.environment,
    )
    try:
        # Starts what runs beside every program, and would else keep the first one's pipes open.
        _run(windows, "wine", "wineboot")
        _install_petition(windows)
        yield windows
    finally:
        # And all that runs there. A server may have ended before: then there is none to be found.
        _run(windows, "wineserver", "--kill", is_checked=False)
        server.wait(PATIENCE)


def _copy(source: str, target: str) -> None:
    # The registry alone is written to; the rest is 700 MB.
    if source.endswith((".reg", ".update-timestamp")):
        shutil.copy2(source, target)
    else:
        Path(target).symlink_to(source)


def _run(windows: Windows, *command: str, is_checked: bool = True) -> None:
    nothing = subprocess.DEVNULL
    streams = {"stdin": nothing, "stdout": nothing, "stderr": nothing}
    environment = windows.environment
    subprocess.run(command, env=environment, check=is_checked, timeout=PATIENCE, **streams)


def _install_petition(windows: Windows) -> None:
    build = [Path(sys.executable).with_name("uv"), "build", "--quiet", "--wheel", "--out-dir"]
    constraints = {"UV_BUILD_CONSTRAINT": str(ROOT / "constraints.txt")}
    subprocess.run([*build, windows.folder, ROOT], env=os.environ | constraints, check=True)
    [wheel] = windows.folder.glob("petition-*.whl")
    # Whatever petition depends on must be there already, for no index is asked.
    install = ("-m", "pip", "install", "--quiet", "--no-index", "--no-warn-script-location")
    status, _, err = windows.run(windows.python, *install, there(wheel), cwd=windows.folder)
    assert status == 0, err
