"""petition send: prepare, ask, deliver."""

from typing import Annotated

import typer

from petition.cli.options import ThisLog
from petition.cli.workplace import Workplace

_ALL = 1_000_000_000  # more copies than there can be; a database counts no further than 2^63


def send(
    context: typer.Context,
    letter: Annotated[str, typer.Argument(help="The letter's name.")],
    to: Annotated[
        list[str] | None,
        typer.Option("--to", metavar="WHO", help="Only to WHO: an address, an id or a row number."),
    ] = None,
    where: Annotated[
        str | None,
        typer.Option(
            "--where",
            metavar="CONDITION",
            help="Only to those it holds for: \"country == 'GB' and language != 'en'\".",
        ),
    ] = None,
    limit: Annotated[
        int | None, typer.Option("--limit", min=1, metavar="N", help="At most N letters now.")
    ] = None,
    to_me: Annotated[
        str | None,
        typer.Option("--to-me", metavar="ADDR", help="Send the first copy to ADDR as a trial."),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Do everything but open a connection.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask; for scripts.")] = False,
    revise: Annotated[
        bool,
        typer.Option("--revise", help="A changed letter, to those who have not had it."),
    ] = False,
    again: Annotated[
        bool, typer.Option("--again", help="The letter to everyone, once more.")
    ] = False,
    wait: Annotated[
        bool, typer.Option("--wait", help="Stay until nothing is left that could still be sent.")
    ] = False,
    workers: Annotated[
        bool, typer.Option("--workers", help="Queue it for petition worker, on PostgreSQL.")
    ] = False,
    this_log: ThisLog = False,
) -> None:
    """Send a letter to everyone on its list who does not have it yet."""
    from petition.cli import sending
    from petition.errors import UsageError
    from petition.plan import Wish
    from petition.trust import Part

    if revise and again:
        raise UsageError("--revise and --again are two wishes", "Choose one of them")
    if workers and (wait or to_me is not None):
        raise UsageError("--workers sends nothing by itself", "Leave out --wait and --to-me")
    wish = Wish(
        who=tuple(to or ()),
        where=where,
        limit=limit and min(limit, _ALL),
        revise=revise,
        again=again,
        trial=to_me is not None,
    )
    with Workplace.open(context, writes=True) as place:
        if not place.is_rehearsal:
            uses = (Part.LOG,) if dry_run else (Part.LOG, Part.SERVER, Part.SIGNATURE)
            place.allow(*uses, asks=not yes)
        if to_me is None:
            place.vouch(this_log=this_log, only_tells=dry_run)
        if workers:
            from petition.cli import handing_out

            status = handing_out.hand_out(place, letter, wish, dry_run=dry_run, yes=yes)
        else:
            status = sending.send(
                place, letter, wish, to_me=to_me, dry_run=dry_run, yes=yes, wait=wait
            )
    raise typer.Exit(status)
