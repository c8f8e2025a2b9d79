"""A Dovecot or a Courier of our own on loopback: one mailbox over IMAP, in a temporary folder."""

import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests import PATIENCE
from tests.servers.authority import Authority
from tests.servers.mail_servers import folder, started, unpacked
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


_COURIER = """
set -e
root=$1 port=$2 password=$(openssl passwd -1 "$3")
who="uid=$4|gid=$4|home=$root|mail=$root/mail|systempw=$password"
printf '%s\\t%s\\n' "$5" "$who" > /etc/courier/userdb
chmod 600 /etc/courier/userdb
makeuserdb
echo 'authmodulelist="authuserdb"' >> /etc/courier/authdaemonrc
mkdir -p /run/courier/authdaemon
set -a
. /etc/courier/authdaemonrc
. /etc/courier/imapd
/usr/lib/courier/courier-authlib/authdaemond &
trap exit TERM
couriertcpd -address=127.0.0.1 $TCPDOPTS -maxprocs=9 "$port" \\
    /usr/lib/courier/courier/imaplogin /usr/bin/imapd mail &
wait
"""


@dataclass(frozen=True, slots=True)
class Mailbox:
    """The folder of a server, with a Maildir in it, and the URL that it has there."""

    root: Path
    url: str

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


@dataclass(frozen=True, slots=True)
class Dovecot(Mailbox):
    """A running Dovecot, and its port where TLS does not begin at once."""

    plain_port: int

    @property
    def authority(self) -> Path:
        """The certificate that signed the server's."""
        return self.root / "keys" / "authority.pem"

    def kick(self) -> None:
        """Close all connections."""
        doveadm = ["doveadm", "-c", str(self.root / "dovecot.conf"), "kick", "*"]
        subprocess.run(doveadm, check=True, capture_output=True)

    def plain_url(self, host: str) -> str:
        """The mailbox where TLS does not begin at once, by a name of this machine."""
        return _url("imap", host, self.plain_port)

    @property
    def log(self) -> str:
        """What it wrote to its log so far."""
        path = self.root / "dovecot.log"
        return path.read_text(encoding="utf-8", errors="replace") if path.exists() else ""


def _url(scheme: str, host: str, port: int) -> str:
    return f"{scheme}://{USER.replace('@', '%40')}@{host}:{port}/INBOX"


@contextmanager
def running_dovecot(more: str = "", users: tuple[str, ...] = ()) -> Iterator[Dovecot]:
    """Run a Dovecot until the block is left; root's right is needed.

    Args:
        more: Further lines of its configuration.
        users: Who else has the same mailbox, with the same password.
    """
    assert DOVECOT is not None
    with folder() as root:
        _make_maildir(root)
        for name in ("run", "state", "keys"):
            (root / name).mkdir()
        Authority(root / "keys").server()
        lines = (f"{user}:{{PLAIN}}{PASSWORD}\n" for user in (USER, *users))
        (root / "users").write_text("".join(lines))
        port, plain_port = free_port(), free_port()
        configuration = root / "dovecot.conf"
        ports = {"port": port, "plain_port": plain_port}
        values = {"root": root, "nobody": NOBODY, "more": more, **ports}
        configuration.write_text(_CONFIGURATION.format(**values))
        process = subprocess.Popen([DOVECOT, "-F", "-c", str(configuration)])
        dovecot = Dovecot(root, _url("imaps", "localhost", port), plain_port)
        try:
            _wait_for(dovecot, port, process)
            yield dovecot
        finally:
            process.terminate()
            process.wait(timeout=PATIENCE)


@contextmanager
def running_courier() -> Iterator[Mailbox]:
    """Run a Courier until the block is left; `Unavailable` if it cannot be had."""
    run = unpacked("courier-imap", "courier")
    with folder() as root:
        _make_maildir(root)

        def command(port: int) -> list[str | Path]:
            words = [str(root), str(port), PASSWORD, str(NOBODY), USER]
            return run(root, "sh", "-c", _COURIER, "courier", *words)

        with started(root, command, greeting=b"* OK") as server:
            yield Mailbox(root, _url("imap", "localhost", server.port))


def _make_maildir(root: Path) -> None:
    for name in ("mail", "mail/cur", "mail/new", "mail/tmp"):
        (root / name).mkdir()
        os.chown(root / name, NOBODY, NOBODY)


def _wait_for(dovecot: Dovecot, port: int, process: subprocess.Popen[bytes]) -> None:
    for _ in range(600):
        if process.poll() is not None:
            raise RuntimeError(f"Dovecot has ended: {dovecot.log}")
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            time.sleep(0.05)
        else:
            return
    raise RuntimeError(f"Dovecot does not answer: {dovecot.log}")
