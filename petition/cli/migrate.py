"""petition migrate: the log in another database."""

from contextlib import suppress
from typing import Annotated

import typer

from petition.campaign.server import database_of
from petition.cli import output
from petition.cli.workspace import Json, ThisLog, Workspace
from petition.database_url import AddressUnreadable, check_log_address, without_ambient_secrets
from petition.errors import LogForked, UsageError
from petition.outbox.database import file_of
from petition.outbox.log import MOVED
from petition.outbox.transfer import take_back, transfer
from petition.user_state import UserStateUnusable


def migrate(
    context: typer.Context,
    database: Annotated[
        str,
        typer.Argument(
            metavar="DATABASE", help="sqlite:///PATH or postgresql://..., with no log in it yet."
        ),
    ],
    this_log: ThisLog = False,
    as_json: Json = False,
) -> None:
    """Move the log to another database, whole or not at all."""
    try:
        check_log_address(database)
    except AddressUnreadable as refusal:
        raise UsageError(refusal.what, refusal.hint) from None
    with Workspace.open(context, writes=True) as place:
        if place.is_rehearsal:
            raise UsageError(
                "the log of a rehearsal cannot be moved",
                "Name a mail server in [smtp] or PETITION_SMTP_HOST to move the log of real sends",
            )
        environ = {"PETITION_DATABASE": database}
        log, url = (
            place.log_to_move,
            database_of(place.settings, environ, place.root, place.server),
        )
        if _is_same(place.url, url):
            if not take_back(log):
                hint = "Name another database; nothing was done"
                raise UsageError(f"the log is in {log.where} already", hint)
            if as_json:
                output.json(place.origin | {"from": log.where, "to": log.where, "rows": {}})
            else:
                output.say(f"Undone: the log stays in {log.where}.")
            return
        if log.closure is None or log.closure[0] != MOVED:  # else it was confirmed before
            place.vouch(this_log=this_log)
        done = transfer(log, url)
        with suppress(UserStateUnusable, LogForked):  # send says so
            if log.memory.known:
                place.open_log(url).memory.outdate_copies()
    if as_json:
        output.json(place.origin | {"from": done.start, "to": done.end, "rows": done.rows})
        return
    copies = output.count(done.rows["copy"], "copy", "copies")
    events = output.count(done.rows["event"], "event")
    output.say(f"Moved {copies} with {events} from {done.start} to {done.end}.")
    output.say("Next: name it in [log] database, or set PETITION_DATABASE to it.")


def _is_same(one: str, other: str) -> bool:
    """Whether two addresses are those of one log, as far as can be seen."""
    file, other_file = file_of(one), file_of(other)
    if file and other_file:
        return file.resolve() == other_file.resolve()
    return one in {other, without_ambient_secrets(other)}
