"""What all tests share: components that are not Python packages."""

import gc
import os
import shutil
import signal
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from tests import SHARED
from tests.servers import windows
from tests.servers.authority import Authority
from tests.servers.browser import NODE_MODULES
from tests.servers.postgres import BINARIES, Postgres, running_postgres

# How many examples a property test tries; `--hypothesis-profile` chooses. None has a time limit,
# since a busy machine must not fail a test.
for _name, _examples in {"fast": 20, "moderate": 50, "thorough": 300}.items():
    settings.register_profile(
        _name,
        max_examples=_examples,
        deadline=None,
        suppress_health_check=[HealthCheck.too_slow],
    )
settings.load_profile("moderate")

# Most tests wait for a disk that keeps what they write, and need none: where there is enough memory
# for it, their files are there.
_MEMORY = Path("/dev/shm")
if sys.platform == "linux" and "TMPDIR" not in os.environ and os.access(_MEMORY, os.W_OK | os.X_OK):
    _there = os.statvfs(_MEMORY)
    if _there.f_bavail * _there.f_frsize > 2 * 2**30 and not _there.f_flag & os.ST_NOEXEC:
        os.environ["TMPDIR"] = tempfile.tempdir = str(_MEMORY)

# A job that a shell put into the background ignores SIGINT, one under nohup SIGHUP, and so would
# every process that it starts. Where we handle a signal, they begin with its default.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
if sys.platform != "win32" and signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:
    signal.signal(signal.SIGHUP, lambda *_: None)

# Where a component may be, beside the PATH: with this Python, and where root finds programs.
_ELSEWHERE = f"{Path(sys.executable).parent}:/usr/sbin:/sbin:/usr/bin:/bin"


def _is_there(component: str) -> bool:
    if component == "unix":  # links, pipes and permissions as there
        return os.name == "posix"
    if component == "root":
        return os.name == "posix" and os.geteuid() == 0
    if component == "windows-python":
        return windows.IS_THERE
    if (NODE_MODULES / component).is_dir():
        return True
    return bool(shutil.which(component) or shutil.which(component, path=_ELSEWHERE))


@pytest.fixture(scope="session", autouse=True)
def _session_state_home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """For fixtures that many tests share: the person's own state folder is out of reach."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_STATE_HOME", str(tmp_path_factory.mktemp("state")))
        yield


@pytest.fixture(autouse=True)
def state_home(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A state folder of the test's own: no test sees what another, or the person, has there."""
    path = tmp_path_factory.mktemp("state")
    monkeypatch.setenv("XDG_STATE_HOME", str(path))
    return path


@pytest.fixture(scope="session")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """Who signs the certificates of servers; a client trusts it only if it is told to."""
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    """A PostgreSQL for all tests of a process; each log in it is a schema of its own."""
    if BINARIES is None:
        pytest.skip("needs PostgreSQL: make test installs it")
    with running_postgres() as server:
        yield server


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int:
    """Twice as many processes as cores: many tests wait for a server more than they work."""
    return 2 * (os.cpu_count() or 1)


def pytest_configure(config: pytest.Config) -> None:
    """Make a folder that all processes of a run share."""
    if not hasattr(config, "workerinput"):
        shared = tempfile.mkdtemp(prefix="shared-")
        Path(shared).chmod(0o755)
        os.environ[SHARED] = shared
        config.add_cleanup(lambda: shutil.rmtree(shared, ignore_errors=True))


def pytest_collection_finish() -> None:
    """Leave what was collected out of every later search for garbage."""
    gc.freeze()


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what needs PostgreSQL, so that `make test-fast` can leave it out."""
    for item in items:
        parameters = getattr(getattr(item, "callspec", None), "params", {})
        if "postgres" in getattr(item, "fixturenames", ()) or "postgresql" in parameters.values():
            item.add_marker("postgres")


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip a test whose component is missing; where `CI=true` it must be there."""
    for mark in item.iter_markers("component"):
        missing = [name for name in mark.args if not _is_there(name)]
        if not missing:
            continue
        if os.environ.get("CI") == "true":
            pytest.fail(f"needs {', '.join(missing)}, which must be there in CI")
        pytest.skip(f"needs {', '.join(missing)}")
