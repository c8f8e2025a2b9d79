"""Signatures in the letters that were frozen: where a name has gone, and taking it out of the rest.

Whoever withdraws, or no longer wants the name to be shown, is in no copy that is merged afterwards.
What was sent stays as it was sent. A person who is not named is only counted, and a letter that has
begun keeps its number.

Anybody can sign with anybody's name. So a name comes out of a frozen letter only if it is not in
one that is frozen now.
"""

from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import replace
from datetime import datetime
from typing import NamedTuple

from petition.address import folded
from petition.campaign.signatories import (
    STAND_IN,
    Signatory,
    count_once,
    name_key,
    with_unnamed,
)
from petition.merge import freeze
from petition.merge.document import Frozen
from petition.outbox import erasure, signatures
from petition.outbox.database import intact, moment
from petition.outbox.log import Log
from petition.outbox.manual import Forgotten
from petition.outbox.models import FrozenLetter
from petition.outbox.signatures import SignatureEntry, SignatureRecord, SignatureStep, Wording

ReadRows = Callable[[], Sequence[Signatory]]  # reads the file of the signatories, as it is now
_Name = tuple[str, str]  # of `name_key`


class Gone(NamedTuple):
    """A letter that a name has gone out with; times are aware."""

    letter: str
    revision: int
    copies: int  # that may have arrived
    first: datetime | None  # when the first and the last of them went
    last: datetime | None


def gone_with(log: Log, signature: SignatureRecord) -> list[Gone]:
    """Where the name of a signature has gone already: letters that were sent, the oldest first."""
    is_theirs, found = _is_one_of({_name_of(signature.entry)}), list[Gone]()
    for letter in erasure.frozen_letters(log) if signature.entry.name else ():
        published = Frozen.from_json(letter.document).document["signatories"]["published"]
        if any(map(is_theirs, published)):
            copies, first, last = erasure.gone_out(log, letter)
            with intact():
                days = (moment(first) if first else None), (moment(last) if last else None)
            if copies:
                found.append(Gone(letter.letter, letter.revision, copies, *days))
    return found


class RowsByLog:
    """What rows of the signatories' file come to by what the log knows now."""

    def __init__(self, log: Log) -> None:
        self.left = signatures.who_left(log)
        self._forgotten = Forgotten(log)

    def is_forgotten(self, one: Signatory) -> bool:
        """Whether the name is not to be shown because the person was forgotten."""
        return bool(one.publish and one.email) and one.email in self._forgotten

    def now(self, one: Signatory) -> Signatory | None:
        """The signatory, perhaps without the name; None: they do not count any more."""
        key = folded(one.email)
        if self.is_forgotten(one) or key in self.left.withdrew:
            return None
        return replace(one, publish=False) if one.publish and key in self.left.unnamed else one

    def signatories(self, rows: Iterable[Signatory]) -> tuple[Signatory, ...]:
        """Who signs a letter that is frozen now, each once."""
        now = [(one, self.now(one)) for one in rows]
        same = count_once("", [one for one, is_now in now if is_now == one], [])
        unnamed = [is_now for one, is_now in now if is_now and is_now != one]
        return with_unnamed(same, unnamed) if unnamed else same


def withdraw(
    log: Log, signature: SignatureRecord, how: str, read_rows: ReadRows
) -> list[Gone] | None:
    """The owner takes the signature back, and the name comes out of all that is not sent yet.

    Returns where it has gone already (`gone_with`); None: it was withdrawn before.
    """
    with log.database.joined(log.writing):
        before = signatures.one(log, signature.id)
        if not signatures.mark_withdrawn(log, before, how):
            return None
        gone = gone_with(log, before)
        if not signatures.signs_elsewhere(log, before):
            _take_out(log, before, read_rows)
    return gone


def change(
    log: Log,
    signature: SignatureRecord,
    entry: SignatureEntry,
    wording: Wording,
    how: str,
    read_rows: ReadRows,
) -> SignatureRecord:
    """The owner says something else; a name that is no longer to be shown is shown no more."""
    with log.database.joined(log.writing):
        before = signatures.one(log, signature.id)
        after = signatures.store_change(log, signature, entry, wording, how)
        if before.entry.publish and not after.entry.publish:
            _take_out(log, before, read_rows, still_counts=True)
    return after


def frozen_again(letter: FrozenLetter, frozen: Frozen) -> FrozenLetter:
    """What the log keeps of a letter once `frozen` takes its place."""
    return replace(
        letter, document=frozen.to_json(), hash=frozen.hash, content_hash=frozen.content_hash
    )


def _take_out(
    log: Log, before: SignatureRecord, read_rows: ReadRows, *, still_counts: bool = False
) -> None:
    """Take a name out of the letters that may still be sent: each in its newest revision."""
    letters = [one for one in map(log.newest, log.letters()) if one]
    if not letters:
        return
    rows = tuple(read_rows())
    is_readable = rows != (STAND_IN,)
    names = {_name_of(one) for one in rows if folded(one.email) == before.folded}
    if before.entry.name and (_was_approved(log, before) or not is_readable):
        names.add(_name_of(before.entry))
    # A file that cannot be read protects no name: one that was sent could not be taken back.
    now = RowsByLog(log).signatories(rows) if is_readable else ()
    names -= {_name_of(one) for one in now if one.publish} | _names_in_log(log, before)
    counted = names if still_counts else names.intersection(map(_name_of, now))
    for letter in letters:
        frozen = fewer = Frozen.from_json(letter.document)
        for some, counts in ((counted, True), (names - counted, False)):
            # "": whoever gets a copy of the letter still does.
            fewer = freeze.without(fewer, "", _is_one_of(some), still_counts=counts) or fewer
        if fewer is not frozen:
            erasure.refreeze(log, letter, frozen_again(letter, fewer), "withdrew")


def _was_approved(log: Log, signature: SignatureRecord) -> bool:
    return any(one.what is SignatureStep.APPROVED for one in signatures.events(log, signature.id))


def _names_in_log(log: Log, signature: SignatureRecord) -> set[_Name]:
    """The names that other people's signatures show, if they count."""
    return {
        _name_of(one.entry)
        for one in signatures.signatures(log)
        if one.counts and one.entry.publish and one.folded != signature.folded
    }


def _name_of(one: Signatory | SignatureEntry) -> _Name:
    """What two of one kind and name have in common: they count as one signatory in a letter."""
    return name_key(one.kind, one.name)


def _is_one_of(names: Collection[_Name]) -> Callable[[dict[str, str]], bool]:
    """Tells whether a published signatory has one of the names."""
    return lambda one: name_key(one["kind"], one["name"]) in names
