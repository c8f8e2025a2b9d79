"""A Postfix of our own on loopback, with its configuration and queue in a temporary folder.

It accepts mail for any domain and delivers all of it into one Maildir, so that a test can count.
"""

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

POSTFIX = shutil.which("postfix", path="/usr/sbin:/usr/bin:/sbin:/bin")

_MAIN = """\
compatibility_level = 3.6
queue_directory = {root}/queue
data_directory = {root}/data
mail_owner = postfix
command_directory = /usr/sbin
daemon_directory = /usr/lib/postfix/sbin
maillog_file = {root}/mail.log
maillog_file_prefixes = {root}
myhostname = mail.test.example
mydestination =
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
mynetworks = 127.0.0.0/8
smtpd_relay_restrictions = permit_mynetworks, reject
smtpd_peername_lookup = no
smtputf8_enable = yes
alias_maps =
alias_database =
virtual_mailbox_domains = static:ALL
virtual_mailbox_base = {root}/mail
virtual_mailbox_maps = static:all/
virtual_uid_maps = static:65534
virtual_gid_maps = static:65534
{more}
"""

# The queue manager looks once a second for what it was not told of while it was started anew.
_MASTER = """\
127.0.0.1:{port} inet n - n - - smtpd
cleanup   unix  n - n - 0 cleanup
qmgr      unix  n - n 1 1 qmgr
rewrite   unix  - - n - - trivial-rewrite
bounce    unix  - - n - 0 bounce
defer     unix  - - n - 0 bounce
trace     unix  - - n - 0 bounce
proxymap  unix  - - n - - proxymap
error     unix  - - n - - error
retry     unix  - - n - - error
discard   unix  - - n - - discard
virtual   unix  - n n - - virtual
anvil     unix  - - n - 1 anvil
postlog   unix-dgram n - n - 1 postlogd
"""


@dataclass(frozen=True, slots=True)
class Postfix:
    """A running Postfix: its port, its log and the Maildir that everything arrives in."""

    root: Path
    port: int

    @property
    def log(self) -> str:
        """What it wrote to its log so far."""
        path = self.root / "mail.log"
        return path.read_text(encoding="utf-8", errors="replace") if path.exists() else ""

    def wait_until_logged(self, text: str) -> None:
        """Until it has written this to its log, which takes a moment."""
        deadline = time.monotonic() + PATIENCE
        while text not in self.log:
            assert time.monotonic() < deadline, self.log
            time.sleep(0.02)

    @property
    def arrived(self) -> list[Path]:
        """The mails that were delivered so far."""
        folder = self.root / "mail" / "all" / "new"
        return sorted(folder.iterdir()) if folder.is_dir() else []


@contextmanager
def running_postfix(more: str = "", services: str = "") -> Iterator[Postfix]:
    """Run a Postfix in a folder of its own until the block is left; root's right is needed.

    Args:
        more: Further lines of main.cf.
        services: Further lines of master.cf.
    """
    # Not a folder of pytest's: those are closed to the other accounts that Postfix runs under.
    with tempfile.TemporaryDirectory(prefix="postfix-", ignore_cleanup_errors=True) as folder:
        root = Path(folder)
        root.chmod(0o755)
        with _running(root, more, services) as postfix:
            yield postfix


@contextmanager
def _running(root: Path, more: str, services: str) -> Iterator[Postfix]:
    assert POSTFIX is not None
    port = free_port()
    for folder in ("queue", "data", "mail", "config"):
        (root / folder).mkdir()
    shutil.chown(root / "data", "postfix")
    os.chown(root / "mail", 65534, 65534)
    (root / "config/main.cf").write_text(_MAIN.format(root=root, more=more))
    (root / "config/master.cf").write_text(_MASTER.format(port=port) + services)
    command = [POSTFIX, "-c", str(root / "config")]
    done = subprocess.run([*command, "start"], capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(done.stderr + Postfix(root, port).log)
    try:
        yield Postfix(root, port)
    finally:
        subprocess.run([*command, "stop"], capture_output=True, check=False)


def free_port() -> int:
    """A port of loopback that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
