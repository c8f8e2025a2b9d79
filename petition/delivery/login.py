"""Logging in to a server (RFC 4954): which mechanism, what is said, and what a refusal means.

Nothing here knows a library: the conversation is a callable that sends a line and gives the reply.
"""

import asyncio
import base64
import binascii
import hmac
import re
from collections.abc import Awaitable, Callable

from petition.campaign.server import Server
from petition.credentials import Secret
from petition.delivery import trouble
from petition.delivery.reply import Loss, Reply, Stage
from petition.errors import ServerTrouble

# Sends the words as one line and gives the reply's code and text, the text's lines joined by LF.
Say = Callable[..., Awaitable[tuple[int, bytes]]]

# One mechanism is tried, not one after the other: each refusal counts towards a locked account.
_PASSWORD_MECHANISMS = ("plain", "login", "cram-md5")
_WELCOME = 235
_GO_ON = 334
_UNKNOWN_MECHANISM = 504  # RFC 4954 4: the one reply after which another may be tried
_LINE = 512  # octets; a longer initial response goes on a line of its own (RFC 4954 4)
_PIECE = re.compile(rb"[A-Za-z0-9+/=_-]{8,}")


async def log_in(say: Say, offered: list[str], server: Server, secret: Secret | None) -> None:
    """Log in, where the server has a username.

    Args:
        say: The conversation; it raises OpeningTrouble where that breaks off.
        offered: The mechanisms that the server offers, in lower case.
        server: The server.
        secret: Its password or token. A token that has run out is renewed, once.

    Raises:
        OpeningTrouble: It cannot be done, or the server refuses.
    """
    if server.username is None:
        return
    if secret is None:
        raise trouble.no_secret(server)
    wanted = ("xoauth2",) if server.auth == "xoauth2" else _PASSWORD_MECHANISMS
    fitting = [name for name in wanted if name in offered]
    if not fitting:
        raise trouble.no_login(server, offered)
    if secret.is_ending:
        await _renew(secret, secret.text)
    for name in fitting:
        tried = secret.text
        reply = await _try(say, name, server, tried)
        if reply.code >= 500 and name == "xoauth2" and await _renew(secret, tried):
            reply = await _try(say, name, server, secret.text)
        if reply.code == _WELCOME:
            return
        if reply.code != _UNKNOWN_MECHANISM or name == fitting[-1]:
            raise _refusal(server, reply)


async def _try(say: Say, name: str, server: Server, text: str) -> Reply:
    """The last reply to one mechanism, with nothing of the secret in it."""
    username, password = (server.username or "").encode(), text.encode()
    forms = {
        "plain": b"\0" + username + b"\0" + password,
        "xoauth2": b"user=" + username + b"\x01auth=Bearer " + password + b"\x01\x01",
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
        # XOAUTH2 tells its error in a challenge; an empty line brings the reply itself.
        code, said = await say(b"")
    return code, said


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
        raise trouble.broken_off(server, Stage.AUTH, Loss.GARBLED) from None
    digest = hmac.new(password, challenge, "md5").hexdigest().encode()
    return await say(base64.b64encode(username + b" " + digest))


def _without(said: bytes, hidden: list[bytes]) -> bytes:
    """What a server said, without the secret: some quote the line that they refuse."""
    for form in hidden:
        said = said.replace(form, b"***")
    return _PIECE.sub(
        lambda piece: b"***" if any(piece[0] in form for form in hidden) else piece[0], said
    )


def _refusal(server: Server, reply: Reply) -> ServerTrouble:
    if 400 <= reply.code <= 599:
        return trouble.refused(server, Stage.AUTH, reply)
    return trouble.broken_off(server, Stage.AUTH, Loss.OUT_OF_STEP)


async def _renew(secret: Secret, stale: str) -> bool:
    try:
        return await asyncio.to_thread(secret.renew, stale)
    except ServerTrouble as fault:
        raise trouble.OpeningTrouble(fault.what, fault.mend, Stage.AUTH, is_passing=False) from None
