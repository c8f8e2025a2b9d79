"""What a campaign folder asks of this machine, and what of it the person has confirmed.

A folder can come from anybody, and its petition.toml can name a command to run, a server to give
the password to, and files elsewhere. Nothing of that is used before a person has confirmed it. The
confirmations are kept in the person's own state folder, by the folder's real path and the key of
petition.toml: what stands behind a key later is asked for again. What the environment says is the
person's own word and is not asked for.
"""

import hashlib
import json
import shlex
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from petition.campaign.server import find_server
from petition.campaign.settings import Inbox, Settings, Smtp
from petition.credentials import file_in
from petition.database_url import POSTGRESQL, SQLITE, PostgresAddress
from petition.errors import LogUnusable, UsageError
from petition.user_state import changed_state, read_state

_FILE = "trust.json"


class Part(StrEnum):
    """What a request belongs to; a command asks only for the parts that it uses."""

    LOG = "log"
    SERVER = "server"
    SIGNATURE = "signature"
    INBOX = "inbox"


@dataclass(frozen=True, slots=True)
class Request:
    """One thing that a folder asks for.

    Args:
        part: What it belongs to.
        key: Where it stands in petition.toml.
        value: What stands there, as far as it matters.
        effect: What petition does with it.
        seal: What counts besides the value: of a server the login, of a command the files of the
            folder that it names. A changed script is another command.
    """

    part: Part
    key: str
    value: str
    effect: str
    seal: str = ""

    @property
    def confirmed_as(self) -> str:
        """What is kept of it."""
        return f"{self.value}{self.seal}"


class LogUntrusted(LogUnusable):
    """The log is not in the campaign folder, and nobody has confirmed that it is to be used."""

    def __init__(self, where: str) -> None:
        super().__init__(
            f"this folder keeps its log elsewhere, in {where}, and you have not confirmed that",
            "Nothing was opened. petition trust shows what the folder asks for",
        )


def requests(settings: Settings, environ: Mapping[str, str], root: Path) -> list[Request]:
    """Everything that a folder asks for.

    Args:
        settings: Its petition.toml.
        environ: The environment; what it sets is not asked for.
        root: The folder.

    Raises:
        ServerMisnamed: What names the mail server is wrong.
        UsageError: A command names a file that cannot be read.
    """
    return [
        *_of_log(settings, environ, root),
        *_of_server(settings, environ, root),
        *_of_signature(settings, environ, root),
        *_of_inbox(settings, environ, root),
    ]


def unconfirmed(asked: Sequence[Request], root: Path) -> list[Request]:
    """Those of the requests that the person has not confirmed as they are now.

    Raises:
        UserStateUnusable: The file of confirmations cannot be read.
    """
    if not asked:
        return []
    known = read_state(_FILE).get(str(root.resolve()))
    confirmed = known if isinstance(known, dict) else {}
    return [one for one in asked if confirmed.get(one.key) != one.confirmed_as]


def confirm(asked: Collection[Request], root: Path) -> None:
    """Keep that the person has confirmed requests of a folder.

    Raises:
        UserStateUnusable: The file of confirmations cannot be written.
    """
    with changed_state(_FILE) as state:
        place = str(root.resolve())
        known = state.get(place)
        confirmed = known if isinstance(known, dict) else {}
        state[place] = confirmed | {one.key: one.confirmed_as for one in asked}


def _of_log(settings: Settings, environ: Mapping[str, str], root: Path) -> Iterator[Request]:
    url = settings.log.database
    if environ.get("PETITION_DATABASE"):
        return
    if url.startswith(POSTGRESQL):
        effect = "keeps the log in this database, with the password that ~/.pgpass has for it"
        if not PostgresAddress.parse(url).is_verified:
            effect += "; its certificate is not verified"
        yield Request(Part.LOG, "[log] database", url, effect)
    elif path := _outside(url.removeprefix(SQLITE), root):
        yield Request(Part.LOG, "[log] database", path, "keeps the log in this file")


def _of_server(settings: Settings, environ: Mapping[str, str], root: Path) -> Iterator[Request]:
    server = find_server(settings, environ)
    if server is None:
        return
    is_harmless = server.is_loopback and server.username is None  # as of a sandbox
    if not environ.get("PETITION_SMTP_HOST", "").strip() and not is_harmless:
        effect, seal = "sends the letters through this server", ""
        if server.username is not None:
            secret = "token" if server.auth == "xoauth2" else "password"
            effect += f" and gives it the {secret} of {server.username}"
            seal = _sealed(server.username, server.auth, server.security)
        yield Request(Part.SERVER, "[smtp] host", server.name, effect, seal)
    if server.username is not None:
        yield from _logins(Part.SERVER, "smtp", settings.smtp, environ, root)


def _of_signature(settings: Settings, environ: Mapping[str, str], root: Path) -> Iterator[Request]:
    dkim = settings.dkim
    if dkim is None or environ.get("PETITION_DKIM_KEY"):
        return
    if dkim.key_command:
        yield _command(Part.SIGNATURE, "[dkim] key_command", dkim.key_command, root)
    if dkim.key_file:
        effect = "signs letters with this key"
        yield Request(Part.SIGNATURE, "[dkim] key_file", dkim.key_file, effect)


def _of_inbox(settings: Settings, environ: Mapping[str, str], root: Path) -> Iterator[Request]:
    inbox = settings.inbox
    if inbox is None:
        return
    kind, _, path = inbox.url.partition(":")
    if kind == "imaps":
        secret = "token" if inbox.auth == "xoauth2" else "password"
        effect = f"reads this mailbox and gives its server the {secret}"
        yield Request(Part.INBOX, "[inbox] url", inbox.url, effect, _sealed(inbox.auth))
        yield from _logins(Part.INBOX, "inbox", inbox, environ, root)
        return
    for name in (path, f"{path}/new", f"{path}/cur"):
        if outside := _outside(str((root / name).resolve()), root):
            yield Request(Part.INBOX, "[inbox] url", f"{kind}:{outside}", "reads the mails there")
            return


def _logins(
    part: Part, table: str, login: Smtp | Inbox | None, environ: Mapping[str, str], root: Path
) -> Iterator[Request]:
    """The command that would print the secret of a login."""
    if login is None:
        return
    kind = "token" if login.auth == "xoauth2" else "password"
    command = login.token_command if kind == "token" else login.password_command
    if command and not environ.get(f"PETITION_{table.upper()}_{kind.upper()}"):
        yield _command(part, f"[{table}] {kind}_command", command, root)


def _command(part: Part, key: str, command: str, root: Path) -> Request:
    words: list[str] = []
    with suppress(ValueError):  # it is no command then, and cannot be run
        words = shlex.split(command)
    seal = ""
    for path in filter(None, (file_in(root.absolute(), word) for word in words)):
        real = path.resolve()
        try:
            with real.open("rb") as file:
                seal += _sealed(str(real), hashlib.file_digest(file, "sha256").hexdigest())
        except OSError as why:
            what = f"{key} names a file that cannot be read: {real} ({why.strerror})"
            raise UsageError(what, "Make it readable, or name another one") from None
    return Request(part, key, command, "runs this command", seal)


def _sealed(*parts: str) -> str:
    return f" {json.dumps(parts)}"


def _outside(path: str, root: Path) -> str | None:
    """Where a path leads to, if that is not in the folder."""
    real, named = root.resolve(), root / path
    # A link in place of the file itself is refused by whoever opens it.
    found = named.parent.resolve() / named.name if named.name != ".." else named.resolve()
    return None if found.is_relative_to(real) else str(found)
