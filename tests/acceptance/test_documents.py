"""Documents that cannot rot: what is there is named, what they name is there and show is run.

In a document

    ```console            is run: each line behind `$ ` by a shell, and its output compared; a line
                          `…` stands for any lines, and lines may be wrapped anywhere
    <!-- run: ... -->     is run and not shown
    <!-- file: NAME -->   is the next block's file: the block is written to it
    <!-- server: ... -->  begins a mail server that takes letters from here on; behind the colon
                          its answers to RCPT as JSON (tests/servers/counting.py)
    <!-- postgres: NAME -->  puts the address of an empty database of that name into $LETTERS
    <!-- zone: ... -->    begins a name server with a zone as JSON (tests/servers/zone.py)

A page is one shell, which begins in an empty folder; $EXAMPLE is the repository's own campaign.
"""

import ast
import json
import re
import shlex
import subprocess
import sys
import tempfile
import tomllib
from contextlib import ExitStack
from dataclasses import fields as fields_of
from difflib import unified_diff
from pathlib import Path
from typing import Any, get_args

import pytest
from pydantic import BaseModel
from typer.main import get_command

from petition.campaign.letter import FrontMatter
from petition.campaign.settings import Settings
from petition.campaign.signatories import Signatory
from petition.cli import log, status
from petition.cli.main import app, load
from petition.errors import ExitStatus
from petition.outbox.states import TRANSITIONS, State
from petition.template import fields
from tests import PATIENCE
from tests.acceptance.small import SmallCampaign
from tests.forkserver import put_program
from tests.servers.counting import counting_server
from tests.servers.postgres import BINARIES, running_postgres
from tests.servers.zone import name_server

ROOT = Path(__file__).parents[2]
PAGES = {
    str(path.relative_to(ROOT)): path.read_text(encoding="utf-8")
    for path in (*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").glob("*.md")))
}
ALL = "\n".join(PAGES.values())
PROGRAM: Any = get_command(app)
COMMANDS: dict[str, Any] = {name: load(name) for name in PROGRAM.commands}
HOME = "/home/ann"  # what the documents call the folder that a page begins in

STEP = re.compile(
    r"^<!-- (?P<word>run|server|zone|postgres): (?P<what>.*?) -->$"
    r"|^(?:<!-- file: (?P<file>\S+) -->\n)?```(?P<kind>\w+)\n(?P<block>.*?)^```$",
    re.MULTILINE | re.DOTALL,
)
# What differs from run to run, and what stands for it.
CHANGES = (
    (r"Date: .*", "Date: DATE"),
    (r"\d{4}-\d\d-\d\d(?:[ T]\d\d:\d\d(?::\d\d)?(?:\.\d{3}Z)?)?", "DATE"),
    (r"\d{1,2} (?:Jan|Febr|March|April|May|June|July|Aug|Sept|Oct|Nov|Dec)\w* \d{4}", "DATE"),
    (r"<[a-z0-9]{20,}@", "<ID@"),
    (r"=_[a-z0-9]{20,}", "=_BOUNDARY"),
    (r"\b[0-9a-f]{64}\b", "HASH"),
    (r"\d+\.M\d+P\d+Q\d+R[0-9a-f]+\.sandbox(?:\.eml)?", "FILE"),
    (r"\d+ ms\b", "MS"),
    (r"127\.0\.0\.1:\d+", "127.0.0.1:PORT"),
    (r'("port": |port |PORT=)\d+', r"\1PORT"),
)


# ---- what they show is run


class Script:
    """A page as a script for a shell, and what it says that each command shows."""

    def __init__(self, text: str, servers: ExitStack) -> None:
        self.lines: list[str] = []
        self.shown: list[tuple[str, str]] = []  # (command, output)
        for step in STEP.finditer(text):
            if step["word"] == "run":
                self.lines.append(f"{{ {step['what']}; }} >/dev/null")
            elif step["word"] == "server":
                answers = json.loads(step["what"])
                server = counting_server(answers=answers, login="235 2.7.0 Accepted")
                port = servers.enter_context(server).port
                given = f"HOST=127.0.0.1 PORT={port} SECURITY=none"
                self.lines.append(re.sub(r"(\w+=)", r"PETITION_SMTP_\1", f"export {given}"))
            elif step["word"] == "postgres":
                database = servers.enter_context(running_postgres())
                database.run(f"CREATE DATABASE {step['what']}")
                url = database.url().replace("/postgres?", f"/{step['what']}?")
                self.lines.append(f"export LETTERS={shlex.quote(url)}")
            elif step["word"] == "zone":
                zone = servers.enter_context(name_server(json.loads(step["what"])))
                self.lines.append(f"export PETITION_RESOLVER={zone.place}")
            elif step["file"]:
                content, file = shlex.quote(step["block"]), shlex.quote(step["file"])
                self.lines.append(f"printf %s {content} >{file}")
            elif step["kind"] == "console":
                self._add(step["block"])

    def _add(self, block: str) -> None:
        for part in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
            command, _, output = part.partition("\n")
            self.shown.append((command, output))
            # The divider leaves the command's exit status as it was.
            self.lines += [command, "status=$?; printf '\\0'; (exit $status)"]

    def run(self, folder: Path) -> list[str]:
        """The output of each command."""
        environment = SmallCampaign(folder).environment | {"TZ": "UTC", "PYTHONUNBUFFERED": "1"}
        with tempfile.TemporaryDirectory() as programs:
            ours = put_program(Path(programs), environment)
            environment["PATH"] = f"{ours}:{Path(sys.executable).parent}:/usr/bin:/bin"
            done = subprocess.run(
                ["sh", "-c", "\n".join(self.lines)],
                cwd=folder,
                env=environment | {"EXAMPLE": str(ROOT)},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                timeout=PATIENCE,
                check=False,
            )
        *outputs, rest = done.stdout.decode().split("\0")
        assert not rest.strip(), rest
        return [output.replace(str(folder), HOME) for output in outputs]


def settled(text: str) -> str:
    """A text in which all that differs from run to run, and every line end, is alike."""
    for pattern, word in CHANGES:
        text = re.sub(pattern, word, text)
    return " ".join(text.split())


def is_as_shown(output: str, shown: str) -> bool:
    pieces = [settled(piece) for piece in re.split(r"^…$", shown, flags=re.MULTILINE)]
    return bool(re.fullmatch(" ?.* ?".join(map(re.escape, pieces)), settled(output)))


@pytest.mark.parametrize("page", [page for page, text in PAGES.items() if "```console" in text])
def test_what_a_document_shows_is_what_the_program_says(page: str, tmp_path: Path):
    if BINARIES is None and "<!-- postgres:" in PAGES[page]:
        pytest.skip("needs PostgreSQL: make test installs it")
    with ExitStack() as servers:
        script = Script(PAGES[page], servers)
        outputs = script.run(tmp_path.resolve())
    assert len(outputs) == len(script.shown)
    wrong = []
    for (command, shown), output in zip(script.shown, outputs, strict=True):
        if not is_as_shown(output, shown):
            lines = shown.splitlines(), output.splitlines()
            wrong += [f"$ {command}", *unified_diff(*lines, page, "the program", lineterm="")]
    assert not wrong, "\n".join(wrong)


# ---- what is there is named


def rows(page: str, heading: str) -> dict[str, list[str]]:
    """The table under a heading: its cells, by what stands in backquotes in the first one."""
    section = re.search(
        rf"^##+ `?{re.escape(heading)}`?$(.*?)(?=^##|\Z)", PAGES[page], re.MULTILINE | re.DOTALL
    )
    assert section, f"{page} has no heading {heading}"
    lines = re.findall(r"^\| (`.*) \|$", section[1], re.MULTILINE)
    return {first.strip("`"): rest for first, *rest in (line.split(" | ") for line in lines)}


def options_of(command: Any) -> list[str]:
    params = (one for one in command.params if one.param_type_name == "option")
    return [option for param in params for option in param.opts]


def has_word(text: str, word: str) -> bool:
    return bool(re.search(rf"(?<![\w-]){re.escape(word)}(?![\w-])", text))


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_is_named_and_each_of_its_options_beside_it(name: str):
    assert f"`petition {name}`" in PAGES["docs/commands.md"]
    pages = [text for text in PAGES.values() if f"petition {name}" in text]
    for option in options_of(COMMANDS[name]):
        assert any(has_word(page, option) for page in pages), option


def test_no_command_and_no_option_is_named_that_is_not_there():
    known = {option for each in (PROGRAM, *COMMANDS.values()) for option in options_of(each)}
    assert all(has_word(ALL, option) for option in options_of(PROGRAM))
    ours = re.sub(r"^(podman (.*\\\n)*| +python benchmarks/).*$", "", ALL, flags=re.MULTILINE)
    assert set(re.findall(r"(?<![\w-])--[a-z][a-z-]*", ours)) <= known | {"--help"}
    assert set(re.findall(r"(?:`|^\$ )petition ([a-z]+)", ALL, re.MULTILINE)) <= set(COMMANDS)


@pytest.mark.parametrize("name", [name for name in Settings.model_fields if name != "people"])
def test_every_setting_is_named_with_its_default(name: str):
    annotation = Settings.model_fields[name].annotation
    kinds = [kind for kind in (annotation, *get_args(annotation)) if isinstance(kind, type)]
    model = next(kind for kind in kinds if issubclass(kind, BaseModel))
    named = rows(
        "docs/settings.md", f"[{name}.NAME]" if name in {"events", "lists"} else f"[{name}]"
    )
    there = {field.alias or name: field for name, field in model.model_fields.items()}
    assert set(named) == set(there)
    for key, field in there.items():
        default = named[key][1]
        assert (default == "required") == field.is_required(), key
        if default.startswith("`"):
            value = tomllib.loads(f"x = {default.strip('`')}")["x"]
            known = field.default
            assert value == (list(known) if isinstance(known, tuple) else known), key
        elif not field.is_required():
            assert field.default_factory is not None or field.default in {None, ()}, key


def test_the_lists_that_need_no_setting_are_named():
    default = Settings.model_fields["people"].get_default(call_default_factory=True)
    named = rows("docs/settings.md", "[people]")
    assert {key: named[key][1].strip('`"') for key in default} == default


def test_every_key_of_a_front_matter_is_named():
    known = {field.alias or name for name, field in FrontMatter.model_fields.items()}
    assert set(rows("docs/write-a-letter.md", "Front matter")) == known


def test_everything_that_a_letter_can_name_is_named():
    page = PAGES["docs/write-a-letter.md"]
    by_name = {
        "campaign": fields.CAMPAIGN_FIELDS,
        "sender": fields.SENDER_FIELDS,
        "today": fields.DATE_FIELDS,
    }
    for name, names in by_name.items():
        assert [f for f in names if f"`{name}.{f}`" not in page] == []
    for inner in (*fields.DEMAND_FIELDS, *fields.SIGNATORY_FIELDS):
        assert f"`{inner}`" in page, inner


def test_every_column_of_the_signatories_is_named():
    columns = {field.name for field in fields_of(Signatory)} - {"line"}
    assert set(rows("docs/people-files.md", "Signatories")) == columns


def test_every_state_and_every_arrow_is_named():
    assert set(rows("docs/delivery-log.md", "States")) == set(State)
    table = re.findall(r"\n\| `(\w+)` \| `(\w+)` \|", PAGES["docs/delivery-log.md"])
    assert sorted(table) == sorted((str(start), str(end)) for start, end in TRANSITIONS)


def test_every_key_that_a_script_reads_is_named():
    page = PAGES["docs/json.md"]
    copies = [f"`copies[].{key}`" for key in status.COLUMNS]
    events = [f"`events[].{key}`" for key in log.COLUMNS]
    assert [key for key in (*copies, *events) if key not in page] == []


def test_every_exit_status_is_named():
    named = rows("docs/json.md", "Exit statuses")
    assert {int(number) for number in named} == set(ExitStatus)


def test_every_extra_is_named():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    assert set(rows("README.md", "Extras")) == set(project["optional-dependencies"])


def test_every_variable_of_the_environment_is_named():
    source = "\n".join(path.read_text("utf-8") for path in (ROOT / "petition").rglob("*.py"))
    known = set(re.findall(r"PETITION_[A-Z_]*[A-Z](?![A-Z_])", source))
    assert [name for name in known if f"`{name}`" not in PAGES["docs/settings.md"]] == []


def test_what_the_program_says_names_pages_that_it_can_show():
    """A wheel has no folder docs/ to look into: `petition help PAGE.md` shows a page."""
    said = []
    for path in (ROOT / "petition").rglob("*.py"):
        nodes = list(ast.walk(ast.parse(path.read_text("utf-8"))))
        docstrings = {id(node.value) for node in nodes if isinstance(node, ast.Expr)}
        texts = (node for node in nodes if isinstance(node, ast.Constant))
        said += [str(node.value) for node in texts if id(node) not in docstrings]
    for path in (ROOT / "petition").rglob("*.toml"):
        lines = path.read_text("utf-8").splitlines()
        said += [line for line in lines if not line.startswith("#")]
    assert [text for text in said if "docs/" in text and ".md" in text] == []
    named = {page for text in said for page in re.findall(r"petition help ([\w-]+\.md)", text)}
    assert named
    assert [page for page in named if f"docs/{page}" not in PAGES] == []


# ---- the documents themselves


def test_every_link_leads_somewhere():
    for page, text in PAGES.items():
        for target in re.findall(r"(?<!\\)\]\(([^)\s]+)\)", _without_code(text)):
            if re.match(r"https?:|mailto:", target):
                continue
            file, _, anchor = target.partition("#")
            path = (ROOT / page).parent / file if file else ROOT / page
            assert path.exists(), f"{page}: {target}"
            if anchor:
                assert anchor in _anchors(path.read_text("utf-8")), f"{page}: {target}"


def _prose(text: str) -> str:
    return re.sub(r"^```.*?^```$", "", text, flags=re.MULTILINE | re.DOTALL)


def _without_code(text: str) -> str:
    indented = re.sub(r"^ {4}.*$", "", _prose(text), flags=re.MULTILINE)
    return re.sub(r"`[^`]*`", "", indented)


def _anchors(text: str) -> set[str]:
    headings = re.findall(r"^#+ (.*)$", _prose(text), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_no_line_is_too_long():
    for page, text in PAGES.items():
        lines = (re.sub(r"\(https?://[^)]*\)", "()", line) for line in text.split("\n"))
        assert [line for line in lines if len(line) > 100 and not line.startswith("|")] == [], page


def test_every_module_that_the_architecture_names_is_there():
    page = PAGES["docs/architecture.md"]
    named = set(re.findall(r"`([\w/]+(?:\.py|/|\.sql|\.txt|\.css))`", page)) - {"letters/"}
    places = (ROOT / "petition", ROOT)
    assert [one for one in sorted(named) if not any((at / one).exists() for at in places)] == []
