import shlex
import sys

import pytest

from petition.credentials import Secret, find_secret, run_command
from petition.errors import ServerTrouble

VARIABLE = "PETITION_SMTP_PASSWORD"


def command(code):
    return shlex.join([sys.executable, "-c", code])


def test_a_secret_shows_itself_nowhere():
    secret = Secret("hunter2")
    assert secret.text == "hunter2"
    assert "hunter2" not in f"{secret} {secret!r} {[secret]} {vars}"


def test_the_environment_wins(monkeypatch):
    monkeypatch.setenv(VARIABLE, "hunter2")
    assert find_secret(VARIABLE, "no-such-command").text == "hunter2"


def test_the_command_is_asked_where_the_environment_is_silent(monkeypatch):
    monkeypatch.setenv(VARIABLE, "")
    assert find_secret(VARIABLE, command("print('pass  wörd ')")).text == "pass  wörd "
    monkeypatch.delenv(VARIABLE)
    assert find_secret(VARIABLE, None) is None


@pytest.mark.parametrize("output", ["hunter2", "hunter2\\n", "hunter2\\r\\n", "hunter2\\nlogin: x"])
def test_the_secret_is_the_first_line(output):
    code = f"import sys; sys.stdout.buffer.write(b'{output}')"
    assert run_command(command(code)).text == "hunter2"


def test_no_shell_runs_the_command():
    assert run_command("echo $HOME; echo").text == "$HOME; echo"


@pytest.mark.parametrize(
    "line",
    [
        "no-such-command",
        "",
        "echo 'unclosed",
        "echo a\0b",
        command("pass"),
        command("print('hunter2'); raise SystemExit(1)"),
        command("import sys; sys.stdout.buffer.write(b'hunter2\\xff')"),
    ],
)
def test_a_command_that_gives_no_secret_is_trouble_that_quotes_nothing(line):
    with pytest.raises(ServerTrouble) as trouble:
        run_command(line)
    assert "hunter2" not in str(trouble.value)
    assert trouble.value.__cause__ is None
    assert trouble.value.mend
