"""The report page: counts, charts as inline SVG, no script and no request."""

import os
import re
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta, tzinfo
from html import escape
from importlib.resources import files
from itertools import chain, pairwise
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from petition.errors import PetitionError
from petition.merge.document import Frozen
from petition.outbox import answers as answering
from petition.outbox.answers import Answer, Standing, Status
from petition.outbox.erasure import frozen_letters
from petition.outbox.log import Log
from petition.outbox.models import Counts, fields_of, moment
from petition.outbox.states import State

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
class ReportedPerson:
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
class ReportedAnswer:
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
    people: list[ReportedPerson] = field(default_factory=list)
    too_many: bool = False
    stalls: list[ReportedAnswer] = field(default_factory=list)
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
    def sent(self) -> list[ReportedPerson]:
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
    found = Figures(title, log.clock().date(), is_public)
    with log.at_one_moment():
        for name in dict.fromkeys(one.letter for one in frozen_letters(log)):
            found.letters.append(log.counts(name))
            _read_letter(log, name, found)
        found.made_on = log.clock().astimezone(found.zone).date()
        _read_people(log, found)
        found.samples = _samples(log.rows("report_steps"))
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


def _read_people(log: Log, found: Figures) -> None:
    people: dict[str, ReportedPerson] = {}
    small = [one.letter for one in found.letters if one.total <= MOST_PEOPLE]
    found.too_many = len(small) < len(found.letters)
    rows = (log.rows("report_people", {"letter": letter}) for letter in small)
    for row in chain.from_iterable(rows):
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


def _person(row: dict[str, Any], number: int, found: Figures) -> ReportedPerson:
    fields = fields_of(row["fields"])
    office = office_of(fields)
    is_forgotten = "@" not in row["mailbox"]
    if is_forgotten:
        return ReportedPerson("somebody who was forgotten", is_named=False)
    if found.is_public and not (office and row["name"]):
        return ReportedPerson(f"Recipient {number}", is_named=False)
    name = row["name"] or row["mailbox"]
    return ReportedPerson(public(name) if found.is_public else name, office)


def office_of(fields: dict[str, str]) -> str:
    """The public office that a row names, or ""."""
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


def _judge(person: ReportedPerson, standing: Standing, found: Figures) -> None:
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


def _stall(person: ReportedPerson, answer: Answer, found: Figures) -> ReportedAnswer:
    quote = answer.quote if person.is_named or not found.is_public else ""
    quote = _without_names(public(quote), found.hidden) if found.is_public else quote
    return ReportedAnswer(
        person.name, answer.at, answer.letter, str(answer.status), answer.channel, quote
    )


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


_GROUPS = {
    "sent": ("sent",),
    "waiting": ("queued", "sending", "deferred"),
    "bounced": ("bounced",),
    "failed": ("failed",),
    "uncertain": ("uncertain",),
    "skipped": ("skipped",),
}
_HOW = {"door": "at the door", "phone": "by phone", "letter": "by letter", "mail": "by mail"}
_WORDS = {"none": "no answer", "unclassified": "to be sorted"}
_STATUSES = (
    "none", "unclassified", "acknowledged", "stalled", "clarification", "meeting", "refused",
    "partial", "met", "withdrawn",
)  # fmt: skip
# The browser itself refuses whatever the page might ask for.
_POLICY = "default-src 'none'; style-src 'unsafe-inline'"
# HTML has no place for control characters (13.1 of its standard), and a terminal that the page is
# printed on would obey them. A quotation is to show that they were there.
_SHOWN = {code: 0x2400 + code for code in range(0x20) if code not in (0x09, 0x0A)}
_SHOWN |= dict.fromkeys(range(0x7F, 0xA0), 0xFFFD)
_WIDE, _HIGH = 1000, 100  # units of a drawing, which is stretched to its place


def write(found: Figures, path: Path) -> None:
    """Write the report; one that is there is replaced whole.

    One with addresses is for its owner alone; a public one may be read by everybody.

    Args:
        found: What it tells.
        path: Its file.

    Raises:
        PetitionError: It would be written through a link.
    """
    if path.is_symlink():
        raise PetitionError(f"{path} is a symbolic link", "Name the file itself")
    handle, draft = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")  # with mode 0600
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as stream:
            stream.write(page(found))
        if found.is_public:
            Path(draft).chmod(0o644)
        Path(draft).replace(path)
    except BaseException:
        with suppress(OSError):
            Path(draft).unlink()
        raise


def page(found: Figures) -> str:
    """The report as HTML."""
    style = (files("petition.report") / "style.css").read_text(encoding="utf-8")
    body = "\n".join(_body(found))
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<meta name="color-scheme" content="light dark">\n'
        '<meta name="referrer" content="no-referrer">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">\n'
        f"<title>{escape(found.title)}: report</title>\n<style>\n{style}</style>\n</head>\n"
        f"<body>\n<main>\n{body}\n</main>\n</body>\n</html>\n"
    ).translate(_SHOWN)


def _body(found: Figures) -> Iterator[str]:
    day = f"{found.made_on.day} {found.made_on:%B %Y}"
    yield f"<header><h1>{escape(found.title)}</h1>"
    yield f'<p class="soft">What became of the letters, as of {day}</p>'
    yield f"{_tiles(found)}</header>"
    yield "<h2>Deliveries</h2>"
    if found.samples:
        yield _over_time(found.samples)
    yield _letters(found)
    if found.too_many:
        yield '<p class="soft">Of letters to more than 500 people these are the numbers alone.</p>'
    if found.sent:
        yield "<h2>Answers</h2>"
        yield _matrix(found)
        yield "<h2>Days waited</h2>"
        yield _waits(found.sent)
    if found.stalls:
        yield "<h2>Put off</h2>"
        yield _stalls(found)
    yield f'<footer class="soft"><p>{_footer(found)}</p></footer>'


def _tiles(found: Figures) -> str:
    tiles = [("sent", found.total("sent"), ""), ("not delivered", _lost(found), "")]
    if found.sent:
        waiting = len(found.sent) - found.answered
        tiles += [("answered", found.answered, ""), ("unanswered", waiting, "")]
        tiles += [("overdue", found.overdue, "grave" if found.overdue else "")]
        tiles += [("times put off", len(found.stalls), "grave" if found.stalls else "")]
    shown = (
        f'<div class="{kind}"><dt>{name}</dt><dd>{number:,}</dd></div>'
        for name, number, kind in tiles
    )
    return f'<dl class="tiles">{"".join(shown)}</dl>'


def _lost(found: Figures) -> int:
    return found.total("bounced", "failed")


def _over_time(samples: list[Sample]) -> str:
    """Stacked areas, each state above the one before."""
    most = max(sum(sample.states.values()) for sample in samples) or 1
    start, end = samples[0].at, samples[-1].at
    wide = (end - start).total_seconds() or 1
    places = [_WIDE * (one.at - start).total_seconds() / wide for one in samples]
    places[-1] = _WIDE
    floor = [0] * len(samples)
    areas, used = [], []
    for group, states in _GROUPS.items():
        roof = [
            low + sum(one.states.get(state, 0) for state in states)
            for low, one in zip(floor, samples, strict=True)
        ]
        if roof != floor:
            areas.append(f'<path class="{group}" d="{_area(places, floor, roof, most)}"/>')
            used.append(group)
        floor = roof
    told = ", ".join(f"{count:,} {state}" for state, count in _last(samples[-1]))
    return (
        f'<figure><svg class="over-time" role="img" viewBox="0 0 {_WIDE} {_HIGH}"'
        f' preserveAspectRatio="none" aria-label="Copies by state over time; in the end {told}">'
        f"{''.join(areas)}</svg>"
        f'<div class="axis soft"><span>{_moment(start)}</span><span>{_moment(end)}</span></div>'
        f"{_key(used)}<figcaption>Copies by state over time (UTC), {most:,} in all</figcaption>"
        "</figure>"
    )


def _last(sample: Sample) -> list[tuple[str, int]]:
    return [(state, count) for state, count in sorted(sample.states.items()) if count]


def _area(places: list[float], floor: list[int], roof: list[int], most: int) -> str:
    above = [(x, _HIGH - _HIGH * y / most) for x, y in zip(places, roof, strict=True)]
    below = [(x, _HIGH - _HIGH * y / most) for x, y in zip(places, floor, strict=True)]
    points = _steps(above) + _steps(below)[::-1]
    return "M" + "L".join(f"{x:.1f} {y:.1f}" for x, y in points) + "Z"


def _steps(points: list[tuple[float, float]]) -> list[tuple[float, float]]:
    """A count holds until it changes: no slope between two moments."""
    found = points[:1]
    for (_, before), (x, y) in pairwise(points):
        found += [(x, before), (x, y)]
    return found


def _key(groups: Iterable[str]) -> str:
    entries = (
        f'<li><svg viewBox="0 0 1 1" aria-hidden="true"><rect class="{group}" width="1"'
        f' height="1"/></svg>{group}</li>'
        for group in groups
    )
    return f'<ul class="key">{"".join(entries)}</ul>'


def _letters(found: Figures) -> str:
    groups = {name: states for name, states in _GROUPS.items() if found.total(*states)}
    head = "".join(f'<th scope="col" class="number">{name}</th>' for name in groups)
    rows = []
    for one in found.letters:
        counts = [sum(one[State(state)] for state in states) for states in groups.values()]
        cells = "".join(f'<td class="number">{count:,}</td>' for count in counts)
        reply_by = found.reply_by.get(one.letter)
        small = f"<small>answer asked for by {reply_by:%Y-%m-%d}</small>" if reply_by else ""
        name = f'<th scope="row">{escape(one.letter)}{small}</th>'
        rows.append(f'<tr>{name}{cells}<td class="number">{one.total:,}</td></tr>')
    return (
        f'<div class="scroll" tabindex="0" role="region" aria-label="Letters"><table><thead><tr>'
        f'<th scope="col">letter</th>{head}<th scope="col" class="number">all</th></tr></thead>'
        f"<tbody>{''.join(rows)}</tbody></table></div>"
    )


def _matrix(found: Figures) -> str:
    columns = {"": "as a whole"} | found.demands
    head = "".join(f'<th scope="col">{escape(title)}</th>' for title in columns.values())
    rows = "".join(
        f"<tr>{_who(one)}{''.join(_cell(one, key, title) for key, title in columns.items())}</tr>"
        for one in found.sent
    )
    return (
        '<table class="matrix"><caption>Where each person stands, with the letter as a whole and'
        f' with each demand</caption><thead><tr><th scope="col">who</th>{head}</tr></thead>'
        f"<tbody>{rows}</tbody></table>"
    )


def _who(person: ReportedPerson) -> str:
    office = f"<small>{escape(person.office)}</small>" if person.office else ""
    return f'<th scope="row">{escape(person.name)}{office}</th>'


def _cell(person: ReportedPerson, demand: str, title: str) -> str:
    if demand not in person.by_demand and (demand or person.by_demand):
        nothing = '<span class="soft" aria-label="no answer">–</span>'
        return f'<td class="nothing" data-about="{escape(title)}">{nothing}</td>'
    status = person.by_demand.get(demand, "none")
    status = status if status in _STATUSES else "none"
    style = f"background:var(--{status}-b);color:var(--{status}-t)"
    badge = f'<span class="badge" style="{style}">{_WORDS.get(status, status)}</span>'
    return f'<td data-about="{escape(title)}">{badge}</td>'


def _waits(people: list[ReportedPerson]) -> str:
    most = max((one.days or 0 for one in people), default=0) or 1
    ordered = sorted(people, key=lambda one: (one.answered_on is not None, -(one.days or 0)))
    rows = "".join(_wait(one, most) for one in ordered)
    return f'<ul class="waits">{rows}</ul>'


def _wait(person: ReportedPerson, most: int) -> str:
    days = person.days or 0
    kind = "done" if person.answered_on else "over" if person.is_overdue else "open"
    told = f"{days} day{'' if days == 1 else 's'}"
    told += {"done": ", answered", "over": ", overdue", "open": ""}[kind]
    late = ' class="late"' if kind == "over" else ""
    return (
        f"<li><span>{escape(person.name)}</span>"
        f'<svg viewBox="0 0 {_WIDE} 10" preserveAspectRatio="none" aria-hidden="true">'
        f'<rect class="track" width="{_WIDE}" height="10"/>'
        f'<rect class="{kind}" width="{max(_WIDE * days / most, 4):.0f}" height="10"/></svg>'
        f"<span{late}>{told}</span></li>"
    )


def _stalls(found: Figures) -> str:
    quotes = []
    for one in found.stalls:
        words = f"<p>{escape(one.quote)}</p>" if one.quote else "<p>(no words were noted)</p>"
        how = f", {_HOW.get(one.channel, one.channel)}" if one.channel else ""
        by = escape(f"{one.name}, {_day(one.at)}{how}")
        quotes.append(f'<blockquote>{words}<footer class="when">{by}</footer></blockquote>')
    return "".join(quotes)


def _footer(found: Figures) -> str:
    sent = "“Sent” means that a mail server took responsibility for the letter, no more."
    unanswered = ", ".join(_WORDS.get(one, one) for one in UNANSWERED)
    text = f"{sent} Unanswered are: {unanswered}."
    if found.is_public:
        text += " Those who hold no public office are not named."
    return text


def _moment(at: datetime) -> str:
    return f"{at:%Y-%m-%d %H:%M}"


def _day(at: datetime) -> str:
    return f"{at:%Y-%m-%d}"
