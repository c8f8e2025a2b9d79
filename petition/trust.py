"""What a campaign folder asks of this machine, and what of it the person has confirmed.

A folder can come from anybody, and its petition.toml can name a command to run, a server to give
the password to, a page to log in at, and files elsewhere. None of that is used before a person has
confirmed it. The confirmations are kept in the person's own state folder, by the folder's real path
and the key of petition.toml: when the value of a key changes, it has to be confirmed again. What
the environment says is the person's own word and needs no confirmation.
"""

import hashlib
import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import suppress
from enum import StrEnum
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit

from petition import system
from petition.campaign.server import Server, find_server, names_log, names_server
from petition.campaign.settings import Inbox, OAuthSettings, Settings
from petition.credentials import DKIM_KEY, SecretSource, file_in
from petition.database_url import POSTGRESQL, SQLITE, PostgresAddress
from petition.errors import LogUnusable, UsageError
from petition.user_state import changed_state, read_state

_FILE = "trust.json"


class Section(StrEnum):
    """What a request belongs to; a command asks only for the parts that it uses."""

    LOG = "log"
    SERVER = "server"
    SIGNATURE = "signature"
    INBOX = "inbox"


class Request(NamedTuple):
    """One thing that a folder asks for.

    `seal` is what counts besides the value: for a server the login, for a command the files of
    the folder that it names. A changed script is another command.
    """

    part: Section
    key: str  # in petition.toml
    value: str  # as far as it matters
    effect: str  # what petition does with it
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
            "Nothing was opened. Run petition trust to see what the folder asks for",
        )


def requests(settings: Settings, environ: Mapping[str, str], root: Path) -> list[Request]:
    """Everything that a folder asks for, except what the environment sets.

    ServerMisnamed if the settings of the mail server are wrong, UsageError if a command names a
    file that cannot be read.
    """
    return [
        *_of_log(settings, environ, root),
        *_of_server(settings, environ, root),
        *_of_signature(settings, environ, root),
        *_of_inbox(settings, environ, root),
    ]


def unconfirmed(asked: Sequence[Request], root: Path) -> list[Request]:
    """The requests that the person has not confirmed as they are now.

    UserStateUnusable if the file of confirmations cannot be read.
    """
    if not asked:
        return []
    known = read_state(_FILE).get(str(root.resolve()))
    confirmed = known if isinstance(known, dict) else {}
    return [one for one in asked if confirmed.get(one.key) != one.confirmed_as]


def confirm(asked: Collection[Request], root: Path) -> None:
    """Record that the person confirmed a folder's requests; UserStateUnusable if that fails."""
    with changed_state(_FILE) as state:
        place = str(root.resolve())
        known = state.get(place)
        confirmed = known if isinstance(known, dict) else {}
        state[place] = confirmed | {one.key: one.confirmed_as for one in asked}


def revoke(root: Path) -> None:
    """Take back all confirmations of a folder; UserStateUnusable if they cannot be written."""
    with changed_state(_FILE) as state:
        state.pop(str(root.resolve()), None)


def _of_log(settings: Settings, environ: Mapping[str, str], root: Path) -> Iterator[Request]:
    url = settings.log.database
    if names_log(environ):
        return
    if url.startswith(POSTGRESQL):
        effect = (
            f"keeps the log in this database, with the password that {system.PGPASS} has for it"
        )
        if not PostgresAddress.parse(url).is_verified:
            effect += "; its certificate is not verified"
        yield Request(Section.LOG, "[log] database", url, effect)
    elif path := _outside(url.removeprefix(SQLITE), root):
        yield Request(Section.LOG, "[log] database", path, "keeps the log in this file")


def _of_server(settings: Settings, environ: Mapping[str, str], root: Path) -> Iterator[Request]:
    server = find_server(settings.smtp, environ, settings.client)
    if server is None:
        return
    source = SecretSource.of_login("smtp", server.auth)
    is_harmless = server.is_loopback and server.username is None  # such as a sandbox
    if not names_server(environ) and not is_harmless:
        effect, seal = "sends the letters through this server", ""
        if server.username is not None:
            effect += f" and gives it the {source.kind} of {server.username}"
            effect += ", not encrypted" if server.security == "none" else ""
            seal = _sealed(server.username, server.auth, server.security)
        yield Request(Section.SERVER, "[smtp] host", server.name, effect, seal)
    if server.username is not None:
        yield from _login(Section.SERVER, source, server, environ, root)
        if server.auth == "oauth":  # even with a token in the environment: petition login uses it
            yield from _of_client(Section.SERVER, settings.oauth, server.username)


def _of_signature(settings: Settings, environ: Mapping[str, str], root: Path) -> Iterator[Request]:
    dkim = settings.dkim
    if dkim is None or DKIM_KEY.given(environ):
        return
    if dkim.key_command:
        yield _command(Section.SIGNATURE, DKIM_KEY.setting, dkim.key_command, root)
    if dkim.key_file:
        effect = "signs letters with this key"
        yield Request(Section.SIGNATURE, "[dkim] key_file", dkim.key_file, effect)


def _of_inbox(settings: Settings, environ: Mapping[str, str], root: Path) -> Iterator[Request]:
    inbox = settings.inbox
    if inbox is None:
        return
    if inbox.is_imap:
        source = SecretSource.of_login("inbox", inbox.auth)
        effect = f"reads this mailbox and gives its server the {source.kind}"
        yield Request(Section.INBOX, "[inbox] url", inbox.url, effect, _sealed(inbox.auth))
        yield from _login(Section.INBOX, source, inbox, environ, root)
        if inbox.auth == "oauth":
            yield from _of_client(Section.INBOX, settings.oauth, inbox.username)
        return
    kind, _, path = inbox.url.partition(":")
    for name in (path, f"{path}/new", f"{path}/cur"):
        if outside := _outside(str((root / name).resolve()), root):
            effect = "reads the mails there"
            yield Request(Section.INBOX, "[inbox] url", f"{kind}:{outside}", effect)
            return


def _of_client(part: Section, oauth: OAuthSettings | None, user: str) -> Iterator[Request]:
    """Where tokens are asked for, and for which client a person is asked to log in."""
    if oauth is None:
        return
    key, client = "provider" if oauth.provider else "token_url", oauth.client
    use = "sending" if part is Section.SERVER else "reading"
    urls = (client.authorize_url, client.token_url, client.device_url or "")
    hosts = ", ".join(dict.fromkeys(urlsplit(url).netloc for url in urls if url))
    effect = f"has you log in as {user}, for {use}, at {hosts}, and gets tokens there for the"
    effect += f" client {client.client_id}"
    seal = _sealed(client.client_id, client.scopes["smtp"], client.scopes["inbox"], *urls)
    yield Request(part, f"[oauth] {key}", oauth.provider or client.token_url, effect, seal)


def _login(
    part: Section,
    source: SecretSource,
    login: Server | Inbox,
    environ: Mapping[str, str],
    root: Path,
) -> Iterator[Request]:
    if login.auth == "oauth":  # runs none
        return
    command = login.token_command if source.kind == "token" else login.password_command
    if command and not source.given(environ):
        yield _command(part, source.setting, command, root)


def _command(part: Section, key: str, command: str, root: Path) -> Request:
    words: list[str] = []
    with suppress(ValueError):  # then it is not a command, and cannot be run
        words = system.command_words(command)
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
    if system.names_other_machine(path):  # to look there would connect to it
        return path
    real, named = root.resolve(), root / path
    # A link in place of the file itself is refused where the file is opened.
    found = named.parent.resolve() / named.name if named.name != ".." else named.resolve()
    return None if found.is_relative_to(real) else str(found)
