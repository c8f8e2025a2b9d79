"""Build what is to be published of a version, check it, and say what to do next; uploads nothing.

`make release` runs it. The version comes from petition/__init__.py, its changes from CHANGELOG.md.
"""

import hashlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[1]
DIST = ROOT / "dist"
PROGRAMS = Path(sys.executable).parent


def run(*command: str | Path, **environment: str) -> None:
    """Run a command of this environment in the project's folder; its failure ends the release."""
    program, *arguments = command
    done = subprocess.run(
        [PROGRAMS / program, *arguments], cwd=ROOT, env={**os.environ, **environment}, check=False
    )
    if done.returncode:
        sys.exit(f"Not released: {program} failed.")


def git(*arguments: str) -> str:
    """What git says, without the line's end."""
    done = subprocess.run(
        ["git", "-C", ROOT, *arguments], capture_output=True, text=True, check=False
    )
    if done.returncode:
        sys.exit(f"Not released: git {' '.join(arguments)}: {done.stderr.strip()}")
    return done.stdout.strip()


def read_version() -> str:
    """The version, from the one place that has it."""
    text = (ROOT / "petition" / "__init__.py").read_text(encoding="utf-8")
    found = re.search(r'^__version__ = "(.+)"$', text, re.MULTILINE)
    return found[1] if found else sys.exit("petition/__init__.py has no __version__.")


def find_obstacles(version: str) -> list[str]:
    """Why this tree must not be released as that version."""
    obstacles = []
    if changed := git("status", "--porcelain"):
        obstacles.append(f"There is something that is not committed:\n{changed}")
    tag = f"v{version}"
    if git("tag", "--list", tag) and git("rev-list", "-n1", tag) != git("rev-parse", "HEAD"):
        obstacles.append(
            f"{tag} is another commit already. Raise __version__ in petition/__init__.py."
        )
    changelog = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    sections = re.split(r"^## ", changelog, flags=re.MULTILINE)[1:]
    if any(each.startswith("[Unreleased]") and "\n- " in each for each in sections):
        obstacles.append(
            f"CHANGELOG.md has entries under [Unreleased]: they go to ## [{version}] - YYYY-MM-DD."
        )
    dated = rf"\[{re.escape(version)}\] - \d{{4}}-\d{{2}}-\d{{2}}\n"
    if not any(re.match(dated, each) for each in sections):
        obstacles.append(f"CHANGELOG.md has no section ## [{version}] - YYYY-MM-DD.")
    return obstacles


def find_missing() -> list[str]:
    """What the metadata of a published package should have, and this one does not have yet."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    return [name for name in ("authors", "maintainers", "urls") if name not in project]


def make_bill_of_materials(wheel: Path, version: str) -> None:
    """List what the wheel runs with, as installed from requirements.txt: CycloneDX, in JSON."""
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    with tempfile.TemporaryDirectory() as folder:
        # The version is dynamic, and the bill names none then.
        project = Path(folder) / "pyproject.toml"
        fixed = re.sub(r"^dynamic = .*$", f'version = "{version}"', text, flags=re.MULTILINE)
        project.write_text(fixed, encoding="utf-8")
        run("python", "-m", "venv", "--without-pip", folder)
        install = ("uv", "pip", "install", "--quiet", "--python", folder)
        run(*install, "--require-hashes", "-r", "requirements.txt")
        run(*install, "--no-deps", wheel)
        run(
            *("cyclonedx-py", "environment", folder, "--pyproject", project),
            *("--output-reproducible", "--validate"),
            *("--output-file", str(DIST / f"petition-{version}.cdx.json")),
        )


def main() -> None:
    """Build, check and list; stop at the first thing that is not as it should be."""
    version = read_version()
    if obstacles := find_obstacles(version):
        sys.exit("\n".join([f"petition {version} cannot be released.", *obstacles]))
    shutil.rmtree(DIST, ignore_errors=True)
    run(
        *("python", "-m", "build", "--outdir", str(DIST), "."),
        PIP_CONSTRAINT=str(ROOT / "constraints.txt"),
        SOURCE_DATE_EPOCH=git("log", "-1", "--format=%ct"),
    )
    packages = sorted(DIST.iterdir())
    (wheel,) = DIST.glob("*.whl")
    run("twine", "check", "--strict", *packages)
    run("check-wheel-contents", wheel)
    run("python", "scripts/try_package.py", *packages)
    make_bill_of_materials(wheel, version)
    sums = [
        f"{hashlib.sha256(each.read_bytes()).hexdigest()}  {each.name}\n"
        for each in sorted(DIST.iterdir())
    ]
    (DIST / "SHA256SUMS").write_text("".join(sums), encoding="utf-8")
    print(f"\npetition {version} is built and checked, in {DIST}:")
    print("".join(f"  {each.name}\n" for each in sorted(DIST.iterdir())), end="")
    if missing := find_missing():
        print(f"pyproject.toml has no {', no '.join(missing)}: add them before you publish it.")
    print(
        f"Nothing was uploaded. Next:\n"
        f'  git tag --sign v{version} --message "petition {version}"\n'
        f"  git push origin v{version}\n"
        f"  publish the files in dist/ where the project lives, with this version's changes.\n"
        f"A package index comes last: first make sure that the name petition is yours there."
    )


if __name__ == "__main__":
    main()
