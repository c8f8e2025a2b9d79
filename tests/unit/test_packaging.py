"""What the package asks for, what we work with, and what an installation of its own gets.

Where the lock is not of pyproject.toml and constraints.txt: `make lock`.
"""

import re
import tomllib
from importlib import metadata
from pathlib import Path

import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import petition

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
EXTRAS = PROJECT["optional-dependencies"]


def read_constraints():
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    pinned = [line.split("==") for line in lines]
    return {canonicalize_name(name): version for name, version in pinned}


def read_lock():
    """Each requirement of requirements.txt, and the hashes that it may have."""
    text = (ROOT / "requirements.txt").read_text(encoding="utf-8").replace("\\\n", "")
    found = {}
    for line in (one for one in text.splitlines() if not one.startswith("#")):
        what, *hashes = line.split("--hash=")
        requirement = Requirement(what.strip())
        assert canonicalize_name(requirement.name) not in found
        found[canonicalize_name(requirement.name)] = (requirement, [one.strip() for one in hashes])
    return found


CONSTRAINTS = read_constraints()
LOCK = read_lock()


def needed(requirement, found):
    """Collect the names of all that a requirement brings in this environment, as installed."""
    name = canonicalize_name(requirement.name)
    if (name, *sorted(requirement.extras)) in found:
        return
    found.add((name, *sorted(requirement.extras)))
    for line in metadata.requires(name) or []:
        inner = Requirement(line)
        asked = ["", *requirement.extras]
        if inner.marker is None or any(inner.marker.evaluate({"extra": one}) for one in asked):
            needed(inner, found)


def test_the_lock_is_of_the_versions_that_we_work_with():
    pinned = {name: str(requirement.specifier) for name, (requirement, _) in LOCK.items()}
    assert pinned == {name: f"=={CONSTRAINTS.get(name)}" for name in LOCK}


def test_each_file_of_the_lock_is_known_by_its_hash():
    for name, (_, hashes) in LOCK.items():
        assert hashes, name
        assert all(re.fullmatch("sha256:[0-9a-f]{64}", one) for one in hashes), name


def test_the_lock_has_what_the_package_and_every_extra_ask_for():
    wanted = [Requirement(line) for line in PROJECT["dependencies"]]
    wanted += [Requirement(line) for lines in EXTRAS.values() for line in lines]
    for requirement in wanted:
        locked, _ = LOCK[canonicalize_name(requirement.name)]
        (version,) = [one.version for one in locked.specifier]
        assert requirement.specifier.contains(version), requirement


def test_the_lock_has_all_that_these_bring_and_nothing_else():
    brought = set()
    for line in [*PROJECT["dependencies"], *(one for lines in EXTRAS.values() for one in lines)]:
        requirement = Requirement(line)
        if requirement.name != "uvloop":  # of petition[fast], which the tests run without
            needed(requirement, brought)
    here = {name for name, (one, _) in LOCK.items() if not one.marker or one.marker.evaluate()}
    assert {name for name, *_ in brought} == here - {"uvloop"}


def test_the_version_has_one_place():
    assert "version" in PROJECT["dynamic"]
    assert metadata.version("petition") == petition.__version__


def test_the_hooks_before_a_commit_are_of_the_same_versions():
    hooks = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text(encoding="utf-8"))["repos"]
    pins = [
        pin for repo in hooks for hook in repo["hooks"] for pin in hook["additional_dependencies"]
    ]
    assert {pin.partition("==")[0] for pin in pins} == {"codespell", "ruff"}
    for pin in pins:
        name, _, version = pin.partition("==")
        assert version == CONSTRAINTS[name]


def test_no_file_of_the_package_names_a_place_to_download_from():
    for name in ("constraints.txt", "requirements.txt", "pyproject.toml"):
        text = (ROOT / name).read_text(encoding="utf-8")
        assert not re.search(r"index-url|find-links|https?://", text), name
