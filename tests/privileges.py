"""Runs a program to which file permissions apply, even where the tests run as root."""

import os
import shutil

_CAPABILITIES = "-dac_override,-dac_read_search"


def bound_by_permissions() -> list[str]:
    """The words to put before a command, so that a read-only file is read-only for it."""
    if os.geteuid() != 0:
        return []
    setpriv = shutil.which("setpriv")
    assert setpriv, "root needs setpriv (util-linux) for this test"
    return [setpriv, f"--bounding-set={_CAPABILITIES}", f"--inh-caps={_CAPABILITIES}"]
