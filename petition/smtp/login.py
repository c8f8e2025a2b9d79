"""The login (RFC 4954), and the errors of a connection that cannot be opened.

No error contains a secret. No library is used: the conversation is a callable that sends a line and
returns the reply.
"""

import base64
import binascii
import errno
import hmac
import os
import re
import socket
import ssl
from collections.abc import Awaitable, Callable

from petition.campaign.server import Server
from petition.credentials import Secret, SecretSource, find_password, find_token
from petition.errors import ServerTrouble
from petition.oauth import (
    CHALLENGE_ANSWERS,
    find_login,
    oauthbearer,
    told_refusal,
    xoauth2,
)
from petition.smtp.replies import Loss, Reply, Stage, advice, lost, scrub

_ERRNO = re.compile(r"\[Errno (-?\d+)\]")
_UNREACHABLE = {errno.ENETUNREACH, errno.EHOSTUNREACH, errno.ENETDOWN}

# OpenSSL's X509_V_ERR_*: self-signed, or from an issuer that is not among the trusted ones.
_UNKNOWN_AUTHORITY = {18, 19, 20, 21}

_CHECK_HOST = "Check host, port and security in [smtp] of petition.toml"
_CHECK_LOGIN = (
    "Check username and password; many providers want an app password, made in their"
    " security settings, in place of the one for the web"
)
_LOG_IN_AGAIN = (
    "If it is not about the mailbox or a policy of the provider, run petition login smtp, and log"
    " in as the username"
)
_CHECK_GRANT = (
    "Run token_command by hand: its token must be a fresh one, for this account and for sending"
    " mail. A token in PETITION_SMTP_TOKEN runs out and is not renewed"
)


class OpeningTrouble(ServerTrouble):
    """A connection could not be opened."""

    def __init__(
        self,
        what: str,
        hint: str,
        stage: Stage = Stage.GREETING,
        reply: Reply | None = None,
        *,
        is_passing: bool = False,
    ) -> None:
        super().__init__(what, hint, is_passing=is_passing)
        self.stage = stage
        self.reply = reply


def unreachable(server: Server, fault: BaseException) -> OpeningTrouble:
    """No connection could be made."""
    if isinstance(fault, ssl.SSLError):
        return untrusted(server, fault, Stage.GREETING)
    # The text of the fault can quote addresses of this machine.
    what = f"the connection to {server.name} failed ({type(fault).__name__})"
    hint, is_passing = _CHECK_HOST, True
    codes = _codes(fault)
    if isinstance(fault, socket.gaierror):
        what = f"the host name {server.host} is unknown"
        hint = "Check host in [smtp] of petition.toml, and whether this machine is online"
        is_passing = fault.errno == socket.EAI_AGAIN
    elif errno.ECONNREFUSED in codes:
        what = f"nothing answers at {server.name}: the connection was refused"
        hint += ": most providers use port 587 with starttls, or 465 with tls"
    elif codes & _UNREACHABLE:
        what = f"{server.host} cannot be reached"
        hint = "Check whether this machine is online"
    elif isinstance(fault, ValueError):
        what, is_passing = f'"{server.host}" is not a host name', False
    return OpeningTrouble(what, hint, is_passing=is_passing)


def untrusted(server: Server, fault: ssl.SSLError, stage: Stage) -> OpeningTrouble:
    """TLS could not be set up."""
    reason = (fault.reason or type(fault).__name__).replace("_", " ").lower()
    what = f"{server.name} does not speak TLS as expected: {reason}"
    hint = "Ask the provider which TLS versions the server speaks"
    if isinstance(fault, ssl.SSLCertVerificationError):
        what = f"the certificate of {server.name} is not trusted"
        what += f": {fault.verify_message.rstrip('.')}"
        hint = f"{certificate_hint(fault)}. Nothing was sent, not even the password"
    elif stage is Stage.GREETING:
        hint = 'If the port is 587 or 25, set security = "starttls" in [smtp] of petition.toml'
    return OpeningTrouble(what, hint, stage)


def certificate_hint(fault: ssl.SSLError) -> str:
    """What to do about a certificate that is not trusted."""
    if getattr(fault, "verify_code", 0) in _UNKNOWN_AUTHORITY:
        return (
            "If you trust whoever issued it (your own authority, a bridge on this machine), set"
            " SSL_CERT_FILE to a PEM file with the issuer's certificate"
        )
    return "Check that host is the server's real name and that its certificate is up to date"


def broken_off(server: Server, stage: Stage, loss: Loss) -> OpeningTrouble:
    """The conversation ended before the first letter."""
    hint = "Try again later; if the error stays, ask the provider"
    if stage is Stage.GREETING:
        hint = f"{_CHECK_HOST}; some networks close these ports to mail programs"
        if server.security != "tls":
            hint = f'{_CHECK_HOST}; port 465 needs security = "tls"'
    what = f"{lost(stage, loss).reason} ({server.name})"
    return OpeningTrouble(what, hint, stage, is_passing=True)


def refused(server: Server, stage: Stage, reply: Reply) -> OpeningTrouble:
    """The server refused."""
    what = {
        Stage.GREETING: f"{server.name} does not accept connections",
        Stage.EHLO: f"{server.name} refuses this machine's EHLO",
        Stage.STARTTLS: f"{server.name} refuses to start TLS",
        Stage.AUTH: f"{server.name} refuses the login of {server.username}",
    }[stage]
    is_passing = reply.code < 500
    hint = "Try again later" if is_passing else "Ask the provider what the reply means"
    if stage is Stage.AUTH and not is_passing:
        hints = {"xoauth2": _CHECK_GRANT, "oauth": _LOG_IN_AGAIN}
        hint = hints.get(server.auth, _CHECK_LOGIN)
    hint = advice(server.host, str(reply), had_token=server.auth != "password") or hint
    return OpeningTrouble(f"{what}: {reply}", hint, stage, reply, is_passing=is_passing)


def no_starttls(server: Server) -> OpeningTrouble:
    """STARTTLS is required and not offered: there is no fallback to plain text."""
    what = f"{server.name} does not offer STARTTLS, so nothing was sent to it"
    hint = 'If the provider has that, set port = 465 and security = "tls" in [smtp]'
    if server.is_loopback:
        hint = 'A server on this machine may do without: set security = "none" in [smtp]'
    return OpeningTrouble(what, hint, Stage.STARTTLS)


def slipped_in(server: Server) -> OpeningTrouble:
    """More than the reply to STARTTLS came before TLS began."""
    what = f"{server.name}, or somebody on the way to it, sent text between STARTTLS and TLS"
    hint = "Nothing was sent, not even the password. Try another network, and tell the provider"
    return OpeningTrouble(what, hint, Stage.STARTTLS)


def no_login(server: Server, offered: list[str]) -> OpeningTrouble:
    """The server does not offer a usable login."""
    what = f"{server.name} offers no login"
    if offered:
        names = ", ".join(sorted({scrub(name.encode()) for name in offered}))
        what = f"{server.name} offers no login that fits auth and username, only {names.upper()}"
    hint = "Remove username from [smtp] if the server needs no login, or check host and security"
    return OpeningTrouble(what, hint, Stage.AUTH)


def no_secret(server: Server) -> OpeningTrouble:
    """There is a username, and neither password nor token."""
    what, hint = "token", "Set token_command in [smtp] of petition.toml, or PETITION_SMTP_TOKEN"
    if server.auth == "oauth":
        what, hint = "login", "Run petition login smtp"
    elif server.auth == "password":
        what = "password"
        hint = "Set PETITION_SMTP_PASSWORD, or password_command in [smtp] of petition.toml, or use"
        hint += f" the keyring: keyring set petition:{server.host} {server.username}"
    what = f"there is no {what} for {server.username} at {server.name}"
    return OpeningTrouble(what, hint, Stage.AUTH)


def _codes(fault: BaseException) -> set[int]:
    """The errnos of a fault; for several addresses asyncio has only their texts (3.11)."""
    found = {int(code) for code in _ERRNO.findall(str(fault))}
    if isinstance(fault, OSError) and fault.errno is not None:
        found.add(fault.errno)
    return found


def secret_of(server: Server) -> Secret | None:
    """The secret of a server's login, if it has one.

    ServerTrouble if its command fails, or the login that `petition login` made is of no use.
    """
    if server.username is None:
        return None
    source = SecretSource.of_login("smtp", server.auth)
    if account := server.account:
        return find_login(account, source, os.environ)
    if source.kind == "token":
        return find_token(source, server.token_command)
    return find_password(source, server.password_command, server.host, server.username)


# Sends the words as one line and returns the code and text of the reply, its lines joined by LF.
Say = Callable[..., Awaitable[tuple[int, bytes]]]

# Only one mechanism is tried: each refusal brings the account nearer to being locked.
_MECHANISMS = {
    "password": ("plain", "login", "cram-md5"),
    "xoauth2": ("xoauth2",),
    "oauth": ("xoauth2", "oauthbearer"),  # the first is what Google and Microsoft document
}
_WELCOME = 235
_GO_ON = 334
_UNKNOWN_MECHANISM = 504  # RFC 4954 4: the only reply after which another is tried
_LINE = 512  # octets; a longer initial response gets its own line (RFC 4954 4)
_PIECE = re.compile(rb"[A-Za-z0-9+/=_-]{8,}")


async def log_in(say: Say, offered: list[str], server: Server, secret: Secret | None) -> None:
    """Log in, if the server has a username."""
    if server.username is None:
        return
    if secret is None:
        raise no_secret(server)
    fitting = [name for name in _MECHANISMS[server.auth] if name in offered]
    if not fitting:
        raise no_login(server, offered)
    if secret.is_ending:
        await _renew(secret, secret.text)
    for name in fitting:
        tried = secret.text
        reply = await _try(say, name, server, tried)
        if reply.code >= 500 and server.auth != "password" and await _renew(secret, tried):
            reply = await _try(say, name, server, secret.text)
        if reply.code == _WELCOME:
            return
        if reply.code != _UNKNOWN_MECHANISM or name == fitting[-1]:
            if 400 <= reply.code <= 599:
                raise refused(server, Stage.AUTH, reply)
            raise broken_off(server, Stage.AUTH, Loss.OUT_OF_STEP)


async def _try(say: Say, name: str, server: Server, text: str) -> Reply:
    """The last reply to one mechanism, without the secret."""
    username, password = (server.username or "").encode(), text.encode()
    forms = {
        "plain": b"\0" + username + b"\0" + password,
        "xoauth2": xoauth2(server.username or "", text),
        "oauthbearer": oauthbearer(server.username or "", server.host, server.port, text),
    }
    if name in forms:
        code, said = await _in_one(say, name, base64.b64encode(forms[name]))
    elif name == "login":
        code, said = await _in_turn(say, username, password)
    else:
        code, said = await _by_digest(say, server, username, password)
    hidden = [password, *map(base64.b64encode, (password, *forms.values()))]
    return Reply.of(code, _without(said, hidden).split(b"\n"))


async def _in_one(say: Say, name: str, response: bytes) -> tuple[int, bytes]:
    words = (b"AUTH", name.upper().encode(), response)
    if sum(map(len, words)) + len(words) + 1 <= _LINE:
        code, said = await say(*words)
    else:
        code, said = await say(*words[:2])
        if code == _GO_ON:
            code, said = await say(response)
    if code == _GO_ON:
        # The error of a token comes as a challenge; the reply comes after the answer to it.
        challenge = said
        code, said = await say(base64.b64encode(CHALLENGE_ANSWERS.get(name.upper(), b"")))
        if why := told_refusal(_decoded(challenge)):
            said += f"\n({why})".encode()
    return code, said


def _decoded(challenge: bytes) -> bytes:
    try:
        return base64.b64decode(challenge, validate=True)
    except binascii.Error:
        return b""


async def _in_turn(say: Say, username: bytes, password: bytes) -> tuple[int, bytes]:
    code, said = await say(b"AUTH", b"LOGIN")
    for word in (username, password):
        if code == _GO_ON:
            code, said = await say(base64.b64encode(word))
    return code, said


async def _by_digest(
    say: Say, server: Server, username: bytes, password: bytes
) -> tuple[int, bytes]:
    """CRAM-MD5 (RFC 2195)."""
    code, said = await say(b"AUTH", b"CRAM-MD5")
    if code != _GO_ON:
        return code, said
    try:
        challenge = base64.b64decode(said, validate=True)
    except binascii.Error:
        raise broken_off(server, Stage.AUTH, Loss.GARBLED) from None
    digest = hmac.new(password, challenge, "md5").hexdigest().encode()
    return await say(base64.b64encode(username + b" " + digest))


def _without(said: bytes, hidden: list[bytes]) -> bytes:
    """What a server said, without the secret: some servers quote the line that they refuse."""
    for form in hidden:
        said = said.replace(form, b"***")
    return _PIECE.sub(
        lambda piece: b"***" if any(piece[0] in form for form in hidden) else piece[0], said
    )


async def _renew(secret: Secret, stale: str) -> bool:
    import asyncio  # noqa: PLC0415 (check, which only looks whether there is a secret, needs none)

    try:
        return await asyncio.to_thread(secret.renew, stale)
    except ServerTrouble as fault:
        passing = fault.is_passing
        raise OpeningTrouble(fault.what, fault.hint, Stage.AUTH, is_passing=passing) from None
