"""petition report and petition evidence: what became of the letters, as a page or sealed."""

from pathlib import Path
from typing import Annotated

import typer

from petition.cli.workspace import Json


def report(
    context: typer.Context,
    html: Annotated[
        Path | None, typer.Option("--html", metavar="FILE", help="Write the page to FILE.")
    ] = None,
    public: Annotated[
        bool, typer.Option("--public", help="No address, and only names with a public office.")
    ] = False,
) -> None:
    """Tell on one page what became of the letters and the answers."""
    from petition.cli import output
    from petition.cli.workspace import Workspace
    from petition.report import page
    from petition.report import page as pages

    with Workspace.open(context) as place:
        title = place.settings.campaign.title
        found = page.figures(place.existing_log, title, is_public=public)
        if html is None:
            output.facts(
                [
                    ("sent", f"{found.total('sent'):,}"),
                    ("not delivered", f"{found.total('bounced', 'failed'):,}"),
                    ("answered", f"{found.answered:,} of {len(found.sent):,} people"),
                    ("overdue", f"{found.overdue:,}"),
                    ("put off", output.count(len(found.stalls), "time")),
                ]
            )
            output.say("As a page: petition report --html report.html")
        else:
            pages.write(found, html)
            who = "It names nobody without a public office." if public else "For you alone to read."
            output.say(f"{html} is written. {who}")
        place.say_which()


def evidence(
    context: typer.Context,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="The pack, such as pack.zip.")],
    verify: Annotated[
        bool, typer.Option("--verify", help="See whether a pack is as it was written.")
    ] = False,
    seal: Annotated[
        str | None, typer.Option(metavar="HASH", help="The seal that was noted, with --verify.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Pack letters, events and answers as evidence; or verify a pack."""
    from petition.errors import UsageError

    if seal and not verify:
        raise UsageError("--seal is compared with that of a pack", "Add --verify")
    if verify:
        _verify(file, seal, as_json=as_json)
    else:
        _write(context, file, as_json=as_json)


def _write(context: typer.Context, file: Path, *, as_json: bool) -> None:
    from petition.cli import output
    from petition.cli.workspace import Workspace
    from petition.report import evidence as packing

    with Workspace.open(context) as place:
        seal = packing.write_evidence(place.existing_log, file)
        if as_json:
            output.json({"file": str(file), "seal": seal, "log": place.log_name})
            return
        output.say(f"{file} is written, for you alone to read: it holds names and addresses.")
        output.say(f"Its seal: {seal}")
        output.say("Note the seal where nobody can change it: it proves the pack later on.")
        place.say_which()


def _verify(file: Path, seal: str | None, *, as_json: bool) -> None:
    from petition.cli import output
    from petition.errors import ExitStatus
    from petition.report import evidence

    found = evidence.verify(file)
    if seal and seal.strip().lower() != found.seal:
        found.faults.append(f"{evidence.MANIFEST}: the seal is not the one that was noted")
    if as_json:
        names = ("campaign", "until", "entries", "seal", "faults")
        output.json({"file": str(file)} | {name: getattr(found, name) for name in names})
    elif found.faults:
        for fault in found.faults:
            output.say(fault)
        output.say_error(f"{file} is not as it was written.")
    else:
        whole = f"{file} is whole: {output.count(found.entries, 'entry', 'entries')}"
        output.say(f"{whole} of {found.campaign}, until {found.until[:16].replace('T', ' ')} UTC.")
        noted = "It is the one that was noted." if seal else "Compare it with the one noted then."
        output.say(f"Its seal: {found.seal}.\n{noted}")
    if found.faults:
        raise typer.Exit(ExitStatus.PROBLEMS)
