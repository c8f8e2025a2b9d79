"""Runs under Wine: `on_windows.py ARGUMENT...` starts Python, and ends as it does.

A line on standard input says what to do to it. Linux cannot: its signals end what Wine runs in
other ways than Windows would.
"""

import ctypes
import signal
import subprocess
import sys
import threading

KILLED = 9


def main() -> int:
    kernel = ctypes.WinDLL("kernel32")
    # A console is what Ctrl-C comes from.
    kernel.FreeConsole()
    kernel.AllocConsole()
    signal.signal(signal.SIGINT, lambda *_: None)  # it is for what is started
    # Named, for the new console has become what a process would inherit.
    streams = {"stdin": subprocess.DEVNULL, "stdout": sys.stdout, "stderr": sys.stderr}
    started = subprocess.Popen([sys.executable, *sys.argv[1:]], **streams)

    def obey() -> None:
        for line in sys.stdin:
            if line == "kill\n":
                kernel.TerminateProcess(int(started._handle), KILLED)
            elif line == "interrupt\n":
                kernel.GenerateConsoleCtrlEvent(signal.CTRL_C_EVENT, 0)

    threading.Thread(target=obey, daemon=True).start()
    return started.wait()


sys.exit(main())
