"""Runs `petition` in a process of its own without importing everything again.

Importing takes most of a short command's processor time. So a Python imports all of petition once
and forks for each command: its folder, environment, streams, signals and caches are its own, as if
`python -m petition` had been started, and it ends the way that one ends.
"""

import atexit
import gc
import json
import os
import re
import select
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import time
import traceback
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NoReturn

_LENGTH = struct.Struct("!Q")
_NUMBER = struct.Struct("!i")


class ForkServer:
    """The client's side: one for each process that runs tests.

    Args:
        environ: What Python itself reads of the environment when it starts.
    """

    def __init__(self, environ: dict[str, str]) -> None:
        self._lock = threading.Lock()
        self._control, theirs = socket.socketpair()
        with theirs:
            self._process = subprocess.Popen(
                # -P: the folder of this file is not where modules are looked for.
                [sys.executable, "-P", __file__, str(theirs.fileno())],
                env=environ,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                pass_fds=[theirs.fileno()],
            )
        atexit.register(self._close)

    def _close(self) -> None:
        self._control.close()
        self._process.wait()

    def run(
        self, arguments: tuple[str, ...], cwd: Path, environ: dict[str, str], timeout: float
    ) -> tuple[int, bytes, bytes]:
        """Run `petition` and wait for it: its exit status, what it wrote, and its errors."""
        request = json.dumps([arguments, str(cwd), environ]).encode()
        ours, theirs = os.pipe()
        with (
            Path(os.devnull).open("rb") as nothing,
            tempfile.TemporaryFile() as out,
            tempfile.TemporaryFile() as err,
            os.fdopen(ours, "rb", buffering=0) as answer,
        ):
            files = [nothing.fileno(), out.fileno(), err.fileno(), theirs]
            with self._lock:
                socket.send_fds(self._control, [_LENGTH.pack(len(request))], files)
                self._control.sendall(request)
            os.close(theirs)
            [process] = _NUMBER.unpack(answer.read(_NUMBER.size))
            if not select.select([answer], [], [], timeout)[0]:
                os.kill(process, 9)
                answer.read()
                raise subprocess.TimeoutExpired(arguments, timeout)
            [status] = _NUMBER.unpack(answer.read(_NUMBER.size))
            out.seek(0)
            err.seek(0)
            return status, out.read(), err.read()


_STARTUP = re.compile("(PYTHON|LC_|LANG).*|VIRTUAL_ENV")  # what Python reads when it starts
_servers: dict[tuple[tuple[str, str], ...], ForkServer] = {}


def fork_server(environ: Mapping[str, str]) -> ForkServer:
    """The server for commands in such an environment; it is kept until the tests end."""
    start = tuple(sorted(one for one in environ.items() if _STARTUP.fullmatch(one[0])))
    if start not in _servers:
        _servers[start] = ForkServer({"PATH": os.environ["PATH"], **dict(start)})
    return _servers[start]


def _serve(control: socket.socket) -> None:
    """Fork for each request; return in the process that is to be the command."""
    watchers: set[int] = set()
    while True:
        head, files, _, _ = socket.recv_fds(control, _LENGTH.size, 4)
        if not head:
            os._exit(0)  # whoever ran the tests has ended
        request = b""
        [length] = _LENGTH.unpack(head)
        while len(request) < length:
            request += control.recv(length - len(request))
        watchers -= {one for one in watchers if os.waitpid(one, os.WNOHANG)[0]}
        if watcher := os.fork():
            watchers.add(watcher)
            for file in files:
                os.close(file)
            continue
        control.close()
        if _is_command(files):
            arguments, cwd, environ = json.loads(request)
            os.chdir(cwd)
            os.environ.clear()
            os.environ.update(environ)
            time.tzset()
            sys.argv = [petition.__main__.__file__, *arguments]
            return


def _is_command(files: list[int]) -> bool:
    """Fork once more: True in the command, while the other waits for it and tells how it ended."""
    *streams, answer = files
    if (command := os.fork()) == 0:
        for number, file in enumerate(streams):
            os.dup2(file, number)
        for file in files:
            os.close(file)
        return True
    for file in streams:
        os.close(file)
    os.write(answer, _NUMBER.pack(command))
    _, status = os.waitpid(command, 0)
    os.write(answer, _NUMBER.pack(os.waitstatus_to_exitcode(status)))
    os._exit(0)


def _end(run: Callable[[], NoReturn]) -> NoReturn:
    """Run the command and end as Python does, save that it does not take every module apart."""
    status: object = 1
    try:
        run()
    except SystemExit as end:
        status = end.code
    except BaseException:  # noqa: BLE001 (said as Python says it)
        traceback.print_exc()
    threading._shutdown()  # type: ignore[attr-defined]
    atexit._run_exitfuncs()
    gc.collect()  # tells what was left open
    sys.stderr.flush()
    os._exit(status if isinstance(status, int) else status is not None)


if __name__ == "__main__":
    import importlib
    import pkgutil

    import petition.__main__

    for module in pkgutil.walk_packages(petition.__path__, "petition."):
        importlib.import_module(module.name)
    gc.freeze()
    with socket.socket(fileno=int(sys.argv[1])) as begun:
        _serve(begun)
    _end(petition.__main__.run)
