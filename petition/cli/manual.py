"""petition resolve, retry, withdraw and suppress: what a person decides about copies."""

from collections import Counter
from collections.abc import Callable, Collection, Iterable
from pathlib import Path
from typing import Annotated

import typer

from petition.address import folded
from petition.campaign.people import Known, nearest_people
from petition.campaign.supporters import read_opt_outs
from petition.cli import output
from petition.cli.next_step import correction, next_step
from petition.cli.problems import show_problems
from petition.cli.workspace import (
    Json,
    LetterName,
    ThisLog,
    Workspace,
    addresses,
    letter_name,
    named_letter,
    people_named,
)
from petition.errors import ExitStatus, UsageError
from petition.outbox import manual
from petition.outbox.log import Log
from petition.outbox.manual import Forgotten, Withdrawn, suppressions
from petition.outbox.models import Copy, Moved
from petition.outbox.states import WAITING, Reason, State

_NOTHING = "Nothing was done"
_RESOLVED = {
    State.SENT: "recorded as sent.",
    State.QUEUED: "queued again.",
    Reason.OPTED_OUT: "not queued again: opted out.",
    Reason.NO_MAILBOX: "not queued again: the mailbox does not exist.",
    Reason.COMPLAINED: "not queued again: they reported an earlier letter as spam.",
    Reason.HELD: "not queued again: they may want to leave.",
    Reason.REPLACED: "not queued again: replaced by a newer revision.",
}


def resolve(
    context: typer.Context,
    who: Annotated[list[str] | None, typer.Argument(metavar="WHO", help="Whose letters.")] = None,
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
    """Record whether uncertain letters arrived."""
    if bool(who) == everyone:
        raise UsageError("it is not clear which letters you mean", "Name people, or use --all")
    if sent == not_sent:
        raise UsageError("it is not clear what became of them", "Use --sent or --not-sent")
    with Workspace.open(context, writes=True) as place:
        if not_sent:
            place.vouch(this_log=this_log)
        name = letter_name(place, letter) if letter else None
        log = place.existing_log
        boxes = people_named(place, who or [], name)
        letters = [name] if name else log.letters()
        found = _require(log, letters, boxes, _is_uncertain, "uncertain", newest=False)
        _say_whose(found, as_json=as_json)
        moved = manual.resolve(log, boxes or None, name, sent=sent)
        if as_json:
            output.json(place.origin | {"moved": map(_row, moved)})
            return
        ends = Counter(one.reason if one.end is State.SKIPPED else one.end for one in moved)
        if not moved:
            output.say("Nothing is uncertain: there is nothing to resolve.")
        for end, what in _RESOLVED.items():
            if ends[end]:
                output.say(f"{output.count(ends.pop(end), 'letter')} {what}")
        for reason, number in ends.items():
            output.say(f"{output.count(number, 'letter')} not queued again: {reason}.")
        for queued in dict.fromkeys(one.letter for one in moved if one.end is State.QUEUED):
            output.say(f"Next: {next_step(log, queued, State.QUEUED)}")
        place.say_which()


def _is_uncertain(copy: Copy) -> bool:
    return copy.state is State.UNCERTAIN


def retry(
    context: typer.Context,
    letter: LetterName = None,
    who: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="WHO", help="Only these, failed or withdrawn; else all that failed."
        ),
    ] = None,
    this_log: ThisLog = False,
    as_json: Json = False,
) -> None:
    """Queue failed letters again, for the next send or the workers."""
    with Workspace.open(context, writes=letter is not None) as place:
        letter = named_letter(place, "retry", letter, "nothing was done")
        place.vouch(this_log=this_log)
        name, boxes = _copies_named(
            place,
            letter,
            who,
            lambda copy: copy.state is State.FAILED or copy.reason == Reason.WITHDRAWN,
            "failed or withdrawn",
            as_json=as_json,
        )
        copies = manual.retry(place.log, name, boxes)
        if as_json:
            output.json(place.origin | {"moved": map(_row, copies)})
            return
        gone, wrong = place.log.without_mailbox(name, State.FAILED), ""
        if not boxes or gone.intersection(map(folded, boxes)):
            wrong = correction(place.log, name, State.FAILED, lambda: place.campaign)
        if copies:
            output.say(f"{output.count(len(copies), 'letter')} queued again.")
            output.say(f"Next: {next_step(place.log, name, State.QUEUED)}")
        if wrong:
            output.say(f"Not queued: {wrong}.")
        elif boxes and not copies:
            output.say("Nothing was queued: these addresses are suppressed (petition suppress).")
        elif not copies:
            why = f"no copy of {name} has failed"
            if place.log.counts(name)[State.FAILED]:
                why = "the copies that failed are to suppressed addresses (petition suppress)"
            output.say(f"There is nothing to retry: {why}.")
        place.say_which()


def withdraw(
    context: typer.Context,
    letter: LetterName = None,
    who: Annotated[
        list[str] | None,
        typer.Argument(metavar="WHO", help="Only to these; else to everyone who waits for it."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Take letters that are queued or deferred out of the queue."""
    with Workspace.open(context, writes=letter is not None) as place:
        letter = named_letter(place, "withdraw", letter, "nothing was done")
        name, boxes = _copies_named(
            place,
            letter,
            who,
            lambda copy: copy.state in (*WAITING, State.SENDING),
            "waiting",
            as_json=as_json,
        )
        taken = manual.withdraw(place.log, name, boxes)
        if as_json:
            output.json(place.origin | _withdrawn_json(taken))
            return
        if moved := len(taken.moved):
            they = "it" if moved == 1 else "they"
            output.say(f"{output.count(moved, 'letter')} withdrawn: {they} will not be sent.")
        elif not taken.too_late:
            output.say(f"No copy of {name} is waiting: there is nothing to withdraw.")
        _say_too_late(taken)
        if taken.moved:
            output.say(f"To undo this: petition retry {name} WHO...")
        place.say_which()


def suppress(
    context: typer.Context,
    address: Annotated[
        list[str] | None,
        typer.Argument(metavar="ADDR", help="Whom; without it, list who is suppressed."),
    ] = None,
    file: Annotated[
        Path | None,
        typer.Option("--from", metavar="FILE", help="Everybody in a file: a table, an export."),
    ] = None,
    remove: Annotated[bool, typer.Option("--remove", help="Allow letters to them again.")] = False,
    as_json: Json = False,
) -> None:
    """Never write to a mailbox again, whatever the list says."""
    if remove and not address:
        raise UsageError("--remove needs an address", "Name one")
    if file and (address or remove):
        raise UsageError("--from cannot be combined with addresses or --remove", "Omit them")
    with Workspace.open(context, writes=bool(file or address)) as place:
        if file:
            _import(place, file, as_json=as_json)
        elif not address:
            _list(place, as_json=as_json)
        elif remove:
            _remove(place, addresses(address), as_json=as_json)
        else:
            _add(place, addresses(address), as_json=as_json)


def _list(place: Workspace, *, as_json: bool) -> None:
    found = suppressions(place.log_if_any) if place.log_if_any else []
    if as_json:
        rows = ({"email": one.mailbox, "reason": one.reason, "at": one.at} for one in found)
        output.json(place.origin | {"addresses": rows})
        return
    if found:
        output.table(
            ["address", "reason", "since"],
            [(one.mailbox, one.reason, one.at[:10]) for one in found],
        )
    else:
        output.say("Nobody is suppressed.")
    _say_which(place)


def _add(place: Workspace, boxes: list[str], *, as_json: bool) -> None:
    log = place.log
    found = [copy for box in boxes for copy in _copies_to(log, log.letters(), box)[-1:]]
    _say_whose(found, as_json=as_json)
    taken = manual.suppress(place.log, boxes)
    if as_json:
        output.json(place.origin | {"suppressed": boxes} | _withdrawn_json(taken))
        return
    are = "is" if len(boxes) == 1 else "are"
    output.say(
        f"{output.count(len(boxes), 'address', 'addresses')} {are} suppressed:"
        " no letter will be sent there."
    )
    _say_stopped(place, taken)


def _import(place: Workspace, file: Path, *, as_json: bool) -> None:
    found = read_opt_outs(file.resolve().parent, file.name)
    show_problems(found.problems, on_stderr=True)
    taken = manual.suppress_for(place.log, found.by_reason)
    counts = {reason: len(boxes) for reason, boxes in found.by_reason.items()}
    if as_json:
        told = {"suppressed": counts, "passed_over": found.passed_over}
        output.json(place.origin | told | _withdrawn_json(taken))
    else:
        kinds = ", ".join(f"{count:,} {reason}" for reason, count in counts.items())
        kinds = f" ({kinds})" if kinds else ""
        others = f"; {found.passed_over:,} did not opt out" if found.passed_over else ""
        number = output.count(found.count, "address", "addresses")
        output.say(f"{number} in {file.name} suppressed{kinds}{others}.")
        _say_stopped(place, taken)
    if any(problem.is_error for problem in found.problems):
        raise typer.Exit(ExitStatus.PROBLEMS)


def _remove(place: Workspace, boxes: list[str], *, as_json: bool) -> None:
    forgotten = Forgotten(place.log)
    if gone := [box for box in boxes if box in forgotten]:
        hint = f"The log no longer knows what they were sent. {_NOTHING}"
        raise UsageError(f"forgotten for good: {', '.join(gone)}", hint)
    if missed := [box for box in boxes if not manual.is_suppressed(place.log, box)]:
        raise UsageError(f"not suppressed: {', '.join(missed)}", _NOTHING)
    removed = manual.unsuppress(place.log, boxes)
    if as_json:
        output.json(place.origin | {"removed": removed})
        return
    output.say(
        f"{output.count(len(removed), 'address', 'addresses')} can be written to again;"
        " nothing is queued before the next petition send."
    )
    _say_which(place)


def _copies_named(
    place: Workspace,
    letter: str,
    texts: Iterable[str] | None,
    fits: Callable[[Copy], bool],
    what: str,
    *,
    as_json: bool,
) -> tuple[str, list[str] | None]:
    """The letter and the addresses of a command that moves copies of one letter."""
    name, log = letter_name(place, letter), place.existing_log
    boxes = people_named(place, texts or [], name)
    _say_whose(_require(log, [name], boxes, fits, what), as_json=as_json)
    return name, boxes or None


def _say_whose(copies: Iterable[Copy], *, as_json: bool) -> None:
    """Name the people that a command is about to do something for."""
    if not as_json:
        for who in dict.fromkeys(output.who(copy.name, copy.mailbox) for copy in copies):
            output.say(who, "bold")


def _require(
    log: Log,
    letters: Collection[str],
    boxes: Iterable[str],
    fits: Callable[[Copy], bool],
    what: str,
    *,
    newest: bool = True,
) -> list[Copy]:
    """A copy (or newest copy) to every address that the command applies to."""
    found, faults, hint = list[Copy](), list[str](), _NOTHING
    for mailbox in boxes:
        copies = _copies_to(log, letters, mailbox)
        if newest:
            copies = list({(copy.letter, copy.twin): copy for copy in copies}.values())
        if fitting := list(filter(fits, copies)):
            found.append(fitting[-1])
            continue
        states = {copy.letter: copy.state for copy in copies}
        has = ", ".join(f"{letter}: {state}" for letter, state in states.items())
        faults.append(f"{mailbox} ({has or 'not in the log'})")
        if not has and (near := nearest_people(mailbox, (Known(*one) for one in log.people()))):
            hint = f"Did you mean {near}? {_NOTHING}"
    if faults:
        raise UsageError(f"no {what} letter to {', '.join(faults)}", hint)
    return found


def _copies_to(log: Log, letters: Iterable[str], mailbox: str) -> list[Copy]:
    return [copy for letter in letters for copy in log.copies_to(letter, mailbox)]


def _withdrawn_json(taken: Withdrawn) -> dict[str, object]:
    return {
        "moved": [_row(one) for one in taken.moved],
        "too_late": [one.mailbox for one in taken.too_late],
    }


def _row(one: Moved) -> dict[str, object]:
    return {
        "letter": one.letter,
        "revision": one.revision,
        "email": one.mailbox,
        "from": one.start,
        "to": one.end,
    }


def _say_too_late(taken: Withdrawn) -> None:
    if late := len(taken.too_late):
        which, it = ("1 letter", "it") if late == 1 else (f"{late:,} letters", "them")
        output.say(
            f"{which} may be gone already: a run is sending {it} now. petition status will show"
            f" what became of {it}."
        )


def _say_stopped(place: Workspace, taken: Withdrawn) -> None:
    if taken.moved:
        output.say(f"{output.count(len(taken.moved), 'waiting letter')} will not be sent.")
    _say_too_late(taken)
    _say_which(place)


def _say_which(place: Workspace) -> None:
    place.say_which()
    if place.is_rehearsal:
        output.say(
            "A real send has its own log, in which nobody is suppressed by this.", output.CARE
        )
