"""A submission server as a provider has it: Postfix with TLS, and logins through Dovecot."""

import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.servers.dovecot import running_dovecot
from tests.servers.postfix import Postfix, free_port, running_postfix

_MAIN = """\
smtpd_tls_cert_file = {folder}/server.pem
smtpd_tls_key_file = {folder}/server.key
smtpd_tls_security_level = may
smtpd_tls_auth_only = yes
smtpd_sasl_auth_enable = yes
smtpd_sasl_type = dovecot
smtpd_sasl_path = {socket}
smtpd_sasl_security_options = noanonymous
smtpd_client_restrictions = permit_sasl_authenticated, reject
smtpd_delay_reject = yes
smtpd_error_sleep_time = 0
line_length_limit = 20480
"""
_WRAPPED = """\
127.0.0.1:{port} inet n - n - - smtpd
  -o smtpd_tls_wrappermode=yes
tlsmgr    unix  - - n 1000? 1 tlsmgr
"""


@dataclass(frozen=True, slots=True)
class Submission:
    """A running submission server: one port for STARTTLS, one for TLS from the first byte."""

    postfix: Postfix
    starttls: int
    tls: int


@contextmanager
def running_submission(
    certificate: tuple[Path, Path],
    passwords: Mapping[str, str],
    mechanisms: str = "plain login cram-md5",
    oauth2: Path | None = None,
) -> Iterator[Submission]:
    """Run it until the block is left; root's right is needed.

    Args:
        certificate: The files of its certificate and of its key.
        passwords: Who may log in.
        mechanisms: How, as Dovecot's `auth_mechanisms` has it.
        oauth2: The file that tells Dovecot where to ask about tokens.
    """
    with (
        tempfile.TemporaryDirectory(prefix="submission-") as folder,
        running_dovecot(passwords, mechanisms, oauth2) as socket,
    ):
        for file, name in zip(certificate, ("server.pem", "server.key"), strict=True):
            shutil.copy(file, Path(folder) / name)
        Path(folder).chmod(0o755)
        more = _MAIN.format(folder=folder, socket=socket)
        port = free_port()
        with running_postfix(more, _WRAPPED.format(port=port)) as postfix:
            yield Submission(postfix, postfix.port, port)
