"""What a follow-up is told of each person: the letter that they had, and what they answered."""

import re
from collections.abc import Iterable
from functools import cached_property

from petition.address import Mailbox, folded
from petition.campaign.people import Person
from petition.errors import MergeRefused, UsageError
from petition.identity import Signer
from petition.merge.document import Frozen
from petition.merge.message import Merger
from petition.merge.template.fields import PREVIOUS, Previous, thread_of
from petition.outbox.answers import Answer, Gate, did_not_get
from petition.outbox.log import Log
from petition.outbox.models import Copy
from petition.outbox.states import State
from petition.report.ledger import Entry, Ledger, ledger

_QUOTE_LENGTH = 2_000
_RE = re.compile(r"^(?:re:\s*)+", re.IGNORECASE)
# What a letter cannot hold, and line ends, which a quotation does without.
_UNPRINTABLE = re.compile(
    r"[\x00-\x20\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]+"
)


class Following:
    """Completes the rows of a follow-up's list.

    Args:
        log: What was sent and answered.
        follows: The letter that is followed.
        allowed: The answers that the follow-up is for.
    """

    def __init__(self, log: Log, follows: str, allowed: Iterable[str]) -> None:
        self._log = log
        self._follows = follows
        self._gate = Gate(log, follows, allowed)
        self._mergers: dict[int, Merger] = {}

    @property
    def has_begun(self) -> bool:
        """Whether anybody has got the letter that is followed."""
        return bool(self._entries)

    def require(self, letter: str) -> None:
        """Refuse to send a follow-up of nothing.

        Args:
            letter: The follow-up's name.

        Raises:
            UsageError: Nobody has got the letter that is followed.
        """
        if not self.has_begun:
            what = f"{letter} follows {self._follows}, which nobody has got"
            raise UsageError(what, f"Send that first: petition send {self._follows}")

    def complete(self, person: Person) -> Person:
        """A person with what their follow-up says of the letter before, or why they get none."""
        entry = self._entries.get(folded(person.mailbox.addr_spec))
        if entry is None or entry.copy.state is not State.SENT:
            return _without(person, did_not_get(self._follows))
        fields = {**person.fields, PREVIOUS: self._previous(entry).to_json()}
        if reason := self._gate.bars(entry.standing):
            return _without(person._replace(fields=fields), reason)
        return person._replace(fields=fields)

    @cached_property
    def _ledger(self) -> Ledger | None:
        return ledger(self._log, self._follows)

    @cached_property
    def _entries(self) -> dict[str, Entry]:
        entries = self._ledger.entries if self._ledger else ()
        return {entry.copy.folded: entry for entry in entries}

    def _previous(self, entry: Entry) -> Previous:
        copy, standing = entry.copy, entry.standing
        sent_on = entry.had_on or entry.today
        return Previous(
            subject=_RE.sub("", self._subject(copy)),
            sent_on=sent_on,
            days=(entry.today - sent_on).days,
            answers=tuple(_said(answer, entry) for answer in standing.answers),
            open_demands=tuple(one.id for one in entry.demands if standing.is_open(one.id)),
            thread=(*thread_of(_person_of(copy)), *([copy.message_id] if copy.message_id else [])),
        )

    def _subject(self, copy: Copy) -> str:
        if copy.revision not in self._mergers:
            kept = self._log.frozen(copy.letter, copy.revision)
            if kept is None:
                return ""
            frozen = Frozen.from_json(kept.document)
            self._mergers[copy.revision] = Merger(frozen, Signer(self._log.key))
        try:
            return self._mergers[copy.revision].subject(_person_of(copy))
        except MergeRefused:  # it was merged before it was sent
            return self._log.campaign_id or ""


def _without(person: Person, reason: str) -> Person:
    return person._replace(excluded=person.excluded or reason)


def _person_of(copy: Copy) -> Person:
    mailbox = Mailbox(copy.name, copy.mailbox)
    return Person(copy.file, copy.line, 0, copy.row_id, mailbox, copy.language, dict(copy.fields))


def _said(answer: Answer, entry: Entry) -> dict[str, str]:
    return {
        "status": str(answer.status),
        "demand": answer.demand,
        "channel": answer.channel,
        "quote": _UNPRINTABLE.sub(" ", answer.quote).strip()[:_QUOTE_LENGTH],
        "on": answer.at.astimezone(entry.zone).date().isoformat(),
    }
