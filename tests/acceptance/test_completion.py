"""What Tab completes, in real shells; and that looking for it is safe in a stranger's folder."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pexpect
import pytest

from tests import PATIENCE
from tests.acceptance.small import SmallCampaign
from tests.acceptance.test_strangers_folder import found_in
from tests.unit.test_layout import ROOT

HOSTILE = """z0 $(touch ran)`touch ran`;touch ran;"'’”\\$(touch ran)|*?~{a,b}#&>^é:="""
COMPLETIONS = ROOT / "petition/cli/completions.json"
SHELLS = {
    "bash": ["--noprofile", "--norc", "-i"],
    "zsh": ["-f", "-i"],
    "fish": ["--no-config", "--private", "-i"],
}
LOADED = {  # how each shell loads the script from the program's output
    "bash": 'eval "$(petition completion bash)"',
    "zsh": 'bindkey -e; eval "$(petition completion zsh)"',
    "fish": "petition completion fish | source",
}
CASES = {  # what is typed before Tab, and the words that the shell then has
    "petition wi": "petition withdraw",
    "petition send open-letter --dry": "petition send open-letter --dry-run",
    "petition send op": "petition send open-letter",
    "petition -C . send op": "petition -C . send open-letter",
    "petition log p1@": "petition log p1@x.example",
    "petition log ann-": "petition log ann-17",
    "petition send open-letter --to p2": "petition send open-letter --to p2",
    "petition send open-letter --to=ann": "petition send open-letter --to=ann-17",
    "petition status --state unc": "petition status --state uncertain",
    "petition init --provider fastm": "petition init --provider fastmail",
    "petition answer p1 met --demand riv": "petition answer p1 met --demand river",
    "petition answer p1 met --channel d": "petition answer p1 met --channel door",
    "petition preview --as sour": "petition preview --as source",
    "petition help evid": "petition help evidence",
    "petition suppress --from supp": "petition suppress --from supporters.csv",
    "petition log 'ann-": "petition log ann-17",
    'petition log "ann-': "petition log ann-17",
}


@pytest.fixture
def folder(campaign: SmallCampaign) -> SmallCampaign:
    campaign.write(
        "recipients.csv",
        "id,email,name\np1,p1@x.example,Ann\np2,p9@x.example,Ben\nann-17,c@x.example,Cem\n"
        f'"{HOSTILE.replace(chr(34), chr(34) * 2)}",d@x.example,Dee\n',
    )
    campaign.write("supporters.csv", "email\n")
    return campaign


def environment(folder: SmallCampaign) -> dict[str, str]:
    programs = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    home = folder.root.parent / "home"
    home.mkdir(exist_ok=True)
    kept = {name: value for name, value in folder.environment.items() if "COMPLET" not in name}
    return kept | {"PATH": programs, "HOME": str(home), "TERM": "dumb", "LC_ALL": "C.UTF-8"}


class Shell:
    """An interactive shell with the completion loaded."""

    def __init__(self, name: str, folder: SmallCampaign) -> None:
        self._child = pexpect.spawn(
            name,
            SHELLS[name],
            cwd=folder.root,
            env=environment(folder),
            encoding="utf-8",
            dimensions=(24, 500),
            timeout=PATIENCE,
        )
        self._count = 0
        self.run(LOADED[name])

    def run(self, line: str) -> str:
        """Run a line, and wait until it is done; what it printed."""
        self._count += 1
        self._child.sendline(f"{line}; printf '<%s' end {self._count} ''")
        self._child.expect_exact(f"<end<{self._count}<")
        return str(self._child.before)

    def completed(self, typed: str) -> list[str]:
        """The words that the shell has after Tab: `printf` is put before them, and shows them."""
        self._child.send(f"{typed}\t")
        self._count += 1
        # Ctrl-A and Ctrl-E: the beginning and the end of the line. An open quote is closed by Tab.
        self._child.send(f"\x01printf '<%s>' \x05; printf '<%s' end {self._count} ''\r")
        self._child.expect_exact(f"<end<{self._count}<")
        return re.findall(r"<([^<]*)>", str(self._child.before).rpartition("<petition>")[2])

    def end(self) -> None:
        self._child.sendeof()
        self._child.close(force=True)


@pytest.fixture(params=[pytest.param(one, marks=pytest.mark.component(one)) for one in SHELLS])
def shell(request: pytest.FixtureRequest, folder: SmallCampaign):
    running = Shell(request.param, folder)
    yield running
    running.end()


def test_a_shell_completes_every_kind_of_word(shell: Shell):
    for typed, expected in CASES.items():
        assert shell.completed(typed) == expected.split()[1:], typed


def test_a_shell_runs_nothing_of_what_it_completes(shell: Shell, folder: SmallCampaign):
    assert shell.completed("petition log z0") == ["log", HOSTILE]
    assert not (folder.root / "ran").exists()


def test_a_shell_does_not_run_a_program_of_the_folder(shell: Shell, folder: SmallCampaign):
    program = folder.write("petition", "#!/bin/sh\ntouch ran\n")
    program.chmod(0o755)
    assert shell.completed("petition send op") == ["send", "open-letter"]
    shell.completed("./petition send op")
    assert not (folder.root / "ran").exists()


# ---- the answer to the scripts


def asked(folder: SmallCampaign, *arguments: str, **env: str) -> tuple[int, str]:
    """The exit status and the answer to a script; nothing may be said beside it."""
    done = subprocess.run(
        [sys.executable, "-m", "petition", "__complete", *arguments],
        cwd=folder.root,
        env=folder.environment | env,
        capture_output=True,
        check=False,
        timeout=PATIENCE,
    )
    assert done.stderr == b""
    return done.returncode, done.stdout.decode()


def test_powershell_hands_over_its_words_in_the_environment(folder: SmallCampaign):
    for words, answer in {
        "send\nop": "open-letter\n",
        "log\np1": "p1@x.example\tAnn\np1\tAnn\n",
        "status\n--state\nunc": "uncertain\n",
    }.items():
        assert asked(folder, "powershell", PETITION_WORDS=words) == (0, answer)
    assert asked(folder, "powershell") == asked(folder, "fish", "")


def test_a_script_is_told_where_the_shell_completes_names_itself(folder: SmallCampaign):
    assert asked(folder, "fish", "preview", "--pdf", "") == (10, "")
    assert asked(folder, "fish", "send", "letters/") == (10, "")
    assert asked(folder, "fish", "-C", "") == (11, "")
    assert asked(folder, "fish", "-C", "nowhere", "send", "") == (0, "")


def test_only_what_can_stand_there_is_offered(folder: SmallCampaign):
    def words(*given: str) -> list[str]:
        return [line.partition("\t")[0] for line in asked(folder, "fish", *given)[1].splitlines()]

    assert "--dry-run" in words("send", "open-letter", "")
    assert "--dry-run" not in words("send", "open-letter", "-n", "--d")
    assert words("send", "open-letter", "--limit", "") == []
    assert words("send", "--to-me", "") == []  # a trial goes to oneself, not to the list
    assert words("preview", "--diff", "p1", "p2") == ["p2"]
    assert words("retry", "open-letter", "p1", "p2", "p2") == ["p2"]
    assert words("nonsense", "") == []
    assert words("answer", "--", "-") == []


def test_what_a_terminal_would_obey_is_not_offered(folder: SmallCampaign):
    rows = "id,email,name\n\x1b[2J,a@x.example,\x1b]0;x\x07Ann\n--yes,b@x.example,B\u202en\n"
    folder.write("recipients.csv", rows)
    answer = asked(folder, "fish", "log", "")[1]
    assert [line.partition("\t")[0] for line in answer.splitlines()] == [
        "a@x.example",
        "b@x.example",
    ]
    assert not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202e]", answer)


def test_a_list_that_takes_long_to_read_is_left_out(folder: SmallCampaign):
    people = "".join(f"s{number}@x.example\n" for number in range(200_000))
    folder.write("supporters.csv", f"email\n{people}")
    folder.change("petition.toml", "[sender]", '[people]\nall = "supporters.csv"\n[sender]')
    assert asked(folder, "fish", "log", "s1") == (0, "")
    assert asked(folder, "fish", "log", "p1@") == (0, "p1@x.example\tAnn\n")


def test_many_lists_are_read_as_far_as_one_would_be(folder: SmallCampaign):
    for name in ("one", "two"):
        people = "".join(f"{name}-{number}@x.example\n" for number in range(30_000))
        folder.write(f"{name}.csv", f"email\n{people}")
    lists = "".join(f'{name} = "{name}.csv"\n' for name in ("one", "two"))
    folder.change("petition.toml", "[sender]", f"[people]\n{lists}[sender]")
    assert asked(folder, "fish", "log", "one-1@") == (0, "one-1@x.example\n")
    assert asked(folder, "fish", "log", "two-1@") == (0, "")


def nothing(folder: SmallCampaign) -> None:
    for path in sorted(folder.root.rglob("*"), reverse=True):
        path.rmdir() if path.is_dir() else path.unlink()


def broken_settings(folder: SmallCampaign) -> None:
    folder.write("petition.toml", 'title = "a\n[[[')


def wrong_settings(folder: SmallCampaign) -> None:
    folder.write("petition.toml", "people = 3\n")


def lists_that_are_no_names(folder: SmallCampaign) -> None:
    folder.write("petition.toml", '[people]\nrecipients = 3\nothers = "../../etc/passwd"\n')


def pipes(folder: SmallCampaign) -> None:
    for name in ("recipients.csv", "petition.toml", "letters/demands.md"):
        (folder.root / name).unlink()
        os.mkfifo(folder.root / name)


def a_pipe_for_a_list(folder: SmallCampaign) -> None:
    (folder.root / "recipients.csv").unlink()
    os.mkfifo(folder.root / "recipients.csv")


def links_to_the_world(folder: SmallCampaign) -> None:
    outside = folder.root.parent / "outside.csv"
    outside.write_text("id,email\nsecret,secret@x.example\n", encoding="utf-8")
    (folder.root / "recipients.csv").unlink()
    (folder.root / "recipients.csv").symlink_to(outside)


def a_log_and_commands_elsewhere(folder: SmallCampaign) -> None:
    folder.change(
        "petition.toml",
        "[sender]",
        '[smtp]\nhost = "127.0.0.1"\nport = 9\nusername = "x"\npassword_command = "touch ran"\n'
        '[inbox]\nurl = "imap://x@127.0.0.1:9/INBOX"\n'
        '[log]\ndatabase = "postgresql://127.0.0.1:9/x"\n[sender]',
    )


FOLDERS = (
    nothing,
    broken_settings,
    wrong_settings,
    lists_that_are_no_names,
    pipes,
    a_pipe_for_a_list,
    links_to_the_world,
    a_log_and_commands_elsewhere,
)
LINES = (
    [""],
    ["send", ""],
    ["log", ""],
    ["status", "--state", ""],
    ["answer", "x", "met", "--demand", ""],
    ["suppress", ""],
)
# Answers in this process, and says what else it did.
WATCHED = """
import json, os, sys
from petition.cli.completion import answer
import petition.campaign.people, petition.campaign.letter, tomllib, encodings.idna
DONE = []
def see(event, arguments):
    if event == "open":
        _, mode, flags = arguments
        writes = flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT) if flags else 0
        if writes or set(str(mode or "r")) & set("wax+"):
            DONE.append([event, str(arguments[0])])
    elif event.partition(".")[0] in {"socket", "subprocess", "shutil", "sqlite3"} or event in {
        "os.exec", "os.fork", "os.forkpty", "os.posix_spawn", "os.system", "os.spawn", "os.mkdir",
        "os.remove", "os.rename", "os.rmdir", "os.truncate", "os.chmod", "os.link", "os.symlink",
    }:
        DONE.append([event, ""])
sys.addaudithook(see)
for words in json.loads(sys.argv[1]):
    answer("fish", *words)
sys.stderr.write(json.dumps(DONE))
"""


@pytest.mark.parametrize("make", FOLDERS)
def test_looking_for_a_word_does_nothing_else(folder: SmallCampaign, make):
    make(folder)
    before = found_in(folder.root)
    done = subprocess.run(
        [sys.executable, "-B", "-c", WATCHED, json.dumps(LINES)],
        cwd=folder.root,
        env=folder.environment | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "[]")
    assert "uncertain\n" in done.stdout
    assert "secret" not in done.stdout
    assert found_in(folder.root) == before
    for words in LINES:
        assert asked(folder, "fish", *words)[0] == 0
    assert found_in(folder.root) == before


@pytest.mark.parametrize(
    ("words", "libraries"),
    [
        ("send\0", "typer rich pydantic jinja2 yaml email_validator asyncio tomllib"),
        ("send\0--", "typer rich pydantic jinja2 yaml email_validator asyncio tomllib"),
        ("log\0", "typer rich pydantic jinja2 yaml asyncio"),
    ],
)
def test_a_completion_loads_hardly_anything(folder: SmallCampaign, words: str, libraries: str):
    code = (
        "import sys\nfrom petition.cli.start import run\n"
        f"sys.argv = ['petition', '__complete', 'fish', *{words!r}.split(chr(0))]\n"
        "try:\n    run()\nexcept SystemExit:\n    pass\n"
        f"print([name for name in '{libraries}'.split() if name in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=folder.root, capture_output=True, text=True, check=True
    )
    *offered, loaded = done.stdout.splitlines()
    assert offered
    assert loaded == "[]"


def test_the_options_that_are_completed_are_those_of_the_program(tmp_path: Path):
    made = tmp_path / "completions.json"
    subprocess.run([sys.executable, "scripts/completions.py", made], cwd=ROOT, check=True)
    assert made.read_text("utf-8") == COMPLETIONS.read_text("utf-8"), "run: make completions"


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish", "powershell"])
def test_the_program_writes_a_script_and_says_how_to_install_it(tmp_path: Path, shell: str):
    place = SmallCampaign(tmp_path)
    script = place.petition("completion", shell, status=0).out
    assert f"__complete {shell}" in script
    (line,) = re.findall(rf"^#   (.*petition completion {shell}.*)$", script, re.MULTILINE)
    assert line in place.petition("completion", status=0).out
