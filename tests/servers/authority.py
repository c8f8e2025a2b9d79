"""A certificate authority of the tests' own, made with the openssl program."""

import ssl
import subprocess
from pathlib import Path

_REQUEST = """
[req]
distinguished_name = dn
[dn]
"""
_AUTHORITY = """
[authority]
basicConstraints = critical, CA:TRUE
keyUsage = critical, keyCertSign, cRLSign
subjectKeyIdentifier = hash
"""
_SERVER = """
[server]
basicConstraints = critical, CA:FALSE
keyUsage = critical, digitalSignature
extendedKeyUsage = serverAuth
subjectKeyIdentifier = hash
authorityKeyIdentifier = keyid
subjectAltName = {names}
"""

ELSEWHERE = "0.0.0.0"  # leads to this machine, but petition does not take it for this machine
LOOPBACK = f"DNS:localhost, IP:127.0.0.1, IP:{ELSEWHERE}"


class Authority:
    """Signs certificates for servers of a test.

    Args:
        folder: Where keys and certificates are kept.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._signed: dict[tuple[str, int], tuple[Path, Path]] = {}
        (folder / "authority.cnf").write_text(_REQUEST + _AUTHORITY)
        self._new_key("authority")
        self._openssl("req", "-x509", "-new", "-key", "authority.key", "-config", "authority.cnf",
                      "-extensions", "authority", "-subj", "/CN=petition test authority",
                      "-days", "2", "-out", "authority.pem")  # fmt: skip

    def trust(self) -> ssl.SSLContext:
        """What a client that trusts this authority uses."""
        return ssl.create_default_context(cafile=str(self._folder / "authority.pem"))

    @property
    def certificate(self) -> Path:
        """The authority's own certificate."""
        return self._folder / "authority.pem"

    def server(self, names: str = LOOPBACK) -> ssl.SSLContext:
        """What a server with a certificate for these names uses."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*self.sign(names))
        return context

    def sign(self, names: str = LOOPBACK, days: int = 2) -> tuple[Path, Path]:
        """The files of a certificate for these names, and of its key.

        Args:
            names: As subjectAltName has them.
            days: For how long it is good; -1: it ended yesterday.
        """
        if (names, days) in self._signed:
            return self._signed[names, days]
        name = f"server{len(self._signed) or ''}"
        (self._folder / "server.cnf").write_text(_REQUEST + _SERVER.format(names=names))
        self._new_key(name)
        self._openssl("req", "-new", "-key", f"{name}.key", "-config", "server.cnf",
                      "-subj", "/CN=petition test server", "-out", "server.csr")  # fmt: skip
        self._openssl("x509", "-req", "-in", "server.csr", "-CA", "authority.pem",
                      "-CAkey", "authority.key", "-CAcreateserial", "-extfile", "server.cnf",
                      "-extensions", "server", "-days", str(days), "-out", f"{name}.pem",
                      )  # fmt: skip
        self._signed[names, days] = self._folder / f"{name}.pem", self._folder / f"{name}.key"
        return self._signed[names, days]

    def _new_key(self, name: str) -> None:
        self._openssl("genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256",
                      "-out", f"{name}.key")  # fmt: skip

    def _openssl(self, *words: str) -> None:
        subprocess.run(["openssl", *words], cwd=self._folder, check=True, capture_output=True)
