import os
import shlex
import sys

import pytest

from petition import credentials
from petition.credentials import Secret, SecretSource, find_password, find_token
from petition.errors import ServerTrouble

VARIABLE = "PETITION_SMTP_PASSWORD"
PASSWORD = SecretSource("smtp", "password")
TOKEN = SecretSource("smtp", "token")
PLACE = ("mail.example.org", "kim")


def command(code):
    return shlex.join([sys.executable, "-c", code])


def password_of(line):
    return find_password(PASSWORD, line, *PLACE).text


def token_of(line):
    return find_token(TOKEN, line).text


@pytest.fixture(autouse=True)
def keyring(monkeypatch, tmp_path):
    """A keyring of this test's own: the real library with a backend that reads a file."""
    (tmp_path / "kept_keys.py").write_text(
        "import json, pathlib\n"
        "from keyring import backend, errors\n"
        "class Kept(backend.KeyringBackend):\n"
        "    priority = 9\n"
        "    def get_password(self, service, username):\n"
        "        path = pathlib.Path(__file__).with_name('keys.json')\n"
        "        if not path.exists():\n"
        "            raise errors.NoKeyringError\n"
        "        keys = json.loads(path.read_text())\n"
        "        if keys is None:\n"
        "            raise errors.KeyringLocked('hunter2')\n"
        "        return keys.get(f'{service} {username}')\n"
        "    set_password = delete_password = None\n"
    )
    library = pytest.importorskip("keyring")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "kept_keys", raising=False)
    kept = library.get_keyring()
    library.set_keyring(__import__("kept_keys").Kept())
    yield tmp_path / "keys.json"
    library.set_keyring(kept)


def test_a_secret_shows_itself_nowhere():
    secret = Secret("hunter2")
    assert secret.text == "hunter2"
    assert "hunter2" not in f"{secret} {secret!r} {[secret]}"
    assert not hasattr(secret, "__dict__")


def test_the_environment_wins_then_the_command_then_the_keyring(monkeypatch, keyring):
    keyring.write_text('{"petition:mail.example.org kim": "from the keyring"}')
    monkeypatch.setenv(VARIABLE, "from the environment")
    assert find_password(PASSWORD, "no-such-command", *PLACE).text == "from the environment"
    monkeypatch.setenv(VARIABLE, "")
    assert find_password(PASSWORD, command("print('pass  wörd ')"), *PLACE).text == "pass  wörd "
    monkeypatch.delenv(VARIABLE)
    assert find_password(PASSWORD, None, *PLACE).text == "from the keyring"
    assert find_password(PASSWORD, None, "mail.example.org", "ann") is None


def test_a_command_that_fails_is_not_passed_over_for_the_keyring(keyring):
    keyring.write_text('{"petition:mail.example.org kim": "from the keyring"}')
    with pytest.raises(ServerTrouble, match="status 1"):
        password_of("false")


def test_a_keyring_that_is_not_there_has_no_password(keyring, monkeypatch):
    assert find_password(PASSWORD, None, *PLACE) is None
    monkeypatch.setitem(sys.modules, "keyring", None)  # as if it were not installed
    assert find_password(PASSWORD, None, *PLACE) is None


def test_a_locked_keyring_is_told(keyring):
    keyring.write_text("null")
    with pytest.raises(ServerTrouble, match="KeyringLocked") as trouble:
        find_password(PASSWORD, None, *PLACE)
    assert "hunter2" not in str(trouble.value)


@pytest.mark.parametrize(
    "output", ["hunter2", "hunter2\\n", "hunter2\\r\\n", "hunter2\\nlogin: x", "hunter2\\n\\n\\n"]
)
def test_the_secret_is_the_first_line(output):
    code = f"import sys; sys.stdout.buffer.write(b'{output}')"
    assert password_of(command(code)) == "hunter2"


@pytest.mark.parametrize("secret", ["пароль", "a:b:c", " x ", "x" * 60_000, "e\u0301", "{"])
def test_a_password_stays_as_it_is(secret, monkeypatch):
    code = f"import sys; sys.stdout.buffer.write({secret!r}.encode())"
    assert password_of(command(code)) == secret


def test_no_shell_runs_the_command():
    assert password_of("echo $HOME; echo") == "$HOME; echo"


@pytest.mark.parametrize(
    ("line", "what"),
    [
        ("no-such-command", "names a program that does not exist"),
        ("/etc", "could not be run (PermissionError)"),
        ("", "names a program that does not exist"),
        ("echo 'unclosed", "could not be run (ValueError)"),
        ("echo a\0b", "could not be run (ValueError)"),
        (command("pass"), "printed nothing"),
        (command("print(); print('hunter2')"), "printed an empty first line"),
        (command("print('hunter2\\0')"), "printed a NUL"),
        (command("print('hunter2'); raise SystemExit(7)"), "ended with status 7"),
        (command("print('hunter2'); import os; os.kill(os.getpid(), 9)"), "was killed by signal 9"),
        (command("import sys; sys.stdout.buffer.write(b'hunter2\\xff')"), "not UTF-8"),
        (command("print('hunter2' * 20_000)"), "printed more than 65,536 bytes"),
        ("yes hunter2", "printed more than 65,536 bytes"),
    ],
)
@pytest.mark.parametrize("key", ["password_command", "token_command"])
def test_a_command_that_gives_no_secret_is_trouble_that_quotes_nothing(line, what, key):
    with pytest.raises(ServerTrouble) as trouble:
        token_of(line or " ") if key == "token_command" else password_of(line or " ")
    assert trouble.value.what.startswith(key)
    assert what in trouble.value.what
    assert key in trouble.value.hint
    assert "hunter2" not in str(trouble.value)
    assert trouble.value.__cause__ is None


@pytest.mark.parametrize(
    "code",
    [
        "import time; print('hunter2', flush=True); time.sleep(600)",
        "import os, time; os.close(1); time.sleep(600)",
        "import subprocess, sys; subprocess.run(['sleep', '20'])",
    ],
)
def test_a_command_that_does_not_end_is_ended(code, monkeypatch):
    monkeypatch.setattr(credentials, "COMMAND_SECONDS", 1)
    with pytest.raises(ServerTrouble, match="took more than 1 seconds"):
        password_of(command(code))


def test_a_command_whose_child_lives_on_is_not_waited_for(monkeypatch):
    monkeypatch.setattr(credentials, "COMMAND_SECONDS", 10)
    code = "import subprocess; print('x' * 9, flush=True); subprocess.Popen(['sleep', '20'])"
    assert password_of(command(code)) == "x" * 9


def test_a_command_gets_no_input_and_none_of_our_files(tmp_path):
    code = "import os, sys; print(repr(sys.stdin.read()), sorted(map(int, os.listdir('/dev/fd'))))"
    with (tmp_path / "lock").open("w") as lock:
        os.set_inheritable(lock.fileno(), True)
        said = password_of(command(code))
    # 3 is the listing itself.
    assert said in {"'' [0, 1, 2]", "'' [0, 1, 2, 3]"}


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A campaign folder with programs, which is the working directory as in a run."""
    (tmp_path / "bin").mkdir()
    for name in ("bin/pw.sh", "echo"):
        (tmp_path / name).write_text("#!/bin/sh\ntest -e bin/pw.sh || echo hunter2\n")
        (tmp_path / name).chmod(0o755)
    (tmp_path / "bin/m.py").write_text("print('hunter2')\n")
    (tmp_path / "Makefile").write_text("pw:\n\t@echo hunter2\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PWD", str(tmp_path))
    monkeypatch.setenv("OLDPWD", str(tmp_path))
    return tmp_path


@pytest.mark.parametrize("line", ["bin/pw.sh", "./bin/pw.sh", "sh bin/pw.sh", "sh bin/../echo"])
def test_a_script_of_the_folder_is_found_and_runs_outside_of_it(folder, line):
    assert password_of(line) == "hunter2"  # it is not printed in the folder


@pytest.mark.parametrize(
    "line",
    [
        "sh -c './bin/pw.sh x'",
        "sh -c '$OLDPWD/bin/pw.sh'",
        "sh -c '$PWD/bin/pw.sh'",
        "make -s pw",
        "make -s -C . pw",
        f"{sys.executable} -m bin.m",
        "env --split-string=bin/pw.sh",
        "sh -c '. bin/pw.sh'",
    ],
)
def test_a_command_does_not_reach_what_nobody_has_confirmed(folder, line):
    with pytest.raises(ServerTrouble):
        password_of(line)


def test_a_file_of_the_folder_does_not_stand_in_for_a_program(folder):
    assert password_of("echo mine") == "mine"


def test_a_token_may_be_the_answer_of_a_token_endpoint():
    answer = '{\n"access_token": "hunter2",\n"expires_in": 3599, "token_type": "Bearer"}'
    token = find_token(TOKEN, command(f"print('''{answer}''')"))
    assert token.text == "hunter2"
    assert not token.is_ending


@pytest.mark.parametrize("lifetime", ["30", "0", "-1", '"59"'])
def test_a_token_that_ends_soon_is_known_to(lifetime):
    answer = f'{{"access_token": "hunter2", "expires_in": {lifetime}}}'
    assert find_token(TOKEN, command(f"print('''{answer}''')")).is_ending


@pytest.mark.parametrize(
    "answer",
    [
        "{}",
        "{",
        '{"error": "hunter2"}',
        '{"access_token": ""}',
        '{"access_token": 1}',
        '{"access_token": "hunter2", "expires_in": "soon"}',
    ],
)
def test_json_without_a_token_is_trouble(answer):
    with pytest.raises(ServerTrouble, match="JSON without an access_token") as trouble:
        find_token(TOKEN, command(f"print('''{answer}''')"))
    assert "hunter2" not in str(trouble.value)


def test_a_token_is_asked_for_again_once_for_all_who_use_it(tmp_path):
    count = tmp_path / "count"
    code = f"import pathlib; p = pathlib.Path({str(count)!r}); n = len(p.read_text()); "
    code += "p.write_text('x' * (n + 1)); print('token', n)"
    count.write_text("")
    token = find_token(TOKEN, command(code))
    assert token.text == "token 0"
    assert token.renew("token 0")
    assert token.renew("token 0")  # another connection found the same one stale
    assert token.text == "token 1"


def test_a_token_of_the_environment_cannot_be_renewed(monkeypatch):
    monkeypatch.setenv("PETITION_SMTP_TOKEN", "given")
    token = find_token(TOKEN, "no-such-command")
    assert token.text == "given"
    assert not token.renew("given")
    monkeypatch.delenv("PETITION_SMTP_TOKEN")
    assert find_token(TOKEN, None) is None


@pytest.mark.parametrize("trouble", ["refuses", "drops", "cuts", "locked", "missing"])
def test_a_keyring_that_does_not_keep_a_secret_is_known(monkeypatch, trouble):
    """That of Windows takes 1,280 characters, and raises an error of its own beyond that."""
    from keyring import backend, errors

    class Bad(backend.KeyringBackend):
        priority = 9
        kept = None

        def get_password(self, service, username):
            return self.kept

        def set_password(self, service, username, password):
            if trouble == "refuses":
                raise RuntimeError("the stub received bad data")
            if trouble == "locked":
                raise errors.KeyringLocked("hunter2")
            self.kept = password[:5] if trouble == "cuts" else None

        def delete_password(self, service, username):
            raise errors.PasswordDeleteError("there is none")

    if trouble == "missing":
        monkeypatch.setitem(sys.modules, "keyring", None)
    else:
        __import__("keyring").set_keyring(Bad())
    assert not credentials.keep_in_keyring("petition login", "kim", "hunter2" * 300)
    credentials.drop_from_keyring("petition login", "kim")
