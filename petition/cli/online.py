"""What `petition check --online` asks of DNS and of the server."""

import os
from collections.abc import Mapping

from petition.campaign.server import Server
from petition.campaign.settings import Rate
from petition.checks.dns import VARIABLE, Resolver, known_of
from petition.checks.sender import (
    Limits,
    Sender,
    Visit,
    look_at_pace,
    look_at_sender,
    visit,
    well,
    wrong,
)
from petition.cli.provider import providers
from petition.cli.workplace import Workplace
from petition.errors import ServerTrouble
from petition.smtp.dkim import KeyRefused, load_key, public_record
from petition.smtp.login import secret_of
from petition.smtp.session import run_loop

SIGNATURE_BYTES = 1_200  # of the header DKIM-Signature, at most


def look_online(place: Workplace, sizes: Mapping[str, int], recipients: Mapping[str, int]) -> Visit:
    """Look at all that only the world outside can tell.

    Args:
        place: The campaign.
        sizes: Of each letter, the bytes of its largest copy.
        recipients: How many each letter has.

    Raises:
        UsageError: The resolver or the server is misnamed.
    """
    campaign = place.campaign
    if campaign.stands_in:  # petition.toml is wrong: nothing follows from what stands in
        return Visit([])
    resolver = Resolver(os.environ.get(VARIABLE, ""))
    sender = Sender.of(campaign.settings, place.server, _key_record(place))
    found = list(look_at_sender(sender, resolver))
    if place.server is None:
        mend = "Name it in [smtp] of petition.toml"
        return Visit([*found, well("petition.toml", "no mail server is named to visit", mend)])
    if campaign.settings.dkim:
        sizes = {letter: size + SIGNATURE_BYTES for letter, size in sizes.items()}
    seen = _visit(place.server, sizes, sender.domain)
    if limits := _limits(place.server):
        settings = campaign.settings
        found += look_at_pace(
            place.server.name, limits, settings.pace, place.server.connections, recipients
        )
    return Visit([*found, *seen.found], seen.is_refused)


def _visit(server: Server, sizes: Mapping[str, int], hello_name: str) -> Visit:
    try:
        secret = secret_of(server)
    except ServerTrouble as trouble:
        return Visit([wrong(server.name, trouble.what, trouble.mend)], is_refused=True)
    return run_loop(visit(server, secret, sizes, hello_name=hello_name))


def _key_record(place: Workplace) -> str | None:
    dkim = place.campaign.settings.dkim
    if dkim is None:
        return None
    try:
        key = load_key(dkim, place.campaign.root)
        return public_record(key) if key else None
    except KeyRefused:  # `check` tells of it
        return None


def _limits(server: Server) -> Limits | None:
    """What is known of the server's provider."""
    known = known_of(server.host)
    for one in providers().values():
        host = str(one.smtp["host"])
        if host == server.host or (known and known is known_of(host)):
            rate = Rate.parse(str(one.pace["rate"])) if "rate" in one.pace else None
            return Limits(
                title=one.title,
                per_day=_number(one.pace.get("per_day")),
                rate=str(one.pace.get("rate", "")),
                per_minute=rate.count * 60 / rate.seconds if rate else None,
                connections=_number(one.smtp.get("connections")),
            )
    return None


def _number(value: object) -> int | None:
    return value if isinstance(value, int) else None
