"""The report page: counts, charts as inline SVG, no script and no request."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta, tzinfo
from functools import cache
from html import escape
from itertools import chain
from pathlib import Path
from string import Template
from typing import Any
from zoneinfo import ZoneInfo

from petition.campaign.text_file import packaged
from petition.merge.document import Frozen
from petition.outbox.answers import RECORDED, Answer, AnswerHistory, Status
from petition.outbox.database import moment
from petition.outbox.erasure import frozen_letters
from petition.outbox.log import Log
from petition.outbox.models import Counts, fields_of
from petition.outbox.states import State
from petition.report.ledger import AWAITED, CHANNELS, Entry, ledger
from petition.report.markup import SHOWN, Html, tag, write_page
from petition.report.public import Names, office_of, without_addresses

MOST_PEOPLE = 500  # that a table can show; of longer lists there are only numbers
_SAMPLES = 120
_TOLD = 4  # parts of a chart whose ends are told in words
_SHORT = timedelta(minutes=10)  # a run that has no course worth a chart
_LOST = (State.BOUNCED, State.FAILED)
# The answers that a report quotes; a public one quotes only stalls.
_QUOTED = {Status.STALLED: "Stalled", Status.MEETING: "Offers to meet", Status.REFUSED: "Refused"}


@dataclass(slots=True)
class ReportedPerson:
    """A recipient, as the report may name them."""

    name: str
    office: str = ""  # a public one
    is_named: bool = True
    language: str = ""  # that their copy was written in; "": not known
    entries: list[Entry] = field(default_factory=list)  # one for each letter that they have
    by_demand: dict[str, Status] = field(default_factory=dict)  # "": the letter as a whole

    @property
    def is_waited_for(self) -> bool:
        """Whether they have not answered one of their letters."""
        return any(entry.is_waiting for entry in self.entries)

    @property
    def is_overdue(self) -> bool:
        """Whether an answer of theirs is overdue."""
        return any(entry.overdue for entry in self.entries)

    @property
    def days(self) -> int:
        """The most days that an answer took, or that one which is missing has taken so far."""
        counted = [one for one in self.entries if one.is_waiting] or self.entries
        return max((entry.days or 0 for entry in counted), default=0)


@dataclass(frozen=True, slots=True)
class ReportedAnswer:
    """Something that was answered, as the report may quote it."""

    person: ReportedPerson
    answer: Answer
    quote: str


@dataclass(frozen=True, slots=True)
class Sample:
    """How many copies were in each state at one moment."""

    at: datetime
    states: dict[str, int]


@dataclass(slots=True)
class Figures:
    """All that a report shows."""

    title: str  # the campaign's
    made_on: date
    is_public: bool  # whether anybody may read it
    is_rehearsal: bool = False  # whether nobody received anything
    letters: list[Counts] = field(default_factory=list)
    reply_by: dict[str, date | None] = field(default_factory=dict)  # by letter
    demands: dict[str, str] = field(default_factory=dict)  # titles by id
    people: list[ReportedPerson] = field(default_factory=list)
    too_many: bool = False  # a letter went to so many that its recipients are left out
    lost: list[tuple[ReportedPerson, dict[str, Any]]] = field(default_factory=list)  # their copies
    quotes: list[ReportedAnswer] = field(default_factory=list)
    samples: list[Sample] = field(default_factory=list)
    zone: tzinfo = UTC  # the campaign's
    language: str = ""  # the campaign's first, of its title and demands
    hidden: Names = field(default_factory=Names)

    def total(self, *states: str) -> int:
        """How many copies are in some states."""
        return sum(one[State(state)] for one in self.letters for state in states)

    @property
    def sent(self) -> list[ReportedPerson]:
        """Those to whom a letter was sent."""
        return [one for one in self.people if one.entries]

    @property
    def answered(self) -> int:
        """How many of them gave a real answer."""
        return sum(not one.is_waited_for for one in self.sent)

    @property
    def overdue(self) -> int:
        """How many answers are overdue."""
        return sum(one.is_overdue for one in self.sent)

    @property
    def stalls(self) -> int:
        """How many answers put it off."""
        return sum(one.answer.status is Status.STALLED for one in self.quotes)


def figures(log: Log, title: str, *, is_public: bool) -> Figures:
    """Count what a log tells; public figures have no addresses, and only names of officials."""
    found = Figures(title, log.clock().date(), is_public, log.rehearses)
    with log.at_one_moment():
        for name in dict.fromkeys(one.letter for one in frozen_letters(log)):
            found.letters.append(log.counts(name))
            if newest := log.newest(name):
                frozen = Frozen.from_json(newest.document)
                found.reply_by[name] = frozen.reply_by
                found.zone = ZoneInfo(frozen.timezone)
                found.language = frozen.languages[0]
                for demand in frozen.demands(found.language):
                    found.demands.setdefault(demand["id"], demand["title"])
        found.made_on = log.clock().astimezone(found.zone).date()
        _read_people(log, found)
        found.samples = _samples(log.rows("report_steps"))
    return found


def _read_people(log: Log, found: Figures) -> None:
    people: dict[str, ReportedPerson] = {}
    small = [one.letter for one in found.letters if one.total <= MOST_PEOPLE]
    found.too_many = len(small) < len(found.letters)
    rows = (log.rows("report_people", {"letter": letter}) for letter in small)
    for row in chain.from_iterable(rows):
        person = people.setdefault(row["folded"], _person(row, len(people) + 1, found))
        if found.is_public and not person.is_named:
            found.hidden.hide(row["name"], person.name)
        if not found.is_public and row["state"] in _LOST:
            found.lost.append((person, row))
    found.people = list(people.values())
    for letter in small:
        book = ledger(log, letter)
        for entry in book.entries if book else ():
            if not entry.is_bounced:
                people[entry.copy.folded].entries.append(entry)
    for person in found.people:
        _judge(person, found)
    found.quotes.sort(key=lambda one: one.answer.at)


def _person(row: dict[str, Any], number: int, found: Figures) -> ReportedPerson:
    office = office_of(fields_of(row["fields"]))
    if "@" not in row["mailbox"]:
        return ReportedPerson("somebody who was forgotten", is_named=False)
    if found.is_public and not (office and row["name"]):
        return ReportedPerson(f"Recipient {number}", is_named=False)
    name = row["name"] or row["mailbox"]
    name = without_addresses(name) if found.is_public else name
    return ReportedPerson(name, office, language=row["language"])


def _judge(person: ReportedPerson, found: Figures) -> None:
    """Where a person stands with all their letters together."""
    given = {one.id: one for entry in person.entries for one in entry.history.answers}
    history = AnswerHistory([given[number] for number in sorted(given)])
    stands = {"": history.said()} | {one: history.to_demand(one) for one in found.demands}
    person.by_demand = {key: one for key, one in stands.items() if one is not Status.NONE}
    for answer in history.answers:
        if answer.status is Status.STALLED or (answer.status in _QUOTED and not found.is_public):
            quote = answer.quote
            if found.is_public:
                quote = found.hidden.out_of(without_addresses(quote)) if person.is_named else ""
            found.quotes.append(ReportedAnswer(person, answer, quote))


def _samples(steps: Iterable[dict[str, Any]]) -> list[Sample]:
    """The states at evenly spaced moments from the first step to the last; a short run has none."""
    rows = [(moment(f"{row['minute']}:00+00:00"), row) for row in steps]
    if not rows or rows[-1][0] - rows[0][0] < _SHORT:
        return []
    first, last = rows[0][0], rows[-1][0]
    last += (last - first) / 25  # so that the last step is seen too
    width = max((last - first) / _SAMPLES, timedelta(minutes=1))
    found, states, at = [], dict[str, int](), 0
    for number in range(int((last - first) / width) + 1):
        now = first + width * number
        while at < len(rows) and rows[at][0] <= now:
            row = rows[at][1]
            if row["from_state"]:
                states[row["from_state"]] = states.get(row["from_state"], 0) - row["copies"]
            states[row["to_state"]] = states.get(row["to_state"], 0) + row["copies"]
            at += 1
        found.append(Sample(now, dict(states)))
    return found


_GROUPS = {
    "sent": (State.SENT,),
    "waiting": (State.QUEUED, State.SENDING, State.DEFERRED),
    "bounced": (State.BOUNCED,),
    "failed": (State.FAILED,),
    "uncertain": (State.UNCERTAIN,),
    "skipped": (State.SKIPPED,),
}
_STATUSES = {Status.NONE: "no answer", Status.UNCLASSIFIED: "to be classified"}
_WIDE, _HIGH = 1000, 100  # units of a drawing, which is stretched to its place


def write(found: Figures, path: Path) -> None:
    """Write the report, replacing one that exists; see `write_page`."""
    write_page(path, page(found), layout=_layout(), what="a report", is_public=found.is_public)


@cache
def _layout() -> str:
    """The page around the report; its policy refuses whatever the report might ask for."""
    return packaged("report/page.html")


def page(found: Figures) -> str:
    """The report as HTML."""
    style = packaged("report/style.css")
    kind = "rehearsal" if found.is_rehearsal else "report"
    page = Template(_layout()).substitute(
        title=escape(f"{found.title}: {kind}"), style=style, body=tag("main", *_body(found))
    )
    return page.translate(SHOWN)


def _body(found: Figures) -> Iterator[Html]:
    day = _time(found.made_on, f"{found.made_on.day} {found.made_on:%B %Y}")
    summary = tag("p", "What became of the letters, as of ", day, class_="soft")
    if found.is_rehearsal:
        what = "This was a rehearsal: nobody received anything."
        yield tag("p", tag("strong", what), role="note")
    title = tag("h1", found.title, lang=found.language, dir="auto")
    yield tag("header", title, summary, _tiles(found))
    yield tag("h2", "Deliveries")
    if found.samples:
        yield _over_time(found.samples)
    yield _rows(_letter(one, found.reply_by.get(one.letter)) for one in found.letters)
    if found.too_many:
        what = f"Letters to more than {MOST_PEOPLE} people are shown as numbers only."
        yield tag("p", what, class_="soft")
    if found.lost:
        yield tag("h2", "Not delivered")
        yield _rows(_not_delivered(person, copy) for person, copy in found.lost)
    if found.sent:
        yield from _answers(found)
        yield tag("h2", "Days waited")
        yield _waits(found.sent)
    for status, heading in _QUOTED.items():
        quotes = [one for one in found.quotes if one.answer.status is status]
        if quotes:
            yield tag("h2", heading)
        # What was said to several demands at once is an answer to each of them.
        yield from dict.fromkeys(_quotation(one, found.zone) for one in quotes)
    unanswered = ", ".join(_word(one) for one in Status if one in AWAITED)
    notes = "“Sent” means that a mail server accepted responsibility for the letter, no more."
    notes += f" Unanswered are: {unanswered}."
    notes += " People who hold no public office are not named." if found.is_public else ""
    yield tag("footer", tag("p", notes), class_="soft")


def _tiles(found: Figures) -> Html:
    tiles = [("sent", found.total(State.SENT), ""), ("not delivered", found.total(*_LOST), "")]
    if found.sent:
        tiles += [
            ("answered", found.answered, ""),
            ("unanswered", len(found.sent) - found.answered, ""),
            ("overdue", found.overdue, "grave" if found.overdue else ""),
            ("times stalled", found.stalls, "grave" if found.stalls else ""),
        ]
    shown = (
        tag("div", tag("dt", name), tag("dd", f"{number:,}"), class_=kind)
        for name, number, kind in tiles
    )
    return tag("dl", *shown, class_="tiles")


def _rows(pairs: Iterable[tuple[Iterable[Html], Iterable[Html]]], kind: str = "") -> Html:
    """What something is called, and beside or below it what there is to tell."""
    rows = (tag("li", tag("div", *name), tag("div", *told)) for name, told in pairs)
    return tag("ul", *rows, class_=f"rows {kind}".rstrip())


def _bar(counts: Iterable[tuple[str, str, int]]) -> Html:
    """One bar of parts, each of them a colour, a label and a number; below it the labels."""
    parts, labels = [], []
    for colour, label, number in counts:
        if number:
            style = f"border-color:var(--{colour})"
            parts.append(tag("span", style=f"{style};flex-grow:{number}"))
            labels.append(tag("li", f"{number:,} {label}", style=style))
    return Html(tag("div", *parts, class_="bar") + tag("ul", *labels, class_="key"))


def _word(status: Status) -> str:
    return _STATUSES.get(status, status)


def _time(day: date, shown: str = "") -> Html:
    return tag("time", shown or f"{day:%Y-%m-%d}", datetime=day.isoformat())


def _who(person: ReportedPerson, *below: str) -> list[Html]:
    """A name and what stands below it, each in its own direction."""
    name, *small = (tag("bdi", one, lang=person.language) for one in (person.name, *below) if one)
    return [name, *(tag("small", one) for one in small)]


def _over_time(samples: list[Sample]) -> Html:
    """How many copies were in each state, a line for each."""
    most = max(sum(sample.states.values()) for sample in samples) or 1
    start, end = samples[0].at, samples[-1].at
    told = sorted({(len(samples) - 1) * number // _TOLD for number in range(_TOLD + 1)})
    rows = []
    for group, states in _GROUPS.items():
        counts = [sum(one.states.get(state, 0) for state in states) for one in samples]
        if not any(counts):
            continue
        points = [f"0,{_HIGH}"]
        for number, count in enumerate(counts):  # which holds until it changes
            high = _HIGH - _HIGH * count / most
            points += [f"{_WIDE * x / len(counts):.1f},{high:.1f}" for x in (number, number + 1)]
        area = tag("polygon", points=" ".join([*points, f"{_WIDE},{_HIGH}"]), class_=group)
        words = ", ".join(f"{counts[one]:,} at {samples[one].at:%Y-%m-%d %H:%M}" for one in told)
        drawn = _drawing(area, high=_HIGH, role="img", aria_label=words)
        rows.append(([Html(group)], [drawn, tag("span", f"{counts[-1]:,}")]))
    between = f"{start:%Y-%m-%d %H:%M} to {end:%Y-%m-%d %H:%M} (UTC)"
    what = f"Copies by state from {between}. The full height is {most:,}."
    caption = tag("figcaption", what, class_="soft")
    return tag("figure", _rows(rows, "drawn"), caption)


def _drawing(*parts: Html, high: int, **attributes: object) -> Html:
    """A drawing that is stretched to its place."""
    box = f"0 0 {_WIDE} {high}"
    return tag("svg", *parts, viewBox=box, preserveAspectRatio="none", **attributes)


def _letter(one: Counts, reply_by: date | None) -> tuple[list[Html], list[Html]]:
    name = [tag("bdi", one.letter)]
    if reply_by:
        name.append(tag("small", "answer asked for by ", _time(reply_by)))
    counts = ((group, group, sum(one[state] for state in of)) for group, of in _GROUPS.items())
    return name, [_bar(counts), tag("small", f"{one.total:,} in all")]


def _not_delivered(person: ReportedPerson, copy: dict[str, Any]) -> tuple[list[Html], list[Html]]:
    said = [copy["reply_code"], copy["enhanced_code"], copy["reply"]]
    why = copy["reason"] or " ".join(str(one) for one in said if one)
    mailbox = copy["mailbox"] if person.name != copy["mailbox"] and person.is_named else ""
    what = [tag("bdi", copy["letter"]), Html(f": {copy['state']}")]
    return _who(person, person.office, mailbox), [*what, tag("small", why, dir="auto")]


def _answers(found: Figures) -> Iterator[Html]:
    yield tag("h2", "Answers")
    titles = {key: tag("bdi", title, lang=found.language) for key, title in found.demands.items()}
    if titles:
        yield tag("h3", "To each demand")
        yield _rows(([title], [_bar(_to(key, found))]) for key, title in titles.items())
        yield tag("h3", "By each person")
    titles = {"": Html("the letter as a whole")} | titles
    yield _rows((_who(one, one.office), _said(one, titles)) for one in found.sent)


def _to(demand: str, found: Figures) -> Iterator[tuple[str, str, int]]:
    """How many people gave each answer to a demand; those who gave none come last."""
    given = [one.by_demand.get(demand, Status.NONE) for one in found.sent]
    for status in (*RECORDED, Status.NONE):
        colour = "skipped" if status is Status.NONE else f"{status}-t"
        yield colour, _word(status), given.count(status)


def _said(person: ReportedPerson, titles: dict[str, Html]) -> Iterator[Html]:
    """Each answer of a person, and what it was given to."""
    given, by_status = person.by_demand, dict[Status, list[Html]]()
    whole = given.get("")
    for key in titles if given.keys() - {""} else [""]:
        status = given.get(key, Status.NONE)
        # What the letter as a whole was answered need not be told of its demands again.
        if (key and status is whole) or (not key and given and not whole):
            continue
        by_status.setdefault(status, []).append(titles[key])
    for status, parts in by_status.items():
        style = f"background:var(--{status}-b);color:var(--{status}-t)"
        badge = tag("span", _word(status), class_="badge", style=style)
        yield tag("p", badge, Html(" " + "; ".join(parts)))


def _waits(people: list[ReportedPerson]) -> Html:
    most = max(one.days for one in people) or 1
    ordered = sorted(people, key=lambda one: (not one.is_waited_for, -one.days))
    return _rows(((_who(one), _wait(one, most)) for one in ordered), "drawn")


def _wait(person: ReportedPerson, most: int) -> list[Html]:
    days = person.days
    kind = "over" if person.is_overdue else "open" if person.is_waited_for else "done"
    told = f"{days} day{'' if days == 1 else 's'}"
    told += {"done": ", answered", "over": ", overdue", "open": ""}[kind]
    long = f"{max(_WIDE * days / most, 4):.0f}"
    bars = (
        tag("rect", class_="track", width=_WIDE, height=10),
        tag("rect", class_=kind, width=long, height=10),
    )
    late = "late" if kind == "over" else ""
    return [_drawing(*bars, high=10, aria_hidden="true"), tag("span", told, class_=late)]


def _quotation(one: ReportedAnswer, zone: tzinfo) -> Html:
    # Who writes a mail mostly does so in the language of the letter. What a person noted down of a
    # call is in a language that is not known.
    language = one.person.language if one.answer.mail else ""
    quote = tag("p", one.quote, lang=language or "und", dir="auto")
    channel = one.answer.channel
    how = f", {CHANNELS.get(channel, channel)}" if channel else ""
    by = (*_who(one.person), ", ", _time(one.answer.at.astimezone(zone)), how)
    quoted = tag("blockquote", quote if one.quote else tag("p", "(no quotation)"))
    return tag("figure", quoted, tag("figcaption", *by, class_="soft"))
