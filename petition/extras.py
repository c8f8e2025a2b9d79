"""Parts of petition that need libraries which are not always installed: its extras.

The advice names the libraries, not petition: nothing of that name that a package index has is this
program, and the folder that it was installed from may be gone.
"""

import re
import sys
from importlib.metadata import PackageNotFoundError, requires
from importlib.util import find_spec
from pathlib import Path

_OF_EXTRA = re.compile(r"""(?P<library>[^;]+?)\s*;.*\bextra == ["'](?P<extra>[\w-]+)["']""")


def how_to_install(extra: str) -> str:
    """What to run so that this installation has the libraries of an extra.

    Args:
        extra: A name in [project.optional-dependencies] of pyproject.toml.
    """
    libraries = " ".join(f'"{name}"' for name in _libraries(extra))
    if not libraries:
        return f'Install petition again, with its extra "{extra}"'
    # Quoted only where it must be: PowerShell takes what begins with a quote for a text.
    python = f'"{sys.executable}"' if " " in sys.executable else sys.executable
    if Path(sys.prefix, "pipx_metadata.json").exists():
        command = f"pipx inject petition {libraries}"
    elif find_spec("pip"):
        command = f"{python} -m pip install {libraries}"
    else:
        command = f"uv pip install --python {python} {libraries}"
    return f"Run {command} and try again"  # no full stop follows the command itself


def _libraries(extra: str) -> list[str]:
    try:
        found = map(_OF_EXTRA.fullmatch, requires("petition") or ())
    except PackageNotFoundError:  # run from its source
        return []
    return [each["library"] for each in found if each and each["extra"] == extra]
