"""The logs of a campaign: both of them, and whether one is the right one to send from.

What is held about a person may be in the log of the rehearsals too.
"""

import os
from pathlib import Path

from petition.campaign.server import Server, database_of
from petition.cli import console
from petition.cli.workplace import OUTBOX, Workplace
from petition.errors import PetitionError, UsageError
from petition.outbox.known import Doubt
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


def confirm(doubt: Doubt) -> None:
    """Ask whether this is the right log; --yes is no answer to that.

    Raises:
        UsageError: Nobody is there to answer, or it was declined.
    """
    way = f"{doubt.mend}. If it is the right log, add --this-log; nothing was done"
    if not console.can_ask():
        raise UsageError(doubt.what, way)
    console.say_error(str(PetitionError(doubt.what, doubt.mend)))
    if not console.ask("Is this the right log?"):
        raise UsageError("nothing was done: it was declined")


def would_stop(doubt: Doubt) -> None:
    """Say to whoever only looks that a live `send` would ask."""
    what = f"send would stop here: {doubt.what}"
    console.say_error(str(PetitionError(what, f"{doubt.mend}. If it is right, add --this-log")))
