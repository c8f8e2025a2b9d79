"""No version that petition can be installed with has a known security advisory."""

import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

ROOT = Path(__file__).parents[2]
ADVISORIES = tomllib.loads((ROOT / "tests/advisories.toml").read_text(encoding="utf-8"))["advisory"]


def read_lower_bounds():
    read = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    lines = list(read["project"]["dependencies"])
    for more in (read["project"]["optional-dependencies"], read["dependency-groups"]):
        lines += [line for lines in more.values() for line in lines]
    return lowest_versions(lines)


def read_constraints():
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    return lowest_versions(line for line in lines if line and not line.startswith("#"))


def lowest_versions(lines):
    found = {}
    for line in lines:
        requirement = Requirement(line)
        bounds = [
            Version(each.version) for each in requirement.specifier if each.operator[0] in ">="
        ]
        assert bounds, f"{line} has no lower bound"
        name = canonicalize_name(requirement.name)
        found[name] = min(max(bounds), found.get(name, max(bounds)))
    return found


LOWER_BOUNDS = read_lower_bounds()
CONSTRAINTS = read_constraints()


@pytest.mark.parametrize("advisory", ADVISORIES, ids=lambda each: each["project"])
def test_no_version_with_an_advisory_is_allowed(advisory):
    name, fixed_in = advisory["project"], Version(advisory["fixed_in"])
    versions = [each[name] for each in (LOWER_BOUNDS, CONSTRAINTS) if name in each]
    assert versions, "nothing depends on it any more: take the entry out"
    assert min(versions) >= fixed_in, f"{name}: {', '.join(advisory['ids'])}: {advisory['about']}"


def test_every_advisory_has_a_source():
    for advisory in ADVISORIES:
        assert all(each.startswith(("GHSA-", "CVE-", "PYSEC-")) for each in advisory["ids"])
        assert advisory["ids"]


def test_what_is_pinned_satisfies_the_lower_bounds():
    assert {name: bound for name, bound in LOWER_BOUNDS.items() if CONSTRAINTS[name] < bound} == {}
