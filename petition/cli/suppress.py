"""petition suppress: mailboxes that are never written to."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from petition.cli.options import Json

if TYPE_CHECKING:
    from petition.cli.workplace import Workplace


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
    from petition.cli.workplace import Workplace
    from petition.errors import UsageError

    if remove and not address:
        raise UsageError("--remove needs an address", "Name whom it is about")
    if file and (address or remove):
        raise UsageError("--from stands alone", "Leave the addresses and --remove out")
    with Workplace.open(context, writes=bool(file or address)) as place:
        if file:
            _import(place, file, as_json=as_json)
        elif not address:
            _list(place, as_json=as_json)
        elif remove:
            _remove(place, address, as_json=as_json)
        else:
            _add(place, address, as_json=as_json)


def _list(place: "Workplace", *, as_json: bool) -> None:
    from petition.cli import console
    from petition.outbox.manual import suppressions

    found = suppressions(place.log_if_any) if place.log_if_any else []
    if as_json:
        console.json_rows(
            {"email": one.mailbox, "reason": one.reason, "at": one.at} for one in found
        )
        return
    if found:
        console.table(
            ["address", "reason", "since"],
            [(one.mailbox, one.reason, one.at[:10]) for one in found],
        )
    else:
        console.say("Nobody is suppressed.")
    _say_which(place)


def _add(place: "Workplace", texts: list[str], *, as_json: bool) -> None:
    from petition.cli import console, naming
    from petition.cli.moved import say_in_hand, taken_json
    from petition.outbox import manual

    boxes = naming.addresses(texts)
    taken = manual.suppress(place.log, boxes)
    if as_json:
        console.json({"suppressed": boxes} | taken_json(taken, place.log_name))
        return
    are = "is" if len(boxes) == 1 else "are"
    console.say(
        f"{console.count(len(boxes), 'address', 'addresses')} {are} suppressed:"
        " no letter goes there any more."
    )
    if taken.moved:
        console.say(f"{console.count(len(taken.moved), 'waiting letter')} will not be sent.")
    say_in_hand(taken)
    _say_which(place)


def _import(place: "Workplace", file: Path, *, as_json: bool) -> None:
    from petition.campaign.supporters import read_opt_outs
    from petition.cli import console
    from petition.cli.moved import say_in_hand, taken_json
    from petition.outbox import manual

    found = read_opt_outs(file.resolve().parent, file.name)
    console.problems(found.problems, on_stderr=True)
    taken = manual.suppress_for(place.log, found.by_reason)
    counts = {reason: len(boxes) for reason, boxes in found.by_reason.items()}
    if as_json:
        told = {"suppressed": counts, "passed_over": found.passed_over}
        console.json(told | taken_json(taken, place.log_name))
    else:
        kinds = ", ".join(f"{count:,} {reason}" for reason, count in counts.items())
        console.say(
            f"{console.count(found.count, 'address', 'addresses')} of {file.name} suppressed"
            + (f" ({kinds})" if kinds else "")
            + (
                f", {found.passed_over:,} passed over: they may be written to."
                if found.passed_over
                else "."
            )
        )
        if taken.moved:
            console.say(f"{console.count(len(taken.moved), 'waiting letter')} will not be sent.")
        say_in_hand(taken)
        _say_which(place)
    if any(problem.is_error for problem in found.problems):
        raise typer.Exit(1)


def _remove(place: "Workplace", texts: list[str], *, as_json: bool) -> None:
    from petition.address import folded
    from petition.cli import console, naming
    from petition.errors import UsageError
    from petition.outbox import manual
    from petition.outbox.manual import Forgotten

    boxes = naming.addresses(texts)
    there = {folded(one.mailbox) for one in manual.suppressions(place.log)}
    forgotten = Forgotten(place.log)
    if gone := [box for box in boxes if box in forgotten]:
        mend = "The log no longer knows what they had. Nothing was done"
        raise UsageError(f"forgotten for good: {', '.join(gone)}", mend)
    if missed := [box for box in boxes if folded(box) not in there]:
        raise UsageError(f"not suppressed: {', '.join(missed)}", "Nothing was done")
    removed = manual.unsuppress(place.log, boxes)
    if as_json:
        console.json({"removed": removed, "log": place.log_name})
        return
    console.say(
        f"{console.count(len(removed), 'address', 'addresses')} may be written to again;"
        " nothing is queued before the next petition send."
    )
    _say_which(place)


def _say_which(place: "Workplace") -> None:
    from petition.cli import console

    place.say_which()
    if place.is_rehearsal:
        console.say("A real send has a log of its own, which knows nothing of this.", "yellow")
