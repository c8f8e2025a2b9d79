import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from petition import extras
from petition.extras import how_to_install

ROOT = Path(__file__).parents[2]
EXTRAS = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"][
    "optional-dependencies"
]


@pytest.mark.parametrize("extra", EXTRAS)
def test_it_names_the_libraries_of_each_extra_and_never_petition_itself(extra):
    said = how_to_install(extra)
    for library in EXTRAS[extra]:
        name, _, _ = library.partition(";")
        assert f'"{name}"' in said
    assert "install petition" not in said
    assert f"{sys.executable} -m pip install " in said


def test_what_it_says_is_what_pip_takes():
    command = how_to_install("pdf").removeprefix("Run ").removesuffix(" and try again")
    done = subprocess.run(
        f"{command} --dry-run --no-deps --no-index", shell=True, capture_output=True, check=False
    )
    assert done.returncode == 0, done.stderr  # typst is installed already


def test_pipx_puts_it_into_its_own_folder(tmp_path, monkeypatch):
    (tmp_path / "pipx_metadata.json").touch()
    monkeypatch.setattr(sys, "prefix", str(tmp_path))
    assert how_to_install("dkim").startswith('Run pipx inject petition "cryptography')


def test_an_environment_without_pip_is_for_uv(monkeypatch):
    monkeypatch.setattr(extras, "find_spec", lambda name: None)
    python = f"--python {sys.executable} "
    assert how_to_install("dkim").startswith(f'Run uv pip install {python}"cryptography')


def test_an_unknown_extra_or_installation_is_told_in_words():
    assert how_to_install("nothing") == 'Install petition again, with its extra "nothing"'
