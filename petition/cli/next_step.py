"""What a person can do next: about copies in a state, and about people who may want to leave."""

import shlex
from collections.abc import Callable
from contextlib import suppress

from petition.address import folded
from petition.campaign.folder import Campaign
from petition.cli import output
from petition.errors import CampaignError, listed, sentence
from petition.outbox.log import Log, utc_now
from petition.outbox.manual import held
from petition.outbox.states import WAITING, State

_NAMED = 5  # lines or addresses that are named; the rest are counted


def next_step(
    log: Log, name: str, state: State, campaign: Callable[[], Campaign] | None = None
) -> str:
    """What a person can do about the copies of a letter in a state; `campaign` loads the list."""
    due = log.next_due(name) if state is State.DEFERRED else None
    from_then = f"from {output.when(due)} on: " if due and due > utc_now() else ""
    if is_for_workers(log, name) and state in {*WAITING, State.SENDING}:
        working = "a petition worker is sending them"
        return working if state is State.SENDING else f"{from_then}petition worker"
    if state is State.SENDING:
        return left_sending(log) if log.hindrance else "a petition send is running"
    if campaign and (step := correction(log, name, state, campaign)):
        return step
    return {
        State.QUEUED: f"petition send {name}",
        State.DEFERRED: f"{from_then}petition send {name}",
        State.FAILED: f"see petition status --state failed, then petition retry {name}",
        State.UNCERTAIN: "may have arrived: the reply was lost. Ask the recipient, then petition"
        f" resolve WHO --sent | --not-sent --letter {name}",
        State.BOUNCED: "see petition status --state bounced",
        State.SKIPPED: "see petition status --state skipped",
    }.get(state, "")


def correction(log: Log, name: str, state: State, campaign: Callable[[], Campaign]) -> str:
    """Where to correct the addresses of copies that failed or bounced; "" if there are none."""
    gone = log.without_mailbox(name, state) if state in {State.FAILED, State.BOUNCED} else set()
    if not gone:
        return ""
    rows = None
    with suppress(CampaignError):  # the list cannot be read now
        letter = campaign().letters.get(name)
        is_personal = letter and letter.texts and letter.front.kind == "personal"
        if letter and is_personal and (people := campaign().people(letter.front.to, [])):
            rows = [one for one in people.known() if folded(one.address) in gone]
    what, others = "no such mailbox", log.counts(name)[state] - len(gone)
    if rows:
        lines = listed((one.line for one in rows[:_NAMED]), len(rows))
        them = "it" if len(rows) == 1 else "them"
        what += f": correct {them} in {rows[0].file}:{lines}, then petition send {name}"
    elif rows is not None:
        what += f", and no longer on the list. If corrected: petition send {name}"
    if others:
        retry = f", then petition retry {name}" if state is State.FAILED else ""
        what += f"; the others: see petition status --state {state}{retry}"
    return what


def left_sending(log: Log) -> str:
    """What those that are sending are if no run is sending and the log cannot be written."""
    hint = sentence(log.hindrance.hint) if log.hindrance else ""
    return (
        "left behind by a run that ended, may have arrived; the log is not writable right now."
        f" {hint}"
    )


def is_for_workers(log: Log, name: str) -> bool:
    """Whether a letter was queued for workers; then so is what is queued again of it."""
    if not log.database.takes_workers:
        return False
    from petition.outbox.workers import settings_of  # noqa: PLC0415 (brings asyncio)

    return settings_of(log.database, name) is not None


def show_held(log: Log | None) -> None:
    """Ask a person about those who may want to leave, to whom nothing is sent meanwhile."""
    boxes = held(log) if log else []
    if not boxes:
        return
    people = output.count(len(boxes), "person", "people")
    output.say(f"{people} may want to leave; nothing is sent there until you decide:", output.CARE)
    for box in boxes[:_NAMED]:
        output.say(f"  petition suppress {shlex.quote(box)}", "bold")
    if len(boxes) > _NAMED:
        output.say(f"  ... and {len(boxes) - _NAMED:,} more: petition suppress lists them")
    output.say("That ends all letters to them; with --remove they get letters again.")
