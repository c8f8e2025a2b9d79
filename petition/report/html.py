"""The report as one page that needs nothing else: no script, no request, charts as inline SVG."""

import os
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import suppress
from datetime import datetime
from html import escape
from importlib.resources import files
from itertools import pairwise
from pathlib import Path

from petition.errors import PetitionError
from petition.outbox.states import State
from petition.report.figures import UNANSWERED, Figures, Person, Sample

_GROUPS = {
    "sent": ("sent",),
    "waiting": ("queued", "sending", "deferred"),
    "bounced": ("bounced",),
    "failed": ("failed",),
    "uncertain": ("uncertain",),
    "suppressed": ("suppressed",),
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
    """The report as HTML.

    Args:
        found: What it tells.
    """
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


def _who(person: Person) -> str:
    office = f"<small>{escape(person.office)}</small>" if person.office else ""
    return f'<th scope="row">{escape(person.name)}{office}</th>'


def _cell(person: Person, demand: str, title: str) -> str:
    if demand not in person.by_demand and (demand or person.by_demand):
        nothing = '<span class="soft" aria-label="no answer">–</span>'
        return f'<td class="nothing" data-about="{escape(title)}">{nothing}</td>'
    status = person.by_demand.get(demand, "none")
    status = status if status in _STATUSES else "none"
    style = f"background:var(--{status}-b);color:var(--{status}-t)"
    badge = f'<span class="badge" style="{style}">{_WORDS.get(status, status)}</span>'
    return f'<td data-about="{escape(title)}">{badge}</td>'


def _waits(people: list[Person]) -> str:
    most = max((one.days or 0 for one in people), default=0) or 1
    ordered = sorted(people, key=lambda one: (one.answered_on is not None, -(one.days or 0)))
    rows = "".join(_wait(one, most) for one in ordered)
    return f'<ul class="waits">{rows}</ul>'


def _wait(person: Person, most: int) -> str:
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
