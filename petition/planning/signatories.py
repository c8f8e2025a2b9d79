"""Signatories whom a letter leaves out, or does not name, although the file has them."""

from dataclasses import replace

from petition.address import folded
from petition.campaign.folder import Campaign
from petition.campaign.signatories import Signatory
from petition.checks.letter import zone_of
from petition.errors import Level, Problem
from petition.merge.document import Frozen
from petition.outbox import signatures
from petition.outbox.log import Log
from petition.outbox.manual import Forgotten


def prune_signatories(campaign: Campaign, log: Log) -> list[Problem]:
    """Drop from the signatories who was forgotten or withdrew, and names that are not to be shown.

    Returns the warnings, which are added to the campaign's problems. Forgotten people who are not
    named stay: a letter only counts them.
    """
    forgotten, gone = Forgotten(log), signatures.departures(log)
    file = campaign.settings.people["signatories"]
    kept, told = list[Signatory](), list[Problem]()

    def warn(one: Signatory, what: str, hint: str) -> None:
        problem = Problem(file, one.line, what, hint, Level.WARNING)
        if problem not in campaign.problems:
            told.append(problem)

    for one in campaign.signatories:
        key = folded(one.email)
        if one.publish and one.email and one.email in forgotten:
            continue
        if since := gone.withdrew.get(key):
            day = since.astimezone(zone_of(campaign)).date()
            warn(one, f"this signatory withdrew on {day} and is left out", "Delete the row")
            continue
        if one.publish and key in gone.unnamed:
            what = "this signatory does not want to be named any more, and is only counted"
            warn(one, what, 'Write "no" under publish')
            one = replace(one, publish=False)  # noqa: PLW2901
        elif key in gone.hidden:
            what = "this signature is hidden in the log, and counts because it is in the file"
            warn(one, what, f"Delete the row, or: petition signatures --approve {one.email}")
        kept.append(one)
    campaign.signatories = tuple(kept)
    campaign.problems += told
    return told


def lost_signatories(old: Frozen, now: Frozen) -> int:
    """How many fewer signed a letter, or are named in it."""
    before, after = (one.document["signatories"] for one in (old, now))
    named = len(before["published"]) - len(after["published"])
    return int(max(before["total"] - after["total"], named))
