"""What a report tells, counted: deliveries over time, answers by person and demand, days waited."""

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta, tzinfo
from typing import Any
from zoneinfo import ZoneInfo

from petition.merge.document import Frozen
from petition.outbox import answers as answering
from petition.outbox.answers import Answer, Standing, Status
from petition.outbox.erasure import frozen_letters
from petition.outbox.log import Log, Record
from petition.outbox.models import Counts, fields_of, moment

UNANSWERED = ("none", "unclassified", "acknowledged", "stalled")  # what the footer names
_WAITED_FOR = answering.UNANSWERED | {Status.UNCLASSIFIED}
MOST_PEOPLE = 500  # that a table can show; of longer lists there are numbers alone
_ARRIVED = ("sent", "uncertain")
_SAMPLES = 120
_PART = r"[^\s<>\"'(),;:“”@]"
_ADDRESS = re.compile(rf"{_PART}{{1,64}}@{_PART}+")  # bounded, so that a long word costs no more

# What a row calls an office. `title` is one too, unless it is how a person is addressed.
_OFFICE = ("role", "office", "position", "title")
_ADDRESSED = frozenset(
    {"mr", "mrs", "ms", "miss", "mx", "dr", "prof", "professor", "sir", "dame", "lord", "lady"}
    | {"rev", "fr", "herr", "frau", "m", "mme", "mlle", "г-н", "г-жа", "д-р", "мырза", "ханым"}
)


@dataclass(slots=True)
class Person:
    """One who was written to.

    Args:
        name: As the report may call them.
        office: Their public office, or "".
        is_named: Whether the report may name them.
        first_sent: When the first letter went; None: none did.
        states: The state of each letter to them.
        by_demand: Where each demand stands, as in `status --answers`; "": the letter as a whole.
        answered_on: When they first gave an answer that is one.
        is_overdue: Whether the day until which an answer was asked for is over without one.
        days: How long they have taken, or are taking; None: nothing went.
    """

    name: str
    office: str = ""
    is_named: bool = True
    first_sent: datetime | None = None
    states: dict[str, str] = field(default_factory=dict)
    by_demand: dict[str, str] = field(default_factory=dict)
    answered_on: datetime | None = None
    is_overdue: bool = False
    days: int | None = None


@dataclass(frozen=True, slots=True)
class Said:
    """Something that was answered."""

    name: str
    at: datetime
    letter: str
    status: str
    channel: str
    quote: str


@dataclass(frozen=True, slots=True)
class Sample:
    """How many copies were in each state at one moment."""

    at: datetime
    states: dict[str, int]


@dataclass(slots=True)
class Figures:
    """All that a report shows.

    Args:
        title: The campaign's title.
        made_on: The day of the report.
        is_public: Whether it is for everybody's eyes.
        letters: How many copies of each letter are in each state.
        reply_by: Until when each asked for an answer.
        demands: The demands' ids and titles.
        people: Those who were written to.
        too_many: A letter went to so many that they are left out.
        stalls: What was said to gain time.
        samples: The states over time.
        zone: Where its days begin.
        hidden: The full names that a public report does not tell, and what stands for each.
    """

    title: str
    made_on: date
    is_public: bool
    letters: list[Counts] = field(default_factory=list)
    reply_by: dict[str, date | None] = field(default_factory=dict)
    demands: dict[str, str] = field(default_factory=dict)
    people: list[Person] = field(default_factory=list)
    too_many: bool = False
    stalls: list[Said] = field(default_factory=list)
    samples: list[Sample] = field(default_factory=list)
    zone: tzinfo = UTC
    hidden: dict[str, str] = field(default_factory=dict)

    def total(self, *states: str) -> int:
        """How many copies are in some states."""
        return sum(
            count
            for one in self.letters
            for state, count in one.by_state.items()
            if state in states
        )

    @property
    def sent(self) -> list[Person]:
        """Those to whom a letter went."""
        return [one for one in self.people if one.first_sent]

    @property
    def answered(self) -> int:
        """How many of them gave an answer that is one."""
        return sum(one.answered_on is not None for one in self.sent)

    @property
    def overdue(self) -> int:
        """How many have let the day pass."""
        return sum(one.is_overdue for one in self.sent)


def figures(log: Log, title: str, *, is_public: bool) -> Figures:
    """Count what a log tells.

    Args:
        log: The log.
        title: The campaign's title.
        is_public: Leave out addresses, and the names of those who hold no public office.
    """
    record = Record(log)
    found = Figures(title, log.clock().date(), is_public)
    with record.at_one_moment():
        for name in dict.fromkeys(one.letter for one in frozen_letters(log)):
            found.letters.append(log.counts(name))
            _read_letter(log, name, found)
        found.made_on = log.clock().astimezone(found.zone).date()
        _read_people(log, record, found)
        found.samples = _samples(record.steps())
    return found


def _read_letter(log: Log, name: str, found: Figures) -> None:
    newest = log.newest(name)
    if newest is None:
        return
    frozen = Frozen.from_json(newest.document)
    found.reply_by[name] = frozen.reply_by
    found.zone = ZoneInfo(frozen.timezone)
    for demand in frozen.demands(frozen.languages[0]):
        found.demands.setdefault(demand["id"], demand["title"])


def _read_people(log: Log, record: Record, found: Figures) -> None:
    people: dict[str, Person] = {}
    small = [one.letter for one in found.letters if one.total <= MOST_PEOPLE]
    found.too_many = len(small) < len(found.letters)
    for row in (row for letter in small for row in record.people(letter)):
        person = people.setdefault(row["folded"], _person(row, len(people) + 1, found))
        person.states[row["letter"]] = row["state"]
        if found.is_public and not person.is_named and len(row["name"].split()) > 1:
            found.hidden[_plain(row["name"])] = person.name
        if row["letter_date"] and row["state"] in _ARRIVED:
            sent = moment(row["letter_date"])
            person.first_sent = min(person.first_sent or sent, sent)
    found.people = list(people.values())
    said = answering.answers(log, small)
    for key, person in people.items():
        _judge(person, said.get(key, Standing()), found)
    found.stalls.sort(key=lambda one: one.at)


def _person(row: dict[str, Any], number: int, found: Figures) -> Person:
    fields = fields_of(row["fields"])
    office = office_of(fields)
    is_forgotten = "@" not in row["mailbox"]
    if is_forgotten:
        return Person("somebody who was forgotten", is_named=False)
    if found.is_public and not (office and row["name"]):
        return Person(f"Recipient {number}", is_named=False)
    name = row["name"] or row["mailbox"]
    return Person(public(name) if found.is_public else name, office)


def office_of(fields: dict[str, str]) -> str:
    """The public office that a row names, or "".

    Args:
        fields: The merge fields of the row.
    """
    for column in _OFFICE:
        text = " ".join(fields.get(column, "").split())
        if text and text.casefold().rstrip(".") not in _ADDRESSED:
            return public(text)
    return ""


def public(text: str) -> str:
    """A text without any address of a mailbox."""
    return _ADDRESS.sub("[address]", text)


def _without_names(text: str, hidden: dict[str, str]) -> str:
    """A text that tells none of some full names, however they are capitalised."""
    if not hidden:
        return text
    names = (r"\s+".join(map(re.escape, name.split())) for name in hidden)
    pattern = re.compile(rf"(?<!\w)(?:{'|'.join(names)})(?!\w)", re.IGNORECASE)
    return pattern.sub(lambda match: hidden.get(_plain(match[0]), "[name]"), text)


def _plain(name: str) -> str:
    return " ".join(name.split()).casefold()


def _judge(person: Person, standing: Standing, found: Figures) -> None:
    """Where a person stands, by the very rules of `status --answers`."""
    stands = {"": standing.said()} | {one: standing.to_demand(one) for one in found.demands}
    person.by_demand = {key: str(one) for key, one in stands.items() if one is not Status.NONE}
    found.stalls += [_stall(person, answer, found) for answer in standing.stalls]
    if person.first_sent is None:
        return
    overall = standing.overall(found.demands)
    given = [one.at for one in standing.answers if one.status not in _WAITED_FOR]
    if overall not in _WAITED_FOR and given:
        person.answered_on = given[0]
    start = person.first_sent.astimezone(found.zone).date()
    end = person.answered_on.astimezone(found.zone).date() if person.answered_on else found.made_on
    person.days = max((end - start).days, 0)
    days = [day for letter in person.states if (day := found.reply_by.get(letter))]
    is_late = bool(days) and found.made_on > min(days)
    person.is_overdue = is_late and overall in answering.UNANSWERED


def _stall(person: Person, answer: Answer, found: Figures) -> Said:
    quote = answer.quote if person.is_named or not found.is_public else ""
    quote = _without_names(public(quote), found.hidden) if found.is_public else quote
    return Said(person.name, answer.at, answer.letter, str(answer.status), answer.channel, quote)


def _samples(steps: Iterable[dict[str, Any]]) -> list[Sample]:
    """The states at evenly spaced moments from the first step to the last."""
    rows = list(steps)
    if not rows:
        return []
    first, last = (moment(f"{rows[at]['minute']}:00+00:00") for at in (0, -1))
    last += max((last - first) / 25, timedelta(minutes=1))  # so that the last step is seen too
    width = max((last - first) / _SAMPLES, timedelta(minutes=1))
    moments = [first + width * at for at in range(int((last - first) / width) + 1)]
    found, states, rest = [], dict[str, int](), iter(rows)
    row = next(rest, None)
    for at in moments:
        while row and moment(f"{row['minute']}:00+00:00") <= at:
            _step(states, row)
            row = next(rest, None)
        found.append(Sample(at, dict(states)))
    return found


def _step(states: dict[str, int], row: dict[str, Any]) -> None:
    if row["from_state"]:
        states[row["from_state"]] = states.get(row["from_state"], 0) - row["copies"]
    states[row["to_state"]] = states.get(row["to_state"], 0) + row["copies"]
