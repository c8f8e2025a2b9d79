"""What a person types to install petition, with real programs; each sends the example letter."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests import PATIENCE

pytestmark = [pytest.mark.slow, pytest.mark.component("uv", "pipx")]

ROOT = Path(__file__).parents[2]
PROGRAMS = Path(sys.executable).parent
CONSTRAINTS = str(ROOT / "constraints.txt")


def run(*command, cwd, environment):
    done = subprocess.run(
        command,
        cwd=cwd,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    folder = tmp_path_factory.mktemp("dist")
    command = (PROGRAMS / "uv", "build", "--quiet", "--wheel", "--out-dir", folder)
    run(*command, cwd=ROOT, environment=os.environ | {"UV_BUILD_CONSTRAINT": CONSTRAINTS})
    (path,) = folder.glob("*.whl")
    return path


@pytest.mark.parametrize("program", ["uv", "pipx"])
@pytest.mark.parametrize("what", ["clone", "wheel"])
def test_what_it_installs_sends_the_example_letter(program, what, tmp_path, request):
    install = {"uv": ("uv", "tool", "install"), "pipx": ("pipx", "install")}[program]
    bin_folder = tmp_path / "bin"  # not on the PATH, which pipx and uv say
    inherited = {name: each for name, each in os.environ.items() if not name.startswith("PETITION")}
    environment = inherited | {
        # The versions that the other tests use; what came out since is not the question here.
        "UV_CONSTRAINT": CONSTRAINTS,
        "PIP_CONSTRAINT": CONSTRAINTS,
        "UV_PYTHON": sys.executable,
        "UV_TOOL_DIR": str(tmp_path / "tools"),
        "UV_TOOL_BIN_DIR": str(bin_folder),
        "PIPX_DEFAULT_BACKEND": "pip",
        "PIPX_DEFAULT_PYTHON": sys.executable,
        "PIPX_HOME": str(tmp_path / "pipx"),
        "PIPX_BIN_DIR": str(bin_folder),
    }
    source = "." if what == "clone" else request.getfixturevalue("wheel")
    run(PROGRAMS / install[0], *install[1:], source, cwd=ROOT, environment=environment)
    campaign = tmp_path / "campaign"
    campaign.mkdir()
    for name in ("letters", "annex"):
        shutil.copytree(ROOT / name, campaign / name)
    for path in (ROOT / "petition.toml", *ROOT.glob("*.csv")):
        shutil.copy(path, campaign)
    petition = bin_folder / "petition"
    said = run(petition, "send", "open-letter", cwd=campaign, environment=environment)
    assert "open-letter: 12 sent." in said
    assert len(list((campaign / "outbox" / "new").iterdir())) == 12
