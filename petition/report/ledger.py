"""The answers to a letter, by person and demand: who has not answered, and what is overdue."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, timedelta
from functools import cached_property
from typing import NamedTuple
from zoneinfo import ZoneInfo

from petition.merge.document import Frozen
from petition.outbox.answers import (
    UNANSWERED,
    Answer,
    AnswerHistory,
    Status,
    answers,
    copies_had,
    thread,
)
from petition.outbox.log import Log
from petition.outbox.models import Copy
from petition.outbox.states import MAY_HAVE_ARRIVED, State

CHANNELS = {"phone": "by phone", "door": "at the door", "letter": "by letter", "mail": "by mail"}
AWAITED = UNANSWERED | {Status.UNCLASSIFIED}  # what is unclassified may be no answer


class QuotedDemand(NamedTuple):
    """A demand as a letter quotes it."""

    number: int
    id: str
    title: str


@dataclass(frozen=True)
class Entry:
    """One person who has the letter, and where they stand with it."""

    copy: Copy  # their newest one that may have arrived
    had_on: date | None  # when it was handed over; None: it is not known
    reply_by: date | None
    today: date  # in the campaign's time zone
    history: AnswerHistory
    demands: tuple[QuotedDemand, ...]  # of the letter
    zone: ZoneInfo

    @property
    def who(self) -> str:
        """Their name, or else their address; of a forgotten person the log has neither."""
        if "@" not in self.copy.mailbox:
            return "somebody forgotten"
        return self.copy.name or self.copy.mailbox

    @cached_property
    def status(self) -> Status:
        """Where they stand, in one word."""
        return self.history.overall(demand.id for demand in self.demands)

    @property
    def is_bounced(self) -> bool:
        """Whether the letter bounced, and they have not answered all the same."""
        return self.copy.state is State.BOUNCED and self.status is Status.NONE

    @property
    def is_waiting(self) -> bool:
        """Whether they have not answered yet."""
        return not self.is_bounced and self.status in AWAITED

    @property
    def days(self) -> int | None:
        """The days from the letter to the first answer, or to today."""
        return (self._until - self.had_on).days if self.had_on else None

    @property
    def working_days(self) -> int | None:
        """The same from Monday to Friday."""
        return working_days(self.had_on, self._until) if self.had_on else None

    @property
    def overdue(self) -> int:
        """By how many days the answer is overdue; 0: it is not."""
        if not self.is_waiting or self.status is Status.UNCLASSIFIED or self.reply_by is None:
            return 0
        return max(0, (self.today - self.reply_by).days)

    @property
    def _until(self) -> date:
        given = [one for one in self.history.answers if one.status not in AWAITED]
        if self.is_waiting or not given:
            return self.today
        return given[0].at.astimezone(self.zone).date()


@dataclass(frozen=True)
class Ledger:
    """The answers to one letter."""

    letter: str
    demands: tuple[QuotedDemand, ...]  # in the campaign's first language
    entries: tuple[Entry, ...]  # those who have it, in the order of the list
    without: dict[State, int]  # how many do not have it, by the state of their copy

    @property
    def waiting(self) -> list[Entry]:
        """Those who have not answered yet."""
        return [entry for entry in self.entries if entry.is_waiting]

    @cached_property
    def overdue(self) -> list[Entry]:
        """Those whose answer is overdue, by how long."""
        late = [entry for entry in self.entries if entry.overdue]
        return sorted(late, key=lambda entry: -entry.overdue)

    @property
    def pending(self) -> Iterator[tuple[Entry, Answer]]:
        """The answers that nobody has classified."""
        return ((entry, answer) for entry in self.entries for answer in entry.history.pending)


def ledger(log: Log, letter: str) -> Ledger | None:
    """The answers to a letter and to those that follow it; None: it was never queued."""
    newest = log.newest(letter)
    if newest is None:
        return None
    frozen = Frozen.from_json(newest.document)
    texts = {newest.revision: frozen}
    zone = ZoneInfo(frozen.timezone)
    today = log.clock().astimezone(zone).date()
    said = answers(log, thread(log, letter))
    demands = demands_of(log, frozen)
    entries = []
    for copy, at in copies_had(log, letter):
        if copy.revision not in texts:
            old = log.frozen(letter, copy.revision)
            texts[copy.revision] = Frozen.from_json(old.document) if old else frozen
        had_on = at.astimezone(zone).date() if at else None
        reply_by, history = texts[copy.revision].reply_by, said.get(copy.folded, AnswerHistory())
        entries.append(Entry(copy, had_on, reply_by, today, history, demands, zone))
    counts = log.counts(letter).by_state
    without = {state: number for state, number in counts.items() if state not in MAY_HAVE_ARRIVED}
    return Ledger(letter, demands, tuple(entries), without)


def demands_of(log: Log, frozen: Frozen) -> tuple[QuotedDemand, ...]:
    """The demands that a letter quotes, or else the letter that it follows."""
    listed = frozen.demands(frozen.languages[0])
    if not listed and (first := frozen.document.get("follows")):
        followed = log.newest(first)
        return demands_of(log, Frozen.from_json(followed.document)) if followed else ()
    return tuple(QuotedDemand(one["number"], one["id"], one["title"]) for one in listed)


def working_days(start: date, end: date) -> int:
    """The days from Monday to Friday after `start`, up to `end`; holidays are not known."""
    weeks, rest = divmod(max(0, (end - start).days), 7)
    days = (start + timedelta(days=number) for number in range(1, rest + 1))
    return weeks * 5 + sum(day.weekday() < 5 for day in days)
