"""Which server takes the letters, and which log they are recorded in."""

import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Literal

from pydantic import ValidationError

from petition.campaign.names import quoted
from petition.campaign.settings import Settings, Smtp
from petition.campaign.validation import Auth, Faults
from petition.database_url import (
    POSTGRESQL,
    AddressUnreadable,
    check_log_address,
    without_ambient_secrets,
)
from petition.errors import UsageError
from petition.oauth import Account, OAuthClient


class ServerMisnamed(UsageError):
    """The server is not named correctly: in `key` of [smtp], or in an environment variable."""

    def __init__(self, what: str, hint: str, key: str | None = None) -> None:
        super().__init__(what, hint)
        self.key = key


_PORTS = {"starttls": 587, "tls": 465, "none": 25}
_PREFIX = "PETITION_SMTP_"
_DATABASE = "PETITION_DATABASE"
_TEXTS = ("host", "security", "username")
_NUMBERS = ("port", "connections", "timeout")
# The environment variables that say where letters go and where the log is.
VARIABLES = (_DATABASE, *(_PREFIX + key.upper() for key in (*_TEXTS, *_NUMBERS)))


@dataclass(frozen=True, slots=True)
class Server:
    """A mail server and how to talk to it."""

    host: str  # name or address; an IPv6 address without brackets
    port: int
    security: Literal["starttls", "tls", "none"] = "starttls"  # "none" for loopback only
    username: str | None = None  # None: no login
    password_command: str | None = None  # prints the password
    auth: Auth = "password"
    token_command: str | None = None  # prints the token
    client: OAuthClient | None = None  # who gets the token, with auth "oauth"
    connections: int = 4  # at once
    timeout: float = 60.0  # seconds for a reply; never shortens the wait after the final dot

    @property
    def is_loopback(self) -> bool:
        """Whether the server is on this machine."""
        return is_loopback(self.host)

    @property
    def account(self) -> Account | None:
        """Whose token from a provider it gets; None: it gets none."""
        if self.client is None or self.username is None or self.auth != "oauth":
            return None
        return Account(self.client, "smtp", self.host, self.username)

    @property
    def name(self) -> str:
        """What the log calls it: `host:port`."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"


@cache  # asked for each row of a list
def is_loopback(host: str) -> bool:
    """Whether a host, by its name or address, is this machine."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def find_server(
    smtp: Smtp | None, environ: Mapping[str, str], client: OAuthClient | None = None
) -> Server | None:
    """The server that `send` would use now; None: the sandbox.

    PETITION_SMTP_HOST, _PORT, _SECURITY, _USERNAME, _CONNECTIONS and _TIMEOUT win over [smtp] one
    by one; empty ones count as absent. `client` is that of [oauth]. ServerMisnamed if one has an
    impossible value, if a server elsewhere would be used without encryption, or if a login has no
    user name.
    """
    given = _given(environ)
    if smtp is None and "host" not in given:
        return None
    kept = smtp.model_dump() if smtp else {}
    checked = _checked({**kept, **given})
    port = checked.port or _PORTS[checked.security]
    server = Server(**{**checked.model_dump(), "port": port, "client": client})
    if server.security == "none" and not server.is_loopback:
        raise _without_encryption(server, given)
    if server.auth == "oauth" and server.username is None:
        what = 'auth in [smtp] is "oauth", and there is no username'
        raise ServerMisnamed(what, "Write the full address of the account as username", "auth")
    return server


def _without_encryption(server: Server, given: Mapping[str, Any]) -> ServerMisnamed:
    """Which of host and security is to blame: the one in the environment, else in the file."""
    what = f"the connection to {server.name} would not be encrypted"
    why = "only a server on this machine may be used without"
    if "security" in given:
        hint = f"Set it to starttls or tls; {why}"
        return ServerMisnamed(f'{_PREFIX}SECURITY is "none": {what}', hint)
    if "host" in given:
        hint = f"Set {_PREFIX}SECURITY to starttls or tls; {why}"
        return ServerMisnamed(f'{what}: security is "none" in [smtp]', hint)
    hint = f'Write "starttls" or "tls"; {why}'
    return ServerMisnamed(f'security in [smtp] is "none": {what}', hint, "security")


def names_server(environ: Mapping[str, str]) -> bool:
    """Whether the environment, and not petition.toml, names the mail server."""
    return "host" in _given(environ)


def names_log(environ: Mapping[str, str]) -> bool:
    """Whether the environment, and not petition.toml, names the log."""
    return bool(environ.get(_DATABASE))


def database_of(
    settings: Settings, environ: Mapping[str, str], root: Path, server: Server | None
) -> str:
    """The URL of the log that `send` would use now; for SQLite with an absolute, unescaped path.

    PETITION_DATABASE wins over [log] database, except in the sandbox, whose log must not be a real
    one. A relative path of SQLite is relative to the campaign folder `root`. UsageError if it is
    not the URL of a database, or a real server would use the log of the rehearsals.
    """
    rehearsals = _absolute("sqlite:///rehearsal.db", root)
    if server is None:
        return rehearsals
    url = _real_database_of(settings, environ, root)
    if url.startswith("sqlite") and _real_path(url) == _real_path(rehearsals):
        raise UsageError(
            "rehearsal.db is the log of rehearsals and cannot be the log of real letters",
            "Name another file in [log] database or PETITION_DATABASE, or none",
        )
    return url


def _real_database_of(settings: Settings, environ: Mapping[str, str], root: Path) -> str:
    if not names_log(environ):
        named = settings.log.database
        is_server = named.startswith(POSTGRESQL)
        return without_ambient_secrets(named) if is_server else _absolute(named, root)
    given = environ[_DATABASE]
    try:
        check_log_address(given)
    except AddressUnreadable as refusal:
        raise UsageError(f"{_DATABASE}: {refusal.what}", refusal.hint) from None
    return _absolute(given, root)


def _absolute(url: str, root: Path) -> str:
    scheme, slashes, path = url.partition(":///")
    return f"{scheme}{slashes}{root.resolve() / path}" if scheme == "sqlite" else url


def _real_path(url: str) -> Path:
    return Path(url.partition(":///")[2]).resolve()


def _given(environ: Mapping[str, str]) -> dict[str, Any]:
    given: dict[str, Any] = {}
    for key in (*_TEXTS, *_NUMBERS):
        if text := environ.get(_PREFIX + key.upper(), "").strip():
            given[key] = text if key in _TEXTS else _number(key, text)
    return given


def _number(key: str, text: str) -> float:
    try:
        return float(text) if key == "timeout" else int(text)
    except ValueError:
        what = f"{_PREFIX}{key.upper()} is {quoted(text)}, not a number"
        raise ServerMisnamed(what, _HINT) from None


def _checked(values: dict[str, Any]) -> Smtp:
    try:
        return Smtp.model_validate(values)
    except ValidationError as error:
        faults = Faults(Smtp, "", lambda path: None, lambda table: "")  # noqa: ARG005 (no file)
        path, problem = faults.problems(error)[0]
        variable = f"{_PREFIX}{str(path[-1]).upper()}"
        what = problem.what.removeprefix(str(path[-1])).removeprefix(":").strip()
        raise ServerMisnamed(f"{variable}: {what}", _HINT) from None


_HINT = "Correct the environment variable or unset it"
