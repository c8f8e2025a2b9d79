"""Passwords, tokens and keys: from the environment, a command, the keyring or a private file.

Never from a file of the campaign. A secret is carried as a `Secret`, which does not show its text
in a repr, a traceback's locals or a log. This is the only module that imports keyring.
"""

import json
import os
import re
import subprocess
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Literal, NamedTuple, Self

from petition import system
from petition.errors import PetitionError, ServerTrouble

COMMAND_SECONDS = 60
OUTPUT_LIMIT = 65_536  # bytes; the longest tokens have some 4,000
KEYRING_SERVICE = "petition:{host}"
EARLY_SECONDS = 60  # a token that expires so soon is renewed before it is used


class SecretSource(NamedTuple):
    """Where a secret comes from: an environment variable, else a command that petition.toml names.

    What reads a secret and what asks for confirmation of its command (`petition.trust`) both go
    by this, so that no command runs whose confirmation was skipped for another variable.
    """

    table: str  # of petition.toml: smtp, inbox or dkim
    kind: Literal["password", "token", "key"]

    @classmethod
    def of_login(cls, table: str, auth: str) -> Self:
        """The source of a login's password, or of its token if `auth` is xoauth2 or oauth."""
        return cls(table, "password" if auth == "password" else "token")

    @property
    def variable(self) -> str:
        """The environment variable, such as PETITION_SMTP_PASSWORD."""
        return f"PETITION_{self.table.upper()}_{self.kind.upper()}"

    @property
    def setting(self) -> str:
        """The key of petition.toml that names the command: `[smtp] password_command`."""
        return f"[{self.table}] {self.kind}_command"

    def given(self, environ: Mapping[str, str]) -> str | None:
        """The secret in the environment; if there is one, no command is run."""
        return environ.get(self.variable) or None

    def failed(self, what: str) -> ServerTrouble:
        """The error for a command that gives no secret."""
        # Neither the command line nor what it printed is quoted: either may hold the secret.
        hint = f"Run it by hand, and correct {self.setting} in petition.toml"
        return ServerTrouble(f"{self.kind}_command {what}", hint)


DKIM_KEY = SecretSource("dkim", "key")

# Variables that hold one; the address of a database can have a password in it.
_SECRET = re.compile(r"PETITION_(\w*(PASSWORD|TOKEN|KEY|SECRET)|DATABASE)")


class Secret:
    """A text that must not be shown.

    `ask` gets a new one with its lifetime in seconds, where the text can expire; `lifetime` is
    that of this text, from now, if it is known.
    """

    __slots__ = ("_ask", "_ends", "_lock", "_text")

    def __init__(
        self,
        text: str,
        ask: Callable[[], tuple[str, float | None]] | None = None,
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
        """Whether it is known to expire within a minute."""
        return self._ends is not None and time.monotonic() > self._ends - EARLY_SECONDS

    def renew(self, stale: str) -> bool:
        """Ask for a new text; whether it has changed. It may take a minute.

        Does nothing if another thread has replaced the `stale` text meanwhile.
        ServerTrouble if the command that should print it fails.
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


class KeyMisplaced(PetitionError):
    """The file of a key does not exist, or others can read it or are given a copy of it."""


def drop_secrets() -> None:
    """Remove the secrets from our own environment, for a command that needs none of them."""
    for name in filter(_SECRET.fullmatch, list(os.environ)):
        del os.environ[name]


def find_password(
    source: SecretSource, command: str | None, host: str, username: str
) -> Secret | None:
    """The password of a login, if any: from the environment, else the command, else the keyring.

    The command is a command line without shell syntax, such as `pass show campaign/smtp`; the
    keyring has it under host and username. ServerTrouble if the command cannot be run, fails,
    or prints nothing, or if the keyring is there and cannot be read.
    """
    if text := source.given(os.environ):
        return Secret(text)
    if command:
        return Secret(_first_line(_run(command, source), source))
    text = in_keyring(KEYRING_SERVICE.format(host=host), username, f"or set {source.variable}")
    return Secret(text) if text else None


def find_token(source: SecretSource, command: str | None) -> Secret | None:
    """The access token of a login: from the environment (it cannot be renewed), else the command.

    The command prints the token in its first line, or the answer of a token endpoint: a JSON
    object with `access_token` and `expires_in` (RFC 6749 5.1). ServerTrouble if it does not.
    """
    if text := source.given(os.environ):
        return Secret(text)
    if not command:
        return None

    def ask() -> tuple[str, float | None]:
        return _token(_run(command, source), source)

    token, lifetime = ask()
    return Secret(token, ask, lifetime)


def find_printed_key(command: str) -> Secret:
    """The private key that a command without shell syntax prints, all of its lines.

    ServerTrouble if it cannot be run, fails, or prints nothing.
    """
    text = _run(command, DKIM_KEY)
    if not text.strip():
        raise DKIM_KEY.failed("printed nothing")
    return Secret(text)


def read_key(file: str, root: Path | None, named: str = "key_file") -> Secret:
    """The private key in a file that only its owner can read; the path may begin with `~`.

    `root` is the campaign folder, if any: files in it, or in the repository that it belongs to,
    are shared with others sooner or later. `named` is what names the file. KeyMisplaced if it
    does not exist, is in the campaign, or others can read it.
    """
    try:
        path = Path(file).expanduser()
    except RuntimeError:  # ~somebody who has no account
        raise KeyMisplaced(f"{named} cannot be found: {file}", "Write its full path") from None
    around = (root.resolve(), *root.resolve().parents) if root else ()
    repository = next((one for one in around if (one / ".git").exists()), root and root.resolve())
    if repository and path.resolve().is_relative_to(repository):
        hint = "Move it to a folder of your own, such as ~/.config/petition, and make a new key"
        raise KeyMisplaced(f"{named} is inside the campaign: {file}", hint)
    try:
        handle = system.open_file(path, os.O_RDONLY, follows=True)
    except OSError as why:
        raise KeyMisplaced(
            f"{named} cannot be read: {file} ({why.strerror})", "Correct it"
        ) from None
    with open(handle, "rb") as opened:  # noqa: PTH123 (the file that is checked is the one read)
        if others := system.access_of_others(handle, file):
            raise KeyMisplaced(f"others can use {named} ({others[0]}): {file}", others[1])
        return Secret(opened.read(OUTPUT_LIMIT).decode("utf-8", "replace"))


def file_in(folder: Path, word: str) -> Path | None:
    """The file of a campaign folder (absolute) that a word of a command names, or links to."""
    path = folder / word
    if system.names_other_machine(word) or not os.path.isfile(path):  # noqa: PTH113 (a word may be longer than any path)
        return None
    places = (Path(os.path.normpath(path)), path.resolve())
    folders = (folder, folder.resolve())
    return path if any(one.is_relative_to(root) for one in places for root in folders) else None


def in_keyring(service: str, username: str, otherwise: str) -> str | None:
    """What the keyring has under a service and a name; None if it has nothing, or is not there.

    ServerTrouble if it is there and cannot be read; `otherwise` is what else to do then.
    """
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
        # The text of a backend's error could hold anything.
        what = f"the keyring could not be read ({type(fault).__name__})"
        raise ServerTrouble(what, f"Unlock it, {otherwise}") from None


def keep_in_keyring(service: str, username: str, text: str) -> bool:
    """Put a secret into the keyring; whether it is there now."""
    try:
        import keyring  # noqa: PLC0415 (as above)

        keyring.set_password(service, username, text)
        # Its backend "null" takes anything and keeps nothing.
        return keyring.get_password(service, username) == text
    except ImportError:
        return False
    except Exception:  # noqa: BLE001 (that of Windows raises its own errors, as for a long token)
        return False


def drop_from_keyring(service: str, username: str) -> None:
    """Remove a secret from the keyring, if it is there."""
    with suppress(Exception):  # as above; several raise if there is nothing to delete
        import keyring  # noqa: PLC0415 (as above)

        keyring.delete_password(service, username)


def _token(output: str, source: SecretSource) -> tuple[str, float | None]:
    if not output.lstrip().startswith("{"):
        return _first_line(output, source), None
    with suppress(ValueError, TypeError, AttributeError, KeyError):
        answer = json.loads(output)
        token, lifetime = answer["access_token"], answer.get("expires_in")
        if isinstance(token, str) and token.strip():
            return token.strip(), None if lifetime is None else float(lifetime)
    raise source.failed("printed JSON without an access_token")


def _first_line(output: str, source: SecretSource) -> str:
    line = output.split("\n", 1)[0].removesuffix("\r")
    if not line:
        raise source.failed("printed an empty first line" if output else "printed nothing")
    if "\0" in line:
        raise source.failed("printed a NUL, which no login can carry")
    return line


def _run(command: str, source: SecretSource) -> str:
    """All that a command prints."""
    # It is split as a shell would, and no shell runs it. It gets no input and none of our open
    # files: a process that outlives us must not hold the log's lock. It runs outside the campaign
    # folder, in which it could find files that nobody has confirmed.
    try:
        folder = Path.cwd()
        words = _with_whole_paths(system.command_words(command), folder)
        environ = {
            name: value
            for name, value in os.environ.items()
            if name not in {"PWD", "OLDPWD"} and not _SECRET.fullmatch(name)
        }
        running = subprocess.Popen(  # noqa: S603 (the organiser's own command, from their own file)
            system.command_line(command, words),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,  # it could quote the secret
            close_fds=True,
            cwd=folder.anchor,
            env=environ,
        )
    except (FileNotFoundError, IndexError):
        raise source.failed("names a program that does not exist") from None
    except (OSError, ValueError) as why:
        raise source.failed(f"could not be run ({type(why).__name__})") from None
    try:
        output = _read(running, source)
    except BaseException:
        running.kill()
        raise
    finally:
        # A child of the command may still hold the other end: we do not wait for it.
        if running.stdout:
            running.stdout.close()
        running.wait()
    if status := running.returncode:
        how = f"was killed by signal {-status}" if status < 0 else f"ended with status {status}"
        raise source.failed(f"{how}; what it printed was ignored")
    try:
        return output.decode()
    except UnicodeDecodeError:
        raise source.failed("printed text that is not UTF-8") from None


def _with_whole_paths(words: list[str], folder: Path) -> list[str]:
    """A command whose files of the campaign folder are found from anywhere."""
    whole = [str(file_in(folder, word) or word) for word in words]
    if words and os.path.basename(words[0]) == words[0]:  # noqa: PTH119 (a text, not yet a path)
        whole[0] = words[0]  # a program that is looked for in PATH
    return whole


def _read(running: subprocess.Popen[bytes], source: SecretSource) -> bytes:
    """All that a command prints until it ends; what its children print later is ignored."""
    until = time.monotonic() + COMMAND_SECONDS
    took_long = source.failed(f"took more than {COMMAND_SECONDS} seconds")
    output = b""
    pipe = running.stdout
    while pipe is not None:
        has_ended = running.poll() is not None
        if system.has_input(pipe.fileno(), 0 if has_ended else 0.05):
            more = os.read(pipe.fileno(), OUTPUT_LIMIT)
            output += more
            if len(output) > OUTPUT_LIMIT:
                raise source.failed(f"printed more than {OUTPUT_LIMIT:,} bytes")
            if not more:
                break
        elif has_ended:
            break
        elif time.monotonic() > until:
            raise took_long
    try:
        running.wait(max(until - time.monotonic(), 0.1))
    except subprocess.TimeoutExpired:
        raise took_long from None
    return output
