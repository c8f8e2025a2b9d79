"""petition status --watch: how fast letters come into each state, until Ctrl-C."""

import sys
import time
from collections import Counter
from collections.abc import Mapping
from itertools import count

from petition.cli import output
from petition.cli.workspace import Workspace
from petition.outbox.states import DONE, State
from petition.outbox.workers import AtWork, Stats, look
from petition.sending.rate_limit import provider_of

_SECONDS = 2.0  # between two screens
_PROVIDERS = 10  # that are shown; the others are counted together


def watch_progress(place: Workspace, letter: str | None, *, as_json: bool) -> None:
    """Show the progress every two seconds, until Ctrl-C."""
    log = place.existing_log
    before = look(log, letter)
    try:
        for number in count():
            time.sleep(_SECONDS if number else _SECONDS / 4)
            now = look(log, letter)
            if as_json:
                output.json_line(place.origin | _stats_json(before, now, letter))
            else:
                _show_stats(before, now, letter)
                place.say_which()
            sys.stdout.flush()
            before = now
    except KeyboardInterrupt:
        output.say_error("")


def _show_stats(before: Stats, now: Stats, letter: str | None) -> None:
    if output.is_terminal():
        output.clear()
    speeds = _speeds(before, now)
    output.say(f"{letter or 'In all'}: {output.count(sum(now.counts.values()), 'letter')}")
    output.facts(
        (f"{number:>6,} {state}", f"{speeds[state]:.1f} per second" if speeds.get(state) else "")
        for state in State
        if (number := now.counts.get(state))
    )
    if now.workers or now.waiting or now.doing:
        waited = f", oldest {output.duration(now.lag)}" if now.lag >= 1 else ""
        output.say(f"Jobs: {now.doing:,} running, {now.waiting:,} waiting{waited}.")
        if not now.workers:
            output.say("No worker is running. Next: petition worker")
    if now.workers:
        output.table(
            ["worker", "per second", *map(str, DONE)],
            [
                (one.name, f"{_speed(before, now, one):.1f}", *(one.done[state] for state in DONE))
                for one in now.workers
            ],
        )
    for provider, number in _by_provider(now.deferred).items():
        output.say(f"{provider}: {number:,} deferred")


def _stats_json(before: Stats, now: Stats, letter: str | None) -> dict[str, object]:
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
        "commits": now.commits,
        "deferred": _by_provider(now.deferred),
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
    found: Counter[str] = Counter()
    for domain, number in domains.items():
        found[provider_of(domain)] += number
    ordered = sorted(found.items(), key=lambda one: (-one[1], one[0]))
    rest = sum(number for _, number in ordered[_PROVIDERS:])
    return dict(ordered[:_PROVIDERS]) | ({"others": rest} if rest else {})
