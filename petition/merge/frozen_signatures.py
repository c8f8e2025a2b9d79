"""Signatures in the letters that were frozen: where a name has gone, and taking it out of the rest.

Whoever withdraws, or no longer wants the name to be shown, is in no copy that is merged afterwards.
What was sent stays as it was sent. A person who is not named is only counted, and a letter that has
begun keeps its number.
"""

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from typing import NamedTuple

from petition.campaign.names import folded_name
from petition.merge import freeze
from petition.merge.document import Frozen
from petition.outbox import erasure, signatures
from petition.outbox.database import intact, moment
from petition.outbox.log import Log
from petition.outbox.models import FrozenLetter
from petition.outbox.signatures import SignatureEntry, SignatureRecord, Wording


class Gone(NamedTuple):
    """A letter that a name has gone out with; times are aware."""

    letter: str
    revision: int
    copies: int  # that may have arrived
    first: datetime | None  # when the first and the last of them went
    last: datetime | None


def gone_with(log: Log, signature: SignatureRecord) -> list[Gone]:
    """Where the name of a signature has gone already: letters that were sent, the oldest first."""
    is_theirs, found = _signed_by(signature.entry), list[Gone]()
    for letter in erasure.frozen_letters(log) if signature.entry.name else ():
        published = Frozen.from_json(letter.document).document["signatories"]["published"]
        if any(map(is_theirs, published)):
            copies, first, last = erasure.gone_out(log, letter)
            with intact():
                days = (moment(first) if first else None), (moment(last) if last else None)
            if copies:
                found.append(Gone(letter.letter, letter.revision, copies, *days))
    return found


def withdraw(log: Log, signature: SignatureRecord, how: str) -> list[Gone] | None:
    """The owner takes the signature back, and the name comes out of all that is not sent yet.

    Returns where it has gone already (`gone_with`); None: it was withdrawn before.
    """
    with log.database.joined(log.writing):
        before = signatures.one(log, signature.id)
        gone = gone_with(log, before)
        if not signatures.mark_withdrawn(log, before, how):
            return None
        # Whoever signed twice, or has a namesake, is still named for the other signature.
        if not (signatures.signs_elsewhere(log, before) or _has_namesake(log, before)):
            _take_out(log, before.entry)
    return gone


def change(
    log: Log, signature: SignatureRecord, entry: SignatureEntry, wording: Wording, how: str
) -> SignatureRecord:
    """The owner says something else; a name that is no longer to be shown is shown no more."""
    with log.database.joined(log.writing):
        before = signatures.one(log, signature.id).entry
        after = signatures.store_change(log, signature, entry, wording, how)
        if before.publish and not after.entry.publish:
            _take_out(log, before, still_counts=True)
    return after


def frozen_again(letter: FrozenLetter, frozen: Frozen) -> FrozenLetter:
    """What the log keeps of a letter once `frozen` takes its place."""
    return replace(
        letter, document=frozen.to_json(), hash=frozen.hash, content_hash=frozen.content_hash
    )


def _take_out(log: Log, entry: SignatureEntry, *, still_counts: bool = False) -> None:
    """Take a name out of the letters that may still be sent: each in its newest revision."""
    is_theirs = _signed_by(entry)
    for letter in filter(None, map(log.newest, log.letters() if entry.name else ())):
        frozen = Frozen.from_json(letter.document)
        # Nobody's address: whoever gets a copy of the letter still does.
        fewer = freeze.without(frozen, "", is_theirs, still_counts=still_counts)
        if fewer:
            erasure.refreeze(log, letter, frozen_again(letter, fewer), "withdrew")


def _has_namesake(log: Log, signature: SignatureRecord) -> bool:
    """Whether another signature of the same name and kind counts."""
    kind, name = signature.entry.kind, folded_name(signature.entry.name)
    return any(
        one.counts and one.id != signature.id and one.entry.kind == kind
        for one in signatures.signatures(log)
        if folded_name(one.entry.name) == name
    )


def _signed_by(entry: SignatureEntry) -> Callable[[dict[str, str]], bool]:
    """Tells whether a published signatory is the one of an entry, however the name is spelt.

    Two of one kind and name count as one signatory in a letter (campaign/signatories.py).
    """
    name = folded_name(entry.name)
    return lambda one: one["kind"] == entry.kind and folded_name(one["name"]) == name
