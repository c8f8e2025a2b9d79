"""What the benchmarks share: commands measured as whole processes, and what takes their letters."""

import compileall
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parent.parent
BEFORE = "petition, before"
PETITION = (sys.executable, "-m", "petition")


@dataclass(frozen=True)
class Used:
    """What processes used from the first start to the last end.

    Args:
        seconds: By the clock.
        processor: Seconds of the processor, of all of them.
        memory: Megabytes of the largest one.
        alone: Of the first one, seconds of the processor until it began a second thread.
        others: Of the first one, seconds of the threads that it began; 0 where there is no /proc.
    """

    seconds: float
    processor: float
    memory: float
    alone: float
    others: float


def run(
    command: Sequence[str],
    folder: Path,
    environment: dict[str, str],
    *,
    number: int = 1,
    ends: Sequence[int] = (0,),
    seconds: float = 0,
) -> Used:
    """Run a command so many times at once in a folder, and wait until all have ended.

    Args:
        command: The program and its arguments.
        folder: Where they run.
        environment: All of their environment.
        number: How many.
        ends: The exit statuses that are expected.
        seconds: After how long SIGTERM ends them; 0: they end by themselves.
    """
    with tempfile.TemporaryFile() as err:
        began = time.monotonic()
        crew = [
            subprocess.Popen(
                command,
                cwd=folder,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=err,
            )
            for _ in range(number)
        ]
        threads = _Threads(crew[0].pid)
        if seconds:
            time.sleep(seconds)
            for one in crew:
                os.kill(one.pid, signal.SIGTERM)  # which leaves it to be waited for
        processor = memory = 0.0
        for one in crew:
            _, status, used = os.wait4(one.pid, 0)
            one.returncode = os.waitstatus_to_exitcode(status)
            processor += used.ru_utime + used.ru_stime
            memory = max(
                memory, used.ru_maxrss / (1 << 20 if sys.platform == "darwin" else 1 << 10)
            )
        took = time.monotonic() - began
        for one in crew:
            if one.returncode not in ends:
                err.seek(0)
                said = err.read().decode()[-500:]
                sys.exit(f"{' '.join(command)} ended with {one.returncode}: {said}")
        return Used(took, processor, memory, *threads.end())


class _Threads:
    """Looks up, again and again, how the time of a process divides among its threads."""

    def __init__(self, process: int) -> None:
        self._process = process
        self._used: dict[str, float] = {}
        self._alone = 0.0
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()

    def _watch(self) -> None:
        while not self._ended.wait(0.02):
            with suppress(OSError, ValueError):  # a thread has ended meanwhile
                for task in Path(f"/proc/{self._process}/task").iterdir():
                    spent = int((task / "schedstat").read_text().split()[0]) / 1e9
                    self._used[task.name] = spent
                if len(self._used) == 1:
                    self._alone = spent

    def end(self) -> tuple[float, float]:
        """Seconds of the first thread while it was alone, and of the others."""
        self._ended.set()
        self._thread.join()
        self._used.pop(str(self._process), None)
        return self._alone, sum(self._used.values())


def environment_of(checkout: Path, folder: Path, port: int = 1) -> dict[str, str]:
    """The environment in which a checkout sends a campaign to a port of this machine.

    Args:
        checkout: Whose petition is run.
        folder: Of the campaign; what the account knows of its logs is kept there too.
        port: Where nothing listens at 1, a command ends when it has queued its letters.
    """
    kept = {
        name: value
        for name, value in os.environ.items()
        if "PETITION" not in name and name != "PYTHONDONTWRITEBYTECODE"
    }
    return kept | {
        "PETITION_SMTP_HOST": "127.0.0.1",
        "PETITION_SMTP_PORT": str(port),
        "PETITION_SMTP_SECURITY": "none",
        "PYTHONPATH": str(checkout),
        "XDG_STATE_HOME": str(folder / "state"),
    }


def checkouts(against: Path | None) -> dict[str, Path]:
    """This checkout, and one to compare it with, each compiled."""
    both = {"petition": ROOT} | ({BEFORE: against.resolve()} if against else {})
    for folder in both.values():
        compileall.compile_dir(folder / "petition", quiet=2)
    return both


def found(program: str) -> str | None:
    """Where a program of Postfix is; Debian keeps them out of a person's path."""
    return shutil.which(program, path=f"{os.environ.get('PATH', '')}:/usr/sbin")


def postfix_sink() -> list[str]:
    """The command of Postfix's smtp-sink, which runs under the account of Postfix."""
    who = ["-u", "postfix"] if os.geteuid() == 0 else []
    return [found("smtp-sink") or "", *who, "127.0.0.1:PORT", "1000"]


def light_sink(folder: Path) -> list[str] | None:
    """The command of `light_sink.c`, compiled into a folder; None: there is no compiler."""
    compiler, program = shutil.which("cc"), str(folder / "light_sink")
    if compiler is None:
        return None
    source = str(Path(__file__).with_name("light_sink.c"))
    subprocess.run([compiler, "-O2", "-pthread", "-o", program, source], check=True)
    return [program, "PORT"]


@contextmanager
def sink(command: Sequence[str]) -> Iterator[int]:
    """What takes letters, on a free port, which its command has for PORT."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = int(listener.getsockname()[1])
    line = [word.replace("PORT", str(port)) for word in command]
    process = subprocess.Popen(line, stderr=subprocess.DEVNULL)
    try:
        for _ in range(200):
            try:
                socket.create_connection(("127.0.0.1", port)).close()
            except OSError:
                time.sleep(0.02)
            else:
                break
        yield port
    finally:
        process.terminate()
        process.wait()
