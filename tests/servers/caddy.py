"""Caddy in front of a server, with a certificate of the tests' authority."""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests import PATIENCE
from tests.acceptance.crew import wait_until
from tests.servers.authority import Authority


@contextmanager
def running_caddy(folder: Path, port: int, sites: str, authority: Authority) -> Iterator[None]:
    """Run it until the block is left.

    Args:
        folder: Where its files are.
        port: Where it listens with TLS, on this machine.
        sites: What a Caddyfile says of `localhost`.
        authority: Who signs its certificate.
    """
    certificate, key = authority.sign()
    settings = "{\nadmin off\nauto_https off\nskip_install_trust\n}\n"
    (folder / "Caddyfile").write_text(
        f"{settings}https://localhost:{port} {{\ntls {certificate} {key}\n{sites}\n}}\n"
    )
    said = (folder / "caddy.log").open("w")
    running = subprocess.Popen(
        ["caddy", "run", "--config", folder / "Caddyfile", "--adapter", "caddyfile"],
        stdout=said,
        stderr=said,
        env={"HOME": str(folder), "PATH": "/usr/bin:/bin"},
    )
    try:

        def is_ready() -> bool:
            told = (folder / "caddy.log").read_text()
            assert running.poll() is None, told
            return "serving initial configuration" in told

        wait_until(is_ready)
        yield
    finally:
        running.terminate()
        running.wait(timeout=PATIENCE)
        said.close()
