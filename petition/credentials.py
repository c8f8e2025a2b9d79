"""Passwords, tokens and keys: from the environment, a command, the keyring or a file of its owner.

Never from a file of the campaign. A secret is carried as a `Secret`, which shows itself nowhere:
not in a repr, a traceback's locals or a log. The only door to keyring.
"""

import json
import os
import re
import select
import shlex
import stat
import subprocess
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from petition.errors import PetitionError, ServerTrouble

if TYPE_CHECKING:
    from collections.abc import Callable

COMMAND_SECONDS = 60
OUTPUT_LIMIT = 65_536  # bytes; the longest tokens have some 4,000
KEYRING_SERVICE = "petition:{host}"
EARLY_SECONDS = 60  # a token that ends so soon is not begun with


class Secret:
    """A text that must not be shown.

    Args:
        text: The password or token itself.
        ask: Gets a new one with its lifetime in seconds, where the text can run out.
        lifetime: For how many seconds from now it is good; None: nobody said.
    """

    __slots__ = ("_ask", "_ends", "_lock", "_text")

    def __init__(
        self,
        text: str,
        ask: "Callable[[], tuple[str, float | None]] | None" = None,
        lifetime: float | None = None,
    ) -> None:
        self._ask = ask
        self._lock = threading.Lock()
        self._keep(text, lifetime)

    @property
    def text(self) -> str:
        """The password or token as it is now."""
        return self._text

    @property
    def is_ending(self) -> bool:
        """Whether it is known to end within a minute."""
        return self._ends is not None and time.monotonic() > self._ends - EARLY_SECONDS

    def renew(self, stale: str) -> bool:
        """Ask for a new text, unless somebody else has done so meanwhile. It may take a minute.

        Args:
            stale: The text that has run out.

        Returns:
            Whether the text is another one now.

        Raises:
            ServerTrouble: The command that should print it does not.
        """
        with self._lock:
            if self._ask and self._text == stale:
                self._keep(*self._ask())
            return self._text != stale

    def _keep(self, text: str, lifetime: float | None) -> None:
        self._text = text
        self._ends = None if lifetime is None else time.monotonic() + lifetime

    def __repr__(self) -> str:
        return "Secret(...)"

    __str__ = __repr__


class KeyMisplaced(PetitionError):
    """A key's file is not there, or somewhere that others can read or are given a copy of."""


class _Setting(NamedTuple):
    """Where petition.toml names a command: under which key of which table."""

    key: str
    table: str


# Variables that hold one; the address of a database can have a password in it.
_SECRET = re.compile(r"PETITION_(\w*(PASSWORD|TOKEN|KEY)|DATABASE)")
_KEY_COMMAND = _Setting("key_command", "dkim")


def environment_of_children() -> dict[str, str]:
    """The environment for another program: without the secrets that are in ours."""
    return {name: value for name, value in os.environ.items() if not _SECRET.fullmatch(name)}


def drop_secrets() -> None:
    """Take the secrets out of our own environment, for a command that needs none of them."""
    for name in filter(_SECRET.fullmatch, list(os.environ)):
        del os.environ[name]


def find_password(
    variable: str, command: str | None, host: str, username: str, table: str = "smtp"
) -> Secret | None:
    """The password of a login: that of the environment, else of the command, else of the keyring.

    Args:
        variable: The name of the environment variable.
        command: A command line without shell syntax, such as `pass show campaign/smtp`.
        host: The server's name, which the keyring has it under.
        username: The login, the same.
        table: The table of petition.toml that names the command.

    Returns:
        The secret, or None where none of the three has one.

    Raises:
        ServerTrouble: The command cannot be run, fails, or prints nothing; the keyring is there
            and cannot be read.
    """
    if text := os.environ.get(variable):
        return Secret(text)
    if command:
        setting = _Setting("password_command", table)
        return Secret(_first_line(_run(command, setting), setting))
    text = _in_keyring(KEYRING_SERVICE.format(host=host), username, variable)
    return Secret(text) if text else None


def find_token(variable: str, command: str | None, table: str = "smtp") -> Secret | None:
    """The access token of a login: that of the environment, else of the command.

    Args:
        variable: The name of the environment variable; such a token cannot be renewed.
        command: A command line that prints the token in its first line, or the answer of a token
            endpoint, a JSON object with `access_token` and `expires_in` (RFC 6749 5.1).
        table: The table of petition.toml that names the command.

    Raises:
        ServerTrouble: The command cannot be run, fails, or prints no token.
    """
    if text := os.environ.get(variable):
        return Secret(text)
    if not command:
        return None

    setting = _Setting("token_command", table)

    def ask() -> tuple[str, float | None]:
        return _token(_run(command, setting), setting)

    token, lifetime = ask()
    return Secret(token, ask, lifetime)


def find_printed_key(command: str) -> Secret:
    """The private key that a command prints, all of its lines.

    Args:
        command: A command line without shell syntax.

    Raises:
        ServerTrouble: It cannot be run, fails, or prints nothing.
    """
    text = _run(command, _KEY_COMMAND)
    if not text.strip():
        raise _failed(_KEY_COMMAND, "printed nothing")
    return Secret(text)


def read_key(file: str, root: Path | None, named: str = "key_file") -> Secret:
    """The private key in a file that its owner alone can read.

    Args:
        file: Its path, which may begin with `~`.
        root: The campaign folder; what lies in it, or in the repository that it belongs to, is
            shared with others sooner or later. None: there is none.
        named: What names the file.

    Raises:
        KeyMisplaced: It is not there, lies in the campaign, or others can read it.
    """
    path = _expanded(file, named)
    if root and path.resolve().is_relative_to(_repository(root.resolve())):
        hint = "Move it to a folder of your own, as ~/.config/petition, and make a new key"
        raise KeyMisplaced(f"{named} lies in the campaign: {file}", hint)
    try:
        # Without waiting: a named pipe would never open.
        handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError as why:
        raise KeyMisplaced(
            f"{named} cannot be read: {file} ({why.strerror})", "Correct it"
        ) from None
    with open(handle, "rb") as opened:  # noqa: PTH123 (what was looked at is what is read)
        status = os.fstat(handle)
        if not stat.S_ISREG(status.st_mode):
            raise KeyMisplaced(f"{named} is no file: {file}", "Name the file with the key")
        mode = stat.S_IMODE(status.st_mode)
        if mode & 0o077:
            what = f"others than its owner may use {named} (its mode is {mode:04o}): {file}"
            raise KeyMisplaced(what, f"chmod 600 {file}")
        return Secret(opened.read(OUTPUT_LIMIT).decode("utf-8", "replace"))


def _expanded(file: str, named: str) -> Path:
    try:
        return Path(file).expanduser()
    except RuntimeError:  # ~somebody who is not there
        raise KeyMisplaced(f"{named} cannot be found: {file}", "Write its whole path") from None


def _repository(folder: Path) -> Path:
    """The repository that a folder belongs to, or the folder."""
    around = (folder, *folder.parents)
    return next((one for one in around if (one / ".git").exists()), folder)


def _in_keyring(service: str, username: str, variable: str) -> str | None:
    try:
        import keyring  # noqa: PLC0415 (an extra; its import asks for every backend there is)
        from keyring.errors import KeyringError, NoKeyringError  # noqa: PLC0415
    except ImportError:
        return None
    try:
        return keyring.get_password(service, username)
    except NoKeyringError:
        return None
    except KeyringError as fault:
        # The fault's own text is a backend's, and nobody knows what stands in it.
        what = f"the keyring could not be read ({type(fault).__name__})"
        raise ServerTrouble(what, f"Unlock it, or set {variable}") from None


def _token(output: str, setting: _Setting) -> tuple[str, float | None]:
    if not output.lstrip().startswith("{"):
        return _first_line(output, setting), None
    with suppress(ValueError, TypeError, AttributeError, KeyError):
        answer = json.loads(output)
        token, lifetime = answer["access_token"], answer.get("expires_in")
        if isinstance(token, str) and token.strip():
            return token.strip(), None if lifetime is None else float(lifetime)
    raise _failed(setting, "printed JSON without an access_token")


def _first_line(output: str, setting: _Setting) -> str:
    line = output.split("\n", 1)[0].removesuffix("\r")
    if not line:
        raise _failed(setting, "printed an empty first line" if output else "printed nothing")
    if "\0" in line:
        raise _failed(setting, "printed a NUL, which no login can carry")
    return line


def _run(command: str, setting: _Setting) -> str:
    """All that a command prints.

    It is split as a shell would, and no shell runs it. It gets no input, and of our files none:
    what holds the log's lock must not live on in it. It runs outside the campaign folder: there it
    could find files that nobody has confirmed.
    """
    try:
        folder = Path.cwd()
        words = _with_whole_paths(shlex.split(command), folder)
        environ = environment_of_children()
        for name in ("PWD", "OLDPWD"):
            environ.pop(name, None)
        running = subprocess.Popen(  # noqa: S603 (the organiser's own command, from their own file)
            words,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,  # whatever it says there could quote the secret
            close_fds=True,
            cwd=folder.anchor,
            env=environ,
        )
    except (FileNotFoundError, IndexError):
        raise _failed(setting, "names a program that is not there") from None
    except (OSError, ValueError) as why:
        raise _failed(setting, f"could not be run ({type(why).__name__})") from None
    try:
        output = _read(running, setting)
    except BaseException:
        running.kill()
        raise
    finally:
        # A child of the command may still hold the other end: nobody waits for it.
        if running.stdout:
            running.stdout.close()
        running.wait()
    if running.returncode:
        raise _failed(setting, f"{_ending(running.returncode)} and gave nothing that counts")
    try:
        return output.decode()
    except UnicodeDecodeError:
        raise _failed(setting, "printed what is no UTF-8") from None


def file_in(folder: Path, word: str) -> Path | None:
    """The file of a campaign folder that a word of a command names, directly or through a link.

    Args:
        folder: The folder, an absolute path.
        word: The word.
    """
    path = folder / word
    if not os.path.isfile(path):  # noqa: PTH113 (a word may be longer than any path)
        return None
    places = (Path(os.path.normpath(path)), path.resolve())
    folders = (folder, folder.resolve())
    return path if any(one.is_relative_to(root) for one in places for root in folders) else None


def _with_whole_paths(words: list[str], folder: Path) -> list[str]:
    """A command whose files of the campaign folder are found from anywhere."""
    whole = [str(file_in(folder, word) or word) for word in words]
    if words and os.path.basename(words[0]) == words[0]:  # noqa: PTH119 (a text, no path yet)
        whole[0] = words[0]  # a program that is looked for in PATH
    return whole


def _read(running: subprocess.Popen[bytes], setting: _Setting) -> bytes:
    """All that a command prints until it ends; what its children print later is nobody's."""
    until = time.monotonic() + COMMAND_SECONDS
    output = b""
    pipe = running.stdout
    while pipe is not None:
        has_ended = running.poll() is not None
        if select.select([pipe], [], [], 0 if has_ended else 0.05)[0]:
            more = os.read(pipe.fileno(), OUTPUT_LIMIT)
            output += more
            if len(output) > OUTPUT_LIMIT:
                raise _failed(setting, f"printed more than {OUTPUT_LIMIT:,} bytes")
            if not more:
                break
        elif has_ended:
            break
        elif time.monotonic() > until:
            raise _took_long(setting)
    try:
        running.wait(max(until - time.monotonic(), 0.1))
    except subprocess.TimeoutExpired:
        raise _took_long(setting) from None
    return output


def _took_long(setting: _Setting) -> ServerTrouble:
    return _failed(setting, f"took more than {COMMAND_SECONDS} seconds")


def _ending(status: int) -> str:
    return f"was ended by signal {-status}" if status < 0 else f"ended with status {status}"


def _failed(setting: _Setting, what: str) -> ServerTrouble:
    # Neither the command line nor what it printed is quoted: either may hold the secret.
    hint = f"Run it by hand and correct {setting.key} in [{setting.table}] of petition.toml"
    return ServerTrouble(f"{setting.key} {what}", hint)
