"""A Dovecot of our own on loopback: one mailbox over IMAP, in a temporary folder."""

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
from tests.servers.authority import Authority
from tests.servers.postfix import free_port

DOVECOT = shutil.which("dovecot", path="/usr/sbin:/usr/bin:/sbin:/bin")
NOBODY = 65534
USER, PASSWORD = "answers@campaign.example", "correct horse"

_CONFIGURATION = """\
base_dir = {root}/run
state_dir = {root}/state
log_path = {root}/dovecot.log
listen = 127.0.0.1
protocols = imap
ssl = yes
ssl_cert = <{root}/keys/server.pem
ssl_key = <{root}/keys/server.key
mail_location = maildir:{root}/mail
first_valid_uid = {nobody}
first_valid_gid = {nobody}
passdb {{
  driver = passwd-file
  args = {root}/users
}}
userdb {{
  driver = static
  args = uid={nobody} gid={nobody} home={root}/mail
}}
service imap-login {{
  chroot =
  inet_listener imap {{
    port = {plain_port}
  }}
  inet_listener imaps {{
    port = {port}
    ssl = yes
  }}
}}
service anvil {{
  chroot =
}}
service stats {{
  chroot =
}}
{more}
"""


@dataclass(frozen=True, slots=True)
class Dovecot:
    """A running Dovecot: the folder of its Maildir, its ports with and without TLS at once."""

    root: Path
    port: int
    plain_port: int

    @property
    def authority(self) -> Path:
        """The certificate that signed the server's."""
        return self.root / "keys" / "authority.pem"

    @property
    def url(self) -> str:
        """The mailbox, as [inbox] url has it."""
        return f"imaps://{USER.replace('@', '%40')}@localhost:{self.port}/INBOX"

    def plain_url(self, host: str = "localhost") -> str:
        """The mailbox where TLS does not begin at once, by a name of this machine."""
        return f"imap://{USER.replace('@', '%40')}@{host}:{self.plain_port}/INBOX"

    @property
    def log(self) -> str:
        """What it wrote to its log so far."""
        path = self.root / "dovecot.log"
        return path.read_text(encoding="utf-8", errors="replace") if path.exists() else ""

    def deliver(self, name: str, mail: bytes) -> None:
        """Lay a mail into the mailbox; a Maildir's names are never used twice."""
        name = f"{time.time_ns()}.{name}"
        path = self.root / "mail" / "tmp" / name
        path.write_bytes(mail)
        os.chown(path, NOBODY, NOBODY)
        path.rename(self.root / "mail" / "new" / name)

    def names(self) -> list[str]:
        """The files of the mailbox, their flags behind the colon."""
        folders = [self.root / "mail" / name for name in ("new", "cur")]
        return sorted(path.name for folder in folders for path in folder.iterdir())


@contextmanager
def running_dovecot(more: str = "", users: tuple[str, ...] = ()) -> Iterator[Dovecot]:
    """Run a Dovecot until the block is left; root's right is needed.

    Args:
        more: Further lines of its configuration.
        users: Who else has the same mailbox, with the same password.
    """
    assert DOVECOT is not None
    with tempfile.TemporaryDirectory(prefix="dovecot-", ignore_cleanup_errors=True) as folder:
        root = Path(folder)
        root.chmod(0o755)
        for name in ("run", "state", "keys", "mail", "mail/cur", "mail/new", "mail/tmp"):
            (root / name).mkdir()
            if name.startswith("mail"):
                os.chown(root / name, NOBODY, NOBODY)
        Authority(root / "keys").server()
        lines = (f"{user}:{{PLAIN}}{PASSWORD}\n" for user in (USER, *users))
        (root / "users").write_text("".join(lines))
        port, plain_port = free_port(), free_port()
        configuration = root / "dovecot.conf"
        ports = {"port": port, "plain_port": plain_port}
        values = {"root": root, "nobody": NOBODY, "more": more, **ports}
        configuration.write_text(_CONFIGURATION.format(**values))
        process = subprocess.Popen([DOVECOT, "-F", "-c", str(configuration)])
        dovecot = Dovecot(root, port, plain_port)
        try:
            _wait_for(dovecot, process)
            yield dovecot
        finally:
            process.terminate()
            process.wait(timeout=PATIENCE)


def _wait_for(dovecot: Dovecot, process: subprocess.Popen[bytes]) -> None:
    for _ in range(600):
        if process.poll() is not None:
            raise RuntimeError(f"Dovecot has ended: {dovecot.log}")
        try:
            socket.create_connection(("127.0.0.1", dovecot.port), timeout=1).close()
        except OSError:
            time.sleep(0.05)
        else:
            return
    raise RuntimeError(f"Dovecot does not answer: {dovecot.log}")
