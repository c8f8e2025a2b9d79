"""Windows, partly by Win32 functions that Python does not wrap.

https://learn.microsoft.com/windows/win32/api/ documents each by its name. `posix.py` says what the
functions here are for.
"""

import _winapi
import ctypes
import errno
import msvcrt
import os
import re
import signal
import stat
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from ctypes import wintypes
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import asyncio
    import socket
    from datetime import datetime

assert sys.platform == "win32"  # noqa: S101 (so that mypy skips this module elsewhere)

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

NOT_IN_NAMES = '<>:"|?*'  # a colon leads to another disk, or to a hidden part of a file
IS_DESKTOP = True
OUTPUT_ENCODING: str | None = "utf-8"  # a pipe would get an old code page, which lacks most letters
PGPASS = r"%APPDATA%\postgresql\pgpass.conf"

_kernel32 = ctypes.WinDLL("kernel32", use_last_error=True)
_advapi32 = ctypes.WinDLL("advapi32", use_last_error=True)

_ACCESS_DENIED, _SHARING_VIOLATION, _LOCK_VIOLATION = 5, 32, 33  # error codes
_PATIENCE = 2.0  # seconds; virus scanners and indexers open new files for a moment


def prepare() -> None:
    # Otherwise programs are looked for first in the working folder, which may be a stranger's.
    os.environ["NODEFAULTCURRENTDIRECTORYINEXEPATH"] = "1"


def _failed(path: Path | str | None = None, code: int | None = None) -> OSError:
    code = ctypes.get_last_error() if code is None else code
    return OSError(0, ctypes.FormatError(code).strip(), path and str(path), code)


# ---- files

_ACCESS = {os.O_RDONLY: 0x80000000, os.O_WRONLY: 0x40000000, os.O_RDWR: 0xC0000000}
_SHARE_ALL = 7  # others may read, write, and, as everywhere else, rename and delete
_NORMAL = 0x80  # FILE_ATTRIBUTE_NORMAL
_CREATE_NEW, _CREATE_ALWAYS, _OPEN_EXISTING, _OPEN_ALWAYS, _TRUNCATE_EXISTING = range(1, 6)
_INVALID = wintypes.HANDLE(-1).value


class _SecurityAttributes(ctypes.Structure):
    _fields_ = (
        ("length", wintypes.DWORD),
        ("descriptor", wintypes.LPVOID),
        ("is_inherited", wintypes.BOOL),
    )


_create_file = _kernel32.CreateFileW
_create_file.restype = wintypes.HANDLE
_create_file.argtypes = (
    wintypes.LPCWSTR,
    wintypes.DWORD,
    wintypes.DWORD,
    ctypes.POINTER(_SecurityAttributes),
    wintypes.DWORD,
    wintypes.DWORD,
    wintypes.HANDLE,
)


def open_file(path: Path | str, flags: int, *, follows: bool = False) -> int:
    # Python's own `open` forbids others to rename or delete the file while it is open.
    if not follows and Path(path).is_symlink():
        raise OSError(errno.ELOOP, "it is a symbolic link", str(path))
    if flags & os.O_CREAT:
        how = _CREATE_ALWAYS if flags & os.O_TRUNC else _OPEN_ALWAYS
        how = _CREATE_NEW if flags & os.O_EXCL else how
    else:
        how = _TRUNCATE_EXISTING if flags & os.O_TRUNC else _OPEN_EXISTING
    access = _ACCESS[flags & (os.O_WRONLY | os.O_RDWR)]
    private = _SecurityAttributes(ctypes.sizeof(_SecurityAttributes), _private(), False)
    until = time.monotonic() + _PATIENCE
    while True:
        opened = _create_file(str(path), access, _SHARE_ALL, private, how, _NORMAL, None)
        if opened != _INVALID:
            break
        code = ctypes.get_last_error()
        if code != _SHARING_VIOLATION or time.monotonic() > until:
            raise _failed(path, code)
        time.sleep(0.01)
    handle = msvcrt.open_osfhandle(opened, flags & (os.O_APPEND | os.O_WRONLY | os.O_RDWR))
    if not stat.S_ISREG(os.fstat(handle).st_mode):  # a device, such as NUL
        os.close(handle)
        raise OSError(errno.EINVAL, "it is not a file", str(path))
    return handle


def replace(source: Path, target: Path) -> None:
    replace_existing, write_through = 1, 8  # MOVEFILE_...: it returns when the names are durable
    until = time.monotonic() + _PATIENCE
    while not _kernel32.MoveFileExW(str(source), str(target), replace_existing | write_through):
        code = ctypes.get_last_error()
        if code not in {_ACCESS_DENIED, _SHARING_VIOLATION} or time.monotonic() > until:
            raise _failed(target, code)
        time.sleep(0.01)


_kernel32.MoveFileExW.argtypes = (wintypes.LPCWSTR, wintypes.LPCWSTR, wintypes.DWORD)


def find_hard_links(name: str) -> str:
    return f"fsutil hardlink list {name}"


def sync(handle: int) -> None:
    os.fsync(handle)


def sync_path(path: Path) -> None:
    # NTFS keeps names in a journal, and flushing any file flushes that too.
    if path.is_dir():
        return
    handle = os.open(path, os.O_RDWR)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def file_system(folder: Path) -> str:
    remote = 4  # DRIVE_REMOTE
    is_remote = names_other_machine(folder.anchor) or (
        _kernel32.GetDriveTypeW(folder.anchor) == remote
    )
    return "network drive" if is_remote else ""


_kernel32.GetDriveTypeW.argtypes = (wintypes.LPCWSTR,)
_kernel32.GetDriveTypeW.restype = wintypes.UINT


def names_other_machine(path: str) -> bool:
    return re.match(r"[\\/]{2}", path) is not None


# ---- who may use a file

_DACL = 4  # DACL_SECURITY_INFORMATION: the list of who may do what
_A_FILE = 1  # SE_FILE_OBJECT
_ACE = re.compile(r"\((?P<kind>\w+);[^;]*;[^;]*;[^;]*;[^;]*;(?P<who>[^;)]+)[^)]*\)")

_kernel32.LocalFree.argtypes = (wintypes.LPVOID,)
_kernel32.GetCurrentProcess.restype = wintypes.HANDLE
_kernel32.CloseHandle.argtypes = (wintypes.HANDLE,)
_advapi32.OpenProcessToken.argtypes = (
    wintypes.HANDLE,
    wintypes.DWORD,
    ctypes.POINTER(wintypes.HANDLE),
)
_advapi32.GetTokenInformation.argtypes = (
    wintypes.HANDLE,
    ctypes.c_int,
    wintypes.LPVOID,
    wintypes.DWORD,
    ctypes.POINTER(wintypes.DWORD),
)
_advapi32.ConvertSidToStringSidW.argtypes = (wintypes.LPVOID, ctypes.POINTER(wintypes.LPWSTR))
_advapi32.ConvertStringSecurityDescriptorToSecurityDescriptorW.argtypes = (
    wintypes.LPCWSTR,
    wintypes.DWORD,
    ctypes.POINTER(wintypes.LPVOID),
    ctypes.POINTER(wintypes.ULONG),
)
_advapi32.ConvertSecurityDescriptorToStringSecurityDescriptorW.argtypes = (
    wintypes.LPVOID,
    wintypes.DWORD,
    wintypes.DWORD,
    ctypes.POINTER(wintypes.LPWSTR),
    ctypes.POINTER(wintypes.ULONG),
)
_advapi32.SetFileSecurityW.argtypes = (wintypes.LPCWSTR, wintypes.DWORD, wintypes.LPVOID)
_advapi32.GetSecurityInfo.restype = wintypes.DWORD
_advapi32.GetSecurityInfo.argtypes = (
    wintypes.HANDLE,
    ctypes.c_int,
    wintypes.DWORD,
    wintypes.LPVOID,
    wintypes.LPVOID,
    wintypes.LPVOID,
    wintypes.LPVOID,
    ctypes.POINTER(wintypes.LPVOID),
)


@cache
def _account_sid() -> str:
    token = wintypes.HANDLE()
    query, token_user = 8, 1  # TOKEN_QUERY, TokenUser
    process = _kernel32.GetCurrentProcess()
    if not _advapi32.OpenProcessToken(process, query, ctypes.byref(token)):
        raise _failed()
    try:
        user = (wintypes.LPVOID * 32)()  # begins with a pointer to the SID, which follows
        size = wintypes.DWORD()
        if not _advapi32.GetTokenInformation(
            token, token_user, user, ctypes.sizeof(user), ctypes.byref(size)
        ):
            raise _failed()
        text = wintypes.LPWSTR()
        if not _advapi32.ConvertSidToStringSidW(user[0], ctypes.byref(text)):
            raise _failed()
        try:
            return text.value or ""
        finally:
            _kernel32.LocalFree(text)
    finally:
        _kernel32.CloseHandle(token)


@cache  # never freed
def _private() -> int | None:
    """A security descriptor: for this account, the system and administrators alone."""
    text = f"D:P(A;;FA;;;{_account_sid()})(A;;FA;;;SY)(A;;FA;;;BA)"
    descriptor = wintypes.LPVOID()
    if not _advapi32.ConvertStringSecurityDescriptorToSecurityDescriptorW(
        text, 1, ctypes.byref(descriptor), None
    ):
        raise _failed()
    return descriptor.value


def close_to_others(path: Path) -> None:
    # If the disk has no permissions, or we may not change them, the file stays as it is.
    if path.is_file() and not path.is_symlink():
        _advapi32.SetFileSecurityW(str(path), _DACL, _private())


def access_of_others(handle: int, file: str) -> tuple[str, str] | None:
    descriptor = wintypes.LPVOID()
    code = _advapi32.GetSecurityInfo(
        msvcrt.get_osfhandle(handle),
        _A_FILE,
        _DACL,
        None,
        None,
        None,
        None,
        ctypes.byref(descriptor),
    )
    if code:
        raise _failed(file, code)
    try:
        allowed = _allowed(descriptor.value)
    finally:
        _kernel32.LocalFree(descriptor)
    others = allowed - _allowed(_private()) - {"OW"}  # whoever owns the file
    hint = f'icacls "{file}" /inheritance:r /grant:r "{account_name()}:F"'
    return (f"it is open to {', '.join(sorted(others))}", hint) if others else None


def _allowed(descriptor: int | None) -> set[str]:
    """Whom a security descriptor allows anything, as SDDL names them."""
    text = wintypes.LPWSTR()
    if not _advapi32.ConvertSecurityDescriptorToStringSecurityDescriptorW(
        descriptor, 1, _DACL, ctypes.byref(text), None
    ):
        raise _failed()
    try:
        found = [*_ACE.finditer(text.value or "")]
    finally:
        _kernel32.LocalFree(text)
    if not found:  # no list at all: everybody may do everything
        return {"everybody"}
    return {one["who"] for one in found if one["kind"] not in {"D", "OD", "XD"}}


def is_of_other_account(found: os.stat_result) -> bool:
    # What an administrator makes can belong to the whole group: the owner tells nothing.
    del found
    return False


# ---- locks


class _Overlapped(ctypes.Structure):
    _fields_ = (
        ("internal", ctypes.c_void_p),
        ("internal_high", ctypes.c_void_p),
        ("offset", wintypes.DWORD),
        ("offset_high", wintypes.DWORD),
        ("event", wintypes.HANDLE),
    )


_kernel32.LockFileEx.argtypes = (
    wintypes.HANDLE,
    wintypes.DWORD,
    wintypes.DWORD,
    wintypes.DWORD,
    wintypes.DWORD,
    ctypes.POINTER(_Overlapped),
)
_FAIL_IMMEDIATELY, _EXCLUSIVE = 1, 2


def lock(handle: int, *, shared: bool = False, waits: bool = False) -> None:
    # msvcrt has no shared locks. Others cannot read what is locked, so lock a byte far beyond the
    # end of the file.
    how = (0 if shared else _EXCLUSIVE) | (0 if waits else _FAIL_IMMEDIATELY)
    place = _Overlapped(offset_high=0x40000000)
    if not _kernel32.LockFileEx(msvcrt.get_osfhandle(handle), how, 0, 1, 0, ctypes.byref(place)):
        code = ctypes.get_last_error()
        if code == _LOCK_VIOLATION:
            raise BlockingIOError(errno.EAGAIN, "another has the lock")
        raise _failed(None, code)


# ---- the process


def account_name() -> str:
    return os.getlogin()  # which does not read the environment on Windows


def obey_signals(interrupted: Callable[[], None], ended: Callable[[], None]) -> None:
    # Event loops have no signal handlers here. When the window is closed or the machine shuts down,
    # Windows ends the process before a handler can finish anything.
    import asyncio  # noqa: PLC0415 (as in posix.py, only where it is needed)

    loop = asyncio.get_running_loop()

    def told(callback: Callable[[], None]) -> Callable[..., None]:
        def handler(*_: object) -> None:
            try:
                loop.call_soon_threadsafe(callback)
            except RuntimeError:  # the loop has ended
                raise KeyboardInterrupt from None

        return handler

    signal.signal(signal.SIGINT, told(interrupted))
    for number in (signal.SIGTERM, signal.SIGBREAK):
        signal.signal(number, told(ended))


def selector_loop() -> "Callable[[], asyncio.AbstractEventLoop] | None":
    import asyncio  # noqa: PLC0415

    return asyncio.SelectorEventLoop  # the usual one waits for operations, not for sockets


def has_no_reader(fault: OSError) -> bool:
    # The C library reports a pipe without a reader as EINVAL; an error of a file has its name.
    is_output = fault.filename is None
    return is_output and (isinstance(fault, BrokenPipeError) or fault.errno == errno.EINVAL)


# ---- the network


def allow_open_files(most: int) -> None:
    del most  # there is no limit


def keep_port(sock: "socket.socket") -> None:
    import socket  # noqa: PLC0415

    # SO_REUSEADDR would let other programs take the port; Windows frees a used one at once.
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_EXCLUSIVEADDRUSE, 1)


# ---- other programs

_WORD = re.compile(r'(?:[^\s"]|"[^"]*"?)+')


def command_words(command: str) -> list[str]:
    return [word.replace('"', "") for word in _WORD.findall(command)]


def command_line(command: str, words: Iterable[str]) -> list[str] | str:
    # By cmd, since many programs are batch files, which nothing else runs.
    now = iter(words)

    def put(found: re.Match[str]) -> str:
        word = next(now)
        return found[0] if word == found[0].replace('"', "") else f'"{word}"'

    shell = Path(os.environ.get("SYSTEMROOT", r"C:\Windows"), "System32", "cmd.exe")
    return f'"{shell}" /d /s /c "{_WORD.sub(put, command)}"'


def has_input(pipe: int, seconds: float) -> bool:
    until = time.monotonic() + seconds
    while True:
        try:
            if _winapi.PeekNamedPipe(msvcrt.get_osfhandle(pipe), 0)[0]:
                return True
        except BrokenPipeError:  # its end
            return True
        if time.monotonic() >= until:
            return False
        time.sleep(0.005)


def set_variable(name: str, value: object) -> str:
    return f'$env:{name} = "{value}"'  # of PowerShell


def schedule(at: "datetime", words: list[str]) -> list[str]:
    import subprocess  # noqa: PLC0415

    local = at.astimezone()
    program, arguments = words[0], subprocess.list2cmdline(words[1:])
    program, arguments = (one.replace("'", "''") for one in (program, arguments))
    trigger = f"(New-ScheduledTaskTrigger -Once -At '{local:%Y-%m-%dT%H:%M:%S}')"
    action = f"(New-ScheduledTaskAction -Execute '{program}' -Argument '{arguments}')"
    name = f"petition-{local:%Y%m%d-%H%M}"
    return [f"Register-ScheduledTask -TaskName {name} -Trigger {trigger} -Action {action}"]


@contextmanager
def single_keys() -> Iterator[None]:
    yield


@contextmanager
def whole_lines() -> Iterator[None]:
    yield


def read_key() -> str:
    key = msvcrt.getwch()
    if key == "\x03":
        raise KeyboardInterrupt
    if key in {"\x00", "\xe0"} and msvcrt.kbhit():  # an arrow or function key is two
        return key + msvcrt.getwch()
    return "" if key == "\x1a" else key  # Ctrl-Z
