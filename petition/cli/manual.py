"""petition resolve, retry, withdraw and suppress: what a person decides about copies."""

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from petition.cli import output
from petition.cli.workspace import Json, Letter, ThisLog, Workspace
from petition.outbox.manual import Withdrawn
from petition.outbox.models import Moved
from petition.outbox.worker_store import settings_of
from petition.sending.dispatch import Dispatch

if TYPE_CHECKING:
    from petition.outbox.models import Copy


def moved_json(moved: Iterable[Moved], log: str) -> dict[str, object]:
    """The copies that were moved, as JSON."""
    return {"moved": [_row(one) for one in moved], "log": log}


def taken_json(taken: Withdrawn, log: str) -> dict[str, object]:
    """What was taken out of the queue, as JSON."""
    return {
        "moved": [_row(one) for one in taken.moved],
        "stopped": [_row(one) for one in taken.stopped],
        "too_late": [one.mailbox for one in taken.too_late],
        "log": log,
    }


def say_in_hand(taken: Withdrawn) -> None:
    """Say what became of the copies that a run had in hand."""
    if stopped := len(taken.stopped):
        letters = output.count(stopped, "letter")
        output.say(f"{letters} that a run has in hand will not be sent either.")
    if late := len(taken.too_late):
        which = "1 letter may" if late == 1 else f"{late:,} letters may"
        output.say(
            f"{which} be gone already: a run is handing {'it' if late == 1 else 'them'} over at"
            " this moment. petition status says what became of"
            f" {'it' if late == 1 else 'them'}."
        )


def _row(one: Moved) -> dict[str, object]:
    return {
        "letter": one.letter,
        "revision": one.revision,
        "email": one.mailbox,
        "from": one.start,
        "to": one.end,
    }


def is_for_workers(place: Workspace, letter: str) -> bool:
    """Whether a letter was given to workers; what is queued again of it has its job."""
    return settings_of(place.log.database, letter) is not None


def next_step(place: Workspace, letter: str) -> str:
    """What to run for what was just queued again."""
    if is_for_workers(place, letter):
        return f"The workers have {letter}: run petition worker where none is at work."
    return f"Next: petition send {letter}"


def is_pace_another(place: Workspace, letter: str) -> bool:
    """Whether workers keep to another [pace] than petition.toml has now."""
    settings = place.settings
    kept = Dispatch.of(place.log, letter)
    return (kept.pace, kept.timezone) != (settings.pace, settings.campaign.timezone)


def resolve(
    context: typer.Context,
    address: Annotated[
        list[str] | None, typer.Argument(metavar="ADDR", help="Whose letters.")
    ] = None,
    everyone: Annotated[bool, typer.Option("--all", help="All that are uncertain.")] = False,
    sent: Annotated[bool, typer.Option("--sent", help="They arrived.")] = False,
    not_sent: Annotated[
        bool, typer.Option("--not-sent", help="They did not arrive: queue them again.")
    ] = False,
    letter: Annotated[
        str | None, typer.Option("--letter", metavar="LETTER", help="Only this letter.")
    ] = None,
    this_log: ThisLog = False,
    as_json: Json = False,
) -> None:
    """Say of uncertain letters whether they arrived."""
    from petition.cli import output, workspace
    from petition.cli.workspace import Workspace
    from petition.errors import UsageError
    from petition.outbox import manual

    if bool(address) == everyone:
        raise UsageError(
            "it is not clear which letters are meant", "Name addresses, or write --all"
        )
    if sent == not_sent:
        raise UsageError("it is not clear what became of them", "Write --sent or --not-sent")
    with Workspace.open(context, writes=True) as place:
        if not_sent:
            place.vouch(this_log=this_log)
        name = workspace.letter_name(place, letter) if letter else None
        boxes = workspace.addresses(address or [])
        log = place.existing_log
        letters = [name] if name else log.letters()
        workspace.require(log, letters, boxes, _is_uncertain, "uncertain", newest=False)
        moved = manual.resolve(place.log, boxes or None, name, sent=sent)
        if as_json:
            output.json(moved_json(moved, place.log_name))
            return
        _say(place, moved)
        place.say_which()


def _is_uncertain(copy: "Copy") -> bool:
    from petition.outbox.states import State

    return copy.state is State.UNCERTAIN


def _say(place: "Workspace", moved: "list[Moved]") -> None:
    from collections import Counter

    from petition.cli import output
    from petition.outbox.states import Reason, State

    words = {
        State.SENT: "recorded as sent, on your word.",
        State.QUEUED: "queued again, on your word.",
        Reason.OPTED_OUT: "not queued again: opted out.",
        Reason.NO_MAILBOX: "not queued again: there is no such mailbox.",
        Reason.COMPLAINED: "not queued again: they called an earlier one spam.",
        Reason.REPLACED: "not queued again: a newer revision is in its place.",
    }
    found = Counter(one.reason if one.end is State.SKIPPED else one.end for one in moved)
    if not moved:
        output.say("Nothing is uncertain: there is nothing to resolve.")
    for end, what in words.items():
        if found[end]:
            output.say(f"{output.count(found.pop(end), 'letter')} {what}")
    for reason, number in found.items():
        output.say(f"{output.count(number, 'letter')} not queued again: {reason}.")
    for letter in dict.fromkeys(one.letter for one in moved if one.end is State.QUEUED):
        output.say(next_step(place, letter))


def retry(
    context: typer.Context,
    letter: Letter,
    address: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="ADDR", help="Only these, failed or withdrawn; else all that failed."
        ),
    ] = None,
    this_log: ThisLog = False,
    as_json: Json = False,
) -> None:
    """Queue failed letters again, for the next send or the workers."""
    from petition.cli import output, workspace
    from petition.cli.workspace import Workspace
    from petition.outbox import manual
    from petition.outbox.models import Copy
    from petition.outbox.states import Reason, State

    def can_be_retried(copy: Copy) -> bool:
        return copy.state is State.FAILED or copy.reason == Reason.WITHDRAWN

    with Workspace.open(context, writes=True) as place:
        place.vouch(this_log=this_log)
        name, boxes = workspace.copies_named(
            place, letter, address, can_be_retried, "failed or withdrawn"
        )
        copies = manual.retry(place.log, name, boxes)
        if as_json:
            output.json(moved_json(copies, place.log_name))
            return
        if copies:
            output.say(f"{output.count(len(copies), 'letter')} queued again.")
            output.say(next_step(place, name))
        elif boxes:
            output.say("Nothing was queued: they are never to be written to (petition suppress).")
        else:
            output.say(f"No copy of {name} has failed: there is nothing to retry.")
        place.say_which()


def withdraw(
    context: typer.Context,
    letter: Letter,
    address: Annotated[
        list[str] | None,
        typer.Argument(metavar="ADDR", help="Only to these; else to all who wait for it."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Take letters that are queued or deferred out of the queue."""
    from petition.cli import output, workspace
    from petition.cli.workspace import Workspace
    from petition.outbox import manual
    from petition.outbox.models import Copy
    from petition.outbox.states import WAITING, State

    def can_be_withdrawn(copy: Copy) -> bool:
        return copy.state in (*WAITING, State.SENDING)

    with Workspace.open(context, writes=True) as place:
        name, boxes = workspace.copies_named(place, letter, address, can_be_withdrawn, "waiting")
        taken = manual.withdraw(place.log, name, boxes)
        if as_json:
            output.json(taken_json(taken, place.log_name))
            return
        if moved := len(taken.moved):
            they = "it" if moved == 1 else "they"
            output.say(f"{output.count(moved, 'letter')} withdrawn: {they} will not be sent.")
        elif not (taken.stopped or taken.too_late):
            output.say(f"No copy of {name} is waiting: there is nothing to withdraw.")
        say_in_hand(taken)
        if taken.moved or taken.stopped:
            output.say(f"To take it back: petition retry {name} ADDR...")
        place.say_which()


def suppress(
    context: typer.Context,
    address: Annotated[
        list[str] | None,
        typer.Argument(metavar="ADDR", help="Whom; without any, those so far are listed."),
    ] = None,
    file: Annotated[
        Path | None,
        typer.Option("--from", metavar="FILE", help="Everybody in a file: a table, an export."),
    ] = None,
    remove: Annotated[bool, typer.Option("--remove", help="They may be written to again.")] = False,
    as_json: Json = False,
) -> None:
    """Never write to a mailbox again, whatever the list says."""
    from petition.cli.workspace import Workspace
    from petition.errors import UsageError

    if remove and not address:
        raise UsageError("--remove needs an address", "Name whom it is about")
    if file and (address or remove):
        raise UsageError("--from stands alone", "Leave the addresses and --remove out")
    with Workspace.open(context, writes=bool(file or address)) as place:
        if file:
            _import(place, file, as_json=as_json)
        elif not address:
            _list(place, as_json=as_json)
        elif remove:
            _remove(place, address, as_json=as_json)
        else:
            _add(place, address, as_json=as_json)


def _list(place: "Workspace", *, as_json: bool) -> None:
    from petition.cli import output
    from petition.outbox.manual import suppressions

    found = suppressions(place.log_if_any) if place.log_if_any else []
    if as_json:
        output.json_rows(
            {"email": one.mailbox, "reason": one.reason, "at": one.at} for one in found
        )
        return
    if found:
        output.table(
            ["address", "reason", "since"],
            [(one.mailbox, one.reason, one.at[:10]) for one in found],
        )
    else:
        output.say("Nobody is suppressed.")
    _say_which(place)


def _add(place: "Workspace", texts: list[str], *, as_json: bool) -> None:
    from petition.cli import output, workspace
    from petition.outbox import manual

    boxes = workspace.addresses(texts)
    taken = manual.suppress(place.log, boxes)
    if as_json:
        output.json({"suppressed": boxes} | taken_json(taken, place.log_name))
        return
    are = "is" if len(boxes) == 1 else "are"
    output.say(
        f"{output.count(len(boxes), 'address', 'addresses')} {are} suppressed:"
        " no letter goes there any more."
    )
    if taken.moved:
        output.say(f"{output.count(len(taken.moved), 'waiting letter')} will not be sent.")
    say_in_hand(taken)
    _say_which(place)


def _import(place: "Workspace", file: Path, *, as_json: bool) -> None:
    from petition.campaign.supporters import read_opt_outs
    from petition.cli import output
    from petition.outbox import manual

    found = read_opt_outs(file.resolve().parent, file.name)
    output.problems(found.problems, on_stderr=True)
    taken = manual.suppress_for(place.log, found.by_reason)
    counts = {reason: len(boxes) for reason, boxes in found.by_reason.items()}
    if as_json:
        told = {"suppressed": counts, "passed_over": found.passed_over}
        output.json(told | taken_json(taken, place.log_name))
    else:
        kinds = ", ".join(f"{count:,} {reason}" for reason, count in counts.items())
        output.say(
            f"{output.count(found.count, 'address', 'addresses')} of {file.name} suppressed"
            + (f" ({kinds})" if kinds else "")
            + (
                f", {found.passed_over:,} passed over: they may be written to."
                if found.passed_over
                else "."
            )
        )
        if taken.moved:
            output.say(f"{output.count(len(taken.moved), 'waiting letter')} will not be sent.")
        say_in_hand(taken)
        _say_which(place)
    if any(problem.is_error for problem in found.problems):
        raise typer.Exit(1)


def _remove(place: "Workspace", texts: list[str], *, as_json: bool) -> None:
    from petition.address import folded
    from petition.cli import output, workspace
    from petition.errors import UsageError
    from petition.outbox import manual
    from petition.outbox.manual import Forgotten

    boxes = workspace.addresses(texts)
    there = {folded(one.mailbox) for one in manual.suppressions(place.log)}
    forgotten = Forgotten(place.log)
    if gone := [box for box in boxes if box in forgotten]:
        hint = "The log no longer knows what they had. Nothing was done"
        raise UsageError(f"forgotten for good: {', '.join(gone)}", hint)
    if missed := [box for box in boxes if folded(box) not in there]:
        raise UsageError(f"not suppressed: {', '.join(missed)}", "Nothing was done")
    removed = manual.unsuppress(place.log, boxes)
    if as_json:
        output.json({"removed": removed, "log": place.log_name})
        return
    output.say(
        f"{output.count(len(removed), 'address', 'addresses')} may be written to again;"
        " nothing is queued before the next petition send."
    )
    _say_which(place)


def _say_which(place: "Workspace") -> None:
    from petition.cli import output

    place.say_which()
    if place.is_rehearsal:
        output.say("A real send has a log of its own, which knows nothing of this.", "yellow")
