"""petition log: every event, oldest first."""

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Annotated

import typer

from petition.cli.workspace import Csv, Json, one_format

if TYPE_CHECKING:
    from petition.cli.workspace import Workspace
    from petition.outbox.models import Event

_ARROW = len("deferred -> uncertain")  # the longest step
COLUMNS = (
    "at",
    "letter",
    "email",
    "from",
    "to",
    "reply_code",
    "enhanced_code",
    "reply",
    "server",
    "tls",
    "ms",
    "reason",
    "revision",
)


def log(
    context: typer.Context,
    who: Annotated[
        str | None,
        typer.Argument(metavar="WHO", help="Only one person: an address, an id, a row number."),
    ] = None,
    as_json: Json = False,
    as_csv: Csv = False,
) -> None:
    """Show every event of every letter, oldest first."""
    from petition.cli import output
    from petition.cli.workspace import Workspace

    one_format(as_json=as_json, as_csv=as_csv)
    with Workspace.open(context) as place:
        events = _events(place, who)
        if as_json:
            output.json_rows(map(_row, events))
        elif as_csv:
            output.csv(COLUMNS, map(_row, events))
        else:
            _show(events, _has_several(place))
            place.say_which()


def _events(place: "Workspace", who: str | None) -> "Iterator[Event]":
    """The events of somebody, or of everybody."""
    from itertools import chain

    from petition.errors import UsageError

    opened = place.log_if_any
    if opened is None or who is None:
        return opened.events() if opened else iter(())
    for key in _keys(place, who):
        events = opened.events(key)
        if first := next(events, None):
            return chain([first], events)
    raise UsageError(f'the log has nothing about "{who}"', "Name an address, an id or a row number")


def _keys(place: "Workspace", who: str) -> Iterator[str]:
    """What WHO can mean, the likeliest first: an address, a row's id, a row of the list."""
    from petition.cli.workspace import addresses

    if "@" in who:
        yield from addresses([who])
        return
    yield who
    if who.isdecimal():
        yield from _row_number(place, who)


def _row_number(place: "Workspace", number: str) -> Iterator[str]:
    """The mailboxes of the row with this number, over the lists that letters go to."""
    campaign = place.campaign
    for name in dict.fromkeys(letter.front.to for letter in campaign.letters.values()):
        people = campaign.people(name, [])
        if people is None:
            continue
        for person in people.rows():
            if str(person.number) == number:
                yield person.mailbox.addr_spec
                break


def _row(event: "Event") -> dict[str, object]:
    from petition.outbox.models import stamp

    return {
        "at": stamp(event.at),
        "letter": event.letter,
        "email": event.mailbox,
        "from": event.from_state,
        "to": event.to_state,
        "reply_code": event.reply_code,
        "enhanced_code": event.enhanced_code,
        "reply": event.reply,
        "server": event.server,
        "tls": event.tls,
        "ms": event.milliseconds,
        "reason": event.reason,
        "revision": event.revision,
    }


def _has_several(place: "Workspace") -> bool:
    return place.log_if_any is not None and len(place.log_if_any.letters()) > 1


def _show(events: "Iterable[Event]", with_letter: bool) -> None:
    from petition.cli import output

    has_any = False
    for event in events:
        has_any = True
        arrow = f"{event.from_state} -> {event.to_state}" if event.from_state else event.to_state
        at = f"{event.at.astimezone():%Y-%m-%d %H:%M:%S}"
        letter = f"  {event.letter}" if with_letter else ""
        output.say(f"{at}  {arrow:<{_ARROW}}  {output.clean(event.mailbox)}{letter}")
        if detail := _detail(event):
            output.say(f"    {output.clean(detail)}", "dim")
    if not has_any:
        output.say("Nothing has been sent yet.")


def _detail(event: "Event") -> str:
    reply = " ".join(
        str(part) for part in (event.reply_code, event.enhanced_code, event.reply) if part
    )
    took = f"{event.milliseconds} ms" if event.milliseconds is not None else None
    way = ", ".join(part for part in (event.server, event.tls, took) if part)
    said = ", ".join(part for part in (event.reason, reply) if part)
    return f"{said} ({way})" if said and way else said or way
