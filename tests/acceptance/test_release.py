"""`make release` on a clone of its own: what it refuses, and what it builds."""

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from pathlib import Path

import pytest

import petition
from tests import PATIENCE

pytestmark = [pytest.mark.slow, pytest.mark.component("git", "uv", "twine")]

ROOT = Path(__file__).parents[2]
NOT_SOURCE = shutil.ignore_patterns(
    ".git", ".venv", ".*_cache", ".hypothesis", "build", "dist", "*.db*"
)
VERSION = petition.__version__


class Clone:
    """A copy of the project, committed, with a changelog of the test's own."""

    def __init__(self, folder, changelog):
        self.root = shutil.copytree(ROOT, folder, ignore=NOT_SOURCE)
        (self.root / "CHANGELOG.md").write_text(f"# Changelog\n\n{changelog}", encoding="utf-8")
        self.git("init", "--quiet")
        self.git("add", "--all")
        self.git("commit", "--quiet", "--message", "All of it")

    def git(self, *arguments):
        settings = ("-c", "user.name=Ann", "-c", "user.email=ann@x.example", "-c", "gc.auto=0")
        subprocess.run(["git", *settings, *arguments], cwd=self.root, check=True)

    def release(self):
        done = subprocess.run(
            [sys.executable, "scripts/release.py"],
            cwd=self.root,
            env={name: each for name, each in os.environ.items() if "PETITION" not in name},
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            check=False,
        )
        return done.returncode, done.stdout + done.stderr


DATED = f"## [{VERSION}] - 2026-11-30\n\n### Added\n\n- All of it.\n"


@pytest.mark.parametrize(
    ("changelog", "reason"),
    [
        ("", "CHANGELOG.md has no section"),
        (f"## [{VERSION}]\n\n- No day.\n", "CHANGELOG.md has no section"),
        ("## [0.0.1] - 2026-01-01\n\n- An older one.\n", "CHANGELOG.md has no section"),
        (f"## [Unreleased]\n\n### Added\n\n- Something.\n\n{DATED}", "entries under [Unreleased]"),
    ],
)
def test_a_version_that_the_changelog_does_not_have_is_not_released(changelog, reason, tmp_path):
    clone = Clone(tmp_path / "clone", changelog)
    status, said = clone.release()
    assert (status, reason in said) == (1, True), said
    assert not (clone.root / "dist").exists()


def test_what_is_not_committed_is_not_released(tmp_path):
    clone = Clone(tmp_path / "clone", DATED)
    (clone.root / "petition" / "new.py").touch()
    status, said = clone.release()
    assert (status, "petition/new.py" in said) == (1, True), said


def test_a_tag_is_not_made_again_of_another_commit(tmp_path):
    clone = Clone(tmp_path / "clone", DATED)
    clone.git("tag", f"v{VERSION}")
    clone.git("commit", "--quiet", "--allow-empty", "--message", "More")
    status, said = clone.release()
    assert (status, f"v{VERSION} is another commit" in said) == (1, True), said


def test_a_release_is_built_tried_and_listed_and_nothing_is_uploaded(tmp_path):
    clone = Clone(tmp_path / "clone", f"## [Unreleased]\n\n{DATED}")
    status, said = clone.release()
    assert status == 0, said
    dist = clone.root / "dist"
    wheel, sdist = f"petition-{VERSION}-py3-none-any.whl", f"petition-{VERSION}.tar.gz"
    bill = f"petition-{VERSION}.cdx.json"
    assert {path.name for path in dist.iterdir()} == {wheel, sdist, bill, "SHA256SUMS"}
    for line in (dist / "SHA256SUMS").read_text().splitlines():
        digest, name = line.split("  ")
        assert hashlib.sha256((dist / name).read_bytes()).hexdigest() == digest

    listed = json.loads((dist / bill).read_text(encoding="utf-8"))
    root = listed["metadata"]["component"]
    assert (root["name"], root["version"]) == ("petition", VERSION)
    locked = (ROOT / "requirements.txt").read_text(encoding="utf-8")
    for component in listed["components"]:
        name = re.sub(r"[-_.]+", "-", component["name"]).lower()
        assert f"\n{name}=={component['version']} " in locked
    (of_root,) = [each for each in listed["dependencies"] if each["ref"] == root["bom-ref"]]
    assert any(each.startswith("aiosmtplib==") for each in of_root["dependsOn"])

    with zipfile.ZipFile(dist / wheel) as archive:
        metadata = archive.read(f"petition-{VERSION}.dist-info/METADATA").decode()
        assert all(name.startswith(("petition/", "petition-")) for name in archive.namelist())
    readme = metadata.partition("\n\n")[2]
    assert readme.startswith("# petition\n")
    assert "](docs/" not in readme
    assert re.findall(r"\]\((?!https?:|#)", readme) == []

    with tarfile.open(dist / sdist) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    needed_by_tests = {".ci/run", ".github/workflows/ci.yml", "requirements.txt", "Makefile"}
    assert needed_by_tests <= names

    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    for name in ("authors", "urls"):
        assert (f"no {name}" in said) is (name not in project)
    assert "Nothing was uploaded." in said
    assert f"v{VERSION}" in said
