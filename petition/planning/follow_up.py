"""What a follow-up says of the letter before: to whom it went, when, and what they answered."""

import re
from collections.abc import Iterable
from datetime import date
from functools import cached_property

from petition.address import UNSEEN, folded
from petition.campaign.letter import UNANSWERED
from petition.campaign.people import Person
from petition.checks.campaign import Examined
from petition.errors import MergeRefused
from petition.identity import Signer
from petition.merge.document import Frozen
from petition.merge.message import Merger
from petition.outbox.answers import Answer, Gate, did_not_get
from petition.outbox.log import Log
from petition.outbox.models import Copy
from petition.outbox.states import State
from petition.report.ledger import Entry, ledger
from petition.sending.person import person_of
from petition.template.fields import PREVIOUS, Previous, thread_of

_QUOTE_LENGTH = 2_000
_RE_PREFIX = re.compile(r"^(?:re:\s*)+", re.IGNORECASE)


class FollowUp:
    """Completes the rows of a follow-up's list, for those whose answer is one of `allowed`.

    `today` is the day on which it goes, if not now.
    """

    def __init__(
        self, log: Log, follows: str, allowed: Iterable[str], today: date | None = None
    ) -> None:
        self._log = log
        self._today = today
        self._follows = follows
        self._gate = Gate(log, follows, allowed)
        self._mergers: dict[int, Merger] = {}

    @property
    def has_begun(self) -> bool:
        """Whether anybody has got the letter that is followed."""
        return bool(self._entries)

    def complete(self, person: Person) -> Person:
        """A person with what their follow-up says of the letter before, or why they get none."""
        entry = self._entries.get(folded(person.mailbox.addr_spec))
        if entry is None or entry.copy.state is not State.SENT:
            reason = did_not_get(self._follows)
        else:
            fields = {**person.fields, PREVIOUS: self._previous(entry).to_json()}
            person, reason = person._replace(fields=fields), self._gate.bars(entry.history)
        return person._replace(excluded=person.excluded or reason) if reason else person

    @cached_property
    def _entries(self) -> dict[str, Entry]:
        found = ledger(self._log, self._follows)
        return {entry.copy.folded: entry for entry in found.entries} if found else {}

    def _previous(self, entry: Entry) -> Previous:
        copy, history = entry.copy, entry.history
        today = self._today or entry.today
        sent_on = entry.had_on or today
        return Previous(
            subject=_RE_PREFIX.sub("", self._subject(copy)),
            sent_on=sent_on,
            days=(today - sent_on).days,
            answers=tuple(_said(answer, entry) for answer in history.answers),
            open_demands=tuple(one.id for one in entry.demands if history.is_open(one.id)),
            thread=(*thread_of(person_of(copy)), *([copy.message_id] if copy.message_id else [])),
        )

    def _subject(self, copy: Copy) -> str:
        if copy.revision not in self._mergers:
            kept = self._log.frozen(copy.letter, copy.revision)
            if kept is None:
                return ""
            frozen = Frozen.from_json(kept.document)
            self._mergers[copy.revision] = Merger(frozen, Signer(self._log.key))
        try:
            return self._mergers[copy.revision].subject(person_of(copy))
        except MergeRefused:  # it was merged before it was sent
            return self._log.campaign_id or ""


def _said(answer: Answer, entry: Entry) -> dict[str, str]:
    return {
        "status": str(answer.status),
        "demand": answer.demand,
        "channel": answer.channel,
        "quote": re.sub(" +", " ", UNSEEN.sub(" ", answer.quote)).strip()[:_QUOTE_LENGTH],
        "on": answer.at.astimezone(entry.zone).date().isoformat(),
    }


def following_of(examined: Examined, log: Log, today: date | None = None) -> FollowUp | None:
    """For a follow-up, what completes its rows with what the log knows; else None.

    `today` is the day on which it goes, if not now.
    """
    front = examined.letter.front if examined.letter.texts else None
    if front is None or not front.follows or examined.has_errors:
        return None
    following = FollowUp(log, front.follows, front.where or UNANSWERED, today)
    if following.has_begun:
        examined.complete = following.complete
    return following
