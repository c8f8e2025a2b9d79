"""What an organiser is told when a connection to the server cannot be opened, and how to mend it.

Only what was seen goes in and only words come out: nothing here knows a password.
"""

import errno
import re
import socket
import ssl

from petition.campaign.server import Server
from petition.delivery.known_replies import advice
from petition.delivery.reply import Loss, Reply, Stage, lost, scrub
from petition.errors import ServerTrouble

_ERRNO = re.compile(r"\[Errno (-?\d+)\]")
_UNREACHABLE = {errno.ENETUNREACH, errno.EHOSTUNREACH, errno.ENETDOWN}

_CHECK_HOST = "Check host, port and security in [smtp] of petition.toml"
_CHECK_LOGIN = (
    "Check username and password; many providers want an app password, made in their"
    " security settings, in place of the one for the web"
)
_CHECK_GRANT = (
    "Run token_command by hand: its token must be a fresh one, for this account and for sending"
    " mail. A token in PETITION_SMTP_TOKEN runs out and is not renewed"
)


class OpeningTrouble(ServerTrouble):
    """A connection could not be opened.

    Args:
        what: What happened.
        mend: What to do about it.
        stage: How far it came.
        reply: What the server said to it, if it did.
        is_passing: Whether the same may go well in some minutes, with nothing changed.
    """

    def __init__(
        self, what: str, mend: str, stage: Stage, *, reply: Reply | None = None, is_passing: bool
    ) -> None:
        super().__init__(what, mend)
        self.stage = stage
        self.reply = reply
        self.is_passing = is_passing


def unreachable(server: Server, fault: BaseException) -> OpeningTrouble:
    """No connection could be made.

    Args:
        server: The server that was called.
        fault: What the socket, TLS or the name service raised.
    """
    if isinstance(fault, ssl.SSLError):
        return untrusted(server, fault, Stage.GREETING)
    if isinstance(fault, socket.gaierror):
        return _opening(
            f"the name {server.host} is not known",
            "Check host in [smtp] of petition.toml, and whether this machine is online",
            is_passing=fault.errno == socket.EAI_AGAIN,
        )
    codes = _codes(fault)
    if errno.ECONNREFUSED in codes:
        return _opening(
            f"nothing answers at {server.name}: the connection was refused",
            f"{_CHECK_HOST}: most providers use port 587 with starttls, or 465 with tls",
        )
    if codes & _UNREACHABLE:
        return _opening(f"{server.host} cannot be reached", "Check whether this machine is online")
    if isinstance(fault, ValueError):
        return _opening(f'"{server.host}" is no host name', _CHECK_HOST, is_passing=False)
    # The fault's own text can quote addresses of this machine; its kind is enough.
    return _opening(f"the connection to {server.name} failed ({type(fault).__name__})", _CHECK_HOST)


def untrusted(server: Server, fault: ssl.SSLError, stage: Stage) -> OpeningTrouble:
    """TLS did not come about.

    Args:
        server: The server that was called.
        fault: What the TLS library raised.
        stage: GREETING with implicit TLS, else STARTTLS.
    """
    if isinstance(fault, ssl.SSLCertVerificationError):
        return OpeningTrouble(
            f"the certificate of {server.name} is not trusted: {fault.verify_message.rstrip('.')}",
            "Check that host is the server's real name. Nothing was sent, the password neither",
            stage,
            is_passing=False,
        )
    reason = (fault.reason or type(fault).__name__).replace("_", " ").lower()
    mend = "Ask the provider which TLS versions the server speaks"
    if stage is Stage.GREETING:
        mend = 'If the port is 587 or 25, set security = "starttls" in [smtp] of petition.toml'
    return OpeningTrouble(
        f"{server.name} does not speak TLS as expected: {reason}", mend, stage, is_passing=False
    )


def broken_off(server: Server, stage: Stage, loss: Loss) -> OpeningTrouble:
    """The conversation ended before the first letter.

    Args:
        server: The server.
        stage: How far it came.
        loss: How it ended.
    """
    mend = "Try again later; if it stays so, ask the provider"
    if stage is Stage.GREETING:
        mend = f"{_CHECK_HOST}; some networks close these ports to mail programs"
        if server.security != "tls":
            mend = f'{_CHECK_HOST}; port 465 needs security = "tls"'
    what = f"{lost(stage, loss).reason} ({server.name})"
    return OpeningTrouble(what, mend, stage, is_passing=True)


def refused(server: Server, stage: Stage, reply: Reply) -> OpeningTrouble:
    """The server said no.

    Args:
        server: The server.
        stage: To what.
        reply: What it said.
    """
    what = {
        Stage.GREETING: f"{server.name} does not take connections",
        Stage.EHLO: f"{server.name} refuses this machine's EHLO",
        Stage.STARTTLS: f"{server.name} refuses to start TLS",
        Stage.AUTH: f"{server.name} refuses the login of {server.username}",
    }[stage]
    is_passing = reply.code < 500
    mend = "Try again later" if is_passing else "Ask the provider what the reply means"
    if stage is Stage.AUTH and not is_passing:
        mend = _CHECK_GRANT if server.auth == "xoauth2" else _CHECK_LOGIN
    mend = advice(server.host, str(reply)) or mend
    return OpeningTrouble(f"{what}: {reply}", mend, stage, reply=reply, is_passing=is_passing)


def no_starttls(server: Server) -> OpeningTrouble:
    """STARTTLS was asked for and is not offered: there is no falling back to plain text.

    Args:
        server: The server.
    """
    return OpeningTrouble(
        f"{server.name} does not offer STARTTLS, so nothing was sent to it",
        'Set port = 465 and security = "tls" in [smtp] of petition.toml if the provider has that',
        Stage.STARTTLS,
        is_passing=False,
    )


def slipped_in(server: Server) -> OpeningTrouble:
    """Somebody said more than the reply to STARTTLS before TLS began.

    Args:
        server: The server.
    """
    return OpeningTrouble(
        f"{server.name}, or somebody on the way to it, slipped a text in between STARTTLS and TLS",
        "Nothing was sent, the password neither. Try from another network, and tell the provider",
        Stage.STARTTLS,
        is_passing=False,
    )


def no_login(server: Server, offered: list[str]) -> OpeningTrouble:
    """The server does not offer a login that can be used.

    Args:
        server: The server.
        offered: The mechanisms that it does offer, in lower case.
    """
    what = f"{server.name} offers no login"
    if offered:
        names = ", ".join(sorted({scrub(name.encode()) for name in offered}))
        what = f"{server.name} offers no login that fits auth and username, only {names.upper()}"
    mend = "Take username out of [smtp] if the server needs none, else check host and security"
    return OpeningTrouble(what, mend, Stage.AUTH, is_passing=False)


def no_secret(server: Server) -> OpeningTrouble:
    """There is a username and neither password nor token.

    Args:
        server: The server.
    """
    what, mend = (
        "password",
        (
            f"Set PETITION_SMTP_PASSWORD, or password_command in [smtp] of petition.toml, or put it"
            f" into the keyring: keyring set petition:{server.host} {server.username}"
        ),
    )
    if server.auth == "xoauth2":
        what, mend = "token", "Set token_command in [smtp] of petition.toml, or PETITION_SMTP_TOKEN"
    return OpeningTrouble(
        f"there is no {what} for {server.username} at {server.name}",
        mend,
        Stage.AUTH,
        is_passing=False,
    )


def _opening(what: str, mend: str, *, is_passing: bool = True) -> OpeningTrouble:
    return OpeningTrouble(what, mend, Stage.GREETING, is_passing=is_passing)


def _codes(fault: BaseException) -> set[int]:
    """The errnos of a fault; of several addresses asyncio gives only their texts (3.11)."""
    found = {int(code) for code in _ERRNO.findall(str(fault))}
    if isinstance(fault, OSError) and fault.errno is not None:
        found.add(fault.errno)
    return found
