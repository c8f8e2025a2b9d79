"""petition status: what became of each letter."""

import sys
import time
from collections.abc import Mapping
from itertools import count
from typing import TYPE_CHECKING, Annotated

import typer

from petition.cli import output
from petition.cli.output import duration
from petition.cli.workspace import Csv, Json, Workspace, one_format
from petition.outbox.states import State
from petition.outbox.workers import DONE, AtWork, Stats, look
from petition.sending.rate_limit import provider_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from petition.outbox.log import Log
    from petition.outbox.models import Copy, Counts


_SECONDS = 2.0
_PROVIDERS = 10  # that are shown; the others are counted together


def look_on(place: Workspace, letter: str | None, *, as_json: bool) -> None:
    """Look again and again, until Ctrl-C."""
    log = place.existing_log
    before = look(log, letter)
    try:
        for number in count():
            time.sleep(_SECONDS if number else _SECONDS / 4)
            now = look(log, letter)
            if as_json:
                output.json_line(_as_json(before, now, letter, place.log_name))
            else:
                _show(before, now, letter)
                place.say_which()
            sys.stdout.flush()
            before = now
    except KeyboardInterrupt:
        output.say_error("")


def _show(before: Stats, now: Stats, letter: str | None) -> None:
    if output.is_terminal():
        output.clear()
    speeds = _speeds(before, now)
    output.say(f"{letter or 'All letters'}: {output.count(sum(now.counts.values()), 'letter')}")
    output.facts(
        (f"{now.counts[state]:>6,} {state}", _a_second(speeds[state]) if state in speeds else "")
        for state in State
        if now.counts.get(state)
    )
    if now.workers or now.waiting or now.doing:
        waited = f", the first for {duration(now.lag)}" if now.lag >= 1 else ""
        output.say(f"Jobs: {now.doing:,} being done, {now.waiting:,} waiting{waited}.")
        if not now.workers:
            output.say("No worker is at work. Next: petition worker")
    if now.workers:
        output.table(
            ["worker", "a second", *map(str, DONE)],
            [
                (one.name, f"{_speed(before, now, one):.1f}", *(one.done[state] for state in DONE))
                for one in now.workers
            ],
        )
    for provider, number in _by_provider(now.deferred).items():
        output.say(f"{provider}: {number:,} deferred")


def _a_second(speed: float) -> str:
    return f"{speed:.1f} a second" if speed else ""


def _as_json(before: Stats, now: Stats, letter: str | None, log: str) -> dict[str, object]:
    return {
        "at": now.at,
        "letter": letter,
        "counts": {str(state): now.counts.get(state, 0) for state in State},
        "per_second": {str(state): round(x, 2) for state, x in _speeds(before, now).items()},
        "workers": [
            {
                "worker": one.name,
                "per_second": round(_speed(before, now, one), 2),
                **{str(state): number for state, number in one.done.items()},
            }
            for one in now.workers
        ],
        "jobs": {"waiting": now.waiting, "doing": now.doing},
        "lag": round(now.lag, 1),
        "deferred": _by_provider(now.deferred),
        "log": log,
    }


def _speeds(before: Stats, now: Stats) -> dict[State, float]:
    """How many letters a second came into each state in which an attempt ends."""
    seconds = max(now.seconds - before.seconds, 0.001)
    return {
        state: max(0, now.counts.get(state, 0) - before.counts.get(state, 0)) / seconds
        for state in DONE
    }


def _speed(before: Stats, now: Stats, one: AtWork) -> float:
    """How many letters a second a worker hands over."""
    earlier = next((was for was in before.workers if was.owner == one.owner), None)
    done = sum(one.done.values()) - (sum(earlier.done.values()) if earlier else 0)
    return done / max(now.seconds - before.seconds, 0.001)


def _by_provider(domains: Mapping[str, int]) -> dict[str, int]:
    """The deferrals of a provider's domains together, the most first."""
    found: dict[str, int] = {}
    for domain, number in domains.items():
        provider = provider_of(domain)
        found[provider] = found.get(provider, 0) + number
    ordered = sorted(found.items(), key=lambda one: (-one[1], one[0]))
    rest = sum(number for _, number in ordered[_PROVIDERS:])
    return dict(ordered[:_PROVIDERS]) | ({"others": rest} if rest else {})


COLUMNS = (
    "email",
    "name",
    "language",
    "state",
    "reason",
    "attempts",
    "reply_code",
    "enhanced_code",
    "reply",
    "message_id",
    "sha256",
    "updated_at",
)
_TABLE = 50  # copies of a letter that are shown one by one without being asked for
_SHOWN = 1000  # rows that a person is shown; for all of them there are --csv and --json


def status(
    context: typer.Context,
    letter: Annotated[
        str | None, typer.Argument(metavar="LETTER", help="Only this letter.")
    ] = None,
    state: Annotated[
        str | None,
        typer.Option("--state", metavar="STATE", help="Each letter that is in this state."),
    ] = None,
    answers: Annotated[
        bool, typer.Option("--answers", help="Who answered what, and who is waited for.")
    ] = False,
    watch: Annotated[
        bool, typer.Option("--watch", help="Go on showing how fast it goes, until Ctrl-C.")
    ] = False,
    as_json: Json = False,
    as_csv: Csv = False,
) -> None:
    """Show how many letters are queued, sent, failed and so on."""
    from petition.cli.workspace import Workspace, letter_name

    one_format(as_json=as_json, as_csv=as_csv)
    if answers and (state is not None or as_csv):
        from petition.errors import UsageError

        hint = "Use --answers with --json, or leave it out"
        raise UsageError("--answers goes with neither --state nor --csv", hint)
    if watch and (answers or state is not None or as_csv):
        from petition.errors import UsageError

        raise UsageError("--watch goes with --json alone", "Leave the others out")
    wanted = _state_of(state) if state is not None else None
    with Workspace.open(context) as place:
        name = letter_name(place, letter) if letter else None
        if answers:
            from petition.cli.answer import show_answers

            show_answers(place, name, as_json=as_json)
        elif watch:
            look_on(place, name, as_json=as_json)
        elif wanted or as_csv:
            _show_rows(place, name, wanted, as_json=as_json, as_csv=as_csv)
        elif as_json:
            _write_counts(place, name)
        elif name:
            _show_letter(place, name)
        else:
            _show_letters(place)


def _state_of(text: str) -> "State":
    from petition.errors import UsageError
    from petition.outbox.states import State

    try:
        return State(text.lower())
    except ValueError:
        raise UsageError(f'"{text}" is not a state', f"States: {', '.join(State)}") from None


def _counts(place: "Workspace", name: str | None) -> "list[Counts]":
    from petition.outbox.models import Counts

    log = place.log_if_any
    if log is None:
        return [Counts(name, 0, {})] if name else []
    return [log.counts(letter) for letter in ([name] if name else log.letters())]


def _write_counts(place: "Workspace", name: str | None) -> None:
    from petition.cli import output

    found = [_counts_json(counts, place.log_name) for counts in _counts(place, name)]
    output.json(found[0] if name else found)


def _counts_json(counts: "Counts", log: str) -> dict[str, object]:
    from petition.outbox.states import State

    return {
        "letter": counts.letter,
        "revision": counts.revision,
        "total": counts.total,
        **{str(state): counts[state] for state in _in_contract_order(State)},
        "log": log,
    }


def _in_contract_order(states: "type[State]") -> "list[State]":
    last = (states.SKIPPED, states.BOUNCED)
    return [state for state in states if state not in last] + list(last)


def _show_letters(place: "Workspace") -> None:
    from petition.cli import output
    from petition.outbox.states import State

    found = _counts(place, None)
    if not found:
        output.say("Nothing has been sent yet.")
    else:
        used = [state for state in State if any(counts[state] for counts in found)]
        rows = [
            (counts.letter, counts.total, *(counts[state] for state in used)) for counts in found
        ]
        output.table(["letter", "total", *used], rows)
        for counts in found:
            if counts[State.SENDING] and place.log.hindrance:
                output.say(f"{counts.letter}, sending: {_left_in_hand(place, counts.letter)}")
    place.say_which()


def _show_letter(place: "Workspace", name: str) -> None:
    from petition.cli import output
    from petition.outbox.states import State

    counts = _counts(place, name)[0]
    if not counts.total:
        output.say(f"Nothing of {name} has been sent yet. Next: petition send {name}")
    else:
        revision = f", revision {counts.revision}" if counts.revision > 1 else ""
        output.say(f"{name}{revision}: {output.count(counts.total, 'letter')}")
        output.facts(
            (f"{counts[state]:>6,} {state}", _next(place, name, state))
            for state in State
            if counts[state]
        )
        _say_pace(place, name, counts)
        for domain, state, number, reply in place.log.slow_providers(name):
            what = "refused by its policy" if state is State.FAILED else "put off"
            output.say(f"{domain}: {number:,} {what} ({output.clean(reply)})")
        if counts.total <= _TABLE:
            _show_copies(place, name)
    place.say_which()


def _say_pace(place: "Workspace", name: str, counts: "Counts") -> None:
    """What waits for workers goes at the pace that it was given to them with."""
    from petition.cli import output
    from petition.cli.manual import is_for_workers, is_pace_another
    from petition.outbox.states import WAITING

    waits = any(counts[state] for state in WAITING)
    if waits and is_for_workers(place, name) and is_pace_another(place, name):
        output.say(
            "The workers keep to another [pace] than petition.toml has now."
            f" Next: petition send {name} --workers"
        )


def _show_copies(place: "Workspace", name: str) -> None:
    """What became of each copy: a line each."""
    from petition.cli import output

    rows = [
        (copy.name or copy.mailbox, str(copy.state), output.clean(_why(copy)))
        for copy in place.log.copies(name)
    ]
    output.say("")
    output.table(["to", "state", "the server said"], rows, cut_last=True)
    output.say("")


def _next(place: "Workspace", name: str, state: "State") -> str:
    """What a person can do about the letters in a state."""
    from petition.cli import output
    from petition.cli.manual import is_for_workers
    from petition.outbox.states import State

    if state in {State.QUEUED, State.SENDING, State.DEFERRED} and is_for_workers(place, name):
        return _next_of_workers(place, name, state)
    if state is State.DEFERRED and (due := place.log.next_due(name)):
        return f"from {output.when(due)} on: petition send {name}"
    if state is State.SENDING and place.log.hindrance:
        return _left_in_hand(place, name)
    return {
        State.QUEUED: f"petition send {name}",
        State.SENDING: "a petition send is at work",
        State.DEFERRED: f"petition send {name}",
        State.FAILED: f"see --state failed, then: petition retry {name}",
        State.UNCERTAIN: "see --state uncertain, ask them, then: petition resolve",
        State.BOUNCED: "see --state bounced",
        State.SKIPPED: "see --state skipped",
    }.get(state, "")


def _next_of_workers(place: "Workspace", name: str, state: "State") -> str:
    from petition.cli import output
    from petition.outbox.states import State

    if state is State.SENDING:
        return "a petition worker is at work"
    due = place.log.next_due(name) if state is State.DEFERRED else None
    return f"from {output.when(due)} on: petition worker" if due else "petition worker"


def _left_in_hand(place: "Workspace", name: str) -> str:
    """What those in hand are where no run is at work and the log cannot be written."""
    from petition.errors import sentence

    marked = place.log.marked_in_hand(name)
    gone = f"{marked} of them may have arrived" if marked else "none of them was sent"
    hint = sentence(place.log.hindrance.hint) if place.log.hindrance else ""
    return f"left by a run that has ended, {gone}; the log cannot be written now. {hint}"


def _show_rows(
    place: "Workspace", name: str | None, state: "State | None", *, as_json: bool, as_csv: bool
) -> None:
    from petition.cli import output

    log = place.log_if_any
    copies = log.copies(name, state) if log else iter(())
    # Without a name, and only then, a row must say which letter it is about.
    several = name is None and log is not None and len(log.letters()) > 1
    named = _MessageIds(log) if log else None
    rows = (_row(copy, named, with_letter=several) for copy in copies)
    if as_json:
        output.json_rows(rows)
    elif as_csv:
        output.csv([*COLUMNS, "letter"] if several else COLUMNS, rows)
    else:
        _list_rows(copies, state, with_letter=several)
        place.say_which()


class _MessageIds:
    """The Message-IDs of copies, those too that no server has asked for yet: they follow (P4)."""

    def __init__(self, log: "Log") -> None:
        self._log = log
        self._domains: dict[tuple[str, int], str] = {}

    def of(self, copy: "Copy") -> str | None:
        """A copy's Message-ID; None for a skipped one that never had any."""
        from petition.identity import Identity, Signer
        from petition.outbox.states import State

        if copy.message_id or copy.state is State.SKIPPED:
            return copy.message_id
        campaign, domain = self._log.campaign_id, self._domain(copy)
        if campaign is None or domain is None:
            return None
        identity = Identity(campaign, copy.letter, copy.revision, copy.spelling)
        return Signer(self._log.key).message_id(identity, domain)

    def _domain(self, copy: "Copy") -> str | None:
        from petition.merge.document import Frozen

        key = copy.letter, copy.revision
        if key not in self._domains and (kept := self._log.frozen(*key)):
            self._domains[key] = Frozen.from_json(kept.document).sender.domain
        return self._domains.get(key)


def _row(copy: "Copy", named: _MessageIds | None, *, with_letter: bool) -> dict[str, object]:
    from petition.outbox.models import stamp

    values = {
        "email": copy.mailbox,
        "message_id": named.of(copy) if named else copy.message_id,
        "updated_at": stamp(copy.updated_at),
        "letter": copy.letter,
    }
    columns = [*COLUMNS, "letter"] if with_letter else COLUMNS
    return {
        column: values[column] if column in values else getattr(copy, column) for column in columns
    }


def _list_rows(copies: "Iterator[Copy]", state: "State | None", *, with_letter: bool) -> None:
    from petition.cli import output

    seen = 0
    for seen, copy in enumerate(copies, 1):
        if seen > _SHOWN:
            continue
        letter = f"  {copy.letter}" if with_letter else ""
        name = f"  {copy.name}" if copy.name else ""
        output.say(f"{output.clean(copy.mailbox + name)}{letter}", "bold")
        output.say(f"    {output.when(copy.updated_at)}  {output.clean(_why(copy))}".rstrip())
    if not seen:
        output.say(f"No letter is {state}.")
    if seen > _SHOWN:
        output.say(f"... and {seen - _SHOWN:,} more: --csv has all of them.")


def _why(copy: "Copy") -> str:
    reply = " ".join(
        str(part) for part in (copy.reply_code, copy.enhanced_code, copy.reply) if part
    )
    return ", ".join(part for part in (copy.reason, reply) if part)
