"""petition migrate: the log in another database."""

from typing import Annotated

import typer

from petition.cli.workspace import Json, ThisLog


def migrate(
    context: typer.Context,
    database: Annotated[
        str,
        typer.Argument(
            metavar="DATABASE", help="sqlite:///PATH or postgresql://... without a log in it."
        ),
    ],
    this_log: ThisLog = False,
    as_json: Json = False,
) -> None:
    """Move the log to another database, whole or not at all."""
    from contextlib import suppress

    from petition.cli import output
    from petition.cli.output import count
    from petition.cli.workspace import Workspace
    from petition.database_url import AddressUnreadable, check_log_address
    from petition.errors import LogForked, UsageError
    from petition.outbox.log import MOVED
    from petition.outbox.transfer import take_back, transfer
    from petition.user_state import UserStateUnusable

    try:
        check_log_address(database)
    except AddressUnreadable as refusal:
        raise UsageError(refusal.what, refusal.hint) from None
    with Workspace.open(context, writes=True) as place:
        if place.is_rehearsal:
            raise UsageError(
                "the log of a rehearsal stays where it is",
                "Name a mail server in [smtp] or PETITION_SMTP_HOST: its log is moved",
            )
        log, url = place.log_to_move, place.url_of(database)
        if _is_same(place.url, url):
            if not take_back(log):
                hint = "Name another database; nothing was done"
                raise UsageError(f"the log is in {log.where} already", hint)
            if as_json:
                output.json({"from": log.where, "to": log.where, "rows": {}})
            else:
                output.say(f"Undone: the log stays in {log.where}.")
            return
        if log.closure is None or log.closure[0] != MOVED:  # else it is vouched for already
            place.vouch(this_log=this_log)
        done = transfer(log, url)
        with suppress(UserStateUnusable, LogForked):  # send says so
            if log.memory.known:
                place.open_log(url).memory.outdate_copies()
    if as_json:
        output.json({"from": done.start, "to": done.end, "rows": done.rows})
        return
    rows = done.rows
    output.say(
        f"Moved {count(rows['copy'], 'copy', 'copies')} with"
        f" {count(rows['event'], 'event')} from {done.start} to {done.end}."
    )
    output.say("Next: name it in [log] database, or set PETITION_DATABASE to it.")


def _is_same(one: str, other: str) -> bool:
    """Whether two addresses are of one log, as far as they tell."""
    from petition.database_url import without_ambient_secrets
    from petition.outbox.database import file_of

    file, other_file = file_of(one), file_of(other)
    if file and other_file:
        return file.resolve() == other_file.resolve()
    return one in {other, without_ambient_secrets(other)}
