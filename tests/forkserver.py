"""Runs `petition` in a process of its own without importing everything again.

Importing takes most of a short command's processor time. So a Python imports all of petition once
and forks for each command: its folder, environment, streams, signals and caches are its own, as if
`python -m petition` had been started, and it ends the way that one ends. What it finds warm are
caches that no campaign changes: patterns, names of countries and months, the help of commands.
"""

import atexit
import contextlib
import fcntl
import gc
import io
import json
import os
import re
import runpy
import select
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import termios
import threading
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn

_LENGTH = struct.Struct("!Q")
_NUMBER = struct.Struct("!i")
_ROOT = Path(__file__).parents[1]
_STREAMS = ("stdin", "stdout", "stderr")


class ForkServer:
    """The client's side: one for each process that runs tests.

    Args:
        environ: What Python itself reads of the environment when it starts.
    """

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="petition-fork-")
        self.path = f"{self._folder.name}/socket"
        self._lifeline, theirs = socket.socketpair()
        with theirs, socket.socket(socket.AF_UNIX) as listener:
            listener.bind(self.path)
            listener.listen()
            self._process = subprocess.Popen(
                # -P: the folder of this file is not where modules are looked for.
                [sys.executable, "-P", __file__, str(listener.fileno()), str(theirs.fileno())],
                env=environ,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                pass_fds=[listener.fileno(), theirs.fileno()],
            )
        atexit.register(self._close)

    def _close(self) -> None:
        self._lifeline.close()
        self._process.wait()
        self._folder.cleanup()

    def run(
        self, arguments: Sequence[str], cwd: Path, environ: Mapping[str, str], timeout: float
    ) -> tuple[int, bytes, bytes]:
        """Run `petition` and wait for it: its exit status, what it wrote, and its errors."""
        with (
            Path(os.devnull).open("rb") as nothing,
            tempfile.TemporaryFile() as out,
            tempfile.TemporaryFile() as err,
        ):
            streams = [nothing.fileno(), out.fileno(), err.fileno()]
            request = ("", "", arguments, str(cwd), dict(environ))
            process, answer = start(self.path, request, streams)
            with answer:
                if not select.select([answer], [], [], timeout)[0]:
                    os.kill(process, signal.SIGKILL)
                    number_from(answer)
                    raise subprocess.TimeoutExpired(list(arguments), timeout)
                status = number_from(answer)
            out.seek(0)
            err.seek(0)
            return status, out.read(), err.read()


def start(path: str, request: Any, streams: Sequence[int]) -> tuple[int, socket.socket]:
    """Have a server start a process.

    Args:
        path: The server's socket.
        request: Python that runs first, or ""; a Python file to run instead of petition, or "";
            the arguments; the folder; the environment.
        streams: The files that are its standard input, output and error.

    Returns:
        Its number, and the socket that tells its exit status (as in `Popen`) when it has ended.
    """
    answer = socket.socket(socket.AF_UNIX)
    answer.connect(path)
    data = json.dumps(request).encode()
    socket.send_fds(answer, [_LENGTH.pack(len(data))], streams)
    answer.sendall(data)
    return number_from(answer), answer


def number_from(answer: socket.socket) -> int:
    """Read a number that the server tells."""
    [number] = _NUMBER.unpack(answer.recv(_NUMBER.size, socket.MSG_WAITALL))
    return int(number)


class Forked(subprocess.Popen[str]):
    """`petition`, or a Python file, in a process that a server forks.

    Args:
        arguments: What stands behind its name.
        script: The Python file.
        before: Python that runs before it, such as to change a limit.
        options: As of `Popen`: `cwd`, `env`, `stdin`, `stdout`, `stderr`, `text`.
    """

    def __init__(
        self, arguments: Sequence[str], script: str = "", before: str = "", **options: Any
    ) -> None:
        self._script = script
        self._before = before
        super().__init__(list(arguments), **options)

    def _execute_child(self, args: list[str], *rest: Any) -> None:
        cwd, env = rest[4:6]
        pipes = rest[9:15]  # of each stream two ends: the child's is the first of stdin's
        theirs = (pipes[0], pipes[3], pipes[5])
        streams = [number if one == -1 else one for number, one in enumerate(theirs)]
        request = (self._before, self._script, args, str(cwd), env)
        self.pid, self._answer = start(fork_server(env).path, request, streams)
        self._child_created = True
        self._close_pipe_fds(*pipes)  # type: ignore[attr-defined]

    def poll(self) -> int | None:
        """Its exit status, or None while it runs."""
        if self.returncode is None and select.select([self._answer], [], [], 0)[0]:
            self.wait()
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        """Wait for its end."""
        if self.returncode is None:
            if not select.select([self._answer], [], [], timeout)[0]:
                raise subprocess.TimeoutExpired(self.args, timeout or 0)
            with self._answer:
                self.returncode = number_from(self._answer)
        return self.returncode


# What a shell starts: it asks a server, passes signals on, and ends as the command does.
_CLIENT = """\
#!{python} -IS
import json, os, signal, socket, struct, sys
answer = socket.socket(socket.AF_UNIX)
answer.connect({path!r})
request = json.dumps(["", "", sys.argv[1:], os.getcwd(), dict(os.environ)]).encode()
socket.send_fds(answer, [struct.pack("!Q", len(request))], [0, 1, 2])
answer.sendall(request)
number = lambda: struct.unpack("!i", answer.recv(4, socket.MSG_WAITALL))[0]
process = number()
for one in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
    signal.signal(one, lambda sign, _: os.kill(process, sign))
status = number()
if status < 0:
    signal.signal(-status, signal.SIG_DFL)
    os.kill(os.getpid(), -status)
sys.exit(status)
"""


def put_program(folder: Path, environ: Mapping[str, str]) -> Path:
    """Put a `petition` into a folder that a server forks for, in such an environment."""
    program = folder / "petition"
    path = fork_server(environ).path
    program.write_text(_CLIENT.format(python=sys.executable, path=path), encoding="utf-8")
    program.chmod(0o755)
    return folder


# What Python reads when it starts; which keyring there is, is looked up when one is asked.
_STARTUP = re.compile("(PYTHON(?!_KEYRING)|LC_|LANG).*|VIRTUAL_ENV")
_servers: dict[tuple[tuple[str, str], ...], ForkServer] = {}


def fork_server(environ: Mapping[str, str]) -> ForkServer:
    """The server for commands in such an environment; it is kept until the tests end."""
    start = tuple(sorted(one for one in environ.items() if _STARTUP.fullmatch(one[0])))
    if start not in _servers:
        _servers[start] = ForkServer({"PATH": os.environ["PATH"], **dict(start)})
    return _servers[start]


def _serve(listener: socket.socket, lifeline: socket.socket) -> Callable[[], object]:
    """Fork for each request; return in a new process what it is to run."""
    answers: dict[int, socket.socket] = {}  # of each process that runs, by its number
    ended, bell = socket.socketpair()
    bell.setblocking(False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.set_wakeup_fd(bell.fileno(), warn_on_full_buffer=False)
    while True:
        ready, _, _ = select.select([listener, lifeline, ended], [], [])
        if lifeline in ready:
            os._exit(0)  # whoever ran the tests has ended
        if ended in ready:
            ended.recv(4096)
            _tell_who_ended(answers)
        if listener not in ready:
            continue
        answer, _ = listener.accept()
        head, streams, _, _ = socket.recv_fds(answer, _LENGTH.size, 3)
        request = answer.recv(*_LENGTH.unpack(head), socket.MSG_WAITALL)
        if process := os.fork():
            for file in streams:
                os.close(file)
            answers[process] = answer
            answer.sendall(_NUMBER.pack(process))
            continue
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        for file, name, mode in zip(streams, _STREAMS, ("rb", "wb", "wb"), strict=True):
            _replace(name, file, mode)
        for one in (listener, lifeline, ended, bell, answer, *answers.values()):
            one.close()
        if sys.stdin.isatty():  # which is its own: Ctrl-C ends it, and it asks for passwords there
            os.setsid()
            fcntl.ioctl(0, termios.TIOCSCTTY, 0)
        return _become(*json.loads(request))


def _replace(name: str, file: int, mode: str) -> None:
    """Make a standard stream anew, as Python makes it when it starts."""
    old = getattr(sys, name)
    number = old.fileno()
    os.dup2(file, number)
    os.close(file)
    raw = open(number, mode, 0 if old.write_through else -1, closefd=False)  # noqa: SIM115
    is_seen = raw.isatty() or name == "stderr"
    new = io.TextIOWrapper(raw, old.encoding, old.errors, "\n", is_seen, old.write_through)
    setattr(sys, name, new)


def _tell_who_ended(answers: dict[int, socket.socket]) -> None:
    while answers:
        process, status = os.waitpid(-1, os.WNOHANG)
        if not process:
            return
        with answers.pop(process) as answer, contextlib.suppress(BrokenPipeError):
            answer.sendall(_NUMBER.pack(os.waitstatus_to_exitcode(status)))


def _become(
    before: str, script: str, arguments: list[str], cwd: str, environ: dict[str, str]
) -> Callable[[], object]:
    os.chdir(cwd)
    os.environ.clear()
    os.environ.update(environ)
    time.tzset()
    sys.argv = [script or petition.__main__.__file__, *arguments]

    def run() -> None:
        exec(before, {})
        if script:
            runpy.run_path(script, run_name="__main__")
        else:
            petition.__main__.run()

    return run


def _end(run: Callable[[], object]) -> NoReturn:
    """Run the command and end as Python does, save that it does not take every module apart."""
    status: object = 0
    try:
        run()
    except SystemExit as end:
        status = end.code
    except BaseException:  # noqa: BLE001 (said as Python says it)
        traceback.print_exc()
        status = 1
    threading._shutdown()  # type: ignore[attr-defined]
    atexit._run_exitfuncs()
    gc.collect()  # tells what was left open
    sys.stderr.flush()
    os._exit(status if isinstance(status, int) else status is not None)


def _warm_up() -> None:
    """Look at the campaign that `petition init` makes, which fills the caches."""
    began = os.getcwd()  # noqa: PTH109
    with tempfile.TemporaryDirectory() as folder:
        shutil.copytree(_ROOT / "petition" / "starter", folder, dirs_exist_ok=True)
        os.environ["XDG_STATE_HOME"] = folder
        os.chdir(folder)
        for command in ("check", "preview", "status"):
            sys.argv = ["petition", command]
            with contextlib.suppress(SystemExit):
                petition.__main__.run()
        os.chdir(began)
    output.out.cache_clear()  # for its own streams
    output.err.cache_clear()


if __name__ == "__main__":
    import importlib
    import pkgutil

    import petition.__main__
    from petition.cli import output

    listening = [socket.socket(fileno=int(file)) for file in sys.argv[1:]]
    for module in pkgutil.walk_packages(petition.__path__, "petition."):
        if module.name != "petition.system.windows":
            importlib.import_module(module.name)
    _warm_up()
    gc.collect()
    gc.freeze()
    command = _serve(*listening)
    _end(command)
