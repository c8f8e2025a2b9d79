"""What both systems have to offer, and how Linux does it; the Wine tests try the Windows side."""

import ast
import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from petition import system
from petition.system import posix

FOLDER = Path(posix.__file__).parent


def signatures(name: str) -> dict[str, str]:
    """What a module offers: its functions with their parameters, and its other names."""
    tree = ast.parse((FOLDER / name).read_text(encoding="utf-8"))
    public = {}
    for node in tree.body:
        if isinstance(node, ast.FunctionDef):
            public[node.name] = ast.unparse(node.args).replace("'", "")
        elif isinstance(node, ast.Assign | ast.AnnAssign):
            target = node.targets[0] if isinstance(node, ast.Assign) else node.target
            if isinstance(target, ast.Name):
                public[target.id] = ""
            if isinstance(target, ast.Name) and target.id == "__all__":
                assert node.value is not None
                offered = ast.literal_eval(node.value)
    return {one: public[one] for one in offered}


def test_windows_offers_the_same():
    assert signatures("windows.py") == signatures("posix.py")


def opened(path: Path, flags: int = os.O_RDWR | os.O_CREAT) -> int:
    return system.open_file(path, flags)


def test_a_new_file_is_for_its_owner_alone(tmp_path: Path):
    handle = opened(tmp_path / "file")
    assert (tmp_path / "file").stat().st_mode & 0o777 == 0o600
    assert system.access_of_others(handle, "file") is None
    (tmp_path / "file").chmod(0o640)
    shown = system.access_of_others(handle, "file")
    os.close(handle)
    assert shown is not None
    assert "0640" in shown[0]


def test_what_is_no_file_of_its_own_is_not_opened(tmp_path: Path):
    (tmp_path / "file").write_text("text")
    (tmp_path / "link").symlink_to("file")
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "link", tmp_path / "pipe", tmp_path, Path("/dev/null")):
        with pytest.raises(OSError):  # noqa: PT011 (of different kinds)
            system.open_file(path, os.O_RDONLY)
    os.close(system.open_file(tmp_path / "link", os.O_RDONLY, follows=True))


def test_a_shared_lock_excludes_the_other_kind_alone(tmp_path: Path):
    handles = [opened(tmp_path / "lock") for _ in range(3)]
    system.lock(handles[0], shared=True)
    system.lock(handles[1], shared=True)
    with pytest.raises(BlockingIOError):
        system.lock(handles[2])
    os.close(handles[0])
    os.close(handles[1])
    system.lock(handles[2])
    with pytest.raises(BlockingIOError):
        system.lock(opened(tmp_path / "lock"), shared=True)
    os.close(handles[2])


def test_death_frees_a_lock_whose_file_was_readable_meanwhile(tmp_path: Path):
    program = f"""
        import os, signal
        from petition import system
        handle = system.open_file({str(tmp_path / "lock")!r}, os.O_RDWR | os.O_CREAT)
        system.lock(handle)
        os.write(handle, b"mine")
        print("locked", flush=True)
        signal.pause()
    """
    with begin(program) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "locked\n"
        handle = opened(tmp_path / "lock")
        assert os.read(handle, 10) == b"mine"
        with pytest.raises(BlockingIOError):
            system.lock(handle)
        other.kill()
        system.lock(handle, waits=True)
    os.close(handle)


@pytest.mark.parametrize(
    ("number", "told"),
    [(signal.SIGINT, "interrupted"), (signal.SIGTERM, "ended"), (signal.SIGHUP, "ended")],
)
def test_each_signal_reaches_the_event_loop(number: signal.Signals, told: str):
    program = """
        import asyncio
        from petition import system

        async def main():
            heard = asyncio.get_running_loop().create_future()
            system.obey_signals(
                lambda: heard.set_result("interrupted"), lambda: heard.set_result("ended")
            )
            print("ready", flush=True)
            print(await heard)

        asyncio.run(main())
    """
    with begin(program) as other:
        assert other.stdout is not None
        other.stdout.readline()
        other.send_signal(number)
        assert other.stdout.read() == f"{told}\n"


def begin(program: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(program)], stdout=subprocess.PIPE, text=True
    )


def test_what_mount_shows_on_a_mac():
    shown = """\
/dev/disk3s1s1 on / (apfs, sealed, local, read-only, journaled)
map auto_home on /System/Volumes/Data/home (autofs, automounted, nobrowse)
//me@nas/share on /Volumes/My share (old) (smbfs, nodev, nosuid, mounted by me)
"""
    assert list(posix.mounts_of_mac(shown)) == [
        (Path("/"), "apfs"),
        (Path("/System/Volumes/Data/home"), "autofs"),
        (Path("/Volumes/My share (old)"), "smbfs"),
    ]


@pytest.mark.parametrize(
    ("lacks", "named"), [("fcntl", "Linux, macOS and Windows"), ("_sqlite3", "sqlite3")]
)
def test_a_system_that_lacks_something_is_told_in_a_sentence(
    tmp_path: Path, lacks: str, named: str
):
    program = f"""
        import sys
        sys.modules[{lacks!r}] = None
        sys.argv = ["petition", "check"]
        from petition.cli.main import run
        run()
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program)],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        check=False,
    )
    assert done.returncode == 1
    assert named in done.stderr
    assert "Traceback" not in done.stderr
    assert "Internal error" not in done.stderr
