"""Both logs of a campaign: what is held about a person may be in that of the rehearsals too."""

import os
from pathlib import Path

from petition.campaign.server import Server, database_of
from petition.cli.workplace import OUTBOX, Workplace
from petition.outbox.log import Log


def logs(place: Workplace, *, make: bool) -> list[tuple[Log, Path | None]]:
    """The logs of a campaign, that of the present server first.

    Args:
        place: The campaign; closes them.
        make: Make the first one where there is none.

    Returns:
        Each log, and the sandbox's Maildir beside the one of the rehearsals.

    Raises:
        LogUnusable: One of them cannot be opened.
    """
    found: list[tuple[Log, Path | None]] = []
    for is_rehearsal in (place.is_rehearsal, not place.is_rehearsal):
        is_present = is_rehearsal == place.is_rehearsal
        url = _url(place, is_rehearsal=is_rehearsal)
        if place.has_log(url) or (is_present and make):
            outbox = place.root / OUTBOX if is_rehearsal else None
            found.append((place.log if is_present else place.open_log(url), outbox))
    return found


def _url(place: Workplace, *, is_rehearsal: bool) -> str:
    if is_rehearsal == place.is_rehearsal:
        return place.url
    server = None if is_rehearsal else Server(host="localhost", port=25, security="none")
    return database_of(place.settings, os.environ, place.root, server)
