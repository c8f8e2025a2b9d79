"""Linux and macOS."""

import errno
import fcntl
import os
import re
import select
import shlex
import signal
import stat
import sys
import termios
import tty
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import asyncio
    import socket
    from datetime import datetime

assert sys.platform != "win32"  # noqa: S101 (so that mypy skips this module there)

__all__ = (
    "IS_DESKTOP",
    "NOT_IN_NAMES",
    "OUTPUT_ENCODING",
    "PGPASS",
    "access_of_others",
    "account_name",
    "allow_open_files",
    "close_to_others",
    "command_line",
    "command_words",
    "file_system",
    "find_hard_links",
    "has_input",
    "has_no_reader",
    "is_of_other_account",
    "keep_port",
    "lock",
    "names_other_machine",
    "obey_signals",
    "open_file",
    "prepare",
    "read_key",
    "replace",
    "schedule",
    "selector_loop",
    "set_variable",
    "single_keys",
    "sync",
    "sync_path",
    "whole_lines",
)

_CTRL_D = b"\x04"
_ESCAPE = b"\x1b"
_SEQUENCE_SECONDS = 0.05  # in which what a key sends after Esc comes
_UNENDED = re.compile(rb"\x1b(?:O|\[[\x20-\x3f]*)")  # ECMA-48 5.4: not yet the final byte
_CUT_CHARACTER = re.compile(  # UTF-8
    rb"[\xc0-\xdf]|[\xe0-\xef][\x80-\xbf]?|[\xf0-\xf7][\x80-\xbf]{0,2}"
)
_MARK_PASTED, _LEAVE_PASTED = b"\x1b[?2004h", b"\x1b[?2004l"
_PASTED, _PASTE_END = b"\x1b[200~", b"\x1b[201~"
MOUNTS = Path("/proc/mounts")  # of Linux
NOT_IN_NAMES = ""  # characters that no file name may have, besides the separators
IS_DESKTOP = sys.platform == "darwin"  # programs have windows, whatever the environment says
OUTPUT_ENCODING: str | None = None  # of output; None: what the locale says
PGPASS = "~/.pgpass"  # where libpq looks for passwords


def prepare() -> None:
    """Set the process up, before anything else."""


# ---- files


def open_file(path: Path | str, flags: int, *, follows: bool = False) -> int:
    """Open a file, without waiting for a named pipe; OSError if it is not a file.

    A new one is for its owner alone. A link is not followed, unless `follows`.
    """
    flags |= os.O_NONBLOCK | (0 if follows else os.O_NOFOLLOW)
    handle = os.open(path, flags, 0o600)
    if not stat.S_ISREG(os.fstat(handle).st_mode):
        os.close(handle)
        raise OSError(errno.EINVAL, "it is not a file", str(path))
    return handle


def close_to_others(path: Path) -> None:
    """Let only the owner use a file, if there is one and it is ours."""
    # A disk without permissions cannot be changed.
    with suppress(FileNotFoundError, PermissionError):
        found = path.lstat()
        is_ours = not is_of_other_account(found)
        if is_ours and stat.S_ISREG(found.st_mode) and found.st_mode & 0o077:
            path.chmod(found.st_mode & 0o700)


def access_of_others(handle: int, file: str) -> tuple[str, str] | None:
    """Who else can use an open file, and how to change that; None: nobody."""
    mode = stat.S_IMODE(os.fstat(handle).st_mode)
    return (f"its mode is {mode:04o}", f"chmod 600 {file}") if mode & 0o077 else None


def is_of_other_account(found: os.stat_result) -> bool:
    """Whether a file belongs to another account."""
    return found.st_uid != os.geteuid()


def find_hard_links(name: str) -> str:
    """A command that shows all names of a file."""
    return f"find / -samefile {name}"


def replace(source: Path, target: Path) -> None:
    """Give a file the name of another one, which it replaces; durable after `sync_path`."""
    source.replace(target)


def sync(handle: int) -> None:
    """Make the content of an open file durable."""
    if sys.platform == "darwin":  # its fsync does not flush the disk's cache
        try:
            fcntl.fcntl(handle, fcntl.F_FULLFSYNC)
        except OSError:  # a file system that has no such call
            os.fsync(handle)
    else:
        os.fsync(handle)


def sync_path(path: Path) -> None:
    """Make a file durable, or the names in a folder: to sync a file does not cover those."""
    handle = os.open(path, os.O_RDONLY)
    try:
        sync(handle)
    finally:
        os.close(handle)


def file_system(folder: Path) -> str:
    """The kind of file system that a folder, an absolute path, is on; "" if it is unknown."""
    best, kind = -1, ""
    for place, mounted in _mounts():
        # Of two mounts at one place the last one is seen.
        if folder.is_relative_to(place) and len(place.parts) >= best:
            best, kind = len(place.parts), mounted
    return kind


def _mounts() -> Iterator[tuple[Path, str]]:
    if sys.platform == "darwin":
        import subprocess  # noqa: PLC0415 (it takes a while to load)

        shown = subprocess.run(["/sbin/mount"], capture_output=True, text=True, check=False).stdout
        yield from mounts_of_mac(shown)
    else:
        with suppress(OSError):
            lines = MOUNTS.read_text(encoding="utf-8", errors="replace").splitlines()
            for line in lines:
                _, place, kind, *_ = f"{line}   ".split(" ")
                if place:
                    name = re.sub(r"\\([0-7]{3})", lambda code: chr(int(code[1], 8)), place)
                    yield Path(name), kind


def mounts_of_mac(shown: str) -> Iterator[tuple[Path, str]]:
    """What the program `mount` of macOS shows: `server:/x on /Volumes/x (nfs, nodev)`."""
    for place, kind in re.findall(r" on (/.*) \((\w+)[^()]*\)$", shown, re.MULTILINE):
        yield Path(place), kind


def names_other_machine(path: str) -> bool:
    """Whether even looking at a path connects to a machine that the path names."""
    del path
    return False


# ---- locks


def lock(handle: int, *, shared: bool = False, waits: bool = False) -> None:
    """Lock an open file until it is closed or the process dies; BlockingIOError: another has it.

    Each opening of a file counts as another one, in the same process too. What the file holds can
    be read and written meanwhile.
    """
    fcntl.flock(
        handle, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | (0 if waits else fcntl.LOCK_NB)
    )


# ---- the process


def account_name() -> str:
    """The login name of the account, which the environment cannot change."""
    import pwd  # noqa: PLC0415 (only to record an answer)

    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:  # an account without an entry, as in some containers
        return f"uid {os.getuid()}"


def obey_signals(interrupted: Callable[[], None], ended: Callable[[], None]) -> None:
    """Let the running event loop call `interrupted` for Ctrl-C, and `ended` for other signals.

    Those are a request to end, and a terminal that was closed, unless nohup ignores that.
    """
    import asyncio  # noqa: PLC0415 (it runs already, but not for --help)

    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGINT, interrupted)
    loop.add_signal_handler(signal.SIGTERM, ended)
    if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:
        loop.add_signal_handler(signal.SIGHUP, ended)


def selector_loop() -> "Callable[[], asyncio.AbstractEventLoop] | None":
    """What makes an event loop that can wait for the socket of psycopg; None: any can."""
    return None


def has_no_reader(fault: OSError) -> bool:
    """Whether output failed because nobody reads it any more."""
    return isinstance(fault, BrokenPipeError)


# ---- the network


def allow_open_files(most: int) -> None:
    """Raise the limit of open files to `most`, or as far as it goes: each connection is one."""
    import resource  # noqa: PLC0415 (only for a server)

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = most if hard == resource.RLIM_INFINITY else min(hard, most)
    if soft != resource.RLIM_INFINITY and soft < most:
        with suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))


def keep_port(sock: "socket.socket") -> None:
    """Let a socket listen on a port that was just in use, and share it with nobody."""
    import socket  # noqa: PLC0415 (as above)

    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)


# ---- other programs


def command_words(command: str) -> list[str]:
    """Split a command line of petition.toml into words; ValueError if that cannot be done."""
    return shlex.split(command)


def command_line(command: str, words: Iterable[str]) -> list[str] | str:
    """What to run for a command line with `words` in place of its own; a shell is not needed."""
    del command
    return list(words)


def has_input(pipe: int, seconds: float) -> bool:
    """Whether a pipe has something to read, or ends, within so many seconds."""
    return bool(select.select([pipe], [], [], seconds)[0])


def set_variable(name: str, value: object) -> str:
    """The command by which a shell sets an environment variable."""
    return f"export {name}={value}"


def schedule(at: "datetime", words: list[str]) -> list[str]:
    """What a person types to have the system run a command once, at a moment."""
    # These take a while to load, which --help need not.
    import plistlib  # noqa: PLC0415
    from datetime import UTC  # noqa: PLC0415

    name = f"petition-{at.astimezone(UTC):%Y%m%d-%H%M}"
    if sys.platform != "darwin":
        command = shlex.join(word.replace("$", "$$") for word in words)  # systemd expands variables
        when = f'--on-calendar="{at.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"'
        precisely = "--timer-property=AccuracySec=1s"
        lines = [f"systemd-run --user --unit={name} {when} {precisely} {command}"]
    else:
        local = at.astimezone()
        day = {"Month": local.month, "Day": local.day, "Hour": local.hour, "Minute": local.minute}
        job = {
            "Label": name,
            # launchd has no year: it would run again in the next one.
            "ProgramArguments": ["/bin/sh", "-c", f"{shlex.join(words)}; launchctl remove {name}"],
            "StartCalendarInterval": day,
        }
        file = f"~/Library/LaunchAgents/{name}.plist"
        listed = plistlib.dumps(job).decode().rstrip("\n")
        lines = [f"cat >{file} <<'END'", listed, "END", f"launchctl load {file}"]
    return lines


@contextmanager
def single_keys() -> Iterator[None]:
    """Let `read_key` read single keys, which need no Enter and are not shown.

    The terminal stays in this mode, so that a key pressed early is not lost. It marks pasted text.
    """
    before = termios.tcgetattr(0)
    tty.setcbreak(0, termios.TCSADRAIN)
    os.write(1, _MARK_PASTED)
    try:
        yield
    finally:
        with suppress(OSError, termios.error):  # the terminal was closed
            os.write(1, _LEAVE_PASTED)
            termios.tcsetattr(0, termios.TCSADRAIN, before)


@contextmanager
def whole_lines() -> Iterator[None]:
    """Let a person type a line between single keys."""
    keys = termios.tcgetattr(0)
    lines = list(keys)
    lines[3] |= termios.ICANON | termios.ECHO
    termios.tcsetattr(0, termios.TCSADRAIN, lines)
    os.write(1, _LEAVE_PASTED)
    try:
        yield
    finally:
        termios.tcsetattr(0, termios.TCSADRAIN, keys)
        os.write(1, _MARK_PASTED)


def read_key() -> str:
    """The next key; "" at the end of input, KeyboardInterrupt at Ctrl-C.

    An arrow or function key, Alt with a key, and pasted text are one key of several characters.
    """
    key = os.read(0, 1)
    if key == _ESCAPE and select.select([0], [], [], _SEQUENCE_SECONDS)[0]:
        key += os.read(0, 1)
        while _UNENDED.fullmatch(key) and (more := os.read(0, 1)):
            key += more
        while key.startswith(_PASTED) and not key.endswith(_PASTE_END) and (more := os.read(0, 1)):
            key += more
    while _CUT_CHARACTER.fullmatch(key) and (more := os.read(0, 1)):
        key += more
    return "" if key == _CTRL_D else key.decode(errors="replace")
