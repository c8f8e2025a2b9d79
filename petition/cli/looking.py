"""Shows how fast letters go: states, workers, jobs and deferrals, once every two seconds."""

import sys
import time
from collections.abc import Mapping
from itertools import count

from petition.cli import console
from petition.cli.words import duration
from petition.cli.workplace import Workplace
from petition.outbox.states import State
from petition.outbox.workers import DONE, AtWork, Look, look
from petition.sending.rate_limit import provider_of

_SECONDS = 2.0
_PROVIDERS = 10  # that are shown; the others are counted together


def look_on(place: Workplace, letter: str | None, *, as_json: bool) -> None:
    """Look again and again, until Ctrl-C.

    Args:
        place: The campaign, whose log must be there.
        letter: Only this letter; None: all of them.
        as_json: A line of JSON for each look.
    """
    log = place.existing_log
    before = look(log, letter)
    try:
        for number in count():
            time.sleep(_SECONDS if number else _SECONDS / 4)
            now = look(log, letter)
            if as_json:
                console.json_line(_as_json(before, now, letter, place.log_name))
            else:
                _show(before, now, letter)
                place.say_which()
            sys.stdout.flush()
            before = now
    except KeyboardInterrupt:
        console.say_error("")


def _show(before: Look, now: Look, letter: str | None) -> None:
    if console.is_terminal():
        console.clear()
    speeds = _speeds(before, now)
    console.say(f"{letter or 'All letters'}: {console.count(sum(now.counts.values()), 'letter')}")
    console.facts(
        (f"{now.counts[state]:>6,} {state}", _a_second(speeds[state]) if state in speeds else "")
        for state in State
        if now.counts.get(state)
    )
    if now.workers or now.waiting or now.doing:
        waited = f", the first for {duration(now.lag)}" if now.lag >= 1 else ""
        console.say(f"Jobs: {now.doing:,} being done, {now.waiting:,} waiting{waited}.")
        if not now.workers:
            console.say("No worker is at work. Next: petition worker")
    if now.workers:
        console.table(
            ["worker", "a second", *map(str, DONE)],
            [
                (one.name, f"{_speed(before, now, one):.1f}", *(one.done[state] for state in DONE))
                for one in now.workers
            ],
        )
    for provider, number in _by_provider(now.deferred).items():
        console.say(f"{provider}: {number:,} deferred")


def _a_second(speed: float) -> str:
    return f"{speed:.1f} a second" if speed else ""


def _as_json(before: Look, now: Look, letter: str | None, log: str) -> dict[str, object]:
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


def _speeds(before: Look, now: Look) -> dict[State, float]:
    """How many letters a second came into each state in which an attempt ends."""
    seconds = max(now.seconds - before.seconds, 0.001)
    return {
        state: max(0, now.counts.get(state, 0) - before.counts.get(state, 0)) / seconds
        for state in DONE
    }


def _speed(before: Look, now: Look, one: AtWork) -> float:
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
