"""Addresses of logs; those of PostgreSQL are parsed without a connection or its library.

This is stricter than libpq, which reads an "@" in a password as the beginning of the host and then
quotes the rest of the password in its error. Only what both read in the same way is accepted.
"""

import ipaddress
import os
import re
import ssl
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple, Self
from urllib.parse import parse_qsl, unquote

from petition.errors import LogUnusable

SQLITE = "sqlite:///"
POSTGRESQL = ("postgresql://", "postgres://")

_FORM = re.compile(
    r"postgres(?:ql)?://(?:(?P<user>[^@:/?#]*)(?::(?P<password>[^@/?#]*))?@)?"
    r"(?P<hosts>[^@/?#]*)(?:/(?P<database>[^@/?#]*))?(?:\?(?P<options>[^@?#]*))?"
)
_HOST = re.compile(r"(?P<host>\[[0-9a-fA-F:.%]+\]|[^\[\]:@,]*)(?::(?P<port>[0-9]{0,5}))?")
_UNSEEN = re.compile(r"[\s\\\x00-\x1f\x7f]")
_SEARCH_PATH = re.compile(r"-c ?search_path=[\w,]+")

# What a campaign folder may set beside the host. Not what sends a password or the connection
# elsewhere (password, hostaddr, service, passfile), or reads files of this machine (ssl*).
_HARMLESS = frozenset(
    (
        "application_name", "connect_timeout", "host", "keepalives", "keepalives_count",
        "keepalives_idle", "keepalives_interval", "options", "port", "sslmode",
        "target_session_attrs",
    )
)  # fmt: skip


class AddressUnreadable(LogUnusable):
    """A text is not the address of a log. It is not quoted, since it may contain a password."""


class PostgresAddress(NamedTuple):
    """An address of PostgreSQL."""

    hosts: tuple[tuple[str, str], ...]  # with ports, as written; an empty one is the local socket
    database: str
    has_password: bool
    options: Mapping[str, str]  # what follows the question mark

    @classmethod
    def parse(cls, url: str) -> Self:
        """Parse an address; AddressUnreadable if libpq could read it differently, or not at all."""
        found = None if _UNSEEN.search(url) else _FORM.fullmatch(url)
        if not found:
            raise _unreadable()
        hosts = [_HOST.fullmatch(unquote(one)) for one in found["hosts"].split(",")]
        if None in hosts:
            raise _unreadable()
        try:
            text = (found["options"] or "").replace("+", "%2B")  # to libpq a plus is not a blank
            pairs = parse_qsl(text, keep_blank_values=True, strict_parsing=True) if text else []
        except ValueError:
            raise _unreadable() from None
        options = dict(pairs)
        return cls(
            tuple((one["host"], one["port"] or "") for one in hosts if one),
            unquote(found["database"] or ""),
            found["password"] is not None or "password" in options,
            MappingProxyType(options),
        )

    @property
    def name(self) -> str:
        """The address without the login and the options."""
        hosts = ",".join(f"{host}:{port}" if port else host for host, port in self.hosts)
        return f"postgresql://{hosts}{'/' if self.database else ''}{self.database}"

    @property
    def is_local(self) -> bool:
        """Whether the connection stays on this machine: a socket or the loopback address."""
        given = self.options.get("hostaddr") or self.options.get("host")
        hosts = given.split(",") if given else [host for host, _ in self.hosts]
        if hosts == [""]:
            hosts = [os.environ.get("PGHOSTADDR") or os.environ.get("PGHOST", "")]
        return all(map(_is_local, hosts))

    @property
    def is_verified(self) -> bool:
        """Whether the server has to prove its identity, or is on this machine."""
        return self.is_local or self.options.get("sslmode", "verify-full") == "verify-full"

    def forbidden_option(self) -> str | None:
        """The first option that a campaign folder must not set, or None."""
        for name, value in self.options.items():
            is_socket = name != "host" or (
                value.startswith("/") and "," not in value and self.hosts == (("", ""),)
            )
            is_schema = name != "options" or _SEARCH_PATH.fullmatch(value)
            if name not in _HARMLESS or not is_socket or not is_schema:
                return name
        return None


def check_log_address(text: str) -> None:
    """Raise AddressUnreadable if a text is not the address of a log."""
    if text.startswith(POSTGRESQL):
        PostgresAddress.parse(text)
    elif not text.startswith(SQLITE) or text == SQLITE:
        raise AddressUnreadable(
            "this is not the URL of a database",
            'Write it as "sqlite:///petition.db" or "postgresql://name@host/database"',
        )


def with_tls(url: str) -> str:
    """An address to connect to: off this machine, unless it sets `sslmode`, TLS is verified.

    AddressUnreadable if it is not an address.
    """
    address = PostgresAddress.parse(url)
    if address.is_local or {"sslmode", "service"} & set(address.options):
        return url
    more = "sslmode=verify-full"
    is_kept = (Path.home() / ".postgresql" / "root.crt").exists()  # the file that libpq would read
    if "sslrootcert" not in address.options and not is_kept:
        more += f"&sslrootcert={ssl.get_default_verify_paths().cafile or 'system'}"
    return _with(url, more)


def without_ambient_secrets(url: str) -> str:
    """An address of a campaign folder, to which no password of the environment is given.

    PGPASSWORD and a service's password were not meant for this host; an entry in ~/.pgpass was.
    libpq looks nowhere else for an option that is given and empty.
    """
    return _with(url, "password=&hostaddr=")


def _with(url: str, more: str) -> str:
    return f"{url}{'&' if '?' in url else '?'}{more}"


def _is_local(host: str) -> bool:
    if not host or host.startswith("/") or host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def _unreadable() -> AddressUnreadable:
    return AddressUnreadable(
        "this is not the URL of a database",
        'Write it like "postgresql://name@host/database". In a name or a password @ is written'
        " %40, / is %2F, ? is %3F and # is %23",
    )
