"""petition inbox: what comes back."""

from typing import TYPE_CHECKING, Annotated

import typer

from petition.cli.options import Json

if TYPE_CHECKING:
    from petition.cli.workplace import Workplace


def inbox(
    context: typer.Context,
    file: Annotated[
        list[str] | None, typer.Argument(metavar="FILE", help="Mails for --explain.")
    ] = None,
    explain: Annotated[
        bool, typer.Option("--explain", help="Say what the mails in FILE are; record nothing.")
    ] = False,
    once: Annotated[bool, typer.Option("--once", help="Read what is there (the default).")] = False,
    watch: Annotated[bool, typer.Option("--watch", help="Go on reading what comes.")] = False,
    pile: Annotated[
        bool, typer.Option("--pile", help="List what could not be matched with a letter.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Read what comes back: bounces, answers and requests to leave."""
    from petition.cli.workplace import Workplace
    from petition.errors import UsageError

    if explain and (once or watch or pile):
        mend = "Leave --once, --watch and --pile out"
        raise UsageError("--explain reads files, not the inbox", mend)
    if once and watch:
        raise UsageError("--once and --watch are two wishes", "Choose one of them")
    if explain:
        from petition.cli.explaining import explain_files

        if not file:
            raise UsageError("--explain needs a file", "Name the mails, such as mail.eml")
        raise typer.Exit(explain_files(file, as_json=as_json))
    if file:
        raise UsageError("a file alone is not understood", "Write --explain before it")
    if pile and (once or watch):
        raise UsageError("--pile reads the log, not the inbox", "Leave --once and --watch out")
    with Workplace.open(context, writes=not pile) as place:
        if pile:
            from petition.cli.answering import show_pile

            show_pile(place, as_json=as_json)
            return
        _listen(place, watch=watch, as_json=as_json)


def _listen(place: "Workplace", *, watch: bool, as_json: bool) -> None:
    from petition.cli.listening import listen
    from petition.errors import UsageError
    from petition.trust import Part

    settings = place.settings.inbox
    if settings is None:
        mend = 'Name it in petition.toml: [inbox] and under it url = "imaps://user@host/INBOX"'
        raise UsageError("no inbox is set", mend)
    place.allow(Part.LOG, Part.INBOX, asks=not as_json)
    log = place.existing_log
    listen(log, settings, place.root, watch=watch, as_json=as_json)
    if not as_json:
        place.say_which()
