"""Mail servers of many makers on loopback, each a program of its own. None delivers anything.

Each refuses `NOBODY` with 550 5.1.1 and `LATER` with 451 4.2.0 in reply to RCPT, takes every other
recipient, and can say whom it took letters for. Haraka and smtp-server come from npm; Exim and
OpenSMTPD, which cannot be installed beside Postfix, are unpacked over this system's files in a
mount namespace of their own. What cannot be had raises `Unavailable` with the reason.
"""

import fcntl
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.servers.postfix import POSTFIX, free_port, running_postfix

NOBODY = "p7@x.example"
LATER = "p150@x.example"

BUILD = Path(__file__).parents[2] / "build"
START_SECONDS = 60


class Unavailable(Exception):
    """A server cannot be had on this machine; the reason is its text."""


@dataclass(frozen=True, slots=True)
class MailServer:
    """A running server: its port, and whom it took letters for, one entry a letter."""

    port: int
    taken: Callable[[], list[str]]


# ---- Postfix

_POSTFIX = f"""\
smtpd_recipient_restrictions =
    check_recipient_access inline:{{
        {{ {NOBODY} = 550 5.1.1 No such mailbox }},
        {{ {LATER} = 451 4.2.0 Try again later }} }}
    permit
"""


@contextmanager
def postfix() -> Iterator[MailServer]:
    _need(POSTFIX, "postfix")
    _need_root()
    with running_postfix(_POSTFIX) as running:
        found = re.compile(r"to=<([^>]+)>,.* status=sent")
        yield MailServer(running.port, lambda: found.findall(running.log))


# ---- aiosmtpd

_AIOSMTPD = f"""
import asyncio, sys
from aiosmtpd.smtp import SMTP

class Handler:
    async def handle_RCPT(self, server, session, envelope, address, options):
        if address == "{NOBODY}":
            return "550 5.1.1 No such mailbox"
        if address == "{LATER}":
            return "451 4.2.0 Try again later"
        envelope.rcpt_tos.append(address)
        return "250 2.1.5 Ok"

    async def handle_DATA(self, server, session, envelope):
        with open(sys.argv[2], "a") as file:
            file.writelines(address + "\\n" for address in envelope.rcpt_tos)
        return "250 2.0.0 Ok"

async def main():
    loop = asyncio.get_running_loop()
    make = lambda: SMTP(Handler(), enable_SMTPUTF8=True)
    server = await loop.create_server(make, "127.0.0.1", int(sys.argv[1]))
    await server.serve_forever()

asyncio.run(main())
"""


@contextmanager
def aiosmtpd() -> Iterator[MailServer]:
    with folder() as root:
        program = root / "server.py"
        program.write_text(_AIOSMTPD)

        def command(port: int) -> list[str | Path]:
            return [sys.executable, program, str(port), root / "taken"]

        with started(root, command) as it:
            yield it


# ---- npm

_NPM = {"Haraka": "3.3.4", "smtp-server": "3.21.6"}

_SMTP_SERVER = f"""
const {{ SMTPServer }} = require('smtp-server')
const fs = require('node:fs')
const refusals = {{
    '{NOBODY}': [550, '5.1.1 No such mailbox'],
    '{LATER}': [451, '4.2.0 Try again later'],
}}
new SMTPServer({{
    authOptional: true,
    disabledCommands: ['STARTTLS', 'AUTH'],
    onRcptTo(address, session, done) {{
        const refusal = refusals[address.address]
        if (!refusal) return done()
        done(Object.assign(new Error(refusal[1]), {{ responseCode: refusal[0] }}))
    }},
    onData(stream, session, done) {{
        stream.resume()
        stream.on('end', () => {{
            const lines = session.envelope.rcptTo.map((to) => to.address + '\\n')
            fs.appendFileSync(process.argv[3], lines.join(''))
            done()
        }})
    }},
}}).listen(Number(process.argv[2]), '127.0.0.1')
"""

_HARAKA = f"""
const DSN = require('haraka-dsn')
const fs = require('node:fs')
exports.hook_rcpt = (next, connection, [to]) => {{
    const address = to.address
    if (address === '{NOBODY}') return next(DENY, DSN.create(550, 'No such mailbox', 1, 1))
    if (address === '{LATER}') return next(DENYSOFT, DSN.create(451, 'Try again later', 2, 0))
    next(OK)
}}
exports.hook_queue = (next, connection) => {{
    const lines = connection.transaction.rcpt_to.map((to) => to.address + '\\n')
    fs.appendFileSync('TAKEN', lines.join(''))
    next(OK, 'queued')
}}
"""


@contextmanager
def smtp_server() -> Iterator[MailServer]:
    modules = _npm_modules()
    with folder() as root:
        program = root / "server.cjs"
        program.write_text(_SMTP_SERVER)
        environment = {"NODE_PATH": str(modules)}

        def command(port: int) -> list[str | Path]:
            return ["node", program, str(port), root / "taken"]

        with started(root, command, environment) as it:
            yield it


@contextmanager
def haraka() -> Iterator[MailServer]:
    modules = _npm_modules()
    with folder() as root:
        shutil.copytree(modules / "Haraka/config", root / "config")
        (root / "plugins").mkdir()
        (root / "plugins/recorder.js").write_text(_HARAKA.replace("TAKEN", str(root / "taken")))
        (root / "config/plugins").write_text("recorder\n")
        (root / "config/me").write_text("haraka.test.example\n")

        def command(port: int) -> list[str | Path]:
            (root / "config/smtp.ini").write_text(f"listen=127.0.0.1:{port}\n")
            return ["node", modules / "Haraka/bin/haraka", "-c", root]

        with started(root, command, {"NODE_PATH": str(modules)}) as it:
            yield it


def _npm_modules() -> Path:
    """The folder with the packages of npm, installed where they are not there yet."""
    _need(shutil.which("node"), "node")
    _need(shutil.which("npm"), "npm")
    folder = BUILD / "npm"
    packages = [f"{name}@{version}" for name, version in _NPM.items()]
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / ".lock").open("w") as lock:  # two that install at once spoil each other's files
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not all((folder / "node_modules" / name / "package.json").exists() for name in _NPM):
            flags = ["--no-audit", "--no-fund", "--ignore-scripts"]
            _fetch(["npm", "install", *flags, "--prefix", str(folder), *packages])
    return folder / "node_modules"


# ---- Debian's packages, unpacked

_EXIM = f"""\
spool_directory = ROOT/spool
log_file_path = ROOT/%slog
pid_file_path = ROOT/exim.pid
primary_hostname = exim.test.example
local_interfaces = 127.0.0.1
daemon_smtp_ports = PORT
queue_only
tls_advertise_hosts =
host_lookup =
log_selector = +received_recipients
acl_smtp_rcpt = rcpt
begin acl
rcpt:
  deny  recipients = {NOBODY}
        message = 550 5.1.1 No such mailbox
  defer recipients = {LATER}
        message = 451 4.2.0 Try again later
  accept
"""

_OPENSMTPD = f"""\
filter nobody phase rcpt-to match rcpt-to {{ "{NOBODY}" }} reject "550 5.1.1 No such mailbox"
filter later phase rcpt-to match rcpt-to {{ "{LATER}" }} reject "451 4.2.0 Try again later"
filter rcpt chain {{ nobody, later }}
listen on 127.0.0.1 port PORT hostname opensmtpd.test.example filter rcpt
action keep relay host smtp://127.0.0.1:1
match from any for any action keep
"""

# Runs a program in a copy of this system that has other packages laid over it: changes are kept in
# memory, and nobody else sees them. The accounts that the packages would make are added.
_OVERLAY = """
set -e
root=$1; packages=$2; accounts=$3; shift 3
mount -t tmpfs tmpfs "$root/overlay"
upper=$root/overlay/upper work=$root/overlay/work all=$root/overlay/all
mkdir "$upper" "$work" "$all"
mount -t overlay overlay -o "lowerdir=/,upperdir=$upper,workdir=$work" "$all"
for package in "$packages"/*.deb; do
    [ -f "$package" ] || continue  # all of it is installed
    dpkg-deb --fsys-tarfile "$package" | tar -x --keep-directory-symlink -C "$all"
done
number=8080
for account in $accounts; do
    number=$((number + 1))
    echo "$account:x:$number:$number::/nonexistent:/usr/sbin/nologin" >> "$all/etc/passwd"
    echo "$account:x:$number:" >> "$all/etc/group"
done
mkdir -p "$all$root" "$all/var/spool/smtpd"
chmod 711 "$all/var/spool/smtpd"
mount --rbind /dev "$all/dev"
mount -t proc proc "$all/proc"
mount --bind "$root" "$all$root"
exec chroot "$all" "$@"
"""


@contextmanager
def exim() -> Iterator[MailServer]:
    run = unpacked("exim4-daemon-light", "Debian-exim")
    with folder() as root:
        for place in (root, root / "spool"):
            place.mkdir(exist_ok=True)
            place.chmod(0o777)

        def command(port: int) -> list[str | Path]:
            config = root / "exim.conf"
            config.write_text(_EXIM.replace("ROOT", str(root)).replace("PORT", str(port)))
            return run(root, "/usr/sbin/exim4", "-C", str(config), "-bdf")

        def taken() -> list[str]:
            log = root / "mainlog"
            return re.findall(r" <= .* for (\S+)$", log.read_text(), re.MULTILINE)

        with started(root, command, taken=taken) as it:
            yield it


@contextmanager
def opensmtpd() -> Iterator[MailServer]:
    run = unpacked("opensmtpd", "opensmtpd opensmtpq")
    with folder() as root:

        def command(port: int) -> list[str | Path]:
            config = root / "smtpd.conf"
            config.write_text(_OPENSMTPD.replace("PORT", str(port)))
            return run(root, "/usr/sbin/smtpd", "-d", "-f", str(config))

        def taken() -> list[str]:
            log = (root / "output").read_text()
            return re.findall(r"smtp envelope .* to=<([^>]+)>", log)

        with started(root, command, taken=taken) as it:
            yield it


def unpacked(package: str, accounts: str) -> Callable[..., list[str | Path]]:
    """What runs a program of a Debian package, which is fetched with what is missing for it."""
    _need(shutil.which("apt-get"), "apt-get")
    _need(shutil.which("unshare"), "unshare")
    _need_root()
    folder = BUILD / "packages" / package
    if not (folder / "complete").exists():
        folder.mkdir(parents=True, exist_ok=True)
        plan = _fetch(["apt-get", "-s", "install", "--no-install-recommends", package])
        missing = re.findall(r"^Inst (\S+)", plan, re.MULTILINE)
        _fetch(["apt-get", "-o", "APT::Sandbox::User=root", "download", *missing], folder)
        (folder / "complete").touch()

    def run(root: Path, *words: str) -> list[str | Path]:
        (root / "overlay").mkdir(exist_ok=True)
        script = ["sh", "-c", _OVERLAY, "overlay", str(root), str(folder), accounts]
        return ["unshare", "--mount", "--pid", "--fork", "--kill-child", *script, *words]

    return run


SERVERS: dict[str, Callable[[], AbstractContextManager[MailServer]]] = {
    "postfix": postfix,
    "aiosmtpd": aiosmtpd,
    "haraka": haraka,
    "smtp-server": smtp_server,
    "exim": exim,
    "opensmtpd": opensmtpd,
}


# ---- what they share


@contextmanager
def folder() -> Iterator[Path]:
    """A folder that the accounts of servers can read; those of pytest are closed to them."""
    with tempfile.TemporaryDirectory(prefix="mail-server-", ignore_cleanup_errors=True) as name:
        root = Path(name)
        root.chmod(0o755)
        yield root


@contextmanager
def started(
    root: Path,
    command: Callable[[int], Sequence[str | Path]],
    environment: dict[str, str] | None = None,
    taken: Callable[[], list[str]] | None = None,
    greeting: bytes = b"220",
) -> Iterator[MailServer]:
    """Run a server until the block is left; it begins with a greeting when it is ready."""
    port = free_port()
    output = root / "output"
    with output.open("wb") as file:
        running = subprocess.Popen(
            command(port),
            env=os.environ | (environment or {}),
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        deadline = time.monotonic() + START_SECONDS
        while not _answers(port, greeting):
            if running.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"it did not start: {output.read_text(errors='replace')}")
            time.sleep(0.05)
        record = root / "taken"
        record.touch()
        yield MailServer(port, taken or (lambda: record.read_text().split()))
    finally:
        if running.poll() is None:
            os.killpg(running.pid, signal.SIGTERM)
        try:
            running.wait(timeout=10)
        except subprocess.TimeoutExpired:
            os.killpg(running.pid, signal.SIGKILL)
            running.wait(timeout=10)


def _answers(port: int, greeting: bytes) -> bool:
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=5) as connection:
            return connection.recv(len(greeting)) == greeting
    except OSError:
        return False


def _fetch(command: Sequence[str], folder: Path | None = None) -> str:
    done = subprocess.run(
        command, cwd=folder, capture_output=True, text=True, timeout=300, check=False
    )
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["no reason given"])[-1]
        raise Unavailable(f"{' '.join(command[:2])}: {last}")
    return done.stdout


def _need(program: str | None, name: str) -> None:
    if program is None:
        raise Unavailable(f"needs {name}")


def _need_root() -> None:
    if os.geteuid():
        raise Unavailable("needs root")
