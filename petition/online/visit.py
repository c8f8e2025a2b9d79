"""A visit to the server: EHLO, STARTTLS, the login, QUIT. No letter is begun, nothing is sent."""

import ssl
from collections.abc import Iterator, Mapping
from typing import NamedTuple

from petition.campaign.server import Server
from petition.campaign.settings import Pace
from petition.credentials import Secret
from petition.errors import Problem, ServerTrouble
from petition.online.findings import doubtful, well, wrong
from petition.smtp.session import Session
from petition.smtp.transaction import Offers

_YOUR_ACCOUNT = "See that your account has as much"


class Visit(NamedTuple):
    """What a visit showed.

    Args:
        found: What is to be said of it.
        is_refused: Whether the server could not be reached or refused the login.
    """

    found: list[Problem]
    is_refused: bool = False


async def visit(
    server: Server,
    secret: Secret | None,
    sizes: Mapping[str, int],
    *,
    hello_name: str,
    tls_context: ssl.SSLContext | None = None,
) -> Visit:
    """Log in at the server and leave again.

    Args:
        server: The server.
        secret: Its password or token.
        sizes: Of each letter, the bytes of its largest copy.
        hello_name: The name to give in EHLO.
        tls_context: Which certificates to trust; without it, those that the system trusts.
    """
    try:
        session = await Session.open(server, secret, hello_name=hello_name, tls_context=tls_context)
    except ServerTrouble as trouble:
        return Visit([wrong(server.name, trouble.what, trouble.mend)], is_refused=True)
    try:
        return Visit(list(_welcome(server, session, sizes)))
    finally:
        await session.close()


def _welcome(server: Server, session: Session, sizes: Mapping[str, int]) -> Iterator[Problem]:
    tls = f"over {session.tls}" if session.tls else "on this machine, without encryption,"
    login = f"takes the login of {server.username}" if server.username else "needs no login"
    yield well(server.name, f"the server answers {tls} and {login}")
    yield from _sizes(server, session.offers, sizes)


def _sizes(server: Server, offers: Offers, sizes: Mapping[str, int]) -> Iterator[Problem]:
    if not offers.size:
        return
    for letter, size in sizes.items():
        if size > offers.size:
            what = f"{letter} has {_size(size)}, and the server takes at most {_size(offers.size)}"
            mend = "Make its attachments smaller, or put them on the web and link to them"
            yield wrong(server.name, what, mend)
    if all(size <= offers.size for size in sizes.values()):
        yield well(server.name, f"the server takes letters of up to {_size(offers.size)}")


def _size(octets: int) -> str:
    return f"{octets / 1e6:.1f} MB" if octets >= 100_000 else f"{octets:,} bytes"


class Limits(NamedTuple):
    """What a provider takes.

    Args:
        title: What people call it.
        per_day: Recipients in 24 hours; None: it is not known.
        rate: As [pace] has it, "" where it is not known.
        per_minute: The same as a number of letters a minute; None likewise.
        connections: At once; None likewise.
    """

    title: str
    per_day: int | None = None
    rate: str = ""
    per_minute: float | None = None
    connections: int | None = None


def look_at_pace(
    place: str, limits: Limits, pace: Pace, connections: int, recipients: Mapping[str, int]
) -> Iterator[Problem]:
    """What a provider's limits are, beside what the campaign will do.

    Args:
        place: How the server is called.
        limits: Those of its provider.
        pace: [pace] of petition.toml.
        connections: How many the campaign opens.
        recipients: How many each letter has.
    """
    title, cap = limits.title, limits.per_day
    if cap is not None:
        known = f"{title} takes {cap:,} recipients in 24 hours, as far as is known"
        if pace.per_day is None:
            mend = f"Write per_day = {cap} in [pace], or what your account has"
            yield doubtful(place, known, mend)
        elif pace.per_day > cap:
            yield well(place, f"{known}, and per_day is more", _YOUR_ACCOUNT)
        most, a_day = max(recipients.values(), default=0), pace.per_day or cap
        if most > a_day:
            what = f"{most:,} recipients take {-(-most // a_day)} days at {a_day:,} a day"
            yield well(place, what, "send --wait stays until they are through")
    if limits.per_minute is not None:
        known = f"{title} takes {limits.rate}, as far as is known"
        if pace.rate is None:
            yield doubtful(place, known, f'Write rate = "{limits.rate}" in [pace]')
        elif pace.rate.count * 60 / pace.rate.seconds > limits.per_minute:
            yield well(place, f"{known}, and rate is more", _YOUR_ACCOUNT)
    if limits.connections is not None and connections > limits.connections:
        what = f"{title} takes {limits.connections} connections at once"
        yield doubtful(place, what, f"Write connections = {limits.connections} in [smtp]")
