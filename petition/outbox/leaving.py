"""Leaving the list by the token of a letter: whose it is, and writing to them no more.

A token is an HMAC of its copy's identity (identity.py) and holds no personal data. Its first half,
the selector, is kept with the copy and has an index; the second half is kept nowhere: the copy that
the selector finds must give the whole token once more, which is compared in constant time. A token
works as long as the log and its key do.
"""

import re

from petition.identity import Identity, Signer, selector_of
from petition.outbox.log import Log
from petition.outbox.marks import index_marks
from petition.outbox.person import stop_writing
from petition.outbox.records import Copy, copy_of
from petition.outbox.states import Reason

_TOKEN = re.compile(r"[0-9a-f]{32}")


def is_bulk(log: Log, letter: str) -> bool:
    """Whether a letter as it was last frozen is one that people can leave the list of."""
    newest = log.newest(letter)
    return bool(newest and newest.content.get("kind") == "bulk")


def copy_with(log: Log, token: str) -> Copy | None:
    """The copy that an unsubscribe token was made for; None: nobody's that is known.

    Args:
        log: The log.
        token: What stands in a link, or in an address; in capitals too.
    """
    token = token.lower()
    if not _TOKEN.fullmatch(token):
        return None
    signer, campaign = Signer(log.key), log.campaign_id or ""
    for row in log.database.all("copies_by_selector", {"selector": selector_of(token)}):
        copy = copy_of(row)
        if signer.proves(token, Identity(campaign, copy.letter, copy.revision, copy.spelling)):
            return copy
    return None


def leave(log: Log, token: str) -> Copy | None:
    """Never write to the mailbox again that a token was made for; any number of times.

    What waits for it is suppressed in the same transaction, and what a run has in hand is stopped
    where its final dot has not gone: there is no next letter.

    Args:
        log: The log.
        token: The token.

    Returns:
        The copy that it was made for; None: nobody's that is known, and nothing was done.
    """
    with log.writing():
        index_marks(log.database)
        copy = copy_with(log, token)
        if copy:
            stop_writing(log, [copy.mailbox], Reason.OPTED_OUT)
    return copy
