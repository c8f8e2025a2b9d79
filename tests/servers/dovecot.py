"""A Dovecot of our own that does nothing but say whether a login is right (SASL, for Postfix).

Its configuration is that of Dovecot 2.3, which Debian 12 has; 2.4 has another syntax.
"""

import base64
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from tests import PATIENCE

DOVECOT = shutil.which("dovecot", path="/usr/sbin:/usr/bin:/sbin:/bin")

_CONFIGURATION = """\
base_dir = {root}/run
state_dir = {root}/state
instance_name = {name}
log_path = {root}/dovecot.log
auth_verbose = yes
protocols =
ssl = no
disable_plaintext_auth = no
auth_mechanisms = {mechanisms}
auth_failure_delay = 0
{passdb}
userdb {{
  driver = static
  args = uid=65534 gid=65534 home=/nonexistent
}}
# After a wrong password the next one from the same address would be answered late.
service anvil {{
  unix_listener anvil-auth-penalty {{
    mode = 0
  }}
}}
service auth {{
  unix_listener {root}/auth {{
    mode = 0666
  }}
}}
"""
_PASSWORDS = (
    "passdb {{\n  driver = passwd-file\n  args = scheme=PLAIN username_format=%u {file}\n}}"
)
_TOKENS = "passdb {{\n  driver = oauth2\n  mechanisms = xoauth2 oauthbearer\n  args = {file}\n}}"


@contextmanager
def running_dovecot(
    passwords: Mapping[str, str], mechanisms: str, oauth2: Path | None = None
) -> Iterator[Path]:
    """Run a Dovecot in a folder of its own until the block is left; root's right is needed.

    Args:
        passwords: Who may log in.
        mechanisms: How, as `auth_mechanisms` has it.
        oauth2: The file that tells where to ask about tokens, in place of passwords.

    Returns:
        The socket on which it is asked.
    """
    assert DOVECOT is not None
    version = subprocess.run([DOVECOT, "--version"], capture_output=True, text=True, check=True)
    if not version.stdout.startswith("2.3."):
        raise RuntimeError(f"Dovecot {version.stdout.split()[0]} is not 2.3: write its syntax here")
    with tempfile.TemporaryDirectory(prefix="dovecot-", ignore_cleanup_errors=True) as folder:
        root = Path(folder)
        root.chmod(0o755)
        users = root / "users"
        lines = (
            f"{name}:{{PLAIN.b64}}{base64.b64encode(password.encode()).decode()}\n"
            for name, password in passwords.items()
        )
        users.write_text("".join(lines))
        shutil.chown(users, "dovecot")
        users.chmod(0o600)
        configuration = root / "dovecot.conf"
        configuration.write_text(
            _CONFIGURATION.format(
                root=root,
                name=root.name,
                mechanisms=mechanisms,
                passdb=(_TOKENS if oauth2 else _PASSWORDS).format(file=oauth2 or users),
            )
        )
        running = subprocess.Popen(
            [DOVECOT, "-F", "-c", str(configuration)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
        )
        try:
            _wait_for(root / "auth", running)
            yield root / "auth"
        finally:
            running.terminate()
            running.communicate(timeout=PATIENCE)


def _wait_for(socket: Path, running: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not socket.exists():
        if running.poll() is not None or time.monotonic() > deadline:
            running.kill()
            raise RuntimeError(f"Dovecot did not start: {running.communicate()[1].decode()}")
        time.sleep(0.02)
