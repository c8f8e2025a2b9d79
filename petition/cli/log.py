"""petition log: what happened to the letters, the signatures and the approvals, step by step."""

import heapq
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from operator import attrgetter, itemgetter
from typing import Annotated, NamedTuple

import typer

from petition.address import folded
from petition.campaign.people import Known, nearest_people
from petition.cli import output
from petition.cli.approve import said_words
from petition.cli.status import reason_and_reply, say_unsent
from petition.cli.workspace import WHO, Csv, Json, Workspace, one_format, people_named
from petition.errors import UsageError
from petition.outbox import service, signatures
from petition.outbox.approvals import Approval, all_approvals, described, was_asked
from petition.outbox.database import stamp
from petition.outbox.log import Log
from petition.outbox.models import Event
from petition.outbox.service import ServiceKind, ServiceState
from petition.outbox.signatures import SignatureStep, StepTaken

COLUMNS = {  # and what of an Event is in them
    "at": "at",
    "letter": "letter",
    "email": "mailbox",
    "from": "from_state",
    "to": "to_state",
    "reply_code": "reply_code",
    "enhanced_code": "enhanced_code",
    "reply": "reply",
    "server": "server",
    "tls": "tls",
    "ms": "milliseconds",
    "reason": "reason",
    "revision": "revision",
}
_ARROW = len("deferred -> uncertain")  # the longest step
_STEPS = {
    SignatureStep.SIGNED: "{} signed",
    SignatureStep.CONFIRMED: "{} confirmed the signature",
    SignatureStep.CHANGED: "{} changed the signature",
    SignatureStep.WITHDREW: "{} withdrew the signature",
    SignatureStep.APPROVED: "the signature of {} was approved",
    SignatureStep.HID: "the signature of {} was hidden",
    SignatureStep.MERGED: "the signature of {} was merged with another",
}
_MAILS = {
    ServiceKind.CONFIRM: "the mail that asks {} to confirm a signature",
    ServiceKind.SIGNED: "the mail that tells {} how to change a signature",
    ServiceKind.APPROVAL: "the mail that asks {} for approval",
}

_Line = tuple[datetime, str]


class _Found(NamedTuple):
    """What the log has; the oldest of each comes first."""

    events: Iterator[Event] = iter(())
    asked: Sequence[Approval] = ()
    steps: Iterator[StepTaken] = iter(())
    mails: Iterator[ServiceState] = iter(())


def log(
    context: typer.Context,
    who: Annotated[
        str | None,
        typer.Argument(metavar="WHO", help=f"Only one person: {WHO}."),
    ] = None,
    as_json: Json = False,
    as_csv: Csv = False,
) -> None:
    """Show every event of every letter, oldest first."""
    one_format(as_json=as_json, as_csv=as_csv)
    with Workspace.open(context) as place:
        found = _found(place, who)
        if as_json:
            output.json(
                place.origin
                | {
                    "events": map(_event_row, found.events),
                    "approvals": [described(place.log, one) for one in found.asked],
                    "signature_steps": map(_step_json, found.steps),
                    "service_mails": map(_mail_json, found.mails),
                }
            )
        elif as_csv:
            output.csv(list(COLUMNS), map(_event_row, found.events))
        else:
            _show(place, found)
            place.say_which()


def _found(place: Workspace, who: str | None) -> _Found:
    opened = place.log_if_any
    if opened is None:
        return _Found()
    if who is None:
        everything = opened.events(), all_approvals(opened), signatures.steps(opened)
        return _Found(*everything, service.mails(opened))
    boxes = people_named(place, [who], several=True)
    keys = set(map(folded, boxes))
    asked = [one for one in all_approvals(opened) if keys & set(map(folded, one.request.approvers))]
    events = [one for box in boxes for one in opened.events(box)]
    steps = [one for box in boxes for one in signatures.steps(opened, box)]
    mails = [one for box in boxes for one in service.mails(opened, box)]
    if events or asked or steps or mails:
        return _Found(
            iter(sorted(events, key=attrgetter("at"))),
            asked,
            iter(sorted(steps, key=attrgetter("at"))),
            iter(sorted(mails, key=attrgetter("updated_at"))),
        )
    near = nearest_people(who, (Known(*one) for one in opened.people()))
    hint = f"Did you mean {near}" if near else f"Use {WHO}"
    raise UsageError(f'the log has nothing about "{who}"', hint)


def _event_row(event: Event) -> dict[str, object]:
    row = {column: getattr(event, name) for column, name in COLUMNS.items()}
    return row | {"at": stamp(event.at)}


def _step_json(one: StepTaken) -> dict[str, object]:
    return {
        "at": stamp(one.at),
        "letter": one.letter,
        "email": one.mailbox,
        "step": one.what,
        "how": one.how,
    }


def _mail_json(one: ServiceState) -> dict[str, object]:
    return {
        "at": stamp(one.updated_at),
        "created_at": stamp(one.created_at),
        "kind": one.kind,
        "email": one.mailbox,
        "state": one.state,
        "reason": one.reason,
        "reply": one.reply,
    }


# ---- on the screen


def _show(place: Workspace, found: _Found) -> None:
    has_several = place.log_if_any is not None and len(place.log_if_any.letters()) > 1
    entries: Iterator[tuple[datetime, str | Event]] = heapq.merge(
        _approval_lines(place.log, found.asked) if found.asked else (),
        map(_step_line, found.steps),
        map(_mail_line, found.mails),
        ((event.at, event) for event in found.events),
        key=itemgetter(0),
    )
    is_empty = True
    for at, entry in entries:
        is_empty = False
        if isinstance(entry, str):
            _show_line((at, entry))
        else:
            _show_event(entry, with_letter=has_several)
    if is_empty:
        say_unsent(place)


def _show_event(event: Event, *, with_letter: bool) -> None:
    arrow = f"{event.from_state} -> {event.to_state}" if event.from_state else event.to_state
    at = f"{event.at.astimezone():%Y-%m-%d %H:%M:%S}"
    style = output.STATE_STYLES.get(event.to_state, "")
    head, box = f"{at}  {arrow:<{_ARROW}}", output.clean(event.mailbox)
    if output.is_terminal() and len(head) + 2 + len(box) > output.width():
        output.say(head.rstrip(), style)
        output.say(f"    {box}", style)
    else:
        output.say(f"{head}  {box}", style)
    took = f"{event.milliseconds} ms" if event.milliseconds is not None else None
    way = ", ".join(part for part in (event.server, event.tls, took) if part)
    why = reason_and_reply(event)
    detail = f"{why} ({way})" if why and way else why or way
    if detail := ": ".join(filter(None, (event.letter if with_letter else "", detail))):
        output.say(f"    {output.clean(detail)}")


def _show_line(line: _Line) -> None:
    at, text = line
    output.say(f"{at.astimezone():%Y-%m-%d %H:%M:%S}  {output.clean(text)}", output.NOTE)


def _approval_lines(log: Log, asked: Iterable[Approval]) -> list[_Line]:
    """What became of approvals, oldest first."""
    lines: list[_Line] = []
    for request, answers in ((one.request, one.said) for one in asked):
        if was_asked(log, request):
            whom = ", ".join(request.approvers)
            what = f"{request.letter}: {request.author} asked {whom} for approval"
            lines.append((request.at, what))
        lines += [(one.at, f"{request.letter}: {said_words(one)}") for one in answers]
    return sorted(lines, key=itemgetter(0))


def _step_line(one: StepTaken) -> _Line:
    return one.at, f"{one.letter}: {_STEPS[one.what].format(one.mailbox)} ({one.how})"


def _mail_line(one: ServiceState) -> _Line:
    """What became of a mail, at the moment when it did."""
    why = ", ".join(filter(None, (one.reason, one.reply)))
    told = f" ({why})" if why else ""
    return one.updated_at, f"{_MAILS[one.kind].format(one.mailbox)}: {one.state}{told}"
