"""The plan of a `send`, shown before it asks."""

from collections.abc import Iterator, Mapping, Sequence
from itertools import islice

from petition.campaign.pace import PaceSettings, Rate
from petition.checks.rows import FirstRows
from petition.cli import output
from petition.errors import listed
from petition.merge.message import Merger, Shown
from petition.outbox.enqueue import Action
from petition.planning.prepare import Prepared
from petition.sending.person import person_of

_NAMED = 3  # recipients that are named; the rest are counted
_HEADERS = ("From", "To", "Cc", "Subject")  # that are shown above a letter

_SENT_TO = {
    Action.NEW: "new",
    Action.ANOTHER: "in this new revision",
    Action.REPLACED: "in place of an earlier revision that is waiting",
    Action.RETURNED: "no longer skipped",
    Action.REFRESHED: "waiting, updated from the list",
    Action.WAITING: "waiting from before",
}
_LEFT_OUT = {
    Action.HAS_IT: "have it already",
    Action.FAILED: "failed before (petition retry)",
    Action.WITHDRAWN: "withdrawn",
    Action.OPTED_OUT: "suppressed",
}


def show(prepared: Prepared, *, with_letter: bool, more: Sequence[tuple[str, str]] = ()) -> None:
    """Show what is about to be done, and one of the copies `with_letter`."""
    if with_letter and (row := next(prepared.listing.to_send(), None)):
        clock = prepared.log.clock()
        show_letter(prepared.merger.show(person_of(row), prepared.plan.revision, clock))
    if prepared.plan.may_begin_another:
        output.say(
            f"Revision {prepared.plan.revision} is not finished and goes on now."
            " After it, --again starts another one."
        )
    output.facts([*plan_lines(prepared), *more])


def show_letter(shown: Shown) -> None:
    """Show the main headers of a copy, its text, and what is attached."""
    headers = [(name, value) for name, value in shown.headers if name in _HEADERS]
    output.letter(headers, shown.text, shown.attached)


def question(prepared: Prepared, count: int, when: str = "") -> str:
    """The question whether so many letters are to be sent, now or at another time."""
    name = prepared.server.name if prepared.server else "the sandbox"
    what = output.count(count, "letter")
    if prepared.lost_names:
        what += ", without the name that was taken out,"
    return f"Send {what} through {name} {when or 'now'}?"


def confirm(prepared: Prepared, question: str, *, yes: bool) -> None:
    """Ask, unless --yes or a rehearsal, which does not leave the machine (P6)."""
    if not yes and prepared.server is not None:
        output.confirm(question, "nothing was sent")


def plan_lines(prepared: Prepared) -> Iterator[tuple[str, str]]:
    """The plan as pairs of a heading and its text."""
    comparison = prepared.comparison
    yield "letter", f"{prepared.letter}, revision {prepared.plan.revision}{_frozen(prepared)}"
    yield from _lost_names(prepared)
    yield "send", _counted(prepared, _SENT_TO) or "nothing"
    if queued := comparison.as_queued:
        go = "was attempted before and goes" if queued == 1 else "were attempted before and go"
        yield "as queued", f"{queued} {go} out unchanged, although the list has changed since"
    if deferred := comparison[Action.DEFERRED]:
        due = output.when(comparison.due_at) if comparison.due_at else "an unknown time"
        yield "deferred", f"{deferred:,}, next due at {due}"
    if uncertain := comparison[Action.UNCERTAIN]:
        yield "uncertain", f"{uncertain:,}: may or may not have arrived, see petition resolve"
    excluded = (f"{count:,} {reason}" for reason, count in comparison.excluded.items())
    if left_out := ", ".join(filter(None, (_counted(prepared, _LEFT_OUT), *excluded))):
        yield "leave out", left_out
    yield from _declared_consent(prepared)
    if gone := comparison.gone:
        yield "skip", f"{gone:,} who {'is' if gone == 1 else 'are'} no longer on the list"
    people = islice(prepared.listing.to_send(), _NAMED)
    names = [output.who(row.name, row.mailbox) for row in people]
    if names:
        yield "to", listed(names, comparison.to_send)
    fallbacks = fallback_lines(prepared.merger, prepared.examined.fallbacks)
    yield from (("language", text) for text in fallbacks)
    yield "through", through(prepared)
    if prepared.server and (dkim := prepared.campaign.settings.dkim):
        yield "signed", f"by {dkim.domain} (DKIM, selector {dkim.selector})"
    if prepared.server:
        yield "pace", pace_text(prepared.campaign.settings.pace)
    yield "log", prepared.log.where


def _lost_names(prepared: Prepared) -> Iterator[tuple[str, str]]:
    lost = prepared.lost_names
    found = {
        "forgotten": "name that was erased",
        "withdrew": "signature or name that was taken back",
    }
    for why, what in found.items():
        if days := ", ".join(dict.fromkeys(one.at[:10] for one in lost if one.why == why)):
            text = f"leaves out a {what} on {days} (earlier copies still have it)"
            yield "changed", text
    if prepared.plan.loses:
        yield "changed", "leaves out who withdrew or is not to be named any more"


def _declared_consent(prepared: Prepared) -> Iterator[tuple[str, str]]:
    front = prepared.examined.letter.front
    declared = prepared.campaign.settings.lists.get(front.to)
    if declared and front.kind == "bulk":
        whose = {
            "all": f"everyone on {front.to}, according to petition.toml",
            "proven": f"each row of {front.to} says when, in which words and where",
            "soft opt-in": f"none: the UK's soft opt-in for charities, for {front.to}",
        }
        yield "consent", f"{whose[declared.consent]}: {declared.reason}"


def fallback_lines(merger: Merger, fallbacks: Mapping[str, FirstRows]) -> Iterator[str]:
    """Who gets the letter in a language other than their own, a line for each language."""
    for language, rows in sorted(fallbacks.items(), key=lambda one: -one[1].count):
        used, _ = merger.language_of(rows.first[0])
        who = listed((person.mailbox for person in rows.first), rows.count)
        gets = "gets" if rows.count == 1 else "get"
        yield f'no letter in "{language}": {who} {gets} it in "{used}"'


def through(prepared: Prepared) -> str:
    """The server, for people."""
    server = prepared.server
    if server is None:
        return "the sandbox: a rehearsal on this machine, nobody receives anything"
    security = {"starttls": "STARTTLS", "tls": "TLS", "none": "not encrypted"}[server.security]
    login = f" as {server.username}" if server.username else ""
    return f"{server.name} ({security}){login}"


def pace_text(pace: PaceSettings) -> str:
    """The pace, for people."""
    parts = [_rate(pace.rate) if pace.rate else "as fast as the server accepts them"]
    parts += [f"{_rate(rate)} to {domain}" for domain, rate in pace.per_domain.items()]
    if pace.per_day:
        parts.append(f"at most {pace.per_day:,} in 24 hours")
    if pace.warm_up:
        parts.append(f"warm-up: {', then '.join(f'{day:,}' for day in pace.warm_up)} a day")
    if pace.between:
        parts.append(f"between {pace.between}")
    if pace.days:
        parts.append(f"on {pace.days}")
    if pace.holidays:
        whose = "each reader's country" if pace.holidays is True else pace.holidays
        parts.append(f"not on holidays of {whose}")
    return ", ".join(parts)


def _rate(rate: Rate) -> str:
    unit = {1: "a second", 60: "a minute", 3600: "an hour"}
    return f"{rate.count} {unit.get(rate.seconds, f'in {rate.seconds} s')}"


def _frozen(prepared: Prepared) -> str:
    if prepared.plan.is_new and prepared.plan.revision > 1:
        return " (new)" if prepared.comparison.to_send else " (no recipients)"
    if prepared.plan.is_new:
        return ""
    return ", as frozen with its first copy"


def _counted(prepared: Prepared, words: dict[Action, str]) -> str:
    comparison = prepared.comparison
    return ", ".join(
        f"{comparison[action]:,} {text}" for action, text in words.items() if comparison[action]
    )
