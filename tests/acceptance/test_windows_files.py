"""petition/system/windows.py, in the Windows build of CPython under Wine."""

from pathlib import Path

import pytest

from tests.servers.windows import Windows

pytestmark = [pytest.mark.slow, pytest.mark.component("wine", "windows-python")]

PROGRAM = r"""
import os, subprocess, sys
from pathlib import Path
from petition import system
from petition.credentials import SecretSource, _run
from petition.errors import ServerTrouble
from petition.outbox.unsubscribe import count_clicks, note_clicks, has_clicks
from petition.outbox.log import Log

def refused(kind, work, *arguments, **options):
    try:
        work(*arguments, **options)
    except kind:
        return True
    return False

system.prepare()
path = Path("lock")
owner = system.open_file(path, os.O_RDWR | os.O_CREAT)
other = system.open_file(path, os.O_RDWR)
system.lock(owner)
os.write(owner, b"mine\n")
assert os.read(other, 10) == b"mine\n"  # neither hidden by the lock, nor changed
assert refused(BlockingIOError, system.lock, other)
assert refused(BlockingIOError, system.lock, other, shared=True)
os.close(owner)
system.lock(other, shared=True)
third = system.open_file(path, os.O_RDWR)
system.lock(third, shared=True)
path.rename("renamed")  # while it is open
os.close(other)
os.close(third)

begin = "import os, sys, time; from petition import system;"
holds = begin + "system.lock(system.open_file('renamed', os.O_RDWR)); print(1, flush=True);"
child = subprocess.Popen([sys.executable, "-c", holds + "time.sleep(600)"], stdout=subprocess.PIPE)
child.stdout.readline()
handle = system.open_file("renamed", os.O_RDWR)
assert refused(BlockingIOError, system.lock, handle)
child.terminate()
system.lock(handle, waits=True)  # its death freed it
os.close(handle)

Path("open").write_text("x")
handle = system.open_file("open", os.O_RDONLY)
assert system.access_of_others(handle, "open") is not None  # the folder lets others read
system.close_to_others(Path("open"))
assert system.access_of_others(handle, "open") is None
os.close(handle)
handle = system.open_file("private", os.O_RDWR | os.O_CREAT)
assert system.access_of_others(handle, "private") is None
os.close(handle)
for wrong in ("NUL", "nothing", "."):
    assert refused(OSError, system.open_file, wrong, os.O_RDONLY), wrong
assert refused(FileExistsError, system.open_file, "open", os.O_WRONLY | os.O_CREAT | os.O_EXCL)
system.replace(Path("private"), Path("open"))
assert Path("open").read_text() == ""
system.sync_path(Path("open"))
system.sync_path(Path("."))

assert system.names_other_machine("//server/share") and system.names_other_machine(r"\\server\x")
assert not system.names_other_machine("C:/x")
assert system.file_system(Path(r"\\server\share\x")) == "network drive"
assert system.account_name()

log = Log("sqlite:///" + str(Path("petition.db").absolute()))
for name in ("petition.db", "petition.db-wal", "petition.db-shm"):
    handle = system.open_file(name, os.O_RDONLY)
    assert system.access_of_others(handle, name) is None, name
    os.close(handle)
assert log.key  # made before a click, as by the first letter
clicks = Path("clicks")
note_clicks(clicks, ["ab" * 16, "cd" * 16])
assert has_clicks(clicks)
assert count_clicks(log, clicks) == 0  # nobody has these tokens
assert not has_clicks(clicks)
log.close()

source = SecretSource("smtp", "password")
Path("pass.cmd").write_text("@echo off\necho secret %1 %2\n")
assert _run(r".\pass.cmd show x", source) == "secret show x\r\n"
assert _run('echo a b|find "b"', source) == "a b\r\n"
assert refused(ServerTrouble, _run, "pass.cmd show x", source)  # a stranger's, in the folder
print("all")
"""


def test_files_locks_and_commands(windows: Windows, tmp_path: Path):
    campaign = tmp_path / "campaign"
    campaign.mkdir()
    (campaign / "program.py").write_text(PROGRAM, encoding="utf-8")
    status, out, err = windows.run(windows.python, "program.py", cwd=campaign)
    assert (status, out.strip()) == (0, "all"), err
