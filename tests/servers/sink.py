"""Postfix's smtp-sink: a server in C that does on request what servers should not do."""

import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests import PATIENCE
from tests.servers.postfix import free_port

SINK = shutil.which("smtp-sink", path="/usr/sbin:/usr/bin:/sbin:/bin")


@dataclass(frozen=True, slots=True)
class Sink:
    """A running smtp-sink: its port, and the folder that it writes each letter to."""

    port: int
    folder: Path

    @property
    def recipients(self) -> list[str]:
        """Whom the letters were for whose body came whole, one by one."""
        found = []
        for path in sorted(self.folder.iterdir()):
            text = path.read_text(encoding="utf-8", errors="replace")
            found += [
                line.partition("<")[2].partition(">")[0]
                for line in text.splitlines()
                if line.startswith("X-Rcpt-Args:")
            ]
        return found


@contextmanager
def running_sink(*switches: str, keeps: bool = True) -> Iterator[Sink]:
    """Run it until the block is left.

    Args:
        switches: As its manual has them: `-q`, `DATA`.
        keeps: Write each letter to a file; else they are forgotten.
    """
    assert SINK is not None
    # Not a folder of pytest's: those are closed to the account that it runs under.
    with tempfile.TemporaryDirectory(prefix="sink-") as folder:
        who = []
        if os.geteuid() == 0:
            who = ["-u", "postfix"]
            shutil.chown(folder, "postfix")
        port = free_port()
        files = ["-d", f"{folder}/"] if keeps else []
        command = [SINK, *who, *switches, *files, f"127.0.0.1:{port}", "100"]
        running = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        try:
            _wait_for(port, running)
            yield Sink(port, Path(folder))
        finally:
            running.terminate()
            running.communicate(timeout=PATIENCE)


def _wait_for(port: int, running: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + PATIENCE
    while True:
        try:
            socket.create_connection(("127.0.0.1", port)).close()
        except OSError:
            if running.poll() is not None or time.monotonic() > deadline:
                running.kill()
                raise RuntimeError(f"smtp-sink: {running.communicate()[1].decode()}") from None
            time.sleep(0.02)
        else:
            return
