"""Signatories who withdrew, were forgotten or are not to be named: whom a letter goes on without.

The log knows them by their addresses, and files may still have their rows. A frozen letter has
names and no addresses; of those whom it does not name it has only the number.
"""

from collections.abc import Collection, Iterable, Mapping
from datetime import datetime
from typing import Any

from petition.address import folded
from petition.campaign.folder import Campaign
from petition.campaign.signatories import Signatory, name_key
from petition.checks.letter import zone_of
from petition.errors import Level, Problem
from petition.merge.document import Frozen
from petition.merge.frozen_signatures import RowsByLog
from petition.outbox import erasure, signatures
from petition.outbox.log import Log
from petition.outbox.models import FrozenLetter
from petition.outbox.signatures import WhoLeft, Withdrawal
from petition.template.fields import NEW

_NOBODY: Mapping[str, Any] = {"published": (), "total": 0}


def prune_signatories(campaign: Campaign, log: Log) -> list[Problem]:
    """Drop from the signatories who was forgotten or withdrew, and names that are not to be shown.

    Their rows as the file has them become `campaign.left_out`. Returns the warnings, which
    are added to the campaign's problems. Forgotten people who are not named stay: a letter only
    counts them.
    """
    by_log = RowsByLog(log)
    file, zone = campaign.settings.people["signatories"], zone_of(campaign)
    left_out, told = list[Signatory](), list[Problem]()

    def warn(one: Signatory, what: str, hint: str) -> None:
        problem = Problem(file, one.line, what, hint, Level.WARNING)
        if problem not in campaign.problems:
            told.append(problem)

    for one in campaign.signatory_rows:
        key, now = folded(one.email), by_log.now(one)
        if now != one:
            left_out.append(one)
        if by_log.is_forgotten(one):
            continue
        if withdrawal := by_log.left.withdrew.get(key):
            day = withdrawal.at.astimezone(zone).date()
            warn(one, f"this signatory withdrew on {day} and is left out", "Delete the row")
        elif now != one:
            what = "this signatory does not want to be named any more, and is only counted"
            warn(one, what, 'Write "no" under publish')
        elif key in by_log.left.hidden:
            what = "this signature is hidden in the log, and counts because it is in the file"
            warn(one, what, f"Delete the row, or: petition signatures --approve {one.email}")
    campaign.left_out = tuple(left_out)
    if left_out:
        campaign.signatories = by_log.signatories(campaign.signatory_rows)
    campaign.problems += told
    return told


def who_left(signatories: Iterable[Signatory], log: Log) -> list[Signatory]:
    """Those of them who by now have withdrawn, were forgotten, or are not to be named any more."""
    by_log = RowsByLog(log)
    return [one for one in signatories if by_log.now(one) != one]


def differs_by_who_left(old: Frozen, now: Frozen, left: Collection[Signatory], log: Log) -> bool:
    """Whether everybody who is missing from `now` is in `left`, which has all their rows.

    For letters that are the same otherwise, as `with_fewer_signatories` tells: nothing else in them
    is compared.
    """
    named = [one for one in left if one.publish]
    return _is_lost(old, now, named, len(left) - len(named), signatures.who_left(log))


def differs_by_who_left_since(
    newest: FrozenLetter, old: Frozen, now: Frozen, campaign: Campaign, log: Log
) -> bool:
    """The same of people who left since a letter was frozen in the log; `old` is its document.

    A name that is gone must be in a row that the file still has, since the log has erased it. Who
    was only counted is in such a row, or was approved without a name before.
    """
    left = signatures.who_left(log)

    def has_left_since(mailbox: str, moment: datetime) -> bool:
        withdrawal = left.withdrew.get(mailbox)  # None: forgotten or unnamed, with no moment known
        return withdrawal is None or withdrawal.at >= moment

    def has_been_approved(one: Withdrawal) -> bool:
        return one.approved_at is not None and one.approved_at <= newest.frozen_at

    in_file = dict[str, bool]()  # whether all rows of a mailbox agree to be shown
    for one in campaign.left_out:
        mailbox = folded(one.email)
        in_file[mailbox] = in_file.get(mailbox, True) and one.publish
    named = [
        one
        for one in campaign.left_out
        if one.publish and has_left_since(folded(one.email), newest.frozen_at)
    ]
    notes = erasure.rehashed(log, newest.letter, newest.revision)
    counted_at = max((one.when for one in notes if one.is_complete), default=newest.frozen_at)
    unnamed = sum(
        has_left_since(mailbox, counted_at)
        and not (one.was_named and in_file.get(mailbox, True))
        and (mailbox in in_file or has_been_approved(one))
        for mailbox, one in left.withdrew.items()
    )
    # The log has taken out the names of some of them already, who perhaps no longer count as new.
    hidden = sum(folded(one.email) in left.unnamed for one in campaign.signatories)
    return _is_lost(old, now, named, unnamed, left, hidden)


def _is_lost(
    old: Frozen,
    now: Frozen,
    named: Iterable[Signatory],
    unnamed: int,
    left: WhoLeft,
    hidden: int = 0,
) -> bool:
    """Whether whom a letter has lost are these, of whom so many were not named in it.

    `hidden` is how many others are not to be named any more, and still count.
    """
    before, after = (one.document["signatories"] for one in (old, now))
    still_counts = {
        name_key(one.kind, one.name): folded(one.email) in left.unnamed for one in named
    }
    missing, fewer = _missing(before, after)
    gone = sum(not still_counts[one] for one in missing & still_counts.keys())
    # Who is not named any more perhaps no longer counts as new in a follow-up.
    no_longer_new, fewer_new = _missing(before.get(NEW, _NOBODY), after.get(NEW, _NOBODY))
    return (
        missing | no_longer_new <= still_counts.keys()
        and fewer <= gone + unnamed
        and fewer_new <= len(no_longer_new) + unnamed + hidden
    )


def _missing(
    before: Mapping[str, Any], after: Mapping[str, Any]
) -> tuple[set[tuple[str, str]], int]:
    """The names that are gone from a list of signatories, and by how many it is shorter."""
    names, names_now = (
        {name_key(one["kind"], one["name"]) for one in part["published"]}
        for part in (before, after)
    )
    return names - names_now, int(before["total"] - after["total"])
